"""Filters as functions of free parameters, for training: perfect reconstruction holds for every value of them.

* `product_filter`: a lattice of plane rotations, one angle for two taps; orthonormal for any angles.
* `lifting`: predict and update steps, each undone by its own negative; biorthogonal for any taps.

Both give `FilterTensors`, which every wavelet transform here takes in place of a name.

Sources: P. P. Vaidyanathan, P.-Q. Hoang, Lattice structures for optimal design and robust implementation of two-channel
perfect-reconstruction QMF banks, IEEE Trans. ASSP 36(1), 1988; I. Daubechies, W. Sweldens, Factoring wavelet transforms
into lifting steps, J. Fourier Anal. Appl. 4(3), 1998.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from .arguments import check_tensors
from .filters import FilterBank, FilterTensors, filter_bank

CONVERGED = 1e-8
ROOT_2 = math.sqrt(2)
CDF_9_7 = (1.586134342059924, 0.052980118572961, 0.882911075530934, 0.443506852043971)

# Steps and scale of the wavelets that have short ones; `lifting` takes the steps as tensors.
LIFTING_STEPS: dict[str, tuple[tuple[tuple[float, ...], ...], float]] = {
    "haar": (((1.0,), (1 / 2,)), ROOT_2),
    "bior1.3": (((1.0,), (1 / 16, 1 / 2, -1 / 16)), ROOT_2),
    "bior1.5": (((1.0,), (-3 / 256, 22 / 256, 1 / 2, -22 / 256, 3 / 256)), ROOT_2),
    "bior2.2": (((1 / 2, 1 / 2), (1 / 4, 1 / 4)), ROOT_2),
    "bior2.4": (((1 / 2, 1 / 2), (-3 / 64, 19 / 64, 19 / 64, -3 / 64)), ROOT_2),
    "bior4.4": (
        ((CDF_9_7[0],) * 2, (-CDF_9_7[1],) * 2, (-CDF_9_7[2],) * 2, (CDF_9_7[3],) * 2),
        1.149604398860241,
    ),
}


def product_filter(angles: Tensor) -> FilterTensors:
    """Orthonormal filters of length 2 K from K rotation angles.

    Every orthonormal pair of that length has such angles. Its low-pass filter sums to sqrt(2), as a wavelet's must,
    exactly when the angles sum to pi / 4 (modulo 2 pi).

    Args:
        angles: `(K,)`, radians, floating point; K at least 1.

    Returns:
        four tensors `(2 K,)` of the angles' dtype.

    Raises:
        ValueError: not one axis of at least one angle.
        TypeError: not floating point.

    >>> product_filter(torch.tensor([math.pi / 4])).dec_lo
    tensor([0.7071, 0.7071])
    """
    check_tensors((angles,), "angles")
    if not angles.is_floating_point():
        raise TypeError(f"angles must be floating point, got {angles.dtype}; convert them with angles.float()")
    if angles.ndim != 1 or angles.shape[0] == 0:
        raise ValueError(f"angles must have shape (K,) with K at least 1, got {tuple(angles.shape)}")
    cosines, sines = angles.cos(), angles.sin()
    low = torch.stack((cosines[0], sines[0]))
    high = torch.stack((sines[0], -cosines[0]))
    for cosine, sine in zip(cosines[1:], sines[1:], strict=True):
        low, high = pad(low, (0, 2)), pad(high, (2, 0))  # the delay between two rotations
        low, high = cosine * low - sine * high, sine * low + cosine * high
    return FilterTensors(low.flip(0), high.flip(0), low, high)


def angles_of(wavelet: str | FilterBank) -> Tensor:
    """Angles `(L / 2,)`, float64, for which `product_filter` gives an orthogonal wavelet of length L.

    They sum to pi / 4 and give the taps to 1e-10, those of coif14 and coif16 to 1e-8. Rotations are peeled off the
    filter one by one, then all are refined together.

    Raises:
        ValueError: the wavelet is not orthogonal, or its angles are not determined in double precision, as those of
            db23 and longer Daubechies filters, whose outer taps lie below the rounding error of the inner ones.

    >>> product_filter(angles_of("db2")).rec_lo
    tensor([ 0.4830,  0.8365,  0.2241, -0.1294], dtype=torch.float64)
    """
    bank = filter_bank(wavelet)
    target = torch.tensor(bank.rec_lo, dtype=torch.float64)
    if not bank.orthogonal:
        raise ValueError(f"{bank.name} is not orthogonal: take an orthogonal wavelet such as db2, or lifting steps")
    angles = _refined(_peeled(target, torch.tensor(bank.rec_hi, dtype=torch.float64)), target)
    error = float((product_filter(angles).rec_lo - target).abs().max())
    if error > CONVERGED:
        raise ValueError(
            f"no angles in double precision give {bank.name} (nearest misses a tap by {error:.1g}); "
            "take db22 or shorter, or another family"
        )
    angles[0] += math.pi / 4 - angles.sum().item()  # a multiple of 2 pi, and the rounding error
    return angles


def _peeled(low: Tensor, high: Tensor) -> Tensor:
    """Angles that undo the lattice stage by stage, each read off the largest of the columns that determine it."""
    angles = []
    while low.shape[0] > 2:
        columns = torch.stack((low[:2], high[:2])).mT.tolist() + torch.stack((high[-2:], -low[-2:])).mT.tolist()
        cosine, sine = max(columns, key=lambda column: math.hypot(*column))
        angle = math.atan2(sine, cosine)
        cosine, sine = math.cos(angle), math.sin(angle)
        angles.append(angle)
        low, high = (cosine * low + sine * high)[:-2], (cosine * high - sine * low)[2:]
    angles.append(math.atan2(float(low[1]), float(low[0])))
    return torch.tensor(angles[::-1], dtype=torch.float64)


def _refined(angles: Tensor, target: Tensor, steps: int = 200) -> Tensor:
    """Levenberg-Marquardt on the distance of the low-pass filter from `target`."""

    def taps(angles: Tensor) -> Tensor:
        return product_filter(angles).rec_lo

    quarter_turns = torch.eye(len(angles), dtype=torch.float64) * (math.pi / 2)
    damping, residual = 1e-6, target - taps(angles)
    for _ in range(steps):
        if float(residual.abs().max()) < 2e-15 or not 1e-18 < damping < 1e3:
            break
        # Taps are linear in the cosine and sine of each angle, so that a quarter turn of it is the derivative.
        jacobian = torch.func.vmap(taps)(angles + quarter_turns).mT
        u, s, vh = torch.linalg.svd(jacobian, full_matrices=False)
        candidate = angles + vh.mT @ (s / (s.square() + damping**2) * (u.mT @ residual))
        remaining = target - taps(candidate)
        if remaining.norm() < residual.norm():
            angles, residual, damping = candidate, remaining, damping / 5
        else:
            damping *= 4
    return angles


def lifting(steps: Sequence[Tensor], scale: Tensor | float = ROOT_2) -> FilterTensors:
    """Biorthogonal filters from lifting steps, which alternate predict and update.

        d[n] -= sum_k predict[k] s[n + k - (P - 1) // 2],    s[n] += sum_k update[k] d[n + k - U // 2]

    starting from s, d = even, odd samples; at last s times `scale` is the approximation and d over `-scale` the
    detail, in PyWavelets' signs.

    Args:
        steps: taps `(P,)`, `(U,)`, `(P2,)`, ... of one floating dtype; at least one step, each of at least one tap.
        scale: scalar, not 0.

    Returns:
        four tensors `(L,)` of the steps' dtype, with the least even L that holds them.

    Raises:
        TypeError: a step is no tensor.
        ValueError: no steps, or a step that has not one axis of at least one tap.

    >>> lifting([torch.tensor([1.0]), torch.tensor([0.5])]).dec_hi
    tensor([-0.7071,  0.7071])
    """
    check_tensors(steps, "each step")
    if len(steps) == 0 or any(taps.ndim != 1 or taps.shape[0] == 0 for taps in steps):
        raise ValueError(f"steps must be 1-D tensors of at least one tap, got {[tuple(taps.shape) for taps in steps]}")
    one = steps[0].new_ones(1)
    low, high, low_dual, high_dual = _Row(0, one), _Row(1, one), _Row(0, one), _Row(1, one)
    for number, taps in enumerate(steps):
        count = taps.shape[0]
        if number % 2 == 0:
            shifts = [2 * (k - (count - 1) // 2) for k in range(count)]
            high, low_dual = high.lifted(low, -taps, shifts), low_dual.lifted(high_dual, taps, [-k for k in shifts])
        else:
            shifts = [2 * (k - count // 2) for k in range(count)]
            low, high_dual = low.lifted(high, taps, shifts), high_dual.lifted(low_dual, -taps, [-k for k in shifts])
    rows = (low, high, low_dual, high_dual)
    stop = 2 * ((max(row.stop for row in rows) - 1) // 2) + 2
    start = stop - 2 * ((stop - min(row.start for row in rows) + 1) // 2)
    low_taps, high_taps, rec_lo, rec_hi = (row.between(start, stop) for row in rows)
    return FilterTensors((low_taps * scale).flip(0), (high_taps / -scale).flip(0), rec_lo / scale, rec_hi * -scale)


class _Row(NamedTuple):
    """Taps on the samples `start`, `start + 1`, ..."""

    start: int
    taps: Tensor

    @property
    def stop(self) -> int:
        return self.start + self.taps.shape[0]

    def between(self, start: int, stop: int) -> Tensor:
        """The taps on samples `start` to `stop - 1`, which hold them all."""
        return pad(self.taps, (self.start - start, stop - self.stop))

    def lifted(self, source: "_Row", weights: Tensor, shifts: list[int]) -> "_Row":
        """This row plus `source` moved by each of `shifts`, weighted."""
        start = min(self.start, source.start + min(shifts))
        stop = max(self.stop, source.stop + max(shifts))
        moved = torch.stack([source.between(start - shift, stop - shift) for shift in shifts])
        return _Row(start, self.between(start, stop) + (weights.unsqueeze(1) * moved).sum(0))
