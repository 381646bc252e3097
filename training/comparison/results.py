"""The numbers of finished runs: one row a run, and mean and standard deviation over the seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from training.comparison.plan import Plan
from training.comparison.runner import stored_metrics
from training.config import read_yaml

# measure -> where it lies in metrics.json
MEASURES: dict[str, tuple[str, ...]] = {
    "validation_accuracy": ("validation", "accuracy"),
    "best_validation_accuracy": ("best_validation_accuracy",),
    "last_validation_accuracy": ("last_validation_accuracy",),
    "test_accuracy": ("test", "accuracy"),
    "validation_roc_auc": ("validation", "roc_auc"),
    "test_roc_auc": ("test", "roc_auc"),
    "test_roc_auc_one_hot": ("test", "roc_auc_one_hot"),
    "validation_f1_macro": ("validation", "f1_macro"),
    "test_f1_macro": ("test", "f1_macro"),
    "test_loss": ("test", "loss"),
    "epochs": ("epochs",),
    "train_seconds": ("train_seconds",),
    "inference_ms": ("inference_ms",),
    "parameters": ("parameters",),
    "unreachable_parameters": ("unreachable_parameters",),
    "parameters_with_gradient": ("live_parameters",),
}
DERIVED = ["live_parameters"]
"""Parameters that can reach the output. Those with a gradient are fewer where pixels are always black."""


@dataclass(frozen=True)
class Group:
    """The runs of one model on one data set: number, mean and sample standard deviation of each measure.

    The standard deviation of a single run is nan.
    """

    data: str
    key: str
    model: str
    runs: int
    mean: dict[str, float]
    std: dict[str, float]


@dataclass(frozen=True)
class Results:
    """All finished runs of a plan.

    Attributes:
        plan: the plan.
        metrics: content of each run's ``metrics.json``, in the plan's order.
        runs: one row a run: ``data``, ``key``, ``model`` (its label), ``seed``, ``run`` (its folder) and every measure.
        history: one row a run and epoch: ``data``, ``key``, ``seed`` and the columns of ``history.csv``.
    """

    plan: Plan
    metrics: list[dict[str, Any]]
    runs: pd.DataFrame
    history: pd.DataFrame

    @property
    def groups(self) -> list[Group]:
        """One group a data set and model, in the plan's order."""
        groups = []
        for data in self.plan.data:
            for key, label in self.plan.labels.items():
                rows = self.runs_of(data, key)[[*MEASURES, *DERIVED]]
                if len(rows):
                    groups.append(Group(data, key, label, len(rows), _floats(rows.mean()), _floats(rows.std())))
        return groups

    def runs_of(self, data: str, key: str) -> pd.DataFrame:
        """The rows of one model on one data set."""
        return self.runs[(self.runs["data"] == data) & (self.runs["key"] == key)]

    def of(self, data: str) -> list[Group]:
        """The groups of one data set."""
        return [group for group in self.groups if group.data == data]


def collect(plan: Plan, output: Path) -> Results:
    """Read the finished runs of ``plan``, and of no other, from ``output``; at least one must be finished."""
    rows, histories, kept = [], [], []
    for run in plan.runs:
        metrics = stored_metrics(run, output)
        if metrics is None:
            continue
        labels = {"data": run.config.data, "key": run.key, "model": run.label, "seed": run.config.seed}
        rows.append(labels | {"run": run.name} | {measure: _at(metrics, path) for measure, path in MEASURES.items()})
        history = pd.read_csv(output / run.name / "history.csv")
        history["data"], history["key"], history["seed"] = run.config.data, run.key, run.config.seed
        histories.append(history)
        kept.append(metrics)
    runs = pd.DataFrame(rows)
    runs["live_parameters"] = runs["parameters"] - runs["unreachable_parameters"]
    return Results(plan, kept, runs, pd.concat(histories, ignore_index=True))


def _floats(values: pd.Series[float]) -> dict[str, float]:
    return {str(name): float(value) for name, value in values.items()}


def _at(metrics: dict[str, Any], path: tuple[str, ...]) -> float:
    value: Any = metrics
    for key in path:
        value = value[key]
    return float("nan") if value is None else float(value)


def curves(results: Results, data: str, key: str, column: str) -> pd.DataFrame:
    """Mean and standard deviation over the seeds of one column of the history, by epoch counted from 1.

    A run that stopped early keeps its last value, so that the mean does not jump where it ends.
    """
    rows = results.history[(results.history["data"] == data) & (results.history["key"] == key)]
    table = rows.pivot(index="epoch", columns="seed", values=column).ffill()
    table.index += 1
    return pd.DataFrame({"mean": table.mean(axis=1), "std": table.std(axis=1).fillna(0.0)})


@dataclass(frozen=True)
class Comparison:
    """One model on one data set beside its stored value; all accuracies are of validation.

    ``compared`` names the epochs: ``best`` (mean of the runs' best epochs) where the stored results have it, else
    ``last``; ``difference`` is ours less published.
    """

    data: str
    model: str
    compared: str
    published: float
    ours: float
    ours_sd: float
    difference: float
    published_last: float
    published_last_sd: float
    ours_last: float
    ours_last_sd: float
    epochs: float
    published_parameters: int
    ours_parameters: int


def published() -> dict[str, dict[str, dict[str, float]]]:
    """Stored values by key and data set: ``last``, ``sd``, ``best`` (not of WavMLP), ``parameters``."""
    content: dict[str, Any] = read_yaml(Path(__file__).parent / "published.yaml")
    return content


def beside_published(results: Results) -> list[Comparison]:
    """Ours beside the stored values, for every model and data set that the original has."""
    return [
        _compared(group, stored)
        for group in results.groups
        if (stored := published().get(group.key, {}).get(group.data)) is not None
    ]


def _compared(group: Group, stored: Mapping[str, float]) -> Comparison:
    kind = "best" if "best" in stored else "last"
    measure, last = f"{kind}_validation_accuracy", "last_validation_accuracy"
    return Comparison(
        group.data,
        group.model,
        kind,
        stored[kind],
        group.mean[measure],
        group.std[measure],
        group.mean[measure] - stored[kind],
        stored["last"],
        stored["sd"],
        group.mean[last],
        group.std[last],
        group.mean["epochs"],
        int(stored["parameters"]),
        int(group.mean["parameters"]),
    )
