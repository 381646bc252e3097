"""What `wavpool info` shows."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from ..codec.model import load
from .progress import shortened

_NONE = "–"
_COLUMNS = ("shape", "basis", "level", "bits", "zeros", "bytes")
_GAP = 2  # blanks between two columns
_SHORTEST = 12  # of a name
_NARROW = 80  # columns that a terminal has at least


def show(file: Path, as_json: bool) -> None:
    """Print the tensors of a file and their totals."""
    with load(file) as model:
        rows, attributes = list(model.report), dict(model.attributes)
    totals = {
        "tensors": len(rows),
        "weights": sum(row["weights"] for row in rows),
        "original_bytes": sum(row["original_bytes"] for row in rows),
        "bytes": file.stat().st_size,
    }
    totals["ratio"] = totals["original_bytes"] / totals["bytes"]
    if as_json:
        print(json.dumps({"file": str(file), "totals": totals, "attributes": attributes, "tensors": rows}, indent=1))
        return
    console = Console()
    console.print(_table(rows, max(console.width, _NARROW)))
    console.print(
        f"{file}: {totals['bytes']:,} bytes, {totals['ratio']:.1f} times smaller than {totals['original_bytes']:,}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip


def _table(rows: Sequence[dict[str, Any]], width: int) -> Table:
    """The tensors, their names shortened so that the table is at most `width` wide."""
    cells = [
        (_shape(row["shape"]), _basis(row), _level(row), _bits(row), _zeros(row), f"{row['bytes']:,}") for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *cells, strict=True)]
    room = max(width - sum(widths) - _GAP * len(widths), _SHORTEST)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("tensor", no_wrap=True)
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name in ("shape", "basis") else "right", no_wrap=True)
    for row, others in zip(rows, cells, strict=True):
        table.add_row(shortened(row["name"], room), *others)
    return table


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "scalar"


def _basis(row: dict[str, Any]) -> str:
    return str(row.get("basis") or row.get("method") or _NONE)


def _level(row: dict[str, Any]) -> str:
    return _NONE if row.get("level") is None else str(row["level"])


def _bits(row: dict[str, Any]) -> str:
    return f"{row['bits_per_weight']:.2f}" if row["weights"] else _NONE


def _zeros(row: dict[str, Any]) -> str:
    return _NONE if row.get("zeros") is None else f"{row['zeros']:.0%}"
