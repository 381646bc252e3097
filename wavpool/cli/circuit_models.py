"""What `wavpool circuits train-model`, `quantize`, `evaluate`, `sensitivity` and `model-metrics` do."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from torch import nn

from ..circuits import quantized
from ..circuits.costs import load as load_costs
from ..circuits.experiments.energy import energy
from ..circuits.experiments.metrics import model_metrics
from ..circuits.learning import Shuffled, fit
from ..circuits.memory import load as load_memory
from ..circuits.sensitivity import sensitivity
from ..errors import UserError
from ..evaluation.batches import Batches
from ..evaluation.metrics import evaluate as figures_of
from ..evaluation.metrics import predict
from ..evaluation.specs import DataSpec, ModelSpec
from .commands import check_file, save_state
from .progress import bar, say
from .sweeping import counted, words

CALIBRATION = 32  # batches
RATE = 0.001  # of quantisation-aware training


def train(model: ModelSpec, data: DataSpec, output: Path, epochs: int, learning_rate: float, seed: int) -> None:
    """Train, and write the weights."""
    if output.suffix != ".safetensors":
        raise UserError(f"{output} must end in .safetensors")
    check_file(output)
    torch.manual_seed(seed)
    source = model.load()
    fit(source.network, Shuffled(data.load(source), data.batch_size, seed), epochs=epochs, learning_rate=learning_rate,
        tell=say)  # fmt: skip
    save_state(source.network.state_dict(), output)
    say(f"{output}: {output.stat().st_size:,} bytes")


def quantize(model: ModelSpec, data: DataSpec, output: Path, qat: int, learning_rate: float | None, seed: int) -> None:
    """Quantise, and write the state."""
    if learning_rate is not None and not qat:
        raise UserError("--learning-rate has no effect without training: give --qat EPOCHS, too")
    torch.manual_seed(seed)
    source = model.load()
    if qat:
        shuffled = Shuffled(data.load(source), data.batch_size, seed)
        result = quantized.quantization_aware(
            source.network, shuffled, qat, RATE if learning_rate is None else learning_rate, tell=say
        )
    else:
        samples = CALIBRATION * data.batch_size  # drawn by chance, as a limit is
        few = replace(data, limit=min(samples, data.limit or samples))
        result = quantized.post_training(source.network, list(few.load(source)))
    quantized.save(result, output)
    weights = quantized.weights_of(result)
    say(f"{output}: {counted(len(weights), 'int8 layer')}, {sum(each.size for each in weights.values()):,} weights")


def evaluate(model: ModelSpec, data: DataSpec, weights: Path) -> None:
    """Print accuracy, top-5 and loss."""
    network, batches = _int8(model, data, weights, "evaluation")
    for name, figure in figures_of(predict(network, batches)).items():
        if name in ("accuracy", "top5", "loss"):
            say(f"{name:<9} {figure.value:.5f} ({figure.low:.5f} to {figure.high:.5f})")


def sweep_offsets(
    model: ModelSpec, data: DataSpec, weights: Path, output: Path, part: str, layers: str, offsets: str
) -> None:
    """Measure every offset, and write the table."""
    network, batches = _int8(model, data, weights, "the sweep")
    with _counted() as tell:
        rows = sensitivity(
            network, batches, _range(offsets), part=part, layers=words(layers), output=output,
            tell=lambda done, total: tell(part, done, total),
        )  # fmt: skip
    for row in rows:
        say(f"{row['offset']:>+5}: accuracy {row['accuracy']:.4f}")
    say(f"{output}: {counted(len(rows), 'offset')}")


def measure_runs(folder: Path, model: ModelSpec, data: DataSpec, weights: Path, top: int | None) -> None:
    """Measure the network with every run's weights, and write the table."""
    network, batches = _int8(model, data, weights, "the measurement")
    with _counted() as tell:
        rows = model_metrics(folder, network, batches, top=top, tell=tell)
    for row in rows:
        cost = f", error {row['error']:,}, energy {row['energy']:.4g} pJ" if row["error"] != "" else ""
        run = f" run {row['run']}" if row["run"] != "" else ""
        say(f"{row['subexperiment']}{run}: accuracy {row['accuracy']:.4f}{cost}")
    say(f"{folder / 'model_metrics.csv'}: {counted(len(rows), 'row')}")


def compare_energy(
    folder: Path,
    model: ModelSpec,
    data: DataSpec,
    weights: Path,
    costs: Path | None,
    memory: Path | None,
    level: str | None,
) -> None:
    """Compare forms of the weights, and print the table and the verdict on one memory."""
    table = load_memory(memory)
    level = level or table.shown[0]
    table.per_byte(level)  # or the sentence that there is none
    network, batches = _int8(model, data, weights, "the comparison")
    with bar(TextColumn("measuring the network"), TextColumn("{task.completed} forms")) as progress:
        task = progress.add_task("")
        found = energy(
            folder, network, batches, memory=table, costs=load_costs(costs),
            tell=lambda: progress.advance(task),
        )  # fmt: skip
    for row in found.rows:
        lost, picojoules = 100 * row["accuracy_loss"], row[f"{level}, pJ"]
        say(f"{row['form']:<22} {picojoules:>14,.1f} pJ a pass from {level}, {lost:6.2f} points of accuracy lost")
    say(f"\n{found.verdicts[level]}")
    say(f"\n{folder}: energy.csv, energy.png and verdict.txt")


def _int8(model: ModelSpec, data: DataSpec, weights: Path, purpose: str) -> tuple[nn.Module, Batches]:
    source = model.load()
    batches = data.load(source)
    example, labels = next(iter(batches))
    if labels is None:
        raise UserError(f"{purpose} needs labelled data")
    return quantized.load(source.network, weights, example), batches


def _range(text: str) -> list[int]:
    try:
        begin, end, step = map(int, text.split(":"))
        offsets = list(range(begin, end + 1, step))
    except ValueError:
        offsets = []
    if not offsets:
        raise UserError(f"--offsets takes FROM:TO:STEP such as -20:20:2, not {text!r}")
    return offsets


@contextmanager
def _counted() -> Iterator[Callable[[str, int, int], Any]]:
    with bar(TextColumn("{task.description}"), BarColumn(bar_width=None), MofNCompleteColumn(),
             TimeRemainingColumn(compact=True)) as progress:  # fmt: skip
        task = progress.add_task("the original", total=None)
        yield lambda name, done, total: progress.update(task, description=name, completed=done, total=total)
