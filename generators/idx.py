"""The idx format of MNIST and its relatives: a big-endian header (magic, sizes), then the values.

Source: Y. LeCun, "The MNIST database", file formats: two zero bytes, a type code, the number of dimensions, then one
32-bit size a dimension.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from typing import Any

import numpy as np

from generators.errors import DataError

_UNSIGNED_BYTE = 0x08


def gunzip(content: bytes, name: str) -> bytes:
    """Decompress a gzip file; DataError naming it where it is cut short or damaged."""
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name} is truncated or damaged ({error}); replace it by the official file") from error


def parse_idx(content: bytes, name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Read an idx file of unsigned bytes with 1 to 3 dimensions.

    Args:
        content: the whole file, not compressed.
        name: how messages call the file.

    Returns:
        A read-only uint8 array on the bytes of ``content``, without a copy.

    Raises:
        DataError: the header is not that of such a file, or the length differs from what the header says.
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UNSIGNED_BYTE or not 1 <= content[3] <= 3:
        raise DataError(f"{name} is not an idx file of unsigned bytes; replace it by the official file")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DataError(f"{name} is truncated inside its header; replace it by the official file")
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    expected, present = math.prod(shape), len(content) - start
    if expected != present:
        raise DataError(
            f"{name} holds {present:,} bytes of data, but its header says {expected:,}; replace it by the official file"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
