"""Step indices in few bytes: a bell curve about their median, coded in one large integer.

A layer has tens of rows, columns and taps, too few for an adaptive coder to learn from. Their logarithms are roughly
normal, so two numbers of a header, median and width, do. The integer is an asymmetric numeral system without a bound
(J. Duda, arXiv 1311.2540): a value of frequency f in 4096 takes log2(4096 / f) bits, and the whole is rounded up to
bytes once. Frequencies come from additions, multiplications and divisions alone, which every machine rounds alike.
"""

import functools
import math

import numpy as np
from numpy.typing import NDArray

from .errors import WvpError
from .fields import Reader, varint
from .scales import LARGEST_EXPONENT
from .wire import unzigzag, zigzag

Indices = NDArray[np.int32]

BITS = 12  # frequencies of a table add up to 2**BITS
WIDTHS = 16  # tables; the first is that of a constant
LITERAL_BITS = 18  # of an offset from the median that is in no table
BLOCK = 4096  # values in one integer


def write_indices(indices: Indices) -> bytes:
    """Step indices `(n,)`: a byte or two if they are all equal.

    Raises:
        ValueError: an index beyond 2**16 in size.
    """
    base = int(np.median(indices))
    if abs(base) > 2**16 or np.abs(indices.astype(np.int64) - base).max() >= 2 ** (LITERAL_BITS - 1):
        raise ValueError("a step is out of range")
    spread = indices.astype(np.int64) - base
    if not spread.any():
        return varint(zigzag(base) * WIDTHS)
    width = min(range(1, WIDTHS), key=lambda trial: _cost(spread, trial))
    out = varint(zigzag(base) * WIDTHS + width)
    offsets = spread.tolist()
    for start in range(0, len(offsets), BLOCK):
        number = _number(offsets[start : start + BLOCK], width)
        data = number.to_bytes((number.bit_length() + 7) // 8, "little")
        out += varint(len(data)) + data
    return out


def read_indices(reader: Reader, count: int, fraction: int) -> Indices:
    """Inverse of `write_indices` for `count` indices of `fraction` parts of an octave.

    Raises:
        WvpError: data that `write_indices` does not write, or a step beyond 2**256.
    """
    base, width = divmod(reader.varint(), WIDTHS)
    median = unzigzag(base)
    offsets = np.zeros(1, dtype=np.int64)
    if width:
        offsets = np.empty(count, dtype=np.int64)
        for start in range(0, count, BLOCK):
            number = int.from_bytes(reader.take(min(reader.varint(), 8 * BLOCK)), "little")
            block = offsets[start : start + BLOCK]
            block[:] = _offsets(number, len(block), width)
    if abs(median) > 2**16 or np.abs(median + offsets).max() > LARGEST_EXPONENT * fraction:
        raise WvpError("a stream holds a step beyond 2**256: the file is damaged")
    return np.broadcast_to((median + offsets).astype(np.int32), count)


@functools.cache
def _table(width: int) -> tuple[list[int], list[int], list[int]]:
    """Frequencies of zigzag offsets and, last, of those beyond; where each begins; the symbol of each of 4096 slots.

    Student's t distribution of seven degrees of freedom, of scale 0.3 * 2**((width - 1) / 2).
    """
    root = 1.4142135623730951 if width % 2 == 0 else 1.0
    scale = 0.3 * root * 2.0 ** ((width - 1) // 2)
    density = []
    for symbol in range(2 * int(6 * scale + 2) + 1):
        t = unzigzag(symbol) / scale
        tail = 1.0 + t * t / 7.0
        density.append(1.0 / (tail * tail * tail * tail))
    total = math.fsum(density)
    room = 2**BITS - len(density) - 1
    frequency = [1 + int(room * d / total) for d in density]
    frequency.append(1)
    frequency[0] += 2**BITS - sum(frequency)
    begin = [sum(frequency[:symbol]) for symbol in range(len(frequency))]
    slots = [symbol for symbol, f in enumerate(frequency) for _ in range(f)]
    return frequency, begin, slots


def _cost(offsets: NDArray[np.int64], width: int) -> float:
    """Bits of the offsets."""
    frequency = np.array(_table(width)[0])
    symbols = np.minimum(np.where(offsets >= 0, 2 * offsets, -2 * offsets - 1), len(frequency) - 1)
    literals = int((symbols == len(frequency) - 1).sum())
    return float((BITS - np.log2(frequency[symbols])).sum()) + LITERAL_BITS * literals


def _number(offsets: list[int], width: int) -> int:
    """The integer that `_offsets` reads."""
    frequency, begin, _ = _table(width)
    beyond = len(frequency) - 1
    number = 0
    for offset in reversed(offsets):
        symbol = zigzag(offset)
        if symbol >= beyond:
            number = number << LITERAL_BITS | symbol
            symbol = beyond
        high, low = divmod(number, frequency[symbol])
        number = (high << BITS) + begin[symbol] + low
    return number


def _offsets(number: int, count: int, width: int) -> list[int]:
    frequency, begin, slots = _table(width)
    offsets = []
    for _ in range(count):
        slot = number & (2**BITS - 1)
        symbol = slots[slot]
        number = frequency[symbol] * (number >> BITS) + slot - begin[symbol]
        if symbol == len(frequency) - 1:
            symbol = number & (2**LITERAL_BITS - 1)
            number >>= LITERAL_BITS
        offsets.append(unzigzag(symbol))
    if number:
        raise WvpError("step indices are longer than their number: the file is damaged")
    return offsets
