"""Steps as powers of two in fractions of an octave: small integers in a file, the same float64 everywhere."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

ROW_FRACTION = 16  # a row's index counts sixteenths of an octave
COLUMN_FRACTION = 4  # a column's and a tap's index count quarters
LARGEST_EXPONENT = 256  # of any one factor that a file may ask for

# 2**(k / 16), correctly rounded: written out, since exp2 of two C libraries may differ in the last bit.
_OCTAVE: NDArray[np.float64] = np.array(
    [
        1.0,
        1.0442737824274138,
        1.0905077326652577,
        1.1387886347566916,
        1.189207115002721,
        1.241857812073484,
        1.2968395546510096,
        1.3542555469368927,
        1.4142135623730951,
        1.4768261459394993,
        1.5422108254079407,
        1.6104903319492543,
        1.681792830507429,
        1.7562521603732995,
        1.8340080864093424,
        1.9152065613971474,
    ]
)


def factor(index: ArrayLike, fraction: int) -> NDArray[np.float64]:
    """2**(index / fraction), element by element.

    Args:
        index: integers of any shape, at most 256 * fraction in size.
        fraction: parts of an octave, 1, 2, 4, 8 or 16.

    Returns:
        float64 of the same shape, right to a rounding and the same bits everywhere.

    >>> factor([-8, 0, 4], 4)
    array([0.25, 1.  , 2.  ])
    """
    sixteenths = np.asarray(index, dtype=np.int64) * (16 // fraction)
    result: NDArray[np.float64] = np.ldexp(_OCTAVE[sixteenths & 15], sixteenths >> 4)
    return result


def nearest_index(step: ArrayLike, fraction: int) -> NDArray[np.int32]:
    """The index whose `factor` is nearest to a step, on a logarithmic scale.

    Args:
        step: positive numbers of any shape.
        fraction: as in `factor`.

    Raises:
        ValueError: a step that is not finite and positive, or outside of 2**-256 to 2**256.

    >>> nearest_index([0.25, 1, 2.1], 4)
    array([-8,  0,  4], dtype=int32)
    """
    step = np.asarray(step, dtype=np.float64)
    if not np.all((step >= 2.0**-LARGEST_EXPONENT) & (step <= 2.0**LARGEST_EXPONENT)):
        raise ValueError("steps must be positive numbers between 2**-256 and 2**256")
    index: NDArray[np.int32] = np.rint(fraction * np.log2(step)).astype(np.int32)
    return index
