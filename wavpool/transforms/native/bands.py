"""The kernel's packed coefficients as the bands of `multilevel.py`, and back."""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor

from ..extension import BOUNDARY, band_sizes
from ..filters import FilterBank, Filters
from . import cuda
from .ops import analysis, direct, from_bands, usable

KEYS = {1: ("d",), 2: ("da", "ad", "dd")}


def fits(
    filters: Filters, x: Tensor, mode: str, axes: Sequence[int], level: int, size: Sequence[int]
) -> TypeGuard[FilterBank]:
    """Whether a kernel transforms lengths `size` of `axes`: fixed filters, one or two axes, a mode that extends.

    `x` is the signal, or coefficients of its dtype and device.
    """
    if level == 0 or len(axes) not in KEYS or mode == BOUNDARY or not isinstance(filters, FilterBank):
        return False
    return usable(x) or cuda.usable(x, filters, size, level)


def grouped(x: Tensor, wavelet: str, length: int, mode: str, dims: int, level: int, skipped: int = 0) -> list[Tensor]:
    """The approximation `(..., *band)` and the details of every level together, `(..., 3, *band)`, coarsest first.

    `wavelet` is a `FilterBank.key`, `length` its number of taps; the `skipped` finest levels are left out. All results
    are views of one tensor, and few, since each costs a microsecond here and as much again in the backward pass.
    """
    shapes = _shapes(tuple(x.shape[-dims:]), length, mode, level)
    batch = tuple(x.shape[:-dims])  # a view to a torch.Size takes twice as long
    packed = analysis(x, wavelet, mode, dims, level)
    parts = packed.split_with_sizes([math.prod(shape) for shape in shapes], -1)
    kept = level + 1 - skipped
    return [part.view(batch + shape) for part, shape in zip(parts[:kept], shapes[:kept], strict=True)]


def decompose(
    x: Tensor, bank: FilterBank, mode: str, axes: Sequence[int], level: int
) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
    """The approximation and the details of every level, coarsest first, in the order of `KEYS`."""
    dims = len(axes)
    x, moved = _last(x, axes)
    arguments = bank.key, bank.length, mode, dims, level
    if _records(x):
        count = len(KEYS[dims])
        approximation, *bands = _Bands.apply(x, *arguments)
        details = [tuple(bands[start : start + count]) for start in range(0, len(bands), count)]
    elif direct((x,)):
        packed = analysis(x, bank.key, mode, dims, level)
        approximation, *groups = [packed.as_strided(*view) for view in _views(x.shape, bank.length, mode, dims, level)]
        details = [group.unbind(-dims - 1) for group in groups]
    else:
        approximation, *groups = grouped(x, *arguments)
        details = [group.unbind(-dims - 1) for group in groups]
    if moved:
        end = tuple(range(-dims, 0))
        approximation = approximation.movedim(end, tuple(axes))
        details = [tuple(band.movedim(end, tuple(axes)) for band in bands) for bands in details]
    return approximation, details


def _bands(x: Tensor, wavelet: str, length: int, mode: str, dims: int, level: int) -> tuple[Tensor, ...]:
    """All bands apart, in the order of the packed coefficients."""
    approximation, *details = grouped(x, wavelet, length, mode, dims, level)
    return (approximation, *(band for group in details for band in group.unbind(-dims - 1)))


def _records(x: Tensor) -> bool:
    """Whether eager autograd records what happens to `x`."""
    return (
        x.requires_grad
        and torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
    )


class _Bands(torch.autograd.Function):
    """`_bands` as one step, whose backward reads the gradients where they are; those of its views would copy twice."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
        wavelet, _, mode, dims, level = arguments
        ctx.arguments = wavelet, mode, tuple(x.shape[-dims:]), level
        return _bands(x, *arguments)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        wavelet, mode, size, level = ctx.arguments
        return from_bands(gradients, wavelet, mode, False, size, level), None, None, None, None, None


def recompose(
    approximation: Tensor,
    details: list[dict[str, Tensor]],
    bank: FilterBank,
    mode: str,
    axes: Sequence[int],
    size: Sequence[int],
) -> Tensor | None:
    """Inverse of `decompose` for an original of lengths `size` along `axes`.

    Returns `None` where the bands do not belong together, for the plain form to say what is wrong.
    """
    dims = len(axes)
    bands = [_last(band, axes)[0] for band in (approximation, *(entry[key] for entry in details for key in KEYS[dims]))]
    coarsest, *shapes = _shapes(tuple(size), bank.length, mode, len(details))
    sizes = [coarsest, *(shape[1:] for shape in shapes for _ in KEYS[dims])]
    expected = [(*bands[0].shape[:-dims], *band) for band in sizes]
    if [tuple(band.shape) for band in bands] != expected or len({band.dtype for band in bands}) > 1:
        return None
    x = from_bands(bands, bank.key, mode, True, tuple(size), len(details))
    moved = tuple(axes) != tuple(range(x.ndim - dims, x.ndim))
    return x.movedim(tuple(range(-dims, 0)), tuple(axes)) if moved else x


def _last(x: Tensor, axes: Sequence[int]) -> tuple[Tensor, bool]:
    """The transformed axes moved to the end, and whether they were elsewhere."""
    end = tuple(range(x.ndim - len(axes), x.ndim))
    return (x, False) if tuple(axes) == end else (x.movedim(tuple(axes), end), True)


def _shapes(size: tuple[int, ...], length: int, mode: str, level: int) -> list[tuple[int, ...]]:
    """Shape of the approximation, and of the details of every level together, in the order of the packed ones."""
    if torch.compiler.is_compiling():  # of symbols, perhaps
        return _new_shapes(size, length, mode, level)
    return _kept_shapes(size, length, mode, level)


@functools.lru_cache(maxsize=1024)
def _views(
    shape: torch.Size, length: int, mode: str, dims: int, level: int
) -> list[tuple[tuple[int, ...], tuple[int, ...], int]]:
    """`grouped` as shapes, strides and offsets in the packed coefficients: one step a view where nothing records it."""
    batch = tuple(shape[:-dims])
    shapes = _kept_shapes(tuple(shape[-dims:]), length, mode, level)
    offsets = list(itertools.accumulate((math.prod(band) for band in shapes), initial=0))
    return [
        (batch + band, _strides((*batch, offsets[-1]))[:-1] + _strides(band), offset)
        for band, offset in zip(shapes, offsets, strict=False)
    ]


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _new_shapes(size: tuple[int, ...], length: int, mode: str, level: int) -> list[tuple[int, ...]]:
    sizes = band_sizes(size, length, mode, level)
    return [sizes[-1], *((len(KEYS[len(size)]), *band) for band in reversed(sizes[1:]))]


_kept_shapes = functools.lru_cache(maxsize=1024)(_new_shapes)
