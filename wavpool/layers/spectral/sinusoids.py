"""Rows that are sinusoids of trainable frequency.

Every row is `norm * cos(omega (t + shift) + 2 pi phase)` at `t = 0, 1, ...`, or two of these where it is complex; the
Shannon families lay a sinc over it. At its initial frequencies a square family is the orthonormal transform of its
name (the Shannon families, but for the sinc).

Source: the "cnn_compression" thesis code, one fault mended: its `real_shannon` had the cosines of the DFT, which are
symmetric and span half of the space; here it has those of the DCT.
"""

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

Spacing = Literal["out", "in"]


class Family(NamedTuple):
    """One kind of row.

    Attributes:
        phases: of its waves, in turns: one of a real row; the real and the imaginary part's of a complex one.
        amplitude: of its waves, for rows of unit length, times `sqrt(n)`.
        turn: the angle between neighbouring frequencies, over `pi / count`.
        first: row 0's frequency, in those units.
        shift: of the samples' positions.
        windowed: whether a sinc lies over the rows.
    """

    phases: tuple[float, ...]
    amplitude: float
    turn: int
    first: int
    shift: float
    windowed: bool

    @property
    def is_complex(self) -> bool:
        return len(self.phases) == 2


SQRT2 = math.sqrt(2)
# cos + sin, the real-packed form of a Fourier row, is sqrt(2) cos(x - pi / 4).
FAMILIES = {
    "dct": Family((0.0,), SQRT2, 1, 0, 0.5, False),
    "dst": Family((-0.25,), SQRT2, 1, 1, 0.5, False),
    "dft": Family((-0.125,), SQRT2, 2, 0, 0.0, False),
    "shannon": Family((-0.125,), SQRT2, 2, 0, 0.0, True),
    "real_shannon": Family((0.0,), SQRT2, 1, 0, 0.5, True),
}
COMPLEX = ("dft", "shannon")


def family(transform: str, complex: bool = False) -> Family:
    """The family of a name; `complex` gives `cos - i sin` where the real one has `cos + sin`.

    Raises:
        ValueError: no family has this name, or the family has no complex form.

    >>> family("dft").is_complex, family("dft", complex=True).is_complex
    (False, True)
    """
    transform = {"realshannon": "real_shannon"}.get(transform, transform)
    if transform not in FAMILIES:
        raise ValueError(
            f"no rows of trainable frequency are known for {transform!r}, only for {', '.join(FAMILIES)}; "
            "parametrisation='coefficients' takes every transform"
        )
    if not complex:
        return FAMILIES[transform]
    if transform not in COMPLEX:
        raise ValueError(f"{transform} has no complex form, only {' and '.join(COMPLEX)} have")
    return FAMILIES[transform]._replace(phases=(0.0, 0.25), amplitude=1.0)


def initial_frequencies(count: int, groups: int = 1) -> Tensor:
    """`0, 1, ..., count - 1`; of several groups each spans the same range.

    >>> initial_frequencies(3), initial_frequencies(4, groups=2)
    (tensor([0., 1., 2.]), tensor([0., 2., 0., 2.]))
    """
    return torch.arange(0, count, groups, dtype=torch.get_default_dtype()).repeat(groups)


def norms(frequency: Tensor, n: int, count: int, kind: Family) -> Tensor:
    """Factors, float64, for rows of unit length at the frequencies of the orthonormal transform."""
    factor = torch.full_like(frequency, kind.amplitude / math.sqrt(n), dtype=torch.float64)
    if kind.shift:  # a cosine or sine of +-1 at every sample has twice the energy of the others
        flat = torch.remainder(frequency + kind.first, count) == 0
        factor = torch.where(flat & ((frequency != 0) | (kind.first == 0)), factor / SQRT2, factor)
    return factor / window(n, frequency.device).square().mean().sqrt() if kind.windowed else factor


def window(n: int, device: torch.device | None = None, bandwidth: Tensor | None = None) -> Tensor:
    """`sinc(bandwidth s)` at `n` places `s` spread evenly from -1/2 to 1/2, `(n,)` or `(len(bandwidth), n)`, float64.

    >>> window(2).round(decimals=4)
    tensor([0.9003, 0.9003], dtype=torch.float64)
    """
    place = (torch.arange(n, dtype=torch.float64, device=device) - (n - 1) / 2) / n
    return torch.sinc(place if bandwidth is None else bandwidth.double()[:, None] * place)


def omegas(frequency: Tensor, count: int, kind: Family) -> Tensor:
    """Angles a sample, in float64: the angle at the last sample may be thousands of turns."""
    return (frequency.double() + kind.first) * (kind.turn * math.pi / count)


def cosines(omega: Tensor, n: int, shift: float, phase: float, dtype: torch.dtype) -> Tensor:
    """`cos(omega (t + shift) + 2 pi phase)` for `t < n`: `(len(omega), n)`; differentiable any number of times.

    >>> cosines(torch.tensor([0.0, torch.pi]), 3, 0.0, 0.0, torch.float32)
    tensor([[ 1.,  1.,  1.],
            [ 1., -1.,  1.]])
    """
    if torch._C._are_functorch_transforms_active():  # a function for them would take twice as long where there are none
        return _cosines(omega, n, shift, phase, dtype)
    wave: Tensor = _Cosines.apply(omega, n, shift, phase, dtype)
    return wave


def _cosines(omega: Tensor, n: int, shift: float, phase: float, dtype: torch.dtype) -> Tensor:
    """Turns are counted in float64 and cut off at whole ones, so that the cosine may be taken in `dtype`."""
    turns = torch.outer(omega.double() / (2 * math.pi), places(n, shift, torch.float64, omega.device))
    turns += phase
    turns -= turns.round()
    return turns.mul_(2 * math.pi).to(dtype).cos_()


def waves(omega: Tensor, n: int, kind: Family, dtype: torch.dtype) -> Tensor:
    """The waves of a family without norm and window, `(len(omega), n)`; complex ones in the complex form of `dtype`."""
    parts = [cosines(omega, n, kind.shift, phase, dtype) for phase in kind.phases]
    return torch.complex(*parts) if kind.is_complex else parts[0]


class _Cosines(torch.autograd.Function):
    """`_cosines`, of which no intermediate result is kept."""

    @staticmethod
    def forward(ctx: Any, omega: Tensor, n: int, shift: float, phase: float, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(omega)
        ctx.constants = n, shift, phase, dtype
        return _cosines(omega, n, shift, phase, dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (omega,) = ctx.saved_tensors
        n, shift, phase, dtype = ctx.constants
        slope = cosines(omega, n, shift, phase + 0.25, dtype)
        return (gradient * slope) @ places(n, shift, dtype, omega.device), None, None, None, None


def places(n: int, shift: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Where the samples lie: `shift, shift + 1, ..., shift + n - 1`."""
    return torch.arange(n, dtype=dtype, device=device) + shift
