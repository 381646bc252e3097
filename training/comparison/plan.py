"""What an experiment consists of: one training run for every data set, seed and model, keyed by its config's hash."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import Field

from training.config import (
    CONFIGS,
    PLACE_KEYS,
    ConfigError,
    StrictModel,
    TrainConfig,
    load_config,
    nearest,
    read_yaml,
    unknown_name,
)

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
    """All runs of an experiment, in the order in which they are computed.

    ``changed`` are the settings that the command line has changed, in words by name.
    """

    preset: str
    experiment: Experiment
    runs: tuple[Run, ...]
    changed: Mapping[str, str] = field(default_factory=dict)

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

    @property
    def seeds(self) -> list[int]:
        """The seeds, sorted."""
        return sorted({run.config.seed for run in self.runs})

    @property
    def differs(self) -> str:
        """How the runs differ from the preset's, as a sentence; nothing where they do not."""
        seeds = {"seeds": _listed(self.seeds)} if self.seeds != sorted(self.experiment.seeds) else {}
        words = ", ".join(f"{name} {value}" for name, value in {**self.changed, **seeds}.items())
        return words and f"These runs differ from the preset {self.preset}: {words}."

    @property
    def about(self) -> str:
        """What is compared and how."""
        epochs = max(run.config.epochs for run in self.runs)
        training = f"Training takes at most {epochs} epoch{'' if epochs == 1 else 's'}."
        return " ".join(filter(None, [self.experiment.about, training, self.differs]))


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))


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
        raise unknown_name("preset", preset, presets())
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
            raise unknown_name("data set", name, DATASETS)
    for name in choice.models or ():
        if name not in experiment.models:
            key = next((key for key, entry in experiment.models.items() if entry.model == name), None)
            hint = f" (did you mean '{key}'?)" if key else nearest(name, experiment.models)
            raise ConfigError(f"unknown model '{name}'{hint}; the preset's keys are {', '.join(experiment.models)}")


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
    return Plan(preset, experiment, tuple(runs), _changed(experiment, choice))


def _changed(experiment: Experiment, choice: Choice) -> dict[str, str]:
    """The settings of ``choice`` that are not those of the preset, for every model and data set that is run."""
    keys = [key for key in experiment.models if key in (choice.models or experiment.models)]
    usual = [base_config(experiment, key, data, 0, Choice()) for data in choice.data or experiment.data for key in keys]
    changed = {}
    for name, value in (choice.training or {}).items():
        others = dict.fromkeys(getattr(config, name) for config in usual if getattr(config, name) != value)
        if others and name not in PLACE_KEYS:
            changed[name] = f"{value} instead of {' or '.join(map(str, others))}"
    return changed


def with_finished(plan: Plan, choice: Choice, output: Path, finished: Callable[[Run], bool],
                  found: Mapping[str, Path] | None = None) -> Plan:  # fmt: skip
    """``plan`` and all finished runs in ``output`` of its preset and settings: of other models, data sets and seeds.

    So a narrower command does not take from a report what a wider one has put there.
    """
    folders = [file.parent for file in output.glob("*/*-*-*-*/metrics.json")]
    seeds = {int(seed) for folder in folders if (seed := folder.name.split("-")[-2]).isdigit()}
    there = {folder.parent.name for folder in folders}
    data_sets = [*plan.data, *(data for data in plan.experiment.data if data in there and data not in plan.data)]
    order = {data: place for place, data in enumerate(plan.experiment.data)}
    wide = Choice(
        sorted(data_sets, key=lambda data: order.get(data, len(order))),
        None, sorted(seeds | set(plan.seeds)), choice.training,
    )  # fmt: skip
    asked = {run.name for run in plan.runs}
    runs = build_plan(plan.preset, plan.experiment, wide, found).runs
    return replace(plan, runs=tuple(run for run in runs if run.name in asked or finished(run)))


def stage(key: str, data: str) -> str:
    """Name of the search of one model on one data set."""
    return f"{key}-{data}"


def base_config(experiment: Experiment, key: str, data: str, seed: int, choice: Choice) -> TrainConfig:
    """The run as the files have it, before widths are matched and searched settings taken."""
    entry = experiment.models[key]
    fixed = {"model": entry.model.format(data=data), "data": data, "seed": seed}
    return _load(CONFIGS / experiment.config, experiment.set | entry.set | fixed, choice)


def _load(path: Path, values: Mapping[str, Any], choice: Choice) -> TrainConfig:
    """The config in ``path`` with ``values`` and the choice's settings over it, and a warm-up that fits few epochs."""
    usual = load_config(path, values)
    settings = dict(choice.training or {})
    epochs = settings.get("epochs")
    if isinstance(epochs, int) and 0 < epochs <= usual.warmup_epochs:
        settings = {"warmup_epochs": usual.warmup_epochs * epochs / usual.epochs} | settings
    return load_config(path, {**values, **settings})


def _config(
    experiment: Experiment, key: str, data: str, seed: int, choice: Choice, found: Mapping[str, Path] | None
) -> TrainConfig:
    entry = experiment.models[key]
    if found is not None and stage(key, data) in found:
        return _load(found[stage(key, data)], {"seed": seed}, choice)
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
