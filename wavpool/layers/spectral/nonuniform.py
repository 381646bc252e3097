"""Products with rows of cosines of any frequencies, without the rows: a non-uniform fast cosine transform.

`y[b, o] = sum_t x[b, t] cos(omega[o] (t + shift) + 2 pi phase)` costs one FFT of twice the length a signal and `TAPS`
multiplications an output, in place of the `n` of a matrix product. The signal is divided by the transform of a short
bump, which undoes that the spectrum is afterwards interpolated with the bump. All angles are of float64.

Source: A. Dutt and V. Rokhlin, Fast Fourier transforms for nonequispaced data, SIAM J. Sci. Comput. 14 (1993); the bump
is the "exponential of semicircle" of A. Barnett, J. Magland and L. af Klinteberg, SIAM J. Sci. Comput. 41 (2019).
"""

import functools
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .sinusoids import places

TAPS = {torch.float32: 8, torch.float64: 16}
"""Width of the bump in steps of the oversampled spectrum; errors are about 1e-7 and 1e-14 of the result."""
OVERSAMPLING = 2
_STEEPNESS = 2.30  # of the bump, a tap: the paper's choice for an oversampling of 2


def cosine_product(x: Tensor, omega: Tensor, shift: float, phase: float) -> Tensor:
    """`x @ cosines(omega, n, shift, phase).T`; differentiable any number of times in `x` and `omega`.

    Args:
        x: `(B, n)`, float32 or float64.
        omega: `(m,)`, angles a sample, float64.

    Returns:
        `(B, m)`, in the dtype of `x`.
    """
    y: Tensor = _Product.apply(x, omega, shift, phase)
    return y


def cosine_product_adjoint(y: Tensor, omega: Tensor, n: int, shift: float, phase: float) -> Tensor:
    """`y @ cosines(omega, n, shift, phase)`: `(B, m)` to `(B, n)`."""
    x: Tensor = _Adjoint.apply(y, omega, n, shift, phase)
    return x


class _Product(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, omega: Tensor, shift: float, phase: float) -> Tensor:
        return _interpolate(_spectrum(x), _nodes(omega, x.shape[-1], shift, phase, x.dtype))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, omega, *ctx.constants = inputs
        ctx.save_for_backward(x, omega)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, omega = ctx.saved_tensors
        shift, phase = ctx.constants
        of_x = of_omega = None
        if ctx.needs_input_grad[0]:
            of_x = cosine_product_adjoint(gradient, omega, x.shape[-1], shift, phase)
        if ctx.needs_input_grad[1]:
            slopes = cosine_product(x * places(x.shape[-1], shift, x.dtype, x.device), omega, shift, phase + 0.25)
            of_omega = (gradient * slopes).sum(0, dtype=omega.dtype)
        return of_x, of_omega, None, None


class _Adjoint(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(y: Tensor, omega: Tensor, n: int, shift: float, phase: float) -> Tensor:
        return _spectrum_adjoint(_spread(y, _nodes(omega, n, shift, phase, y.dtype), _length(n)), n)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        y, omega, *ctx.constants = inputs
        ctx.save_for_backward(y, omega)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        y, omega = ctx.saved_tensors
        n, shift, phase = ctx.constants
        of_y = of_omega = None
        if ctx.needs_input_grad[0]:
            of_y = cosine_product(gradient, omega, shift, phase)
        if ctx.needs_input_grad[1]:
            slopes = cosine_product(
                gradient * places(n, shift, gradient.dtype, gradient.device), omega, shift, phase + 0.25
            )
            of_omega = (y * slopes).sum(0, dtype=omega.dtype)
        return of_y, of_omega, None, None, None


class _Nodes(NamedTuple):
    """Where between the samples of a half spectrum the outputs lie.

    Attributes:
        rows: of the spectrum, which `_spectrum` has lengthened at both ends, `(m, taps)`.
        bump: their weights, `(m, taps)`.
        cos, sin: weights of the real and the imaginary part, `(m, 1)`.
    """

    rows: Tensor
    bump: Tensor
    cos: Tensor
    sin: Tensor


def _nodes(omega: Tensor, n: int, shift: float, phase: float, dtype: torch.dtype) -> _Nodes:
    length, taps = _length(n), TAPS[dtype]
    omega = omega.double()
    # The signal's sample n // 2 has angle 0 in the spectrum: the bump's transform is even.
    angle = omega * (n // 2 + shift) + 2 * math.pi * phase
    place = torch.remainder(omega * (length / (2 * math.pi)), length)
    mirrored = place > length / 2  # a real signal's spectrum there is the conjugate of the other half's
    place = torch.where(mirrored, length - place, place)
    start = (place - taps / 2).ceil()
    offset = (place - start)[:, None] - torch.arange(taps, dtype=torch.float64, device=omega.device)
    index = start.long()[:, None] + torch.arange(taps // 2, taps // 2 + taps, device=omega.device)
    sin = torch.where(mirrored, -angle.sin(), angle.sin())
    return _Nodes(index, _bump(offset, taps).to(dtype), angle.cos().to(dtype)[:, None], sin.to(dtype)[:, None])


def _bump(offset: Tensor, taps: int) -> Tensor:
    inside = (1 - (offset * (2 / taps)).square()).clamp_min_(0).sqrt_()
    return inside.sub_(1).mul_(_STEEPNESS * taps).exp_()


@functools.lru_cache(maxsize=64)
def _correction(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """What the samples are multiplied by, `(n,)`: over the bump's transform, by Gauss-Legendre quadrature."""
    taps = TAPS[dtype]
    nodes, weights = _legendre(2 * taps + 20)
    nodes, weights = nodes * (taps / 2), weights * (taps / 2)
    angle = torch.outer(torch.arange(n, dtype=torch.float64) - n // 2, nodes * (2 * math.pi / _length(n)))
    return (angle.cos() @ (weights * _bump(nodes, taps))).reciprocal().to(device, dtype)


def _legendre(points: int) -> tuple[Tensor, Tensor]:
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(points)
    return torch.from_numpy(nodes), torch.from_numpy(weights)


@functools.lru_cache(maxsize=256)
def _length(n: int) -> int:
    """The shortest even FFT of `OVERSAMPLING` times the signal and of two bumps, with factors 2, 3 and 5 alone."""
    least = max(OVERSAMPLING * n, 2 * max(TAPS.values()))
    powers: list[int] = [2 * 3**i * 5**j for i in range(12) for j in range(8)]
    return min(odd << max(0, math.ceil(math.log2(least / odd))) for odd in powers)


def _spectrum(x: Tensor) -> Tensor:
    """Half spectrum of signals `(B, n)`, longer by conjugates at both ends: `(length / 2 + 1 + taps, 2 B)`, real."""
    n, half = x.shape[-1], TAPS[x.dtype] // 2
    length = _length(n)
    scaled = x * _correction(n, x.dtype, x.device)
    padded = x.new_zeros(x.shape[0], length)
    padded[:, : n - n // 2] = scaled[:, n // 2 :]
    padded[:, length - n // 2 :] = scaled[:, : n // 2]
    spectrum = torch.fft.rfft(padded)
    table = x.new_empty(length // 2 + 1 + 2 * half, 2, x.shape[0])
    middle = table[half : table.shape[0] - half]
    middle.copy_(torch.view_as_real(spectrum).permute(1, 2, 0))
    for end, source in ((table[:half], middle[1 : half + 1]), (table[-half:], middle[-half - 1 : -1])):
        end[:, 0] = source[:, 0].flip(0)
        end[:, 1] = source[:, 1].flip(0).neg_()
    return table.flatten(1)


def _interpolate(table: Tensor, nodes: _Nodes) -> Tensor:
    """Outputs `(B, m)` of a table of `_spectrum`."""
    sums = F.embedding_bag(nodes.rows, table, mode="sum", per_sample_weights=nodes.bump)
    real, imaginary = sums.chunk(2, dim=1)
    return torch.addcmul(real * nodes.cos, imaginary, nodes.sin).T.contiguous()


def _spread(y: Tensor, nodes: _Nodes, length: int) -> Tensor:
    """Adjoint of `_interpolate`: `(B, m)` to a table."""
    half = nodes.rows.shape[1] // 2
    table = y.new_zeros(length // 2 + 1 + 2 * half, 2 * y.shape[0])
    rows = y.T
    values = torch.cat([rows * nodes.cos, rows * nodes.sin], dim=1)
    for tap in range(2 * half):
        table.index_add_(0, nodes.rows[:, tap], values * nodes.bump[:, tap, None])
    return table


def _spectrum_adjoint(table: Tensor, n: int) -> Tensor:
    """Adjoint of `_spectrum`: a table to signals `(B, n)`."""
    batch = table.shape[1] // 2
    table = table.view(-1, 2, batch)
    length = _length(n)
    half = (table.shape[0] - length // 2 - 1) // 2
    middle = table[half : table.shape[0] - half]
    for end, target in ((table[:half], middle[1 : half + 1]), (table[-half:], middle[-half - 1 : -1])):
        target[:, 0] += end[:, 0].flip(0)
        target[:, 1] -= end[:, 1].flip(0)
    middle[1:-1] *= 0.5  # irfft counts them twice
    spectrum = torch.complex(middle[:, 0].T, middle[:, 1].T)
    padded = torch.fft.irfft(spectrum, n=length, norm="forward")
    x = torch.cat([padded[:, length - n // 2 :], padded[:, : n - n // 2]], dim=1)
    return x.mul_(_correction(n, x.dtype, x.device))
