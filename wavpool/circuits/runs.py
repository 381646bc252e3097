"""Many runs of one search in a folder, here or on a cluster, that can be stopped and started again at any time.

Of run r the folder holds `statistics.r.csv` (see `statistics`), and, when it is finished, `result.r.json` (what was
found, its chromosome, what it cost, and by what it was computed) and `weights.r.txt` (a line of outputs a case); until
then `checkpoint.r.npz`, from which it goes on. `search.json` says what is searched for.
"""

import hashlib
import importlib.metadata
import json
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import __version__, files
from ..errors import UserError
from ..parallel import Place, executor
from . import checkpoint, statistics
from .costs import Costs
from .grid import Grid
from .problem import Problem
from .search import Search
from .settings import Settings

EVERY = 30.0  # seconds between checkpoints
POLL = 0.5  # seconds between two looks at how runs stand
OTHER = "choose another folder, or remove this one"
FIGURES = ("run", "error", "energy", "area", "delay", "gates", "nodes", "generations", "seconds")


@dataclass(frozen=True, eq=False)
class Job:
    """What every run of a folder searches for; the arguments of `Search`."""

    problem: Problem
    grid: Grid
    settings: Settings
    costs: Costs
    is_lookup: bool = False
    note_chromosomes: float = -1

    def description(self) -> dict[str, Any]:
        """What it is, as JSON has it; problem and costs by digest."""
        problem = hashlib.sha256(b"".join(np.ascontiguousarray(each).tobytes() for each in vars(self.problem).values()))
        costs = {name: [str(value) for value in getattr(self.costs, name)] for name in ("energy", "area", "delay")}
        return {
            "grid": asdict(self.grid),
            "settings": asdict(self.settings),
            "is_lookup": self.is_lookup,
            "problem": problem.hexdigest(),
            "costs": costs,
        }

    @property
    def fingerprint(self) -> str:
        """Digest of what the result depends on."""
        return hashlib.sha256(json.dumps(self.description(), sort_keys=True).encode()).hexdigest()


class Standings(NamedTuple):
    """How the runs of a folder stand: how many are finished, last words of those that run, what workers are missing."""

    finished: int
    total: int
    running: dict[int, dict[str, Any]]
    missing: str = ""


def finished(folder: Path, job: Job, runs: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Results of the finished runs, by number.

    Raises:
        UserError: the folder holds results or checkpoints of another search, or damaged ones.
    """
    noted = folder / "search.json"
    begun = any(folder.glob("result.*.json")) or any(folder.glob("checkpoint.*.npz"))
    if begun and noted.exists() and _read(noted, ("fingerprint",))["fingerprint"] != job.fingerprint:
        raise UserError(f"{folder} is of another search (other weights, settings or costs): {OTHER}")
    results = {}
    for run in runs:
        path = folder / f"result.{run}.json"
        if path.exists():
            results[run] = read_result(path)
            if results[run]["fingerprint"] != job.fingerprint:
                raise UserError(f"{path} is of another search: {OTHER}")
    return results


def rank(result: Mapping[str, Any]) -> tuple[int, float]:
    """Key that puts better results first: by error, then by energy."""
    return result["error"], result["energy"]


def read_result(path: Path) -> dict[str, Any]:
    """The result of a finished run.

    Raises:
        UserError: it is damaged.
    """
    return _read(path, (*FIGURES, "chromosome", "gate_outputs", "fingerprint"))


def _read(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    try:
        found = files.read_json(path)
    except ValueError:  # no text, or no JSON
        found = None
    if not isinstance(found, dict) or not set(keys) <= found.keys():
        raise damaged(path)
    return found


def damaged(path: Path) -> UserError:
    """The error that a file of a folder is damaged."""
    return UserError(f"{path} is damaged: remove it, and start the experiment again to have it written anew")


def execute(
    job: Job,
    folder: str | Path,
    runs: Sequence[int],
    place: Place | None = None,
    *,
    every: float = EVERY,
    watch: Callable[[Standings], None] | None = None,
) -> list[dict[str, Any]]:
    """Compute the runs that are not finished, each from its checkpoint, and return the results of all.

    Args:
        job: what to search for.
        folder: where results are and go; on a cluster, one that its machines share.
        runs: their numbers.
        place: where to compute; in one process of this machine by default.
        every: seconds between checkpoints.
        watch: told about twice a second how the runs stand.

    Raises:
        UserError: the folder holds results of another search, or the cluster cannot be had.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the runs have written checkpoints and go on when started again.
    """
    folder = Path(folder)
    done = finished(folder, job, runs)
    files.write_json(folder / "search.json", {**job.description(), "fingerprint": job.fingerprint})
    todo = [run for run in runs if run not in done]
    if todo:
        with _terminable(), executor(place or Place()) as (pool, look):
            waiting = {pool.submit(compute, job, folder, run, every) for run in todo}
            for ready in _as_completed(waiting, lambda: _tell(watch, folder, runs, look())):
                ready.result()
    done = finished(folder, job, runs)
    if missing := [run for run in runs if run not in done]:
        raise UserError(f"runs {missing} were stopped before their end: start again to go on")
    return [done[run] for run in runs]


def compute(job: Job, folder: Path, run: int, every: float = EVERY) -> bool:
    """One run, from its checkpoint if there is one, to its end or to SIGTERM; says whether it is finished."""
    if _told.is_set():
        return False
    search = Search(
        job.problem, job.grid, job.settings, job.costs,
        is_lookup=job.is_lookup, run=run, note_chromosomes=job.note_chromosomes,
    )  # fmt: skip
    saved, standing = folder / f"checkpoint.{run}.npz", folder / f".standing.{run}.json"
    if saved.exists():
        checkpoint.restore(search, saved, job.fingerprint)
    last = time.monotonic()
    with _stopping() as stopped:
        while not search.is_finished and not stopped():
            search.advance(seconds=min(1.0, every))
            files.write_json(standing, search.standing._asdict())
            if time.monotonic() - last >= every or stopped():
                statistics.write(folder / f"statistics.{run}.csv", search.rows) if search.rows else None
                checkpoint.save(search, saved, job.fingerprint)
                last = time.monotonic()
    standing.unlink(missing_ok=True)
    if not search.is_finished:
        checkpoint.save(search, saved, job.fingerprint)
        return False
    _write_result(job, folder, search)
    saved.unlink(missing_ok=True)
    return True


def _write_result(job: Job, folder: Path, search: Search) -> None:
    result, run = search.result(), search.run
    statistics.write(folder / f"statistics.{run}.csv", result.rows)
    outputs = result.circuit.outputs(job.problem.inputs).tolist()
    files.write_text(folder / f"weights.{run}.txt", "".join(" ".join(map(str, line)) + "\n" for line in outputs))
    files.write_json(folder / f"result.{run}.json", {
        "run": run,
        "error": result.error,
        **result.price._asdict(),
        "generations": result.generations,
        "seconds": result.seconds,
        "usage": result.circuit.usage(),
        "chromosome": result.circuit.to_text(),
        "gate_outputs": result.circuit.grid.gate_outputs,
        "fingerprint": job.fingerprint,
        "settings": asdict(job.settings),
        "provenance": {
            "wavpool": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "numba": importlib.metadata.version("numba"),
            "machine": platform.platform(),
            "command": sys.argv,
        },
    })  # fmt: skip


def _tell(watch: Callable[[Standings], None] | None, folder: Path, runs: Sequence[int], missing: str) -> None:
    if watch is None:
        return
    running = {}
    for run in runs:
        try:
            running[run] = files.read_json(folder / f".standing.{run}.json")
        except (OSError, ValueError):  # not begun, or finished a moment ago
            continue
    watch(Standings(sum((folder / f"result.{run}.json").exists() for run in runs), len(runs), running, missing))


def _as_completed(waiting: set[Future[bool]], look: Callable[[], None]) -> Iterator[Future[bool]]:
    while waiting:
        ready, waiting = wait(waiting, timeout=POLL, return_when=FIRST_COMPLETED)
        look()
        yield from ready


_told = threading.Event()  # this process was told to stop: runs that a pool has handed to it already do not begin


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM has come; only a process's main thread can ask for it, on others it never does."""
    try:
        before = signal.signal(signal.SIGTERM, lambda *_: _told.set())
    except ValueError:  # a thread of a Dask worker
        yield _told.is_set
        return
    try:
        yield _told.is_set
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends this process as Ctrl-C does, so that its workers are told."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
