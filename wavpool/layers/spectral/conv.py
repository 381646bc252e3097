"""A convolution whose kernels live in a transform domain."""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wavpool.transforms import Transform
from wavpool.transforms.arguments import is_autocast

from .cached import Cached
from .coefficients import KeptCoefficients, Select
from .frequencies import SinusoidKernels, initial_gain
from .linear import Parametrisation, is_of_frequencies, share_of
from .separable import separable_conv2d
from .sinusoids import Spacing

SEPARABLE_SHARE = 0.5
"""Kernels of frequencies are two convolutions where these are at most this share of the dense one's work."""
FAST_TAPS, SLOWNESS = 9, 10
"""Depthwise kernels of more taps cost about so many times as much a product on a CPU."""


class SpectralConv2d(Cached):
    """A convolution with kernels of few parameters in a transform domain, in place of `nn.Conv2d`.

    With `parametrisation="frequencies"` a kernel is a wave of trainable frequency over the channels times a spatial
    pattern, a trainable mixture of products of `kh` and `kw` waves that all channels share: `O + kh + kw + O kh kw`
    parameters and the bias, whatever the number of input channels. That is exactly a 1 x 1 convolution followed by a
    depthwise one, and is computed so where it is less work. With `"coefficients"` the kernels' transform has `keep`
    of its coefficients, trainable, and zeros.

    In eval mode, where no gradient is asked for, the kernels are kept until a parameter changes.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype:
            as `nn.Conv2d`.
        transform, parametrisation, keep, select, spacing, gain: as `SpectralLinear`.
        axes: of the weight `(out, in / groups, kh, kw)` to transform; by default the input channels and those spatial
            ones that have two taps or more.
        complex: waves are `exp(-i angle)`; the input may be complex, the output is; the bias stays real.

    Shape:
        `(B, in_channels, H, W)` to `(B, out_channels, H', W')`, or without B.

    Raises:
        ValueError, TypeError: an unknown or impossible option; the message tells which are allowed.

    >>> sum(p.numel() for p in SpectralConv2d(256, 256, 3, bias=False, parametrisation="frequencies").parameters())
    2566
    """

    spectrum: SinusoidKernels | KeptCoefficients

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        transform: str | Transform = "dct",
        parametrisation: Parametrisation = "coefficients",
        keep: float | None = None,
        select: Select = "low",
        axes: Sequence[int] | None = None,
        complex: bool = False,
        spacing: Spacing = "out",
        gain: float | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        like: Any = nn.Conv2d(  # checks the arguments
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,  # type: ignore[arg-type]
            device="meta",
        )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.dilation = like.kernel_size, like.stride, like.dilation
        self.padding, self.padding_mode = like.padding, padding_mode
        self._padding = like._reversed_padding_repeated_twice
        size = tuple(like.weight.shape)
        if min(size) < 1:
            raise ValueError(f"channels and kernel_size must be at least 1, got a weight of {size}")
        gain = initial_gain(gain)
        waves = {"complex": complex, "spacing": spacing != "out"}
        coefficients = {"keep": keep is not None, "select": select != "low", "axes": axes is not None}
        if is_of_frequencies(parametrisation, transform, waves, coefficients):
            self.spectrum = SinusoidKernels(
                size[0], size[1], like.kernel_size, str(transform), complex, spacing, groups, gain, device, dtype
            )
        else:
            axes = [axis for axis in (1, 2, 3) if size[axis] > 1] or [1] if axes is None else axes
            self.spectrum = KeptCoefficients(size, transform, axes, share_of(keep), select, gain, device, dtype)
        self.bias = nn.Parameter(torch.empty(out_channels, device=device, dtype=dtype)) if bias else None
        if self.bias is not None:
            bound = 1 / math.sqrt(math.prod(size[1:]))
            nn.init.uniform_(self.bias, -bound, bound)

    @property
    def weight(self) -> Tensor:
        """The dense kernels `(out_channels, in_channels / groups, kh, kw)`, differentiable in the parameters."""
        return cast(Tensor, self.spectrum())

    @property
    def is_complex(self) -> bool:
        """Whether the output is complex."""
        return isinstance(self.spectrum, SinusoidKernels) and self.spectrum.channels.family.is_complex

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, groups={self.groups}, bias={self.bias is not None}"
        )

    def forward(self, x: Tensor) -> Tensor:
        spectrum = self.spectrum
        if isinstance(spectrum, SinusoidKernels) and self.separable:
            channels, patterns = self._cached(spectrum.factors)
            if x.ndim == 4 and not (channels.is_complex() or isinstance(self.padding, str) or self._is_traced):
                x, padding = self._padded(x)
                settings = (self.stride, padding, self.dilation, self.groups)
                return separable_conv2d(x, channels, patterns, self.bias, *settings)
            return self._spatial(_conv(x, channels, None, groups=self.groups), patterns, self.out_channels)
        return self._spatial(x, self._cached(spectrum), self.groups)

    @property
    def separable(self) -> bool:
        """Whether the kernels are applied as two convolutions."""
        taps, channels = math.prod(self.kernel_size), self.in_channels // self.groups
        positions: int = math.prod(self.stride)  # of the 1 x 1 convolution, an output
        depthwise = taps if taps <= FAST_TAPS else SLOWNESS * taps
        separable: bool = channels * positions + depthwise <= SEPARABLE_SHARE * channels * taps
        return separable

    def _padded(self, x: Tensor) -> tuple[Tensor, Any]:
        """The input with what is not zeros around it, and the zeros that are left to the convolution."""
        if self.padding_mode == "zeros":
            return x, self.padding
        return F.pad(x, self._padding, mode=self.padding_mode), (0, 0)

    @property
    def _is_traced(self) -> bool:
        # What is traced takes torch's own operators; a batch in parts would be unrolled.
        return torch.compiler.is_compiling() or torch.jit.is_tracing() or torch._C._are_functorch_transforms_active()

    def _spatial(self, x: Tensor, weight: Tensor, groups: int) -> Tensor:
        x, padding = self._padded(x)
        return _conv(x, weight, self.bias, stride=self.stride, padding=padding, dilation=self.dilation, groups=groups)


def _conv(x: Tensor, weight: Tensor, bias: Tensor | None, **options: Any) -> Tensor:
    """`F.conv2d`, also of a real input with complex kernels."""
    if not weight.is_complex():
        return F.conv2d(x, weight, bias, **options)
    if is_autocast(x.device):  # halves of half precision make no complex number
        with torch.autocast(x.device.type, enabled=False):
            return _conv(x, weight, bias, **options)
    real, imaginary = weight.real, weight.imag
    if not x.is_complex():
        x = x.to(real.dtype)
        return torch.complex(F.conv2d(x, real, bias, **options), F.conv2d(x, imaginary, None, **options))
    return torch.complex(
        F.conv2d(x.real, real, bias, **options) - F.conv2d(x.imag, imaginary, None, **options),
        F.conv2d(x.imag, real, None, **options) + F.conv2d(x.real, imaginary, None, **options),
    )
