"""Integer tables of the mixing coder, from decimal arithmetic: it rounds in the same way on every machine.

A level is 16 log2(m / FLOOR) of a magnitude m > 0, so a step is a sixteenth of an octave.
"""

from decimal import Decimal, localcontext
from functools import cache

import numpy as np
from numpy.typing import NDArray

FLOOR = Decimal("0.02")  # magnitudes are told apart down to here


def _integers(values: list[Decimal]) -> NDArray[np.int32]:
    return np.array([int(value.to_integral_value()) for value in values], np.int32)


@cache
def squash() -> NDArray[np.int32]:
    """(4096,) probability x 65536 of the logit (index - 2048) / 256."""
    with localcontext(prec=30):
        values = [65536 / (1 + (Decimal(2048 - i) / 256).exp()) for i in range(4096)]
        return np.clip(_integers(values), 16, 65536 - 16)


@cache
def stretch() -> NDArray[np.int32]:
    """(4096,) logit x 256 of the probability (index + 1/2) / 4096."""
    with localcontext(prec=30):
        return _integers([256 * (Decimal(2 * i + 1) / (8191 - 2 * i)).ln() for i in range(4096)])


@cache
def log2() -> NDArray[np.int32]:
    """(4096,) level of a mean magnitude index / 256: 0 ... 155."""
    with localcontext(prec=30):
        return _integers([16 * (Decimal(i) / 256 / FLOOR + 1).ln() / Decimal(2).ln() for i in range(4096)])


@cache
def pace() -> NDArray[np.int64]:
    """(512,) 65536 / (count + 1): how far a mean of so many goes toward the next value."""
    return 65536 // (np.arange(512) + 1)


@cache
def priors() -> NDArray[np.int64]:
    """(71, 2) probability x 2^22, of not being zero and of being larger than k > 0, at level 4 * index.

    Magnitudes are taken for geometric; zeros are somewhat rarer than that.
    """
    with localcontext(prec=30):
        rows = []
        for index in range(71):
            mean = max(FLOOR * (Decimal(2) ** (Decimal(index) / 4) - 1), FLOOR)
            ratio = mean / (1 + mean)
            rows.append([2**22 * min(ratio ** Decimal("0.9"), Decimal("0.99")), 2**22 * min(ratio, Decimal("0.97"))])
        return np.stack([_integers(row) for row in rows]).astype(np.int64)
