"""One level of the discrete wavelet transform along one axis, in plain torch.

`analysis` turns an axis of n samples into [low | high] coefficients and `synthesis` turns those back; `dwt` and `idwt`
are the same with the halves apart. Two forms give the same numbers:

* polyphase: even and odd samples, then one scaled addition for every tap over contiguous slices. It fuses under
  `torch.compile`, needs no constant tensors, and neither autocast nor TF32 touches it;
* matrix: the polyphase form of the identity, kept, and one matrix product a call. It wins on short axes, outside of
  tracing, where L additions cost more than n multiplications.

Source: S. Mallat, A Wavelet Tour of Signal Processing, ch. 7.3; conventions of PyWavelets.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function

from . import extension
from .arguments import check_floating, ints, normal_axes, widened
from .constants import constant
from .extension import BOUNDARY, check_mode, coefficient_length, longest_length
from .filters import FilterBank, Filters, Wavelet, resolve
from .linear_maps import product

HAAR = ((0.5**0.5, 0.5**0.5), (-(0.5**0.5), 0.5**0.5))
MATRIX_SAMPLES_PER_TAP = 8  # measured: the matrix wins up to axes of about this many samples a tap


def dwt(x: Tensor, wavelet: Wavelet, mode: str = "symmetric", axis: int = -1) -> tuple[Tensor, Tensor]:
    """One level of analysis along one axis, as `pywt.dwt`.

    Args:
        x: `(..., n, ...)`, floating point, any device; the result keeps its dtype and half precisions are summed in
            float32, also under autocast.
        wavelet: name as in PyWavelets, `FilterBank`, `pywt.Wavelet`, or `FilterTensors` for filters with gradients.
        mode: extension at the ends as in PyWavelets (`extension.MODES`), or `boundary`, the orthonormal form that has
            ceil(n / 2) low and floor(n / 2) high coefficients.
        axis: the axis of length n.

    Returns:
        approximation and detail, each `(..., m, ...)` with `m = coefficient_length(n, L, mode)`.

    Raises:
        TypeError: `x` is not a floating-point tensor.
        ValueError: no such axis, an empty one, an unknown wavelet or mode.

    >>> low, high = dwt(torch.tensor([1.0, 1.0, 2.0, 4.0]), "haar")
    >>> (low * 2**0.5).round(), (high * 2**0.5).round()
    (tensor([2., 6.]), tensor([ 0., -2.]))
    """
    if has_torch_function((x,)):
        return handle_torch_function(dwt, (x,), x, wavelet, mode, axis)
    check_mode(mode)
    check_floating(x)
    (axis,) = normal_axes(x, (axis,))
    spectrum = analysis(widened(x), resolve(wavelet), mode, axis)
    low, high = halves(spectrum if spectrum.dtype == x.dtype else spectrum.to(x.dtype), axis)
    return low, high


def idwt(
    low: Tensor, high: Tensor, wavelet: Wavelet, mode: str = "symmetric", axis: int = -1, *, length: int | None = None
) -> Tensor:
    """Inverse of `dwt`, as `pywt.idwt`.

    Args:
        low, high: approximation and detail `(..., m, ...)` of one shape and dtype.
        wavelet, mode, axis: as given to `dwt`.
        length: n of the original; `None` takes the longer, even one of the two that give m coefficients.

    Returns:
        `(..., length, ...)`.

    Raises:
        TypeError: the coefficients are not floating-point tensors.
        ValueError: as `dwt`; the shapes differ, or do not belong to `length`.

    >>> x = torch.arange(1.0, 8.0)
    >>> idwt(*dwt(x, "db2"), "db2", length=7).round()
    tensor([1., 2., 3., 4., 5., 6., 7.])
    """
    if has_torch_function((low, high)):
        return handle_torch_function(idwt, (low, high), low, high, wavelet, mode, axis, length=length)
    check_mode(mode)
    check_floating(low)
    check_floating(high)
    (axis,) = normal_axes(low, (axis,))
    if low.dtype != high.dtype:
        raise ValueError(f"low and high must have one dtype, got {low.dtype} and {high.dtype}")
    if mode != BOUNDARY and ints(low.shape) != ints(high.shape):
        raise ValueError(f"low and high must have one shape, got {tuple(low.shape)} and {tuple(high.shape)}")
    spectrum = widened(torch.cat((low, high), axis))
    return synthesis(spectrum, resolve(wavelet), mode, axis, length).to(low.dtype)


def halves(spectrum: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Low and high coefficients of an axis `[low | high]`, as views; the low ones are one more where it is odd."""
    total = ints(spectrum.shape)[axis]
    count = (total + 1) // 2
    return spectrum.narrow(axis, 0, count), spectrum.narrow(axis, count, total - count)


def analysis(x: Tensor, filters: Filters, mode: str, axis: int) -> Tensor:
    """One level along `axis >= 0` of checked arguments: `(..., n, ...)` to `(..., [low | high], ...)`."""
    if mode == BOUNDARY:
        from . import boundary

        return boundary.analysis(x, filters, axis)
    n = ints(x.shape)[axis]
    if mode == "reflect" and n == 1:
        raise ValueError(f"mode 'reflect' needs at least 2 samples along an axis, got shape {tuple(x.shape)}")
    if _prefers_matrix(x, filters, n):
        return product(x, _matrix(_polyphase_analysis, filters, n, (mode, 1), x), axis)
    return _polyphase_analysis(x, filters, mode, axis)


def synthesis(spectrum: Tensor, filters: Filters, mode: str, axis: int, length: int | None) -> Tensor:
    """Inverse of `analysis`: `(..., [low | high], ...)` to `(..., length, ...)`."""
    total = ints(spectrum.shape)[axis]
    count = total // 2
    if mode == BOUNDARY:
        from . import boundary

        if length not in (None, total):
            raise ValueError(
                f"{total} coefficients in mode 'boundary' belong to signals of length {total}, not {length}"
            )
        return boundary.synthesis(spectrum, filters, axis)
    longest = longest_length(count, filters.length, mode)
    if length is None:
        length = longest
    if length < 1 or coefficient_length(length, filters.length, mode) != count:
        allowed = f"{longest - 1} or {longest}" if longest > 1 else "1" if longest == 1 else "none"
        raise ValueError(
            f"{count} coefficients of filters of length {filters.length} in mode {mode!r} belong to signals of length "
            f"{allowed}, not {length}"
        )
    if _prefers_matrix(spectrum, filters, 2 * count):
        matrix = _matrix(_polyphase_synthesis, filters, 2 * count, (mode, 1, length), spectrum)
        return product(spectrum, matrix, axis)
    return _polyphase_synthesis(spectrum, filters, mode, axis, length)


def extend(x: Tensor, axis: int, before: int, after: int, mode: str) -> Tensor:
    """`x` with `before` and `after` samples of `extension.source` added at the ends of `axis`."""
    n = ints(x.shape)[axis]
    left = [_run(x, axis, *run) for run in extension.runs(-before, 0, n, mode)]
    right = [_run(x, axis, *run) for run in extension.runs(n, n + after, n, mode)]
    return torch.cat((*left, x, *right), axis) if left or right else x


def _run(x: Tensor, axis: int, start: int, count: int, step: int) -> Tensor:
    """Samples start, start + step, ... of `x`, zeros where `start` is -1."""
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
    if start < 0:
        return x.new_zeros(shape)
    if step == 0:
        return x.narrow(axis, start, 1).expand(shape)
    return x.narrow(axis, start, count) if step > 0 else x.narrow(axis, start - count + 1, count).flip(axis)


def _polyphase_analysis(x: Tensor, filters: Filters, mode: str, axis: int) -> Tensor:
    n = ints(x.shape)[axis]
    count = coefficient_length(n, filters.length, mode)
    before = -extension.first_position(filters.length, mode)
    total = 2 * (count - 1) + filters.length
    phases = extend(x, axis, before, total - before - n, mode).unflatten(axis, (total // 2, 2)).unbind(axis + 1)
    if axis == x.ndim - 1:
        phases = tuple(phase.contiguous() for phase in phases)  # every later pass reads whole cache lines
    if is_haar(filters):  # exact zeros for a constant signal
        even, odd = phases
        return torch.cat((even + odd, even - odd), axis) * filters.dec_lo[0]
    bands = []
    for taps in (filters.dec_lo, filters.dec_hi):
        reverse = _scalars(taps, x)[::-1]
        bands.append(
            _weighted_sum((phases[j % 2].narrow(axis, j // 2, count), reverse[j]) for j in range(filters.length))
        )
    return torch.cat(bands, axis)


def _polyphase_synthesis(spectrum: Tensor, filters: Filters, mode: str, axis: int, length: int) -> Tensor:
    half, offset = filters.length // 2, 0
    bands = halves(spectrum, axis)
    if is_haar(filters):
        low, high = bands
        phases = [(low + high) * filters.rec_lo[0], (low - high) * filters.rec_lo[0]]
        return torch.stack(phases, axis + 1).flatten(axis, axis + 1).narrow(axis, 0, length)
    if mode == "periodization":  # of the coefficients, by what the taps reach over each end
        before, offset = half // 2, (half - 1) % 2
        low, high = (extend(band, axis, before, half // 2, "periodic") for band in bands)
        bands = (low, high)
    count = ints(bands[0].shape)[axis] - half + 1
    pairs = [(bands[0], _scalars(filters.rec_lo, spectrum)), (bands[1], _scalars(filters.rec_hi, spectrum))]
    phases = [
        _weighted_sum(
            (band.narrow(axis, half - 1 - k, count), taps[2 * k + phase]) for k in range(half) for band, taps in pairs
        )
        for phase in (0, 1)
    ]
    return torch.stack(phases, axis + 1).flatten(axis, axis + 1).narrow(axis, offset, length)


def _weighted_sum(terms: Iterable[tuple[Tensor, float | Tensor]]) -> Tensor:
    total: Tensor | None = None
    for samples, tap in terms:
        if isinstance(tap, Tensor):
            total = samples * tap if total is None else torch.addcmul(total, samples, tap)
        elif tap != 0:
            total = samples * tap if total is None else total.add_(samples, alpha=tap)
    assert total is not None, "a filter without taps reconstructs nothing"
    return total


def _scalars(taps: tuple[float, ...] | Tensor, x: Tensor) -> Sequence[float] | Sequence[Tensor]:
    return taps.to(x).unbind() if isinstance(taps, Tensor) else taps


def is_haar(filters: Filters) -> TypeGuard[FilterBank]:
    """Whether a level is sums and differences of neighbours."""
    return isinstance(filters, FilterBank) and filters.dec_lo == HAAR[0] and filters.dec_hi == HAAR[1]


def _prefers_matrix(x: Tensor, filters: Filters, n: int) -> bool:
    """Whether a product with a kept matrix is the faster form, and allowed.

    Under a transform of `torch.func`, a compiler or an exporter a kept tensor would be a foreign one.
    """
    if (
        filters.length == 2
        or n > MATRIX_SAMPLES_PER_TAP * filters.length
        or type(x) not in (Tensor, nn.Parameter)
        or torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
    ):
        return False
    return isinstance(filters, FilterBank) or x.numel() >= 4 * n * n  # made for one call only, it has to pay in it


def _matrix(form: Callable[..., Tensor], filters: Filters, n: int, arguments: tuple[Any, ...], like: Tensor) -> Tensor:
    """The polyphase `form` as a matrix `(outputs, n)`."""
    if isinstance(filters, FilterBank):
        return constant(_matrix_of_bank, (form, filters, n, arguments), like)
    return form(torch.eye(n, dtype=like.dtype, device=like.device), filters, *arguments).mT


def _matrix_of_bank(key: tuple[Callable[..., Tensor], FilterBank, int, tuple[Any, ...]]) -> Tensor:
    form, bank, n, arguments = key
    return form(torch.eye(n, dtype=torch.float64, device="cpu"), bank, *arguments).mT
