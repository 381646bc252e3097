"""Weights of a few trainable frequencies: rows of a matrix, and kernels that are a row times a spatial pattern."""

import math
from collections.abc import Callable
from typing import Self, cast

import torch
from torch import Tensor, nn

from wavpool.transforms.arguments import check_number, checked_dtype, precision

from .fitting import best_frequencies
from .nonuniform import cosine_product
from .sinusoids import Spacing, family, initial_frequencies, norms, omegas, waves, window

DEFAULT_GAIN = 1 / math.sqrt(3)
"""Length of a row that torch draws for nn.Linear and nn.Conv2d: `U(-1/sqrt(n), 1/sqrt(n))`."""


def initial_gain(gain: float | None) -> float:
    """The gain that was asked for, or torch's; TypeError unless it is a number."""
    if gain is None:
        return DEFAULT_GAIN
    check_number(gain, "gain")
    return gain


class SinusoidRows(nn.Module):
    """A matrix whose rows are sinusoids of trainable frequency, `(count, n)`.

    Args:
        count, n: rows, and samples of a row.
        transform: a key of `FAMILIES`.
        complex: rows `cos - i sin` in place of `cos + sin`; of dft and shannon.
        spacing: "out": the initial frequencies of all rows span the whole band; "in": they are those of the square
            transform of length `n`, so that rows are orthonormal as far as `count <= n`.
        groups: groups of rows, each over the same band.
        gain: length of a row; a buffer, or with `amplitude` where the amplitudes start.
        amplitude: a trainable factor a row.
        bandwidth: a trainable width of the sinc a row; of the Shannon families.
        device, dtype: of the parameters; frequencies are float32 where that is coarser.

    Attributes:
        frequency: `(count,)`, in steps of the initial frequencies, `0, 1, ..., count - 1`.

    Raises:
        ValueError: an unknown transform or spacing, a complex form or a bandwidth that the transform does not have.
    """

    amplitude: nn.Parameter | None
    bandwidth: nn.Parameter | None

    def __init__(
        self,
        count: int,
        n: int,
        transform: str,
        complex: bool = False,
        spacing: Spacing = "out",
        groups: int = 1,
        gain: float = 1.0,
        amplitude: bool = False,
        bandwidth: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.family = family(transform, complex)
        if spacing not in ("out", "in"):
            raise ValueError(f"spacing must be 'out' or 'in', got {spacing!r}")
        if bandwidth and not self.family.windowed:
            raise ValueError(f"a bandwidth belongs to shannon and real_shannon, not to {transform}")
        self.n, self.steps = n, count if spacing == "out" else n
        start = initial_frequencies(count, groups)
        dtype = checked_dtype(dtype)
        self.frequency = nn.Parameter(start.to(device, precision(dtype), copy=True))
        norm = norms(start, n, self.steps, self.family).to(self.frequency.device, dtype)
        self.register_buffer("norm", norm, persistent=False)
        self.register_buffer("gain", None if amplitude else norm.new_tensor(gain))
        self.amplitude = nn.Parameter(torch.full_like(norm, gain)) if amplitude else None
        self.bandwidth = nn.Parameter(torch.ones_like(norm)) if bandwidth else None

    def extra_repr(self) -> str:
        return f"{len(self.frequency)}, {self.n}"

    def forward(self) -> Tensor:
        """The matrix; complex where the family is."""
        matrix: Tensor = waves(self._omega, self.n, self.family, self._computed)
        if self.family.windowed:
            matrix = matrix * window(self.n, matrix.device, self.bandwidth).to(self._computed)
        matrix = matrix * self.factors[:, None]
        return matrix if self._dtype == self._computed else matrix.to(self._dtype)

    def product(self, x: Tensor) -> Tensor:
        """`x @ self().T` without the matrix, `(B, n)` to `(B, count)`; not with a bandwidth."""
        parts = x.to(self._computed)
        if self.family.windowed:
            parts = parts * window(self.n, x.device).to(self._computed)
        images = [cosine_product(parts, self._omega, self.family.shift, phase) for phase in self.family.phases]
        return (torch.complex(*images) if self.family.is_complex else images[0].to(x.dtype)) * self.factors

    @property
    def factors(self) -> Tensor:
        """What every row is multiplied by."""
        gain = cast(Tensor, self.gain) if self.amplitude is None else self.amplitude
        return cast(Tensor, self.norm) * gain

    @property
    def _omega(self) -> Tensor:
        return omegas(self.frequency, self.steps, self.family)

    @property
    def _dtype(self) -> torch.dtype:
        dtype = cast(Tensor, self.norm).dtype
        if self.family.is_complex and dtype.itemsize < 4:
            raise ValueError(f"complex rows need float32 or float64, and the layer is in {dtype}: call .float() on it")
        return dtype

    @property
    def _computed(self) -> torch.dtype:
        return precision(self._dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or cast, but the frequencies to float32 at least: in bfloat16 those near 1,000 are multiples of 4."""
        kept = [self.frequency, self.frequency.grad]

        def moved(tensor: Tensor) -> Tensor:
            made = fn(tensor)
            if not any(tensor is each for each in kept) or made.dtype.itemsize >= 4:
                return made
            return tensor.to(made.device, precision(made.dtype))

        super()._apply(moved, recurse)  # type: ignore[no-untyped-call]
        return self

    @torch.no_grad()
    def fit(self, matrix: Tensor) -> Tensor:
        """Take the frequency, and the amplitude where it is trainable, that come nearest to each row of a matrix.

        Args:
            matrix: real, `(count, n)`; or `(count, n, k)`, `k` columns that one wave a row has to explain together.

        Returns:
            least-squares coefficients of the rows, `(count, k)`.

        Raises:
            ValueError: the rows are complex.
        """
        if self.family.is_complex:
            raise ValueError(
                "complex rows cannot be fitted to a real matrix; leave complex=False or from_trained=False"
            )
        target = matrix.reshape(len(self.frequency), self.n, -1).double()
        self.frequency.copy_(best_frequencies(target, self.steps, self.family))
        if self.amplitude is not None:
            self.amplitude.fill_(1.0)
        rows = self().double()
        coefficients = torch.einsum("on,onk->ok", rows, target) / rows.square().sum(1, keepdim=True)
        if self.amplitude is not None and coefficients.shape[1] == 1:
            self.amplitude.copy_(coefficients[:, 0])
        fitted: Tensor = coefficients.to(self._dtype)
        return fitted


class SinusoidKernels(nn.Module):
    """Kernels of a convolution that are a sinusoid over the channels times a pattern over space.

    The pattern of every output channel is a trainable mixture of products of two sinusoids, whose frequencies all
    channels share. So the convolution is one of 1 x 1, `channels()`, and a depthwise one, `patterns()`.

    Args:
        out_channels, in_channels: `in_channels` those of one group.
        kernel_size: `(kh, kw)`.
        gain: root of the expected energy of an output channel's kernel.
        transform, complex, spacing, groups, device, dtype: as for `SinusoidRows`.

    Attributes:
        mixing: `(out_channels, kh * kw)`; a complex kernel's is real, too.
    """

    def __init__(
        self,
        out_channels: int,
        in_channels: int,
        kernel_size: tuple[int, int],
        transform: str,
        complex: bool = False,
        spacing: Spacing = "out",
        groups: int = 1,
        gain: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()

        def rows(count: int, n: int, groups: int = 1) -> SinusoidRows:
            return SinusoidRows(count, n, transform, complex, spacing, groups, device=device, dtype=dtype)

        self.channels = rows(out_channels, in_channels, groups)
        self.height, self.width = (rows(side, side) for side in kernel_size)
        taps = math.prod(kernel_size)
        mixing = torch.empty(out_channels, taps, device=device, dtype=dtype)
        self.mixing = nn.Parameter(nn.init.normal_(mixing, std=gain / math.sqrt(taps)))

    def patterns(self) -> Tensor:
        """`(out_channels, kh, kw)`."""
        height: Tensor = self.height()
        width: Tensor = self.width()
        mixing = self.mixing.unflatten(1, (len(height), len(width))).to(height.dtype)
        patterns: Tensor = height.T @ mixing @ width
        return patterns

    def factors(self) -> tuple[Tensor, Tensor]:
        """Kernels of the 1 x 1 convolution, `(out, in, 1, 1)`, and of the depthwise one, `(out, 1, kh, kw)`."""
        return self.channels()[:, :, None, None], self.patterns()[:, None]

    def forward(self) -> Tensor:
        """The kernels, `(out_channels, in_channels, kh, kw)`."""
        channels, patterns = self.factors()
        kernels: Tensor = channels * patterns
        return kernels

    @torch.no_grad()
    def fit(self, weight: Tensor) -> None:
        """Take the frequencies and the mixture that come nearest to real kernels of the same shape."""
        patterns = self.channels.fit(weight.flatten(2)).unflatten(1, weight.shape[2:])
        height, width = (torch.linalg.pinv(rows().double()) for rows in (self.height, self.width))
        self.mixing.copy_((height.T @ patterns.double() @ width).flatten(1))
