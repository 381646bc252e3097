"""The figures of a comparison as PNG: histories with bands, costs as bars, and the accuracy of every run."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from training.comparison.results import Group, Results, curves
from training.comparison.table import NAMES
from wavpool.pages import COLORS, plain, save_png

HISTORIES = {
    "validation_accuracy": "validation accuracy",
    "validation_roc_auc": "validation ROC-AUC",
    "validation_loss": "validation loss",
}
"""Columns of the history, with their names."""

COSTS = {
    "parameters": "parameters (hatched: dead)",
    "train_seconds": "training time, s",
    "inference_ms": "inference, one image, ms",
}
"""Measures of cost, with their names and units."""
FORMS = {"train_seconds": ",.1f", "inference_ms": ".2f"}

_DEAD = "#b8bec6"
_GRAY = "#5b6470"


def write_figures(results: Results, output: Path) -> list[Path]:
    """Write all figures of ``results`` to ``output``; returns their paths."""
    made = {"accuracy.png": accuracies(results), "histories.png": histories(results), "costs.png": costs(results)}
    for name, figure in made.items():
        save_png(figure, output / name)
    return [output / name for name in made]


def model_colors(results: Results) -> dict[str, str]:
    """A colour for every model, the same in all figures."""
    return {key: COLORS[index % len(COLORS)] for index, key in enumerate(results.plan.keys)}


def live_words(group: Group) -> str:
    """What stands at the end of a bar of parameters."""
    total, live = group.mean["parameters"], group.mean["live_parameters"]
    return f"{total:,.0f}" if live == total else f"{total:,.0f}, {live / total:.0%} live"


def histories(results: Results) -> Figure:
    """A panel a data set and metric: mean over the seeds as a line, ± one standard deviation as a band."""
    data_sets = results.plan.data
    figure = Figure(figsize=(12, 0.9 + 3.1 * len(data_sets)), layout="constrained")
    grid = figure.subplots(len(data_sets), len(HISTORIES), squeeze=False)
    for row, data in zip(grid, data_sets, strict=True):
        for axes, (column, name) in zip(row, HISTORIES.items(), strict=True):
            _history_panel(axes, results, data, column)
            axes.set_ylabel(name)
        row[0].set_title(NAMES.get(data, data), loc="left", fontweight="bold")
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    lines = {str(line.get_label()): line for axes in grid[:, 0] for line in axes.get_lines()}
    handles = {name: lines[name] for name in results.plan.labels.values() if name in lines}
    figure.legend(
        list(handles.values()), list(handles), loc="outside upper center", ncols=min(len(handles), 6), frameon=False
    )
    return figure


def _history_panel(axes: Axes, results: Results, data: str, column: str) -> None:
    lows, highs = [], []
    for key, color in model_colors(results).items():
        curve = curves(results, data, key, column)
        if curve.empty:
            continue
        axes.plot(curve.index, curve["mean"], color=color, linewidth=1.7, label=results.plan.labels[key])
        axes.fill_between(
            curve.index, curve["mean"] - curve["std"], curve["mean"] + curve["std"], color=color, alpha=0.18, lw=0
        )
        late = curve["mean"].iloc[len(curve) // 20 :]
        lows.append(late.min())
        highs.append(late.max())
    if column == "validation_loss":  # one bad epoch of one model would squeeze all curves to the floor
        span = sorted(highs)[len(highs) // 2] - min(lows)
        if span > 0:
            axes.set_ylim(min(lows) - 0.06 * span, min(axes.get_ylim()[1], min(lows) + 1.8 * span))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    plain(axes, "y")


def costs(results: Results) -> Figure:
    """A row a data set: parameters (live and dead stacked), training time, inference time; error bars of one sd."""
    data_sets = results.plan.data
    count = len(results.plan.keys)
    figure = Figure(figsize=(12, 0.6 + (0.75 + 0.42 * count) * len(data_sets)), layout="constrained")
    grid = figure.subplots(len(data_sets), len(COSTS), squeeze=False, sharey="row")
    for row, data in zip(grid, data_sets, strict=True):
        groups = results.of(data)
        _parameter_bars(row[0], results, groups)
        for axes, measure in zip(row[1:], list(COSTS)[1:], strict=True):
            _time_bars(axes, results, groups, measure)
        row[0].set_title(NAMES.get(data, data), loc="left", fontweight="bold")
        row[0].invert_yaxis()
    for axes, name in zip(grid[-1], COSTS.values(), strict=True):
        axes.set_xlabel(name)
    return figure


def _parameter_bars(axes: Axes, results: Results, groups: Sequence[Group]) -> None:
    names = [group.model for group in groups]
    live = [group.mean["live_parameters"] for group in groups]
    dead = [group.mean["unreachable_parameters"] for group in groups]
    axes.barh(names, live, color=[model_colors(results)[group.key] for group in groups], height=0.62)
    axes.barh(names, dead, left=live, color=_DEAD, height=0.62, hatch="////", edgecolor="white", lw=0)
    _ends(axes, [group.mean["parameters"] for group in groups], [live_words(group) for group in groups])


def _time_bars(axes: Axes, results: Results, groups: Sequence[Group], measure: str) -> None:
    mean = [group.mean[measure] for group in groups]
    deviation = [0 if isnan(group.std[measure]) else group.std[measure] for group in groups]
    colors = [model_colors(results)[group.key] for group in groups]
    error = {"ecolor": _GRAY, "elinewidth": 1.2}
    axes.barh([group.model for group in groups], mean, color=colors, height=0.62, xerr=deviation, error_kw=error)
    _ends(
        axes, [sum(pair) for pair in zip(mean, deviation, strict=True)], [f"{value:{FORMS[measure]}}" for value in mean]
    )


def _ends(axes: Axes, values: Sequence[float], words: Sequence[str]) -> None:
    """Write ``words`` beside the ends of horizontal bars, and make room for them."""
    room = 1 + 0.028 * (max(map(len, words)) + 2)
    axes.set_xlim(0, max(values) * room)
    for position, (value, text) in enumerate(zip(values, words, strict=True)):
        axes.annotate(
            text, (value, position), (5, 0), textcoords="offset points", va="center", fontsize=8.5, color="#222"
        )
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value / 1000:g}k" if value >= 1000 else f"{value:g}")
    )
    plain(axes, "x")
    axes.tick_params(axis="y", length=0)


def accuracies(results: Results) -> Figure:
    """A panel a data set: validation (ring) and test (dot) accuracy of every run, with their means."""
    data_sets = results.plan.data
    count = len(results.plan.keys)
    figure = Figure(figsize=(max(6.5, 4.2 * len(data_sets)), 1.2 + 0.5 * count), layout="constrained")
    for axes, data in zip(figure.subplots(1, len(data_sets), squeeze=False, sharey=True)[0], data_sets, strict=True):
        for position, (key, color) in enumerate(model_colors(results).items()):
            rows = results.runs_of(data, key)
            if rows.empty:
                continue
            for measure, shift, fill in (("validation_accuracy", -0.16, "white"), ("test_accuracy", 0.16, color)):
                values = rows[measure]
                height = [position + shift] * len(values)
                axes.scatter(values, height, s=30, facecolor=fill, edgecolor=color, linewidth=1.4, zorder=3)
                axes.plot([values.mean()] * 2, [position + shift - 0.13, position + shift + 0.13], color=color, lw=2)
        axes.set_title(NAMES.get(data, data), loc="left", fontweight="bold")
        axes.set_xlabel("accuracy (ring: validation, dot: test, stroke: mean)")
        axes.set_yticks(range(count), results.plan.labels.values())
        axes.set_ylim(count - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        plain(axes, "x")
    return figure
