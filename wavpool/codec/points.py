"""The folder of a sweep: what it holds, how it is written, and how it is read.

* `settings.json`: the model (with a digest of its weights) and the data; a folder is for one of these;
* `points/`: a JSON file for every compressed model, with its figures and its layers, written when it is finished;
* `sweep.csv`: the figures of all points, a row each, in the columns `COLUMNS`;
* `cliffs.csv`: the critical sizes of each method, in the columns `CLIFF_COLUMNS`.
"""

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UserError
from ..files import write_csv, write_json

MEASURES = (
    "accuracy", "drop", "top5", "loss", "f1", "precision", "recall", "kl", "agreement", "inference_seconds",
)  # fmt: skip
"""Figures that have an interval: columns `name`, `name_low` and `name_high`."""

COLUMNS = (
    "method", "basis", "strength", "seed", "bytes", "original_bytes", "ratio", "zero_coefficients", "zero_weights",
    "samples", *(f"{name}{end}" for name in MEASURES for end in ("", "_low", "_high")),
    "encode_seconds", "decode_seconds",
)  # fmt: skip
CLIFF_COLUMNS = ("method", "basis", "seed", "critical", "bytes", "bytes_low", "bytes_high", "ratio")
ORIGINAL = "original"
"""The method of the row of the model itself."""

_WORDS = ("method", "basis", "critical")
_WHOLE = ("seed", "bytes", "original_bytes", "samples")

Row = dict[str, Any]
"""A row of a table: words, whole numbers and floats by column; a figure that the data do not allow is absent."""


class Curve(NamedTuple):
    """What has one accuracy for each size: a method, a basis and a seed."""

    method: str
    basis: str = "auto"
    seed: int = 0

    @property
    def label(self) -> str:
        """For people; `auto` and seed 0 go without saying."""
        basis = "" if self.basis == "auto" else f" {self.basis}"
        return f"{self.method}{basis}{f' #{self.seed}' if self.seed else ''}"

    def file(self, strength: float) -> str:
        """Name of a point's file."""
        basis = "".join(letter if letter.isalnum() else "-" for letter in self.basis)
        return f"{self.method}_{basis}_{self.seed}_{float(strength)!r}.json"


def curve_of(row: Row) -> Curve:
    """The curve that a row belongs to."""
    return Curve(row["method"], row["basis"], row["seed"])


def claim(folder: Path, settings: Mapping[str, Any]) -> None:
    """Let a folder be that of these settings.

    Raises:
        UserError: it is that of others.
    """
    path = folder / "settings.json"
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        if others := [name for name in settings if found.get(name) != settings[name]]:
            raise UserError(f"{folder} holds a sweep of other settings ({', '.join(others)}): give another folder")
    else:
        write_json(path, settings)


def write_point(folder: Path, file: str, figures: Row, layers: Sequence[Mapping[str, Any]]) -> None:
    """Write a finished point; an infinite figure becomes null."""
    ordered = {name: figures[name] for name in COLUMNS if name in figures}
    write_json(folder / "points" / file, {"figures": ordered, "layers": list(layers)})


def read_point(folder: Path, file: str) -> tuple[Row, list[dict[str, Any]]] | None:
    """Figures and layers of a point; None where it has not been measured."""
    try:
        content = json.loads((folder / "points" / file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    figures = {name: math.inf if value is None else value for name, value in content["figures"].items()}
    return figures, content["layers"]


def read_points(folder: Path) -> Iterator[tuple[Row, list[dict[str, Any]]]]:
    """Every point: the original first, then by curve and size, the largest first."""
    points = [read_point(folder, path.name) for path in (folder / "points").glob("*.json")]
    known = [point for point in points if point is not None]
    return iter(
        sorted(known, key=lambda point: (point[0]["method"] != ORIGINAL, curve_of(point[0]), -point[0]["bytes"]))
    )


def write_tables(folder: Path, cliffs: Sequence[Row] | None = None) -> list[Row]:
    """Write `sweep.csv` anew from the points, and `cliffs.csv` where rows are given; returns the rows of the first."""
    rows = [row for row, _ in read_points(folder)]
    write_csv(folder / "sweep.csv", [{name: row.get(name, "") for name in COLUMNS} for row in rows])
    if cliffs is not None:
        write_csv(folder / "cliffs.csv", [{name: row[name] for name in CLIFF_COLUMNS} for row in cliffs])
    return rows


def read_cliffs(folder: Path) -> list[Row]:
    """Rows of `cliffs.csv`; none where it is absent or empty."""
    try:
        with (folder / "cliffs.csv").open(encoding="utf-8", newline="") as file:
            return [{name: _value(name, text) for name, text in row.items()} for row in csv.DictReader(file)]
    except FileNotFoundError:
        return []


def _value(name: str, text: str) -> Any:
    return text if name in _WORDS else int(text) if name in _WHOLE else float(text)
