"""An experiment in a folder: a sub-experiment a sub-folder, computed, watched, merged and measured."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import files
from ...errors import UserError
from ...parallel import Place
from .. import problem, runs
from ..costs import Costs, load
from ..settings import Settings
from .catalogue import experiment
from .plan import Options, Subexperiment, Weights

BATCH = "_batch_"


class Watched(NamedTuple):
    """Which sub-experiment is computed, of how many, and how its runs stand."""

    name: str
    place: int
    total: int
    standings: runs.Standings


class Batches(NamedTuple):
    """Runs in `parts` sub-folders of equal size, of which only `only` are computed (none: all)."""

    parts: int = 1
    only: int | None = None


def train(
    folder: str | Path,
    name: str,
    weights: Weights,
    options: Options,
    count: int,
    *,
    place: Place | None = None,
    costs: Costs | None = None,
    batches: Batches = Batches(),  # noqa: B008
    watch: Callable[[Watched], None] | None = None,
    given: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Compute all runs of an experiment that are not finished.

    Args:
        folder: where results are and go.
        name: of the experiment.
        weights: int8 weights by layer.
        options: what the user chose.
        count: runs of each sub-experiment.
        place: where to compute.
        costs: of operators.
        batches: how to split runs over sub-folders, which `merge` joins.
        watch: is told about twice a second.
        given: what else is worth a note in the folder, such as the file of the weights.

    Returns:
        The results of all runs, those that were finished before too, each with the `subexperiment` that it is of.

    Raises:
        UserError: an unfit network or option, or a folder of another experiment.
        KeyboardInterrupt: stopped; what was done stays, and goes on when started again.
    """
    folder = Path(folder)
    subs = experiment(name).plan(weights, options)
    names = [sub.name for sub in subs]
    _check_batches(folder, name, names, batches)
    _check_runs(folder, name, names, count)
    _claim(folder, Note(name, options, count, names, dict(given or {})))
    current, results = dict(weights), []
    for number, sub in enumerate(subs):
        found = _compute(folder, sub, number, len(subs), current, count, place, costs or load(), batches, watch)
        results += [{"subexperiment": sub.name, **result} for result in found]
        if name == "chain" and found:  # the next circuit reads what this one computes
            best = min(found, key=runs.rank)
            current.update(sub.injected(current, outputs_of(best, sub, current)))
    return results


def _compute(
    folder: Path, sub: Subexperiment, number: int, total: int, weights: Weights, count: int, place: Place | None,
    costs: Costs, batches: Batches, watch: Callable[[Watched], None] | None,
) -> list[dict[str, Any]]:  # fmt: skip
    job = runs.Job(sub.problem(weights), sub.grid, sub.settings, costs, sub.is_lookup)
    tell = None if watch is None else lambda standings: watch(Watched(sub.name, number, total, standings))
    found = []
    for target, numbers in _parts(folder / sub.name, count, batches):
        runs.finished(target, job, numbers)  # or the sentence that these are of another search
        problem.write(target / "train.data", job.problem)
        found += runs.execute(job, target, numbers, place, watch=tell)
    return found


def _parts(folder: Path, count: int, batches: Batches) -> Iterator[tuple[Path, range]]:
    if batches.parts == 1:
        yield folder, range(count)
        return
    if count % batches.parts:
        raise UserError(f"--runs must be a multiple of --batches, got {count} runs in {batches.parts} batches")
    each = count // batches.parts
    for batch in range(batches.parts) if batches.only is None else [batches.only]:
        yield folder.with_name(f"{folder.name}{BATCH}{batch}"), range(batch * each, (batch + 1) * each)


def _check_batches(folder: Path, name: str, names: Sequence[str], batches: Batches) -> None:
    """Refuse to compute anew, in other folders, what has been computed with other batches."""
    if name == "chain" and batches.only is not None:
        raise UserError("a circuit of chain reads what the best of all runs before computes: leave out --batch")
    remedy = f"`wavpool circuits resume {folder}` merges batches and goes on"
    for each in names:
        if batches.parts > 1 and any((folder / each).glob("result.*.json")):
            raise UserError(f"the batches of {folder} are merged: {remedy}")
        if batches.parts == 1 and any(folder.glob(f"{each}{BATCH}*/*.*.*")):
            raise UserError(f"{folder} holds batches: {remedy}")


def _check_runs(folder: Path, name: str, names: Sequence[str], count: int) -> None:
    """Refuse another number of runs of a chain once its later circuits have read the best of those before."""
    if name != "chain" or not (folder / "experiment.json").exists():
        return
    before = note_of(folder).runs
    patterns = ("result.*.json", "checkpoint.*.npz")
    begun = any(numbers_of(folder, each, pattern) for each in names[1:] for pattern in patterns)
    if begun and before not in (None, count):
        raise UserError(
            f"another number of runs may change what later circuits of the chain in {folder} read: "
            f"give --runs {before}, or choose another folder"
        )


class Note(NamedTuple):
    """What is written in an experiment's folder, so that it need not be told again.

    Attributes:
        experiment: its name.
        options: what the user chose.
        runs: of each sub-experiment; None in folders of version 0.7.0.
        subexperiments: their names.
        given: more that the command was given: files, and where to compute.
    """

    experiment: str
    options: Options
    runs: int | None
    subexperiments: list[str]
    given: dict[str, Any]


def note_of(folder: str | Path) -> Note:
    """What is noted in a folder.

    Raises:
        UserError: it holds no experiment.
    """
    folder = Path(folder)
    path = folder / "experiment.json"
    try:
        noted = files.read_json(path)
        options = dict(noted["options"])
        for key, value in options.items():
            options[key] = (
                tuple(map(tuple, value)) if key == "sizes" else tuple(value) if isinstance(value, list) else value
            )
        chosen = Options(**{**options, "settings": Settings(**options["settings"])})
        names = noted.get("subexperiments") or sorted(
            {path.parent.name.partition(BATCH)[0] for path in folder.glob("*/search.json")}
        )
        return Note(noted["experiment"], chosen, noted.get("runs"), names, noted.get("given", {}))
    except FileNotFoundError:
        raise UserError(f"{folder} holds no experiment: begin one with `wavpool circuits EXPERIMENT train`") from None
    except (KeyError, TypeError, AttributeError, ValueError):
        raise runs.damaged(path) from None


def _claim(folder: Path, note: Note) -> None:
    """Note in the folder what it is of, or refuse one of something else."""
    path = folder / "experiment.json"
    noted = _as_json(note)
    if path.exists() and any(folder.glob("*/*.*.*")):  # without a result or a checkpoint it is no claim
        before = _as_json(note_of(folder))
        if any(before[key] != noted[key] for key in ("experiment", "options")):
            raise UserError(f"{folder} holds another experiment, or one with other options: {runs.OTHER}")
    files.write_json(path, noted)


def _as_json(note: Note) -> dict[str, Any]:
    noted: dict[str, Any] = json.loads(json.dumps({**note._asdict(), "options": asdict(note.options)}))
    return noted


def opened(folder: str | Path, weights: Weights) -> tuple[str, list[Subexperiment]]:
    """Name and sub-experiments of the experiment in a folder, which is about a network.

    Raises:
        UserError: the folder holds none, or one about no network.
    """
    note = note_of(folder)
    subs = experiment(note.experiment).plan(weights, note.options)
    if not any(part.layer for sub in subs for case in sub.cases for side in case for part in side):
        raise UserError(f"{note.experiment} is about no network's weights: there is nothing to measure in one")
    return note.experiment, subs


def check_weights(folder: str | Path, name: str, subs: Sequence[Subexperiment], weights: Weights) -> None:
    """Refuse a network other than that whose weights were searched.

    Of a chain, whose later circuits read what is computed, the first one tells.

    Raises:
        UserError: it is another one.
    """
    for sub in subs[:1] if name == "chain" else subs:
        for path in (place / "train.data" for place in _places(folder, sub.name)):
            if not path.exists():
                continue
            stored, given = problem.read(path), sub.problem(weights)
            if not (np.array_equal(stored.inputs, given.inputs) and np.array_equal(stored.targets, given.targets)):
                raise UserError(f"{folder} was searched from other weights: give the --weights that `train` had")


def results_of(folder: str | Path, name: str) -> list[dict[str, Any]]:
    """Results of a sub-experiment's finished runs, those of its batches too, by run.

    Raises:
        UserError: one is damaged.
    """
    places = _places(folder, name)
    found = [runs.read_result(path) for place in places for path in place.glob("result.*.json")]
    return sorted(found, key=lambda result: int(result["run"]))


def _places(folder: str | Path, name: str) -> list[Path]:
    """Where runs of a sub-experiment may be: in its folder, and in those of its batches."""
    return [Path(folder) / name, *sorted(Path(folder).glob(f"{name}{BATCH}*"))]


def outputs_of(result: Mapping[str, Any], sub: Subexperiment, weights: Weights) -> NDArray[np.int8]:
    """What a found circuit computes, (cases, m), evaluated anew from its chromosome."""
    from ..circuit import Circuit

    circuit = Circuit.from_text(result["chromosome"], int(result["gate_outputs"]))
    return circuit.outputs(sub.problem(weights).inputs)


def merge(folder: str | Path) -> list[Path]:
    """Move the runs of all batches into their sub-experiments' folders; returns these.

    Raises:
        UserError: a run that is there already, or batches of different searches.
    """
    merged = []
    for batch in sorted(Path(folder).glob(f"*{BATCH}*")):
        target = batch.with_name(batch.name.rpartition(BATCH)[0])
        target.mkdir(exist_ok=True)
        for path in sorted(batch.iterdir()):
            place = target / path.name
            if path.name in ("train.data", "search.json"):
                if place.exists() and place.read_bytes() != path.read_bytes():
                    raise UserError(f"{batch} and {target} are of different searches")
            elif place.exists():
                raise UserError(f"{place} is there already: remove it or {path}")
            path.replace(place)
        shutil.rmtree(batch)
        if target not in merged:
            merged.append(target)
    return merged


def unfinished(folder: str | Path, names: Sequence[str], count: int) -> dict[str, list[int]]:
    """Numbers of the runs that are not finished, by sub-experiment."""
    left = {name: sorted(set(range(count)) - numbers_of(folder, name, "result.*.json")) for name in names}
    return {name: numbers for name, numbers in left.items() if numbers}


def numbers_of(folder: str | Path, name: str, pattern: str) -> set[int]:
    """Numbers of the runs of a sub-experiment that have such a file (`result.*.json`, `checkpoint.*.npz`)."""
    return {int(path.name.split(".")[1]) for place in _places(folder, name) for path in place.glob(pattern)}
