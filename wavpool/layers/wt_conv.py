"""Depthwise convolutions with a large receptive field: small kernels on the bands of several wavelet levels.

Source: S. Finder, R. Amoyal, E. Treister, O. Freifeld, Wavelet Convolutions for Large Receptive Fields, ECCV 2024.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..transforms import haar2d, ihaar2d, periodized
from ..transforms.arguments import positive
from ..transforms.dwt import is_haar
from ..transforms.filters import FilterBank, filter_bank
from ..transforms.haar_maps import as_laid_out, channels_last

SCALE = 0.1  # of the bands at the start

torch.fx.wrap("as_laid_out")  # it asks for strides, which torch.fx does not know: recorded as one call


class ScaledDepthwise(nn.Module):
    """Depthwise convolution of `(B, C, *size)` with a learned scale per channel, which is folded into the weight."""

    def __init__(
        self,
        dims: int,
        channels: int,
        kernel_size: int,
        scale: float,
        bias: bool,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        make = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
        start = make(channels, channels, kernel_size, groups=channels, bias=bias, device=device, dtype=dtype)
        self.weight, self.bias = start.weight, start.bias
        self.scale = nn.Parameter(torch.full((channels,), scale, device=device, dtype=dtype))
        self.channels = channels
        self.dims = dims  # a number, since tracers have no axes to count

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale.reshape([-1] + [1] * (self.dims + 1))
        bias = None if self.bias is None else self.bias * self.scale
        if self.dims == 1:
            return F.conv1d(x, weight, bias, padding="same", groups=self.channels)
        if self.dims == 2:
            return F.conv2d(x, weight, bias, padding="same", groups=self.channels)
        return F.conv3d(x, weight, bias, padding="same", groups=self.channels)


class _WTConv(nn.Module):
    dims = 2

    def __init__(
        self,
        channels: int,
        kernel_size: int = 5,
        levels: int = 1,
        wavelet: str | FilterBank = "haar",
        stride: int = 1,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.channels = positive(channels, "channels")
        kernel_size, levels = positive(kernel_size, "kernel_size"), positive(levels, "levels")
        self.stride = positive(stride, "stride")
        self.axes = list(range(2, 2 + self.dims))
        bank = filter_bank(wavelet)
        self.wavelet = bank.name
        self.is_haar_image = is_haar(bank) and self.dims == 2
        self.dec_lo, self.dec_hi = list(bank.dec_lo), list(bank.dec_hi)
        self.rec_lo, self.rec_hi = list(bank.rec_lo), list(bank.rec_hi)
        self.base = ScaledDepthwise(self.dims, channels, kernel_size, 1.0, bias, device, dtype)
        bands = 2**self.dims * channels
        self.levels = nn.ModuleList(
            [ScaledDepthwise(self.dims, bands, kernel_size, SCALE, False, device, dtype) for _ in range(levels)]
        )

    def forward(self, x: Tensor) -> Tensor:
        given = x
        if prefers_channels_last(x):
            x = x.contiguous(memory_format=torch.channels_last)
        y = self.base(x) + self._wavelet_branch(x)
        if self.stride > 1:
            for axis in self.axes:
                y = y.index_select(axis, torch.arange(0, y.shape[axis], self.stride, device=y.device))
        return as_laid_out(y, given)

    def _wavelet_branch(self, x: Tensor) -> Tensor:
        low = x
        convolved: list[Tensor] = []
        sizes: list[list[int]] = []
        for level in self.levels:
            sizes.append(low.shape[2:])  # type: ignore[arg-type]
            bands = self._analysis(low)
            low = bands.narrow(1, 0, self.channels)
            convolved.append(level(bands))
        coarser = self._synthesis(convolved[-1], sizes[-1])
        for back in range(2, len(convolved) + 1):
            bands, size = convolved[-back], sizes[-back]
            low = bands[:, : self.channels] + coarser
            coarser = self._synthesis(torch.cat([low, bands[:, self.channels :]], 1), size)
        return coarser

    def _analysis(self, x: Tensor) -> Tensor:
        if self.is_haar_image:
            return haar2d(x, False)
        return periodized.analysis(x, self.dec_lo, self.dec_hi, False)

    def _synthesis(self, bands: Tensor, size: list[int]) -> Tensor:
        if self.is_haar_image:
            return ihaar2d(bands, (size[0], size[1]))
        return periodized.synthesis(bands, self.rec_lo, self.rec_hi, size)

    def extra_repr(self) -> str:
        return f"{self.channels}, levels={len(self.levels)}, wavelet={self.wavelet!r}, stride={self.stride}"


def prefers_channels_last(x: Tensor) -> bool:
    """Whether depthwise convolutions of a copy that is channels last are faster: eager ones of images on a CPU."""
    if not torch.jit.is_scripting():
        if torch.jit.is_tracing() or torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
            return False
        return type(x) is Tensor and x.ndim == 4 and x.device.type == "cpu" and not channels_last(x)
    return False


class WTConv1d(_WTConv):
    """Depthwise convolution of sequences with a large receptive field. See `WTConv2d`.

    Shape:
        input `(B, channels, N)`, output `(B, channels, ceil(N / stride))`.

    >>> WTConv1d(4, levels=2)(torch.zeros(2, 4, 21)).shape
    torch.Size([2, 4, 21])
    """

    dims = 1


class WTConv2d(_WTConv):
    """Depthwise convolution of images with a large receptive field: small kernels on wavelet bands.

    A depthwise convolution at full resolution, plus the inverse transform of depthwise convolutions of all bands of all
    levels. Every level doubles the receptive field and adds `4 * kernel_size**2` weights per channel. With Haar this is
    the published layer. Other wavelets are periodic here, so that the transform is invertible; the published code pads
    them with zeros.

    Args:
        channels: C of input and output.
        kernel_size: side of all kernels.
        levels: number of wavelet levels.
        wavelet: name as in PyWavelets or a `FilterBank`.
        stride: keep every `stride`-th row and column of the result.
        bias: add a learned bias per channel.

    Shape:
        input `(B, channels, H, W)`, output `(B, channels, ceil(H / stride), ceil(W / stride))` in the memory format of
        the input. Odd sides are extended by a zero, and cropped after the inverse transform.

    Raises:
        ValueError: unknown wavelet, or a number below 1.

    Source: arXiv 2407.05848, section 3.

    >>> WTConv2d(16, levels=3)(torch.zeros(2, 16, 28, 27)).shape
    torch.Size([2, 16, 28, 27])
    """

    dims = 2

    def load_published(self, state: dict[str, Tensor]) -> None:
        """Load a state dict of the published WTConv2d, which has the four bands of a channel side by side."""
        own = {"base.weight": state["base_conv.weight"], "base.scale": state["base_scale.weight"].flatten()}
        if "base_conv.bias" in state:
            own["base.bias"] = state["base_conv.bias"]
        for level in range(len(self.levels)):
            for name, value in (
                ("weight", state[f"wavelet_convs.{level}.weight"]),
                ("scale", state[f"wavelet_scale.{level}.weight"].flatten()),
            ):
                own[f"levels.{level}.{name}"] = value.unflatten(0, (self.channels, 4)).transpose(0, 1).flatten(0, 1)
        self.load_state_dict(own)


class WTConv3d(_WTConv):
    """Depthwise convolution of volumes with a large receptive field. See `WTConv2d`.

    Shape:
        input `(B, channels, D, H, W)`, output `(B, channels, *ceil(size / stride))`.

    >>> WTConv3d(2, kernel_size=3)(torch.zeros(1, 2, 5, 6, 8)).shape
    torch.Size([1, 2, 5, 6, 8])
    """

    dims = 3
