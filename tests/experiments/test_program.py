"""The program itself: kills and interruptions of real processes, workers, dry runs, mistakes, search."""

import csv
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import run_experiments
from training.comparison.plan import load_experiment, presets

PROGRAM = Path(__file__).parents[2] / "run_experiments.py"
Program = Callable[..., subprocess.CompletedProcess[str]]
Main = Callable[..., tuple[int, str, str]]
TINY = ("--models", "mlp", "--seeds", "0", "1", "--epochs", "3")


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(PROGRAM), *arguments]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Run ``run_experiments.py`` from outside the checkout, without anything installed in its place."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.run(command(*arguments), cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run


@pytest.fixture
def main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Main:
    """Call the program in this process, in an empty folder; returns its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            run_experiments.main(arguments)
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


def numbers(output: Path) -> list[dict[str, str]]:
    """``runs.csv`` without times."""
    with (output / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{key: value for key, value in row.items() if key not in ("train_seconds", "inference_ms")} for row in rows]


def wait_for(path: Path, pattern: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not list(path.glob(pattern)):
        assert process.poll() is None, "the program ended before it could be interrupted"
        assert time.monotonic() < deadline, f"no {pattern} in {path}"
        time.sleep(0.05)


def start(output: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command("--output", str(output), *arguments),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_killed_and_started_again_it_repeats_nothing_and_gives_the_same_numbers(
    tmp_path: Path, program: Program
) -> None:
    arguments = ("--models", "mlp", "--seeds", "0", "1", "--epochs", "60")
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = start(killed, *arguments)
    wait_for(killed, "digits/*-0-*/metrics.json", process)
    wait_for(killed, "digits/*-1-*/config.yaml", process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (killed / "report.html").exists()
    [first] = killed.glob("digits/*-0-*/metrics.json")
    finished = first.stat().st_mtime_ns
    again = program("--output", str(killed), *arguments)
    assert again.returncode == 0, again.stderr
    assert "1 of 2 runs are finished already" in again.stdout
    assert "run 1/2" not in again.stdout
    assert first.stat().st_mtime_ns == finished
    assert program("--output", str(whole), *arguments).returncode == 0
    assert numbers(killed) == numbers(whole)
    assert not list(killed.glob("digits/*/.*-*"))


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interruption_says_how_to_go_on(name: str, tmp_path: Path) -> None:
    process = start(tmp_path, "--models", "mlp", "--seeds", "0", "--epochs", "4000")
    wait_for(tmp_path, "digits/*/logs/*/metrics.csv", process)
    process.send_signal(getattr(signal, name))
    error = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130, error
    assert re.search(r"interrupted; go on with: \S*python run_experiments.py --output", error)
    assert "Traceback" not in error


def test_workers_give_the_numbers_of_one_process(tmp_path: Path, main: Main) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for output, workers in ((one, "1"), (two, "2")):
        code, text, error = main("--output", str(output), "--workers", workers, *TINY)
        assert code == 0, error
        assert "run 2/2 MLP on digits, seed 1" in text
    assert numbers(one) == numbers(two)
    metrics = [json.loads(path.read_text()) for path in two.glob("digits/*/metrics.json")]
    assert [each["provenance"]["machine"]["threads"] for each in metrics] == [1, 1]


def test_dry_run_prints_the_plan_and_does_nothing(tmp_path: Path, main: Main) -> None:
    code, text, error = main("--dry-run", "--preset", "full", "--data", "cifar10", "--seeds", "7")
    assert code == 0, error
    assert text.count("to do\n") == len(load_experiment("full").models)
    assert "cifar10/wavpool_dense_small-cifar10-7-" in text
    assert not list(tmp_path.iterdir())


def test_search_then_training_with_what_was_found(tmp_path: Path, main: Main) -> None:
    what = ("--preset", "search", "--data", "digits", "--models", "mlp", "--seeds", "0", "--epochs", "4")
    budget = ("--trials", "2", "--search-epochs", "2", "--search-limit", "400", "150", "150")
    arguments = (*what, *budget, "--output", str(tmp_path))
    assert "search mlp-digits: 2 trials of 2 epochs" in main(*arguments, "--dry-run")[1]
    code, _, error = main(*arguments)
    assert code == 0, error
    [best] = tmp_path.glob("search/mlp-digits-*/best.yaml")
    [config] = tmp_path.glob("digits/*/config.yaml")
    found = {line for line in best.read_text().splitlines() if line.startswith(("lr:", "optimizer:"))}
    assert len(found) == 2
    assert found <= set(config.read_text().splitlines())
    code, text, error = main(*arguments)
    assert code == 0, error
    assert "1 of 1 runs are finished already" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--preset", "papr"), "unknown preset 'papr' (did you mean 'paper'?)"),
        (("--data", "mnits"), "unknown data set 'mnits' (did you mean 'mnist'"),
        (("--models", "cn"), "unknown model 'cn' (did you mean 'cnn'?)"),
        (
            ("--models", "wavpool_small"),
            "unknown model 'wavpool_small' (did you mean 'wavpool'?); the preset's keys are",
        ),
        (("--output", __file__), f"cannot use {__file__}"),
        (("--epochs", "0"), "bad value 0 for 'epochs'"),
        (("--epochs", "many"), "argument --epochs: invalid int value: 'many'"),
        (("--workers", "0"), "--workers must be at least 1"),
        (("--threads", "0"), "--threads must be at least 1"),
        (("--epoch", "3"), "unknown argument --epoch (did you mean '--epochs'"),
        (("--preset", "paper", "--data", "digits"), "unknown model 'wavpool_paper_digits'"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: tuple[str, ...], message: str, main: Main, tmp_path: Path) -> None:
    code, text, error = main(*arguments)
    assert code == 2
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not text
    assert not list(tmp_path.iterdir())


def test_absent_data_is_told_before_any_run(tmp_path: Path, main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVPOOL_DATA", str(tmp_path / "empty"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    code, _, error = main("--preset", "modern", "--data", "mnist", "--no-download", "--output", str(tmp_path / "out"))
    assert code == 2
    assert error.startswith("error: ")
    assert "mnist" in error.lower()
    assert not list((tmp_path / "out").glob("mnist/*"))


def test_two_at_once_in_one_folder_is_a_mistake(tmp_path: Path, main: Main) -> None:
    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        code, _, error = main("--output", str(tmp_path), *TINY)
    assert code == 2
    assert "another run_experiments.py is at work" in error
    assert main("--output", str(tmp_path), *TINY)[0] == 0


def test_help_names_options_and_presets(program: Program) -> None:
    done = program("--help")
    assert done.returncode == 0
    for word in ("--preset", "--dry-run", "--workers", *presets()):
        assert word in done.stdout
