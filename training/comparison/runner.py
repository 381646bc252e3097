"""Computes the unfinished runs of a plan, in this process or in several, and goes on after any interruption."""

from __future__ import annotations

import fcntl
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from training.comparison.budget import count_parameters
from training.comparison.plan import Plan, Run, same_run
from training.comparison.progress import Progress
from training.config import ConfigError
from training.engine import fit, load
from training.files import read_json
from training.networks import build_model
from wavpool.parallel import end_with_parent

Report = Callable[[int, int, float], None]
"""Takes the run's place in the plan, its finished epochs and its validation accuracy."""

_reports: Any = None  # the queue to the parent, in a worker process


class _EpochReports(pl.Callback):
    """Tells ``report`` of every finished epoch."""

    def __init__(self, index: int, report: Report) -> None:
        self.index, self.report = index, report

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        accuracy = trainer.callback_metrics.get("validation_accuracy", torch.nan)
        self.report(self.index, trainer.current_epoch + 1, float(accuracy))


def stored_metrics(run: Run, output: Path) -> dict[str, Any] | None:
    """The metrics of a finished run, or None; those of another config or of a model of another size do not count."""
    try:
        metrics: dict[str, Any] = read_json(output / run.name / "metrics.json")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{output / run.name / 'metrics.json'} cannot be read ({error}); remove its folder") from None
    same = same_run(run.config, metrics["provenance"]["config"])
    return metrics if same and metrics["parameters"] == count_parameters(run.config) else None


def execute(plan: Plan, output: Path, workers: int, threads: int) -> None:
    """Compute all unfinished runs of ``plan``, each in its folder under ``output``.

    Args:
        plan: the runs.
        output: folder of the experiment; only one process at a time may work in it.
        workers: runs at a time, each in a process of its own if more than one.
        threads: torch threads of each.

    Raises:
        ConfigError: a bad setting, or another process at work in ``output``.
        generators.DataError: absent or broken data.
        KeyboardInterrupt: on Ctrl-C or SIGTERM; finished runs stay, the others go on from their last checkpoint.
    """
    torch.set_num_threads(threads)
    with _alone_in(output):
        pending = [index for index, run in enumerate(plan.runs) if stored_metrics(run, output) is None]
        check([plan.runs[index] for index in pending])
        with Progress(plan, pending) as progress:
            try:
                if workers == 1:
                    for index in pending:
                        progress.finish(index, _compute(index, plan.runs[index], output, progress.epoch))
                elif pending:
                    _in_processes(plan, pending, output, min(workers, len(pending)), threads, progress)
            except SystemExit:  # Lightning's answer to SIGTERM, also in a worker
                raise KeyboardInterrupt from None
            except BrokenProcessPool:
                raise ConfigError("a worker was killed, perhaps for lack of memory; use fewer --workers") from None


def check(runs: list[Run]) -> None:
    """Load the data and build the models once, so that a mistake in the last run is found before the first begins."""
    by_data: dict[str, list[Run]] = {}
    for run in runs:
        by_data.setdefault(run.config.data, []).append(run)
    for group in by_data.values():
        data = load(group[0].config)
        for run in {run.key: run for run in group}.values():
            build_model(run.config, data)


def _compute(index: int, run: Run, output: Path, report: Report) -> dict[str, Any]:
    folder = output / run.name
    for leftover in folder.glob(".*-????????.*"):  # what a killed process was writing
        leftover.unlink()
    outdated = (folder / "metrics.json").exists()  # or the run would not be pending
    return fit(run.config, folder, resume=not outdated, overwrite=outdated, progress=_EpochReports(index, report))


def _in_processes(plan: Plan, pending: list[int], output: Path, workers: int, threads: int, progress: Progress) -> None:
    context = multiprocessing.get_context("spawn")
    reports = context.SimpleQueue()
    listener = threading.Thread(target=_listen, args=(reports, progress), daemon=True)
    listener.start()
    pool = ProcessPoolExecutor(workers, context, _start_worker, (threads, reports))
    try:
        futures = {pool.submit(_compute_in_worker, index, plan.runs[index], output): index for index in pending}
        for future in as_completed(futures):
            progress.finish(futures[future], future.result())
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.kill()
        raise
    pool.shutdown()
    reports.put(None)
    listener.join()


def _listen(reports: Any, progress: Progress) -> None:
    for each in iter(reports.get, None):
        progress.epoch(*each)


def _start_worker(threads: int, reports: Any) -> None:
    global _reports
    _reports = reports
    torch.set_num_threads(threads)
    end_with_parent()  # a restarted experiment must not meet a worker of the killed one in a run's folder


def _compute_in_worker(index: int, run: Run, output: Path) -> dict[str, Any]:
    return _compute(index, run, output, lambda *each: _reports.put(each))


@contextmanager
def _alone_in(output: Path) -> Iterator[None]:
    """Hold a lock on the folder that the system releases however the process ends."""
    output.mkdir(parents=True, exist_ok=True)
    with (output / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                f"another run_experiments.py is at work in {output}; wait for it or give another --output"
            ) from None
        yield
