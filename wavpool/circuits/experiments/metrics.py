"""Accuracy of a network with weights that circuits compute."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from torch import nn

from ... import files
from ...evaluation.batches import Batch
from ...evaluation.metrics import as_row, evaluate, predict
from ..quantized import weights_of, with_weights
from ..runs import FIGURES, rank
from .folder import check_weights, opened, outputs_of, results_of


def model_metrics(
    folder: str | Path,
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    top: int | None = None,
    tell: Callable[[str, int, int], Any] | None = None,
) -> list[dict[str, Any]]:
    """Measure a quantised network with the weights of every finished run; writes `model_metrics.csv` in the folder.

    Args:
        folder: of an experiment.
        model: the quantised network that the experiment is about.
        batches: labelled data to measure on.
        top: only so many runs of each sub-experiment, the best by error and energy.
        tell: is told the sub-experiment, and how many circuits of how many are done.

    Returns:
        A row a circuit: its cost, and the network's accuracy, top-5, loss and drop with 95 % intervals. Of a `chain`,
        one more row, `whole network`: the best circuits of all layers together.

    Raises:
        UserError: the folder holds no experiment, or one about no network.
    """
    weights = weights_of(model)
    name, subs = opened(folder, weights)
    original = predict(model, batches)
    rows = [{"subexperiment": "original", **as_row(evaluate(original))}]
    current, costs = dict(weights), []
    check_weights(folder, name, subs, weights)
    todo = [(sub, sorted(results_of(folder, sub.name), key=rank)[:top]) for sub in subs]
    total, done = sum(len(results) for _, results in todo), 0
    for sub, results in todo:
        before = dict(current)
        for place, result in enumerate(results):
            changed = sub.injected(before, outputs_of(result, sub, before))
            figures = evaluate(predict(with_weights(model, changed), batches), original)
            rows.append({"subexperiment": sub.name, **{key: result[key] for key in FIGURES}, **as_row(figures)})
            if place == 0 and name == "chain":
                current.update(changed)
                costs.append(result)
            done += 1
            if tell is not None:
                tell(sub.name, done, total)
    if costs:
        figures = evaluate(predict(with_weights(model, current), batches), original)
        rows.append({"subexperiment": "whole network", **_sums(costs), **as_row(figures)})
    columns = dict.fromkeys(key for row in reversed(rows) for key in row)
    table = [{key: row.get(key, "") for key in columns} for row in rows]
    files.write_csv(Path(folder) / "model_metrics.csv", table)
    return table


def _sums(results: list[dict[str, Any]]) -> dict[str, float]:
    """Costs of circuits one after the other."""
    return {key: sum(result[key] for result in results) for key in FIGURES if key != "run"}
