"""Where many jobs run: processes of this machine, a Dask cluster, or batch jobs of PBS or Slurm.

Each is an `Executor` of `concurrent.futures`, so that who has jobs to run need not know which it is.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .batch_jobs import CLUSTERS, BatchJobs, check_submit, dask_module
from .errors import UserError

KINDS = ("processes", "dask", *CLUSTERS)


@dataclass(frozen=True)
class Place:
    """Where jobs run.

    Args:
        kind: `processes`; `dask`, a local cluster or the one at `address`; `pbs` or `slurm`, batch jobs.
        workers: jobs at a time.
        address: of a Dask scheduler that is there, `tcp://host:port`.
        options: of `dask_jobqueue.PBSCluster` or `SLURMCluster` (queue, account, cores, memory, walltime, ...).
    """

    kind: str = "processes"
    workers: int = 1
    address: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(f"there is no place {self.kind!r} to run: choose of {', '.join(KINDS)}")
        if self.options and self.kind not in CLUSTERS:
            raise UserError(f"options of a cluster are for pbs and slurm, not for {self.kind}")
        if self.address is not None and self.kind != "dask":
            raise UserError(f"the address of a scheduler is for dask, not for {self.kind}")
        if self.workers < 1:
            raise UserError(f"workers must be 1 or more, got {self.workers}")


class Workers(NamedTuple):
    """Who computes at a place: `look` says who is missing, and raises a `UserError` when nobody will come any more."""

    pool: Executor
    look: Callable[[], str] = lambda: ""


@contextmanager
def executor(place: Place) -> Iterator[Workers]:
    """An executor of a place, to be looked after while it works; leaving it gives up what is not done.

    Raises:
        ImportError: dask is not installed.
        UserError: no cluster answers, it refuses the options, or its workers die of a job.
    """
    if place.kind == "processes":
        with processes(place.workers) as pool:
            yield Workers(pool)
        return
    distributed = dask_module("distributed")
    if place.address is not None:
        try:
            client = distributed.Client(place.address, timeout=5)
        except (OSError, ValueError) as error:
            raise UserError(f"no Dask scheduler answers at {place.address}: {error}") from None
        with client:
            yield Workers(client.get_executor(), lambda: _no_worker(client, place.address))
        return
    look: Callable[[int, int], str]
    if place.kind == "dask":
        made = distributed.LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=None)
        look = lambda started, wanted: ""  # noqa: E731
    else:
        check_submit(place.kind)
        jobs = BatchJobs(place.kind)
        made, look = jobs.cluster(place.options), jobs.look
    with made as cluster, distributed.Client(cluster) as client:
        cluster.scale(place.workers)
        try:
            yield Workers(client.get_executor(), lambda: look(len(cluster.observed), len(cluster.plan)))
        except distributed.KilledWorker:
            raise UserError(
                "workers died again and again at the same work, of too little memory perhaps: their output says why"
            ) from None


def _no_worker(client: Any, address: str | None) -> str:
    try:
        workers = client.nthreads()
    except OSError:  # the scheduler is gone: whoever waits for results is told
        return ""
    return "" if workers else f"no worker has joined: start `dask worker {address}`"


def job_script(place: Place) -> str:
    """The script of one batch job of a `pbs` or `slurm` place.

    Raises:
        ImportError: dask-jobqueue is not installed.
        UserError: a place without batch jobs, or options that it refuses.
    """
    if place.kind not in CLUSTERS:
        raise UserError(f"only pbs and slurm have job scripts, not {place.kind}")
    with BatchJobs(place.kind).cluster(place.options) as cluster:
        script: str = cluster.job_script()
        return script


@contextmanager
def processes(
    workers: int, begin: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()
) -> Iterator[Executor]:
    """Processes of this machine, each made ready by `begin(*arguments)`.

    Ctrl-C is left to this process. On an error here, or Ctrl-C, they get SIGTERM; if this one is killed, they end.
    """
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (begin, arguments))
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        raise


def _begin(begin: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    if begin is not None:
        begin(*arguments)


def end_with_parent() -> None:
    """Have this process end when the one that started it does, however that ends."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
