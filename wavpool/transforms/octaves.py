"""Discrete Shannon wavelets: a spectrum cut into octaves at sharp edges, and each octave turned back into a signal.

Every coefficient belongs to one octave and one place. The octaves are those of the real-packed Fourier transform
(`shannon`) or of the cosine transform (`real_shannon`, without wrap-around at the ends); both maps are orthonormal.

Source: S. Mallat, A Wavelet Tour of Signal Processing, ch. 7 (Shannon wavelets) and 8.4 (local cosines).
"""

import operator
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from .linear_maps import along_axes
from .trigonometric import dct, idct, irdft, rdft

Axis = int | Sequence[int]


def shannon(x: Tensor, axis: Axis = -1) -> Tensor:
    """Shannon wavelet coefficients over Fourier octaves: the mean, then bands of 2, 4, 8, ... coefficients.

    Arguments, result and errors are those of `dct`; any length. Inverse: `ishannon`.

    >>> shannon(torch.ones(4)).abs().round(decimals=4)
    tensor([2., 0., 0., 0.])
    """
    if has_torch_function_unary(x):
        return handle_torch_function(shannon, (x,), x, axis=axis)
    return along_axes(x, axis, lambda y, each: _by_octave(rdft(y, axis=each), each, irdft, first=2))


def ishannon(x: Tensor, axis: Axis = -1) -> Tensor:
    """Inverse of `shannon`.

    >>> ishannon(shannon(torch.tensor([3.0, 1.0, 2.0])))
    tensor([3.0000, 1.0000, 2.0000])
    """
    if has_torch_function_unary(x):
        return handle_torch_function(ishannon, (x,), x, axis=axis)
    return along_axes(x, axis, lambda y, each: irdft(_by_octave(y, each, rdft, first=2), axis=each))


def real_shannon(x: Tensor, axis: Axis = -1) -> Tensor:
    """Shannon wavelet coefficients over cosine octaves: the mean, then bands of 1, 2, 4, ... coefficients.

    Arguments, result and errors are those of `dct`; any length. Inverse: `ireal_shannon`.

    >>> real_shannon(torch.ones(4)).abs().round(decimals=4)
    tensor([2., 0., 0., 0.])
    """
    if has_torch_function_unary(x):
        return handle_torch_function(real_shannon, (x,), x, axis=axis)
    return along_axes(x, axis, lambda y, each: _by_octave(dct(y, axis=each), each, _local_cosine, first=1))


def ireal_shannon(x: Tensor, axis: Axis = -1) -> Tensor:
    """Inverse of `real_shannon`.

    >>> ireal_shannon(real_shannon(torch.tensor([3.0, 1.0, 2.0])))
    tensor([3.0000, 1.0000, 2.0000])
    """
    if has_torch_function_unary(x):
        return handle_torch_function(ireal_shannon, (x,), x, axis=axis)
    return along_axes(x, axis, lambda y, each: idct(_by_octave(y, each, _local_cosine, first=1), axis=each))


def _local_cosine(x: Tensor, axis: int) -> Tensor:
    return dct(x, type=4, axis=axis)  # its own inverse


def _by_octave(x: Tensor, axis: int, step: Callable[..., Tensor], first: int) -> Tensor:
    """`step` in every octave but the mean; the last octave has what is left."""
    n = operator.index(x.shape[axis])
    sizes, octave = [1], first
    while sum(sizes) < n:
        sizes.append(min(octave, n - sum(sizes)))
        octave *= 2
    mean, *octaves = x.split(sizes, axis)
    return torch.cat([mean, *(step(band, axis=axis) for band in octaves)], axis)
