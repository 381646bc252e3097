"""The report of a sweep: figures as PNG and one page of HTML."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UserError
from ..files import read_json, write_text
from .points import ORIGINAL, Curve, Row, curve_of, read_cliffs, read_points

SHOWN_LAYERS = 40  # the others are one bar
TOLERANCE = 1.0  # points of accuracy, or of a hundred of agreement, that the files shown layer by layer may lose


class Layer(NamedTuple):
    """A bar: one tensor, or what is left."""

    name: str
    kind: str
    bytes: int
    bits: float


@dataclass(frozen=True)
class Report:
    """What a sweep's folder holds.

    Attributes:
        settings: the model and the data.
        original: row of the model itself.
        curves: rows by curve, from the smallest file to the largest.
        layers: of the point of each curve that `featured` names, the tensors.
        cliffs: rows of the critical sizes.
    """

    settings: dict[str, Any]
    original: Row
    curves: dict[Curve, list[Row]]
    layers: dict[Curve, list[dict[str, Any]]]
    cliffs: list[Row]

    @property
    def labelled(self) -> bool:
        """Whether there are labels, and so accuracy and loss; else there are agreement and KL."""
        return "accuracy" in self.original

    @property
    def quality(self) -> str:
        """The figure to keep up."""
        return "accuracy" if self.labelled else "agreement"

    @property
    def distance(self) -> str:
        """The figure to keep down."""
        return "loss" if self.labelled else "kl"

    @cached_property
    def best(self) -> Curve:
        """The curve whose featured file is the smallest of those that keep the tolerance, or that lose least."""
        files = {curve: self.featured(curve) for curve in self.curves}
        return min(files, key=lambda curve: (max(lost(files[curve]), TOLERANCE), files[curve]["bytes"]))

    def featured(self, curve: Curve) -> Row:
        """The smallest file of a curve that loses at most a point, or else the one that loses least."""
        return featured(self.curves[curve])

    def critical(self, curve: Curve, name: str) -> Row | None:
        """The critical size `0.5`, `1`, `5` or `knee` of a curve; None where it was not found."""
        return next((row for row in self.cliffs if curve_of(row) == curve and row["critical"] == name), None)

    def bars(self, curve: Curve) -> list[Layer]:
        """The layers of the featured file in the model's order; those beyond the 40 largest are one."""
        layers = [layer for layer in self.layers[curve] if layer["bytes"]]
        largest = sorted(layers, key=lambda layer: layer["bytes"], reverse=True)[:SHOWN_LAYERS]
        shown = [layer for layer in layers if layer in largest]
        bars = [Layer(layer["name"], kind(layer), layer["bytes"], layer["bits_per_weight"]) for layer in shown]
        if rest := [layer for layer in layers if layer not in largest]:
            size = sum(layer["bytes"] for layer in rest)
            count = sum(math.prod(layer["shape"]) for layer in rest)
            bars.append(Layer(f"{len(rest)} smaller tensors", "several", size, 8 * size / max(count, 1)))
        return bars


def lost(row: Row) -> float:
    """Points of accuracy that a file lost, or without labels points of a hundred of agreement."""
    return float(row["drop"] if "drop" in row else 100 * (1 - row["agreement"]))


def featured(rows: Sequence[Row]) -> Row:
    """The smallest file that loses at most a point, or else the one that loses least."""
    held = [row for row in rows if lost(row) <= TOLERANCE]
    return min(held, key=lambda row: row["bytes"]) if held else min(rows, key=lost)


def kind(layer: dict[str, Any]) -> str:
    """The basis of a tensor without its level, or how it is stored."""
    basis = layer.get("basis")
    if not basis:
        return "lossless"
    return "no transform" if basis == "none" else str(basis).partition(":")[0].partition("@")[0]


def read_report(folder: Path) -> Report:
    """Read a sweep's folder.

    Raises:
        UserError: it is none, is damaged, or holds no compressed model yet.
    """
    try:
        settings = read_json(folder / "settings.json")
    except FileNotFoundError:
        raise UserError(
            f"{folder} is no folder of a sweep: make one with wavpool sweep MODEL DATA -o {folder}"
        ) from None
    except NotADirectoryError:
        raise UserError(f"{folder} is a file, not a sweep's folder; wavpool info shows a compressed model") from None
    except ValueError:
        raise UserError(f"{folder / 'settings.json'} is damaged: sweep into another folder") from None
    original: Row = {}
    curves: dict[Curve, list[Row]] = {}
    layers: dict[tuple[Curve, float], list[dict[str, Any]]] = {}
    for row, tensors in read_points(folder):
        if row["method"] == ORIGINAL:
            original = row
        else:
            curves.setdefault(curve_of(row), []).insert(0, row)
            layers[curve_of(row), row["strength"]] = tensors
    if not curves or not original:
        raise UserError(f"{folder} holds no finished point: let wavpool sweep run on")
    shown = {curve: layers[curve, featured(rows)["strength"]] for curve, rows in curves.items()}
    return Report(settings, original, curves, shown, read_cliffs(folder))


def write_report(folder: str | Path, output: str | Path | None = None) -> list[Path]:
    """Draw a sweep: `tradeoff.png`, `cliffs.png` where there are any, `layers.png` and `report.html`.

    Args:
        folder: of the sweep.
        output: folder to write to, by default the same.

    Returns:
        The paths of the files.

    Raises:
        UserError: the folder is not that of a sweep, or holds no compressed model yet.
        ImportError: matplotlib or plotly is missing.
    """
    report = read_report(Path(folder))
    output = Path(folder if output is None else output)
    try:
        from .report_figures import write_figures
        from .report_page import page
    except ModuleNotFoundError as error:
        raise ImportError(f"the report needs {error.name}: pip install 'wavpool[reports]'") from error
    paths = write_figures(report, output)
    write_text(output / "report.html", page(report))
    return [*paths, output / "report.html"]
