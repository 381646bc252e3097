"""The figures of a sweep as PNG, and what they share with the interactive ones: colours, names and positions."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullLocator

from ..pages import COLORS, GRAY, plain, save_png
from .points import Curve, Row
from .report import Report

NAMES = {
    "accuracy": "accuracy", "agreement": "agreement with the original", "loss": "loss, nats",
    "kl": "KL of the output from the original's, nats", "bytes": "bytes of the file",
    "kept": "coefficients that are zero",
}  # fmt: skip
CRITICAL = {"0.5": "within 0.5 points", "1": "within 1 point", "5": "within 5 points", "knee": "knee"}
SHADES = {"0.5": 1.0, "1": 0.66, "5": 0.33, "knee": 1.0}
STYLES: tuple[Literal["-", "--", ":"], ...] = ("-", "--", ":")
ROOM = 0.09  # of an axis, for the words of a tick
REMOVED = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999)
"""Ticks of the axis of shares."""


def write_figures(report: Report, output: Path) -> list[Path]:
    """Write all figures; returns their paths."""
    made = {"tradeoff.png": tradeoff(report), "layers.png": layers(report)}
    if report.cliffs:
        made["cliffs.png"] = cliffs(report)
    for name, figure in made.items():
        save_png(figure, output / name)
    return [output / name for name in made]


def curve_colors(report: Report) -> dict[Curve, str]:
    """A colour for every curve, the same in all figures; after eight they start again with another stroke."""
    return {curve: COLORS[index % len(COLORS)] for index, curve in enumerate(report.curves)}


def kept(row: Row) -> float:
    """Share of coefficients that are not zero, at least that of a thousandth of a percent."""
    return max(1 - float(row["zero_coefficients"]), 1e-5)


def values(rows: Sequence[Row], name: str) -> list[float]:
    """A column, `kept` included; what is not finite is not drawn."""
    found = [kept(row) if name == "kept" else float(row[name]) for row in rows]
    return [value if math.isfinite(value) else math.nan for value in found]


def place(rows: Sequence[Row], size: float, name: str) -> float:
    """A column at a size between those of the curve's files, along the logarithm of the size."""
    sizes = np.log([row["bytes"] for row in rows])
    return float(np.interp(math.log(size), sizes, values(rows, name)))


def tradeoff(report: Report) -> Figure:
    """Quality and distance against size and against the share of zeros; a panel each."""
    rows = math.ceil(len(report.curves) / 5)
    figure = Figure(figsize=(12, 8.2 + 0.25 * rows), layout="constrained")
    panels = figure.subplots(2, 2, sharey="row", sharex="col")
    for line, measure in zip(panels, (report.quality, report.distance), strict=True):
        for axes, across in zip(line, ("bytes", "kept"), strict=True):
            _panel(axes, report, across, measure)
        line[0].set_ylabel(NAMES[measure])
    for axes, across in zip(panels[-1], ("bytes", "kept"), strict=True):
        axes.set_xlabel(NAMES[across])
    handles = [
        Line2D([], [], color=color, marker="o", markersize=3.5, linestyle=_style(report, curve), label=curve.label)
        for curve, color in curve_colors(report).items()
    ]
    handles.append(Line2D([], [], color=GRAY, linestyle=(0, (4, 3)), label="original"))
    if report.cliffs:
        handles.append(Line2D([], [], color="none", marker="D", markersize=6, mfc="w", mec="k", label="1 point lost"))
        handles.append(Line2D([], [], color="none", marker="*", markersize=11, mfc="w", mec="k", label="knee"))
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 6), frameon=False)
    return figure


def _style(report: Report, curve: Curve) -> Literal["-", "--", ":"]:
    return STYLES[list(report.curves).index(curve) // len(COLORS) % len(STYLES)]


def _panel(axes: Axes, report: Report, across: str, measure: str) -> None:
    for curve, color in curve_colors(report).items():
        rows = report.curves[curve]
        along = values(rows, across)
        axes.fill_between(
            along, values(rows, f"{measure}_low"), values(rows, f"{measure}_high"), color=color, alpha=0.08, lw=0
        )
        axes.plot(
            along,
            values(rows, measure),
            _style(report, curve),
            color=color,
            lw=1.6,
            marker="o",
            markersize=3.2,
            alpha=0.9,
        )
        for name, marker, area in (("1", "D", 42), ("knee", "*", 120)):
            if critical := report.critical(curve, name):
                px, py = (place(rows, critical["bytes"], column) for column in (across, measure))
                axes.scatter(px, py, area, marker=marker, facecolor="white", edgecolor=color, linewidth=1.6, zorder=4)
    if measure in report.original and (measure != "kl"):
        axes.axhline(report.original[measure], color=GRAY, linestyle=(0, (4, 3)), lw=1.2, zorder=0)
    axes.set_xscale("log")
    if measure in ("loss", "kl"):
        axes.set_yscale("log")
        _log_ticks(axes.yaxis, axes.get_ylim(), "{:g}".format)
    else:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value)))
    if across == "kept":
        low = axes.get_xlim()[0]
        _log_ticks(axes.xaxis, (low, 1), lambda value: percent(1 - value), [1 - share for share in REMOVED])
    else:
        _log_ticks(axes.xaxis, axes.get_xlim(), size)
    plain(axes, "x", "y")


def _log_ticks(
    axis: Axis, span: tuple[float, float], words: Callable[[float], str], values: Sequence[float] | None = None
) -> None:
    """Put ticks and their words on a logarithmic axis."""
    chosen = apart([value for value in values or round_values(*span) if span[0] <= value <= span[1]], span)
    axis.set_ticks(chosen, [words(value) for value in chosen])
    axis.set_minor_locator(NullLocator())


def apart(values: Sequence[float], span: tuple[float, float]) -> list[float]:
    """Those of some values, in the order given, whose words have room on a logarithmic axis.

    >>> apart([1, 0.75, 0.5, 0.1, 0.001], (0.001, 1))
    [1, 0.5, 0.1, 0.001]
    """
    least = ROOM * math.log(span[1] / span[0])
    kept: list[float] = []
    for value in values:
        if all(abs(math.log(value / other)) >= least for other in kept):
            kept.append(value)
    return kept


def round_values(low: float, high: float) -> list[float]:
    """About five to ten round numbers between two positive ones, for a logarithmic axis.

    >>> round_values(30e3, 1.2e6)
    [50000.0, 100000.0, 200000.0, 500000.0, 1000000.0]
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7), [each / 10 for each in range(10, 100)]):
        found = [step * 10.0**decade for decade in decades for step in steps]
        found = [value for value in found if low <= value <= high]
        if len(found) >= 4:
            break
    return found


def percent(share: float) -> str:
    """A share in hundredths.

    >>> percent(0.995)
    '99.5 %'
    """
    return f"{100 * share:.4g} %"


def size(value: float) -> str:
    """Bytes in few letters.

    >>> size(56300), size(1.2e6)
    ('56.3 kB', '1.2 MB')
    """
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= unit:
            return f"{value / unit:.3g} {name}"
    return f"{value:.3g} B"


def cliffs(report: Report) -> Figure:
    """The critical sizes of every curve with their intervals."""
    curves = [curve for curve in report.curves if any(report.critical(curve, name) for name in CRITICAL)]
    figure = Figure(figsize=(11, 1.5 + 0.62 * len(curves)), layout="constrained")
    axes = figure.subplots()
    shown = [report.critical(curve, name) for curve in curves for name in CRITICAL]
    finite = [row["bytes"] for row in shown if row] + [
        row["bytes_high"] for row in shown if row and row["bytes_high"] < 1e18
    ]
    low, high = min(row["bytes_low"] for row in shown if row) / 1.12, max(finite) * 1.12
    for position, curve in enumerate(curves):
        color = curve_colors(report)[curve]
        for shift, (name, shade) in zip((-0.27, -0.09, 0.09, 0.27), SHADES.items(), strict=True):
            if (row := report.critical(curve, name)) is None:
                continue
            y, marker = position + shift, "*" if name == "knee" else "D"
            fill = "white" if name == "knee" else color
            axes.plot(
                [row["bytes_low"], min(row["bytes_high"], high)], [y, y], color=color, lw=2.2, alpha=0.35 * shade + 0.15
            )
            axes.scatter(
                row["bytes"], y, s=110 if name == "knee" else 36, marker=marker, facecolor=fill, edgecolor=color,
                alpha=shade, linewidth=1.4, zorder=3,
            )  # fmt: skip
    axes.set_yticks(range(len(curves)), [curve.label for curve in curves])
    axes.set_ylim(len(curves) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    _log_ticks(axes.xaxis, (low, high), size)
    axes.set_xlabel("bytes of the smallest file, and 95 % interval")
    plain(axes, "x")
    handles = [
        Line2D([], [], color="none", marker="*" if name == "knee" else "D", markersize=10 if name == "knee" else 6,
               mfc="white" if name == "knee" else "k", mec="k", alpha=shade, label=CRITICAL[name])
        for name, shade in SHADES.items()
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
    return figure


def kind_colors(report: Report) -> dict[str, str]:
    """A colour for every way in which tensors are stored, over all curves."""
    kinds = sorted({bar.kind for curve in report.curves for bar in report.bars(curve)} - {"several"})
    return {kind: COLORS[index % len(COLORS)] for index, kind in enumerate(kinds)} | {"several": "#b8bec6"}


def layers(report: Report) -> Figure:
    """Bytes and bits a weight of every layer of the best curve's featured file."""
    bars, row = report.bars(report.best), report.featured(report.best)
    colors = kind_colors(report)
    figure = Figure(figsize=(12, 1.9 + 0.235 * len(bars)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, column, name, form in zip(
        panels, ("bytes", "bits"), ("bytes", "bits a weight"), (",.0f", ".2f"), strict=True
    ):
        lengths = [getattr(bar, column) for bar in bars]
        axes.barh(range(len(bars)), lengths, color=[colors[bar.kind] for bar in bars], height=0.7)
        for position, value in enumerate(lengths):
            axes.annotate(
                f"{value:{form}}",
                (value, position),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=7.5,
                color="#222",
            )
        axes.set_xlim(0, 1.13 * max(lengths))
        axes.set_xlabel(name)
        axes.tick_params(axis="y", length=0, labelsize=8.5)
        plain(axes, "x")
    panels[0].set_yticks(range(len(bars)), [bar.name for bar in bars])
    panels[0].set_ylim(len(bars) - 0.4, -0.6)
    used = dict.fromkeys(bar.kind for bar in bars)
    handles = [Patch(color=colors[kind], label=kind) for kind in used]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False)
    figure.suptitle(caption(report, report.best, row), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure


def caption(report: Report, curve: Curve, row: Row) -> str:
    """What a featured file is."""
    quality = f"{NAMES[report.quality]} {100 * row[report.quality]:.2f} %"
    smaller = f"{row['bytes']:,} bytes, {row['ratio']:.1f} times smaller"
    return f"{curve.label}, strength {row['strength']:.3g}: {smaller}, {quality}"
