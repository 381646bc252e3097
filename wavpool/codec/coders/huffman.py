"""The `huffman` coder: canonical Huffman codes of a tensor's values, at most 15 bits long, with an escape.

Stream: lowest coded value (int32), number of coded values - 1 (uint8), one nibble a value and one for the escape with
the length of its code (0: none), then the codes, most significant bit first; after an escape its value in 32 bits.
"""

import heapq
import struct
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WvpError

Integers = NDArray[np.int32]
Shape = tuple[int, int, int]
LONGEST = 15  # bits of a code
WINDOW = 256  # values with a code of their own
_HEAD = struct.Struct("<iB")


def encode(values: Integers, trellis: bool) -> bytes:
    """(rows, cols, taps) int32 to bytes; `trellis` makes no difference."""
    if not values.size:
        return b""
    flat = values.reshape(-1)
    first, count = _window(flat)
    symbols = flat.astype(np.int64) - first
    symbols[(symbols < 0) | (symbols >= count)] = count
    lengths = code_lengths(np.bincount(symbols, minlength=count + 1))
    nibbles = np.append(lengths, np.zeros(lengths.size % 2, np.uint8))
    head = _HEAD.pack(first, count - 1) + (nibbles[::2] << 4 | nibbles[1::2]).tobytes()
    bits = int(lengths[symbols].sum(dtype=np.int64)) + 32 * int((symbols == count).sum())
    body = np.zeros((bits + 7) // 8, np.uint8)
    _kernel().write(symbols, flat, canonical(lengths), lengths, body)
    return head + body.tobytes()


def decode(data: bytes, shape: Shape, trellis: bool) -> Integers:
    """Inverse of `encode`."""
    values = np.zeros(shape, np.int32)
    if not values.size and not data:
        return values
    count = data[4] + 1 if len(data) > 4 else 0
    start = _HEAD.size + (count + 2) // 2
    if not values.size or len(data) < start:
        raise WvpError("a Huffman stream has no whole table of codes: the file is damaged")
    nibbles = np.frombuffer(data, np.uint8)[_HEAD.size : start]
    lengths = np.stack([nibbles >> 4, nibbles & 15], 1).reshape(-1)[: count + 1]
    body = np.frombuffer(data[start:] + bytes(8), np.uint8).copy()  # the kernel reads whole words
    table = lookup(lengths)
    used = _kernel().read(body, table, _HEAD.unpack_from(data)[0], count, values.reshape(-1))
    if used < 0 or (used + 7) // 8 != len(data) - start:
        raise WvpError("a Huffman stream holds other than its tensor's values: the file is damaged")
    return values


def _kernel() -> Any:
    return import_module("._huffman", __package__)


def code_lengths(counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Lengths of an optimal code for symbols that occur so often, made flatter until none is longer than `LONGEST`.

    A lone symbol gets one bit, a symbol that never occurs none.
    """
    lengths = np.zeros(counts.size, np.uint8)
    used = np.flatnonzero(counts)
    weights = [int(count) for count in counts[used]]
    while True:
        lengths[used] = _depths(weights)
        if lengths.max() <= LONGEST:
            return lengths
        weights = [(weight + 1) // 2 for weight in weights]


def canonical(lengths: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Codes by length, then by symbol; codes may need more bits than they have if the lengths are not a code's.

    >>> canonical(np.array([2, 1, 0, 2], np.uint8)).tolist()
    [2, 0, 0, 3]
    """
    codes = np.zeros(lengths.size, np.int64)
    code = 0
    for length in range(1, LONGEST + 1):
        for symbol in np.flatnonzero(lengths == length):
            codes[symbol] = code
            code += 1
        code <<= 1
    return codes


def lookup(lengths: NDArray[np.uint8]) -> Integers:
    """(2^15,) 16 x symbol + length by the next 15 bits, -1 where no code begins so.

    Raises:
        WvpError: more codes than can be told apart.
    """
    table = np.full(1 << LONGEST, -1, np.int32)
    sizes = lengths.astype(np.int64)
    if int((1 << (LONGEST - sizes[sizes > 0])).sum()) > table.size:
        raise WvpError("a Huffman stream has an impossible table of codes: the file is damaged")
    for symbol, code in enumerate(canonical(lengths)):
        if length := int(sizes[symbol]):
            spare = LONGEST - length
            table[code << spare : (code + 1) << spare] = 16 * symbol + length
    return table


def _window(flat: Integers) -> tuple[int, int]:
    """(first, count) of the values that get codes: all if they fit, else those around the median."""
    lowest, highest = int(flat.min()), int(flat.max())
    if highest - lowest >= WINDOW:
        middle = int(np.partition(flat, flat.size // 2)[flat.size // 2])
        lowest = max(lowest, middle - WINDOW // 2)
    return lowest, min(highest - lowest + 1, WINDOW)


def _depths(weights: list[int]) -> list[int]:
    """Depth of each leaf of the Huffman tree."""
    if len(weights) == 1:
        return [1]
    heap: list[tuple[int, int, tuple[int, ...]]] = [(weight, k, (k,)) for k, weight in enumerate(weights)]
    heapq.heapify(heap)
    depths = [0] * len(weights)
    for order in range(len(weights), 2 * len(weights) - 1):
        (light, _, left), (heavy, _, right) = heapq.heappop(heap), heapq.heappop(heap)
        for leaf in left + right:
            depths[leaf] += 1
        heapq.heappush(heap, (light + heavy, order, left + right))
    return depths
