"""The figures of a comparison as PNG: histories with bands, costs as bars, and the accuracy of every run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from training.comparison.results import Results, curves
from training.comparison.table import NAMES
from training.plots import COLORS, save

HISTORIES = {
    "validation_accuracy": "validation accuracy",
    "validation_roc_auc": "validation ROC-AUC",
    "validation_loss": "validation loss",
}
"""Columns of the history, with their names."""

_DEAD = "#b8bec6"
_GRAY = "#5b6470"


def write_figures(results: Results, output: Path) -> list[Path]:
    """Write all figures of ``results`` to ``output``; returns their paths."""
    made = {"accuracy.png": accuracies(results), "histories.png": histories(results), "costs.png": costs(results)}
    for name, figure in made.items():
        save(figure, output / name)
    return [output / name for name in made]


def model_colors(results: Results) -> dict[str, str]:
    """A colour for every model, the same in all figures."""
    return {key: COLORS[index % len(COLORS)] for index, key in enumerate(results.plan.keys)}


def labels(results: Results) -> dict[str, str]:
    """The models' names by key."""
    return {run.key: run.label for run in results.plan.runs}


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
    handles, names = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=min(len(names), 6), frameon=False)
    return figure


def _history_panel(axes: Axes, results: Results, data: str, column: str) -> None:
    lows, highs = [], []
    for key, color in model_colors(results).items():
        curve = curves(results, data, key, column)
        axes.plot(curve.index, curve["mean"], color=color, linewidth=1.7, label=labels(results)[key])
        axes.fill_between(
            curve.index, curve["mean"] - curve["std"], curve["mean"] + curve["std"], color=color, alpha=0.18, lw=0
        )
        late = curve["mean"].iloc[len(curve) // 20 :]
        lows.append(late.min())
        highs.append(late.max())
    if column == "validation_loss":  # one bad epoch of one model would squeeze all curves to the floor
        span = sorted(highs)[len(highs) // 2] - min(lows)
        axes.set_ylim(min(lows) - 0.06 * span, min(axes.get_ylim()[1], min(lows) + 1.8 * span))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _plain(axes, "y")


def costs(results: Results) -> Figure:
    """A row a data set: parameters (live and dead stacked), training time, single-image inference time, with error bars."""
    data_sets = results.plan.data
    count = len(results.plan.keys)
    figure = Figure(figsize=(12, 0.6 + (0.75 + 0.42 * count) * len(data_sets)), layout="constrained")
    grid = figure.subplots(len(data_sets), 3, squeeze=False, sharey="row")
    summary = results.summary
    for row, data in zip(grid, data_sets, strict=True):
        rows = summary.loc[[data]]
        names = [model for _, _, model in rows.index]
        colors = [model_colors(results)[key] for _, key, _ in rows.index]
        live = rows[("live_parameters", "mean")].to_numpy()
        total = rows[("parameters", "mean")].to_numpy()
        row[0].barh(names, live, color=colors, height=0.62)
        row[0].barh(names, total - live, left=live, color=_DEAD, height=0.62, hatch="////", edgecolor="white", lw=0)
        ends = [f"{t:,.0f}" if t == n else f"{t:,.0f}, {n / t:.0%} live" for t, n in zip(total, live, strict=True)]
        _ends(row[0], total, ends)
        _time_bars(row[1], names, rows["train_seconds"], colors, lambda value: f"{value:,.1f}")
        _time_bars(row[2], names, rows["inference_ms"], colors, lambda value: f"{value:.2f}")
        row[0].set_title(NAMES.get(data, data), loc="left", fontweight="bold")
        row[0].invert_yaxis()
    for axes, name in zip(
        grid[-1], ("parameters (hatched: dead)", "training time, s", "inference, one image, ms"), strict=True
    ):
        axes.set_xlabel(name)
    return figure


def _time_bars(axes: Axes, names: list[str], times: object, colors: list[str], write: Callable[[float], str]) -> None:
    mean, deviation = times["mean"].to_numpy(), times["std"].fillna(0).to_numpy()  # type: ignore[index]
    axes.barh(names, mean, color=colors, height=0.62, xerr=deviation, error_kw={"ecolor": _GRAY, "elinewidth": 1.2})
    _ends(axes, mean + deviation, [write(value) for value in mean])


def _ends(axes: Axes, ends: object, words: list[str]) -> None:
    """Write ``words`` beside the ends of horizontal bars, and make room for them."""
    values = [float(end) for end in ends]  # type: ignore[attr-defined]
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
    _plain(axes, "x")
    axes.tick_params(axis="y", length=0)


def accuracies(results: Results) -> Figure:
    """A panel a data set: validation (ring) and test (dot) accuracy of every run, with their means."""
    data_sets = results.plan.data
    count = len(results.plan.keys)
    figure = Figure(figsize=(max(6.5, 4.2 * len(data_sets)), 1.2 + 0.5 * count), layout="constrained")
    for axes, data in zip(figure.subplots(1, len(data_sets), squeeze=False, sharey=True)[0], data_sets, strict=True):
        for position, (key, color) in enumerate(model_colors(results).items()):
            rows = results.runs.query("data == @data and key == @key")
            for measure, shift, fill in (("validation_accuracy", -0.16, "white"), ("test_accuracy", 0.16, color)):
                values = rows[measure]
                height = [position + shift] * len(values)
                axes.scatter(values, height, s=30, facecolor=fill, edgecolor=color, linewidth=1.4, zorder=3)
                axes.plot([values.mean()] * 2, [position + shift - 0.13, position + shift + 0.13], color=color, lw=2)
        axes.set_title(NAMES.get(data, data), loc="left", fontweight="bold")
        axes.set_xlabel("accuracy (ring: validation, dot: test, stroke: mean)")
        axes.set_yticks(range(count), [labels(results)[key] for key in model_colors(results)])
        axes.set_ylim(count - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        _plain(axes, "x")
    return figure


def _plain(axes: Axes, grid: str) -> None:
    axes.grid(axis=grid, alpha=0.25)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
