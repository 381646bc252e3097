"""The operators of `ops.py` on CUDA devices: Haar levels of images in one Triton kernel, where they are asked for.

**Off unless asked for**, by `use_triton()` or the environment variable `WAVPOOL_TRITON=1`. On an H200 the kernels agree
with PyWavelets and take 1 to 1.2 times a copy of large images, more of small ones (docs/benchmarks_cuda.md); other
GPUs are untried. Without it CUDA tensors take the plain form, as do other filters, odd sides and signals with it: there
the operators, which have to return something, multiply by dense matrices.
"""

import importlib.util
import os
from collections.abc import Sequence

import torch
from torch import Tensor

from ..dwt import is_haar
from ..filters import FilterBank, from_key
from . import dense, ops

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def _installed() -> bool:
    return importlib.util.find_spec("triton") is not None


_asked = os.environ.get("WAVPOOL_TRITON") == "1" and _installed()


def use_triton(on: bool = True) -> None:
    """Let CUDA tensors take the Triton kernels from now on, or not.

    Raises:
        RuntimeError: Triton is not installed.
    """
    global _asked
    if on and not _installed():
        raise RuntimeError("Triton is not installed; pip install triton")
    _asked = on


def supports(size: Sequence[int], dtype: torch.dtype, level: int) -> bool:
    """Whether the kernels compute `level` Haar levels of images `(..., *size)`: two sides, multiples of `2**level`.

    >>> supports((512, 512), torch.float32, 9), supports((28, 28), torch.float32, 3)
    (True, False)
    """
    return (
        dtype in DTYPES
        and len(size) == 2
        and level >= 1
        and all(side % 2**level == 0 for side in size)
        and 0 < size[0] * size[1] < 2**31  # offsets in an image are 32-bit
    )


def usable(x: Tensor, bank: FilterBank, size: Sequence[int], level: int) -> bool:
    """Whether images `(..., *size)` take the kernels; `x` is one, or coefficients of its dtype and device."""
    return (
        _asked
        and x.device.type == "cuda"
        and is_haar(bank)
        and supports(size, x.dtype, level)
        and ops.operators_allowed()
    )


def analysis(x: Tensor, wavelet: str, mode: str, dual: bool, dims: int, level: int) -> Tensor:
    """`wavpool::dwt`."""
    # Analysis and synthesis filters of Haar are the same, and no mode extends an even length.
    bank = from_key(wavelet)
    if is_haar(bank) and supports(x.shape[-dims:], x.dtype, level):
        from . import triton_haar

        return triton_haar.analysis(x, level)
    return dense.analysis(x, bank, mode, dual, dims, level)


def adjoint(packed: Tensor, wavelet: str, mode: str, dual: bool, size: Sequence[int], level: int) -> Tensor:
    """`wavpool::dwt_adjoint`."""
    bank = from_key(wavelet)
    if is_haar(bank) and supports(size, packed.dtype, level):
        from . import triton_haar

        return triton_haar.adjoint(packed, (size[0], size[1]), level)
    return dense.adjoint(packed, bank, mode, dual, tuple(size), level)


torch.library.impl("wavpool::dwt", "CUDA", analysis)
torch.library.impl("wavpool::dwt_adjoint", "CUDA", adjoint)
