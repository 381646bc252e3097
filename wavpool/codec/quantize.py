"""Coefficients to integers, by a step or by a number of bits."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import TooFine
from .scales import COLUMN_FRACTION, ROW_FRACTION, factor

Array = NDArray[np.float64]
Indices = NDArray[np.int32]

OCTAVES = 4  # below the step that clips nothing, in which `fixed_bits` looks for the best one


class Fixed(NamedTuple):
    """Fields of `wavpool.codec.coded.Coded`: int32 `q` (rows, cols, taps) and `row` indices, (1,) or (rows,)."""

    q: Indices
    row: Indices


def steps(row: Indices, col: Indices | None = None, tap: Indices | None = None) -> Array:
    """Steps of all coefficients, which broadcast to (rows, cols, taps), from indices as `Coded` has them.

    >>> steps(np.array([0, 16]), np.array([0, -4, 0])).tolist()
    [[[1.0], [0.5], [1.0]], [[2.0], [1.0], [2.0]]]
    """
    zero = np.zeros(1, dtype=np.int32)
    column = (zero if col is None else col)[:, None] + (zero if tap is None else tap)
    return factor(column, COLUMN_FRACTION) * factor(row, ROW_FRACTION)[:, None, None]


def uniform(coefficients: Array, step: ArrayLike, offset: float = 0.5) -> Indices:
    """Integers q with `q * step` near the coefficients.

    Args:
        coefficients: any shape, finite.
        step: positive, broadcasts to the coefficients.
        offset: 0.5 rounds to the nearest; less widens every interval towards zero, above all the dead zone around it,
            which is `2 * (1 - offset)` steps wide. About 0.4 is best where bytes count and errors are not fed back.

    Raises:
        ValueError: an offset outside of 0 to 0.5, or integers beyond 2**30.

    >>> uniform(np.array([-1.6, -0.6, 0.4, 0.6]), 1.0), uniform(np.array([0.6, 1.6, 1.9]), 1.0, 0.3)
    (array([-2, -1,  0,  1], dtype=int32), array([0, 1, 2], dtype=int32))
    """
    if not 0 <= offset <= 0.5:
        raise ValueError(f"offset must be 0 to 0.5, got {offset}")
    scaled = np.asarray(coefficients, np.float64) / np.asarray(step, np.float64)
    if not np.all(np.abs(scaled) < 2**30):
        raise TooFine("coefficients must be finite and below 2**30 steps: take a larger step")
    return np.copysign(np.floor(np.abs(scaled) + offset), scaled).astype(np.int32)


def fixed_bits(coefficients: Array, bits: int, per: str = "layer") -> Fixed:
    """Symmetric integers of a few bits, -(2**(bits - 1) - 1) to 2**(bits - 1) - 1, with the least squared error.

    The step is the best power of 2**(1 / 16) of those up to four octaves below the one that clips nothing.

    Args:
        coefficients: (rows, cols, taps), finite.
        bits: 2 to 8.
        per: `layer`, or `channel` for a step each row.

    Raises:
        ValueError: arguments out of range.

    >>> fixed_bits(np.array([[[3.0], [-7.0]], [[20.0], [28.0]]]), 4, per="channel").row
    array([ 0, 32], dtype=int32)
    """
    if not 2 <= bits <= 8:
        raise ValueError(f"bits must be 2 to 8, got {bits}")
    if per not in ("layer", "channel"):
        raise ValueError(f"per must be layer or channel, got {per!r}")
    largest = 2 ** (bits - 1) - 1
    groups = np.asarray(coefficients, np.float64).reshape(1 if per == "layer" else len(coefficients), -1)
    top = np.maximum(np.abs(groups).max(axis=1, initial=0.0), 2.0**-200)
    highest = np.ceil(ROW_FRACTION * np.log2(top / largest)).astype(np.int32)
    row = _best(groups, [highest - k for k in range(0, OCTAVES * ROW_FRACTION, 4)], largest)
    row = _best(groups, [row + k for k in range(-3, 4)], largest)
    q = _clipped(groups, row, largest).astype(np.int32)
    return Fixed(q.reshape(coefficients.shape), row)


def _clipped(groups: Array, row: Indices, largest: int) -> Array:
    return np.clip(np.rint(groups / factor(row, ROW_FRACTION)[:, None]), -largest, largest)


def _best(groups: Array, trials: list[Indices], largest: int) -> Indices:
    """Of every row, the index of the trial with the least squared error."""
    costs = [
        ((groups - _clipped(groups, row, largest) * factor(row, ROW_FRACTION)[:, None]) ** 2).sum(axis=1)
        for row in trials
    ]
    best: Indices = np.stack(trials)[np.stack(costs).argmin(axis=0), np.arange(len(groups))]
    return best
