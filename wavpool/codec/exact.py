"""The inverse of a basis in exact arithmetic, in little memory: it decides the weights, the same bits on every machine.

Coefficients and matrices are rounded to integers so small that every partial sum of their float64 product is an integer
below 2**53, and therefore exact in whatever order a BLAS adds. A matrix may be larger than the weight: a block of its
columns at a time is made, and the coefficients are asked for as often as there are blocks.
"""

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wavpool.transforms import Transform, get_transform

from .bases import MATRIX_BITS, Basis
from .layout import Layout

Array = NDArray[np.float64]
Rows = Callable[[], Iterable[tuple[slice, Array]]]
"""A pass over coefficients: some rows, and (len, cols, taps) of them, one after the other from the first."""

VALUE_BITS = 25  # of a coefficient at least, before it is multiplied with a matrix
BLOCK = 2**16  # elements of a matrix to hold at a time, or a 32nd of the tensor's
PIECE = 2**15  # elements of a matrix to compute at a time


class IntegerMatrix:
    """An orthonormal matrix in integers, `(high * 2**split + low) / 2**bits`, right to half a unit.

    Args:
        transform: its name.
        size: lengths of the axes it transforms; n is their product.
        bits: fractional bits of an entry.
        block: elements to hold at a time.

    Attributes:
        length: n.
        split: 0 where one product is precise enough; there is no `low` then.
        value_bits: integers up to 2**value_bits in size may be multiplied with `high` and `low`.
        blocks: of columns.
    """

    def __init__(self, transform: str, size: Sequence[int], bits: int, block: int = BLOCK) -> None:
        self.length, self.bits = math.prod(size), bits
        self._transform: Transform = get_transform(transform)
        self._size = tuple(size)
        width = max(1, block // self.length)
        self.blocks = [slice(at, min(at + width, self.length)) for at in range(0, self.length, width)]
        sums = np.zeros(3)
        for columns in self.blocks:
            whole = self._rounded(columns)
            parts = (whole, *_halves(whole, bits // 2))
            sums = np.maximum(sums, [np.abs(part).sum(axis=0).max() for part in parts])
        whole_bits, *half_bits = (53 - int(each).bit_length() for each in sums)
        self.split, self.value_bits = (0, whole_bits) if whole_bits >= VALUE_BITS else (bits // 2, min(half_bits))
        self._kept = self._made(self.blocks[0]) if len(self.blocks) == 1 else None

    def columns(self, block: slice) -> list[Array]:
        """`[high]` or `[high, low]`, each (n, k), of some columns."""
        return self._made(block) if self._kept is None else self._kept

    def combine(self, products: Sequence[Array], shift: Array) -> Array:
        """What products of `columns` with integers stand for that were `2**shift` times as large, in their place."""
        total = products[0]
        if self.split:
            total *= 2.0**self.split
            total += products[1]
        total *= np.ldexp(1.0, -shift - self.bits)
        return total

    def shift(self, largest: Array) -> Array:
        """The exponent of the factor for numbers up to `largest` in size."""
        exponent: Array = self.value_bits - np.frexp(largest)[1]
        return exponent

    def _made(self, block: slice) -> list[Array]:
        whole = self._rounded(block)
        return [*_halves(whole, self.split)] if self.split else [whole]

    def _rounded(self, block: slice) -> Array:
        whole = np.empty((self.length, block.stop - block.start))
        width = max(1, PIECE // self.length)  # few at a time: a transform takes many times their memory
        for start in range(block.start, block.stop, width):
            stop = min(start + width, block.stop)
            units = torch.zeros(stop - start, self.length, dtype=torch.float64)
            units.diagonal(start).fill_(1.0)
            images = self._transform.forward(units.reshape(-1, *self._size), range(1, 1 + len(self._size)))
            scaled = images.reshape(len(units), -1).numpy() * 2.0**self.bits
            np.rint(scaled.T, out=whole[:, start - block.start : stop - block.start])
        return whole


def _halves(whole: Array, split: int) -> tuple[Array, Array]:
    high = whole * 2.0**-split
    np.rint(high, out=high)
    low = high * -(2.0**split)
    low += whole
    return high, low


_small = functools.lru_cache(maxsize=16)(IntegerMatrix)


def integer_matrices(basis: Basis, layout: Layout) -> tuple[IntegerMatrix | None, IntegerMatrix]:
    """`left` or `None`, and `right`, see `bases`; those of up to 256 x 256 are kept."""
    bits = MATRIX_BITS + basis.extra_bits
    block = max(BLOCK, math.prod(layout.size) // 32)

    def of(size: tuple[int, ...], block: int) -> IntegerMatrix:
        if math.prod(size) ** 2 <= BLOCK:
            return _small(basis.transform, size, bits)
        return IntegerMatrix(basis.transform, size, bits, block)

    right = of(basis.axes(layout), block)
    if not basis.mixes_rows:
        return None, right
    return of((layout.rows,), block * layout.rows // max(layout.rows, right.length)), right


def invert(basis: Basis, layout: Layout, rows: Rows, out: Tensor) -> None:
    """Write the weight that coefficients stand for, rounded to `out`'s dtype.

    Args:
        basis: of the coefficients.
        layout: of the weight.
        rows: begins a pass over the coefficients.
        out: (rows, cols, taps), on the CPU, contiguous.
    """
    if basis.is_identity:
        for block, x in rows():
            out[block] = torch.from_numpy(x)
        return
    left, right = integer_matrices(basis, layout)
    out = out.view(layout.rows, -1, right.length)
    if left is None:
        for columns in right.blocks:
            _write_columns(out[:, :, columns], rows, right, right.columns(columns))
    else:
        for block, x in _unmixed(left, rows):
            for columns in right.blocks:
                out[block, :, columns] = _product(x, right, right.columns(columns))


def _write_columns(out: Tensor, rows: Rows, matrix: IntegerMatrix, parts: Sequence[Array]) -> None:
    for block, x in rows():
        out[block] = _product(x, matrix, parts)


def _product(x: Array, matrix: IntegerMatrix, parts: Sequence[Array]) -> Tensor:
    """Rows (m, ...) times some columns of a matrix: (m, groups, k); each is rounded to `value_bits` bits first."""
    x = x.reshape(len(x), -1, matrix.length)
    shift = matrix.shift(np.maximum(x.max(axis=(1, 2), keepdims=True), -x.min(axis=(1, 2), keepdims=True)))
    scaled = x * np.ldexp(1.0, shift)
    integers = np.rint(scaled, out=scaled).reshape(-1, matrix.length)
    products = [(integers @ part).reshape(*x.shape[:2], -1) for part in parts]
    return torch.from_numpy(matrix.combine(products, shift))


def _unmixed(matrix: IntegerMatrix, rows: Rows) -> Iterator[tuple[slice, Array]]:
    """Some rows of the inverse along the columns, and the (k, cols * taps) they hold."""
    sizes = (np.maximum(x.max(axis=0), -x.min(axis=0)).reshape(-1) for _, x in rows())
    largest = functools.reduce(np.maximum, sizes)
    shift = matrix.shift(largest)
    for block in matrix.blocks:
        yield block, _columns_times(matrix.columns(block), rows, matrix, shift)


def _columns_times(parts: Sequence[Array], rows: Rows, matrix: IntegerMatrix, shift: Array) -> Array:
    products = [np.zeros((part.shape[1], len(shift))) for part in parts]
    for block, x in rows():
        scaled = x.reshape(len(x), -1) * np.ldexp(1.0, shift)
        integers = np.rint(scaled, out=scaled)
        for product, part in zip(products, parts, strict=True):
            product += part[block].T @ integers
    return matrix.combine(products, shift)
