"""Which weights of a network a circuit reads and which it computes: places in layers, as flat positions.

Order is that of the ancestor: by filter, then channel, then row, then column.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError

Positions = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Selection:
    """Some weights of one layer, or constants.

    Attributes:
        layer: its name; nothing for constants that belong to no layer.
        positions: in the flattened weight, in the order in which they are used.
        constants: values to take instead of the layer's.
    """

    layer: str
    positions: Positions
    constants: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self.positions)

    def of(self, weights: Mapping[str, NDArray[np.int8]]) -> list[int]:
        """Their values."""
        if self.constants is not None:
            return list(self.constants)
        values: list[int] = weights[self.layer].reshape(-1)[self.positions].tolist()
        return values


def constants(values: Sequence[int]) -> Selection:
    """Values of no layer."""
    return Selection("", np.arange(len(values)), values)


def every(layer: str, shape: Sequence[int]) -> Selection:
    """All weights of a layer."""
    return Selection(layer, np.arange(np.prod(shape, dtype=np.int64)))


def first(layer: str, shape: Sequence[int], count: int) -> Selection:
    """The first weights of a layer, at most all."""
    return Selection(layer, every(layer, shape).positions[:count])


def core(
    layer: str,
    shape: Sequence[int],
    side: int,
    filters: Sequence[int] | None = None,
    channels: Sequence[int] | None = None,
) -> Selection:
    """The centred `side` x `side` block of kernels; of all filters and channels by default.

    Raises:
        UserError: the layer has no square kernels that are wider by an even number.

    >>> core("conv", (2, 1, 3, 3), 1).positions.tolist()
    [4, 13]
    """
    return Selection(layer, _kernels(layer, shape, filters, channels)[..., _inside(layer, shape, side)].reshape(-1))


def ring(
    layer: str,
    shape: Sequence[int],
    side: int,
    filters: Sequence[int] | None = None,
    channels: Sequence[int] | None = None,
) -> Selection:
    """What surrounds `core`, row by row.

    Raises:
        UserError: as `core`.

    >>> ring("conv", (1, 1, 3, 3), 1).positions.tolist()
    [0, 1, 2, 3, 5, 6, 7, 8]
    """
    return Selection(layer, _kernels(layer, shape, filters, channels)[..., ~_inside(layer, shape, side)].reshape(-1))


def _kernels(
    layer: str, shape: Sequence[int], filters: Sequence[int] | None, channels: Sequence[int] | None
) -> Positions:
    """Positions of chosen kernels, (filters, channels, height, width)."""
    if len(shape) != 4:
        raise UserError(f"{layer} is no 2-D convolution but of shape {tuple(shape)}: choose a layer that is one")
    positions = np.arange(np.prod(shape, dtype=np.int64)).reshape(shape)
    for what, chosen, count in (("filter", filters, shape[0]), ("channel", channels, shape[1])):
        if wrong := [index for index in chosen or () if not 0 <= index < count]:
            raise UserError(f"{layer} has {count} {what}s; there is no {what} {wrong[0]}")
    positions = positions[list(filters)] if filters is not None else positions
    return positions[:, list(channels)] if channels is not None else positions


def _inside(layer: str, shape: Sequence[int], side: int) -> NDArray[np.bool_]:
    height, width = shape[-2:]
    margin = (height - side) // 2
    if height != width or side < 1 or margin < 1 or height != side + 2 * margin:
        raise UserError(
            f"kernels of {layer} are {height} x {width}: they have no core of {side} x {side} with a ring; "
            "choose --layers with larger ones, or another experiment"
        )
    inside = np.zeros((height, width), dtype=np.bool_)
    inside[margin : margin + side, margin : margin + side] = True
    return inside
