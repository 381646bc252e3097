"""Batch jobs of PBS or Slurm whose processes are the workers of a Dask cluster, and what became of these jobs."""

import getpass
import importlib
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from typing import Any

from .errors import UserError

CLUSTERS = {"pbs": "PBSCluster", "slurm": "SLURMCluster"}
SUBMIT = {"pbs": "qsub", "slurm": "sbatch"}
QUEUE = {"pbs": ["qstat", "-u"], "slurm": ["squeue", "--noheader", "--format=%A (%r)", "--user"]}
ASK = 10.0  # seconds between two questions for the queue, which many users share
DEFAULTS = {"cores": 1, "processes": 1, "memory": "2GB", "walltime": "24:00:00"}


def check_submit(kind: str) -> None:
    """Whether the command that submits is here.

    Raises:
        UserError: it is not.
    """
    if shutil.which(SUBMIT[kind]) is None:
        raise UserError(f"there is no {SUBMIT[kind]} here: submit on a login node of the cluster, or see --dry-run")


class BatchJobs:
    """What became of the jobs that a batch system was given, of which dask-jobqueue tells nothing."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.submitted: list[str] = []
        self.refused: list[str] = []
        self.asked = time.monotonic()
        self.reasons: list[str] = []

    def cluster(self, options: Mapping[str, Any]) -> Any:
        """A Dask cluster of batch jobs, without workers yet.

        Raises:
            ImportError: dask-jobqueue is not installed.
            UserError: it refuses the options.
        """
        kind = getattr(dask_module("dask_jobqueue"), CLUSTERS[self.kind])
        given, page = {**DEFAULTS, **options}, {"dashboard_address": ":0"}
        try:
            return kind(**given, job_cls=self._noted(kind.job_cls), scheduler_options=page)
        except (TypeError, ValueError) as error:
            said = str(error).splitlines()[0].partition(". ")[0]
            raise UserError(f"{self.kind} refuses the options {dict(options)}: {said}") from None

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

    def _noted(self, job_class: Any) -> Any:
        """A class of jobs that are noted here; what they raise only the log of the cluster's own thread would have."""
        jobs, process = self, dask_module("distributed.deploy.spec").ProcessInterface

        class Job(job_class):  # type: ignore[misc]
            async def start(self) -> None:
                try:
                    await super().start()
                    jobs.submitted.append(self.job_id)
                except (OSError, RuntimeError, ValueError) as error:
                    jobs.refused.append(str(error).partition("stderr:\n")[2] or str(error))
                    await process.start(self)  # passes for running: the cluster could not be closed otherwise

        return Job


def _queue(kind: str) -> dict[str, str] | None:
    """This user's jobs by number, with the reason to wait where one is told; None without an answer."""
    try:
        told = subprocess.run(
            [*QUEUE[kind], getpass.getuser()], capture_output=True, text=True, timeout=ASK, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return dict(re.findall(r"^(\d+).*?(\(.*\))?$", told, re.MULTILINE))


def dask_module(module: str) -> Any:
    """A module of Dask; the first import of `dask_jobqueue` must not change what Ctrl-C does.

    Raises:
        ImportError: it is not installed.
    """
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ImportError(f"clusters need {module}: pip install 'wavpool[experiments]'") from None
    finally:
        if signal.getsignal(signal.SIGINT) is not interrupt:  # dask_jobqueue makes Ctrl-C a success
            signal.signal(signal.SIGINT, interrupt)
