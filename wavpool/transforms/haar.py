"""Two-dimensional orthonormal Haar analysis and synthesis in plain torch.

Every function takes and returns tensors `(..., H, W)` of any floating dtype on any device and is differentiable.
Sizes are passed as Python integers, never read off the tensor inside a branch, so that `torch.fx`, TorchScript,
`torch.export` and `torch.compile` see straight-line code.

Source: A. Haar, Math. Ann. 69 (1910); S. Mallat, A Wavelet Tour of Signal Processing, ch. 7. Signs, order of the
bands and boundary handling are those of PyWavelets (`haar`, mode `symmetric`).
"""

import torch
from torch import Tensor


def level_sizes(size: tuple[int, int], level: int) -> list[tuple[int, int]]:
    """Sizes `(H, W)` of an image and of its approximations at levels 1..`level`: `level + 1` pairs, finest first.

    >>> level_sizes((28, 28), 3)
    [(28, 28), (14, 14), (7, 7), (4, 4)]
    """
    sizes = [size]
    for _ in range(level):
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


def _even(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Repeat the last row or column of an odd length."""
    if size[0] % 2 == 1:
        x = torch.cat((x, x[..., -1:, :]), dim=-2)
    if size[1] % 2 == 1:
        x = torch.cat((x, x[..., -1:]), dim=-1)
    return x


def haar_step(x: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One level of analysis.

    Args:
        x: `(..., H, W)`.
        size: `(H, W)`; an odd length repeats its last sample, as PyWavelets' `symmetric` does.

    Returns:
        approximation, horizontal, vertical and diagonal detail, each `(..., ceil(H / 2), ceil(W / 2))`.
    """
    x = _even(x, size)
    # Rows first: these two passes run over contiguous rows. The factor 1/2 is the two 1/sqrt(2) in one exact product.
    top, bottom = x[..., 0::2, :] * 0.5, x[..., 1::2, :] * 0.5
    low, high = top + bottom, top - bottom
    low_even, low_odd = low[..., 0::2], low[..., 1::2]
    high_even, high_odd = high[..., 0::2], high[..., 1::2]
    return low_even + low_odd, high_even + high_odd, low_even - low_odd, high_even - high_odd


def haar_lowpass(x: Tensor, size: tuple[int, int]) -> Tensor:
    """The approximation of `haar_step` alone, in a third of the time; `(..., ceil(H / 2), ceil(W / 2))`."""
    x = _even(x, size)
    rows = x[..., 0::2, :] + x[..., 1::2, :]
    return (rows[..., 0::2] + rows[..., 1::2]) * 0.5


def haar_synthesis_step(
    approximation: Tensor, horizontal: Tensor, vertical: Tensor, diagonal: Tensor, size: tuple[int, int]
) -> Tensor:
    """Inverse of `haar_step`: four bands `(..., ceil(H / 2), ceil(W / 2))` to `(..., H, W)` with `size = (H, W)`."""
    low = torch.stack((approximation + vertical, approximation - vertical), dim=-1).flatten(-2)
    high = torch.stack((horizontal + diagonal, horizontal - diagonal), dim=-1).flatten(-2)
    x = torch.stack((low + high, low - high), dim=-2).flatten(-3, -2) * 0.5
    return x[..., : size[0], : size[1]]


def haar_analysis(x: Tensor, sizes: list[tuple[int, int]]) -> tuple[Tensor, list[tuple[Tensor, Tensor, Tensor]]]:
    """All levels in one pass.

    Args:
        x: `(..., H, W)`.
        sizes: `level_sizes((H, W), level)`; its length less one is the number of levels.

    Returns:
        the coarsest approximation, and the details (horizontal, vertical, diagonal) of every level, **finest first**.
    """
    details: list[tuple[Tensor, Tensor, Tensor]] = []
    for size in sizes[:-1]:
        x, horizontal, vertical, diagonal = haar_step(x, size)
        details.append((horizontal, vertical, diagonal))
    return x, details


def haar_synthesis(
    approximation: Tensor, details: list[tuple[Tensor, Tensor, Tensor]], sizes: list[tuple[int, int]]
) -> Tensor:
    """Inverse of `haar_analysis`, with the same `sizes` and details finest first: `(..., H, W)`."""
    x = approximation
    for level in range(len(details) - 1, -1, -1):
        horizontal, vertical, diagonal = details[level]
        x = haar_synthesis_step(x, horizontal, vertical, diagonal, sizes[level])
    return x
