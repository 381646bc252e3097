"""A fixed analysis of images, in place of a network's first trained convolution."""

import torch
from torch import Tensor, nn

from ..transforms.filters import FilterBank
from .resample import WaveletDownsample


class WaveletStem(nn.Module):
    """Analyse images by fixed wavelet filters, without loss and with rectified bands that hardly move with the image.

    The last level gives three groups of bands: those of the critically sampled transform, from which the image can be
    restored, and the largest positive and the largest negative coefficient of each band over the four transforms of
    the image shifted by 0 or 1 samples along both axes, rectified. These are the undecimated transform with both signs,
    rectified and max-pooled. Levels before the last keep all bands of the critically sampled transform.

    Args:
        levels: wavelet levels. With 0 nothing is halved: the undecimated bands of one level, rectified with both signs.
        wavelet: name as in PyWavelets or a `FilterBank`.

    Shape:
        input `(B, C, H, W)`; output `(B, out_chans(C), ceil(H / 2 ** levels), ceil(W / 2 ** levels))`, with
        `out_chans(C)` of `3 * 4 ** levels * C` channels, or of `8 C` for 0 levels.

    Raises:
        ValueError: negative levels or an unknown wavelet.

    Source: shifts: Coifman and Donoho, "Translation-invariant de-noising" (1995), there averaged.

    >>> WaveletStem()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 36, 16, 16])
    """

    def __init__(self, levels: int = 1, wavelet: str | FilterBank = "haar") -> None:
        super().__init__()
        if levels < 0:
            raise ValueError(f"levels must be 0 or more, got {levels}")
        self.levels = levels
        self.analysis = WaveletDownsample(wavelet)

    def out_chans(self, in_chans: int) -> int:
        """Channels of the output for images of `in_chans` channels."""
        return 3 * 4**self.levels * in_chans if self.levels else 8 * in_chans

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.levels - 1):
            x = self.analysis(x)
        shifted = [self.analysis(part) for part in _shifts(x)]
        if self.levels == 0:
            bands = _interleaved(shifted, x.shape[2], x.shape[3])
            return torch.cat((bands, -bands), 1).relu()
        largest = torch.maximum(torch.maximum(shifted[0], shifted[1]), torch.maximum(shifted[2], shifted[3]))
        smallest = torch.minimum(torch.minimum(shifted[0], shifted[1]), torch.minimum(shifted[2], shifted[3]))
        return torch.cat((shifted[0], largest.relu(), (-smallest).relu()), 1)

    def extra_repr(self) -> str:
        return f"levels={self.levels}"


def _shifts(x: Tensor) -> list[Tensor]:
    """`x`, shifted by one column, by one row and by both; the last sample is repeated."""
    left = torch.cat((x[..., 1:], x[..., -1:]), 3)
    up = torch.cat((x[..., 1:, :], x[..., -1:, :]), 2)
    return [x, left, up, torch.cat((left[..., 1:, :], left[..., -1:, :]), 2)]


def _interleaved(shifted: list[Tensor], height: int, width: int) -> Tensor:
    """The undecimated bands `(B, 4 C, height, width)` of the four shifts."""
    even = torch.stack((shifted[0], shifted[1]), -1).flatten(-2)
    odd = torch.stack((shifted[2], shifted[3]), -1).flatten(-2)
    return torch.stack((even, odd), -2).flatten(-3, -2)[..., :height, :width]
