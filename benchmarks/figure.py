"""The transforms' times as a figure: one panel an input, one row a case, one marker an implementation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from wavpool.pages import COLORS, save_png

from .records import FLOOR, FORWARD, OURS, PEER, Record
from .targets import by_case

OUR_COLORS, OUR_MARKERS = COLORS[:4], "Dd><"
LIBRARY_COLORS, LIBRARY_MARKERS = ("#777777", *COLORS[4:7], "#8B4513"), "ovsP*"


def draw(records: Sequence[Record], path: Path) -> None:
    """Draw the transforms' records of one number of threads."""
    inputs = list(dict.fromkeys(record.input for record in records))
    rows = (len(inputs) + 1) // 2
    figure = Figure(figsize=(13, 1.3 + 3.6 * rows), layout="constrained")
    styles = _styles(records)
    panels = figure.subplots(rows, min(2, len(inputs)), squeeze=False).flat
    for axes, shape in zip(panels, inputs, strict=False):
        groups = list(by_case(record for record in records if record.input == shape).items())
        for position, (_, group) in enumerate(groups):
            for record in group:
                if record.median_ms is not None:
                    axes.plot(record.median_ms, position, **styles[record.implementation])
        labels = [
            f"{case.wavelet}, {case.levels} level{'s' if case.levels != '1' else ''}, "
            f"{'forward' if case.direction == FORWARD else 'f. + backward'}"
            for case, _ in groups
        ]
        axes.set(xscale="log", xlabel="ms", title=shape.replace("x", " × "))
        axes.set_yticks(range(len(labels)), labels)
        axes.invert_yaxis()
        axes.grid(alpha=0.3, which="both", axis="x")
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels:  # left over where the number of inputs is odd
        axes.set_visible(False)
    handles = {name: figure.axes[0].plot([], [], **style)[0] for name, style in styles.items()}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5, frameon=False)
    threads = records[0].threads
    figure.suptitle(f"Wavelet transforms, {threads} thread{'s' if threads > 1 else ''}; medians")
    save_png(figure, path)


def _styles(records: Sequence[Record]) -> dict[str, dict[str, Any]]:
    """Hollow markers for the libraries, filled for ours, a bar for the floor."""
    styles: dict[str, dict[str, Any]] = {}
    counts = dict.fromkeys((PEER, OURS), 0)
    for record in records:
        name, role = record.implementation, record.role
        if name in styles:
            continue
        style: dict[str, Any] = {"linestyle": "none", "markersize": 7, "color": "#555555", "marker": "|"}
        if role != FLOOR:
            index = counts[role]
            colors, markers = (OUR_COLORS, OUR_MARKERS) if role == OURS else (LIBRARY_COLORS, LIBRARY_MARKERS)
            style |= {"marker": markers[index % len(markers)], "color": colors[index % len(colors)]}
            style |= {} if role == OURS else {"markerfacecolor": "none"}
            counts[role] += 1
        styles[name] = style
    return styles
