"""What was measured: one record an implementation in a case, kept as CSV."""

import csv
import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from training.files import write_csv

from .timing import Timing

FLOOR, PEER, OURS = "floor", "peer", "ours"
FORWARD, BOTH, STEP, INFERENCE, IMPORT = "forward", "forward+backward", "training step", "inference", "import"
TRANSFORM = "transform"  # the other benchmarks are called by the name of a model, or IMPORT


@dataclasses.dataclass(frozen=True)
class Case:
    """What every implementation is given: a benchmark, its input, and how it is run. Empty where it does not apply."""

    benchmark: str
    input: str
    wavelet: str
    levels: str
    direction: str
    threads: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the input.

        >>> Case("transform", "64x1x32x32", "haar", "3", "forward", 1).shape
        (64, 1, 32, 32)
        """
        return tuple(map(int, self.input.split("x")))


@dataclasses.dataclass(frozen=True)
class Record(Case):
    """One implementation in one case.

    `ratio_to_floor` is its time over the floor's; `speedup` is the fastest peer's time over its own. `note` says why
    there are no times, or what was left out.
    """

    implementation: str
    role: str
    mode: str = ""
    median_ms: float | None = None
    iqr_ms: float | None = None
    runs: int = 0
    ratio_to_floor: float | None = None
    speedup: float | None = None
    note: str = ""

    @property
    def case(self) -> Case:
        return Case(self.benchmark, self.input, self.wavelet, self.levels, self.direction, self.threads)

    @classmethod
    def parse(cls, row: Mapping[str, str]) -> Self:
        """Record of a row of the CSV."""
        values: dict[str, Any] = dict(row)
        values |= {key: int(row[key]) for key in ("threads", "runs")}
        numbers = ("median_ms", "iqr_ms", "ratio_to_floor", "speedup")
        values |= {key: float(row[key]) if row[key] else None for key in numbers}
        return cls(**values)


def timed(case: Case, implementation: str, role: str, timing: Timing, mode: str = "", note: str = "") -> Record:
    """Record of a timing."""
    return Record(**vars(case), implementation=implementation, role=role, mode=mode, note=note, **timing._asdict())


def skipped(case: Case, implementation: str, role: str, note: str) -> Record:
    """Record of an implementation that could not be timed."""
    return Record(**vars(case), implementation=implementation, role=role, note=note)


def fastest(records: Iterable[Record], role: str) -> Record | None:
    """The fastest timed record of a role."""
    found = [record for record in records if record.role == role and record.median_ms is not None]
    return min(found, key=lambda record: record.median_ms or 0.0, default=None)


def with_ratios(records: list[Record]) -> list[Record]:
    """The records of one case, with their ratios to its floor and to its fastest peer."""
    floor, peer = fastest(records, FLOOR), fastest(records, PEER)

    def complete(record: Record) -> Record:
        ratio = record.median_ms / floor.median_ms if record.median_ms and floor and floor.median_ms else None
        speedup = peer.median_ms / record.median_ms if record.median_ms and peer and peer.median_ms else None
        return dataclasses.replace(record, ratio_to_floor=ratio, speedup=speedup)

    return [complete(record) for record in records]


def write_records(path: Path, records: list[Record]) -> None:
    """Write them as CSV, five significant digits."""

    def text(value: object) -> object:
        if value is None:
            return ""
        return f"{value:.5g}" if isinstance(value, float) else value

    rows = [{key: text(value) for key, value in dataclasses.asdict(record).items()} for record in records]
    write_csv(path, rows)


def read_records(path: Path) -> list[Record]:
    """The records of a CSV file; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [Record.parse(row) for row in csv.DictReader(file)]
