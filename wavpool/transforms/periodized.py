"""One level of a wavelet transform in mode `periodization`, for any wavelet and any recorder of operations.

Straight-line code without branches on sizes: TorchScript compiles it, `torch.export` keeps sizes dynamic. Of images,
`dwt2` and `idwt2` compute the same.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import handle_torch_function, has_torch_function

from .arguments import widened
from .haar_maps import as_laid_out, crop


def analysis(x: Tensor, low: list[float], high: list[float], repeat: bool = True) -> Tensor:
    """Transform maps with any number of axes `d` into blocks of channels, one per band.

    Args:
        x: `(B, C, *size)`.
        low: `dec_lo` of the wavelet.
        high: `dec_hi` of the wavelet.
        repeat: extend an odd length by its last sample; otherwise by a zero.

    Returns:
        `(B, 2**d C, *ceil(size / 2))`; band number `k` is high along axis `a` where bit `a` of `k` is set, so images
        have `[LL, H, V, D]`.
    """
    if not torch.jit.is_scripting():  # noqa: SIM102, in one condition TorchScript would compile the call
        if has_torch_function((x,)):
            return handle_torch_function(analysis, (x,), x, low, high, repeat)
    bands = [widened(x)]
    for axis in range(2, x.ndim):
        pairs = [_split(band, low, high, axis, repeat) for band in bands]
        bands = [pair[0] for pair in pairs] + [pair[1] for pair in pairs]
    return as_laid_out(torch.cat(bands, 1).to(x.dtype), x)


def synthesis(x: Tensor, low: list[float], high: list[float], size: list[int] | None = None) -> Tensor:
    """Inverse of `analysis` for an original `(B, C, *size)`; `low` and `high` are `rec_lo` and `rec_hi`."""
    if not torch.jit.is_scripting():  # noqa: SIM102
        if has_torch_function((x,)):
            return handle_torch_function(synthesis, (x,), x, low, high, size)
    bands = list(widened(x).chunk(1 << (x.ndim - 2), 1))
    for back in range(x.ndim - 2):
        axis, half = x.ndim - 1 - back, len(bands) // 2
        bands = [_merge(bands[k], bands[k + half], low, high, axis) for k in range(half)]
    y = bands[0].to(x.dtype)
    return as_laid_out(y if size is None else crop(y, size), x)


def _split(x: Tensor, low: list[float], high: list[float], axis: int, repeat: bool) -> tuple[Tensor, Tensor]:
    n, taps = x.shape[axis], len(low)
    count = (n + 1) // 2
    last = n - 1
    if not repeat:  # the zero at position n is beyond the period of an even length
        x = F.pad(x, [0, 0] * (x.ndim - 1 - axis) + [0, 1])
        last = n
    first = 2 * torch.arange(count, device=x.device) + (1 - taps // 2)
    # An odd length repeats its last sample, then the signal starts again.
    period, end = _number(2 * count, x), _number(last, x)
    samples = [x.index_select(axis, torch.minimum((first + j) % period, end)) for j in range(taps)]
    return _combine(samples, low[::-1]), _combine(samples, high[::-1])


def _merge(low_band: Tensor, high_band: Tensor, low: list[float], high: list[float], axis: int) -> Tensor:
    half = len(low) // 2
    count = low_band.shape[axis]
    first = torch.arange(count, device=low_band.device)
    shift = (half - 1) % 2  # the first tap may belong to an odd sample
    phases: list[Tensor] = []
    for phase in range(2):
        # Sample 2 k + phase is made of the taps of its own parity after the shift.
        parity = (phase + shift) % 2
        start = (phase + shift) // 2 - half // 2
        positions = [(first + (start + half - 1 - k)) % _number(count, low_band) for k in range(half)]
        lows = [low_band.index_select(axis, each) for each in positions]
        highs = [high_band.index_select(axis, each) for each in positions]
        phases.append(_combine(lows, low[parity::2]) + _combine(highs, high[parity::2]))
    places = torch.arange(2 * count, device=low_band.device)
    return torch.cat(phases, axis).index_select(axis, places // 2 + places % 2 * count)


def _number(value: int, like: Tensor) -> Tensor:
    """An integer as a tensor: ONNX takes no unknown size as a number."""
    return torch.full((1,), value, dtype=torch.long, device=like.device)


def _combine(samples: list[Tensor], taps: list[float]) -> Tensor:
    total = samples[0] * taps[0]
    for k in range(1, len(taps)):
        total = total + samples[k] * taps[k]
    return total
