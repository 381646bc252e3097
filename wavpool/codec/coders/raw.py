"""The `raw` coder: every value in the same number of bits, the fewest that hold the tensor's range."""

import struct

import numpy as np
from numpy.typing import NDArray

from ..errors import WvpError

Integers = NDArray[np.int32]
Shape = tuple[int, int, int]
_HEAD = struct.Struct("<iB")  # lowest value, bits
_BLOCK = 1 << 16  # values packed at a time, a multiple of 8


def encode(values: Integers, trellis: bool) -> bytes:
    """(rows, cols, taps) int32 to bytes; `trellis` makes no difference."""
    if not values.size:
        return b""
    lowest = int(values.min())
    bits = (int(values.max()) - lowest).bit_length()
    offsets = (values.reshape(-1).astype(np.int64) - lowest).astype(">u4")
    parts = [_HEAD.pack(lowest, bits)]
    for start in range(0, offsets.size if bits else 0, _BLOCK):
        planes = np.unpackbits(offsets[start : start + _BLOCK].view(np.uint8).reshape(-1, 4), axis=1)
        parts.append(np.packbits(planes[:, 32 - bits :]).tobytes())
    return b"".join(parts)


def decode(data: bytes, shape: Shape, trellis: bool) -> Integers:
    """Inverse of `encode`."""
    values = np.zeros(shape, np.int32)
    if not values.size and not data:
        return values
    lowest, bits = _HEAD.unpack_from(data) if len(data) >= _HEAD.size else (0, 33)
    if not values.size or bits > 32 or len(data) != _HEAD.size + (values.size * bits + 7) // 8:
        raise WvpError("a stream has another length than its integers: the file is damaged")
    flat = values.reshape(-1)
    packed = np.frombuffer(data, np.uint8)[_HEAD.size :]
    for start in range(0, flat.size, _BLOCK):
        count = min(_BLOCK, flat.size - start)
        block = packed[start * bits // 8 : (start + count) * bits // 8 + 1]
        planes = np.zeros((count, 32), np.uint8)
        planes[:, 32 - bits :] = np.unpackbits(block, count=count * bits).reshape(count, bits)
        offsets = np.packbits(planes, axis=1).view(">u4").reshape(-1).astype(np.int64)
        flat[start : start + count] = (offsets + lowest).astype(np.int32)
    return values
