"""The tables for people: on screen, in Markdown and in the report; and the files with all digits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from training.comparison.results import Comparison, Group, Results, beside_published
from training.files import write_text

NAMES = {"digits": "Digits", "mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}
"""Data sets as a reader knows them."""


@dataclass(frozen=True)
class Table:
    """Cells of text below a header; the first ``labels`` columns are words, the others numbers."""

    header: list[str]
    rows: list[list[str]]
    labels: int

    def markdown(self) -> str:
        """GitHub's Markdown."""
        rule = ["---"] * self.labels + ["--:"] * (len(self.header) - self.labels)
        return "\n".join("| " + " | ".join(cells) + " |" for cells in [self.header, rule, *self.rows])

    def text(self) -> str:
        """Columns for a terminal, numbers flush right."""
        lines = [self.header, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        cells = [
            [cell.ljust(width) if column < self.labels else cell.rjust(width)
             for column, (cell, width) in enumerate(zip(line, widths, strict=True))]
            for line in lines
        ]  # fmt: skip
        return "\n".join("  ".join(line).rstrip() for line in [cells[0], ["-" * width for width in widths], *cells[1:]])


def main_table(results: Results) -> Table:
    """Accuracy, ROC-AUC and F1 as mean ± sd over the seeds, parameters, and the two times."""
    columns: dict[str, Callable[[Group], str]] = {
        "val. accuracy": lambda group: spread(group, "validation_accuracy"),
        "test accuracy": lambda group: spread(group, "test_accuracy"),
        "test ROC-AUC": lambda group: spread(group, "test_roc_auc"),
        "test F1": lambda group: spread(group, "test_f1_macro"),
        "parameters": lambda group: f"{group.mean['parameters']:,.0f}",
        "live": lambda group: f"{group.mean['live_parameters']:,.0f}",
        "training, s": lambda group: spread(group, "train_seconds", ".1f"),
        "inference, ms": lambda group: spread(group, "inference_ms", ".2f"),
    }
    if len({group.runs for group in results.groups}) > 1:
        columns = {"runs": lambda group: str(group.runs)} | columns
    rows = [
        [NAMES.get(group.data, group.data), group.model, *(write(group) for write in columns.values())]
        for group in results.groups
    ]
    return _drop_single_data(Table(["data", "model", *columns], rows, 2))


def published_table(results: Results) -> Table | None:
    """The reruns beside the paper's stored values; None where no model of the plan has any."""
    if not results.plan.experiment.published or not (found := beside_published(results)):
        return None
    columns: dict[str, Callable[[Comparison], str]] = {
        "data": lambda row: NAMES.get(row.data, row.data),
        "model": lambda row: row.model,
        "epoch": lambda row: row.compared,
        "published": lambda row: f"{row.published:.4f}",
        "rerun": lambda row: plus_minus(row.ours, row.ours_sd),
        "difference": lambda row: f"{row.difference:+.4f}".replace("-", "−"),
        "published, last": lambda row: plus_minus(row.published_last, row.published_last_sd),
        "rerun, last": lambda row: plus_minus(row.ours_last, row.ours_last_sd),
        "epochs run": lambda row: f"{row.epochs:.0f}",
        "parameters": lambda row: _parameters(row.published_parameters, row.ours_parameters),
    }
    return Table(list(columns), [[write(row) for write in columns.values()] for row in found], 3)


def spread(group: Group, measure: str, form: str = ".4f") -> str:
    """Mean ± standard deviation of a measure; the mean alone of a single run."""
    return plus_minus(group.mean[measure], group.std[measure], form)


def plus_minus(mean: float, deviation: float, form: str = ".4f") -> str:
    """``0.9583 ± 0.0016``."""
    if math.isnan(mean):
        return "–"
    return format(mean, form) if math.isnan(deviation) else f"{mean:{form}} ± {deviation:{form}}"


def _parameters(theirs: int, ours: int) -> str:
    return f"{ours:,} (equal)" if ours == theirs else f"{ours:,} (published {theirs:,})"


def _drop_single_data(table: Table) -> Table:
    if len({row[0] for row in table.rows}) > 1:
        return table
    return Table(table.header[1:], [row[1:] for row in table.rows], table.labels - 1)


def write_tables(results: Results, output: Path, head: str) -> list[Path]:
    """Write ``results.md`` (below ``head``), ``results.csv``, ``runs.csv`` and, where it applies, ``published.csv``."""
    frames = {"results.csv": pd.DataFrame([_flat(group) for group in results.groups]), "runs.csv": results.runs}
    text = f"{head}\n\n{main_table(results).markdown()}\n"
    if (table := published_table(results)) is not None:
        note = " ".join(filter(None, ["Validation accuracy.", results.plan.differs]))
        frames["published.csv"] = pd.DataFrame([asdict(row) for row in beside_published(results)])
        text += f"\n## Beside the published values\n\n{note}\n\n{table.markdown()}\n"
    for name, frame in frames.items():
        write_text(output / name, frame.to_csv(index=False))
    write_text(output / "results.md", text)
    return [output / "results.md", *(output / name for name in frames)]


def _flat(group: Group) -> dict[str, str | int | float]:
    row: dict[str, str | int | float] = {name: getattr(group, name) for name in ("data", "key", "model", "runs")}
    for measure in group.mean:
        row |= {f"{measure}_mean": group.mean[measure], f"{measure}_std": group.std[measure]}
    return row
