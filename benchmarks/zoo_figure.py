"""The zoo as a figure: accuracy on CIFAR-10 against parameters, multiply-adds and latency, every point named."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from wavpool.pages import COLORS, GRAY, plain, save_png


class Point(NamedTuple):
    """A network: accuracy in percent, parameters, multiply-adds and milliseconds of one image; None if unknown."""

    name: str
    kind: str  # of STYLES
    accuracy: float
    parameters: float | None
    macs: float | None
    latency: float | None


STYLES: dict[str, dict[str, Any]] = {
    "ours": {"color": COLORS[0], "marker": "D", "label": "ours"},
    "rival": {"color": COLORS[1], "marker": "o", "label": "others, measured here"},
    "published": {"color": GRAY, "marker": "o", "markerfacecolor": "none", "label": "others, as published"},
}
PANELS = {
    "parameters": "parameters",
    "macs": "multiply-adds for one image",
    "latency": "milliseconds for one image, one thread",
}
LOWEST = 78.0  # accuracy below which a network is left out
# Places of a label beside its point: offsets in points, and the corner or edge that is put there.
_PLACES = tuple(
    (dx * distance, dy * distance, ha, va)
    for distance in (1, 2, 3.5, 5, 7, 9)
    for dx, dy, ha, va in (
        (7, 0, "left", "center"),
        (-7, 0, "right", "center"),
        (0, 6, "center", "bottom"),
        (0, -6, "center", "top"),
        (5, 5, "left", "bottom"),
        (5, -5, "left", "top"),
        (-5, 5, "right", "bottom"),
        (-5, -5, "right", "top"),
    )
)


def draw(points: Sequence[Point], path: Path) -> None:
    """Draw the points that are known of in each panel, and write a PNG."""
    shown = [point for point in points if point.accuracy >= LOWEST]
    figure = Figure(figsize=(10, 13), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels = list(zip(PANELS, figure.subplots(len(PANELS), 1), strict=True))
    for key, axes in panels:
        _plot(axes, key, [point for point in shown if getattr(point, key)])
    handles, labels = panels[0][1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    canvas.draw()
    figure.set_layout_engine("none")  # labels are placed on the final layout
    for key, axes in panels:
        _name(axes, canvas, key, [point for point in shown if getattr(point, key)])
    save_png(figure, path)


def _plot(axes: Axes, key: str, points: Sequence[Point]) -> None:
    for kind, style in STYLES.items():
        chosen = sorted((point for point in points if point.kind == kind), key=lambda point: getattr(point, key))
        xs = [getattr(point, key) for point in chosen]
        line: dict[str, Any] = {"linestyle": "-" if kind == "ours" else "none", "linewidth": 1, "markersize": 6}
        axes.plot(xs, [point.accuracy for point in chosen], **line, **style)
    axes.set(xscale="log", xlabel=PANELS[key], ylabel="accuracy on CIFAR-10, %")
    axes.margins(0.12)
    plain(axes, "x", "y")


def _name(axes: Axes, canvas: FigureCanvasAgg, key: str, points: Sequence[Point]) -> None:
    """Put each name at the nearest place where it covers neither a point, nor our line, nor another name."""
    renderer, frame = canvas.get_renderer(), axes.get_window_extent()
    centers = {point: axes.transData.transform((getattr(point, key), point.accuracy)) for point in points}
    line = sorted(tuple(center) for point, center in centers.items() if point.kind == "ours")
    taken = [_around(center[0], center[1], 5) for center in centers.values()] + _along(line)
    for point in sorted(points, key=lambda point: (point.kind, -point.accuracy)):
        for dx, dy, ha, va in _PLACES:
            text = axes.annotate(
                point.name,
                (getattr(point, key), point.accuracy),
                (dx, dy),
                textcoords="offset points",
                ha=ha,
                va=va,
                fontsize=8,
                color=STYLES[point.kind]["color"],
                arrowprops={"arrowstyle": "-", "lw": 0.6, "color": GRAY, "shrinkA": 0, "shrinkB": 4},
            )
            box = name_box(text, renderer).padded(2)
            inside = frame.containsx(box.x0) and frame.containsx(box.x1) and frame.containsy(box.y0)
            if inside and frame.containsy(box.y1) and not any(box.overlaps(other) for other in taken):
                break
            if (dx, dy, ha, va) != _PLACES[-1]:  # a crowded name stays at the last place
                text.remove()
        taken.append(box)


def name_box(text: Annotation, renderer: RendererBase) -> Bbox:
    """Where the words of an annotation are, without its line."""
    text.update_positions(renderer)
    return Bbox(Text.get_window_extent(text, renderer).get_points())


def _around(x: float, y: float, margin: float) -> Bbox:
    return Bbox.from_bounds(x - margin, y - margin, 2 * margin, 2 * margin)


def _along(corners: Sequence[tuple[float, ...]]) -> list[Bbox]:
    """Small boxes along a line through these points."""
    boxes = []
    for (x0, y0), (x1, y1) in pairwise(corners):
        steps = int(max(abs(x1 - x0), abs(y1 - y0)) / 4) + 1
        boxes += [_around(x0 + (x1 - x0) * k / steps, y0 + (y1 - y0) * k / steps, 2) for k in range(steps)]
    return boxes
