"""One level of the 2-D Haar transform of feature maps, with the bands as blocks of channels.

Source: as `haar.py`; signs and order of the bands are those of PyWavelets' `dwt2`.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import handle_torch_function, has_torch_function

from .arguments import widened
from .haar import haar_synthesis_step
from .tracing import is_exporting


def haar2d(x: Tensor, repeat: bool = True) -> Tensor:
    """Transform feature maps into four bands of half the size, as four blocks of channels.

    Args:
        x: `(B, C, H, W)`, floating point, any device and memory format; half precisions are summed in float32.
        repeat: extend an odd length by its last sample (modes `symmetric` and `periodization`); otherwise by a zero.

    Returns:
        `(B, 4 C, ceil(H / 2), ceil(W / 2))` in the dtype and memory format of `x`: `torch.cat([LL, H, V, D], 1)`.

    >>> haar2d(torch.ones(1, 3, 5, 4))[0, :, 0, 0]
    tensor([2., 2., 2., 0., 0., 0., 0., 0., 0., 0., 0., 0.])
    """
    if not torch.jit.is_scripting():  # noqa: SIM102, in one condition TorchScript would compile the call
        if has_torch_function((x,)):
            return handle_torch_function(haar2d, (x,), x, repeat)  # type: ignore[no-any-return]
    return plain_analysis(x, repeat)


def ihaar2d(x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
    """Invert `haar2d`, whichever way it extended odd lengths.

    Args:
        x: `(B, 4 C, h, w)`: the blocks `[LL, H, V, D]` of channels.
        size: `(H, W)` of the original; `None` takes `(2 h, 2 w)`.

    Returns:
        `(B, C, H, W)` in the dtype and memory format of `x`.

    >>> maps = torch.rand(2, 3, 5, 4)
    >>> torch.allclose(ihaar2d(haar2d(maps), (5, 4)), maps, atol=1e-6)
    True
    """
    if not torch.jit.is_scripting():  # noqa: SIM102, in one condition TorchScript would compile the call
        if has_torch_function((x,)):
            return handle_torch_function(ihaar2d, (x,), x, size)  # type: ignore[no-any-return]
    if size is None:
        size = (2 * x.shape[2], 2 * x.shape[3])
    return plain_synthesis(x, size)


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
    approximation, horizontal, vertical, diagonal = widened(x).chunk(4, 1)
    y = haar_synthesis_step(approximation, horizontal, vertical, diagonal, size).to(x.dtype)
    return as_laid_out(y, x)


def _may_be_odd(x: Tensor) -> bool:
    """Whether a side is odd, or unknown to whoever records the operations."""
    if not torch.jit.is_scripting():  # noqa: SIM102
        if torch.jit.is_tracing() or is_exporting():
            return True
    return x.shape[2] % 2 == 1 or x.shape[3] % 2 == 1


def as_laid_out(y: Tensor, x: Tensor) -> Tensor:
    """`y` in the memory format of `x`, both of four axes."""
    if x.stride(1) == 1 and x.stride(3) != 1:
        return y.contiguous(memory_format=torch.channels_last)
    return y.contiguous()
