"""The kernel's packed coefficients as the bands of `multilevel.py`, and back."""

import functools
import math
from collections.abc import Sequence
from typing import TypeGuard

import torch
from torch import Tensor

from ..extension import BOUNDARY, band_sizes
from ..filters import FilterBank, Filters
from ..tracing import constant_result
from .ops import analysis, synthesis, usable

KEYS = {1: ("d",), 2: ("da", "ad", "dd")}


def fits(filters: Filters, x: Tensor, mode: str, axes: Sequence[int], level: int) -> TypeGuard[FilterBank]:
    """Whether the kernel computes this transform: fixed filters, one or two axes, a mode that extends."""
    return level > 0 and len(axes) in KEYS and mode != BOUNDARY and isinstance(filters, FilterBank) and usable(x)


def decompose(
    x: Tensor, bank: FilterBank, mode: str, axes: Sequence[int], level: int
) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """The approximation and the details of every level, coarsest first; all of them views of one tensor."""
    x = _last(x, axes)
    dims = len(axes)
    counts, sizes = _layout(tuple(x.shape[-dims:]), bank.length, mode, level)
    batch = x.shape[:-dims]
    parts = analysis(x, bank, mode, dims, level).split_with_sizes(counts, -1)
    bands = [_back(part.view(batch + size), axes) for part, size in zip(parts, sizes, strict=True)]
    keys = KEYS[dims]
    starts = range(1, len(bands), len(keys))
    return bands[0], [dict(zip(keys, bands[start : start + len(keys)], strict=True)) for start in starts]


def recompose(
    approximation: Tensor,
    details: list[dict[str, Tensor]],
    bank: FilterBank,
    mode: str,
    axes: Sequence[int],
    size: Sequence[int] | None,
) -> Tensor | None:
    """Inverse of `decompose` for an original of lengths `size` along `axes`; `None`: the longer, even ones.

    Returns `None` where the bands do not belong together, for the plain form to say what is wrong.
    """
    dims = len(axes)
    bands = [_last(band, axes) for band in (approximation, *(entry[key] for entry in details for key in KEYS[dims]))]
    if size is None:
        overlap = 0 if mode == "periodization" else bank.length - 2
        size = [2 * count - overlap for count in bands[-1].shape[-dims:]]
    sizes = _layout(tuple(size), bank.length, mode, len(details))[1]
    expected = [(*bands[0].shape[:-dims], *band) for band in sizes]
    if [tuple(band.shape) for band in bands] != expected or len({band.dtype for band in bands}) > 1:
        return None
    packed = torch.cat([band.flatten(-dims) for band in bands], -1)
    return _back(synthesis(packed, bank, mode, tuple(size), len(details)), axes)


def _last(x: Tensor, axes: Sequence[int]) -> Tensor:
    """The transformed axes moved to the end."""
    end = tuple(range(x.ndim - len(axes), x.ndim))
    return x if tuple(axes) == end else x.movedim(tuple(axes), end)


def _back(x: Tensor, axes: Sequence[int]) -> Tensor:
    end = tuple(range(x.ndim - len(axes), x.ndim))
    return x if tuple(axes) == end else x.movedim(end, tuple(axes))


@constant_result
def _layout(size: tuple[int, ...], length: int, mode: str, level: int) -> tuple[list[int], list[tuple[int, ...]]]:
    """Number of coefficients and size of every band, in the order of the packed coefficients."""
    return _kept_layout(size, length, mode, level)


@functools.lru_cache(maxsize=1024)
def _kept_layout(size: tuple[int, ...], length: int, mode: str, level: int) -> tuple[list[int], list[tuple[int, ...]]]:
    sizes = band_sizes(size, length, mode, level)
    bands = [sizes[-1], *(band for band in reversed(sizes[1:]) for _ in KEYS[len(size)])]
    return [math.prod(band) for band in bands], bands
