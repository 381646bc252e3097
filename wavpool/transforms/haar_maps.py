"""The Haar level of `haar_channels.py` in torch's operators, for any device, compiler and exporter."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .arguments import widened
from .tracing import is_exporting


def plain_analysis(x: Tensor, repeat: bool) -> Tensor:
    """`haar2d` in torch's operators."""
    top, bottom = row_pairs(widened(x) * 0.5, repeat)
    low, high = top + bottom, top - bottom
    low_even, low_odd = low[..., :-1:2], low[..., 1::2]
    high_even, high_odd = high[..., :-1:2], high[..., 1::2]
    bands = [low_even + low_odd, high_even + high_odd, low_even - low_odd, high_even - high_odd]
    return as_laid_out(torch.cat(bands, 1).to(x.dtype), x)


def row_pairs(x: Tensor, repeat: bool) -> tuple[Tensor, Tensor]:
    """Upper and lower rows of the 2 x 2 blocks; columns `:-1:2` and `1::2` of both are the left and right ones."""
    if _may_be_odd(x):  # one sample more than an even length needs: the slices leave it out
        x = F.pad(x, [0, 1, 0, 1], "replicate" if repeat else "constant")
    return x[..., :-1:2, :], x[..., 1::2, :]


def plain_synthesis(x: Tensor, size: tuple[int, int]) -> Tensor:
    """`ihaar2d` in torch's operators."""
    if not torch.jit.is_scripting():  # noqa: SIM102, in one condition TorchScript would compile the check
        if not _unknown_sizes():
            check_size(x, size)
    approximation, horizontal, vertical, diagonal = widened(x).chunk(4, 1)
    low_left, low_right = approximation + vertical, approximation - vertical
    high_left, high_right = horizontal + diagonal, horizontal - diagonal
    corners = [low_left + high_left, low_right + high_right, low_left - high_left, low_right - high_right]
    y = F.pixel_shuffle(torch.stack(corners, 2).flatten(1, 2) * 0.5, 2).to(x.dtype)
    return as_laid_out(crop(y, [size[0], size[1]]), x)


def plain_adjoint(x: Tensor, size: tuple[int, int], repeat: bool) -> Tensor:
    """Adjoint of `plain_analysis` of maps `(B, C, *size)`."""
    if not repeat:
        return plain_synthesis(x, size)
    y = plain_synthesis(widened(x), (2 * x.shape[2], 2 * x.shape[3]))
    if size[0] % 2 == 1:  # the gradient of a copy belongs to its sample
        y = torch.cat((y[..., :-2, :], y[..., -2:-1, :] + y[..., -1:, :]), -2)
    if size[1] % 2 == 1:
        y = torch.cat((y[..., :-2], y[..., -2:-1] + y[..., -1:]), -1)
    return as_laid_out(y.to(x.dtype), x)


def crop(x: Tensor, size: list[int]) -> Tensor:
    """The first `size` samples along the last axes of `(B, C, ...)`."""
    for axis in range(2, x.ndim):
        if _unknown_sizes():  # a slice would have to know that it ends inside
            x = x.index_select(axis, torch.arange(size[axis - 2], device=x.device))
        else:
            x = x.narrow(axis, 0, size[axis - 2])
    return x


def check_size(x: Tensor, size: tuple[int, int]) -> None:
    """Raise ValueError unless bands `x` are those of maps of this height and width."""
    if ((size[0] + 1) // 2, (size[1] + 1) // 2) != (x.shape[2], x.shape[3]):
        raise ValueError(
            f"bands of shape {tuple(x.shape)} belong to maps of height {2 * x.shape[2] - 1} or {2 * x.shape[2]} and "
            f"width {2 * x.shape[3] - 1} or {2 * x.shape[3]}, not {tuple(size)}"
        )


def channels_last(x: Tensor) -> bool:
    """Whether images `x` are channels last and not contiguous, too."""
    return x.ndim == 4 and x.stride(1) == 1 and x.stride(3) != 1


def as_laid_out(y: Tensor, x: Tensor) -> Tensor:
    """`y` in the memory format of `x`, both of as many axes."""
    return y.contiguous(memory_format=torch.channels_last) if channels_last(x) else y.contiguous()


def _may_be_odd(x: Tensor) -> bool:
    """Whether a side is odd, or unknown to whoever records the operations."""
    return _unknown_sizes() or x.shape[2] % 2 == 1 or x.shape[3] % 2 == 1


def _unknown_sizes() -> bool:
    """Whether somebody records the operations for inputs of other sizes."""
    if not torch.jit.is_scripting():
        return torch.jit.is_tracing() or is_exporting()
    return False
