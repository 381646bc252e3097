"""What operators cost: energy, area and delay, from a table that is data.

A table is a JSON file: `energy`, `area` and `delay` by the operator's name, their `units`, the `source`, and which
entries are `estimates`. The one that is shipped (`costs_45nm.json`) is what could be reconstructed of the ancestor's.

The search compares sums of whole numbers, which no order of summation changes: costs are quantised so that a sum over
all gates (of delays: over all columns) stays below 2^64.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .operators import ARITHMETIC, BY_NAME, IDENTITY, OPERATORS

QUANTITIES = ("energy", "area", "delay")
UNITS = {"energy": "pJ", "area": "um^2", "delay": "ns"}
SMALLEST, LARGEST = Decimal("1e-30"), Decimal(10**9)  # a crafted exponent must not become a number of a million digits


@dataclass(frozen=True, eq=False)
class Costs:
    """Costs of every operator, in the order of `OPERATORS`, as decimal fractions; the identity costs nothing.

    Attributes:
        energy, area, delay: of one operator, in the units that `units` says.
        units: of the three, by name.
        source: where the numbers come from.
        estimates: names of operators whose numbers are guesses.
    """

    energy: tuple[Fraction, ...]
    area: tuple[Fraction, ...]
    delay: tuple[Fraction, ...]
    units: Mapping[str, str] = field(default_factory=lambda: UNITS)
    source: str = ""
    estimates: tuple[str, ...] = ()

    def real(self, quantity: str) -> NDArray[np.float64]:
        """Costs of one quantity as floats."""
        return np.array([float(value) for value in getattr(self, quantity)])

    def quantized(self, quantity: str, times: int) -> NDArray[np.uint64]:
        """Costs as whole numbers of which `times` add up to less than 2^64."""
        values = getattr(self, quantity)
        low, high = min(values) * times, max(values) * times
        scale = Fraction(2**64 - 2) / (high - low) if high > low else Fraction(0)
        return np.array([int((value - low) * scale) if value > low else 0 for value in values], dtype=np.uint64)


def load(path: str | Path | None = None) -> Costs:
    """A table of costs: a JSON file, a text file of the ancestor's five columns, or the shipped one.

    Raises:
        UserError: it is no such table, or an operator is missing.
        OSError: it cannot be read.
    """
    if path is None:
        return from_json(resources.files(__package__).joinpath("costs_45nm.json").read_text(encoding="utf-8"))
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path} is no table of costs, which is text") from None
    return from_json(text) if text.lstrip().startswith("{") else from_columns(text)


def from_json(text: str) -> Costs:
    """A table from JSON, see the module.

    Raises:
        UserError: it is no such table, or an operator is missing.
    """
    try:
        content: Any = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    except (ValueError, RecursionError) as error:
        raise UserError(f"a table of costs is JSON, and this is not: {error}") from None
    if not isinstance(content, dict):
        raise UserError("a table of costs is a JSON object with energy, area and delay")
    energy, area, delay = (_column(content, quantity) for quantity in QUANTITIES)
    units, estimates = content.get("units", UNITS), content.get("estimates", [])
    if not isinstance(units, dict) or set(units) != set(UNITS):
        raise UserError("units of a table of costs is an object of three words, for energy, area and delay")
    if not isinstance(estimates, list) or not all(name in BY_NAME for name in map(str, estimates)):
        raise UserError("estimates of a table of costs is a list of operators' names")
    words = {quantity: str(unit) for quantity, unit in units.items()}
    return Costs(energy, area, delay, words, str(content.get("source", "")), tuple(map(str, estimates)))


def _column(content: Mapping[str, Any], quantity: str) -> tuple[Fraction, ...]:
    given = content.get(quantity)
    if not isinstance(given, dict):
        raise UserError(f"the table of costs has no {quantity} (an object of numbers by operator)")
    names = [operator.name for operator in OPERATORS]
    wanted = [name for name in names if name != OPERATORS[IDENTITY].name]
    if missing := [name for name in wanted if name not in given]:
        raise UserError(f"the table of costs lacks the {quantity} of {', '.join(missing)}")
    if unknown := sorted(set(given) - set(BY_NAME)):
        raise UserError(f"the table of costs has the {quantity} of {unknown[0]!r}, which is no operator")
    return tuple(_cost(given[name], name, quantity) if name in wanted else Fraction(0) for name in names)


def _cost(value: Any, name: str, quantity: str) -> Fraction:
    if not isinstance(value, Decimal) or not value.is_finite() or not (value == 0 or SMALLEST <= value <= LARGEST):
        raise UserError(f"the {quantity} of {name} must be 0 or a number from 1e-30 to 1e9, got {value}")
    return Fraction(value)


def from_columns(text: str) -> Costs:
    """A table of `quantized_energy energy area quantized_delay delay`, a line an operator in the order of ids.

    The quantised columns are ours to compute. Without lines for mux and demux, these cost as in the shipped table.

    Raises:
        UserError: fewer lines than operators, or a line that does not hold five numbers.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if len(lines) < len(ARITHMETIC):
        missing = ", ".join(operator.name for operator in OPERATORS[len(lines) : len(ARITHMETIC)])
        raise UserError(f"the table of costs has {len(lines)} lines; it lacks {missing}")
    rows = [_row(number, line) for number, line in enumerate(lines[: len(ARITHMETIC)], 1)]
    shipped = load()
    energy, area, delay = (
        (*column, *getattr(shipped, quantity)[len(ARITHMETIC) :])
        for quantity, column in zip(QUANTITIES, zip(*rows, strict=True), strict=True)
    )
    return Costs(energy, area, delay, source="five columns of text")


def _row(number: int, words: Sequence[str]) -> tuple[Fraction, ...]:
    try:
        values = [Decimal(word) for word in words]
    except InvalidOperation:
        values = []
    if len(values) != 5:
        raise UserError(f"line {number} of the table of costs must hold five numbers")
    name = OPERATORS[number - 1].name
    wanted = zip(QUANTITIES, (values[1], values[2], values[4]), strict=True)
    return tuple(_cost(value, name, quantity) for quantity, value in wanted)
