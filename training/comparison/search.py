"""The search before the comparison: for each model and data set, the settings that the study of its space finds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.comparison.plan import Choice, Experiment, base_config, check_choice, stage
from training.config import PLACE_KEYS
from training.search import SearchConfig, load_search, run_search

if TYPE_CHECKING:
    from training.comparison.command import Settings


@dataclass(frozen=True)
class Search:
    """One study: which model on which data set, its space and budget, and its folder."""

    name: str
    config: SearchConfig
    folder: Path

    @property
    def best(self) -> Path:
        """The config that a finished study writes."""
        return self.folder / "best.yaml"

    def describe(self) -> str:
        """The study in one line."""
        state = "has settings" if self.best.exists() else "begun" if self.folder.exists() else "to do"
        epochs = self.config.train.get("epochs")
        return f"search {self.name}: {self.config.trials} trials of {epochs} epochs in {self.folder} ({state})"


def plan_searches(
    experiment: Experiment, choice: Choice, settings: Settings, budget: Mapping[str, Any]
) -> list[Search]:
    """One study a model and data set, in a folder named by a hash of the settings that decide its trials."""
    check_choice(experiment, choice)
    data_sets = dict.fromkeys(choice.data or experiment.data)
    keys = [key for key in experiment.models if key in (choice.models or experiment.models)]
    return [_search(experiment, key, data, choice, settings, budget) for data in data_sets for key in keys]


def _search(
    experiment: Experiment, key: str, data: str, choice: Choice, settings: Settings, budget: Mapping[str, Any]
) -> Search:
    place = {name: value for name, value in dict(choice.training or {}).items() if name in PLACE_KEYS}
    training = {"model": base_config(experiment, key, data, 0, choice).model, "data": data} | place
    training |= {name: budget[name] for name in ("epochs", "limit") if budget.get(name) is not None}
    trials = {} if budget.get("trials") is None else {"trials": budget["trials"]}
    config = load_search(None, {"workers": settings.workers} | trials, training)
    config.check()
    content = config.model_dump(mode="json", include={"train", "space", "objective", "epoch", "startup_trials"})
    content["train"] = {name: value for name, value in content["train"].items() if name not in PLACE_KEYS}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
    return Search(stage(key, data), config, settings.output / "search" / f"{stage(key, data)}-{digest}")


def run_searches(searches: list[Search]) -> None:
    """Bring every study to its number of trials; finished trials are not repeated."""
    for number, search in enumerate(searches, start=1):
        print(f"search {number}/{len(searches)}: {search.name}", flush=True)
        run_search(search.config, search.folder)


def found_configs(searches: list[Search]) -> dict[str, Path]:
    """The configs found, by :func:`training.comparison.plan.stage`."""
    return {search.name: search.best for search in searches if search.best.exists()}
