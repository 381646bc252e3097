"""Probability tables of the `fast` coder, in integers until the last exact step.

A table says how likely a magnitude is to go on: from 0 to 1, from 1 to 2, from 2 to 3 and, the same everywhere, beyond.
These are steps of a quarter octave of odds; what a level has by default is shifted by a "shape" of four small numbers.
"""

import math
from decimal import Decimal, localcontext
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

Shaping = tuple[int, ...]
SHAPES = 4
DEFAULT: Shaping = (0, 0, 0, 0)
ODDS = 64  # odds are 2^((index - 32) / 4)
TOTAL = 1 << 20
# By level, half octaves of the expected magnitude from 1/64 to 11.
STARTS = (
    (8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 37, 39, 41, 43, 45, 47),
    (14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 25, 27, 29, 32, 34, 37, 39, 41, 43, 45),
    (14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 25, 27, 29, 32, 34, 37, 39, 41, 43, 45),
    (14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 25, 27, 29, 32, 34, 37, 39, 41, 43, 45),
)


@cache
def ratios() -> tuple[int, ...]:
    """Probability x 65536 of each index of odds."""
    with localcontext(prec=30):
        return tuple(int(65536 / (1 + Decimal(2) ** (Decimal(32 - index) / 4))) for index in range(ODDS))


@lru_cache(maxsize=4096)
def probabilities(level: int, shape: Shaping, window: int) -> NDArray[np.float64]:
    """(2 window + 2,) probabilities of the values -window ... window and of the escape, multiples of 2^-20."""
    more = [ratios()[min(max(starts[level] + delta, 0), ODDS - 1)] for starts, delta in zip(STARTS, shape, strict=True)]
    sizes, left = [], TOTAL << 16
    for size in range(window + 1):
        going_on = left * more[min(size, SHAPES - 1)] >> 16
        sizes.append(left - going_on)
        left = going_on
    halves = [max(size >> 17, 1) for size in sizes[1:]]
    escape = max(left >> 16, 1)
    zero = TOTAL - 2 * sum(halves) - escape
    table = np.array([*reversed(halves), zero, *halves, escape], np.float64) / TOTAL
    table.setflags(write=False)
    return table


def fit(sizes: NDArray[np.int32], level: int) -> Shaping:
    """The shape of a table for these magnitudes; the encoder's choice, so floats will do."""
    at_least = [sizes.size, *(int(np.count_nonzero(sizes >= k)) for k in range(1, SHAPES))]
    beyond = int(sizes.sum(dtype=np.int64)) - sum(at_least[1:])
    goes = [*at_least[1:], max(beyond, 0)]  # the size of -2**31 is negative
    stays = [total - went for total, went in zip(at_least, goes, strict=True)]
    stays[-1] = at_least[-1]
    shape = []
    for k, (went, stayed) in enumerate(zip(goes, stays, strict=True)):
        start = STARTS[k][level]
        prior = 4 * ratios()[start] / 65536
        odds = (went + prior) / (stayed + 4 - prior)
        shape.append(min(max(round(32 + 4 * math.log2(odds)), 0), ODDS - 1) - start)
    return tuple(shape)
