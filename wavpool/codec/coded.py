"""One tensor as a stream: integers times steps in an orthonormal basis, or its bytes as they are.

A stream is a method, a short `meta` that tells how to read it (and all that `wavpool info` shows), and a `payload`:

| method | meta | payload |
| --- | --- | --- |
| `RAW` | packing (1 byte) | the tensor's little-endian bytes, packed |
| `FILL` | one element | nothing |
| `CODED` | see `_meta` | row, column and tap indices, codebook, integers |

A coded weight is T^-1 of the coefficients

    value(q) * 2**(row[r] / 16) * 2**(col[c] / 4) * 2**(tap[t] / 4)

where value(q) is q itself; or `codebook[q + zero]`; or, of a trellis, `trellis.levels(q)`. The inverse transform
is exact (see `exact`), so that a stream decodes to the same bits on every machine, within about 2**-25 of the largest
coefficient of its row from the real number.
"""

import dataclasses
import enum
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import coders, lossless
from .bases import Basis, check_size
from .errors import TooFine, WvpError
from .exact import invert
from .fields import Reader, varint
from .indices import Indices, read_indices, write_indices
from .layout import Kind, Layout
from .scales import COLUMN_FRACTION, ROW_FRACTION, factor
from .trellis import levels
from .wire import read_basis, write_basis

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)  # of a coded tensor
BLOCK = 2**16  # elements to decode at a time
LARGEST_CODEBOOK = 2**16
LARGEST = 2**30  # an integer's size, so that twice it is still an int32
DEFAULT_MAX_BYTES = 2**34


class Method(enum.IntEnum):
    """What a stream holds; the number is what a file stores."""

    RAW = 0
    FILL = 1
    CODED = 2


class Stream(NamedTuple):
    """What a container stores of a tensor beside its name, shape and dtype."""

    method: int
    meta: bytes
    payload: bytes


def _zero() -> Indices:
    return np.zeros(1, dtype=np.int32)


@dataclasses.dataclass(frozen=True, eq=False)
class Coded:
    """A weight as integers and steps.

    Args:
        q: int32 (rows, cols, taps).
        row, col, tap: int32 indices of the steps: (rows,) in sixteenths, (cols,) and (taps,) in quarters of an octave;
            an array of one stands for all.
        layout: of the weight.
        basis: of the coefficients, as `bases.basis_for` makes it.
        dtype: of the decoded tensor, one of `DTYPES`.
        codebook: ascending values, float16 or float32, (k,) or one codebook a row (rows, k), k at most 65536; q then
            counts from entry `zero`.
        zero: the entry of the codebook that q = 0 stands for.
        trellis: whether q is dependently quantised, see `trellis`.

    Raises:
        ValueError: shapes, dtypes or ranges that do not fit together.
    """

    q: Indices
    layout: Layout
    row: Indices = dataclasses.field(default_factory=_zero)
    col: Indices = dataclasses.field(default_factory=_zero)
    tap: Indices = dataclasses.field(default_factory=_zero)
    basis: Basis = dataclasses.field(default_factory=Basis)
    dtype: torch.dtype = torch.float32
    codebook: NDArray[Any] | None = None
    zero: int = 0
    trellis: bool = False

    def __post_init__(self) -> None:
        size = self.layout.size
        for name, length in zip(("row", "col", "tap"), size, strict=True):
            indices = np.broadcast_to(np.asarray(getattr(self, name), dtype=np.int32), length)
            object.__setattr__(self, name, indices)
        if self.q.shape != size or self.q.dtype != np.int32:
            raise ValueError(f"q must be int32 of shape {size}, got {self.q.dtype} of {self.q.shape}")
        if self.dtype not in DTYPES:
            raise ValueError(f"a coded tensor is one of {', '.join(map(str, DTYPES))}, got {self.dtype}")
        if not self.q.size:
            raise ValueError("an empty tensor has nothing to code: store it losslessly")
        low, high = int(self.q.min()), int(self.q.max())
        if max(high, -low) > LARGEST:
            raise TooFine(f"integers must be within 2**30 of zero, got {low} to {high}: take a larger step")
        if self.codebook is not None:
            self._check_codebook(low, high)

    def _check_codebook(self, low: int, high: int) -> None:
        book = self.codebook
        assert book is not None
        if book.dtype not in (np.float16, np.float32) or book.shape[:-1] not in ((), (self.layout.rows,)):
            raise ValueError(f"a codebook is float16 or float32, (k,) or (rows, k), got {book.dtype} of {book.shape}")
        if self.trellis:
            raise ValueError("a codebook and a trellis exclude each other")
        if not (
            0 <= self.zero < book.shape[-1] <= LARGEST_CODEBOOK
            and low + self.zero >= 0
            and high + self.zero < book.shape[-1]
        ):
            raise ValueError(
                f"indices {low} to {high} from entry {self.zero} leave a codebook of {book.shape[-1]} values"
            )
        if not np.isfinite(book).all():
            raise ValueError("a codebook must be finite")


def encode(coded: Coded, coder: str = "small") -> Stream:
    """The stream of a coded weight.

    Raises:
        ValueError: an unknown coder, or a matrix of the basis that is out of proportion to the tensor.
    """
    check_size(coded.basis, coded.layout)
    parts = [write_indices(indices) for indices in (coded.row, coded.col, coded.tap)]
    if coded.codebook is not None:
        parts.append(coded.codebook.astype(coded.codebook.dtype.newbyteorder("<")).tobytes())
    parts.append(coders.encode(np.ascontiguousarray(coded.q), coder, trellis=coded.trellis))
    return Stream(Method.CODED, _meta(coded, coder), b"".join(parts))


def encode_lossless(tensor: Tensor) -> Stream:
    """The stream of any tensor, any dtype, bit for bit: `FILL` of a constant, else `RAW`."""
    value = lossless.fill_value(tensor)
    packing, payload = lossless.pack(tensor)
    if value is not None and len(value) <= 1 + len(payload):
        return Stream(Method.FILL, value, b"")
    return Stream(Method.RAW, bytes([packing]), payload)


def decode(
    method: int,
    meta: bytes,
    payload: bytes,
    shape: Sequence[int],
    dtype: torch.dtype,
    *,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Tensor:
    """The tensor of a stream, on the CPU.

    Args:
        method, meta, payload: as `encode` and `encode_lossless` return them; checked, from whatever source.
        shape: of the tensor.
        dtype: of the tensor.
        max_bytes: the largest tensor to make.

    Raises:
        WvpError: anything that does not fit together, before memory for it is taken.
    """
    shape = tuple(shape)
    _check_bytes(shape, dtype, max_bytes)
    if method == Method.FILL:
        if payload:
            raise WvpError("a constant has a payload: the file is damaged")
        return lossless.filled(meta, shape, dtype)
    if method == Method.RAW:
        if len(meta) != 1:
            raise WvpError("a lossless stream does not tell its packing: the file is damaged")
        return lossless.unpack(meta[0], payload, shape, dtype)
    return reconstruct(read(method, meta, payload, shape, dtype, max_bytes=max_bytes))


def read(
    method: int,
    meta: bytes,
    payload: bytes,
    shape: Sequence[int],
    dtype: torch.dtype,
    *,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Coded:
    """The integers and steps of a `CODED` stream; arguments and errors as `decode`."""
    _check_bytes(tuple(shape), dtype, max_bytes)
    head = _parse(method, meta, tuple(shape))
    if dtype not in DTYPES:
        raise WvpError(f"a stream codes a tensor of {dtype}, which is no floating-point number: the file is damaged")
    reader = Reader(payload)
    size = head.layout.size
    fractions = (ROW_FRACTION, COLUMN_FRACTION, COLUMN_FRACTION)
    row, col, tap = (read_indices(reader, n, f) for n, f in zip(size, fractions, strict=True))
    codebook = None
    if head.codebook is not None:
        data = reader.take(math.prod(head.codebook) * head.codebook_dtype.itemsize)
        codebook = np.frombuffer(data, head.codebook_dtype.newbyteorder("<")).astype(head.codebook_dtype)
        codebook = codebook.reshape(head.codebook)
    q = coders.decode(reader.rest(), size, head.coder, trellis=head.trellis)
    try:
        return Coded(
            q=q,
            layout=head.layout,
            row=row,
            col=col,
            tap=tap,
            basis=head.basis,
            dtype=dtype,
            codebook=codebook,
            zero=head.zero,
            trellis=head.trellis,
        )
    except ValueError as error:
        raise WvpError(f"a stream cannot be read: {error}") from None


def describe(method: int, meta: bytes, shape: Sequence[int]) -> dict[str, Any]:
    """What a stream's meta tells without its payload, for people.

    Returns:
        `method`: raw, fill or coded. Of raw: `packing`. Of coded: `basis`, `level` (of a wavelet, else `None`),
        `coder`, `trellis`, and `codebook`, the number of its values or `None`.

    Raises:
        WvpError: as `decode`.
    """
    if method == Method.FILL:
        return {"method": "fill"}
    if method == Method.RAW:
        return {"method": "raw", "packing": dict(enumerate(lossless.PACKINGS)).get(meta[0] if meta else -1, "unknown")}
    head = _parse(method, meta, tuple(shape))
    return {
        "method": "coded",
        "basis": str(head.basis),
        "level": head.basis.level(head.layout),
        "coder": head.coder,
        "trellis": head.trellis,
        "codebook": head.codebook[-1] if head.codebook else None,
    }


def reconstruct(coded: Coded) -> Tensor:
    """The tensor that a coded weight decodes to, bit for bit, on the CPU."""
    out = torch.empty(coded.layout.size, dtype=coded.dtype)
    invert(coded.basis, coded.layout, functools.partial(_coefficients, coded), out)
    return coded.layout.restore(out)


def _coefficients(coded: Coded) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """A pass over what the integers stand for, steps included, some rows at a time: (len, cols, taps)."""
    rows, cols, taps = coded.layout.size
    row = factor(coded.row, ROW_FRACTION)[:, None, None]
    column = factor(coded.col[:, None] + coded.tap, COLUMN_FRACTION)
    step = 4 * max(1, BLOCK // (4 * cols * taps))
    odd = np.zeros(4, dtype=np.int8)
    for start in range(0, rows, step):
        block = slice(start, start + step)
        coefficients = _values(coded, block, odd)
        coefficients *= column
        coefficients *= row[block]
        yield block, coefficients


def _values(coded: Coded, block: slice, odd: NDArray[np.int8]) -> NDArray[np.float64]:
    """Numbers that the integers of some rows stand for, before the steps: (rows, cols, taps); `odd` as in `levels`."""
    q = coded.q[block]
    if coded.codebook is None:
        return (levels(q, odd) if coded.trellis else q).astype(np.float64)
    book = coded.codebook.astype(np.float64)
    entry = q + coded.zero
    if book.ndim == 1:
        return book[entry]
    return np.take_along_axis(book[block], entry.reshape(len(entry), -1), axis=1).reshape(entry.shape)


class _Head(NamedTuple):
    """What the meta of a coded stream holds."""

    layout: Layout
    basis: Basis
    coder: str
    trellis: bool
    codebook: tuple[int, ...] | None  # its shape
    codebook_dtype: np.dtype[Any]
    zero: int


def _meta(coded: Coded, coder: str) -> bytes:
    """The meta of a coded stream.

    One byte (bits 0-1 layout, 2 trellis, 3-4 extra bits of the basis, 5-7 coder), the basis, and with a codebook one
    byte (1 one a row, 2 float16), the number of its values and the position of zero.
    """
    first = coded.layout.kind | coded.trellis << 2 | coded.basis.extra_bits << 3 | coders.CODERS[coder] << 5
    meta = bytes([first]) + write_basis(coded.basis)
    book = coded.codebook
    if book is None:
        return meta
    flags = (book.ndim == 2) | (book.dtype == np.float16) << 1
    return meta + bytes([flags]) + varint(book.shape[-1]) + varint(coded.zero)


def _parse(method: int, meta: bytes, shape: tuple[int, ...]) -> _Head:
    """Inverse of `_meta`, checked against the shape."""
    if method != Method.CODED:
        raise WvpError(f"a stream is of method {method}, which this version does not know: update wavpool")
    reader = Reader(meta)
    first = reader.byte()
    basis = read_basis(reader, first >> 3 & 3)
    try:
        layout = Layout(Kind(first & 3), shape)
        if not math.prod(shape):
            raise ValueError("it is empty")
        check_size(basis, layout)
        if basis.level(layout) == 0:
            raise ValueError("a wavelet of no level")
    except ValueError as error:
        raise WvpError(f"a stream does not fit its tensor: {error}") from None
    coder = {number: name for name, number in coders.CODERS.items()}.get(first >> 5)
    if coder is None:
        raise WvpError("a stream is coded in a way that this version does not know: update wavpool")
    book, flags, zero = None, 0, 0
    if reader.left:
        flags = reader.byte()
        book = ((layout.rows,) if flags & 1 else ()) + (reader.varint(),)
        zero = reader.varint()
    if flags > 3 or (book and book[-1] > LARGEST_CODEBOOK):
        raise WvpError("a stream has a codebook that this version cannot read: the file is damaged")
    reader.finish()
    dtype = np.dtype(np.float16 if flags & 2 else np.float32)
    return _Head(layout, basis, coder, bool(first & 4), book, dtype, zero)


def _check_bytes(shape: tuple[int, ...], dtype: torch.dtype, max_bytes: int) -> None:
    """Refuse a shape before anything of its size is made."""
    if min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize > max_bytes:
        raise WvpError(f"a tensor of shape {shape} and {dtype} has more than {max_bytes} bytes: raise max_bytes")
