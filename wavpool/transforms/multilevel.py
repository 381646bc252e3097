"""Multi-level wavelet transforms with PyWavelets' names, structures and conventions.

`wavedec` has one transformed axis, `wavedec2` two and `wavedecn` any number; their results are lists, coarsest first,
whose length less one is the number of levels. Inside, the details of a level are a dictionary as `wavedecn` returns it:
one letter an axis, `a` for low and `d` for high.
"""

import functools
from collections.abc import Sequence
from types import NoneType
from typing import Any, cast

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

from . import native
from .arguments import as_axes, check_floating, check_tensors, integer, ints, leaves, normal_axes, two, widened
from .extension import BOUNDARY, check_mode, longest_length
from .filters import Filters, Wavelet, resolve
from .levels import Detail, Details, analysis_step, check_level, detail_keys, synthesis_step

Coefficients = list[Tensor | Detail]
CoefficientsN = list[Tensor | Details]


def dwt_max_level(size: int | Sequence[int], wavelet: "Wavelet | int" = "haar") -> int:
    """Number of useful levels for a length or a shape, as `pywt.dwt_max_level` and `pywt.dwtn_max_level`.

    The last level is the deepest with a coefficient that no extension reaches: floor(log2(n / (L - 1))). In place of a
    wavelet its length L may be given.

    >>> dwt_max_level((28, 32)), dwt_max_level(512, "db4"), dwt_max_level(512, 8)
    (4, 6, 6)
    """
    shortest = min(as_axes(size, "size"), default=0)
    if shortest < 1:
        raise ValueError(f"every length must be at least 1, got {size}")
    length = wavelet if isinstance(wavelet, int) else resolve(wavelet).length
    if length < 2:
        raise ValueError(f"filters must have at least 2 taps, got {length}")
    level = 0
    while (length - 1) << (level + 1) <= shortest:  # comparisons alone, which keep a compiled program of any length
        level += 1
    return level


def wavedec(
    x: Tensor, wavelet: Wavelet = "haar", mode: str = "symmetric", level: int | None = None, axis: int = -1
) -> list[Tensor]:
    """Multi-level discrete wavelet transform along one axis.

    Args:
        x: `(..., n, ...)`, floating point, any device; the result keeps its dtype.
        wavelet, mode: as `dwt` takes them.
        level: number of levels, 0 (identity) to `dwt_max_level(n, wavelet)`; `None` takes all of them.
        axis: the axis of length n.

    Returns:
        `[cA, cD of the coarsest level, ..., cD of the finest]`, as `pywt.wavedec`.

    Raises:
        TypeError: `x` is not a floating-point tensor.
        ValueError: no such axis, an empty one, an unknown wavelet or mode, or a level out of range.

    >>> [len(band) for band in wavedec(torch.zeros(32), "db2")]
    [6, 6, 10, 17]
    """
    if has_torch_function((x,)):
        return handle_torch_function(wavedec, (x,), x, wavelet, mode, level, axis)
    approximation, details = _decompose(x, wavelet, mode, level, (axis,))
    return [approximation, *(band for (band,) in details)]


def waverec(
    coefficients: Sequence[Tensor],
    wavelet: Wavelet = "haar",
    mode: str = "symmetric",
    axis: int = -1,
    *,
    length: int | None = None,
) -> Tensor:
    """Inverse of `wavedec`.

    Args:
        coefficients: as `wavedec` returns them.
        wavelet, mode, axis: as given to `wavedec`.
        length: n of the original. `None` takes the longer, even one, as `pywt.waverec` does.

    Returns:
        `(..., length, ...)`.

    Raises:
        TypeError: the coefficients are not floating-point tensors.
        ValueError: their structure or shapes do not belong to one transform of a signal of this length.

    >>> x = torch.arange(9.0)
    >>> torch.allclose(waverec(wavedec(x, "db2"), "db2", length=9), x, atol=1e-5)
    True
    """
    tensors = leaves(coefficients)
    if has_torch_function(tensors):
        arguments = (tensors, coefficients, wavelet, mode, axis)
        return handle_torch_function(waverec, *arguments, length=length)
    approximation, details = entries(coefficients, 1, "[cA, cD, ...] as wavedec returns them")
    return _recompose(approximation, details, wavelet, mode, (axis,), None if length is None else (length,))


def wavedec2(
    x: Tensor,
    wavelet: Wavelet = "haar",
    mode: str = "symmetric",
    level: int | None = None,
    axes: tuple[int, int] = (-2, -1),
) -> Coefficients:
    """Multi-level 2-D discrete wavelet transform.

    Args:
        x: `(..., H, W)`, floating point, any device; the result keeps its dtype.
        wavelet, mode: as `dwt` takes them.
        level: number of levels, 0 (identity) to `dwt_max_level((H, W), wavelet)`; `None` takes all of them.
        axes: the axes of lengths H and W.

    Returns:
        `[cA, (cH, cV, cD) of the coarsest level, ..., (cH, cV, cD) of the finest]`, as `pywt.wavedec2`.

    Raises:
        TypeError: `x` is not a floating-point tensor.
        ValueError: missing or equal axes, an empty one, an unknown wavelet or mode, or a level out of range.

    >>> approximation, coarsest, finest = wavedec2(torch.ones(1, 4, 4))
    >>> approximation.round(), finest[0].shape
    (tensor([[[4.]]]), torch.Size([1, 2, 2]))
    """
    if has_torch_function((x,)):
        return handle_torch_function(wavedec2, (x,), x, wavelet, mode, level, axes)
    approximation, details = _decompose(x, wavelet, mode, level, two(axes, x))
    return [approximation, *(cast(Detail, bands) for bands in details)]


def waverec2(
    coefficients: Sequence[Tensor | Detail],
    wavelet: Wavelet = "haar",
    mode: str = "symmetric",
    axes: tuple[int, int] = (-2, -1),
    *,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Inverse of `wavedec2`.

    Args:
        coefficients: as `wavedec2` returns them.
        wavelet, mode, axes: as given to `wavedec2`.
        size: `(H, W)` of the original image. `None` takes the longer, even lengths, as `pywt.waverec2` does.

    Returns:
        `(..., H, W)`.

    Raises:
        TypeError: the coefficients are not floating-point tensors.
        ValueError: their structure or shapes do not belong to one transform of an image of this size.

    >>> waverec2(wavedec2(torch.ones(3, 5)), size=(3, 5)).shape
    torch.Size([3, 5])
    """
    tensors = leaves(coefficients)
    if has_torch_function(tensors):
        arguments = (tensors, coefficients, wavelet, mode, axes)
        return handle_torch_function(waverec2, *arguments, size=size)
    approximation, details = entries(coefficients, 2, "[cA, (cH, cV, cD), ...] as wavedec2 returns them")
    return _recompose(approximation, details, wavelet, mode, two(axes), size)


def wavedecn(
    x: Tensor,
    wavelet: Wavelet = "haar",
    mode: str = "symmetric",
    level: int | None = None,
    axes: Sequence[int] | None = None,
) -> CoefficientsN:
    """Multi-level discrete wavelet transform along several axes.

    Args:
        x: floating point, any device; the result keeps its dtype.
        wavelet, mode: as `dwt` takes them.
        level: number of levels, 0 (identity) to `dwt_max_level(lengths, wavelet)`; `None` takes all of them.
        axes: the transformed axes; `None` takes all.

    Returns:
        `[cA, details of the coarsest level, ..., details of the finest]`, as `pywt.wavedecn`: the details of a level
        are a dictionary with a letter for each of `axes`, `a` for low and `d` for high.

    Raises:
        TypeError: `x` is not a floating-point tensor.
        ValueError: missing or equal axes, an empty one, an unknown wavelet or mode, or a level out of range.

    >>> [*wavedecn(torch.zeros(8, 8, 8))[1]]
    ['daa', 'ada', 'dda', 'aad', 'dad', 'add', 'ddd']
    """
    if has_torch_function((x,)):
        return handle_torch_function(wavedecn, (x,), x, wavelet, mode, level, axes)
    axes = range(x.ndim) if axes is None else as_axes(axes)
    approximation, details = _decompose(x, wavelet, mode, level, axes)
    return [approximation, *(dict(zip(detail_keys(len(axes)), bands, strict=True)) for bands in details)]


def waverecn(
    coefficients: Sequence[Tensor | Details],
    wavelet: Wavelet = "haar",
    mode: str = "symmetric",
    axes: Sequence[int] | None = None,
    *,
    size: Sequence[int] | None = None,
) -> Tensor:
    """Inverse of `wavedecn`.

    Args:
        coefficients: as `wavedecn` returns them.
        wavelet, mode, axes: as given to `wavedecn`.
        size: lengths of the original along `axes`. `None` takes the longer, even ones, as `pywt.waverecn` does.

    Returns:
        a tensor of the original's shape.

    Raises:
        TypeError: the coefficients are not floating-point tensors.
        ValueError: their structure or shapes do not belong to one transform of a signal of this size.

    >>> waverecn(wavedecn(torch.ones(3, 5, 4)), size=(3, 5, 4)).shape
    torch.Size([3, 5, 4])
    """
    tensors = leaves(coefficients)
    if has_torch_function(tensors):
        arguments = (tensors, coefficients, wavelet, mode, axes)
        return handle_torch_function(waverecn, *arguments, size=size)
    check_tensors(tensors, "each band")
    axes = range(tensors[0].ndim if tensors else 0) if axes is None else as_axes(axes)
    approximation, details = entries(coefficients, len(axes), "[cA, {'ad': .., ...}, ...] as wavedecn returns them")
    return _recompose(approximation, details, wavelet, mode, axes, size)


def _decompose(
    x: Tensor, wavelet: Wavelet, mode: str, level: int | None, axes: Sequence[int]
) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
    """The approximation and the details of every level, coarsest first, in the order of `detail_keys`."""
    filters, axes, lengths, level = _checked(x, wavelet, mode, level, axes)
    approximation = widened(x)
    details: list[tuple[Tensor, ...]] = []
    if native.fits(filters, approximation, mode, axes, level, lengths):
        approximation, details = native.decompose(approximation, filters, mode, axes, level)
    else:
        for _ in range(level):
            approximation, bands = analysis_step(approximation, filters, mode, axes)
            details.insert(0, tuple(bands.values()))
    if approximation.dtype != x.dtype:
        approximation = approximation.to(x.dtype)
        details = [tuple(band.to(x.dtype) for band in bands) for bands in details]
    return approximation, details


def _checked(
    x: Any, wavelet: Wavelet, mode: str, level: int | None, axes: Sequence[int]
) -> tuple[Filters, tuple[int, ...], tuple[int, ...], int]:
    """The filters, the axes counted from the front, their lengths and the number of levels of a checked call."""
    symbols = torch.compiler.is_compiling() or torch.jit.is_tracing()
    kinds = type(wavelet), type(mode), type(axes)
    if symbols or not isinstance(x, Tensor) or kinds != (str, str, tuple) or type(level) not in (int, NoneType):
        return _check(x, wavelet, mode, level, axes)
    return _kept_check(x.shape, x.dtype, wavelet, mode, level, axes)


def _check(
    x: Tensor, wavelet: Wavelet, mode: str, level: int | None, axes: Sequence[int]
) -> tuple[Filters, tuple[int, ...], tuple[int, ...], int]:
    filters = resolve(wavelet)
    check_mode(mode)
    check_floating(x)
    axes = normal_axes(x, axes)
    lengths = _lengths(x, axes)
    return filters, axes, lengths, checked_level(level, lengths, filters)


@functools.lru_cache(maxsize=1024, typed=True)  # the checks of a small image take as long as its transform
def _kept_check(
    shape: torch.Size, dtype: torch.dtype, wavelet: str, mode: str, level: int | None, axes: tuple[int, ...]
) -> tuple[Filters, tuple[int, ...], tuple[int, ...], int]:
    return _check(torch.empty(shape, dtype=dtype, device="meta"), wavelet, mode, level, axes)


def _recompose(
    approximation: Tensor,
    details: list[Details],
    wavelet: Wavelet,
    mode: str,
    axes: Sequence[int],
    size: Sequence[int] | None,
) -> Tensor:
    """Inverse of `_decompose`; every level but the last has the size of the next one's details."""
    filters = resolve(wavelet)
    check_mode(mode)
    check_floating(approximation)
    axes = normal_axes(approximation, axes)
    size = None if size is None else ints(as_axes(size, "size"))
    if size is not None and len(size) != len(axes):
        raise ValueError(f"size must have {len(axes)} lengths, got {size}")
    x = widened(approximation)
    if details:
        counts = _lengths(next(iter(details[-1].values())), axes)
        lengths = size or tuple(longest_length(count, filters.length, mode) for count in counts)
        if native.fits(filters, x, mode, axes, len(details), lengths):
            fused = native.recompose(x, details, filters, mode, axes, lengths)
            if fused is not None:
                return fused.to(approximation.dtype)
    finest = len(details) - 1
    for number, bands in enumerate(details):
        bands = {key: widened(band) for key, band in bands.items()}
        check_level(x, bands, mode, axes)
        target: Sequence[int | None] = (None,) * len(axes)
        if number == finest:
            target = size or target
        elif mode != BOUNDARY:
            target = _lengths(next(iter(details[number + 1].values())), axes)
        x = synthesis_step(x, bands, filters, mode, axes, target)
    if size is not None and size != _lengths(x, axes):
        raise ValueError(f"size must be {_lengths(x, axes)} for these coefficients, got {size}")
    return x.to(approximation.dtype)


def entries(coefficients: Sequence[Any], dims: int, form: str) -> tuple[Tensor, list[Details]]:
    """The approximation, and the details of each level as a dictionary, of the results of all three functions.

    Raises:
        ValueError: another structure, or another number of axes; the message tells the `form` wanted.
    """
    details = [_as_dictionary(entry) for entry in coefficients[1:]]
    check_tensors(leaves(coefficients), "each band")
    first, keys = coefficients[0] if len(coefficients) else None, {*detail_keys(dims)}
    if not isinstance(first, Tensor) or any(bands.keys() != keys for bands in details):
        raise ValueError(f"coefficients must be {form}")
    return first, details


def _as_dictionary(entry: Any) -> Details:
    if isinstance(entry, dict):
        return entry
    if isinstance(entry, Tensor):
        return {"d": entry}
    if isinstance(entry, (tuple, list)) and len(entry) == 3:
        return {"da": entry[0], "ad": entry[1], "dd": entry[2]}
    return {}


def _lengths(x: Tensor, axes: Sequence[int]) -> tuple[int, ...]:
    shape = ints(x.shape)
    return tuple(shape[axis] for axis in axes)


def checked_level(level: int | None, size: tuple[int, ...], filters: Filters) -> int:
    """`level`, or the deepest for `None`; ValueError, which says what is allowed, for one out of range."""
    if not size:
        raise ValueError("axes must name at least one axis")
    if level is None:
        return dwt_max_level(size, filters)
    level = integer(level, "level")
    reach = (filters.length - 1) << min(max(level, 0), 64)
    if level < 0 or (level > 0 and any(n < reach for n in size)):
        deepest = dwt_max_level(size, filters)  # for the message alone: it would tie a compiled program to few lengths
        shape = " x ".join(str(length) for length in size)
        raise ValueError(
            f"level must be 0 to {deepest} for {shape} and filters of length {filters.length}, got {level}"
        )
    return level
