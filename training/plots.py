"""Figures of one run: history, confusion matrix, ROC curves; written atomically as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from training.metrics import roc_auc, roc_curves
from wavpool.pages import COLORS, save_png

_STYLES = ("-", "--")


def history(rows: Sequence[Mapping[str, float]], path: str | Path, title: str = "") -> None:
    """Loss, accuracy and validation ROC-AUC by epoch, from the rows of ``history.csv``."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    epochs = [row["epoch"] for row in rows]
    panels = {
        "loss": ("train_loss", "validation_loss"),
        "accuracy": ("train_accuracy", "validation_accuracy"),
        "ROC-AUC": ("validation_roc_auc",),
    }
    for axes, (label, keys) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for key in keys:
            part = key.split("_")[0]
            validation = part == "validation"
            axes.plot(
                epochs, [row[key] for row in rows], "-" if validation else "--", color=COLORS[validation], label=part,
                marker="o" if len(rows) == 1 else None,
            )  # fmt: skip
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.suptitle(title)
    save_png(figure, path)


def confusion(counts: Sequence[Sequence[int]], class_names: Sequence[str], path: str | Path) -> None:
    """Confusion matrix of the test split: colour by share of the true class, counts written in the cells."""
    table = np.asarray(counts)
    share = table / np.maximum(table.sum(1, keepdims=True), 1)
    size = 2.2 + 0.48 * len(table)
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(share, cmap="cividis", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    axes.set(xlabel="predicted class", ylabel="true class", title=f"test: {np.trace(table) / table.sum():.1%} correct")
    ticks = range(len(table))
    axes.set_xticks(
        ticks, class_names, rotation=45 if max(map(len, class_names)) > 2 else 0, ha="right", rotation_mode="anchor"
    )
    axes.set_yticks(ticks, class_names)
    if len(table) <= 20:
        for (row, column), count in np.ndenumerate(table):
            color = "black" if share[row, column] > 0.55 else "white"
            axes.text(column, row, str(count), ha="center", va="center", color=color, fontsize=8)
    save_png(figure, path)


def roc(logits: Tensor, labels: Tensor, class_names: Sequence[str], path: str | Path) -> None:
    """ROC curves of the test split, each class against the rest, with the macro average area in the title."""
    figure = Figure(figsize=(6.6, 4.8), layout="constrained")
    axes = figure.subplots()
    present = labels.bincount(minlength=len(class_names)) > 0
    for index, ((false_positive, true_positive), name) in enumerate(
        zip(roc_curves(logits, labels), class_names, strict=True)
    ):
        if present[index]:
            style = _STYLES[index // 7 % len(_STYLES)]
            axes.plot(false_positive, true_positive, style, color=COLORS[index % 7], label=name, linewidth=1.4)
    axes.plot([0, 1], [0, 1], ":", color="0.6")
    area = roc_auc(logits.float().softmax(1).nan_to_num(0.0), labels).item()
    axes.set(
        xlabel="false positive rate",
        ylabel="true positive rate",
        title=f"test: macro ROC-AUC {area:.4f}",
        aspect="equal",
    )
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if len(class_names) <= 20:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    save_png(figure, path)
