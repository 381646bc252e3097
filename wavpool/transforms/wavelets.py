"""Multi-level wavelet transforms with PyWavelets' names, structures and conventions."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor

from .haar import haar_analysis, haar_synthesis, level_sizes

Detail = tuple[Tensor, Tensor, Tensor]
Coefficients = list[Tensor | Detail]

HAAR = ("haar", "db1")


def dwt_max_level(size: int | Sequence[int], wavelet: str = "haar") -> int:
    """Number of useful levels for a length or a shape, as `pywt.dwt_max_level` and `pywt.dwtn_max_level`.

    >>> dwt_max_level((28, 32))
    4
    """
    _check_wavelet(wavelet)
    shortest = size if isinstance(size, int) else min(size)
    if shortest < 1:
        raise ValueError(f"every length must be at least 1, got {size}")
    return shortest.bit_length() - 1


def wavedec2(x: Tensor, wavelet: str = "haar", mode: str = "symmetric", level: int | None = None) -> Coefficients:
    """Multi-level 2-D discrete wavelet transform over the last two axes, all levels in one pass.

    Args:
        x: `(..., H, W)`, floating point, any device; the result keeps its dtype.
        wavelet: name as in PyWavelets; `haar` (= `db1`).
        mode: boundary extension as in PyWavelets; `symmetric`.
        level: number of levels, 0 (identity) to `dwt_max_level((H, W))`; `None` takes all of them.

    Returns:
        `[cA, (cH, cV, cD) of the coarsest level, ..., (cH, cV, cD) of the finest]`, as `pywt.wavedec2`.

    Raises:
        TypeError: `x` is not a floating-point tensor.
        ValueError: fewer than two axes, an empty axis, an unknown wavelet or mode, or a level out of range.

    >>> import torch
    >>> coefficients = wavedec2(torch.ones(1, 4, 4))
    >>> coefficients[0]
    tensor([[[4.]]])
    """
    _check_wavelet(wavelet)
    _check_mode(mode)
    if not isinstance(x, Tensor):
        raise TypeError(f"x must be a tensor, got {type(x).__name__}; convert it with torch.as_tensor(x)")
    if not x.is_floating_point():
        raise TypeError(f"x must be a floating-point tensor, got {x.dtype}; convert it with x.float()")
    if x.ndim < 2:
        raise ValueError(f"x must have at least two axes (..., H, W), got shape {tuple(x.shape)}")
    size = (x.shape[-2], x.shape[-1])
    deepest = dwt_max_level(size, wavelet)
    if level is None:
        level = deepest
    if not 0 <= level <= deepest:
        raise ValueError(f"level must be 0 to {deepest} for an image of {size[0]} x {size[1]}, got {level}")
    approximation, details = haar_analysis(x, level_sizes(size, level))
    return [approximation, *reversed(details)]


def waverec2(
    coefficients: Sequence[Tensor | Detail],
    wavelet: str = "haar",
    mode: str = "symmetric",
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Inverse of `wavedec2`.

    Args:
        coefficients: as `wavedec2` returns them.
        wavelet, mode: as given to `wavedec2`.
        size: `(H, W)` of the original image. `None` assumes even lengths, as `pywt.waverec2` does.

    Returns:
        `(..., H, W)`.

    Raises:
        ValueError: the structure or the shapes of `coefficients` do not belong to one transform of such an image.
    """
    _check_wavelet(wavelet)
    _check_mode(mode)
    if len(coefficients) == 0 or not isinstance(coefficients[0], Tensor):
        raise ValueError("coefficients must be [cA, (cH, cV, cD), ...] as wavedec2 returns them")
    approximation = coefficients[0]
    for bands in coefficients[1:]:
        if isinstance(bands, Tensor) or len(bands) != 3:
            raise ValueError("every entry after cA must be a tuple (cH, cV, cD)")
        if bands[1].shape != bands[0].shape or bands[2].shape != bands[0].shape:
            raise ValueError(f"the bands of a level differ in shape: {[tuple(band.shape) for band in bands]}")
    details = [cast(Detail, tuple(bands)) for bands in reversed(coefficients[1:])]  # finest first
    band_sizes = [(int(bands[0].shape[-2]), int(bands[0].shape[-1])) for bands in details]
    coarsest = (int(approximation.shape[-2]), int(approximation.shape[-1]))
    if size is None:
        size = (2 * band_sizes[0][0], 2 * band_sizes[0][1]) if band_sizes else coarsest
    sizes = [size, *band_sizes]
    if sizes != level_sizes(size, len(details)) or coarsest != sizes[-1]:
        raise ValueError(f"coefficients of shapes {[coarsest, *reversed(band_sizes)]} do not belong to size {size}")
    return haar_synthesis(approximation, details, sizes)


def _check_wavelet(wavelet: str) -> None:
    if wavelet not in HAAR:
        raise ValueError(f"wavelet must be one of {', '.join(HAAR)}, got {wavelet!r}")


def _check_mode(mode: str) -> None:
    if mode != "symmetric":
        raise ValueError(f"mode must be 'symmetric', got {mode!r}")
