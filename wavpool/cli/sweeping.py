"""What `wavpool sweep` does."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..codec import methods
from ..codec.bench import Subject
from ..codec.points import Curve, Row, curve_of, read_cliffs
from ..codec.sweep import SweepEvent, sweep
from ..errors import UserError
from ..evaluation.specs import DataSpec, ModelSpec
from .commands import check_folder
from .progress import bar, say

Value = TypeVar("Value", int, float, str)


class Choice(NamedTuple):
    """Lists as they were typed."""

    methods: str | None
    bases: str
    seeds: str
    strengths: str

    def curves(self, calibrated: bool) -> list[Curve]:
        """Every method with every basis and seed."""
        known = [name for name in methods.names() if calibrated or name != "calibrated"]
        chosen = known if self.methods is None else names("--methods", self.methods)
        if unknown := [name for name in chosen if name not in methods.names()]:
            raise UserError(f"there is no method {unknown[0]!r}: choose of {', '.join(methods.names())}")
        seeds = whole_numbers("--seed", self.seeds)
        bases = names("--basis", self.bases)
        return [Curve(method, basis, seed) for method in chosen for basis in bases for seed in seeds]


def run_sweep(
    folder: Path,
    model: ModelSpec,
    data: DataSpec,
    calibration: DataSpec | None,
    choice: Choice,
    profile: str,
    *,
    cliff: bool,
    workers: int,
) -> None:
    """Sweep with a progress bar, and print the critical sizes."""
    curves, strengths = choice.curves(calibration is not None), strengths_of(choice.strengths)
    check_folder(folder, folder)
    subject = Subject(model, data, calibration, profile)
    with bar(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
    ) as progress:
        task = progress.add_task("the original", total=None)

        def show(event: SweepEvent) -> None:
            progress.update(task, description=event.label, completed=event.done, total=event.total)

        rows = sweep(folder, subject, curves, strengths, cliff=cliff, workers=workers, progress=show)
    if cliff:
        Console().print(_table([row for row in read_cliffs(folder) if curve_of(row) in curves]))
    say(f"{folder / 'sweep.csv'}: {counted(len(rows), 'point')}; draw them with: wavpool report {folder}")


def words(text: str) -> list[str]:
    """Words between commas, each once.

    >>> words("dct, haar, dct")
    ['dct', 'haar']
    """
    return list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def names(option: str, text: str) -> list[str]:
    """As `words`, at least one.

    Raises:
        UserError: there is none.
    """
    return _read(option, "names", text, str)


def numbers(option: str, text: str) -> list[float]:
    """Numbers between commas, each once.

    Raises:
        UserError: something else is there, or nothing.
    """
    return _read(option, "numbers", text, float)


def whole_numbers(option: str, text: str) -> list[int]:
    """As `numbers`, of whole ones."""
    return _read(option, "whole numbers", text, int)


def _read(option: str, kind: str, text: str, read: Callable[[str], Value]) -> list[Value]:
    try:
        found = list(dict.fromkeys(map(read, words(text))))
    except ValueError:
        found = []
    if not found:
        raise UserError(f"{option} takes {kind} between commas, not {text!r}")
    return found


def strengths_of(text: str) -> list[float]:
    """Values of `--strengths`.

    Raises:
        UserError: one is not above 0, or infinite.
    """
    found = numbers("--strengths", text)
    if wrong := [value for value in found if not (math.isfinite(value) and value > 0)]:
        raise UserError(f"--strengths takes finite numbers above 0, not {wrong[0]:g}")
    return found


def counted(number: float | str, noun: str) -> str:
    """A number of things.

    >>> counted(1, "point"), counted("0.5", "point")
    ('1 point', '0.5 points')
    """
    return f"{number} {noun}{'' if str(number) == '1' else 's'}"


def _table(rows: Sequence[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name, justify in (
        ("method", "left"),
        ("within", "left"),
        ("bytes", "right"),
        ("95 %", "left"),
        ("times", "right"),
    ):
        table.add_column(name, justify="right" if justify == "right" else "left")
    for row in rows:
        within = row["critical"] if row["critical"] == "knee" else counted(row["critical"], "point")
        interval = f"{row['bytes_low']:,.0f} to {row['bytes_high']:,.0f}"
        table.add_row(curve_of(row).label, within, f"{row['bytes']:,}", interval, f"{row['ratio']:.1f}")
    return table
