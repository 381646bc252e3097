"""What an experiment consists of: one training run for every data set, seed and model, keyed by its config's hash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from training.config import CONFIGS, PLACE_KEYS, ConfigError, StrictModel, TrainConfig, load_config, nearest, read_yaml

EXPERIMENTS = CONFIGS / "experiments"
"""Folder of the presets, one YAML file each."""


class Match(StrictModel):
    """Widths chosen so that the model has as many parameters as another one of the experiment."""

    parameters_of: str = Field(description="key of the other model")
    argument: str = Field(description="argument of the model that holds its widths")
    ratios: tuple[float, ...] = Field(min_length=1, description="proportions of the widths")


class Entry(StrictModel):
    """One model of an experiment. ``{data}`` in the model's name stands for the data set."""

    label: str = Field(description="name in table and figures")
    model: str = Field(description="timm name")
    set: dict[str, Any] = Field({}, description="training settings over those of the experiment")
    match: Match | None = Field(None, description="equal parameter count")


class Experiment(StrictModel):
    """A preset, read from YAML."""

    title: str = Field(description="heading of the report")
    about: str = Field(description="what is compared and how, a paragraph of the report")
    config: str = Field(description="training config in training/configs, from which all runs start")
    set: dict[str, Any] = Field({}, description="training settings over those of the config")
    data: tuple[str, ...] = Field(min_length=1, description="data sets")
    seeds: tuple[int, ...] = Field(min_length=1, description="one trial a seed")
    threads: int | None = Field(
        None, description="torch threads of a run; none: as torch has it, shared out among the workers"
    )
    published: bool = Field(False, description="whether the stored values of the paper stand beside the results")
    search: bool = Field(False, description="whether the settings of each model are searched before it is trained")
    models: dict[str, Entry] = Field(min_length=1, description="models by key")


@dataclass(frozen=True)
class Choice:
    """What the command line selects of an experiment; None leaves it as the preset has it.

    Attributes:
        data, models, seeds: subsets, or other data sets and seeds than the preset's.
        training: settings over all others, such as ``epochs`` and ``data_dir``.
    """

    data: Sequence[str] | None = None
    models: Sequence[str] | None = None
    seeds: Sequence[int] | None = None
    training: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Run:
    """One training run of a plan."""

    key: str
    label: str
    config: TrainConfig

    @property
    def name(self) -> str:
        """``<data>/<model>-<data>-<seed>-<hash>``: its folder in the output folder."""
        return f"{self.config.data}/{self.config.name}"

    @property
    def words(self) -> str:
        """The run in words."""
        return f"{self.label} on {self.config.data}, seed {self.config.seed}"


@dataclass(frozen=True)
class Plan:
    """All runs of an experiment, in the order in which they are computed."""

    preset: str
    experiment: Experiment
    runs: tuple[Run, ...]

    @property
    def data(self) -> list[str]:
        """The data sets, in order."""
        return list(dict.fromkeys(run.config.data for run in self.runs))

    @property
    def labels(self) -> dict[str, str]:
        """The models' names by key, in order."""
        return {run.key: run.label for run in self.runs}

    @property
    def keys(self) -> list[str]:
        """The keys of the models, in order."""
        return list(dict.fromkeys(run.key for run in self.runs))


def presets() -> list[str]:
    """Names of the presets."""
    return sorted(file.stem for file in EXPERIMENTS.glob("*.yaml"))


def load_experiment(preset: str) -> Experiment:
    """Read a preset by name, or an experiment of the user's own by the path of its YAML file.

    Raises:
        ConfigError: an unknown name or key, a bad value.
    """
    path = Path(preset) if preset.endswith((".yaml", ".yml")) else EXPERIMENTS / f"{preset}.yaml"
    if path.parent == EXPERIMENTS and preset not in presets():
        raise ConfigError(
            f"unknown preset '{preset}'{nearest(preset, presets())}; choose one of {', '.join(presets())}"
        )
    values = read_yaml(path)
    models = values.get("models")
    if isinstance(models, dict):
        values["models"] = {key: _entry(path, key, value) for key, value in models.items()}
    experiment = Experiment.checked(values)
    for key, entry in experiment.models.items():
        if entry.match and (entry.match.parameters_of not in experiment.models or entry.match.parameters_of == key):
            raise ConfigError(
                f"model '{key}' in {path} is matched to '{entry.match.parameters_of}', which is not there"
            )
    return experiment


def _entry(path: Path, key: str, value: Any) -> Entry:
    if not isinstance(value, dict):
        raise ConfigError(f"model '{key}' in {path} must be a mapping of label, model, set and match")
    return Entry.checked(value)


def check_choice(experiment: Experiment, choice: Choice) -> None:
    """Raise ConfigError where a model or data set is unknown, naming the nearest known ones."""
    from generators import DATASETS  # torch takes seconds to import: not for --help or a misspelt preset

    for name in choice.data or experiment.data:
        if name not in DATASETS:
            raise ConfigError(f"unknown data set '{name}'{nearest(name, DATASETS)}; choose among {', '.join(DATASETS)}")
    for name in choice.models or ():
        if name not in experiment.models:
            known = ", ".join(experiment.models)
            raise ConfigError(f"unknown model '{name}'{nearest(name, experiment.models)}; choose among {known}")


def build_plan(preset: str, experiment: Experiment, choice: Choice, found: Mapping[str, Path] | None = None) -> Plan:
    """Lay out the runs: data set by data set, seed by seed, so that all models see the same state of the machine.

    Args:
        preset: name of the experiment.
        experiment: its content.
        choice: the part that is wanted.
        found: configs found by a search, by :func:`stage`; None before one, or where there is none.

    Raises:
        ConfigError: an unknown name, a bad setting.
    """
    check_choice(experiment, choice)
    wanted = set(choice.models or experiment.models)
    keys = [key for key in experiment.models if key in wanted]
    runs = [
        Run(key, experiment.models[key].label, _config(experiment, key, data, seed, choice, found))
        for data in dict.fromkeys(choice.data or experiment.data)
        for seed in dict.fromkeys(experiment.seeds if choice.seeds is None else choice.seeds)
        for key in keys
    ]
    return Plan(preset, experiment, tuple(runs))


def stage(key: str, data: str) -> str:
    """Name of the search of one model on one data set."""
    return f"{key}-{data}"


def base_config(experiment: Experiment, key: str, data: str, seed: int, choice: Choice) -> TrainConfig:
    """The run as the files have it, before widths are matched and searched settings taken."""
    entry = experiment.models[key]
    fixed = {"model": entry.model.format(data=data), "data": data, "seed": seed}
    return load_config(CONFIGS / experiment.config, experiment.set | entry.set | dict(choice.training or {}) | fixed)


def _config(
    experiment: Experiment, key: str, data: str, seed: int, choice: Choice, found: Mapping[str, Path] | None
) -> TrainConfig:
    entry = experiment.models[key]
    if found is not None and stage(key, data) in found:
        return load_config(found[stage(key, data)], dict(choice.training or {}) | {"seed": seed})
    config = base_config(experiment, key, data, seed, choice)
    if entry.match is None:
        return config
    from training.comparison.budget import matched_widths

    other = _config(experiment, entry.match.parameters_of, data, seed, choice, found)
    widths = matched_widths(config, entry.match.argument, entry.match.ratios, other)
    values = config.model_dump() | {"model_kwargs": config.model_kwargs | {entry.match.argument: widths}}
    return TrainConfig.checked(values)


def same_run(config: TrainConfig, stored: Mapping[str, Any]) -> bool:
    """Whether a stored config computes the same numbers, whatever the folder says."""
    content = config.model_dump(mode="json")
    return all(stored.get(key) == value for key, value in content.items() if key not in PLACE_KEYS)
