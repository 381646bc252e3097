"""What `wavpool circuits EXPERIMENT train|submit`, `status` and `merge` do."""

import json
import sys
from pathlib import Path
from typing import NamedTuple

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from ..circuits.circuit import Circuit
from ..circuits.costs import load as load_costs
from ..circuits.experiments import folder as folders
from ..circuits.experiments.catalogue import experiment
from ..circuits.experiments.plan import Options
from ..circuits.export import export
from ..circuits.settings import UNLIMITED, Settings
from ..errors import UserError
from ..parallel import Place, job_script
from .progress import bar, say
from .sweeping import numbers, words


class Choice(NamedTuple):
    """Options as they were typed."""

    rows: int | None
    columns: int | None
    errors: str
    is_lookup: bool | None
    layers: str
    input_layers: str
    output_layers: str
    kernels: int | None
    sizes: str
    children: int | None
    population: int | None
    mutation: float | None
    patience: int | None
    generations: int | None
    metric: str
    drift: bool
    seed: int

    def options(self, name: str) -> Options:
        """With what the experiment says where the user did not."""
        found = experiment(name)
        if self.children is not None and self.population is not None:
            raise UserError("give --children or --population-max, not both: the latter is twice the former")
        children = (
            self.children or (self.population or 2) // 2
        )  # one child and one gene at a time: see docs/circuits.md
        settings = Settings(
            children=children,
            mutation_rate=self.mutation or 0.0,
            metric=self.metric,
            patience=found.patience if self.patience is None else self.patience,
            generations=self.generations or UNLIMITED,
            drift=self.drift,
            seed=self.seed,
        )
        errors = numbers("--mse-thresholds", self.errors) if self.errors else ()
        return Options(
            self.rows, self.columns, tuple(errors), self.is_lookup,
            tuple(words(self.input_layers)), tuple(words(self.output_layers)), tuple(words(self.layers)), self.kernels,
            tuple(map(_size, words(self.sizes))), settings,
        )  # fmt: skip


def _size(text: str) -> tuple[int, int]:
    rows, times, columns = text.lower().partition("x")
    if not (times and rows.isdigit() and columns.isdigit()):
        raise UserError(f"--sizes takes grids such as 5x5,10x10, not {text!r}")
    return int(rows), int(columns)


def run_experiment(
    name: str,
    weights: Path | None,
    folder: Path,
    choice: Choice,
    runs: int,
    costs: Path | None,
    place: Place,
    batches: tuple[int, int | None],
) -> None:
    """Search with a progress bar, and print the results."""
    if batches[1] is not None and batches[1] >= batches[0]:
        raise UserError(f"--batch must be below --batches, which is {batches[0]}")
    values = {}
    if weights is not None:
        from ..circuits.quantized import weights_in

        values = weights_in(weights)
    elif name != "worst_case":
        raise UserError(
            f"{name} needs WEIGHTS, the int8 state of a network: write one with `wavpool circuits quantize`"
        )
    with bar(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[best]}"),
        TimeElapsedColumn(),
    ) as progress:
        task = progress.add_task("preparing", total=None, best="")
        missing = ""

        def show(watched: folders.Watched) -> None:
            nonlocal missing
            standings = watched.standings
            if standings.missing != missing and progress.disable:  # a log file shows no bar, but why nothing happens
                print(standings.missing or "all workers are up", file=sys.stderr, flush=True)
            missing = standings.missing
            running = [(each["error"], each["energy"], each["generation"]) for each in standings.running.values()]
            best = min(running, default=None)
            text = "" if best is None else f"error {best[0]:,}  energy {best[1]:.4g} pJ  generation {best[2]:,}"
            progress.update(
                task, description=f"{watched.name} ({watched.place + 1} of {watched.total})",
                completed=standings.finished, total=standings.total, best=f"{missing} {text}".strip(),
            )  # fmt: skip

        found = folders.train(
            folder, name, values, choice.options(name), runs, place=place, costs=load_costs(costs),
            batches=folders.Batches(*batches), watch=show,
        )  # fmt: skip
    for result in found:
        say(
            f"run {result['run']:>3}: error {result['error']:,}, energy {result['energy']:.4g} pJ, "
            f"{result['gates']} gates and {result['nodes'] - result['gates']} wires, "
            f"{result['generations']:,} generations in {result['seconds']:.0f} s"
        )
    say(f"{folder}: {len(found)} runs; measure the network with: wavpool circuits {name} model-metrics {folder} ...")


def show_script(place: Place) -> None:
    """Print the script of a batch job."""
    if place.kind in ("pbs", "slurm"):
        say(job_script(place))
    else:
        say(f"{place.kind} submits no job: {place.workers} workers would compute on this machine")


def export_circuit(source: Path, output: Path) -> None:
    """Write a found circuit in another form."""
    try:
        text = source.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{source} is no result of a run and no chromosome") from None
    try:
        found = json.loads(text)
    except ValueError:  # as a chromosome's text is, which begins with a brace too
        circuit = Circuit.from_text(text.strip())
    else:
        if not isinstance(found, dict) or not isinstance(found.get("chromosome"), str):
            raise UserError(f"{source} is no result of a run: it has no chromosome")
        circuit = Circuit.from_text(found["chromosome"], int(found.get("gate_outputs", 1)))
    export(circuit, output)
    price = circuit.price()
    say(f"{output}: {price.gates} gates, {price.nodes - price.gates} wires, {price.energy:.4g} pJ")


def show_status(folder: Path, runs: int) -> None:
    """Print what is finished, and what is not."""
    names = sorted({path.parent.name.partition(folders.BATCH)[0] for path in folder.glob("*/search.json")})
    if not names:
        raise UserError(f"{folder} holds no experiment: begin one with `wavpool circuits EXPERIMENT train`")
    for name in names:
        done = {int(path.name.split(".")[1]) for path in folder.glob(f"{name}*/result.*.json")}
        begun = {int(path.name.split(".")[1]) for path in folder.glob(f"{name}*/checkpoint.*.npz")}
        left = sorted(set(range(runs)) - done)
        say(f"{name}: {len(done & set(range(runs)))} of {runs} finished"
            + (f"; left: {_ranges(left)}" if left else "")
            + (f" (with a checkpoint: {_ranges(sorted(begun))})" if begun else ""))  # fmt: skip


def _ranges(numbers: list[int]) -> str:
    """Numbers with runs of them shortened.

    >>> _ranges([0, 1, 2, 5])
    '0-2, 5'
    """
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def merge_batches(folder: Path) -> None:
    """Join the folders of batches."""
    merged = folders.merge(folder)
    say(f"{folder}: " + (f"merged into {', '.join(path.name for path in merged)}" if merged else "no batches to merge"))
