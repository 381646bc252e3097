"""Tensors of any dtype, bit for bit: a constant as its one element, anything else as packed bytes."""

import lzma
import math
import zlib

import numpy as np
import torch
from torch import Tensor

from .errors import WvpError

# How a RAW stream is packed; a file stores the position. In "shuffled" bytes the first bytes of all elements come
# first, then the second ones: exponents and high bytes repeat.
PACKINGS = ("stored", "zlib", "shuffled zlib", "lzma", "shuffled lzma")
_LZMA = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 2**20}]


def fill_value(tensor: Tensor) -> bytes | None:
    """The bytes of a tensor's elements if all are equal bit for bit, else `None`; `None` if there is none."""
    data = _bytes(tensor)
    elements = np.frombuffer(data, np.uint8).reshape(-1, tensor.element_size())
    return elements[0].tobytes() if len(elements) and bool((elements == elements[0]).all()) else None


def filled(value: bytes, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor of one element repeated.

    Raises:
        WvpError: `value` is not one element.
    """
    if len(value) != dtype.itemsize:
        raise WvpError(f"a constant {dtype} is stored in {len(value)} bytes: the file is damaged")
    _check_bools(value, dtype)
    element = torch.frombuffer(bytearray(value), dtype=dtype)
    return element.repeat(math.prod(shape)).reshape(shape)


def pack(tensor: Tensor) -> tuple[int, bytes]:
    """(packing, payload): the elements of any tensor in the fewest bytes.

    >>> packing, payload = pack(torch.arange(1000))
    >>> PACKINGS[packing], bool((unpack(packing, payload, (1000,), torch.int64) == torch.arange(1000)).all())
    ('shuffled lzma', True)
    """
    data = _bytes(tensor)
    shuffled = _shuffle(data, tensor.element_size())
    streams = (data, zlib.compress(data, 9), zlib.compress(shuffled, 9), _lzma(data), _lzma(shuffled))
    packing = min(range(len(streams)), key=lambda k: len(streams[k]))
    return packing, streams[packing]


def unpack(packing: int, payload: bytes, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Inverse of `pack`; unpacks no more than the tensor holds.

    Raises:
        WvpError: the payload does not unpack to exactly the elements of the tensor.
    """
    if packing >= len(PACKINGS):
        raise WvpError("a stream is packed in a way that this version does not know: update wavpool")
    size = math.prod(shape) * dtype.itemsize
    method = PACKINGS[packing].rpartition(" ")[2]
    data = payload if method == "stored" else _unpacked(payload, size, method)
    if len(data) != size:
        raise WvpError(f"a stream unpacks to {len(data)} bytes where its tensor has {size}: the file is damaged")
    if PACKINGS[packing].startswith("shuffled"):
        data = np.frombuffer(data, np.uint8).reshape(dtype.itemsize, -1).T.tobytes()
    _check_bools(data, dtype)
    if not size:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(data), dtype=dtype).reshape(shape)


def _bytes(tensor: Tensor) -> bytes:
    flat = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()


def _shuffle(data: bytes, item: int) -> bytes:
    return np.frombuffer(data, np.uint8).reshape(-1, item).T.tobytes()


def _lzma(data: bytes) -> bytes:
    return lzma.compress(data, lzma.FORMAT_RAW, filters=_LZMA)


def _unpacked(payload: bytes, size: int, method: str) -> bytes:
    """At most `size + 1` bytes of a stream that must end with the payload."""
    try:
        if method == "zlib":
            inflate = zlib.decompressobj()
            data = inflate.decompress(payload, size + 1)
            ended = inflate.eof and not inflate.unused_data
        else:
            unlzma = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_LZMA)
            data = unlzma.decompress(payload, size + 1)
            ended = unlzma.eof and not unlzma.unused_data
    except (zlib.error, lzma.LZMAError, EOFError):
        raise WvpError(f"a stream does not unpack with {method}: the file is damaged") from None
    if not ended:
        raise WvpError("a stream unpacks to another size than its tensor's: the file is damaged")
    return data


def _check_bools(data: bytes, dtype: torch.dtype) -> None:
    """A bool is one byte, 0 or 1: torch's behaviour is undefined for another."""
    if dtype == torch.bool and len(data) and max(data) > 1:
        raise WvpError("a stream holds a truth value that is neither 0 nor 1: the file is damaged")
