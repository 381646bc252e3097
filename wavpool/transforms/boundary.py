"""The orthonormal transform of any length, mode `boundary`: ceil(n / 2) low and floor(n / 2) high coefficients.

No sample beyond the ends is invented. The rows of the transform are

* inside, the wavelet's own filters wherever all taps lie on the signal, at the places where `periodization` has them;
* at each end, an orthonormal basis of what those rows leave over. The filters cut off by that end span it, and they do
  so as a tight frame, because all shifts together are an orthonormal basis of the line: well conditioned for any L.

Which part of an end is low and which is high is free. Here the low rows are the principal components of a first-order
autoregressive signal, the usual model of image rows, both ends ranked together. Of the forms tried (pairing by filter,
an even split, vanishing moments) it has the highest coding gain. In each part the rows are the eigenvectors of
position, so that they are local and in order.

Sources: C. Herley, M. Vetterli, Orthogonal time-varying filter banks and wavelet packets, IEEE Trans. Signal Process.
42(10), 1994 (orthogonal completion); A. K. Jain, Fundamentals of Digital Image Processing, ch. 2 (the model).
"""

import functools
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .arguments import fixed, integer
from .constants import constant
from .dwt import analysis as extended_analysis
from .dwt import halves
from .dwt import synthesis as extended_synthesis
from .extension import first_position
from .filters import RECONSTRUCTION_TOLERANCE, FilterBank, Filters, Wavelet, resolve
from .linear_maps import as_matrix, product
from .tracing import constant_result

Array = NDArray[Any]
Taps = tuple[float, ...]

CORRELATION = 0.95  # of neighbouring samples in the model that tells low from high


class Rows(NamedTuple):
    """A transform: rows of both ends, each `(rows, samples)`, and how many of the wavelet's rows stand between them.

    `skipped` rows of `periodization` come before the inside ones. Without rows inside, the left end is everything.
    """

    left_low: Tensor
    left_high: Tensor
    right_low: Tensor
    right_high: Tensor
    inside: int
    skipped: int


def dwt(x: Tensor, bank: Filters, axis: int = -1) -> tuple[Tensor, Tensor]:
    """One level of analysis: `(..., n, ...)` to low `(..., ceil(n / 2), ...)` and high `(..., floor(n / 2), ...)`.

    Args:
        x: float32 or float64, at least one sample along `axis`.
        bank: orthogonal filters.
        axis: the axis to transform.

    Raises:
        ValueError: the filters are not orthogonal, or held in tensors.

    >>> from wavpool.transforms.filters import filter_bank
    >>> low, high = dwt(torch.ones(7), filter_bank("haar"))
    >>> low, high
    (tensor([1.4142, 1.4142, 1.4142, 1.0000]), tensor([0., 0., 0.]))
    """
    axis %= x.ndim
    low, high = halves(analysis(x, bank, axis), axis)
    return low, high


def idwt(low: Tensor, high: Tensor, bank: Filters, axis: int = -1) -> Tensor:
    """Inverse of `dwt`, which is its transpose: the coefficients to `(..., n, ...)`, n the sum of their lengths.

    >>> from wavpool.transforms.filters import filter_bank
    >>> idwt(*dwt(torch.ones(3), filter_bank("sym4")), filter_bank("sym4"))
    tensor([1.0000, 1.0000, 1.0000])
    """
    return synthesis(torch.cat((low, high), axis), bank, axis % low.ndim)


def boundary_matrix(
    n: int, wavelet: Wavelet, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> Tensor:
    """The transform of `n` samples as an orthogonal matrix `(n, n)`, low rows first.

    Args:
        n: the length.
        wavelet: an orthogonal one, as `dwt` takes it.
        dtype: floating point; `None` takes torch's default. Entries are computed in float64 and rounded once.
        device: `None` takes torch's default.

    Raises:
        TypeError: `n` is not an integer, `dtype` not a floating-point dtype.
        ValueError: n < 1, or a wavelet that is not orthogonal.

    >>> boundary_matrix(3, "haar")
    tensor([[ 0.7071,  0.7071,  0.0000],
            [ 0.0000,  0.0000,  1.0000],
            [ 0.7071, -0.7071,  0.0000]])
    """
    integer(n, "n")
    filters = resolve(wavelet)
    return as_matrix(
        lambda n: analysis(torch.eye(n, dtype=torch.float64, device="cpu"), filters, 1).mT, n, dtype, device
    )


def analysis(x: Tensor, bank: Filters, axis: int) -> Tensor:
    """`dwt` with both halves in one tensor `[low | high]` along `axis >= 0`."""
    (n,) = fixed((x.shape[axis],))
    rows = _rows(_orthogonal(bank), n, x)
    first = x.narrow(axis, 0, rows.left_low.size(1))
    low, high = (product(first, end, axis) for end in (rows.left_low, rows.left_high))
    if rows.inside == 0:
        return torch.cat((low, high), axis)
    spectrum = extended_analysis(x, bank, "periodization", axis)
    inner_low, inner_high = (band.narrow(axis, rows.skipped, rows.inside) for band in halves(spectrum, axis))
    last = x.narrow(axis, n - rows.right_low.size(1), rows.right_low.size(1))
    last_low, last_high = (product(last, end, axis) for end in (rows.right_low, rows.right_high))
    return torch.cat((low, inner_low, last_low, high, inner_high, last_high), axis)


def synthesis(spectrum: Tensor, bank: Filters, axis: int) -> Tensor:
    """Inverse of `analysis`: `[low | high]` along `axis >= 0` to the signal."""
    (n,) = fixed((spectrum.shape[axis],))
    rows = _rows(_orthogonal(bank), n, spectrum)
    counts = [band.size(0) for band in rows[:4]]
    sizes = [counts[0], rows.inside, counts[2], counts[1], rows.inside, counts[3]]
    low_first, low, low_last, high_first, high, high_last = spectrum.split(sizes, axis)
    # One product an end: ONNX Runtime returns noise for a product over no rows, which an end may have of one kind.
    left, right = torch.cat((rows.left_low, rows.left_high)).mT, torch.cat((rows.right_low, rows.right_high)).mT
    first = product(torch.cat((low_first, high_first), axis), left, axis)
    if rows.inside == 0:
        return first
    last = product(torch.cat((low_last, high_last), axis), right, axis)
    zeros = spectrum.new_zeros(()).expand(spectrum.shape)
    before = zeros.narrow(axis, 0, rows.skipped)
    after = zeros.narrow(axis, 0, (n + 1) // 2 - rows.skipped - rows.inside)
    x = extended_synthesis(torch.cat((before, low, after, before, high, after), axis), bank, "periodization", axis, n)
    head, rest = x.split([first.shape[axis], n - first.shape[axis]], axis)
    x = torch.cat((head + first, rest), axis)
    rest, tail = x.split([n - last.shape[axis], last.shape[axis]], axis)  # which may reach into the head
    return torch.cat((rest, tail + last), axis)


def _orthogonal(bank: Filters) -> FilterBank:
    """`bank`, or ValueError with the remedy."""
    remedy = "take an orthogonal wavelet such as db4 or sym4, or mode='periodization'"
    if not isinstance(bank, FilterBank):
        raise ValueError(f"mode 'boundary' is built from fixed filters, not from tensors: {remedy}")
    if not is_orthonormal(bank):
        raise ValueError(f"mode 'boundary' needs orthonormal filters, unlike {bank.name}: {remedy}")
    return bank


def is_orthonormal(bank: FilterBank) -> bool:
    """Whether the even shifts of the filters are orthonormal and synthesis is their transpose."""
    return bank.orthogonal and _has_orthonormal_shifts(bank.dec_lo, bank.dec_hi)


@constant_result
def _has_orthonormal_shifts(low: Taps, high: Taps) -> bool:
    return _orthonormality_error(low, high) <= RECONSTRUCTION_TOLERANCE


@functools.lru_cache(maxsize=256)
def _orthonormality_error(low: Taps, high: Taps) -> float:
    """Largest deviation of the filters' even shifts from orthonormal; a bank that is its own transpose may have one."""
    shifts = [np.pad((low, high), ((0, 0), (2 * k, len(low) - 2 * k))) for k in range(len(low) // 2)]
    rows = np.concatenate(shifts)
    return float(np.abs(rows @ rows.T - np.eye(len(rows))).max())


def _rows(bank: FilterBank, n: int, like: Tensor) -> Rows:
    """Rows of the transform of `n` samples, in the precision and on the device of `like`."""
    first = first_position(bank.length, "periodization")
    start = first % 2  # of the first row inside
    inside = max(0, (n - bank.length - start) // 2 + 1)
    shortest = n if inside == 0 else bank.length + start + (n - start) % 2  # with the same ends
    ends = [constant(_end, (part, bank.dec_lo, bank.dec_hi, shortest), like) for part in range(4)]
    return Rows(ends[0], ends[1], ends[2], ends[3], inside, (start - first) // 2)


def _end(key: tuple[int, Taps, Taps, int]) -> Tensor:
    return torch.tensor(_ends(*key[1:])[key[0]])


@functools.lru_cache(maxsize=512)
def _ends(low: Taps, high: Taps, n: int) -> tuple[Array, Array, Array, Array]:
    """Low and high rows at the left end and at the right end of `n` samples; the right ones act on the last samples."""
    taps = np.array((low, high))[:, ::-1]
    length = len(low)
    first = first_position(length, "periodization")
    starts = np.arange(first - 2 * ((first + length - 1) // 2), n, 2)  # of every filter that touches the signal
    inside = (starts >= 0) & (starts <= n - length)
    if not inside.any():
        vectors = _components(taps, starts, n)[1]
        return *_low_and_high(vectors, (n + 1) // 2), np.zeros((0, 0)), np.zeros((0, 0))
    before, after = starts[starts < 0], starts[starts > n - length]
    (left_variances, left), (right_variances, right) = (_components(taps, cut, n) for cut in (before, after))
    ranked = np.argsort(-np.concatenate((left_variances, right_variances)), kind="stable")
    chosen = ranked[: (n + 1) // 2 - int(inside.sum())]
    low_at_left = int((chosen < len(left_variances)).sum())
    reach, behind = max(before, default=-length) + length, min(after, default=n)
    left_low, left_high = _low_and_high(left, low_at_left)
    right_low, right_high = _low_and_high(right, len(chosen) - low_at_left)
    return left_low[:, :reach], left_high[:, :reach], right_low[:, behind:], right_high[:, behind:]


def _components(taps: Array, starts: Array, n: int) -> tuple[Array, Array]:
    """Principal components of the model in the span of the filters at `starts`, cut to 0..n-1: variances, `(n, d)`."""
    length = taps.shape[1]
    padded = np.zeros((2, len(starts), n + 2 * length))
    for number, start in enumerate(starts):
        padded[:, number, start + length : start + 2 * length] = taps
    frame = padded[..., length : length + n].reshape(-1, n)
    dimension = round(float(np.square(frame).sum()))  # the frame is tight: its operator is the projection on its span
    basis = np.linalg.eigh(frame.T @ frame)[1][:, n - dimension :]
    distance = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    variances, vectors = np.linalg.eigh(basis.T @ CORRELATION**distance @ basis)
    return variances[::-1], basis @ vectors[:, ::-1]


def _low_and_high(vectors: Array, low: int) -> tuple[Array, Array]:
    """The first `low` columns of `vectors` and the others."""
    return _local(vectors[:, :low]), _local(vectors[:, low:])


def _local(vectors: Array) -> Array:
    """Rows that span the columns of `vectors`, in order of position, their largest tap positive."""
    position = np.arange(len(vectors))[:, None]
    rows = (vectors @ np.linalg.eigh(vectors.T @ (position * vectors))[1]).T
    largest = np.abs(rows).round(6).argmax(1)[:, None]  # the first of equal ones, whatever their rounding
    local: Array = rows * np.sign(np.take_along_axis(rows, largest, 1))
    return local
