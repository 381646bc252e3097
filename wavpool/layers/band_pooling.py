"""Pooling of the Haar bands of 2 x 2 blocks in torch's operators, for any device, compiler and exporter."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..transforms.arguments import widened
from ..transforms.haar_maps import plain_analysis, row_pairs
from ..transforms.tracing import is_exporting


def plain_max(x: Tensor) -> Tensor:
    """Maxima of the 2 x 2 blocks of `(B, C, H, W)`; an odd side is extended by its last sample."""
    if not torch.jit.is_scripting():  # noqa: SIM102, in one condition TorchScript would compile the call
        if not (torch.jit.is_tracing() or is_exporting()):  # who export know no parity of a side
            return F.max_pool2d(x, 2, ceil_mode=True)
    top, bottom = row_pairs(x, True)
    rows = torch.maximum(top, bottom)
    return torch.maximum(rows[..., :-1:2], rows[..., 1::2])


def plain_average(x: Tensor) -> Tensor:
    """Averages of the 2 x 2 blocks of `(B, C, H, W)`; an odd side is extended by its last sample."""
    top, bottom = row_pairs(widened(x) * 0.25, True)
    rows = top + bottom
    return (rows[..., :-1:2] + rows[..., 1::2]).to(x.dtype)


def plain_moduli(x: Tensor, weight: Tensor) -> Tensor:
    """`weighted_moduli` of the Haar bands of `(B, C, H, W)`."""
    return weighted_moduli(plain_analysis(widened(x), True), weight).to(x.dtype)


def weighted_moduli(bands: Tensor, weight: Tensor) -> Tensor:
    """`w0 LL + w1 |H| + w2 |V| + w3 |D|` of `(B, 4 C, h, w)` with `weight` `(4, C)`, in the dtype of `bands`."""
    low, horizontal, vertical, diagonal = bands.chunk(4, 1)
    w = weight.to(bands.dtype)[:, :, None, None]
    return low * w[0] + horizontal.abs() * w[1] + vertical.abs() * w[2] + diagonal.abs() * w[3]


def generalised_max(bands: Tensor) -> Tensor:
    """`LL / 2 + max(|V + H| + D, |V - H| - D) / 2` of `(B, 4 C, h, w)`: the maximum over the signs of the details."""
    low, horizontal, vertical, diagonal = bands.chunk(4, 1)
    same, opposite = (vertical + horizontal).abs() + diagonal, (vertical - horizontal).abs() - diagonal
    return (low + torch.maximum(same, opposite)) * 0.5
