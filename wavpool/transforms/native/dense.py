"""The operators of `ops.py` as products with dense matrices, for a compiled program that meets no C compiler.

Slow on long axes and right: one matrix `(n, 2 m)` an axis and level, `[low | high]` columns, and its transpose.
"""

import functools
import math

import torch
from torch import Tensor

from ..dwt import analysis as analyse
from ..dwt import synthesis as synthesise
from ..extension import band_sizes, coefficient_length
from ..filters import FilterBank


def analysis(x: Tensor, bank: FilterBank, mode: str, dual: bool, dims: int, level: int) -> Tensor:
    """`wavpool::dwt`: `(..., H, W)` or `(..., W)` to packed coefficients `(..., N)`."""
    details: list[Tensor] = []
    for _ in range(level):
        matrices = [_matrix(n, bank, mode, dual).to(x) for n in x.shape[-dims:]]
        low, high = (x @ matrices[-1]).tensor_split(2, dim=-1)
        if dims == 1:
            x, bands = low, [high]
        else:
            x, horizontal = (matrices[0].mT @ low).tensor_split(2, dim=-2)
            vertical, diagonal = (matrices[0].mT @ high).tensor_split(2, dim=-2)
            bands = [horizontal, vertical, diagonal]
        details = [*(band.flatten(-dims) for band in bands), *details]
    return torch.cat((x.flatten(-dims), *details), dim=-1)


def adjoint(packed: Tensor, bank: FilterBank, mode: str, dual: bool, size: tuple[int, ...], level: int) -> Tensor:
    """`wavpool::dwt_adjoint`: packed coefficients `(..., N)` to `(..., *size)`."""
    sizes = band_sizes(size, bank.length, mode, level)
    offset = math.prod(sizes[-1])
    x: Tensor = packed[..., :offset].unflatten(-1, sizes[-1])
    for number in reversed(range(level)):
        band = sizes[number + 1]
        count = (2 ** len(size) - 1) * math.prod(band)
        details = packed[..., offset : offset + count].unflatten(-1, (2 ** len(size) - 1, *band))
        offset += count
        matrices = [_matrix(n, bank, mode, dual).to(packed) for n in sizes[number]]
        if len(size) == 1:
            spectrum = torch.cat((x, details[..., 0, :]), dim=-1)
        else:
            horizontal, vertical, diagonal = details.unbind(-3)
            spectrum = torch.cat((torch.cat((x, horizontal), -2), torch.cat((vertical, diagonal), -2)), -1)
            spectrum = matrices[0] @ spectrum
        x = spectrum @ matrices[-1].transpose(0, 1)
    return x.contiguous()


@functools.lru_cache(maxsize=256)
def _matrix(n: int, bank: FilterBank, mode: str, dual: bool) -> Tensor:
    if not dual:
        return analyse(torch.eye(n, dtype=torch.float64), bank, mode, 1)
    count = 2 * coefficient_length(n, bank.length, mode)
    return torch.t(synthesise(torch.eye(count, dtype=torch.float64), bank, mode, 1, n))
