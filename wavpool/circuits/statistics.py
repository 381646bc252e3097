"""What a search noted: one row an improvement."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import files


@dataclass(frozen=True)
class Row:
    """An improvement of one run.

    Attributes:
        run: number of the run.
        generation: when it came.
        time: seconds of searching until it was noted (improvements are noted some tenths of a second apart).
        error: in the metric of the run.
        energy, area, delay: of the active gates, in the units of the costs.
        gates: active gates without wires.
        chromosome: its text, or nothing where it was not asked for.
    """

    run: int
    generation: int
    time: float
    error: int
    energy: float
    area: float
    delay: float
    gates: int
    chromosome: str = ""


def write(path: str | Path, rows: Sequence[Row]) -> None:
    """Write rows as CSV, whole or not at all, in place of what was there."""
    files.write_csv(path, [vars(row) for row in rows])
