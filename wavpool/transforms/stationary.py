"""Stationary wavelet transform: no subsampling, so that a shift of the signal only shifts the coefficients.

Level l filters periodically with taps 2**(l - 1) samples apart (`a trous`). The samples that far apart are a signal of
their own, and its coefficients are those of the ordinary transform, mode `periodization`, of that signal and of the
same moved by one, interleaved. The inverse averages the two.

Source: G. P. Nason, B. W. Silverman, The stationary wavelet transform and some statistical applications, 1995;
structures and signs as `pywt.swt`.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

from .arguments import as_axes, check_floating, fixed, integer, leaves, normal_axes, two, widened
from .dwt import analysis, halves, synthesis
from .filters import Filters, Wavelet, resolve
from .levels import Detail, Details, detail_keys

Level = tuple[Tensor, Tensor]
Level2 = tuple[Tensor, Detail]


def swt_max_level(size: int | Sequence[int]) -> int:
    """Number of levels that lengths allow, as `pywt.swt_max_level`: how often 2 divides all of them.

    >>> swt_max_level(24), swt_max_level((24, 7))
    (3, 0)
    """
    common = math.gcd(*as_axes(size, "size"))
    if common < 1:
        raise ValueError(f"every length must be at least 1, got {size}")
    return (common & -common).bit_length() - 1


def swt(
    x: Tensor,
    wavelet: Wavelet = "haar",
    level: int | None = None,
    axis: int = -1,
    trim_approx: bool = False,
    norm: bool = False,
) -> list[Level] | list[Tensor]:
    """Stationary wavelet transform along one axis, periodic at the ends.

    Args:
        x: `(..., n, ...)`, floating point, any device; the result keeps its dtype.
        wavelet: as `dwt` takes it.
        level: number of levels, 1 to `swt_max_level(n)`: 2**level must divide n. `None` takes all of them.
        axis: the axis of length n.
        trim_approx: leave out the approximations of all levels but the coarsest.
        norm: divide the filters by sqrt(2), which with an orthogonal wavelet and `trim_approx` preserves the energy.

    Returns:
        `[(cA, cD) of the coarsest level, ..., (cA, cD) of the finest]`, or with `trim_approx`
        `[cA, cD of the coarsest level, ..., cD of the finest]`, all of the shape of `x`, as `pywt.swt`.

    Raises:
        TypeError: `x` is not a floating-point tensor.
        ValueError: no such axis, an empty one, an unknown wavelet, or a level that the length does not allow.

    >>> [(low, high)] = swt(torch.tensor([1.0, 1.0, 3.0, 3.0]), level=1, norm=True)
    >>> low.round(decimals=4), high.round(decimals=4)
    (tensor([1., 2., 3., 2.]), tensor([ 0., -1.,  0.,  1.]))
    """
    if has_torch_function((x,)):
        return handle_torch_function(swt, (x,), x, wavelet, level, axis, trim_approx, norm)
    levels = _decompose(x, wavelet, level, (axis,), norm)
    if trim_approx:
        return [levels[0]["a"], *(bands["d"] for bands in levels)]
    return [(bands["a"], bands["d"]) for bands in levels]


def iswt(coefficients: Sequence[Any], wavelet: Wavelet = "haar", norm: bool = False, axis: int = -1) -> Tensor:
    """Inverse of `swt`.

    Args:
        coefficients: as `swt` returns them, trimmed or not; only the coarsest approximation is used.
        wavelet, norm, axis: as given to `swt`.

    Returns:
        a tensor of the shape of each band.

    Raises:
        TypeError: the coefficients are not floating-point tensors.
        ValueError: their structure or shapes do not belong to one transform.

    >>> x = torch.arange(8.0)
    >>> torch.allclose(iswt(swt(x, "db2", level=2), "db2"), x, atol=1e-5)
    True
    """
    tensors = leaves(coefficients)
    if has_torch_function(tensors):
        return handle_torch_function(iswt, tensors, coefficients, wavelet, norm, axis)
    return _recompose(coefficients, 1, wavelet, (axis,), norm)


def swt2(
    x: Tensor,
    wavelet: Wavelet = "haar",
    level: int | None = None,
    axes: tuple[int, int] = (-2, -1),
    trim_approx: bool = False,
    norm: bool = False,
) -> list[Level2] | list[Tensor | Detail]:
    """Stationary wavelet transform along two axes; all else as `swt`.

    Returns:
        `[(cA, (cH, cV, cD)), ...]` coarsest first, or with `trim_approx` `[cA, (cH, cV, cD), ...]`, as `pywt.swt2`.

    >>> [(approximation, details)] = swt2(torch.ones(4, 4), level=1, norm=True)
    >>> approximation.mean().round(decimals=4), details[2].abs().max()
    (tensor(1.), tensor(0.))
    """
    if has_torch_function((x,)):
        return handle_torch_function(swt2, (x,), x, wavelet, level, axes, trim_approx, norm)
    levels = _decompose(x, wavelet, level, two(axes, x), norm)
    details = [(bands["da"], bands["ad"], bands["dd"]) for bands in levels]
    if trim_approx:
        trimmed: list[Tensor | Detail] = [levels[0]["aa"], *details]
        return trimmed
    return [(bands["aa"], detail) for bands, detail in zip(levels, details, strict=True)]


def iswt2(
    coefficients: Sequence[Any], wavelet: Wavelet = "haar", norm: bool = False, axes: tuple[int, int] = (-2, -1)
) -> Tensor:
    """Inverse of `swt2`; all else as `iswt`.

    >>> torch.allclose(iswt2(swt2(torch.eye(8), "db2", level=2), "db2"), torch.eye(8), atol=1e-5)
    True
    """
    tensors = leaves(coefficients)
    if has_torch_function(tensors):
        return handle_torch_function(iswt2, tensors, coefficients, wavelet, norm, axes)
    return _recompose(coefficients, 2, wavelet, two(axes), norm)


def _decompose(x: Tensor, wavelet: Wavelet, level: int | None, axes: Sequence[int], norm: bool) -> list[Details]:
    """Bands of every level, coarsest first, by a letter an axis: `a` for low, `d` for high."""
    filters = resolve(wavelet)
    check_floating(x)
    axes = normal_axes(x, axes)
    size = fixed(x.shape[axis] for axis in axes)
    deepest = swt_max_level(size)
    level = deepest if level is None else integer(level, "level")
    if not 1 <= level <= deepest:
        lengths = " x ".join(map(str, size))
        if not deepest:
            raise ValueError(f"the stationary transform takes even lengths, got {lengths}; pad the input")
        raise ValueError(f"level must be 1 to {deepest} for {lengths}, which 2**level must divide, got {level}")
    approximation = widened(x)
    levels: list[Details] = []
    for number in range(level):
        bands = {"": approximation}
        for axis in axes:
            bands = {
                key + letter: half * 0.5**0.5 if norm else half
                for key, band in bands.items()
                for letter, half in zip("ad", _dilated_analysis(band, filters, axis, 1 << number), strict=True)
            }
        approximation = bands["a" * len(axes)]
        levels.insert(0, {key: band.to(x.dtype) for key, band in bands.items()})
    return levels


def _recompose(coefficients: Sequence[Any], dims: int, wavelet: Wavelet, axes: Sequence[int], norm: bool) -> Tensor:
    filters = resolve(wavelet)
    approximation, details = _entries(coefficients, dims)
    for band in (approximation, *(band for bands in details for band in bands)):
        check_floating(band)
        if band.shape != approximation.shape or band.dtype != approximation.dtype:
            raise ValueError(
                f"all bands must be {approximation.dtype} of shape {tuple(approximation.shape)}, "
                f"got {band.dtype} of shape {tuple(band.shape)}"
            )
    axes = normal_axes(approximation, axes)
    size = fixed(approximation.shape[axis] for axis in axes)
    if len(details) > swt_max_level(size):
        raise ValueError(f"{len(details)} levels need lengths that 2**{len(details)} divides, got {size}")
    x = widened(approximation)
    for number, level in enumerate(details):
        bands = {"a" * dims: x, **dict(zip(detail_keys(dims), map(widened, level), strict=True))}
        for axis in reversed(axes):
            bands = {
                key[:-1]: _dilated_synthesis(
                    low, bands[key[:-1] + "d"], filters, axis, 1 << (len(details) - 1 - number)
                )
                for key, low in bands.items()
                if key.endswith("a")
            }
        x = bands[""] * 2 ** (dims / 2) if norm else bands[""]
    return x.to(approximation.dtype)


def _entries(coefficients: Sequence[Any], dims: int) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
    """The coarsest approximation and the details of each level, of the results of `swt` and `swt2`, trimmed or not."""
    if len(coefficients) and isinstance(coefficients[0], Tensor):
        first, details = coefficients[0], list(coefficients[1:])
    else:
        if not len(coefficients) or any(len(entry) != 2 for entry in coefficients):
            raise ValueError(
                "coefficients must be [(cA, details), ...] or [cA, details, ...] as swt and swt2 return them"
            )
        first, details = coefficients[0][0], [entry[1] for entry in coefficients]
    levels = [(entry,) if isinstance(entry, Tensor) else tuple(entry) for entry in details]
    if not levels or any(len(level) != 2**dims - 1 for level in levels):
        raise ValueError(f"every level must have {2**dims - 1} details")
    return first, levels


def _dilated_analysis(x: Tensor, filters: Filters, axis: int, dilation: int) -> tuple[Tensor, Tensor]:
    """Low and high coefficients at every sample, by filters whose taps are `dilation` samples apart."""
    x = x.unflatten(axis, (-1, dilation))
    phases = [analysis(shifted, filters, "periodization", axis) for shifted in (x, x.roll(-1, axis))]
    spectrum = torch.stack(phases, axis + 1).flatten(axis, axis + 1)
    low, high = (half.flatten(axis, axis + 1) for half in halves(spectrum, axis))
    return low, high


def _dilated_synthesis(low: Tensor, high: Tensor, filters: Filters, axis: int, dilation: int) -> Tensor:
    """Mean of the two reconstructions, from the coefficients at even and at odd samples."""
    bands = [band.unflatten(axis, (-1, 2, dilation)) for band in (low, high)]
    spectrum = torch.cat(bands, axis)
    even, odd = (synthesis(phase, filters, "periodization", axis, None) for phase in spectrum.unbind(axis + 1))
    return ((even + odd.roll(1, axis)) * 0.5).flatten(axis, axis + 1)
