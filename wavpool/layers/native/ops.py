"""The pooling kernel as torch operators, `wavpool::pool` and its adjoint `wavpool::pool_backward`."""

import ctypes
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import has_torch_function

from ...transforms.native import build
from ...transforms.native.ops import SUFFIX, direct, operators_allowed, threads_for
from ...transforms.tracing import constant_result
from .plan import Geometry, Plan, plan

SOURCES = (Path(__file__).with_name("pool.c"), Path(__file__).with_name("pool_real.h"))


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernel, `None` where there is none."""
    return build.library(SOURCES)


def status() -> str:
    """Path of the compiled kernel, or why there is none."""
    return build.status(SOURCES)


@constant_result
def _available() -> bool:
    """A compiler takes the answer for a constant, so that what it compiles needs no other form."""
    return library() is not None


@constant_result
def _fits(geometry: Geometry) -> bool:
    return plan(*geometry).fits


def usable(responses: Sequence[Tensor], geometry: Geometry) -> bool:
    """Whether the kernel pools `responses`: real numbers on a CPU, of the shapes expected."""
    if not operators_allowed() or has_torch_function(responses):  # such as torch.fx's proxies
        return False
    if torch.compiler.is_compiling():
        if not torch.is_grad_enabled():  # a compiler fuses the plain form, and operators in Python cost it more
            return False
    elif torch._C._are_functorch_transforms_active():
        return False
    first, levels = responses[0], len(geometry.hidden)
    dtype = first.dtype
    if dtype not in SUFFIX or len(responses) < levels or first.ndim != 3 or first.shape[1] < geometry.bands:
        return False
    batch, given = first.shape[:2]
    for response, hidden in zip(responses[:levels], geometry.hidden, strict=True):
        if response.device.type != "cpu" or response.dtype != dtype or response.shape != (batch, given, hidden):
            return False
    available: bool = _available() and _fits(geometry)
    return available


def pool(responses: list[Tensor], geometry: Geometry) -> Tensor:
    """Pool the levels of `geometry`, for which `usable` holds: `(B, features)`."""
    responses = responses[: len(geometry.hidden)]
    if direct(responses):
        return _pool(responses, plan(*geometry), None)
    return pool_op(responses, *geometry)[0]  # type: ignore[no-any-return]


ARGUMENTS = "int[] hidden, int[] widths, int bands, int[] kernel, bool ceil_mode"
torch.library.define("wavpool::pool", f"(Tensor[] responses, {ARGUMENTS}) -> (Tensor, Tensor)")
torch.library.define("wavpool::pool_backward", f"(Tensor grad, Tensor arg, int given, {ARGUMENTS}) -> Tensor[]")


def _plan(hidden: list[int], widths: list[int], bands: int, kernel: list[int], ceil_mode: bool) -> Plan:
    a, b, c = kernel
    return plan(tuple(hidden), tuple(widths), bands, (a, b, c), ceil_mode)


def _pool(responses: list[Tensor], steps: Plan, arg: Tensor | None) -> Tensor:
    responses = [x if x.stride(2) == 1 else x.contiguous() for x in responses]
    out = responses[0].new_empty((responses[0].shape[0], steps.features))
    _call(out, arg, responses, steps, False)
    return out


def _pool_cpu(responses: list[Tensor], *arguments: Any) -> tuple[Tensor, Tensor]:
    steps = _plan(*arguments)
    arg = torch.empty((responses[0].shape[0], steps.features), dtype=torch.uint8)
    return _pool(responses, steps, arg), arg


def _backward_cpu(grad: Tensor, arg: Tensor, given: int, *arguments: Any) -> list[Tensor]:
    steps = _plan(*arguments)
    gradients = _empty_gradients(grad, given, *arguments)
    if given > steps.geometry.bands:
        for gradient in gradients:
            gradient[:, steps.geometry.bands :] = 0
    _call(grad.contiguous(), arg.contiguous(), gradients, steps, True)
    return gradients


def _call(features: Tensor, arg: Tensor | None, levels: list[Tensor], steps: Plan, adjoint: bool) -> None:
    places: list[int] = []
    for x in levels:
        stride = x.stride()
        places += (x.data_ptr(), stride[0], stride[1])
    batch = features.shape[0]
    _kernels()[features.dtype](
        features.data_ptr(),
        None if arg is None else arg.data_ptr(),
        steps.places(*places),
        steps.address,
        batch,
        adjoint,
        threads_for(batch * steps.features, batch),
    )


@functools.cache
def _kernels() -> dict[torch.dtype, Any]:
    loaded = library()
    if loaded is None:
        raise RuntimeError(f"wavpool::pool has no kernel here: {status()}")
    kernels = {}
    for dtype, suffix in SUFFIX.items():
        kernel = getattr(loaded, f"wavpool_pool_{suffix}")
        kernel.argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_int64, ctypes.c_int, ctypes.c_int]
        kernel.restype = None
        kernels[dtype] = kernel
    return kernels


def _fake_pool(responses: list[Tensor], *arguments: Any) -> tuple[Tensor, Tensor]:
    out = responses[0].new_empty((responses[0].shape[0], _plan(*arguments).features))
    return out, out.new_empty(out.shape, dtype=torch.uint8)


def _empty_gradients(grad: Tensor, given: int, hidden: list[int], *_: Any) -> list[Tensor]:
    """In the layout of `BandLinear`'s products: bands outermost."""
    return [grad.new_empty((given, grad.shape[0], units)).transpose(0, 1) for units in hidden]


def _fake_backward(grad: Tensor, arg: Tensor, given: int, *arguments: Any) -> list[Tensor]:
    return _empty_gradients(grad, given, *arguments)


def _keep_pool(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    responses, *arguments = inputs
    ctx.save_for_backward(output[1])
    ctx.mark_non_differentiable(output[1])
    ctx.arguments = (responses[0].shape[1], *arguments)


def _pool_backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Any, ...]:
    return backward_op(grad, ctx.saved_tensors[0], *ctx.arguments), None, None, None, None, None


def _keep_backward(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    _, arg, given, *arguments = inputs
    ctx.save_for_backward(arg)
    ctx.given, ctx.arguments = given, arguments


def _double_backward(ctx: Any, grads: list[Tensor]) -> tuple[Any, ...]:
    """The adjoint of a selection: every output is given what its winner is. In torch's operators, so of any order."""
    (arg,) = ctx.saved_tensors
    steps = _plan(*ctx.arguments)
    total = grads[0].new_zeros(arg.shape)
    for level, grad in enumerate(grads):
        output, code = steps.winners(level, ctx.given, arg.device)
        won = arg[:, output.flatten()] == code.flatten()
        total = total.index_add(1, output.flatten(), grad.flatten(1) * won)
    return total, None, None, None, None, None, None, None


torch.library.impl("wavpool::pool", "CPU", _pool_cpu)
torch.library.impl("wavpool::pool_backward", "CPU", _backward_cpu)
torch.library.register_fake("wavpool::pool", _fake_pool)
torch.library.register_fake("wavpool::pool_backward", _fake_backward)
torch.library.register_autograd("wavpool::pool", _pool_backward, setup_context=_keep_pool)
torch.library.register_autograd("wavpool::pool_backward", _double_backward, setup_context=_keep_backward)

pool_op = torch.ops.wavpool.pool.default
backward_op = torch.ops.wavpool.pool_backward.default
