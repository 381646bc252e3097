"""The energy of the weight reads of an experiment's layers: of stored weights in several forms, and of circuits."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ... import files, pages
from ...errors import UserError
from ...evaluation.batches import Batch
from ...evaluation.metrics import predict
from ..circuit import Circuit
from ..comparison import compare, records
from ..costs import Costs
from ..memory import Memory
from ..memory import load as load_memory
from ..quantized import weights_of, with_weights
from ..runs import rank
from ..storage import Weights
from ..verdict import measured, verdict
from ..wiring import Computed
from .folder import check_weights, opened, outputs_of, results_of
from .plan import Subexperiment


class Energy(NamedTuple):
    """What was written: the table's rows, and the verdict on every memory."""

    rows: list[dict[str, Any]]
    verdicts: dict[str, str]


def energy(
    folder: str | Path,
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    memory: Memory | None = None,
    costs: Costs | None = None,
    tell: Callable[[], Any] | None = None,
) -> Energy:
    """Compare forms of the weights of the layers that an experiment computes, with the network's accuracy in each.

    Of every sub-experiment the best circuit (by error, then energy) is taken, and of several that compute the same
    weights the best of all. Writes `energy.csv`, `energy.png` and `verdict.txt` in the folder.

    Args:
        folder: of an experiment.
        model: the quantised network that the experiment is about.
        batches: labelled data to measure on.
        memory, costs: tables, or the shipped ones.
        tell: is called when the network has to be measured again.

    Raises:
        UserError: the folder holds no experiment, no result, or one that is not about weights.
    """
    from ..verdict_figure import energy_figure

    memory = memory or load_memory()
    every = weights_of(model)
    layers, circuits = computed(folder, every)
    data = list(batches)

    def accuracy(weights: Weights) -> float:
        if tell is not None:
            tell()
        return _accuracy(with_weights(model, dict(weights)), data)

    forms = compare({name: every[name] for name in layers}, memory, costs, circuits)
    rows = measured(forms, accuracy)
    table = [{**record, "accuracy_loss": row.loss} for record, row in zip(records(forms, memory), rows, strict=True)]
    verdicts = {level: verdict(rows, memory, level) for level in memory.read}
    folder = Path(folder)
    files.write_csv(folder / "energy.csv", table)
    files.write_text(folder / "verdict.txt", "\n\n".join(verdicts.values()) + "\n")
    pages.save_png(energy_figure(rows, memory), folder / "energy.png")
    return Energy(table, verdicts)


def computed(folder: str | Path, weights: Weights) -> tuple[list[str], list[Computed]]:
    """Layers that an experiment reads or computes, and its best circuits, whose outputs do not overlap.

    Raises:
        UserError: the folder holds no experiment, no result, or one that is not about weights.
    """
    name, subs = opened(folder, weights)
    check_weights(folder, name, subs, weights)
    layers = [layer for layer in weights if any(layer in _touched(sub) for sub in subs)]
    offsets = dict(zip(layers, np.cumsum([0, *(weights[layer].size for layer in layers)]).tolist(), strict=False))
    found: list[tuple[int, float, Subexperiment, dict[str, Any], Weights]] = []
    current = dict(weights)
    for sub in subs:
        if results := results_of(folder, sub.name):
            best = min(results, key=rank)
            found.append((best["error"], best["energy"], sub, best, dict(current)))
            if name == "chain":
                current.update(sub.injected(current, outputs_of(best, sub, current)))
    if not found:
        raise UserError(f"{folder} holds no finished run: go on with `wavpool circuits {name} train`")
    taken: set[int] = set()
    chosen = []
    for _, _, sub, best, before in sorted(found, key=lambda each: each[:2]):
        places = _places(sub, offsets)
        wanted = set(places[places >= 0].tolist())
        if wanted and not wanted & taken:
            taken |= wanted
            chosen.append((sub, best, before, places))
    return layers, [
        Computed(
            Circuit.from_text(best["chromosome"], int(best["gate_outputs"])),
            sub.problem(before).inputs.astype(np.int8),
            places,
            are_weights=_stored_anyway(sub, offsets, taken),
        )
        for sub, best, before, places in chosen
    ]


def _touched(sub: Subexperiment) -> set[str]:
    return {part.layer for case in sub.cases for side in case for part in side}


def _places(sub: Subexperiment, offsets: dict[str, int]) -> NDArray[np.int64]:
    """(cases, m): which weight each output is, -1 where there is none."""
    places = np.full((len(sub.cases), sub.grid.outputs), -1, dtype=np.int64)
    for case, (_, computes) in enumerate(sub.cases):
        begin = 0
        for part in computes:
            if part.layer:
                places[case, begin : begin + len(part)] = offsets[part.layer] + part.positions
            begin += len(part)
    return places


def _stored_anyway(sub: Subexperiment, offsets: dict[str, int], taken: set[int]) -> bool:
    """Whether what the circuit reads are weights that no circuit computes."""
    parts = [part for reads, _ in sub.cases for part in reads]
    return all(part.layer and not taken & set((offsets[part.layer] + part.positions).tolist()) for part in parts)


def _accuracy(model: nn.Module, batches: Iterable[Batch]) -> float:
    predictions = predict(model, batches)
    if predictions.labels is None:
        raise UserError("the comparison needs labelled data")
    return float((predictions.classes == predictions.labels).double().mean())
