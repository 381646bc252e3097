"""Tensors that depend on a length alone (matrices, twiddle factors), computed once for each dtype and device."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch
from torch import Tensor

from .tracing import constant_result

Builder = Callable[[int], Tensor]


def constant(build: Builder, n: int, like: Tensor) -> Tensor:
    """`build(n)` on the device and in the precision of `like`; the same tensor each time, so never write to it.

    Args:
        build: function of the package; makes a float64, complex128 or integer tensor of the length alone, on the CPU.
        n: the length, an integer known while tracing.
        like: real floating-point tensor. A complex constant takes the complex dtype of the same precision.
    """
    if torch.compiler.is_compiling() or type(like) in (Tensor, torch.nn.Parameter):
        shared: Tensor = _shared(build, n, like.dtype, like.device)
        return shared
    return _build(build, n, like.dtype, like.device)  # fake and functional tensors want constants of their own kind


def _build(build: Builder, n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    value = build(n)
    if value.is_complex():
        return value.to(device, dtype.to_complex())
    return value.to(device, dtype) if value.is_floating_point() else value.to(device)


@lru_cache(maxsize=256)
def _cached(build: Builder, n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    # Inference mode, default devices, fake and functional modes and functorch's levels belong to a thread: what is made
    # in a new one is a plain tensor that may be kept.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_build, build, n, dtype, device).result()


@constant_result
def _shared(build: Builder, n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """`_cached`, as a constant of the graph where one is being compiled."""
    return _cached(build, n, dtype, device)
