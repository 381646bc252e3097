"""Where many jobs run: processes of this machine, a Dask cluster, or batch jobs of PBS or Slurm.

Each is an `Executor` of `concurrent.futures`, so that who has jobs to run need not know which it is.
"""

import getpass
import importlib
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .errors import UserError

KINDS = ("processes", "dask", "pbs", "slurm")
CLUSTERS = {"pbs": "PBSCluster", "slurm": "SLURMCluster"}
SUBMIT = {"pbs": "qsub", "slurm": "sbatch"}
QUEUE = {"pbs": ["qstat", "-u"], "slurm": ["squeue", "--noheader", "--format=%A (%r)", "--user"]}
ASK = 10.0  # seconds between two questions for the queue, which many users share


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
    distributed = _dask("distributed")
    if place.address is not None:
        try:
            client = distributed.Client(place.address, timeout=5)
        except (OSError, ValueError) as error:
            raise UserError(f"no Dask scheduler answers at {place.address}: {error}") from None
        with client:
            yield Workers(client.get_executor())
        return
    if place.kind in SUBMIT and shutil.which(SUBMIT[place.kind]) is None:
        raise UserError(
            f"there is no {SUBMIT[place.kind]} here: submit on a login node of the cluster, or see --dry-run"
        )
    jobs = _BatchJobs(place.kind)
    with _cluster(place, jobs) as cluster, distributed.Client(cluster) as client:
        cluster.scale(place.workers)
        try:
            yield Workers(client.get_executor(), lambda: jobs.look(len(cluster.observed), len(cluster.plan)))
        except distributed.KilledWorker:
            raise UserError(
                "workers died again and again at the same work, of too little memory perhaps: their output says why"
            ) from None


def job_script(place: Place) -> str:
    """The script of one batch job of a `pbs` or `slurm` place.

    Raises:
        ImportError: dask-jobqueue is not installed.
        UserError: a place without batch jobs, or options that it refuses.
    """
    if place.kind not in ("pbs", "slurm"):
        raise UserError(f"only pbs and slurm have job scripts, not {place.kind}")
    with _cluster(place, _BatchJobs(place.kind)) as cluster:
        script: str = cluster.job_script()
        return script


class _BatchJobs:
    """What became of the jobs that a batch system was given, of which dask-jobqueue tells nothing."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.submitted: list[str] = []
        self.refused: list[str] = []
        self.asked = time.monotonic()
        self.reasons: list[str] = []

    def noted(self, job_class: Any) -> Any:
        """A class of jobs that are noted here; what they raise only the log of the cluster's own thread would have."""
        jobs, process = self, _dask("distributed.deploy.spec").ProcessInterface

        class Job(job_class):  # type: ignore[misc]
            async def start(self) -> None:
                try:
                    await super().start()
                    jobs.submitted.append(self.job_id)
                except (OSError, RuntimeError, ValueError) as error:
                    jobs.refused.append(str(error).partition("stderr:\n")[2] or str(error))
                    await process.start(self)  # passes for running: the cluster could not be closed otherwise

        return Job

    def look(self, started: int, wanted: int) -> str:
        """Which workers are missing, and why.

        Raises:
            UserError: a job was refused, or all of them have ended.
        """
        if self.refused:
            words = "; ".join(self.refused[0].split("\n")).strip("; ")
            raise UserError(f"{self.kind} refuses the batch jobs, see --cluster-option and --dry-run: {words}")
        if started >= wanted > 0:
            return ""
        if self.submitted and time.monotonic() - self.asked > ASK:
            self.asked = time.monotonic()
            queue = _queue(self.kind)
            ours = None if queue is None else [queue[job] for job in self.submitted if job in queue]
            if ours == [] and started == 0:
                raise UserError(
                    f"the batch jobs {', '.join(self.submitted)} ended before their work did, their output says why: "
                    "start again to go on"
                )
            self.reasons = sorted(set(ours or ()) - {"", "(None)"})
        return " ".join([f"{started} of {wanted} workers are up", *self.reasons])


def _queue(kind: str) -> dict[str, str] | None:
    """This user's jobs by number, with the reason to wait where one is told; None without an answer."""
    try:
        told = subprocess.run(
            [*QUEUE[kind], getpass.getuser()], capture_output=True, text=True, timeout=ASK, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return dict(re.findall(r"^(\d+).*?(\(.*\))?$", told, re.MULTILINE))


@contextmanager
def _cluster(place: Place, jobs: _BatchJobs) -> Iterator[Any]:
    if place.kind == "dask":
        local = _dask("distributed").LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=None)
        with local as cluster:
            yield cluster
        return
    kind = getattr(_dask("dask_jobqueue"), CLUSTERS[place.kind])
    options = {"cores": 1, "processes": 1, "memory": "2GB", "walltime": "24:00:00", **place.options}
    try:
        cluster = kind(**options, job_cls=jobs.noted(kind.job_cls), scheduler_options={"dashboard_address": ":0"})
    except (TypeError, ValueError) as error:
        said = str(error).splitlines()[0].partition(". ")[0]
        raise UserError(f"{place.kind} refuses the options {dict(place.options)}: {said}") from None
    with cluster:
        yield cluster


def _dask(module: str) -> Any:
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ImportError(f"clusters need {module}: pip install 'wavpool[experiments]'") from None
    finally:
        if signal.getsignal(signal.SIGINT) is not interrupt:  # dask_jobqueue makes Ctrl-C a success
            signal.signal(signal.SIGINT, interrupt)


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
