"""The search: space, parallel workers, seeds."""

from pathlib import Path

import optuna
import pytest

from training.config import ConfigError
from training.search import Parameter, SearchConfig, load_search, run_search

TINY = {"model": "mlp_paper", "data": "digits", "epochs": 1, "limit": (200, 100, 100), "accelerator": "cpu"}


def values(folder: Path) -> list[dict[str, object]]:
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{folder / 'study.db'}")
    return [trial.params | {"value": trial.value} for trial in study.trials]


def test_the_seed_decides_the_trials(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run_search(load_search(None, {"trials": 6, "startup_trials": 4}, TINY | {"seed": seed}), tmp_path / name)
    assert values(tmp_path / "a") == values(tmp_path / "b") != values(tmp_path / "c")
    assert all(200 <= trial["model_kwargs.hidden"] <= 300 for trial in values(tmp_path / "a"))  # type: ignore[operator]


def test_another_space_is_another_study(tmp_path: Path) -> None:
    run_search(load_search(None, {"trials": 1}, TINY), tmp_path)
    with pytest.raises(ConfigError, match=r"made with other settings \(train.epochs\)"):
        run_search(load_search(None, {"trials": 1}, TINY | {"epochs": 2}), tmp_path)


def test_two_workers_share_one_study(tmp_path: Path) -> None:
    best = run_search(load_search(None, {"trials": 4, "workers": 2}, TINY), tmp_path)
    trials = values(tmp_path)
    assert len(trials) in (4, 5)  # a worker may finish one that it had begun
    assert len({trial["lr"] for trial in trials}) == len(trials)
    assert best.read_text().startswith("# validation_f1_macro")


def test_parameters_are_asked_as_written() -> None:
    trial = optuna.trial.FixedTrial({"a": 3, "b": 0.5, "c": "x"})
    assert Parameter(low=1, high=4).suggest(trial, "a") == 3  # type: ignore[arg-type]
    assert Parameter(low=0.1, high=4).suggest(trial, "b") == 0.5  # type: ignore[arg-type]
    assert Parameter(choices=("x", "y")).suggest(trial, "c") == "x"  # type: ignore[arg-type]


def test_a_loss_is_minimised() -> None:
    space = {"lr": Parameter(low=0.1, high=0.2)}
    assert SearchConfig(space=space, objective="validation_loss").direction == "minimize"
    assert SearchConfig(space=space).direction == "maximize"
