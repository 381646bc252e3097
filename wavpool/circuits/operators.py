"""The operators that a gate can be: 8-bit two's-complement arithmetic that wraps around, as wires and logic compute it.

Ids are those of the chromosome's text; `code` is the place in `OPERATORS`, which is what genes hold.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError

IDENTITY_ID = 100


class Operator(NamedTuple):
    """One operator.

    Attributes:
        id: its number in a chromosome.
        name: its name in cost tables, statistics and exported circuits.
        arity: how many of a gate's inputs it reads, from the first.
        is_wiring: it needs no logic, only wires: constants, shifts and the identity.
        compute: value of two int8 inputs, before it is wrapped to int8; for `mux` and `demux` that of the first case.
    """

    id: int
    name: str
    arity: int
    is_wiring: bool
    compute: Callable[[int, int], int]


OPERATORS: tuple[Operator, ...] = (
    Operator(0, "reverse_max_a", 1, False, lambda a, _: 127 - a),
    Operator(1, "add", 2, False, lambda a, b: a + b),
    Operator(2, "sub", 2, False, lambda a, b: a - b),
    Operator(3, "mul", 2, False, lambda a, b: a * b),
    Operator(4, "neg", 1, False, lambda a, _: -a),
    Operator(5, "reverse_min_b", 1, False, lambda a, _: a - 128),
    Operator(6, "quarter", 1, True, lambda a, _: a >> 2),
    Operator(7, "half", 1, True, lambda a, _: a >> 1),
    Operator(8, "bit_and", 2, False, lambda a, b: a & b),
    Operator(9, "bit_or", 2, False, lambda a, b: a | b),
    Operator(10, "bit_xor", 2, False, lambda a, b: a ^ b),
    Operator(11, "bit_neg", 1, False, lambda a, _: ~a),
    Operator(12, "double", 1, True, lambda a, _: a << 1),
    Operator(13, "bit_inc", 1, False, lambda a, _: a + 1),
    Operator(14, "bit_dec", 1, False, lambda a, _: a - 1),
    Operator(15, "r_shift_3", 1, True, lambda a, _: a >> 3),
    Operator(16, "r_shift_4", 1, True, lambda a, _: a >> 4),
    Operator(17, "r_shift_5", 1, True, lambda a, _: a >> 5),
    Operator(18, "l_shift_2", 1, True, lambda a, _: a << 2),
    Operator(19, "l_shift_3", 1, True, lambda a, _: a << 3),
    Operator(20, "l_shift_4", 1, True, lambda a, _: a << 4),
    Operator(21, "l_shift_5", 1, True, lambda a, _: a << 5),
    Operator(22, "one_const", 0, True, lambda *_: 1),
    Operator(23, "minus_one_const", 0, True, lambda *_: -1),
    Operator(24, "zero_const", 0, True, lambda *_: 0),
    Operator(25, "expected_value_min", 0, True, lambda *_: -128),
    Operator(26, "expected_value_max", 0, True, lambda *_: 127),
    Operator(IDENTITY_ID, "id", 1, True, lambda a, _: a),
    Operator(27, "mux", 2, False, lambda a, _: a),
    Operator(28, "demux", 1, False, lambda a, _: a),
)
IDENTITY, MUX, DEMUX = 27, 28, 29  # codes: whatever a mutation may draw comes first
ARITHMETIC = tuple(range(27))  # codes of a random gate's operators

CODES = {operator.id: code for code, operator in enumerate(OPERATORS)}
BY_NAME = {operator.name: code for code, operator in enumerate(OPERATORS)}
ARITY: NDArray[np.int32] = np.array([operator.arity for operator in OPERATORS], dtype=np.int32)


def code_of(id: int) -> int:
    """Code of the operator with this id.

    Raises:
        UserError: there is none.
    """
    if id not in CODES:
        raise UserError(f"there is no operator {id}; ids are 0 to 28, and {IDENTITY_ID} for a wire")
    return CODES[id]


def wrapped(value: int) -> int:
    """`value` as int8, the bits above the eighth dropped.

    >>> wrapped(200), wrapped(-129)
    (-56, 127)
    """
    return (value + 128) % 256 - 128


def _linear_form() -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Every operator as  table[a] + c0 b + c1 a b + c2 (a & b)  modulo 256: what computes a gate without a branch.

    Returns `table` (operators, 256), indexed by the bits of `a`, and `c` (operators, 3).
    """
    coefficients = {"add": (1, 0, 0), "sub": (-1, 0, 0), "mul": (0, 1, 0), "bit_and": (0, 0, 1),
                    "bit_or": (1, 0, -1), "bit_xor": (1, 0, -2)}  # fmt: skip
    signed = [wrapped(bits) for bits in range(256)]
    table = [[wrapped(operator.compute(a, 0)) for a in signed] for operator in OPERATORS]
    return (
        np.array(table, dtype=np.int8),
        np.array([coefficients.get(operator.name, (0, 0, 0)) for operator in OPERATORS], dtype=np.int8),
    )


TABLE, COEFFICIENTS = _linear_form()
