"""Halve and double feature maps by one wavelet level, without loss."""

import torch
from torch import Tensor, nn

from ..transforms import haar2d, ihaar2d, periodized
from ..transforms.dwt import is_haar
from ..transforms.filters import FilterBank, filter_bank


class WaveletDownsample(nn.Module):
    """Halve feature maps by one wavelet level and keep all four bands as channels.

    The bands are blocks of channels, `torch.cat([LL, H, V, D], 1)`, each with the channels in their order. So
    `y[:, :C]` is the low-pass map, a convolution with `groups=4` sees one band per group, and one with `groups=4 * C`
    is a depthwise convolution per band. `nn.ChannelShuffle(4)` puts the four bands of a channel side by side.

    Args:
        wavelet: name as in PyWavelets or a `FilterBank`. Orthogonal wavelets keep the norm of maps with even sides.

    Shape:
        input `(B, C, H, W)`, output `(B, 4 C, ceil(H / 2), ceil(W / 2))` in the dtype and memory format of the input.
        An odd side is extended by its last sample; the map is periodic for wavelets longer than Haar.

    Raises:
        ValueError: unknown wavelet.

    >>> WaveletDownsample()(torch.zeros(2, 3, 9, 8)).shape
    torch.Size([2, 12, 5, 4])
    """

    def __init__(self, wavelet: str | FilterBank = "haar") -> None:
        super().__init__()
        bank = filter_bank(wavelet)
        self.wavelet = bank.name
        self.is_haar = is_haar(bank)
        self.low, self.high = list(bank.dec_lo), list(bank.dec_hi)

    def forward(self, x: Tensor) -> Tensor:
        if self.is_haar:
            return haar2d(x)
        return periodized.analysis(x, self.low, self.high)

    def extra_repr(self) -> str:
        return repr(self.wavelet)


class WaveletUpsample(nn.Module):
    """Invert `WaveletDownsample`: double feature maps from the four bands of a wavelet level.

    Args:
        wavelet: as given to `WaveletDownsample`.

    Shape:
        input `(B, 4 C, h, w)`, output `(B, C, 2 h, 2 w)`, or `(B, C, *size)` with the `size` of the original given to
        the call.

    Raises:
        ValueError: unknown wavelet.

    >>> maps = torch.rand(2, 3, 9, 8)
    >>> torch.allclose(WaveletUpsample()(WaveletDownsample()(maps), size=(9, 8)), maps, atol=1e-6)
    True
    """

    def __init__(self, wavelet: str | FilterBank = "haar") -> None:
        super().__init__()
        bank = filter_bank(wavelet)
        self.wavelet = bank.name
        self.is_haar = is_haar(bank)
        self.low, self.high = list(bank.rec_lo), list(bank.rec_hi)

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        if self.is_haar:
            return ihaar2d(x, size)
        if torch.jit.is_scripting():
            return periodized.synthesis(x, self.low, self.high, None if size is None else [size[0], size[1]])
        else:  # noqa: RET505, TorchScript leaves out this branch, and torch.fx records a size that it does not know
            return periodized.synthesis(x, self.low, self.high, size)  # type: ignore[arg-type]

    def extra_repr(self) -> str:
        return repr(self.wavelet)
