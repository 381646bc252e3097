"""The folder of a sweep: what it holds, how it is written, and how it is read.

* `settings.json`: the model (with a digest of its weights) and the data; a folder is for one of these;
* `points/`: a JSON file for every compressed model, with its figures and its layers, written when it is finished;
* `sweep.csv`: the figures of all points, a row each, in the columns `COLUMNS`;
* `cliffs.csv`: the critical sizes of each method, in the columns `CLIFF_COLUMNS`.
"""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UserError
from ..files import read_json, write_csv, write_json

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
NEEDED = ("method", "basis", "strength", "seed", "bytes")
"""Columns without which a point is none."""
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


class OtherSettings(UserError):
    """A folder that holds a sweep of other settings.

    Attributes:
        names: of the settings that differ.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        super().__init__(f"{folder} holds a sweep of other settings ({', '.join(names)}): give another folder")
        self.names = tuple(names)


def check_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a folder with points of other settings; settings alone, of a sweep that came to nothing, are no claim.

    Raises:
        OtherSettings: it is such a folder.
        UserError: its settings cannot be read.
    """
    if not any((folder / "points").glob("*.json")):
        return
    found = _read_json(folder / "settings.json")
    if not isinstance(found, dict):
        raise UserError(f"{folder / 'settings.json'} is damaged or absent: sweep into another folder")
    if others := [name for name in settings if found.get(name) != settings[name]]:
        raise OtherSettings(folder, others)


def claim(folder: Path, settings: Mapping[str, Any]) -> None:
    """Let a folder be that of these settings.

    Raises:
        UserError: as `check_settings`.
    """
    check_settings(folder, settings)
    write_json(folder / "settings.json", settings)


def write_point(folder: Path, file: str, figures: Row, layers: Sequence[Mapping[str, Any]]) -> None:
    """Write a finished point; an infinite figure becomes null."""
    ordered = {name: figures[name] for name in COLUMNS if name in figures}
    write_json(folder / "points" / file, {"figures": ordered, "layers": list(layers)})


def read_point(folder: Path, file: str) -> tuple[Row, list[dict[str, Any]]] | None:
    """Figures and layers of a point; None where it has not been measured.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / "points" / file
    if not path.exists():
        return None
    content = _read_json(path)
    try:
        figures = {name: math.inf if value is None else value for name, value in content["figures"].items()}
        if missing := [name for name in NEEDED if name not in figures]:
            raise KeyError(missing[0])
        return figures, list(content["layers"])
    except (KeyError, TypeError, AttributeError):
        raise UserError(f"{path} is damaged: delete it and run the sweep again") from None


def _read_json(path: Path) -> Any:
    """What a file holds; None where it is absent or no JSON."""
    try:
        return read_json(path)
    except (FileNotFoundError, ValueError):
        return None


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
    write_csv(folder / "sweep.csv", [{name: row.get(name, "") for name in COLUMNS} for row in rows], COLUMNS)
    if cliffs is not None:
        found = [{name: row[name] for name in CLIFF_COLUMNS} for row in cliffs]
        write_csv(folder / "cliffs.csv", found, CLIFF_COLUMNS)
    return rows


def read_cliffs(folder: Path) -> list[Row]:
    """Rows of `cliffs.csv`; none where it is absent or empty.

    Raises:
        UserError: it is damaged.
    """
    try:
        with (folder / "cliffs.csv").open(encoding="utf-8", newline="") as file:
            return [{name: _value(name, text) for name, text in row.items()} for row in csv.DictReader(file)]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{folder / 'cliffs.csv'} is damaged: delete it and run the sweep again") from None


def _value(name: str, text: str) -> Any:
    return text if name in _WORDS else int(text) if name in _WHOLE else float(text)
