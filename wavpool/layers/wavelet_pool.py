"""Halve feature maps by pooling the bands of one wavelet level."""

import torch
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function

from ..transforms.filters import FilterBank
from .band_pooling import generalised_max, plain_average, plain_max, plain_moduli, weighted_moduli
from .native import band_pool as native
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
            if self.weight is not None:
                return moduli_pool2x2(x, self.weight)
        bands: Tensor = self.level(x)
        if self.pool == "max":
            return generalised_max(bands)
        if self.pool == "average":
            return bands.chunk(4, 1)[0] * 0.5
        return bands if self.weight is None else weighted_moduli(bands, self.weight)

    def extra_repr(self) -> str:
        return repr(self.pool)


def max_pool2x2(x: Tensor) -> Tensor:
    """`WaveletPool2d("max")`."""
    if not torch.jit.is_scripting():
        if has_torch_function((x,)):
            return handle_torch_function(max_pool2x2, (x,), x)
        if native.usable(x):
            return native.max2x2(x)
    return plain_max(x)


def average_pool2x2(x: Tensor) -> Tensor:
    """`WaveletPool2d("average")`."""
    if not torch.jit.is_scripting():
        if has_torch_function((x,)):
            return handle_torch_function(average_pool2x2, (x,), x)
        if native.usable(x):
            return native.average2x2(x)
    return plain_average(x)


def moduli_pool2x2(x: Tensor, weight: Tensor) -> Tensor:
    """`WaveletPool2d("moduli")` with its `weight`, `(4, C)`."""
    if not torch.jit.is_scripting():
        if has_torch_function((x, weight)):
            return handle_torch_function(moduli_pool2x2, (x, weight), x, weight)
        if native.usable(x):
            return native.moduli2x2(x, weight)
    return plain_moduli(x, weight)
