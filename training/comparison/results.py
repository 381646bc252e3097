"""The numbers of finished runs: one row a run, and mean and standard deviation over the seeds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from training.comparison.plan import Plan
from training.comparison.runner import stored_metrics

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
    "live_parameters": ("live_parameters",),
}
GROUP = ["data", "key", "model"]


@dataclass(frozen=True)
class Results:
    """All finished runs of a plan.

    Attributes:
        plan: the plan.
        metrics: content of each run's ``metrics.json``, in the plan's order.
        runs: one row a run: ``data``, ``key``, ``model`` (its label), ``seed``, ``run`` (its folder) and every measure.
        history: one row a run and epoch: ``data``, ``key``, ``model``, ``seed`` and the columns of ``history.csv``.
    """

    plan: Plan
    metrics: list[dict[str, Any]]
    runs: pd.DataFrame
    history: pd.DataFrame

    @property
    def summary(self) -> pd.DataFrame:
        """Mean and sample standard deviation over the seeds: columns ``(measure, "mean")`` and ``(measure, "std")``."""
        return self.runs.groupby(GROUP, sort=False)[list(MEASURES)].agg(["mean", "std"])


def collect(plan: Plan, output: Path) -> Results:
    """Read the finished runs of ``plan``, and of no other, from ``output``; at least one must be finished."""
    rows, histories, kept = [], [], []
    for run in plan.runs:
        metrics = stored_metrics(run, output)
        if metrics is None:
            continue
        labels = {"data": run.config.data, "key": run.key, "model": run.label, "seed": run.config.seed}
        rows.append(labels | {"run": run.name} | {measure: _at(metrics, path) for measure, path in MEASURES.items()})
        histories.append(pd.read_csv(output / run.name / "history.csv").assign(**labels))
        kept.append(metrics)
    return Results(plan, kept, pd.DataFrame(rows), pd.concat(histories, ignore_index=True))


def _at(metrics: dict[str, Any], path: tuple[str, ...]) -> float:
    value: Any = metrics
    for key in path:
        value = value[key]
    return float("nan") if value is None else float(value)


def curves(results: Results, data: str, key: str, column: str) -> pd.DataFrame:
    """Mean and standard deviation over the seeds of one column of the history, by epoch counted from 1.

    A run that stopped early keeps its last value, so that the mean does not jump where it ends.
    """
    rows = results.history.query("data == @data and key == @key")
    table = rows.pivot(index="epoch", columns="seed", values=column).ffill()
    table.index += 1
    return pd.DataFrame({"mean": table.mean(axis=1), "std": table.std(axis=1).fillna(0.0)})


def published() -> pd.DataFrame:
    """Stored values of the original project, indexed by ``key`` and ``data``: ``last``, ``sd``, ``best``, ``parameters``."""
    content = yaml.safe_load((Path(__file__).parent / "published.yaml").read_text(encoding="utf-8"))
    values = {(key, data): value for key, by_data in content.items() for data, value in by_data.items()}
    return pd.DataFrame.from_dict(values, orient="index")


def beside_published(results: Results) -> pd.DataFrame:
    """Ours beside the stored values, one row a model and data set that the original has.

    ``difference`` is ours less published, of the mean of best epochs where it is stored, else of the last epoch.
    """
    stored, rows = published(), []
    for (data, key, model), row in results.summary.iterrows():
        if (key, data) not in stored.index:
            continue
        theirs = stored.loc[(key, data)]
        kind = "last" if pd.isna(theirs["best"]) else "best"
        ours = row[(f"{kind}_validation_accuracy", "mean")]
        rows.append({
            "data": data, "model": model, "compared": f"{kind} epoch", "published": theirs[kind], "ours": ours,
            "ours_sd": row[(f"{kind}_validation_accuracy", "std")], "difference": ours - theirs[kind],
            "published_last": theirs["last"], "published_last_sd": theirs["sd"],
            "ours_last": row[("last_validation_accuracy", "mean")], "ours_last_sd": row[("last_validation_accuracy", "std")],
            "epochs": row[("epochs", "mean")],
            "published_parameters": int(theirs["parameters"]), "ours_parameters": int(row[("parameters", "mean")]),
        })  # fmt: skip
    return pd.DataFrame(rows)
