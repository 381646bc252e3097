"""Checks that the transforms share, and the precision in which they compute."""

import numbers
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .tracing import constant_result

HALF = (torch.float16, torch.bfloat16)


def check_floating(x: Tensor) -> None:
    """Raise TypeError, which names the remedy, unless `x` is a real floating-point tensor of 16 bits or more."""
    check_tensors((x,), "x")
    if x.is_complex():
        raise TypeError(f"x must be a floating-point tensor, got {x.dtype}; transform x.real and x.imag apart")
    if not x.is_floating_point() or x.dtype.itemsize == 1:
        least = " of 16 bits or more" if x.is_floating_point() else ""
        raise TypeError(f"x must be a floating-point tensor{least}, got {x.dtype}; convert it with x.float()")


def check_tensors(values: Iterable[Any], name: str) -> None:
    """Raise TypeError, which names the remedy, unless all `values` are tensors."""
    for value in values:
        if not isinstance(value, Tensor):
            remedy = f"convert it with torch.as_tensor({name})"
            if value is None:
                remedy = "take torch.zeros_like of another band for one that is left out"
            raise TypeError(f"{name} must be a tensor, got {type(value).__name__}; {remedy}")


def checked_dtype(dtype: Any) -> torch.dtype:
    """`dtype`, or torch's default for `None`; TypeError unless it is a floating-point dtype."""
    dtype = torch.get_default_dtype() if dtype is None else dtype
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise TypeError(f"dtype must be a floating-point dtype such as torch.float32, got {dtype!r}")
    return dtype


def as_axes(axes: Any, name: str = "axis") -> tuple[int, ...]:
    """`axes`, or the lengths of them, as a tuple; an integer is one axis. `name` is for messages."""
    return tuple(axes) if isinstance(axes, (tuple, list, range)) else (integer(axes, name),)


def two(axes: Any, x: Tensor | None = None, name: str = "axes") -> tuple[int, int]:
    """`axes`, or the lengths of them; ValueError unless they are two, or where `x` has no two to transform."""
    axes = as_axes(axes, name)
    if len(axes) != 2:
        raise ValueError(f"{name} must be two, got {axes}")
    if isinstance(x, Tensor) and x.ndim == 1:
        missing = f"axis {axes[0]} does not exist in shape {tuple(x.shape)}; allowed: -1 to 0"
        raise ValueError(f"{missing}; for one axis take the function without the 2")
    return axes[0], axes[1]


def normal_axes(x: Tensor, axes: Sequence[int]) -> tuple[int, ...]:
    """`axes` counted from the front; ValueError where one is missing, named twice or empty."""
    axes = tuple([integer(axis, "axis") for axis in axes])
    ndim, shape = x.ndim, x.shape
    for axis in axes:
        if not -ndim <= axis < ndim:
            allowed = f"{-ndim} to {ndim - 1}" if ndim else "none"
            raise ValueError(f"axis {axis} does not exist in shape {tuple(shape)}; allowed: {allowed}")
    normal = tuple([axis % ndim for axis in axes])
    if len(set(normal)) != len(normal):
        raise ValueError(f"axes must differ, got {axes} for shape {tuple(shape)}")
    for axis in normal:
        if shape[axis] == 0:
            raise ValueError(f"every transformed length must be at least 1, got shape {tuple(shape)}")
    return normal


def ints(sizes: Iterable[Any]) -> tuple[int, ...]:
    """`sizes` as integers: under `torch.jit.trace`, which fixes them, a size is a tensor."""
    return tuple([int(n) if isinstance(n, Tensor) else n for n in sizes])


def fixed(sizes: Iterable[Any]) -> tuple[int, ...]:
    """`sizes` as plain integers, also where a compiler holds symbols: its program is then one of these sizes."""
    return tuple(operator.index(n) for n in sizes)


def integer(value: Any, name: str) -> int:
    """`value` as an integer of Python's, or a compiler's symbol; TypeError with the `name` unless it is an integer."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, (np.integer, torch.SymInt, Tensor)):
        return operator.index(value)
    raise TypeError(f"{name} must be an integer, got {value!r}")


def positive(value: Any, name: str) -> int:
    """`value` as `integer` has it; ValueError with the `name` unless it is at least 1."""
    number = integer(value, name)
    if number < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return number


def check_number(value: Any, name: str) -> None:
    """Raise TypeError with the `name` unless `value` is a real number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r}")


def leaves(structure: Any) -> tuple[Any, ...]:
    """What lists, tuples and dictionaries hold, in order."""
    if isinstance(structure, dict):
        structure = structure.values()
    elif not isinstance(structure, (list, tuple)):
        return (structure,)
    found: list[Any] = []
    for entry in structure:
        if isinstance(entry, Tensor):  # without a call: small inverse transforms spend their time here
            found.append(entry)
        else:
            found += leaves(entry)
    return tuple(found)


def precision(dtype: torch.dtype) -> torch.dtype:
    """In which what is of `dtype` is computed: float32 at least."""
    return dtype if dtype.itemsize >= 4 else torch.float32


def widened(x: Tensor) -> Tensor:
    """`x` in the precision of the computation: half precisions are summed in float32."""
    return x.float() if x.dtype == torch.float16 or x.dtype == torch.bfloat16 else x  # TorchScript reads no HALF


def is_autocast(device: torch.device) -> bool:
    """Whether autocast changes the precision of what is computed on `device`."""
    return _has_autocast(device.type) and torch.is_autocast_enabled(device.type)


@constant_result  # the compiler of torch 2.11 cannot look into it
def _has_autocast(kind: str) -> bool:
    return torch.amp.is_autocast_available(kind)
