"""One Haar level of feature maps as torch operators, `wavpool::haar2d` and its adjoint `wavpool::haar2d_adjoint`.

Each is the other's derivative, so nothing is stored for the backward pass. The adjoint without `repeat` is the inverse.
"""

from typing import Any

import torch
from torch import Tensor

from ..haar_maps import as_laid_out, check_size, plain_adjoint, plain_analysis
from . import build, maps, ops

torch.library.define("wavpool::haar2d", "(Tensor x, bool repeat) -> Tensor")
torch.library.define("wavpool::haar2d_adjoint", "(Tensor bands, SymInt height, SymInt width, bool repeat) -> Tensor")


def usable(x: object) -> bool:
    """Whether the operators take maps or bands `x`."""
    return ops.usable(x, build.HAAR2D, maps.SUFFIX)


def analysis(x: Tensor, repeat: bool) -> Tensor:
    """`haar2d` of maps for which `usable` holds."""
    if ops.direct((x,), maps.SUFFIX):
        return _analysis(x, repeat)
    return analysis_op(x, repeat)  # type: ignore[no-any-return]


def adjoint(bands: Tensor, size: tuple[int, int], repeat: bool) -> Tensor:
    """Adjoint of `analysis` of maps of this height and width; without `repeat` also the inverse of either."""
    if ops.direct((bands,), maps.SUFFIX):
        return _adjoint(bands, *size, repeat)
    return adjoint_op(bands, *size, repeat)  # type: ignore[no-any-return]


def _analysis(x: Tensor, repeat: bool) -> Tensor:
    if build.library(build.HAAR2D) is None:
        return plain_analysis(x, repeat)
    x = maps.readable(x)
    y = _fake_analysis(x, repeat)
    maps.run(build.HAAR2D, "haar2d", x, y, repeat=repeat)
    return y


def _adjoint(bands: Tensor, height: int, width: int, repeat: bool) -> Tensor:
    if build.library(build.HAAR2D) is None:
        return plain_adjoint(bands, (height, width), repeat)
    check_size(bands, (height, width))
    x = _fake_adjoint(bands, height, width, repeat)
    maps.run(build.HAAR2D, "haar2d_adjoint", x, as_laid_out(bands, x), repeat=repeat)
    return x


def _fake_analysis(x: Tensor, repeat: bool) -> Tensor:
    return maps.empty(x, 4 * x.shape[1], maps.half(x.shape[2:]))


def _fake_adjoint(bands: Tensor, height: int, width: int, repeat: bool) -> Tensor:
    return maps.empty(bands, bands.shape[1] // 4, (height, width))


def _keep_analysis(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, ctx.repeat = inputs
    ctx.size = x.shape[2:]


def _analysis_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return adjoint_op(grad, *ctx.size, ctx.repeat), None


def _keep_adjoint(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.repeat = inputs[3]


def _adjoint_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return analysis_op(grad, ctx.repeat), None, None, None


def _vmap_analysis(info: Any, in_dims: Any, x: Tensor, *arguments: Any) -> tuple[Tensor, int]:
    x = x.movedim(in_dims[0], 0)
    return analysis_op(x.flatten(0, 1), *arguments).unflatten(0, x.shape[:2]), 0


def _vmap_adjoint(info: Any, in_dims: Any, bands: Tensor, *arguments: Any) -> tuple[Tensor, int]:
    bands = bands.movedim(in_dims[0], 0)
    return adjoint_op(bands.flatten(0, 1), *arguments).unflatten(0, bands.shape[:2]), 0


torch.library.impl("wavpool::haar2d", "CPU", _analysis)
torch.library.impl("wavpool::haar2d_adjoint", "CPU", _adjoint)
torch.library.register_fake("wavpool::haar2d", _fake_analysis)
torch.library.register_fake("wavpool::haar2d_adjoint", _fake_adjoint)
torch.library.register_autograd("wavpool::haar2d", _analysis_backward, setup_context=_keep_analysis)
torch.library.register_autograd("wavpool::haar2d_adjoint", _adjoint_backward, setup_context=_keep_adjoint)
torch.library.register_vmap("wavpool::haar2d", _vmap_analysis)
torch.library.register_vmap("wavpool::haar2d_adjoint", _vmap_adjoint)

analysis_op = torch.ops.wavpool.haar2d.default
adjoint_op = torch.ops.wavpool.haar2d_adjoint.default
