"""A dense layer whose weight lives in a transform domain."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wavpool.transforms import Transform
from wavpool.transforms.arguments import positive

from .cached import Cached
from .coefficients import KeptCoefficients, Select
from .frequencies import SinusoidRows, initial_gain
from .sinusoids import Spacing

Parametrisation = Literal["frequencies", "coefficients"]
FAST_SIZE = 2**20
"""Entries of a weight from which products go by fast transforms, by measurement; a smaller one is materialised."""


class SpectralLinear(Cached):
    """`y = x W^T + b` with a weight of few parameters in a transform domain, in place of `nn.Linear`.

    With `parametrisation="frequencies"` every row of the weight is one wave of trainable frequency: `out_features`
    parameters and the bias. With `"coefficients"` the weight's transform has `keep` of its coefficients, trainable,
    and zeros; `keep=1` is the dense layer in other coordinates.

    In eager mode large weights are not materialised: the input is transformed, for trainable frequencies without
    `bandwidth` by a non-uniform FFT, for low coefficients along the inputs by the transform itself. Others are, and in
    eval mode, where no gradient is asked for, kept until a parameter changes.

    Args:
        in_features, out_features, bias, device, dtype: as `nn.Linear`.
        transform: for frequencies `dct`, `dst`, `dft`, `shannon` or `real_shannon`; for coefficients any name that
            `wavpool.transforms.get_transform` takes, `hadamard` at any length.
        parametrisation: "coefficients" or "frequencies".
        keep, select: share (a quarter unless told otherwise) and choice of the coefficients, see `KeptCoefficients`.
        axes: of the weight `(out_features, in_features)` to transform: by default `(1,)`; `(0, 1)` for both.
        complex: rows of frequencies are `exp(-i angle)`, the input may be complex, the output is, and the bias has
            shape `(out_features, 2)`. Otherwise dft and shannon are real-packed: `cos + sin`.
        spacing, amplitude, bandwidth: of frequencies, see `SinusoidRows`.
        gain: length of the initial rows; by default that of `nn.Linear`, 1/sqrt(3).

    Shape:
        `(..., in_features)` to `(..., out_features)`.

    Raises:
        ValueError, TypeError: an unknown or impossible option; the message tells which are allowed.

    >>> sum(p.numel() for p in SpectralLinear(9216, 4096, transform="dct", parametrisation="frequencies").parameters())
    8192
    """

    spectrum: SinusoidRows | KeptCoefficients

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        transform: str | Transform = "dct",
        parametrisation: Parametrisation = "coefficients",
        keep: float | None = None,
        select: Select = "low",
        axes: Sequence[int] | None = None,
        complex: bool = False,
        spacing: Spacing = "out",
        amplitude: bool = False,
        bandwidth: bool = False,
        gain: float | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features = positive(in_features, "in_features")
        self.out_features = out_features = positive(out_features, "out_features")
        self._is_large = in_features * out_features >= FAST_SIZE
        gain = initial_gain(gain)
        waves = {"complex": complex, "spacing": spacing != "out", "amplitude": amplitude, "bandwidth": bandwidth}
        coefficients = {"keep": keep is not None, "select": select != "low", "axes": axes is not None}
        if is_of_frequencies(parametrisation, transform, waves, coefficients):
            self.spectrum = SinusoidRows(
                out_features,
                in_features,
                str(transform),
                complex,
                spacing,
                1,
                gain,
                amplitude,
                bandwidth,
                device,
                dtype,
            )
        else:
            axes = (1,) if axes is None else axes
            self.spectrum = KeptCoefficients(
                (out_features, in_features), transform, axes, share_of(keep), select, gain, device, dtype
            )
        shape = (out_features, 2) if complex else (out_features,)
        self.bias = nn.Parameter(torch.empty(shape, device=device, dtype=dtype)) if bias else None
        if self.bias is not None:
            nn.init.uniform_(self.bias, -1 / math.sqrt(in_features), 1 / math.sqrt(in_features))

    @property
    def weight(self) -> Tensor:
        """The dense weight `(out_features, in_features)`, differentiable in the parameters."""
        return cast(Tensor, self.spectrum())

    @property
    def is_complex(self) -> bool:
        """Whether the output is complex."""
        return isinstance(self.spectrum, SinusoidRows) and self.spectrum.family.is_complex

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"

    def forward(self, x: Tensor) -> Tensor:
        # A block of coefficients is cheaper to multiply with than to turn into a weight, which is worth it only once.
        if self._is_large or (self.training and isinstance(self.spectrum, KeptCoefficients)):
            y = None if torch.compiler.is_compiling() else self._product(x)
            if y is not None:
                return y
        weight: Tensor = self._cached(lambda: self.spectrum())  # finding a submodule takes as long as a small product
        bias = self.bias
        if weight.is_complex():
            return F.linear(x.to(weight.dtype), weight, None if bias is None else torch.view_as_complex(bias))
        return F.linear(x, weight, bias)

    def _product(self, x: Tensor) -> Tensor | None:
        """The output without the weight, where there is a way."""
        if x.shape[-1] != self.in_features:  # a product with a block of coefficients would take any length
            raise ValueError(f"the last axis of the input must be {self.in_features}, got shape {tuple(x.shape)}")
        spectrum = self.spectrum
        if isinstance(spectrum, KeptCoefficients):
            y = _from_low(spectrum, x)
        elif spectrum.bandwidth is not None:
            return None
        else:
            flat = x.reshape(-1, self.in_features)
            if x.is_complex():
                both = spectrum.product(torch.cat((flat.real, flat.imag)))
                real, imaginary = both.chunk(2)
                flat = real + 1j * imaginary
            else:
                flat = spectrum.product(flat)
            y = flat.reshape(*x.shape[:-1], self.out_features)
        if y is None or self.bias is None:
            return y
        return y + (torch.view_as_complex(self.bias) if y.is_complex() else self.bias)


def _from_low(spectrum: KeptCoefficients, x: Tensor) -> Tensor | None:
    """The product of a block of lowest frequencies with the transform of the input."""
    if spectrum.select != "low" or 1 not in spectrum.axes or not spectrum.transform.is_orthonormal:
        return None
    rows, columns = spectrum.values.shape
    y = F.linear(spectrum.transform.forward(x)[..., :columns], spectrum.values)
    if 0 not in spectrum.axes:
        return y
    return spectrum.transform.inverse(F.pad(y, (0, spectrum.size[0] - rows)))


def share_of(keep: float | None) -> float:
    """The share of the coefficients that are kept."""
    return 0.25 if keep is None else keep


def is_of_frequencies(
    parametrisation: str, transform: object, waves: Mapping[str, bool], coefficients: Mapping[str, bool]
) -> bool:
    """Whether the parametrisation is that of frequencies.

    Args:
        parametrisation, transform: as given.
        waves, coefficients: options of frequencies, and of coefficients, and whether they were given.

    Raises:
        ValueError: it is unknown, or an option belongs to the other one.
    """
    if parametrisation not in ("frequencies", "coefficients"):
        raise ValueError(f"parametrisation must be 'frequencies' or 'coefficients', got {parametrisation!r}")
    other, options = ("coefficients", coefficients) if parametrisation == "frequencies" else ("frequencies", waves)
    if given := [name for name, is_given in options.items() if is_given]:
        verb = "belongs" if len(given) == 1 else "belong"
        raise ValueError(f"{' and '.join(given)} {verb} to parametrisation={other!r}")
    if parametrisation == "frequencies" and not isinstance(transform, str):
        raise ValueError(
            "parametrisation='frequencies' takes the name of a transform; 'coefficients' takes every transform"
        )
    return parametrisation == "frequencies"
