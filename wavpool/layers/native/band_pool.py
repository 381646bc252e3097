"""Pooling of Haar bands over 2 x 2 blocks as torch operators, with fused backward passes."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...transforms.arguments import precision
from ...transforms.haar_maps import as_laid_out, channels_last, row_pairs
from ...transforms.native import build, maps, ops
from ...transforms.tracing import constant_result
from ..band_pooling import plain_moduli

HERE = Path(__file__).parent
SOURCES = (HERE / "band_pool.c", HERE / "band_pool_real.h", *build.BLOCKS)


@constant_result
def _available() -> bool:
    """A compiler takes the answer for a constant, so that what it compiles needs no other form."""
    return build.library(SOURCES) is not None


def usable(x: object) -> bool:
    """Whether the operators pool maps `x`."""
    if not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active():
        return False
    return ops.usable(x, SOURCES, maps.SUFFIX) and _available()


def max2x2(x: Tensor) -> Tensor:
    """2 x 2 maxima of maps for which `usable` holds."""
    if ops.direct((x,), maps.SUFFIX):
        return _max(x)
    return torch.ops.wavpool.max2x2.default(x)  # type: ignore[no-any-return]


def average2x2(x: Tensor) -> Tensor:
    """2 x 2 averages of maps for which `usable` holds."""
    if ops.direct((x,), maps.SUFFIX):
        return _average(x)
    return torch.ops.wavpool.average2x2.default(x)  # type: ignore[no-any-return]


def moduli2x2(x: Tensor, weight: Tensor) -> Tensor:
    """Moduli of the bands of maps for which `usable` holds, weighted by `(4, C)`."""
    weight = weight.to(precision(x.dtype))
    if ops.direct((x, weight), maps.SUFFIX):
        return _moduli(x, weight)
    return torch.ops.wavpool.moduli2x2.default(x, weight)  # type: ignore[no-any-return]


def _need_library() -> None:
    if build.library(SOURCES) is None:
        raise RuntimeError(f"the pooling of wavelet bands has no kernel here: {build.status(SOURCES)}")


def _pooled(x: Tensor) -> Tensor:
    return maps.empty(x, x.shape[1], maps.half(x.shape[2:]))


def _max(x: Tensor) -> Tensor:
    _need_library()
    x = maps.readable(x)
    y = _pooled(x)
    maps.run(SOURCES, "max2x2", x, y)
    return y


def _fake_max_backward(grad: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return maps.empty(x, x.shape[1], x.shape[2:])


def _max_backward(grad: Tensor, x: Tensor, y: Tensor) -> Tensor:
    full = _fake_max_backward(grad, x, y)
    maps.run(SOURCES, "max2x2_backward", full, *(as_laid_out(each, full) for each in (grad, x, y)))
    return full


def _average(x: Tensor) -> Tensor:
    _need_library()
    x = maps.readable(x)
    y = _pooled(x)
    maps.run(SOURCES, "average2x2", x, y)
    return y


def _fake_average_backward(grad: Tensor, height: int, width: int) -> Tensor:
    return maps.empty(grad, grad.shape[1], (height, width))


def _average_backward(grad: Tensor, height: int, width: int) -> Tensor:
    x = _fake_average_backward(grad, height, width)
    maps.run(SOURCES, "average2x2_backward", x, as_laid_out(grad, x))
    return x


def _moduli(x: Tensor, weight: Tensor) -> Tensor:
    _need_library()
    x = maps.readable(x)
    y = _pooled(x)
    maps.run(SOURCES, "moduli2x2", x, y, weight.contiguous())
    return y


def _fake_moduli(x: Tensor, weight: Tensor) -> Tensor:
    return _pooled(x)


def _fake_moduli_backward(grad: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return maps.empty(x, x.shape[1], x.shape[2:]), torch.empty_like(weight, memory_format=torch.contiguous_format)


def _moduli_backward(grad: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    batch, channels, height, _ = x.shape
    full = _fake_moduli_backward(grad, x, weight)[0]
    units = (batch * ((height + 1) // 2), 4, channels) if channels_last(full) else (batch, channels, 4)
    partial = weight.new_zeros(units)
    others = as_laid_out(grad, full), weight.contiguous(), as_laid_out(x, full), partial
    maps.run(SOURCES, "moduli2x2_backward", full, *others)
    total = partial.sum(0)
    return full, total if channels_last(full) else total.t().contiguous()


torch.library.define("wavpool::max2x2", "(Tensor x) -> Tensor")
torch.library.define("wavpool::max2x2_backward", "(Tensor grad, Tensor x, Tensor y) -> Tensor")
torch.library.define("wavpool::average2x2", "(Tensor x) -> Tensor")
torch.library.define("wavpool::average2x2_backward", "(Tensor grad, SymInt height, SymInt width) -> Tensor")
torch.library.define("wavpool::moduli2x2", "(Tensor x, Tensor weight) -> Tensor")
torch.library.define("wavpool::moduli2x2_backward", "(Tensor grad, Tensor x, Tensor weight) -> (Tensor, Tensor)")
for name, kernel, fake in (
    ("max2x2", _max, _pooled),
    ("max2x2_backward", _max_backward, _fake_max_backward),
    ("average2x2", _average, _pooled),
    ("average2x2_backward", _average_backward, _fake_average_backward),
    ("moduli2x2", _moduli, _fake_moduli),
    ("moduli2x2_backward", _moduli_backward, _fake_moduli_backward),
):
    torch.library.impl(f"wavpool::{name}", "CPU", kernel)
    torch.library.register_fake(f"wavpool::{name}", fake)


def _keep_max(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs, output)


def _max_gradient(ctx: Any, grad: Tensor) -> Tensor:
    return torch.ops.wavpool.max2x2_backward.default(grad, *ctx.saved_tensors)  # type: ignore[no-any-return]


def _keep_max_backward(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[1:])


def _max_second_gradient(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    """The adjoint of a selection, in torch's operators, so of any order."""
    x, y = ctx.saved_tensors
    total, open_ = torch.zeros_like(y), torch.ones_like(y, dtype=torch.bool)
    for samples, gradients in zip(row_pairs(x, True), row_pairs(grad, True), strict=True):
        for columns in (slice(0, -1, 2), slice(1, None, 2)):
            won = open_ & (samples[..., columns] == y)
            total = total + gradients[..., columns] * won
            open_ = open_ & ~won
    return total, None, None


def _keep_size(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
    ctx.size = inputs[0].shape[2:]


def _average_gradient(ctx: Any, grad: Tensor) -> Tensor:
    return torch.ops.wavpool.average2x2_backward.default(grad, *ctx.size)  # type: ignore[no-any-return]


def _keep_nothing(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    pass


def _average_second_gradient(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return torch.ops.wavpool.average2x2.default(grad), None, None


def _keep_moduli(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _moduli_gradient(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
    x, weight = ctx.saved_tensors
    if torch.is_grad_enabled():  # for derivatives of this one
        return torch.autograd.grad(plain_moduli(x, weight), (x, weight), grad, create_graph=True)
    return torch.ops.wavpool.moduli2x2_backward.default(grad, x, weight)  # type: ignore[no-any-return]


for name, gradient, keep in (
    ("max2x2", _max_gradient, _keep_max),
    ("max2x2_backward", _max_second_gradient, _keep_max_backward),
    ("average2x2", _average_gradient, _keep_size),
    ("average2x2_backward", _average_second_gradient, _keep_nothing),
    ("moduli2x2", _moduli_gradient, _keep_moduli),
):
    torch.library.register_autograd(f"wavpool::{name}", gradient, setup_context=keep)
