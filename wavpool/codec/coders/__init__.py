"""Lossless coders of integer tensors: (rows, cols, taps) int32 to bytes and back, one stream a tensor.

| coder | what it is | for |
| --- | --- | --- |
| `small` | context mixing and binary arithmetic coding (numba) | the fewest bytes |
| `fast` | range coding with a static model for each scale (constriction) | speed |
| `huffman` | canonical Huffman codes (numba) | comparison |
| `raw` | the fewest bits that hold every value | comparison |

All arithmetic is on integers, so a stream decodes to the same integers on every machine. A damaged stream raises
`WvpError` or decodes to wrong integers, which a checksum around it has to catch, in time proportional to the tensor.
"""

from importlib import import_module
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["CODERS", "Shape", "decode", "encode"]

Shape = tuple[int, int, int]
Integers = NDArray[np.int32]
CODERS = {"raw": 0, "huffman": 1, "fast": 2, "small": 3}  # as stored in files


class _Coder(Protocol):
    def encode(self, values: Integers, trellis: bool) -> bytes: ...

    def decode(self, data: bytes, shape: Shape, trellis: bool) -> Integers: ...


def encode(values: Integers, coder: str = "small", trellis: bool = False) -> bytes:
    """Code integers without loss.

    Args:
        values: (rows, cols, taps) int32; any of them may be 0.
        coder: a name in `CODERS`.
        trellis: the values are indices of the dependent quantiser, whose state (`states.NEXT`) tells something of each.

    Raises:
        ValueError: the coder is unknown, or the array is not three-dimensional int32.
        ImportError: the library that the coder needs is not installed.

    >>> import numpy as np
    >>> values = np.arange(-3, 3, dtype=np.int32).reshape(2, 3, 1)
    >>> bool((decode(encode(values, "raw"), values.shape, "raw") == values).all())
    True
    """
    if values.ndim != 3 or values.dtype != np.int32:
        raise ValueError(
            f"a coder takes a three-dimensional array of int32, got {values.ndim} dimensions of {values.dtype}"
        )
    return _load(coder).encode(np.ascontiguousarray(values), trellis)


def decode(data: bytes | memoryview, shape: Shape, coder: str = "small", trellis: bool = False) -> Integers:
    """Inverse of `encode`: (rows, cols, taps) int32.

    Memory and time are those of an array of this shape, whatever the data: check the shape first.

    Raises:
        WvpError: the data is no stream of this coder and shape.
        ValueError: the coder is unknown.
        ImportError: the library that the coder needs is not installed.
    """
    return _load(coder).decode(bytes(data), shape, trellis)


def _load(coder: str) -> _Coder:
    if coder not in CODERS:
        raise ValueError(f"unknown coder {coder!r}; known: {', '.join(CODERS)}")
    return cast(_Coder, import_module(f".{coder}", __name__))
