"""The orthonormal trigonometric matrices in closed form: functions of the length, float64 on the CPU.

Row k of a matrix is the k-th basis vector. Angles are reduced as integers before they become floating-point numbers, so
that every entry is right to a rounding at any length.

Source: G. Strang, The discrete cosine transform, SIAM Review 41 (1999); signs and weights as `scipy.fft` with
`norm="ortho"`.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor


def _counting(n: int) -> Tensor:
    return torch.arange(n, device="cpu")


def _table(function: Callable[[Tensor], Tensor], rows: Tensor, columns: Tensor, half_period: int) -> Tensor:
    """`function(pi * row * column / half_period)` for every row and column, both integers."""
    steps = rows[:, None] * columns % (2 * half_period)
    return function(steps.double() * (math.pi / half_period))


def _edges(index: Tensor, *edges: int) -> Tensor:
    """1, and 1/sqrt(2) at the given positions."""
    weights = torch.ones(len(index), dtype=torch.float64, device="cpu")
    for edge in edges:
        weights = torch.where(index == edge, math.sqrt(0.5), weights)
    return weights


def dct1(n: int) -> Tensor:
    """Cosines of a signal that is even about both end samples; n is at least 2."""
    k = _counting(n)
    weights = _edges(k, 0, n - 1)
    return math.sqrt(2 / (n - 1)) * weights[:, None] * weights * _table(torch.cos, k, k, n - 1)


def dct2(n: int) -> Tensor:
    """The DCT: cosines at half samples."""
    k = _counting(n)
    return math.sqrt(2 / n) * _edges(k, 0)[:, None] * _table(torch.cos, k, 2 * k + 1, 2 * n)


def dct3(n: int) -> Tensor:
    """Transpose and inverse of `dct2`."""
    return dct2(n).T


def dct4(n: int) -> Tensor:
    """Cosines of half frequencies at half samples."""
    k = 2 * _counting(n) + 1
    return math.sqrt(2 / n) * _table(torch.cos, k, k, 4 * n)


def dst1(n: int) -> Tensor:
    """Sines of a signal that is zero one sample beyond either end."""
    k = _counting(n) + 1
    return math.sqrt(2 / (n + 1)) * _table(torch.sin, k, k, n + 1)


def dst2(n: int) -> Tensor:
    """Sines at half samples."""
    k = _counting(n) + 1
    return math.sqrt(2 / n) * _edges(k, n)[:, None] * _table(torch.sin, k, 2 * k - 1, 2 * n)


def dst3(n: int) -> Tensor:
    """Transpose and inverse of `dst2`."""
    return dst2(n).T


def dst4(n: int) -> Tensor:
    """Sines of half frequencies at half samples."""
    k = 2 * _counting(n) + 1
    return math.sqrt(2 / n) * _table(torch.sin, k, k, 4 * n)


def dht(n: int) -> Tensor:
    """Cosine plus sine."""
    k = 2 * _counting(n)
    return math.sqrt(1 / n) * (_table(torch.cos, k, k // 2, n) + _table(torch.sin, k, k // 2, n))


def rdft(n: int) -> Tensor:
    """Rows: DC, cosine and negative sine of frequency 1, of 2, ..., and last the Nyquist cosine of an even n."""
    j = _counting(n)
    frequencies = (j + 1) // 2
    cosines, sines = _table(torch.cos, 2 * frequencies, j, n), _table(torch.sin, -2 * frequencies, j, n)
    weights = _edges(j, 0, n - 1) if n % 2 == 0 else _edges(j, 0)
    is_sine = (j > 0) & (j % 2 == 0)
    return math.sqrt(2 / n) * weights[:, None] * torch.where(is_sine[:, None], sines, cosines)


def irdft(n: int) -> Tensor:
    """Transpose and inverse of `rdft`."""
    return rdft(n).T
