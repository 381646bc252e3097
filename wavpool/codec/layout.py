"""A weight as rows, columns and taps: the view that the codec's steps, bases and coders work on.

| owner | shape | (rows, cols, taps) |
| --- | --- | --- |
| Linear, Embedding, EmbeddingBag | (out, in) | (out, in, 1) |
| Conv1d, 2d, 3d | (out, in / groups, *kernel) | (out, in / groups, prod(kernel)) |
| ConvTranspose1d, 2d, 3d | (in, out / groups, *kernel) | (in, out / groups, prod(kernel)) |
| anything else, up to one axis | (n,) or () | (n, 1, 1) or (1, 1, 1) |
| anything else, two axes and more | (..., n) | (prod(...), n, 1) |
"""

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd


class Kind(enum.IntEnum):
    """How the axes of a shape become rows, columns and taps; the number is what a file stores."""

    VECTOR = 0
    MATRIX = 1
    KERNEL = 2


@dataclass(frozen=True)
class Layout:
    """The (rows, cols, taps) view of a tensor of a shape.

    Args:
        kind: how the axes are shared out.
        shape: of the tensor.

    Raises:
        ValueError: the kind does not fit the number of axes.

    >>> Layout(Kind.KERNEL, (16, 3, 5, 5)).size
    (16, 3, 25)
    """

    kind: Kind
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        least = {Kind.VECTOR: 0, Kind.MATRIX: 2, Kind.KERNEL: 3}[self.kind]
        if len(self.shape) < least or (self.kind == Kind.VECTOR and len(self.shape) > 1):
            raise ValueError(f"a {self.kind.name.lower()} cannot have the shape {self.shape}")

    @property
    def size(self) -> tuple[int, int, int]:
        """(rows, cols, taps); their product is the number of elements."""
        if self.kind == Kind.VECTOR:
            return math.prod(self.shape), 1, 1
        if self.kind == Kind.MATRIX:
            return math.prod(self.shape[:-1]), self.shape[-1], 1
        return self.shape[0], self.shape[1], math.prod(self.kernel)

    @property
    def rows(self) -> int:
        return self.size[0]

    @property
    def cols(self) -> int:
        return self.size[1]

    @property
    def taps(self) -> int:
        return self.size[2]

    @property
    def kernel(self) -> tuple[int, ...]:
        """Lengths of the kernel axes, whose product is `taps`; (1,) without any."""
        return self.shape[2:] if self.kind == Kind.KERNEL else (1,)

    def view(self, weight: Tensor) -> Tensor:
        """The tensor of `shape`, any dtype and strides, as `(rows, cols, taps)`; a view where strides allow it.

        Raises:
            ValueError: `weight` is not of `shape`.
        """
        if tuple(weight.shape) != self.shape:
            raise ValueError(f"the layout is for the shape {self.shape}, got {tuple(weight.shape)}")
        return weight.reshape(self.size)

    def restore(self, view: Tensor) -> Tensor:
        """Inverse of `view`."""
        return view.reshape(self.shape)


def layout_of(shape: Sequence[int], module: nn.Module | None = None, name: str = "weight") -> Layout:
    """The layout of a parameter or buffer.

    Args:
        shape: of the tensor.
        module: its owner. Without one, three to five axes of which the last are at most 31 long are taken for a kernel.
        name: of the tensor within `module`.

    >>> layout_of((8, 4, 3, 3), nn.Conv2d(4, 8, 3)).size, layout_of((1, 197, 64)).size, layout_of(()).size
    ((8, 4, 9), (197, 64, 1), (1, 1, 1))
    """
    shape = tuple(shape)
    if len(shape) < 2:
        return Layout(Kind.VECTOR, shape)
    if module is None:
        kernel = 3 <= len(shape) <= 5 and max(shape[2:]) <= 31
    else:
        kernel = isinstance(module, _ConvNd) and name == "weight"
    return Layout(Kind.KERNEL if kernel else Kind.MATRIX, shape)
