"""Halve feature maps by pooling the bands of one wavelet level."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import handle_torch_function, has_torch_function

from ..transforms.arguments import widened
from ..transforms.filters import FilterBank
from ..transforms.haar_maps import row_pairs
from ..transforms.tracing import is_exporting
from .resample import WaveletDownsample

POOLS = ("max", "average", "moduli", "bands")
MODULI = (0.5, 0.35, 0.35, 0.25)  # weights at the start, of LL, H, V and D


class WaveletPool2d(nn.Module):
    """Halve feature maps: one wavelet level, then a pooling of its four bands LL, H, V and D.

    Args:
        pool: `max`: `LL / 2 + max(|V + H| + D, |V - H| - D) / 2`, the maximum over the four signs of the details; with
            Haar it equals 2 x 2 max pooling. `average`: `LL / 2`; with Haar 2 x 2 average pooling. `moduli`:
            `w0 LL + w1 |H| + w2 |V| + w3 |D|` with four learned weights per channel. `bands`: all bands, as
            `WaveletDownsample`.
        channels: C, for `moduli` only.
        wavelet: name as in PyWavelets or a `FilterBank`.

    Shape:
        input `(B, C, H, W)`, output `(B, C, ceil(H / 2), ceil(W / 2))`, of `bands` `(B, 4 C, ...)`, in the dtype and
        memory format of the input. An odd side is extended by its last sample.

    Raises:
        ValueError: unknown pool or wavelet, or `moduli` without `channels`.

    >>> maps = torch.rand(2, 3, 9, 8)
    >>> torch.equal(WaveletPool2d("max")(maps), torch.nn.functional.max_pool2d(maps, 2, ceil_mode=True))
    True
    """

    def __init__(
        self,
        pool: str = "max",
        channels: int | None = None,
        wavelet: str | FilterBank = "haar",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if pool not in POOLS:
            raise ValueError(f"pool must be one of {', '.join(POOLS)}, got {pool!r}")
        if (channels is None) == (pool == "moduli"):
            raise ValueError(f"give channels with pool 'moduli' and with no other, got {channels} with {pool!r}")
        self.pool = pool
        self.level = WaveletDownsample(wavelet)
        self.weight = None
        if channels is not None:
            self.weight = nn.Parameter(torch.empty(4, channels, device=device, dtype=dtype))
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weights of `moduli` to their start."""
        if self.weight is not None:
            with torch.no_grad():
                self.weight.copy_(self.weight.new_tensor(MODULI)[:, None].expand_as(self.weight))

    def forward(self, x: Tensor) -> Tensor:
        if self.level.is_haar:
            if self.pool == "max":
                return max_pool2x2(x)
            if self.pool == "average":
                return average_pool2x2(x)
        bands = self.level(x)
        if self.pool == "bands":
            return bands
        low, horizontal, vertical, diagonal = bands.chunk(4, 1)
        if self.pool == "average":
            return low * 0.5
        if self.weight is not None:
            w = self.weight.to(x.dtype)[:, :, None, None]
            return low * w[0] + horizontal.abs() * w[1] + vertical.abs() * w[2] + diagonal.abs() * w[3]
        sums, differences = (vertical + horizontal).abs() + diagonal, (vertical - horizontal).abs() - diagonal
        return (low + torch.maximum(sums, differences)) * 0.5

    def extra_repr(self) -> str:
        return repr(self.pool)


def max_pool2x2(x: Tensor) -> Tensor:
    """2 x 2 max pooling of `(B, C, H, W)`; an odd side is extended by its last sample."""
    if not torch.jit.is_scripting():  # noqa: SIM102, in one condition TorchScript would compile the call
        if has_torch_function((x,)):
            return handle_torch_function(max_pool2x2, (x,), x)  # type: ignore[no-any-return]
        if not (torch.jit.is_tracing() or is_exporting()):  # of unknown sizes
            return F.max_pool2d(x, 2, ceil_mode=True)
    top, bottom = row_pairs(x, True)
    rows = torch.maximum(top, bottom)
    return torch.maximum(rows[..., :-1:2], rows[..., 1::2])


def average_pool2x2(x: Tensor) -> Tensor:
    """2 x 2 average pooling of `(B, C, H, W)`; an odd side is extended by its last sample."""
    if not torch.jit.is_scripting():  # noqa: SIM102
        if has_torch_function((x,)):
            return handle_torch_function(average_pool2x2, (x,), x)  # type: ignore[no-any-return]
    top, bottom = row_pairs(widened(x) * 0.25, True)
    rows = top + bottom
    return (rows[..., :-1:2] + rows[..., 1::2]).to(x.dtype)
