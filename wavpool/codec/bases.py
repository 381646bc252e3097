"""The orthonormal bases that coefficients are written in; `exact` has their inverses in exact arithmetic.

A basis is a transform of `wavpool.transforms` and what it acts over:

| over | the transform acts on | block length n |
| --- | --- | --- |
| `taps` | the kernel axes of every (row, column) together | taps |
| `row` | each row, its columns and taps flattened | cols * taps |
| `matrix` | rows as in `row`, then along the rows | cols * taps |
| `map:CxHxW` | the H x W axes of every map; the columns are C such maps | H * W |

All four are `left @ W @ blockdiag(right, ..., right).T` with `right` of shape (n, n), and `left` of (rows, rows) for
`matrix` alone.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from wavpool.transforms import Transform, WaveletTransform, get_transform, transform_names

from .layout import Layout

SIDES = ("taps", "row", "matrix", "map")  # what a transform acts over; a file stores the position
# Transforms whose position in this tuple a file stores instead of the name: only ever append.
COMMON: tuple[str, ...] = (
    "identity",
    "dct1",
    "dct2",
    "dct3",
    "dct4",
    "dst1",
    "dst2",
    "dst3",
    "dst4",
    "dht",
    "rdft",
    "wht",
)
COMMON += ("haar", "db1", "db2", "db3", "db4", "db6", "db8", "sym2", "sym4", "sym8", "coif1", "coif2", "coif3")
LEAST_MATRIX = 2**20  # elements that a matrix may have however small its tensor is
MATRIX_BITS = 24  # fractional bits of a matrix entry, and up to 3 more


@dataclass(frozen=True)
class Basis:
    """An orthonormal transform of one layout; `Basis()` is the identity.

    Make one with `basis_for`, which resolves the number of levels and checks that the transform fits.

    Args:
        transform: a name of `wavpool.transforms.get_transform`; a wavelet with its number of levels: `haar:1`.
        over: `none` with the identity, else `taps`, `row`, `matrix` or `map:CxHxW`.
        extra_bits: 0 to 3 bits beyond 24 that the exact inverse rounds matrices to; a file stores it.

    >>> from wavpool.codec.layout import Kind
    >>> layout = Layout(Kind.KERNEL, (8, 4, 3, 3))
    >>> basis = basis_for("haar", layout)
    >>> str(basis), basis.level(layout), str(basis_for("db2", layout)), basis_for("db2@row", layout).level(layout)
    ('haar:1@taps', 1, 'none', 3)
    """

    transform: str = "identity"
    over: str = "none"
    extra_bits: int = 0

    @property
    def is_identity(self) -> bool:
        return self.over == "none"

    @property
    def side(self) -> str:
        """`over` without the sizes of a map."""
        return self.over.partition(":")[0]

    @property
    def mixes_rows(self) -> bool:
        return self.over == "matrix"

    def __str__(self) -> str:
        return "none" if self.is_identity else f"{self.transform}@{self.over}"

    def axes(self, layout: Layout) -> tuple[int, ...]:
        """Lengths of the axes that a block of `right` is made of; (1,) for the identity.

        Raises:
            ValueError: a map that does not have as many elements as the layout has columns.
        """
        if self.is_identity:
            return (1,)
        if self.side == "taps":
            return layout.kernel
        if self.side in ("row", "matrix"):
            return (layout.cols * layout.taps,)
        channels, height, width = _map_size(self.over)
        if channels * height * width != layout.cols * layout.taps:
            raise ValueError(f"{self.over} does not fit {layout.cols * layout.taps} columns")
        return (height, width)

    def level(self, layout: Layout) -> int | None:
        """Levels of a wavelet that are computed for this layout, at least 1; `None` for a transform without levels.

        Raises:
            ValueError: the transform does not take these lengths.
        """
        transform = get_transform(self.transform)
        sizes = [self.axes(layout), *([(layout.rows,)] if self.mixes_rows else [])]
        levels = [transform.level(*size) for size in sizes]
        return min(levels) if isinstance(transform, WaveletTransform) else None

    def matrices(self, layout: Layout) -> tuple[Tensor | None, Tensor]:
        """`left` (rows, rows) or `None`, and `right` (n, n), float64 and orthonormal; see the module."""
        transform = get_transform(self.transform)
        left = transform.matrix(layout.rows, dtype=torch.float64) if self.mixes_rows else None
        return left, transform.matrix(*self.axes(layout), dtype=torch.float64)

    def forward(self, weight: Tensor, layout: Layout) -> Tensor:
        """Coefficients of a weight.

        Args:
            weight: (rows, cols, taps), float32 or float64, any device.
            layout: of the weight.

        Returns:
            Coefficients in the shape, dtype and device of `weight`.
        """
        return self._apply(weight, layout, inverse=False)

    def inverse(self, coefficients: Tensor, layout: Layout) -> Tensor:
        """Inverse of `forward`, in floating point; see `exact.invert`."""
        return self._apply(coefficients, layout, inverse=True)

    def _apply(self, x: Tensor, layout: Layout, inverse: bool) -> Tensor:
        if self.is_identity:
            return x
        left, right = (None if m is None else m.to(x) for m in self.matrices(layout))
        assert right is not None
        y = x.reshape(layout.rows, -1, len(right)) @ (right if inverse else right.mT)
        if left is not None:
            y = ((left.mT if inverse else left) @ y.reshape(layout.rows, -1)).contiguous()
        return y.reshape(x.shape)


def basis_for(text: str, layout: Layout) -> Basis:
    """The basis that a user's text asks for on a layout.

    Args:
        text: a transform (`none`, `dct`, `haar`, `db2`, ...), for a wavelet a colon and its number of levels, and
            perhaps `@` and what it acts over: `dct`, `db2:2@row`, `haar@map:1x28x28`. Without, it acts over the taps of
            a kernel and the row of a layer that has none.
        layout: of the weight.

    Returns:
        The identity where the layout has no axis for the transform, or none long enough for one level of the wavelet.

    Raises:
        ValueError: an unknown or not orthonormal transform, a number of levels that the layout does not take, a map
            that does not fit, or a matrix too large for the tensor.
    """
    name, at, over = text.strip().lower().partition("@")
    over = over if at else ("taps" if layout.taps > 1 else "row")
    if over.partition(":")[0] not in SIDES:
        raise ValueError(f"a basis acts over taps, row, matrix or map:CxHxW, got {over[:40]!r}")
    transform = orthonormal(name)
    basis = Basis(transform.name, over)
    axes = basis.axes(layout)
    if transform.name == "identity" or (math.prod(axes) == 1 and not basis.mixes_rows and not name.partition(":")[1]):
        return Basis()
    check_size(basis, layout)
    if isinstance(transform, WaveletTransform):
        level = basis.level(layout)
        if not level:
            if transform.levels is not None:
                raise ValueError(f"{name} asks for no level; take none, or at least one level")
            return Basis()
        basis = Basis(f"{transform.name.partition(':')[0]}:{level}", over)
    basis.level(layout)  # checks the lengths
    return _with_extra_bits(basis, layout)


def candidates(layout: Layout, maps: tuple[int, int, int] | None = None) -> tuple[Basis, ...]:
    """Bases worth measuring on a layout, the identity first: those that the kernel's or an image's axes give meaning.

    Args:
        layout: of the weight.
        maps: (C, H, W) where the columns are the pixels of images, as in the first layer of a multilayer perceptron.

    >>> from wavpool.codec.layout import Kind
    >>> [str(basis) for basis in candidates(Layout(Kind.KERNEL, (8, 4, 3, 3)))]
    ['none', 'dct2@taps', 'dst1@taps', 'rdft@taps', 'haar:1@taps']
    """
    texts = ["none"]
    if layout.taps > 1:
        texts += [f"{name}@taps" for name in ("dct", "dst1", "dft", "haar", "db2")]
    if maps is not None and layout.taps == 1:
        over = "map:" + "x".join(str(n) for n in maps)
        texts += [f"{name}@{over}" for name in ("dct", "haar", "db2", "sym4")]
    return tuple(dict.fromkeys(basis_for(text, layout) for text in texts))


def bases_of(tensor: str, text: str, layout: Layout, maps: tuple[int, int, int] | None = None) -> tuple[Basis, ...]:
    """Bases to choose from for a tensor: `candidates` for `auto`, else that of `basis_for`.

    Raises:
        ValueError: as `basis_for`, with the tensor's name.
    """
    if text == "auto":
        return candidates(layout, maps)
    orthonormal(text.strip().lower().partition("@")[0])  # an error that is not about the tensor
    try:
        return (basis_for(text, layout),)
    except ValueError as error:
        remedy = "; or bwht, of any length" if text.strip().lower().startswith("wht") else ""
        raise ValueError(f"{tensor}: {error}{remedy}") from error


def orthonormal(name: str) -> Transform:
    """The transform of a name, which must be one of `transform_names()` and orthonormal.

    Raises:
        ValueError: it is not.
    """
    transform = get_transform(name)
    if transform.name.partition(":")[0] not in transform_names():
        raise ValueError("a codec's basis must be a transform of a name, not filters spelt out")
    if not transform.is_orthonormal:
        raise ValueError(f"{name} is not orthonormal, which a basis must be: take dct, dst1, dft, haar, db2 or sym4")
    return transform


def matrix_length(basis: Basis, layout: Layout) -> int:
    """Rows of the largest matrix of a basis."""
    return max(math.prod(basis.axes(layout)), layout.rows if basis.mixes_rows else 1)


def check_size(basis: Basis, layout: Layout) -> None:
    """Refuse a basis whose matrices are out of proportion to the tensor: more than 2**20 + 4 * numel elements.

    Raises:
        ValueError: they are.
    """
    length = matrix_length(basis, layout)
    if length**2 > LEAST_MATRIX + 4 * math.prod(layout.size):
        raise ValueError(
            f"{basis} needs a matrix of {length} x {length}, out of proportion to a tensor of {layout.size}: "
            "take auto or none, or a basis over the taps of kernels, such as dct@taps"
        )


def _with_extra_bits(basis: Basis, layout: Layout) -> Basis:
    """The number of extra bits with which no entry is near the middle between two integers.

    Rounding errors of another machine's float64 matrices then do not change an integer.
    """
    matrices = [m.numpy() for m in basis.matrices(layout) if m is not None]
    margins = []
    for extra in range(4):
        scaled = [m * 2.0 ** (MATRIX_BITS + extra) for m in matrices]
        margins.append(min(float(np.abs(m - np.floor(m) - 0.5).min()) for m in scaled))
    return replace(basis, extra_bits=int(np.argmax(margins)))


def _map_size(over: str) -> tuple[int, int, int]:
    """(C, H, W) of `map:CxHxW`."""
    fields = over.partition(":")[2].split("x")
    if len(fields) != 3 or not all(field.isascii() and field.isdecimal() and len(field) < 10 for field in fields):
        raise ValueError(f"a map is written map:CxHxW, as in map:3x32x32, got {over[:40]!r}")
    channels, height, width = (int(field) for field in fields)
    if min(channels, height, width) < 1:
        raise ValueError(f"the sizes of a map are at least 1, got {over[:40]!r}")
    return channels, height, width
