"""The wavelet bands of an image, as the layers take them."""

import torch
from torch import Tensor

from ..transforms import haar_lowpass, haar_step, native

FUSED_MOST = 1 << 16  # samples below which a compiler's own loops are faster than a call of the kernel


def haar_bands(x: Tensor, sizes: list[tuple[int, int]], skipped: int = 0) -> tuple[Tensor, list[Tensor]]:
    """Haar bands of the levels after the `skipped` finest ones, by the fused kernel where it can run.

    Args:
        x: `(..., H, W)`.
        sizes: `level_sizes((H, W), level)`.

    Returns:
        the coarsest approximation `(..., h, w)`, and of each level, finest first, its horizontal, vertical and diagonal
        details `(..., 3, h, w)`.
    """
    if not torch.jit.is_scripting():  # noqa: SIM102, in one condition TorchScript would compile the call
        if native.usable(x) and not _better_fused(x):
            bands = native.grouped(x, "haar", 2, "symmetric", 2, len(sizes) - 1, skipped)
            return bands[0], bands[:0:-1]
    for size in sizes[:skipped]:
        x = haar_lowpass(x, size)
    details: list[Tensor] = []
    for size in sizes[skipped:-1]:
        x, horizontal, vertical, diagonal = haar_step(x, size)
        details.append(torch.stack((horizontal, vertical, diagonal), dim=-3))
    return x, details


def _better_fused(x: Tensor) -> bool:
    return torch.compiler.is_compiling() and not torch.is_grad_enabled() and x.numel() < FUSED_MOST
