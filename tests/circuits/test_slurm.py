"""Batch jobs of a real Slurm: one node, this machine, started for these tests."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.circuits.test_runs import ROOT, job, untimed
from wavpool import batch_jobs
from wavpool.circuits import runs
from wavpool.errors import UserError
from wavpool.parallel import Place

PATH = f"{os.environ['PATH']}:/usr/sbin"
DAEMONS = ("slurmctld", "slurmd")
pytestmark = [
    pytest.mark.skipif(
        not all(shutil.which(each, path=PATH) for each in (*DAEMONS, "sbatch", "setpriv")) or os.geteuid() != 0,
        reason="needs slurm-wlm, and to be root",
    ),
    pytest.mark.timeout(180),
]
# Without authentication: what it would add is of no interest here, and needs a daemon more.
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=1
KillWait=2
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 Boards=1 SocketsPerBoard=1 CoresPerSocket=2 ThreadsPerCore=1 RealMemory=2000
PartitionName=work Nodes={host} Default=YES MaxTime=60
"""


def until(true: Callable[[], Any], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def told(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()


def queue() -> list[str]:
    return told("squeue", "--noheader", "--format=%A").split()


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in DAEMONS]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    host = socket.gethostname().partition(".")[0]
    (folder / "slurm.conf").write_text(CONFIGURATION.format(folder=folder, host=host, ports=ports))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        patch.setenv("PATH", PATH)
        patch.setenv("PYTHONPATH", str(ROOT))
        daemons = [
            subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", name, "-D"],  # they end even if this process is killed
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for name in DAEMONS
        ]
        try:
            try:
                until(lambda: told("sinfo", "--noheader", "--format=%T") == "idle", 60)
            except (AssertionError, subprocess.TimeoutExpired):
                logs = [path.read_text().splitlines()[-3:] for path in sorted(folder.glob("slurm*.log"))]
                pytest.skip(f"Slurm does not start on this machine: {logs}")
            yield folder
            told("scancel", "--user=root")
            until(lambda: not queue(), 30)
        finally:
            for daemon in reversed(daemons):
                daemon.terminate()
                try:
                    daemon.wait(10)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait(10)


def place(folder: Path, workers: int = 1, **options: str) -> Place:
    given = {"memory": "1GB", "walltime": "00:30:00", "log_directory": str(folder), **options}
    return Place("slurm", workers, options=given)


def test_jobs_compute_the_same(slurm: Path, tmp_path: Path) -> None:
    there = runs.execute(job(), tmp_path / "there", range(2), place(slurm, 2))
    here = runs.execute(job(), tmp_path / "here", range(2))
    assert list(map(untimed, here)) == list(map(untimed, there))
    until(lambda: not queue(), 20)


def test_a_refused_job_is_told_in_the_words_of_slurm(slurm: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"slurm refuses the batch jobs.*invalid partition specified: nowhere"):
        runs.execute(job(), tmp_path, range(2), place(slurm, queue="nowhere"))


def test_a_job_that_waits_is_told_with_the_reason(slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_jobs, "ASK", 1.0)

    class Seen(Exception):
        pass

    def watch(standings: runs.Standings) -> None:
        if standings.missing == "0 of 2 workers are up (PartitionTimeLimit)":
            raise Seen

    with pytest.raises(Seen):
        runs.execute(job(), tmp_path, range(2), place(slurm, 2, walltime="48:00:00"), watch=watch)
    until(lambda: not queue(), 20)


def test_jobs_that_end_at_once_are_not_waited_for(slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_jobs, "ASK", 1.0)
    with pytest.raises(UserError, match="ended before their work did"):
        runs.execute(job(), tmp_path, range(2), place(slurm, python="/no/such/python"))


PROGRAM = """
import sys
from pathlib import Path
from tests.circuits.test_slurm import batch_jobs, job, place, runs
batch_jobs.ASK = 1.0
if __name__ == "__main__":
    try:
        runs.execute(job(generations=8_000_000, patience=10**8), {folder!r}, range(1), place(Path({logs!r})), every=0.5)
    except KeyboardInterrupt:
        sys.exit(130)
    except batch_jobs.UserError as error:
        sys.exit(str(error))
"""


def test_what_was_stopped_goes_on(slurm: Path, tmp_path: Path) -> None:
    script, saved = tmp_path / "program.py", tmp_path / "cut" / "checkpoint.0.npz"
    script.write_text(PROGRAM.format(folder=str(tmp_path / "cut"), logs=str(slurm)))

    def stopped(stop: Callable[[subprocess.Popen[str]], Any]) -> tuple[int, str]:
        before = saved.stat().st_mtime_ns if saved.exists() else 0
        process = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE, text=True)
        try:
            until(lambda: saved.exists() and saved.stat().st_mtime_ns > before)
            stop(process)
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
        until(lambda: not queue(), 20)
        return process.returncode, said

    code, said = stopped(lambda process: told("scancel", *queue()))
    assert code == 1
    assert "ended before their work did" in said
    code, _ = stopped(lambda process: process.send_signal(signal.SIGINT))
    assert code == 130
    cut = runs.execute(job(generations=8_000_000, patience=10**8), tmp_path / "cut", range(1), place(slurm))
    whole = runs.execute(job(generations=8_000_000, patience=10**8), tmp_path / "whole", range(1))
    assert list(map(untimed, cut)) == list(map(untimed, whole))
