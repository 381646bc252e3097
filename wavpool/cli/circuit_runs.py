"""What `wavpool circuits EXPERIMENT train|submit`, `resume`, `status` and `merge` do."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from ..circuits.circuit import Circuit
from ..circuits.costs import load as load_costs
from ..circuits.experiments import folder as folders
from ..circuits.experiments.catalogue import experiment
from ..circuits.experiments.plan import Options, Weights
from ..circuits.export import export
from ..circuits.settings import UNLIMITED, Settings
from ..errors import UserError
from ..parallel import Place, job_script
from . import options as cli_options
from .circuit_options import OWN, takes
from .progress import Stopped, bar, say
from .sweeping import counted, numbers, words

RUNS = 30  # of each sub-experiment, as the ancestor's author had


@dataclass(frozen=True)
class Choice:
    """Options as they were typed."""

    rows: int | None
    cols: int | None
    errors: str
    is_lookup: bool | None
    layers: str
    input_layers: str
    output_layers: str
    count: int | None
    sizes: str
    children: int | None
    population: int | None
    mutation: float | None
    patience: int | None
    generations: int | None
    metric: str
    drift: bool
    seed: int

    def options(self, name: str, weights: Path | None) -> Options:
        """With what the experiment says where the user did not.

        Raises:
            UserError: an option without effect, or one that makes no sense.
        """
        self._check(name, weights)
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
            self.rows, self.cols, tuple(errors), self.is_lookup,
            tuple(words(self.input_layers)), tuple(words(self.output_layers)), tuple(words(self.layers)), self.count,
            tuple(map(_size, words(self.sizes))), settings,
        )  # fmt: skip

    def _check(self, name: str, weights: Path | None) -> None:
        given = {"weights": weights, **vars(self)}
        for option in OWN.keys() - takes(name):
            if given[option] not in (None, ""):
                instead = [_flag(each) for each in OWN[option] if each in takes(name)]
                remedy = f"give {' and '.join(instead)}" if instead else "leave it out"
                raise UserError(f"{_flag(option)} has no effect on {name}: {remedy}")


def _flag(option: str) -> str:
    return "WEIGHTS" if option == "weights" else f"--{option.replace('_', '-')}"


def place_of(
    cluster: str | None,
    workers: int | None,
    address: str | None,
    pairs: Sequence[str] | None,
    folder: Path | None = None,
) -> Place:
    """Where to compute: as it was typed, or where it was not, as a folder's experiment was begun.

    Raises:
        UserError: an option that does not go with the place.
    """
    noted = Place()
    if folder is not None:
        noted = Place(**folders.note_of(folder).given.get("place", {}))
        if cluster is None and address is None and not pairs:
            return replace(noted, workers=workers or noted.workers)
    kind = cluster or ("dask" if address else noted.kind)
    if address is not None and kind != "dask":
        raise UserError(f"--scheduler has no effect with --cluster {kind}: give --cluster dask")
    if pairs and kind not in ("pbs", "slurm"):
        raise UserError(f"--cluster-option has no effect with --cluster {kind}: give --cluster pbs or slurm")
    if address is not None and workers is not None:
        raise UserError("--workers has no effect with --scheduler, whose workers are there: leave it out")
    return Place(kind, workers or noted.workers, address, cli_options.settings(pairs or (), "--cluster-option"))


def _size(text: str) -> tuple[int, int]:
    rows, times, columns = text.lower().partition("x")
    if not (times and rows.isdigit() and columns.isdigit()):
        raise UserError(f"--sizes takes grids such as 5x5,10x10, not {text!r}")
    return int(rows), int(columns)


def show_job(name: str, weights: Path | None, chosen: Options, place: Place) -> None:
    """Print the script of a batch job of an experiment, once it is known that the experiment could begin."""
    experiment(name).plan(_weights_of(name, weights), chosen)
    show_script(place)


def _weights_of(name: str, path: Path | None) -> Weights:
    """What an experiment takes from a file."""
    if path is not None:
        from ..circuits.quantized import weights_in

        return weights_in(path)
    if "weights" in takes(name):
        raise UserError(
            f"{name} needs WEIGHTS, the int8 state of a network: write one with `wavpool circuits quantize`"
        )
    return {}


def run_experiment(
    name: str,
    weights: Path | None,
    folder: Path,
    chosen: Options,
    runs: int | None,
    costs: Path | None,
    place: Place,
    batches: tuple[int, int | None] = (1, None),
) -> None:
    """Search with a progress bar, and print the results."""
    if batches[0] == 1 and batches[1] is not None:
        raise UserError("--batch has no effect without --batches: give both")
    if batches[1] is not None and batches[1] >= batches[0]:
        raise UserError(f"--batch must be below --batches, which is {batches[0]}")
    values, is_of_network = _weights_of(name, weights), "weights" in takes(name)
    if runs is None:
        runs = (folders.note_of(folder).runs if (folder / "experiment.json").exists() else None) or RUNS
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

        given = {"weights": _absolute(weights), "costs": _absolute(costs), "place": asdict(place)}
        try:
            found = folders.train(
                folder, name, values, chosen, runs, place=place, costs=load_costs(costs),
                batches=folders.Batches(*batches), watch=show, given=given,
            )  # fmt: skip
        except KeyboardInterrupt:
            raise Stopped(
                f"start the same command again, or `wavpool circuits resume {folder}`, to go on from here"
            ) from None
    is_one = len({result["subexperiment"] for result in found}) == 1
    for result in found:
        which = "" if is_one else f"{result['subexperiment']} "
        say(
            f"{which}run {result['run']:>3}: error {result['error']:,}, energy {result['energy']:.4g} pJ, "
            f"{counted(result['gates'], 'gate')} and {counted(result['nodes'] - result['gates'], 'wire')}, "
            f"{result['generations']:,} generations in {result['seconds']:.0f} s"
        )
    hint = f"; measure the network with: wavpool circuits {name} model-metrics {folder} ..." if is_of_network else ""
    say(f"{folder}: {counted(len(found), 'run')}{hint}")


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())


def resume_experiment(folder: Path, runs: int | None, weights: Path | None, costs: Path | None, place: Place) -> None:
    """Merge, tell what is left, and compute it as it was begun."""
    note = folders.note_of(folder)
    if any(folder.glob(f"*{folders.BATCH}*")):
        merge_batches(folder)
    runs = runs or note.runs
    show_status(folder, runs)
    noted = {key: Path(note.given[key]) if note.given.get(key) else None for key in ("weights", "costs")}
    run_experiment(
        note.experiment, weights or noted["weights"], folder, note.options, runs, costs or noted["costs"], place
    )


def show_script(place: Place) -> None:
    """Print the script of a batch job."""
    if place.kind in ("pbs", "slurm"):
        say(job_script(place))
    else:
        where = f"at {place.address}" if place.address else "on this machine"
        say(f"{place.kind} submits no job: it would compute {where}")


def export_circuit(source: Path, output: Path) -> None:
    """Write a found circuit in another form."""
    try:
        text = source.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{source} is no result of a run and no chromosome") from None
    try:
        found = json.loads(text)
    except ValueError:  # as a chromosome's text is, which begins with a brace too
        try:
            circuit = Circuit.from_text(text.strip())
        except UserError as error:
            raise UserError(f"{source} is no result of a run and no chromosome: {error}") from None
    else:
        if not isinstance(found, dict) or not isinstance(found.get("chromosome"), str):
            raise UserError(f"{source} is no result of a run: it has no chromosome")
        circuit = Circuit.from_text(found["chromosome"], int(found.get("gate_outputs", 1)))
    export(circuit, output)
    price = circuit.price()
    wires = counted(price.nodes - price.gates, "wire")
    say(f"{output}: {counted(price.gates, 'gate')}, {wires}, {price.energy:.4g} pJ")


def show_status(folder: Path, runs: int | None) -> bool:
    """Print what is finished, and what is not; returns whether something is not."""
    note = folders.note_of(folder)
    count = runs or note.runs
    if count is None:
        raise UserError(f"{folder} is of version 0.7.0, which noted no number of runs: give --runs")
    left = folders.unfinished(folder, note.subexperiments, count)
    for name in note.subexperiments:
        folders.results_of(folder, name)  # or the sentence that one is damaged
        missing = left.get(name, [])
        begun = folders.numbers_of(folder, name, "checkpoint.*.npz") & set(missing)
        say(f"{name}: {count - len(missing)} of {counted(count, 'run')} finished"
            + (f"; left: {_ranges(missing)}" if missing else "")
            + (f" (with a checkpoint: {_ranges(sorted(begun))})" if begun else ""))  # fmt: skip
    return bool(left)


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
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: give that of an experiment")
    merged = folders.merge(folder)
    say(f"{folder}: " + (f"merged into {', '.join(path.name for path in merged)}" if merged else "no batches to merge"))
