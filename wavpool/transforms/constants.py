"""Tensors that depend on sizes alone (matrices, twiddle factors), computed once for each dtype and device."""

from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from types import FunctionType
from typing import Any, TypeVar

import torch
from torch import Tensor

from .tracing import constant_result

Key = TypeVar("Key", bound=Hashable)
Builder = Callable[[int], Tensor]  # of a matrix of a length


def constant(build: Callable[[Key], Tensor], key: Key, like: Tensor) -> Tensor:
    """`build(key)` on the device and in the precision of `like`; the same tensor each time, so never write to it.

    Args:
        build: function of the package; makes a float64, complex128 or integer tensor of the key alone, on the CPU.
        key: the length or whatever else names the tensor, known while tracing.
        like: real floating-point tensor. A complex constant takes the complex dtype of the same precision.
    """
    if torch.compiler.is_compiling() or type(like) in (Tensor, torch.nn.Parameter):
        sought = build, key, like.dtype, like.device
        shared: Tensor = SHARED[_number(*sought)](*sought)
        return shared
    return _build(build, key, like.dtype, like.device)  # fake and functional tensors want constants of their own kind


def _build(build: Callable[[Any], Tensor], key: Hashable, dtype: torch.dtype, device: torch.device) -> Tensor:
    value = build(key)
    if value.is_complex():
        return value.to(device, dtype.to_complex())
    return value.to(device, dtype) if value.is_floating_point() else value.to(device)


@lru_cache(maxsize=256)
def _cached(build: Callable[[Any], Tensor], key: Hashable, dtype: torch.dtype, device: torch.device) -> Tensor:
    # Inference mode, default devices, fake and functional modes and functorch's levels belong to a thread: what is made
    # in a new one is a plain tensor that may be kept.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_build, build, key, dtype, device).result()


def _shared(build: Callable[[Any], Tensor], key: Hashable, dtype: torch.dtype, device: torch.device) -> Tensor:
    """`_cached`, as a constant of the graph where one is being compiled."""
    return _cached(build, key, dtype, device)


def _named(number: int) -> Callable[..., Tensor]:
    code = _shared.__code__.replace(co_name=f"_shared_{number}")
    return constant_result(FunctionType(code, globals()))


SHARED = tuple(_named(number) for number in range(256))
"""`_shared` under many names: torch 2.11 calls a graph's constants by the functions that made them, none twice."""
_numbers: dict[Any, int] = {}


@constant_result
def _number(*sought: Any) -> int:
    return _numbers.setdefault(sought, len(_numbers)) % len(SHARED)
