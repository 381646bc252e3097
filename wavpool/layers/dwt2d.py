"""Wavelet transforms of images as modules, in the form that most PyTorch code for wavelets uses."""

import torch
from torch import Tensor, nn

from ..transforms import dwt2, idwt2
from ..transforms.arguments import positive
from ..transforms.extension import MODES, check_mode
from ..transforms.filters import FilterBank, filter_bank


class DWT2d(nn.Module):
    """Multi-level 2-D wavelet transform: a low-pass map and a list of details, finest first.

    Args:
        wavelet: name as in PyWavelets or a `FilterBank`.
        mode: extension at the borders as in PyWavelets.
        level: number of levels; there is no upper limit, but deep levels of small images are mostly border.

    Shape:
        input `(B, C, H, W)`; output `low, details` with `low` `(B, C, h, w)` of the coarsest level and
        `details[k]` `(B, C, 3, h, w)` of level `k + 1`: horizontal, vertical, diagonal.

    Raises:
        ValueError: unknown wavelet or mode, or a level below 1.

    >>> low, details = DWT2d("db2", level=2)(torch.zeros(1, 3, 16, 16))
    >>> low.shape, [each.shape for each in details]
    (torch.Size([1, 3, 6, 6]), [torch.Size([1, 3, 3, 9, 9]), torch.Size([1, 3, 3, 6, 6])])
    """

    def __init__(self, wavelet: str | FilterBank = "haar", mode: str = "symmetric", level: int = 1) -> None:
        super().__init__()
        check_mode(mode, MODES)
        self.bank, self.mode, self.level = filter_bank(wavelet), mode, positive(level, "level")

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        details: list[Tensor] = []
        for _ in range(self.level):
            x, bands = dwt2(x, self.bank, self.mode)
            details.append(torch.stack(bands, 2))
        return x, details

    def extra_repr(self) -> str:
        return f"{self.bank.name!r}, mode={self.mode!r}, level={self.level}"


class IDWT2d(nn.Module):
    """Invert `DWT2d`.

    Args:
        wavelet: as given to `DWT2d`.
        mode: as given to `DWT2d`.

    Shape:
        input `low, details` as `DWT2d` returns them, and optionally the `size` `(H, W)` of the original; output
        `(B, C, H, W)`. Without `size` an odd side comes back one longer.

    Raises:
        ValueError: unknown wavelet or mode, or shapes that do not belong to one transform.

    >>> images = torch.rand(1, 3, 15, 16)
    >>> low, details = DWT2d("db2", level=2)(images)
    >>> torch.allclose(IDWT2d("db2")(low, details, size=(15, 16)), images, atol=1e-5)
    True
    """

    def __init__(self, wavelet: str | FilterBank = "haar", mode: str = "symmetric") -> None:
        super().__init__()
        check_mode(mode, MODES)
        self.bank, self.mode = filter_bank(wavelet), mode

    def forward(self, low: Tensor, details: list[Tensor], size: tuple[int, int] | None = None) -> Tensor:
        for level in range(len(details) - 1, -1, -1):
            horizontal, vertical, diagonal = details[level].unbind(2)
            finer = size if level == 0 else (details[level - 1].shape[3], details[level - 1].shape[4])
            low = idwt2((low, (horizontal, vertical, diagonal)), self.bank, self.mode, size=finer)
        return low

    def extra_repr(self) -> str:
        return f"{self.bank.name!r}, mode={self.mode!r}"
