"""Activations, normalisation and pooling of complex features.

Sources: P. Virtue, S. Yu, M. Lustig, Better than real: complex-valued neural nets for MRI fingerprinting, ICIP 2017
(cardioid); C. Trabelsi et al., Deep complex networks, ICLR 2018. The normalisation is that of the "cnn_compression"
thesis, of each part alone, not Trabelsi's whitening.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Cardioid(nn.Module):
    """`(1 + cos(angle z)) z / 2`: ReLU on the real axis, and a smooth damping by the angle off it.

    Shape: any, real or complex; the same.

    >>> Cardioid()(torch.tensor([1.0 + 0j, -1.0 + 0j, 2j])).round(decimals=3)
    tensor([1.0000+0.0000j, -0.0000+0.0000j, 0.0000+1.0000j])
    """

    def forward(self, z: Tensor) -> Tensor:
        if not z.is_complex():
            return F.relu(z)
        # re / |z| is the cosine of the angle; at 0, where there is none, the factor does not matter
        cosine = z.real / z.abs().clamp_min(torch.finfo(z.real.dtype).tiny)
        damped: Tensor = 0.5 * (1 + cosine) * z
        return damped


class Modulus(nn.Module):
    """`sqrt(re^2 + im^2 + eps)`, whose gradient is finite at 0; real features pass.

    >>> Modulus()(torch.tensor([3 + 4j]))
    tensor([5.])
    """

    def __init__(self, eps: float = 1e-12) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, z: Tensor) -> Tensor:
        return (z.real.square() + z.imag.square() + self.eps).sqrt() if z.is_complex() else z


class Parts(nn.Module):
    """A module applied to real and imaginary part alike, such as a mean; real features go through it once."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, z: Tensor) -> Tensor:
        if not z.is_complex():
            out: Tensor = self.module(z)
            return out
        return torch.complex(self.module(z.real.contiguous()), self.module(z.imag.contiguous()))


class ComplexBatchNorm2d(nn.Module):
    """Batch normalisation of the real and of the imaginary part, each with its own statistics and factors.

    The sum of both has unit variance, as a real feature would: each part is divided by sqrt(2) after its own.

    Args:
        num_features, eps, momentum, affine, track_running_stats, device, dtype: as `nn.BatchNorm2d`.

    Shape: `(B, C, H, W)`, real or complex; the same. A real one goes through the real part's alone, undivided.
    """

    def __init__(self, num_features: int, **options: Any) -> None:
        super().__init__()
        self.real = nn.BatchNorm2d(num_features, **options)
        self.imag = nn.BatchNorm2d(num_features, **options)

    def forward(self, z: Tensor) -> Tensor:
        if not z.is_complex():
            out: Tensor = self.real(z)
            return out
        normed: Tensor = torch.complex(self.real(z.real), self.imag(z.imag)) * 0.5**0.5
        return normed


class ModulusMaxPool2d(nn.Module):
    """In each window the complex value of largest modulus; max pooling of real features.

    Args:
        kernel_size, stride, padding, dilation, ceil_mode: as `nn.MaxPool2d`.

    Shape: as `nn.MaxPool2d`.

    >>> ModulusMaxPool2d(2)(torch.tensor([[[[1 + 1j, -3j], [2 + 0j, 0j]]]]))
    tensor([[[[-0.-3.j]]]])
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {
            "kernel_size": kernel_size,
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "ceil_mode": ceil_mode,
        }

    def forward(self, z: Tensor) -> Tensor:
        if not z.is_complex():
            real: Tensor = F.max_pool2d(z, **self.options)
            return real
        energy = z.real.square() + z.imag.square()
        pooled, index = F.max_pool2d_with_indices(energy.detach(), **self.options)
        chosen: Tensor = z.flatten(-2).gather(-1, index.flatten(-2)).reshape(pooled.shape)
        return chosen


class ComplexDropout(nn.Module):
    """Dropout of whole complex values: both parts or none."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def forward(self, z: Tensor) -> Tensor:
        if not z.is_complex():
            return F.dropout(z, self.p, self.training)
        return z * F.dropout(torch.ones_like(z.real), self.p, self.training)


class RealInput(nn.Module):
    """A module that takes real features, after the modulus of complex ones."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.modulus, self.module = Modulus(), module

    def forward(self, z: Tensor) -> Tensor:
        out: Tensor = self.module(self.modulus(z))
        return out


class RealOutput(nn.Module):
    """A network whose complex outputs become their moduli."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module, self.modulus = module, Modulus()

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        out: Tensor = self.modulus(self.module(*args, **kwargs))
        return out
