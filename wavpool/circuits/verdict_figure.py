"""The figure of the comparison: energy of a pass's weight reads against accuracy lost, a panel a memory."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, NullLocator
from matplotlib.transforms import Bbox

from ..pages import COLORS, plain
from .memory import Memory
from .storage import Form
from .verdict import Row
from .wiring import PARALLEL

MARKERS = {"plain": "s", "pruned": "v", "Huffman": "D", "codebook": "o", "circuit": "*", "wired": "P"}
WORDS = {
    "plain": "plain int8, and dashed", "pruned": "pruned, share of zeros", "Huffman": "Huffman-coded",
    "codebook": "shared weights, bits of an index", "circuit": "computed by a circuit",
    "wired": "the same wired to the supply",
}  # fmt: skip
SIZES = {"*": 230, "P": 26}  # a circuit and the same wires often fall together: one is seen within the other
LINEAR = 0.1  # points of loss up to which the axis is linear
PLACES = (  # of a label beside its mark, the first that is free: offset in points, and which side of the text is there
    (9, 0, "left", "center"), (0, -7, "center", "top"), (0, 7, "center", "bottom"), (-9, 0, "right", "center"),
    (7, -7, "left", "top"), (7, 7, "left", "bottom"), (0, 16, "center", "bottom"), (0, -16, "center", "top"),
)  # fmt: skip
TICKS = (-10, -1, -0.1, 0, 0.1, 1, 10, 100)


def energy_figure(rows: Sequence[Row], memory: Memory, levels: Sequence[str] = ()) -> Figure:
    """Energy (pJ a pass, logarithmic; what costs nothing lies on the floor) against points of accuracy lost.

    A panel for each of `levels`, or for those memories that the table shows.

    Raises:
        UserError: the table has no such memory.
    """
    levels = levels or memory.shown
    energies = [row.form.energy(memory.per_byte(level)) for row in rows for level in levels]
    positive = [energy for energy in energies if energy > 0] or [1.0]
    floor, top = min(positive) / 4, max(positive) * 2.5
    figure = Figure(figsize=(4.3 * len(levels) + 0.6, 5.6), layout="constrained")
    panels = figure.subplots(1, len(levels), sharey=True, sharex=True, squeeze=False)[0]
    for axes, level in zip(panels, levels, strict=True):
        _panel(axes, rows, memory.per_byte(level), floor)
        axes.set_title(f"{level}: {memory.per_byte(level):g} pJ a byte", loc="left", fontsize=11, fontweight="bold")
        axes.set_xlabel("accuracy lost, points")
    panels[0].set_yscale("log")
    panels[0].set_ylim(floor / 1.5, top)
    panels[0].set_ylabel("energy of one pass's weight reads, pJ")
    _loss_axis(panels[0], [100 * row.loss for row in rows])
    figure.legend(handles=_handles(rows), loc="outside upper center", ncols=4, frameon=False)
    figure.draw_without_rendering()  # until then nobody knows where anything lies
    for axes in panels:
        _set_apart(axes)
    return figure


def _set_apart(axes: Axes) -> None:
    """Move labels to where they cover neither a mark nor each other."""
    points = [axes.transData.transform(mark.get_offsets())[0] for mark in axes.collections]
    side = 4 * axes.figure.dpi / 72
    taken = [Bbox.from_bounds(x - side, y - side, 2 * side, 2 * side) for x, y in points]
    for label in (text for text in axes.texts if isinstance(text, Annotation)):
        for x, y, horizontal, vertical in PLACES:
            label.set(position=(x, y), ha=horizontal, va=vertical)
            box = label.get_window_extent()
            if axes.bbox.containsx(box.x0) and not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)


def _panel(axes: Axes, rows: Sequence[Row], per_byte: float, floor: float) -> None:
    for index, (family, marker) in enumerate(MARKERS.items()):
        members = sorted((row for row in rows if row.form.family == family), key=lambda row: row.form.stored_bits)
        if family in ("pruned", "codebook"):
            line = [row for row in members if row.form.setting != "lossless"]
            axes.plot([100 * row.loss for row in line], [row.form.energy(per_byte) for row in line],
                      color=COLORS[index], lw=1, alpha=0.4)  # fmt: skip
        if family == "plain" and members:
            axes.axhline(
                members[0].form.energy(per_byte), color=COLORS[index], ls=(0, (4, 3)), lw=1, alpha=0.7, zorder=0
            )
        for row in members:
            energy = row.form.energy(per_byte)
            axes.scatter(
                100 * row.loss, max(energy, floor), SIZES.get(marker, 52), marker=marker, zorder=3,
                color="white" if row.form.setting == PARALLEL else COLORS[index], edgecolor=COLORS[index],
                linewidth=1.2, clip_on=False,
            )  # fmt: skip
            label = _label(row.form) or ("0 pJ" if energy <= 0 else "")
            if label:
                axes.annotate(label, (100 * row.loss, max(energy, floor)), (9, 0), textcoords="offset points",
                              va="center", fontsize=7.5, color="#222")  # fmt: skip
    plain(axes, "x", "y")


def _label(form: Form) -> str:
    """What is written beside a mark: the legend says the rest."""
    if form.family == "codebook":
        return form.setting.removesuffix(" bits").removesuffix(" bit")
    return form.setting if form.family == "pruned" else ""


def _loss_axis(axes: Axes, losses: Sequence[float]) -> None:
    axes.set_xscale("symlog", linthresh=LINEAR, linscale=0.6)
    low, high = min(*losses, 0.0), max(*losses, LINEAR)
    axes.set_xlim(low * 1.5 - LINEAR / 3, high * 2.5)
    axes.set_xticks([tick for tick in TICKS if low * 1.5 - LINEAR / 3 <= tick <= high * 2.5])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _handles(rows: Sequence[Row]) -> list[Line2D]:
    families = {row.form.family for row in rows}
    handles = [
        Line2D([], [], color="none", marker=marker, markersize=11 if marker == "*" else 7, mfc=COLORS[index],
               mec=COLORS[index], label=WORDS[family])
        for index, (family, marker) in enumerate(MARKERS.items())
        if family in families
    ]  # fmt: skip
    if {"circuit", "wired"} & families:
        models = {"k": "filled: delivered one by one", "w": "open: all at once, wires free"}
        handles += [
            Line2D([], [], color="none", marker="*", markersize=11, mfc=fill, mec="k", label=words)
            for fill, words in models.items()
        ]
    return handles
