"""One level of the 2-D Haar transform of feature maps, with the bands as blocks of channels.

Source: as `haar.py`; signs and order of the bands are those of PyWavelets' `dwt2`.
"""

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

from .arguments import check_floating
from .haar_maps import plain_analysis, plain_synthesis
from .native import haar2d as native


def haar2d(x: Tensor, repeat: bool = True) -> Tensor:
    """Transform feature maps into four bands of half the size, as four blocks of channels.

    Args:
        x: `(B, C, H, W)`, floating point, any device and memory format; half precisions are summed in float32.
        repeat: extend an odd length by its last sample (modes `symmetric` and `periodization`); otherwise by a zero.

    Returns:
        `(B, 4 C, ceil(H / 2), ceil(W / 2))` in the dtype and memory format of `x`: `torch.cat([LL, H, V, D], 1)`.

    Raises:
        TypeError: `x` is not a floating-point tensor.
        ValueError: `x` does not have four axes.

    >>> haar2d(torch.ones(1, 3, 5, 4))[0, :, 0, 0]
    tensor([2., 2., 2., 0., 0., 0., 0., 0., 0., 0., 0., 0.])
    """
    if not torch.jit.is_scripting():
        if has_torch_function((x,)):
            return handle_torch_function(haar2d, (x,), x, repeat)
        _check(x, 1)
        if native.usable(x):
            return native.analysis(x, repeat)
    return plain_analysis(x, repeat)


def ihaar2d(x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
    """Invert `haar2d`, whichever way it extended odd lengths.

    Args:
        x: `(B, 4 C, h, w)`: the blocks `[LL, H, V, D]` of channels.
        size: `(H, W)` of the original; `None` takes `(2 h, 2 w)`.

    Returns:
        `(B, C, H, W)` in the dtype and memory format of `x`.

    Raises:
        TypeError: `x` is not a floating-point tensor.
        ValueError: `x` does not have four axes and a multiple of four channels, or `size` does not belong to it.

    >>> maps = torch.rand(2, 3, 5, 4)
    >>> torch.allclose(ihaar2d(haar2d(maps), (5, 4)), maps, atol=1e-6)
    True
    """
    if not torch.jit.is_scripting():
        if has_torch_function((x,)):
            return handle_torch_function(ihaar2d, (x,), x, size)
        _check(x, 4)
    if size is None:
        size = (2 * x.shape[2], 2 * x.shape[3])
    if not torch.jit.is_scripting():  # noqa: SIM102
        if native.usable(x):
            return native.adjoint(x, (size[0], size[1]), False)
    return plain_synthesis(x, size)


def _check(x: Tensor, bands: int) -> None:
    check_floating(x)
    if x.ndim != 4 or x.shape[1] % bands != 0:
        channels = "C" if bands == 1 else f"{bands} C"
        raise ValueError(f"feature maps must be (B, {channels}, H, W), got shape {tuple(x.shape)}")
