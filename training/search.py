"""Hyper-parameter search: a stored Optuna study with a Gaussian-process sampler, by one or more worker processes."""

from __future__ import annotations

import multiprocessing
import time
import warnings
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Literal, Self

import optuna
import torch
from optuna.storages import RDBStorage
from optuna.study import MaxTrialsCallback, Study
from optuna.trial import FrozenTrial, Trial, TrialState
from pydantic import Field, PositiveInt, model_validator
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from generators import Data
from training.config import CONFIGS, ConfigError, StrictModel, TrainConfig, nearest, read_yaml
from training.engine import load, train
from training.files import write_csv, write_yaml

OBJECTIVES = ("validation_f1_macro", "validation_accuracy", "validation_roc_auc", "validation_loss")
_HEARTBEAT_S = 10  # a trial without a sign of life for twice this long was killed and is queued again
_SEED_STEP = 10_007  # keeps the samplers of parallel workers apart


class Parameter(StrictModel):
    """One dimension of a search space: a range (whole numbers where both ends are) or a list of choices."""

    low: int | float | None = Field(None, description="lowest value")
    high: int | float | None = Field(None, description="highest value, included")
    log: bool = Field(False, description="search on a logarithmic scale")
    choices: tuple[str | int | float | bool, ...] | None = Field(
        None, min_length=1, description="values, in place of a range"
    )

    @model_validator(mode="after")
    def _range_or_choices(self) -> Self:
        if (self.choices is None) == (self.low is None or self.high is None):
            raise ValueError("a parameter needs either low and high, or choices")
        if self.low is not None and self.high is not None and (self.low > self.high or (self.log and self.low <= 0)):
            raise ValueError("low must not be above high, and must be positive on a logarithmic scale")
        return self

    @property
    def ends(self) -> tuple[Any, ...]:
        """The extreme values, or all choices."""
        return self.choices if self.choices is not None else (self.low, self.high)

    def suggest(self, trial: Trial, name: str) -> Any:
        """Ask the sampler for a value."""
        if self.choices is not None:
            return trial.suggest_categorical(name, list(self.choices))
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(name, self.low, self.high, log=self.log)
        assert self.low is not None
        assert self.high is not None
        return trial.suggest_float(name, self.low, self.high, log=self.log)


class SearchConfig(StrictModel):
    """One search; ``train``, ``final``, ``space`` have keys of TrainConfig, the last also ``model_kwargs.<name>``."""

    train: dict[str, Any] = Field({}, description="settings of every trial")
    final: dict[str, Any] = Field({}, description="settings of best.yaml in place of the trials' epochs and limit")
    space: dict[str, Parameter] = Field(min_length=1, description="what is searched")
    objective: Literal["validation_f1_macro", "validation_accuracy", "validation_roc_auc", "validation_loss"] = Field(
        "validation_f1_macro", description="column of the history to optimise"
    )
    epoch: Literal["best", "last"] = Field("best", description="the epoch whose objective counts")
    trials: PositiveInt = Field(
        35, description="finished trials wanted, those of earlier runs counted; each further worker may add one"
    )
    startup_trials: PositiveInt = Field(5, description="random trials before the guided ones")
    workers: PositiveInt = Field(1, description="processes that run trials")
    storage: str | None = Field(None, description="Optuna storage URL; none: study.db in the output folder")
    study: str | None = Field(None, description="name of the study; none: <model>-<data>")

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        """Optuna's word for whether more is better."""
        return "minimize" if self.objective.endswith("loss") else "maximize"

    def trial_config(self, values: Mapping[str, Any]) -> TrainConfig:
        """The training run of one trial."""
        return TrainConfig.checked(_merged(self.train, values))

    def best_config(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The keys of a config that trains with the values found, on all images and for the final number of epochs."""
        base = {key: value for key, value in self.train.items() if key not in ("epochs", "limit")}
        keys = _merged(base | self.final, values)
        return TrainConfig.checked(keys).model_dump(mode="json", include=set(keys))

    def check(self) -> TrainConfig:
        """Raise ConfigError where an end of the space is no valid setting; return the run of the lowest values."""
        lowest = {name: parameter.ends[0] for name, parameter in self.space.items()}
        for name, parameter in self.space.items():
            for value in parameter.ends:
                self.trial_config(lowest | {name: value})
                self.best_config(lowest | {name: value})
        return self.trial_config(lowest)


def _merged(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``values`` over it, in which ``model_kwargs.hidden`` names one entry of ``model_kwargs``."""
    merged = dict(base)
    for name, value in values.items():
        key, dot, entry = name.partition(".")
        merged[key] = {**(merged.get(key) or {}), entry: value} if dot else value
    return merged


def load_search(path: str | Path | None, search: Mapping[str, Any], training: Mapping[str, Any]) -> SearchConfig:
    """Read a search from YAML, with flags over it; without a path the model's space in ``training/configs/search``."""
    if path is None:
        model = str(training.get("model", TrainConfig.model_fields["model"].default))
        known = sorted((file.stem for file in (CONFIGS / "search").glob("*.yaml")), key=len, reverse=True)
        path = CONFIGS / "search" / f"{next((stem for stem in known if model.startswith(stem)), 'any')}.yaml"
    values = read_yaml(path)
    if not isinstance(values.get("train", {}), dict):
        raise ConfigError(f"'train' in {path} must be a mapping of training settings")
    values["train"] = values.get("train", {}) | dict(training)
    if unknown := next((key for key in values["train"] if key not in TrainConfig.model_fields), None):
        raise ConfigError(
            f"unknown key '{unknown}' under 'train' in {path}{nearest(unknown, TrainConfig.model_fields)}"
        )
    return SearchConfig.checked(values | dict(search))


def run_search(search: SearchConfig, output: Path) -> Path:
    """Run trials until the study has ``search.trials`` finished ones, then write ``best.yaml`` and ``trials.csv``.

    Args:
        search: the search.
        output: folder of both files and, where no storage is named, of the study.

    Returns:
        Path of ``best.yaml``.

    Raises:
        ConfigError: a bad setting, or a study that was made with others.
        generators.DataError: absent or broken data.
        KeyboardInterrupt: on Ctrl-C; the study can be resumed.
    """
    first = search.check()
    data = load(first)
    output.mkdir(parents=True, exist_ok=True)
    search = search.model_copy(
        update={
            "storage": search.storage or f"sqlite:///{(output / 'study.db').resolve()}",
            "study": search.study or f"{first.model}-{first.data}",
        }
    )
    study = open_study(search, 0)
    if search.workers == 1:
        _run_trials(study, search, data)
    else:
        with ProcessPoolExecutor(search.workers, multiprocessing.get_context("spawn")) as pool:
            threads = max(1, torch.get_num_threads() // search.workers)
            for done in [pool.submit(_worker, search, number, threads) for number in range(search.workers)]:
                done.result()
    return write_best(study, search, output)


def open_study(search: SearchConfig, worker: int) -> Study:
    """Create or load the study of ``search`` for one worker; a study of other settings is a ConfigError."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    study = _create(search)
    settings = search.model_dump(mode="json", include={"train", "space", "objective", "epoch"})
    for key, value in settings.items():
        if differing := _differing(key, study.user_attrs.get(key, value), value):
            raise ConfigError(
                f"study '{search.study}' was made with other settings ({', '.join(differing)}); "
                "give those again, or another --study or --output"
            )
    for key in settings.keys() - study.user_attrs.keys():
        study.set_user_attr(key, settings[key])
    # A sampler that began anew with the same seed would draw the first trials again after a resume.
    seed = search.trial_config({}).seed + worker * _SEED_STEP + len(study.trials)
    study.sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=search.startup_trials)
    return study


def _differing(key: str, old: Any, new: Any) -> list[str]:
    """The settings under ``key`` that are not the same."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [f"{key}.{name}" for name in {**old, **new} if old.get(name) != new.get(name)]
    return [] if old == new else [key]


def _create(search: SearchConfig, again: bool = True) -> Study:
    assert search.storage is not None
    try:
        storage = RDBStorage(
            search.storage,
            engine_kwargs={"connect_args": {"timeout": 60}} if search.storage.startswith("sqlite") else None,
            heartbeat_interval=_HEARTBEAT_S,
            heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=3),
        )
        return optuna.create_study(
            storage=storage, study_name=search.study, direction=search.direction, load_if_exists=True
        )
    except (SQLAlchemyError, ImportError, ValueError) as error:
        if again and isinstance(error, IntegrityError | OperationalError):  # another process is making the tables
            time.sleep(1)
            return _create(search, again=False)
        raise ConfigError(f"cannot open the study in {search.storage}: {str(error).splitlines()[0]}") from error


def _worker(search: SearchConfig, number: int, threads: int) -> None:
    torch.set_num_threads(threads)
    _run_trials(open_study(search, number), search, load(search.check()))


def _run_trials(study: Study, search: SearchConfig, data: Data) -> None:
    def objective(trial: Trial) -> float:
        values = {name: parameter.suggest(trial, name) for name, parameter in search.space.items()}
        history = train(search.trial_config(values), data).history
        scores = [row[search.objective] for row in history]
        better = min if search.direction == "minimize" else max
        return float(scores[-1] if search.epoch == "last" else better(scores))

    if len(_finished(study)) < search.trials:
        enough = MaxTrialsCallback(search.trials, states=(TrialState.COMPLETE,))
        study.optimize(objective, callbacks=[enough, lambda study, trial: _report(study, trial, search)])


def _finished(study: Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _report(study: Study, trial: FrozenTrial, search: SearchConfig) -> None:
    if trial.state != TrialState.COMPLETE:
        print(f"trial {trial.number + 1}: failed", flush=True)
        return
    values = " ".join(f"{name}={describe(value)}" for name, value in trial.params.items())
    count = len(_finished(study))
    print(
        f"[{count}/{search.trials}] {search.objective} {trial.value:.4f} (best {study.best_value:.4f})  {values}",
        flush=True,
    )


def describe(value: Any) -> str:
    """A parameter's value in few characters."""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def write_best(study: Study, search: SearchConfig, output: Path) -> Path:
    """Write the best finished trial as ``best.yaml`` and all of them as ``trials.csv``; return the former's path."""
    trials = _finished(study)
    rows = [{"trial": trial.number + 1, search.objective: trial.value, **trial.params} for trial in trials]
    write_csv(output / "trials.csv", rows)
    best = study.best_trial
    comment = (
        f"{search.objective} {best.value:.4f} in trial {best.number + 1} of {len(trials)} of study {study.study_name}"
    )
    write_yaml(output / "best.yaml", search.best_config(best.params), comment)
    return output / "best.yaml"
