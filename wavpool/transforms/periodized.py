"""One level of a 2-D wavelet transform in mode `periodization`, for any wavelet and any recorder of operations.

Straight-line code without branches on sizes: TorchScript compiles it, `torch.export` keeps heights and widths dynamic.
`dwt2` and `idwt2` compute the same.
"""

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

from .arguments import widened
from .haar_maps import as_laid_out


def analysis(x: Tensor, low: list[float], high: list[float]) -> Tensor:
    """`(B, C, H, W)` to the blocks `[LL, H, V, D]` of channels, `(B, 4 C, ceil(H / 2), ceil(W / 2))`.

    `low` and `high` are `dec_lo` and `dec_hi`.
    """
    if not torch.jit.is_scripting():  # noqa: SIM102, in one condition TorchScript would compile the call
        if has_torch_function((x,)):
            return handle_torch_function(analysis, (x,), x, low, high)  # type: ignore[no-any-return]
    rows_low, rows_high = _split(widened(x), low, high, 2)
    approximation, vertical = _split(rows_low, low, high, 3)
    horizontal, diagonal = _split(rows_high, low, high, 3)
    return as_laid_out(torch.cat([approximation, horizontal, vertical, diagonal], 1).to(x.dtype), x)


def synthesis(x: Tensor, low: list[float], high: list[float], size: tuple[int, int] | None = None) -> Tensor:
    """Inverse of `analysis` for an original `(B, C, *size)`; `low` and `high` are `rec_lo` and `rec_hi`."""
    if not torch.jit.is_scripting():  # noqa: SIM102
        if has_torch_function((x,)):
            return handle_torch_function(synthesis, (x,), x, low, high, size)  # type: ignore[no-any-return]
    approximation, horizontal, vertical, diagonal = widened(x).chunk(4, 1)
    rows_low = _merge(approximation, vertical, low, high, 3)
    rows_high = _merge(horizontal, diagonal, low, high, 3)
    y = _merge(rows_low, rows_high, low, high, 2).to(x.dtype)
    if size is not None:
        y = y[:, :, : size[0], : size[1]]
    return as_laid_out(y, x)


def _split(x: Tensor, low: list[float], high: list[float], axis: int) -> tuple[Tensor, Tensor]:
    n, taps = x.shape[axis], len(low)
    count = (n + 1) // 2
    first = 2 * torch.arange(count, device=x.device) + (1 - taps // 2)
    # An odd length repeats its last sample, then the signal starts again.
    samples = [x.index_select(axis, ((first + j) % (2 * count)).clamp(max=n - 1)) for j in range(taps)]
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
        positions = [(first + (start + half - 1 - k)) % count for k in range(half)]
        lows = [low_band.index_select(axis, each) for each in positions]
        highs = [high_band.index_select(axis, each) for each in positions]
        phases.append(_combine(lows, low[parity::2]) + _combine(highs, high[parity::2]))
    return torch.stack(phases, axis + 1).flatten(axis, axis + 1)


def _combine(samples: list[Tensor], taps: list[float]) -> Tensor:
    total = samples[0] * taps[0]
    for k in range(1, len(taps)):
        total = total + samples[k] * taps[k]
    return total
