"""The grid of gates that a circuit is wired on, and which wires are legal in it.

Pins are numbered from the primary inputs, 0 .. inputs - 1, on; output k of gate g is pin `inputs + g gate_outputs + k`.
Gates are numbered column by column: gate g stands in column `g // rows`. A gate may read any pin of the `levels_back`
columns before its own, and the primary inputs where that reaches before the first column; so may the outputs, which
count as one more column. (With `levels_back = columns`, outputs therefore cannot be wired to primary inputs.)

Source: Miller and Thomson, Cartesian Genetic Programming, EuroGP 2000.
"""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError

ARITY = 2  # inputs of a gate
GENES = ARITY + 1  # of a gate: two input pins and the operator's code
LIMIT = 1 << 22  # gates or pins, so that a crafted chromosome cannot ask for all memory
ALL = LIMIT + 1  # levels back: out of range, so that it cannot be meant otherwise


@dataclass(frozen=True)
class Grid:
    """A grid; genes are two input pins and an operator a gate, column by column, then one pin an output.

    Args:
        inputs: primary inputs.
        outputs: outputs of the circuit.
        rows, columns: of gates.
        levels_back: how many columns back a gate may read; `columns + 1`, the default, lets all read everything before
            them.
        gate_outputs: pins of a gate, 1 or 2 (for demultiplexers).

    Raises:
        UserError: a number out of range.
    """

    inputs: int
    outputs: int
    rows: int
    columns: int
    levels_back: int = ALL
    gate_outputs: int = 1

    def __post_init__(self) -> None:
        if self.levels_back == ALL:
            object.__setattr__(self, "levels_back", self.columns + 1)
        for name in ("inputs", "outputs", "rows", "columns", "levels_back"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or not 1 <= value <= LIMIT:
                raise UserError(f"{name} must be a whole number from 1 to {LIMIT:,}, got {value!r}")
        if self.gate_outputs not in (1, 2):
            raise UserError(f"gate_outputs must be 1 or 2, got {self.gate_outputs}")
        if self.inputs + self.gates * self.gate_outputs + self.outputs > LIMIT:
            raise UserError(f"a grid may have at most {LIMIT:,} pins")

    @property
    def gates(self) -> int:
        """Gates of the grid, active or not."""
        return self.rows * self.columns

    @property
    def pins(self) -> int:
        """Primary inputs and gates' outputs."""
        return self.inputs + self.gates * self.gate_outputs

    @property
    def genes(self) -> int:
        """Length of a genome."""
        return self.gates * GENES + self.outputs

    @functools.cached_property
    def legal(self) -> NDArray[np.int32]:
        """First legal pin and number of legal pins of every column and, last, of the outputs: (columns + 1, 2)."""
        column = np.arange(1, self.columns + 2)
        first = np.maximum(0, column - self.levels_back)
        pins = self.rows * self.gate_outputs
        begin = np.where(first == 0, 0, self.inputs + (first - 1) * pins)
        end = self.inputs + (column - 1) * pins
        return np.stack([begin, end - begin], 1).astype(np.int32)

    def legal_of(self, column: int) -> range:
        """Pins that gates of a column (`columns`: the outputs) may read."""
        begin, count = map(int, self.legal[column])
        return range(begin, begin + count)
