"""Killed and started again: a run and a search go on, and end as if nothing had happened."""

import csv
import json
import re
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from safetensors.torch import load_file

from training import finetune_networks
from training.config import load_config
from training.engine import fit

Start = Callable[..., subprocess.Popen[str]]
RUN = """
data: digits
model: wavpool_dense_tiny
model_kwargs: {drop_rate: 0.2}
epochs: 24
augment: crop
mixup: 0.2
ema: 0.95
schedule: cosine
warmup_epochs: 2
select: best
early_stopping: patience
patience: 30
limit: [500, 200, 200]
accelerator: cpu
checkpoint_seconds: 0
"""


def rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open() as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def finished_trials(database: Path) -> int:
    """Count without Optuna, which would create the tables where they are not there yet."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM trials WHERE state = 'COMPLETE'").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_stopped_run_ends_as_the_uninterrupted_one(stop: signal.Signals, start: Start, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(RUN)
    process = start("training.train_model", "--config", file, "--output", tmp_path / "stopped")
    wait_until(lambda: len(rows(tmp_path / "stopped" / "history.csv")) >= 4, process)
    process.send_signal(stop)
    _, err = process.communicate()
    if stop == signal.SIGINT:
        assert process.returncode == 130
        assert re.search(r"go on with: \S*python -m training.train_model", err)
        assert "--resume" in err
        assert "Traceback" not in err
    done = len(rows(tmp_path / "stopped" / "history.csv"))
    assert 4 <= done < 24
    assert not (tmp_path / "stopped" / "metrics.json").exists()

    config = load_config(file)
    resumed = fit(config, tmp_path / "stopped", resume=True, progress=False)
    whole = fit(config, tmp_path / "whole", progress=False)
    assert rows(tmp_path / "stopped" / "history.csv") == rows(tmp_path / "whole" / "history.csv")
    weights, others = (load_file(tmp_path / name / "model.safetensors") for name in ("stopped", "whole"))
    assert all((value == others[key]).all() for key, value in weights.items())
    for key in ("train", "validation", "test", "best_epoch", "best_validation_accuracy", "epochs"):
        assert resumed[key] == whole[key]
    second_log = sorted((tmp_path / "stopped" / "logs").glob("version_*/metrics.csv"))[-1]
    assert int(rows(second_log)[0]["epoch"]) >= done  # it went on; it did not begin again


def test_a_killed_search_goes_on(start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "search"
    flags = [
        "--model",
        "mlp_paper",
        "--data",
        "digits",
        "--epochs",
        2,
        "--limit",
        500,
        200,
        200,
        "--accelerator",
        "cpu",
    ]
    flags += ["--startup-trials", 3, "--trials", 6, "--output", out]
    process = start("training.finetune_networks", *flags)
    wait_until(lambda: finished_trials(out / "study.db") >= 2, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = finished_trials(out / "study.db")
    assert 2 <= before < 6
    assert not (out / "best.yaml").exists()

    with pytest.raises(SystemExit) as end:
        finetune_networks.main([str(flag) for flag in flags])
    printed = capsys.readouterr().out
    assert end.value.code == 0
    assert len(printed.split("[")) - 1 == 6 - before  # only the missing ones
    study = optuna.load_study(study_name="mlp_paper-digits", storage=f"sqlite:///{out / 'study.db'}")
    trials = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    assert len(trials) == 6
    assert len({tuple(trial.params.values()) for trial in trials}) == 6  # the sampler did not begin again
    best = load_config(out / "best.yaml")
    assert best.model_kwargs["hidden"] == study.best_params["model_kwargs.hidden"]
    assert (best.lr, best.optimizer) == (study.best_params["lr"], study.best_params["optimizer"])
    assert (best.epochs, best.limit, best.early_stopping) == (120, None, "paper")
    assert json.dumps(study.best_value) in (out / "trials.csv").read_text()
