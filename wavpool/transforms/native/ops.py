"""The kernel as torch operators, `wavpool::dwt` and its adjoint `wavpool::dwt_adjoint`.

Each is the other's derivative, so nothing is stored for the backward pass. The inverse transform is the adjoint with
the synthesis filters (`dual`), which crops where analysis extends.
"""

import contextlib
import ctypes
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import forward_ad

from ..filters import from_key
from ..tracing import is_exporting
from . import dense
from .build import DWT, FORBIDDEN, Sources, library
from .plan import Plan, packed_length, plan

PARALLEL = 1 << 15  # samples that are worth waking a second thread for
SUFFIX = {torch.float32: "f32", torch.float64: "f64"}

_enabled = True


def usable(x: object, sources: Sources = DWT, suffix: Mapping[torch.dtype, str] = SUFFIX) -> bool:
    """Whether the kernel takes `x`: real numbers on a CPU, in a call for which `operators_allowed` holds.

    `sources` and the dtypes of `suffix` are those of the kernel.
    """
    return (
        isinstance(x, Tensor)  # torch.fx comes with what is none
        and x.device.type == "cpu"
        and x.dtype in suffix
        and x.layout == torch.strided
        and operators_allowed()
        # A compiler cannot look for the library; where there is none, the operator computes in torch's operators.
        and (not FORBIDDEN if torch.compiler.is_compiling() else library(sources) is not None)
    )


def operators_allowed() -> bool:
    """Whether this call may go through the operators: it is not being traced by TorchScript or exported.

    Forward-mode derivatives and torch.func.grad go through torch's own operators: an operator defined in Python has no
    rule for the one, and no nested rule for the other.
    """
    if not _enabled or forward_ad._current_level >= 0 or torch.jit.is_tracing():
        return False
    if torch.compiler.is_compiling():
        return not is_exporting()
    if not torch._C._are_functorch_transforms_active():
        return True
    functorch = torch._C._functorch
    return all(level.key() == functorch.TransformType.Vmap for level in functorch.get_interpreter_stack())


def direct(tensors: Sequence[Tensor], suffix: Mapping[torch.dtype, str] = SUFFIX) -> bool:
    """Whether a kernel may be called on `tensors` without torch's dispatcher, which costs more than a small transform.

    Nothing may watch: no derivatives, no compiler, no `vmap`, no mode such as `FakeTensorMode`; and memory must hold
    the numbers themselves, not their negatives, as it does for imaginary parts of conjugates.
    """
    first = tensors[0]
    return (
        not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
        and torch._C._len_torch_dispatch_stack() == 0
        and first.dtype in suffix
        and all(type(tensor) is Tensor and tensor.device.type == "cpu" and not tensor.is_neg() for tensor in tensors)
        and not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors))
    )


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


def _dwt(x: Tensor, wavelet: str, mode: str, dual: bool, dims: int, level: int) -> Tensor:
    if library() is None:
        return dense.analysis(x, from_key(wavelet), mode, dual, dims, level)
    x, distance, row = _images(x, dims, spaced_rows=True)
    steps = plan(wavelet, mode, dual, tuple(x.shape[-dims:]), level)
    out = x.new_empty((*x.shape[:-dims], steps.total))
    _call("analysis", x, out.data_ptr(), x.data_ptr(), x.numel() // steps.area, distance, row, steps)
    return out


def _dwt_adjoint(packed: Tensor, wavelet: str, mode: str, dual: bool, size: Sequence[int], level: int) -> Tensor:
    if library() is None:
        return dense.adjoint(packed, from_key(wavelet), mode, dual, tuple(size), level)
    packed = packed.contiguous()
    steps = plan(wavelet, mode, dual, tuple(size), level)
    pointers = steps.offsets * packed.element_size() + packed.data_ptr()
    return _from_pointers(packed, packed.shape[:-1], pointers, steps.strides, size, steps)


def from_bands(bands: Sequence[Tensor], wavelet: str, mode: str, dual: bool, size: Sequence[int], level: int) -> Tensor:
    """`wavpool::dwt_adjoint` of bands that lie anywhere, in the order of the packed coefficients.

    Eager calls without derivatives read them where they are, views of packed coefficients too; all others pack them
    first.
    """
    first, dims = bands[0], len(size)
    if not direct(bands) or library() is None:
        packed = torch.cat([band.flatten(-dims) for band in bands], -1)
        return adjoint_op(packed, wavelet, mode, dual, size, level)  # type: ignore[no-any-return]
    steps = plan(wavelet, mode, dual, tuple(size), level)
    distances = steps.areas
    if not all(band.is_contiguous() for band in bands):
        bands, each, _ = zip(*[_images(band, dims) for band in bands], strict=True)
        distances = np.array(each, dtype=np.int64)
    pointers = np.array([band.data_ptr() for band in bands], dtype=np.int64)
    return _from_pointers(first, first.shape[:-dims], pointers, distances, size, steps)


def _images(x: Tensor, dims: int, spaced_rows: bool = False) -> tuple[Tensor, int, int]:
    """What a kernel reads of `x`, or of a copy: images evenly spaced, their rows next to each other or evenly spaced.

    Returns:
        the tensor, and how far apart its images and its rows are, in numbers.
    """
    width = x.shape[-1]
    if not x.is_contiguous():
        distances = _distances(x, dims)
        if distances is not None and (spaced_rows or distances[1] == width):
            return x, *distances
        x = x.contiguous()
    return x, math.prod(x.shape[-dims:]), width


def _distances(x: Tensor, dims: int) -> tuple[int, int] | None:
    """Those of images and of rows; None where a row is not contiguous, or images are not evenly spaced."""
    strides = x.stride()
    if strides[-1] != 1:
        return None
    distance: int | None = None
    reach = 0
    for axis in reversed(range(x.ndim - dims)):
        if x.shape[axis] == 1:
            continue
        if distance is None:
            distance = reach = strides[axis]
        if strides[axis] != reach:
            return None
        reach *= x.shape[axis]
    return distance or 0, strides[-2] if dims == 2 else x.shape[-1]


def _from_pointers(
    like: Tensor, batch: Sequence[int], pointers: NDArray[np.int64], strides: NDArray[np.int64], size: Sequence[int],
    steps: Plan,
) -> Tensor:  # fmt: skip
    x = like.new_empty((*batch, *size))
    count = math.prod(batch)
    _call("adjoint", x, x.data_ptr(), pointers.ctypes.data, strides.ctypes.data, count, steps.area, steps)
    return x


def _call(name: str, x: Tensor, first: int, second: int, *arguments: Any) -> None:
    """Run a kernel on images `x`; the last of `arguments` is the plan."""
    *numbers, steps = arguments
    threads = threads_for(x.numel(), x.numel() // steps.area)
    if _kernels()[name, x.dtype](first, second, *numbers, steps.address, threads):
        raise MemoryError("no memory for the work space of a wavelet transform")


def threads_for(numbers: int, images: int) -> int:
    """Threads for `images` that are independent, of `numbers` in all."""
    return max(1, min(torch.get_num_threads(), images)) if numbers >= PARALLEL else 1


@functools.cache
def _kernels() -> dict[tuple[str, torch.dtype], Any]:
    loaded = library()
    assert loaded is not None
    kernels = {}
    for name in ("analysis", "adjoint"):
        for dtype, suffix in SUFFIX.items():
            kernel = getattr(loaded, f"wavpool_{name}_{suffix}")
            third = ctypes.c_int64 if name == "analysis" else ctypes.c_void_p
            kernel.argtypes = [ctypes.c_void_p] * 2 + [third] + [ctypes.c_int64] * 2 + [ctypes.c_void_p, ctypes.c_int]
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


torch.library.impl("wavpool::dwt", "CPU", _dwt)
torch.library.impl("wavpool::dwt_adjoint", "CPU", _dwt_adjoint)
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
    if direct((x,)):
        return _dwt(x, wavelet, mode, False, dims, level)
    return analysis_op(x, wavelet, mode, False, dims, level)  # type: ignore[no-any-return]


def synthesis(packed: Tensor, wavelet: str, mode: str, size: Sequence[int], level: int) -> Tensor:
    """Inverse of `analysis`: `(..., N)` to `(..., *size)`."""
    return adjoint_op(packed, wavelet, mode, True, size, level)  # type: ignore[no-any-return]
