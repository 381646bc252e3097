"""A wavelet with parameters, for use wherever a wavelet is named."""

import math

import torch
from torch import Tensor, nn

from ..transforms.filters import FilterTensors
from ..transforms.learnable import LIFTING_STEPS, angles_of, lifting, product_filter

SCHEMES = ("lattice", "lifting")


class LearnableWavelet(nn.Module):
    """Filters that are trained and reconstruct perfectly at every step of the training.

    Args:
        wavelet: the start. For `lattice` any orthogonal wavelet up to db22, sym20 and coif17; for `lifting` one of
            `wavpool.transforms.learnable.LIFTING_STEPS`.
        scheme: `lattice`, orthonormal filters of rotation angles, or `lifting`, biorthogonal filters of lifting steps.
        lowpass: whether a lattice keeps the sum of its low-pass filter at sqrt(2) and of its high-pass filter at 0, one
            degree of freedom of L / 2. Lifting steps are free.

    Shape:
        output: four tensors `(L,)`, to pass as `wavelet` to a transform.

    >>> from wavpool.transforms.multilevel import wavedec
    >>> wavelet = LearnableWavelet("db2")
    >>> wavedec(torch.ones(8), wavelet(), mode="periodization")[1].abs().sum().backward()
    >>> wavelet.angles.grad.shape
    torch.Size([2])
    """

    def __init__(
        self,
        wavelet: str = "db2",
        scheme: str = "lattice",
        lowpass: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if scheme not in SCHEMES:
            raise ValueError(f"scheme must be one of {', '.join(SCHEMES)}, got {scheme!r}")
        if scheme == "lifting" and wavelet not in LIFTING_STEPS:
            raise ValueError(f"lifting starts from one of {', '.join(LIFTING_STEPS)}, got {wavelet!r}")
        self.wavelet, self.scheme, self.lowpass = wavelet, scheme, lowpass
        dtype = dtype or torch.get_default_dtype()
        if scheme == "lattice":
            self.angles = nn.Parameter(angles_of(wavelet).to(device, dtype))
        else:
            steps, scale = LIFTING_STEPS[wavelet]
            self.steps = nn.ParameterList([torch.tensor(taps, device=device, dtype=dtype) for taps in steps])
            self.scale = nn.Parameter(torch.tensor(scale, device=device, dtype=dtype))

    def forward(self) -> FilterTensors:
        if self.scheme == "lifting":
            return lifting(list(self.steps), self.scale)
        angles: Tensor = self.angles
        if self.lowpass:
            angles = angles + (math.pi / 4 - angles.sum()) / angles.shape[0]
        return product_filter(angles)

    def extra_repr(self) -> str:
        return f"{self.wavelet!r}, {self.scheme!r}, lowpass={self.lowpass}"
