"""Where many jobs run: processes of this machine, a Dask cluster, or batch jobs of PBS or Slurm.

Each is an `Executor` of `concurrent.futures`, so that who has jobs to run need not know which it is.
"""

import importlib
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .errors import UserError

KINDS = ("processes", "dask", "pbs", "slurm")
CLUSTERS = {"pbs": "PBSCluster", "slurm": "SLURMCluster"}
SUBMIT = {"pbs": "qsub", "slurm": "sbatch"}


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


@contextmanager
def executor(place: Place) -> Iterator[Executor]:
    """An executor of a place; leaving it gives up what is not done.

    Raises:
        ImportError: dask is not installed.
        UserError: no cluster answers, or it refuses the options.
    """
    if place.kind == "processes":
        with processes(place.workers) as pool:
            yield pool
        return
    distributed = _dask("distributed")
    if place.address is not None:
        try:
            client = distributed.Client(place.address, timeout=5)
        except (OSError, ValueError) as error:
            raise UserError(f"no Dask scheduler answers at {place.address}: {error}") from None
        with client:
            yield client.get_executor()
        return
    if place.kind in SUBMIT and shutil.which(SUBMIT[place.kind]) is None:
        raise UserError(
            f"there is no {SUBMIT[place.kind]} here: submit on a login node of the cluster, or see --dry-run"
        )
    with _cluster(place) as cluster, distributed.Client(cluster) as client:
        cluster.scale(place.workers)
        yield client.get_executor()


def job_script(place: Place) -> str:
    """The script of one batch job of a `pbs` or `slurm` place.

    Raises:
        ImportError: dask-jobqueue is not installed.
        UserError: a place without batch jobs, or options that it refuses.
    """
    if place.kind not in ("pbs", "slurm"):
        raise UserError(f"only pbs and slurm have job scripts, not {place.kind}")
    with _cluster(place) as cluster:
        script: str = cluster.job_script()
        return script


@contextmanager
def _cluster(place: Place) -> Iterator[Any]:
    if place.kind == "dask":
        local = _dask("distributed").LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=None)
        with local as cluster:
            yield cluster
        return
    kind = CLUSTERS[place.kind]
    options = {"cores": 1, "processes": 1, "memory": "2GB", "walltime": "24:00:00", **place.options}
    try:
        cluster = getattr(_dask("dask_jobqueue"), kind)(**options, scheduler_options={"dashboard_address": None})
    except (TypeError, ValueError) as error:
        said = str(error).splitlines()[0].partition(". ")[0]
        raise UserError(f"{place.kind} refuses the options {dict(place.options)}: {said}") from None
    with cluster:
        yield cluster


def _dask(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ImportError(f"clusters need {module}: pip install 'wavpool[experiments]'") from None


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
