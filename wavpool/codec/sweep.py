"""Methods and strengths on one model and one data set, and where each method breaks: `wavpool sweep`.

What is written where is described in `points`. A sweep that was interrupted goes on where it was, and one that is
started again with more methods or strengths measures only these.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import torch

from .. import parallel
from ..errors import UserError, is_message
from .bench import Bench, Subject
from .points import Curve, OtherSettings, Row, curve_of, read_cliffs, write_tables

STRENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0)


class SweepEvent(NamedTuple):
    """What a sweep tells while it runs."""

    done: int
    total: int
    label: str


class _Task(NamedTuple):
    """A strength of a curve to measure, or with None the curve's cliff to find."""

    curve: Curve
    strength: float | None

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.curve.label} {'cliff' if self.strength is None else f'{self.strength:g}'}"


def sweep(
    folder: str | Path,
    subject: Subject,
    curves: Sequence[Curve],
    strengths: Sequence[float] = STRENGTHS,
    *,
    cliff: bool = True,
    workers: int = 1,
    progress: Callable[[SweepEvent], Any] | None = None,
) -> list[Row]:
    """Measure every strength of every curve, and find where the curves break.

    Args:
        folder: where the results are and go.
        subject: the model and the data.
        curves: methods, with their bases and seeds.
        strengths: what to measure of every method, whose own they are; larger ones give smaller files.
        cliff: whether to search each curve for its critical sizes, which needs labels.
        workers: processes that share the work and the cores; timings are fair only with 1.
        progress: called after each point or cliff.

    Returns:
        The rows of `sweep.csv`.

    Raises:
        UserError: the folder holds a sweep of another subject, or something that the user named cannot be had.
    """
    folder = Path(folder)
    bench = Bench(folder, subject)
    bench.claim(curves, strengths, cliff)
    bench.measure_original()
    grid = [_Task(curve, strength) for curve in curves for strength in strengths]
    searches = [_Task(curve, None) for curve in curves] if cliff else []
    done = 0
    cliffs = [row for row in read_cliffs(folder) if not cliff or curve_of(row) not in curves]
    with _runner(bench, min(workers, len(grid))) as run:
        for tasks in (grid, searches):  # a search begins from all that is known of its curve
            for task, rows in run(tasks):
                done += 1
                cliffs += rows if task.strength is None else []
                write_tables(folder, sorted(cliffs, key=curve_of))
                if progress is not None:
                    progress(SweepEvent(done, len(grid) + len(searches), task.label))
    return write_tables(folder, sorted(cliffs, key=curve_of))


_Results = Iterator[tuple[_Task, list[Row]]]


@contextlib.contextmanager
def _runner(bench: Bench, workers: int) -> Iterator[Callable[[Sequence[_Task]], _Results]]:
    """A function that does tasks, in this process or in several, and yields them as they finish."""
    if workers < 2:
        yield lambda tasks: ((task, _do(bench, task)) for task in tasks)
        return
    threads = max(1, (os.cpu_count() or 1) // workers)
    with parallel.processes(workers, _begin, (bench.folder, bench.subject, threads)) as pool:
        yield lambda tasks: _pooled(pool, tasks)


def _pooled(pool: Executor, tasks: Sequence[_Task]) -> _Results:
    futures = {pool.submit(_do_in_worker, task): task for task in tasks}
    return ((futures[future], future.result()) for future in as_completed(futures))


def _do(bench: Bench, task: _Task) -> list[Row]:
    return bench.search(task.curve) if task.strength is None else [bench.measure(task.curve, task.strength)]


def _begin(folder: Path, subject: Subject, threads: int) -> None:
    """Make a worker ready; what fails is kept for its first task, since an error here breaks the pool."""
    global _bench
    torch.set_num_threads(threads)
    try:
        _bench = Bench(folder, subject)
    except OtherSettings:  # than the ones with which this sweep has claimed the folder
        _bench = UserError(
            "the model comes out different each time it is made: save its weights and give --checkpoint, "
            "or let the function seed its draws"
        )
    except Exception as error:
        _bench = error


_bench: Bench | Exception


def _do_in_worker(task: _Task) -> list[Row]:
    try:
        if isinstance(_bench, Exception):
            raise _bench
        return _do(_bench, task)
    except ValueError as error:
        if is_message(error):
            raise UserError(str(error)) from error
        raise
