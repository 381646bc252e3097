"""The tables for people: on screen, in Markdown and in the report; and the files with all digits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from training.comparison.results import Results, beside_published
from training.files import write_text, write_with

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
    columns: dict[str, Callable[[pd.Series], str]] = {
        "val. accuracy": lambda row: spread(row, "validation_accuracy"),
        "test accuracy": lambda row: spread(row, "test_accuracy"),
        "test ROC-AUC": lambda row: spread(row, "test_roc_auc"),
        "test F1": lambda row: spread(row, "test_f1_macro"),
        "parameters": lambda row: f"{row[('parameters', 'mean')]:,.0f}",
        "live": lambda row: f"{row[('live_parameters', 'mean')]:,.0f}",
        "training, s": lambda row: spread(row, "train_seconds", ".1f"),
        "inference, ms": lambda row: spread(row, "inference_ms", ".2f"),
    }
    rows = [
        [NAMES.get(data, data), model, *(write(row) for write in columns.values())]
        for (data, _, model), row in results.summary.iterrows()
    ]
    return _drop_single_data(Table(["data", "model", *columns], rows, 2))


def published_table(results: Results) -> Table | None:
    """Ours beside the paper's stored values; None where no model of the plan has any."""
    frame = beside_published(results)
    if frame.empty:
        return None
    header = [
        "data", "model", "compared", "published", "ours", "difference", "published last", "ours last", "epochs", "parameters",
    ]  # fmt: skip
    rows = [
        [
            NAMES.get(row.data, row.data), row.model, row.compared, f"{row.published:.4f}",
            plus_minus(row.ours, row.ours_sd), f"{row.difference:+.4f}".replace("-", "−"),
            plus_minus(row.published_last, row.published_last_sd), plus_minus(row.ours_last, row.ours_last_sd),
            f"{row.epochs:.0f}", _parameters(row.published_parameters, row.ours_parameters),
        ]
        for row in frame.itertuples()
    ]  # fmt: skip
    return Table(header, rows, 3)


def spread(row: pd.Series, measure: str, form: str = ".4f") -> str:
    """Mean ± standard deviation of a measure; the mean alone of a single run."""
    return plus_minus(row[(measure, "mean")], row[(measure, "std")], form)


def plus_minus(mean: float, deviation: float, form: str = ".4f") -> str:
    """``.9583 ± .0016`` with leading zeros."""
    if pd.isna(mean):
        return "–"
    return format(mean, form) if pd.isna(deviation) else f"{mean:{form}} ± {deviation:{form}}"


def _parameters(theirs: int, ours: int) -> str:
    return f"{ours:,} (equal)" if ours == theirs else f"{ours:,} (published {theirs:,})"


def _drop_single_data(table: Table) -> Table:
    if len({row[0] for row in table.rows}) > 1:
        return table
    return Table(table.header[1:], [row[1:] for row in table.rows], table.labels - 1)


def write_tables(results: Results, output: Path, head: str) -> list[Path]:
    """Write ``results.md`` (below ``head``), ``results.csv`` (means and deviations), ``runs.csv``, and ``published.csv``."""
    summary = results.summary
    summary.columns = [f"{measure}_{kind}" for measure, kind in summary.columns]
    counts = results.runs.groupby(["data", "key", "model"], sort=False).size().rename("runs")
    frames = {"results.csv": summary.join(counts).reset_index(), "runs.csv": results.runs}
    text = f"{head}\n\n{main_table(results).markdown()}\n"
    if results.plan.experiment.published and (table := published_table(results)) is not None:
        frames["published.csv"] = beside_published(results)
        text += f"\n## Beside the published values\n\nValidation accuracy.\n\n{table.markdown()}\n"
    for name, frame in frames.items():
        write_with(output / name, lambda path, frame=frame: frame.to_csv(path, index=False))  # type: ignore[misc]
    write_text(output / "results.md", text)
    return [output / "results.md", *(output / name for name in frames)]
