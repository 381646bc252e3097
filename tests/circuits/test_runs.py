"""Many runs in a folder: stopped, gone on with, on several workers and on a Dask cluster; and checkpoints."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import pytest

from wavpool import batch_jobs
from wavpool.circuits import Grid, Problem, Settings, checkpoint, load_costs, runs
from wavpool.circuits.search import Search
from wavpool.errors import UserError
from wavpool.parallel import Place, executor, job_script

ROOT = Path(__file__).parents[2]
GENERATOR = np.random.default_rng(0)
PROBLEM = Problem.of([GENERATOR.integers(-128, 128, 9).tolist()], [GENERATOR.integers(-128, 128, 16).tolist()])
TIMED = {"time", "seconds", "provenance"}


def job(**settings: Any) -> runs.Job:
    given = {"mutation_rate": 0.15, "generations": 40_000, "patience": 10**6, **settings}
    return runs.Job(PROBLEM, Grid(9, 16, 6, 6, 7), Settings(**given), load_costs())


def untimed(result: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key not in TIMED}


def test_the_same_runs_whatever_computes_them(tmp_path: Path) -> None:
    one = runs.execute(job(), tmp_path / "one", range(3))
    two = runs.execute(job(), tmp_path / "two", range(3), Place(workers=2))
    assert list(map(untimed, one)) == list(map(untimed, two))
    assert len({result["chromosome"] for result in one}) == 3


def test_a_folder_holds_what_it_promises(tmp_path: Path) -> None:
    (result,) = runs.execute(job(), tmp_path, [4])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "result.4.json", "search.json", "statistics.4.csv", "weights.4.txt"
    ]  # fmt: skip
    header, *lines = (tmp_path / "statistics.4.csv").read_text().splitlines()
    assert header == "run,generation,time,error,energy,area,delay,gates,chromosome"
    assert result["chromosome"] in lines[-1]
    weights = np.array([int(word) for word in (tmp_path / "weights.4.txt").read_text().split()])
    assert ((weights - PROBLEM.targets[0]) ** 2).sum() == result["error"]
    assert result["provenance"]["wavpool"]
    before = (tmp_path / "result.4.json").stat().st_mtime_ns
    runs.execute(job(), tmp_path, [4])
    assert (tmp_path / "result.4.json").stat().st_mtime_ns == before


def test_results_of_another_search_are_not_mixed(tmp_path: Path) -> None:
    runs.execute(job(generations=10), tmp_path, [0])
    with pytest.raises(UserError, match="another search"):
        runs.execute(job(generations=11), tmp_path, [0])


PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path({tests!r})))
from test_runs import job, runs
from wavpool.parallel import Place
if __name__ == "__main__":
    try:
        runs.execute(job(generations=600_000), {folder!r}, range(5), Place(workers=2), every=0.5)
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_stopped_search_goes_on_as_if_it_had_not_been(tmp_path: Path, signal_number: signal.Signals) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM.format(tests=str(Path(__file__).parent), folder=str(tmp_path / "cut")))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, str(script)], env=environment, start_new_session=True)
    deadline = time.monotonic() + 120
    while not all((tmp_path / "cut" / f"checkpoint.{run}.npz").exists() for run in range(2)):
        assert process.poll() is None, "it ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal_number)
    assert process.wait(timeout=30) == (-9 if signal_number == signal.SIGKILL else 130)
    time.sleep(1.0)  # a killed process's workers notice
    assert len(list((tmp_path / "cut").glob("result.*"))) < 3  # a pool had handed the third to a worker already
    cut = runs.execute(job(generations=600_000), tmp_path / "cut", range(2))
    whole = runs.execute(job(generations=600_000), tmp_path / "whole", range(2))
    assert list(map(untimed, cut)) == list(map(untimed, whole))
    strip = lambda path: [line.split(",")[:2] + line.split(",")[3:] for line in path.read_text().splitlines()]  # noqa: E731
    assert strip(tmp_path / "cut/statistics.1.csv") == strip(tmp_path / "whole/statistics.1.csv")


def test_a_dask_cluster_computes_the_same(tmp_path: Path) -> None:
    here = runs.execute(job(), tmp_path / "here", range(2))
    there = runs.execute(job(), tmp_path / "there", range(2), Place("dask", workers=2))
    assert list(map(untimed, here)) == list(map(untimed, there))


def test_a_scheduler_that_is_not_there_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="no Dask scheduler answers"),
        executor(Place("dask", address="tcp://127.0.0.1:9")),
    ):
        pass


def test_a_scheduler_without_workers_is_told(tmp_path: Path) -> None:
    """A scheduler in a process of its own; a worker joins when the search has said that there is none."""
    noted = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    words: list[str] = []
    workers: list[subprocess.Popen[bytes]] = []
    with subprocess.Popen([*dask, "--port", "0", "--no-dashboard", "--scheduler-file", str(noted)]) as scheduler:
        try:
            deadline = time.monotonic() + 60
            while not noted.exists():
                assert time.monotonic() < deadline
                time.sleep(0.1)
            address = json.loads(noted.read_text())["address"]

            def watch(standings: runs.Standings) -> None:
                words.append(standings.missing)
                if standings.missing and not workers:
                    program = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-dashboard"]
                    workers.append(subprocess.Popen([*program, "--nthreads", "1"]))

            assert len(runs.execute(job(), tmp_path / "x", [0], Place("dask", address=address), watch=watch)) == 1
            assert f"no worker has joined: start `dask worker {address}`" in words
        finally:
            for process in (*workers, scheduler):
                process.terminate()
            for process in workers:
                process.wait(30)


@pytest.mark.parametrize(("kind", "words"), [("pbs", "#PBS"), ("slurm", "#SBATCH")])
def test_batch_jobs_have_scripts(kind: str, words: str) -> None:
    script = job_script(Place(kind, options={"walltime": "01:00:00", "memory": "3GB"}))
    assert words in script
    assert "01:00:00" in script
    with pytest.raises(UserError, match="refuses the options"):
        job_script(Place(kind, options={"no_such_option": 1}))


QSUB = """#!/bin/sh
# A batch system of one machine: it starts the script in the background, and says a job's number. The script is read
# before it returns, as real ones do: the file is gone then.
for last; do :; done
script=$(cat "$last")
{ bash -c "$script" >/dev/null 2>&1 & echo $!; }
"""
QDEL = """#!/bin/sh
kill "$@" 2>/dev/null || true
"""
QSTAT = """#!/bin/sh
test -e {gone} && exit
cat <<END

vm:
                                                            Req'd  Req'd   Elap
Job ID          Username Queue    Jobname    SessID NDS TSK Memory Time  S Time
--------------- -------- -------- ---------- ------ --- --- ------ ----- - -----
12.vm           someone  workq    dask-work*    --    1   1    1gb 24:00 Q   --
END
"""


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, programs: dict[str, str]) -> None:
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("kind", "submit", "delete"), [("pbs", "qsub", "qdel"), ("slurm", "sbatch", "scancel")])
def test_batch_jobs_compute_the_same(
    kind: str, submit: str, delete: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, {submit: QSUB, delete: QDEL})
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    place = Place(kind, options={"memory": "1GB", "log_directory": str(tmp_path)})
    there = runs.execute(job(), tmp_path / "there", range(2), place)
    here = runs.execute(job(), tmp_path / "here", range(2))
    assert list(map(untimed, here)) == list(map(untimed, there))


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("kind", "submit"), [("pbs", "qsub"), ("slurm", "sbatch")])
def test_refused_batch_jobs_are_told(kind: str, submit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, {submit: "#!/bin/sh\necho unknown queue >&2; exit 170\n"})
    with pytest.raises(UserError, match=f"{kind} refuses the batch jobs.*: unknown queue$"):
        runs.execute(job(), tmp_path, range(2), Place(kind, workers=2))


@pytest.mark.timeout(120)
def test_batch_jobs_that_wait_are_told_and_those_that_ended_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, told = tmp_path / "gone", []

    def watch(standings: runs.Standings) -> None:
        told.append(standings.missing)
        if len(told) == 6:  # so that the queue was asked while it had the job
            gone.touch()

    stand_in(tmp_path, monkeypatch, {"qsub": "#!/bin/sh\necho 12.vm\n", "qdel": QDEL, "qstat": QSTAT.format(gone=gone)})
    monkeypatch.setattr(batch_jobs, "ASK", 1.0)
    with pytest.raises(UserError, match="batch jobs 12 ended before their work did"):
        runs.execute(job(), tmp_path, range(2), Place("pbs"), watch=watch)
    assert len(told) >= 6
    assert set(told) == {"0 of 1 workers are up"}


@pytest.mark.timeout(120)
def test_work_that_workers_die_of_is_told() -> None:
    with pytest.raises(UserError, match="died again and again"), executor(Place("dask")):
        raise distributed.KilledWorker("a job", None, 3)  # to have it in earnest takes Dask from seconds to minutes


class TestCheckpoint:
    def search(self, run: int = 0) -> Search:
        return Search(PROBLEM, Grid(9, 16, 6, 6, 7), Settings(mutation_rate=0.15, patience=3000), run=run)

    def test_is_the_whole_state(self, tmp_path: Path) -> None:
        whole, cut = self.search(), self.search()
        whole.advance()
        for _ in range(20):
            cut.advance(generations=211)
            checkpoint.save(cut, tmp_path / "state.npz", "f")
            cut = self.search()
            checkpoint.restore(cut, tmp_path / "state.npz", "f")
        cut.advance()
        assert untimed(vars(cut.result())) | {"circuit": 0, "rows": 0} == untimed(vars(whole.result())) | {
            "circuit": 0, "rows": 0
        }  # fmt: skip
        assert cut.result().circuit.to_text() == whole.result().circuit.to_text()
        assert [vars(row) | {"time": 0} for row in cut.rows] == [vars(row) | {"time": 0} for row in whole.rows]

    def test_of_another_search_is_refused(self, tmp_path: Path) -> None:
        checkpoint.save(self.search(), tmp_path / "state.npz", "f")
        with pytest.raises(UserError, match="another search"):
            checkpoint.restore(self.search(), tmp_path / "state.npz", "g")
        with pytest.raises(UserError, match="another search"):
            checkpoint.restore(self.search(run=1), tmp_path / "state.npz", "f")

    def test_damage_is_refused_or_harmless(self, tmp_path: Path) -> None:
        path, generator = tmp_path / "state.npz", random.Random(0)
        search = self.search()
        search.advance(generations=500)
        checkpoint.save(search, path, "f")
        content, refused = path.read_bytes(), 0
        for _ in range(300):
            damaged = bytearray(content)
            for _ in range(generator.randint(1, 3)):
                damaged[generator.randrange(len(damaged))] ^= 1 << generator.randrange(8)
            path.write_bytes(
                damaged[: generator.choice([len(damaged), len(damaged), generator.randrange(len(damaged))])]
            )
            try:
                checkpoint.restore(search, path, "f")
            except UserError:
                refused += 1
        assert refused > 200


def test_a_result_is_json(tmp_path: Path) -> None:
    (result,) = runs.execute(job(generations=20), tmp_path, [0])
    assert json.loads((tmp_path / "result.0.json").read_text()) == result
