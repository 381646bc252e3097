"""Dense layers over whole wavelet bands."""

import torch
from torch import Tensor, nn


class BandLinear(nn.Conv2d):
    """One dense layer a band: every coefficient of a band, over all channels, to `hidden` units.

    The weights are those of a grouped convolution whose kernel covers the whole band,
    `(bands * hidden, in_chans, h, w)`, so that colour input and timm's `in_chans` adaptation work; the product itself
    is one batched matrix product, because that is what a full-size convolution is.

    Args:
        in_chans: channels of the image.
        size: `(h, w)` of one band.
        hidden: units a band.
        bands: number of bands.

    Shape:
        input `(B, in_chans, bands, h, w)`; output `(B, bands, hidden)`, or of the first `count` bands alone.

    Raises:
        ValueError: a size below 1, or, in `forward`, bands of another shape.
    """

    def __init__(
        self,
        in_chans: int,
        size: tuple[int, int],
        hidden: int,
        bands: int = 3,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if min(in_chans, hidden, bands) < 1:
            raise ValueError(f"in_chans, hidden and bands must be at least 1, got {in_chans}, {hidden} and {bands}")
        super().__init__(bands * in_chans, bands * hidden, size, groups=bands, device=device, dtype=dtype)
        self.hidden = hidden

    def forward(self, bands: Tensor, count: int = 0) -> Tensor:
        weight, bias, groups = self.weight, self.bias, self.groups
        assert bias is not None
        if not torch.jit.is_scripting():
            self._check(bands)
        if count > 0 and count < groups:
            groups = count
            bands = bands.narrow(2, 0, count)
            weight, bias = weight.narrow(0, 0, count * self.hidden), bias.narrow(0, 0, count * self.hidden)
        weight = weight.reshape(groups, self.hidden, -1)  # a view but in channels_last
        bias = bias.view(groups, 1, self.hidden)
        if self.in_channels == self.groups:  # one channel: the same, in fewer steps
            x = bands.reshape(bands.shape[0], groups, weight.shape[2]).transpose(0, 1)
        else:
            x = bands.permute(2, 0, 1, 3, 4).flatten(2)  # (n, B, in_chans * h * w)
        if torch.jit.is_tracing():  # fvcore traces to count multiply-adds, and does not know baddbmm
            return (torch.bmm(x, weight.transpose(1, 2)) + bias).transpose(0, 1)
        return torch.baddbmm(bias, x, weight.transpose(1, 2)).transpose(0, 1)  # much faster for single images

    def _check(self, bands: Tensor) -> None:
        """Refuse other shapes: with axes swapped they would often fit, and mean nothing."""
        expected = (self.in_channels // self.groups, self.groups, *self.kernel_size)
        if type(bands) is Tensor and not torch.jit.is_tracing() and bands.shape[1:] != expected:
            sizes = ", ".join(map(str, expected))
            raise ValueError(f"bands must be (B, {sizes}), got {tuple(bands.shape)}")

    def zero(self) -> Tensor:
        """A zero that depends on the weights: added to an output, it gives unused weights zero gradients, not none."""
        bias = self.bias
        assert bias is not None
        return self.weight.flatten()[:0].sum() + bias[:0].sum()
