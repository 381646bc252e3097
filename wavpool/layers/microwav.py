"""The MicroWav layer: dense layers on the bands of one wavelet level."""

import torch
from torch import Tensor, nn

from ..transforms import level_sizes
from .band_linear import BandLinear
from .bands import haar_bands
from .geometry import check_image, resolve_levels, to_size


class MicroWav(nn.Module):
    """Haar-transform an image, keep one level, and send each of its bands through its own dense layer.

    Args:
        img_size: image side or `(H, W)`.
        level: decomposition level as in PyWavelets, 1 = finest; -1 is the coarsest.
        hidden: units a band.
        in_chans: channels of the image.
        approximation: add the approximation band of that level, after the three details.
        act_layer: activation module class, e.g. `nn.ReLU`; none by default, as in the paper.

    Shape:
        input `(B, in_chans, H, W)`, output `(B, bands, hidden)`; bands are horizontal, vertical, diagonal
        (and approximation).

    Source: arXiv 2306.08734, section 3 (there level 1 is the coarsest).

    >>> MicroWav(img_size=28, level=2, hidden=16)(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 3, 16])
    """

    def __init__(
        self,
        img_size: int | tuple[int, int],
        level: int,
        hidden: int,
        in_chans: int = 1,
        approximation: bool = False,
        act_layer: type[nn.Module] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        size = to_size(img_size)
        self.sizes = level_sizes(size, resolve_levels(size, [level])[0])
        self.in_chans = in_chans
        self.approximation = approximation
        bands = 4 if approximation else 3
        self.linear = BandLinear(in_chans, self.sizes[-1], hidden, bands, device=device, dtype=dtype)
        self.act = act_layer() if act_layer is not None else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        check_image(x, self.in_chans, self.sizes[0])
        approximation, details = haar_bands(x, self.sizes, len(self.sizes) - 2)
        bands = details[0]
        if self.approximation:
            bands = torch.cat((bands, approximation.unsqueeze(2)), dim=2)
        return self.act(self.linear(bands))  # type: ignore[no-any-return]
