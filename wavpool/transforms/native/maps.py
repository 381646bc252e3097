"""How the kernels that sweep over 2 x 2 blocks take feature maps `(B, C, H, W)`."""

import ctypes
import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..haar_maps import channels_last
from . import build
from .ops import threads_for

SUFFIX = {torch.float32: "f32", torch.float64: "f64", torch.bfloat16: "bf16"}


class Shape(ctypes.Structure):
    """`shape_t` of `blocks.h`."""

    _fields_ = [(name, ctypes.c_int64) for name in ("batch", "channels", "height", "width")]
    _fields_ += [("stride", ctypes.c_int64 * 4), ("last", ctypes.c_int64), ("repeat", ctypes.c_int64)]


def half(size: Sequence[int]) -> tuple[int, int]:
    """Height and width of the bands of maps of this height and width."""
    return (size[0] + 1) // 2, (size[1] + 1) // 2


def empty(like: Tensor, channels: int, size: Sequence[int], dtype: torch.dtype | None = None) -> Tensor:
    """New maps `(B, channels, *size)` in the memory format of `like`."""
    shape = (like.shape[0], channels, *size)
    memory_format = torch.channels_last if channels_last(like) else torch.contiguous_format
    return torch.empty(shape, dtype=dtype or like.dtype, device=like.device, memory_format=memory_format)


def readable(x: Tensor) -> Tensor:
    """`x`, or a copy whose rows or whose channels are contiguous."""
    return x if x.stride(3) == 1 or x.stride(1) == 1 else x.contiguous()


def run(sources: build.Sources, name: str, full: Tensor, *others: Tensor | None, repeat: bool = True) -> None:
    """Sweep over the blocks of `full`, for which `readable` holds; `others` are without gaps, in its memory format."""
    batch, channels, height, width = full.shape
    last = channels_last(full)
    shape = Shape(batch, channels, height, width, (ctypes.c_int64 * 4)(*full.stride()), last, repeat)
    units = batch * ((height + 1) // 2 if last else channels)
    pointers = [ctypes.c_void_p(None if each is None else each.data_ptr()) for each in (full, *others)]
    kernel(sources, name, full.dtype)(*pointers, ctypes.byref(shape), threads_for(full.numel(), units))


@functools.cache
def kernel(sources: build.Sources, name: str, dtype: torch.dtype) -> Any:
    """A function of the compiled library: of pointers, then the shape and the number of threads."""
    loaded = build.library(sources)
    assert loaded is not None
    function = getattr(loaded, f"wavpool_{name}_{SUFFIX[dtype]}")
    function.restype = None
    return function
