"""The kernel as torch operators, `wavpool::dwt` and its adjoint `wavpool::dwt_adjoint`.

Each is the other's derivative, so nothing is stored for the backward pass. The inverse transform is the adjoint with
the synthesis filters (`dual`), which crops where analysis extends.
"""

import contextlib
import ctypes
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ..filters import from_key
from . import dense
from .build import library
from .plan import Plan, packed_length, plan

PARALLEL = 1 << 15  # samples that are worth waking a second thread for
SUFFIX = {torch.float32: "f32", torch.float64: "f64"}

_enabled = True


def usable(x: Tensor) -> bool:
    """Whether the kernel takes `x`: real numbers on a CPU, in a call for which `operators_allowed` holds."""
    return (
        x.device.type == "cpu"
        and x.dtype in SUFFIX
        and operators_allowed()
        # A compiler cannot look for the library; where there is none, the operator computes with dense matrices.
        and (torch.compiler.is_compiling() or library() is not None)
    )


def operators_allowed() -> bool:
    """Whether this call may go through the operators: it is not being traced by TorchScript or exported.

    Forward-mode derivatives and torch.func.grad go through torch's own operators: an operator defined in Python has no
    rule for the one, and no nested rule for the other.
    """
    if not _enabled or forward_ad._current_level >= 0 or torch.jit.is_tracing():
        return False
    if torch.compiler.is_compiling():
        return not torch.compiler.is_exporting()
    if not torch._C._are_functorch_transforms_active():
        return True
    functorch = torch._C._functorch
    return all(level.key() == functorch.TransformType.Vmap for level in functorch.get_interpreter_stack())


@contextlib.contextmanager
def disabled() -> Iterator[None]:
    """Compute with torch's own operators inside this context, to compare the two."""
    global _enabled
    before, _enabled = _enabled, False
    try:
        yield
    finally:
        _enabled = before


torch.library.define("wavpool::dwt", "(Tensor x, str wavelet, str mode, bool dual, int dims, int level) -> Tensor")
torch.library.define(
    "wavpool::dwt_adjoint", "(Tensor packed, str wavelet, str mode, bool dual, SymInt[] size, int level) -> Tensor"
)


@torch.library.impl("wavpool::dwt", "CPU")
def _dwt(x: Tensor, wavelet: str, mode: str, dual: bool, dims: int, level: int) -> Tensor:
    if library() is None:
        return dense.analysis(x, from_key(wavelet), mode, dual, dims, level)
    x = x.contiguous()
    steps = plan(wavelet, mode, dual, tuple(x.shape[-dims:]), level)
    out = x.new_empty((*x.shape[:-dims], steps.total))
    _call("analysis", out, x, x.numel() // steps.area, steps.area, x.shape[-1], steps)
    return out


@torch.library.impl("wavpool::dwt_adjoint", "CPU")
def _dwt_adjoint(packed: Tensor, wavelet: str, mode: str, dual: bool, size: Sequence[int], level: int) -> Tensor:
    if library() is None:
        return dense.adjoint(packed, from_key(wavelet), mode, dual, tuple(size), level)
    packed = packed.contiguous()
    steps = plan(wavelet, mode, dual, tuple(size), level)
    x = packed.new_empty((*packed.shape[:-1], *size))
    _call("adjoint", x, packed, packed.numel() // steps.total, steps.area, steps.total, steps)
    return x


def _call(name: str, out: Tensor, source: Tensor, count: int, stride: int, other_stride: int, steps: Plan) -> None:
    kernel = _kernels()[name, out.dtype]
    threads = max(1, min(torch.get_num_threads(), count)) if source.numel() >= PARALLEL else 1
    if kernel(out.data_ptr(), source.data_ptr(), count, stride, other_stride, steps.address, threads):
        raise MemoryError("no memory for the work space of a wavelet transform")


@functools.cache
def _kernels() -> dict[tuple[str, torch.dtype], Any]:
    loaded = library()
    assert loaded is not None
    kernels = {}
    for name in ("analysis", "adjoint"):
        for dtype, suffix in SUFFIX.items():
            kernel = getattr(loaded, f"wavpool_{name}_{suffix}")
            kernel.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_int64] * 3 + [ctypes.c_void_p, ctypes.c_int]
            kernel.restype = ctypes.c_int
            kernels[name, dtype] = kernel
    return kernels


def _fake_dwt(x: Tensor, wavelet: str, mode: str, dual: bool, dims: int, level: int) -> Tensor:
    total = packed_length(x.shape[-dims:], from_key(wavelet).length, mode, level)
    return x.new_empty((*x.shape[:-dims], total))


def _fake_dwt_adjoint(packed: Tensor, wavelet: str, mode: str, dual: bool, size: Sequence[int], level: int) -> Tensor:
    return packed.new_empty((*packed.shape[:-1], *size))


def _keep_analysis(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, wavelet, mode, dual, dims, level = inputs
    ctx.arguments = (wavelet, mode, dual, x.shape[-dims:], level)


def _analysis_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return adjoint_op(grad, *ctx.arguments), None, None, None, None, None


def _keep_adjoint(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, wavelet, mode, dual, size, level = inputs
    ctx.arguments = (wavelet, mode, dual, len(size), level)


def _adjoint_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return analysis_op(grad, *ctx.arguments), None, None, None, None, None


def _vmap_dwt(info: Any, in_dims: Any, x: Tensor, *arguments: Any) -> tuple[Tensor, int]:
    return analysis_op(x.movedim(in_dims[0], 0), *arguments), 0


def _vmap_dwt_adjoint(info: Any, in_dims: Any, packed: Tensor, *arguments: Any) -> tuple[Tensor, int]:
    return adjoint_op(packed.movedim(in_dims[0], 0), *arguments), 0


torch.library.register_fake("wavpool::dwt", _fake_dwt)
torch.library.register_fake("wavpool::dwt_adjoint", _fake_dwt_adjoint)
torch.library.register_autograd("wavpool::dwt", _analysis_backward, setup_context=_keep_analysis)
torch.library.register_autograd("wavpool::dwt_adjoint", _adjoint_backward, setup_context=_keep_adjoint)
torch.library.register_vmap("wavpool::dwt", _vmap_dwt)
torch.library.register_vmap("wavpool::dwt_adjoint", _vmap_dwt_adjoint)

analysis_op = torch.ops.wavpool.dwt.default
adjoint_op = torch.ops.wavpool.dwt_adjoint.default


def analysis(x: Tensor, wavelet: str, mode: str, dims: int, level: int) -> Tensor:
    """All `level >= 1` levels over the last `dims` (1 or 2) axes.

    Args:
        x: `(..., H, W)` or `(..., W)` for which `usable` holds.
        wavelet: the `key` of a `FilterBank`.

    Returns:
        `(..., N)`: the bands one after the other, `[A, coarsest (H, V, D), ..., finest (H, V, D)]`.
    """
    return analysis_op(x, wavelet, mode, False, dims, level)  # type: ignore[no-any-return]


def synthesis(packed: Tensor, wavelet: str, mode: str, size: Sequence[int], level: int) -> Tensor:
    """Inverse of `analysis`: `(..., N)` to `(..., *size)`."""
    return adjoint_op(packed, wavelet, mode, True, size, level)  # type: ignore[no-any-return]
