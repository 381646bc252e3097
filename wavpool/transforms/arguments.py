"""Checks that the transforms share, and the precision in which they compute."""

import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

HALF = (torch.float16, torch.bfloat16)


def check_floating(x: Tensor) -> None:
    """Raise TypeError, which names the remedy, unless `x` is a real floating-point tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(f"x must be a tensor, got {type(x).__name__}; convert it with torch.as_tensor(x)")
    if x.is_complex():
        raise TypeError(f"x must be a floating-point tensor, got {x.dtype}; transform x.real and x.imag apart")
    if not x.is_floating_point():
        raise TypeError(f"x must be a floating-point tensor, got {x.dtype}; convert it with x.float()")


def normal_axes(x: Tensor, axes: Sequence[int]) -> tuple[int, ...]:
    """`axes` counted from the front; ValueError where one is missing, named twice or empty."""
    for axis in axes:
        if not -x.ndim <= axis < x.ndim:
            allowed = f"{-x.ndim} to {x.ndim - 1}" if x.ndim else "none"
            raise ValueError(f"axis {axis} does not exist in shape {tuple(x.shape)}; allowed: {allowed}")
    normal = tuple(axis % x.ndim for axis in axes)
    if len(set(normal)) != len(normal):
        raise ValueError(f"axes must differ, got {tuple(axes)} for shape {tuple(x.shape)}")
    for axis in normal:
        if x.shape[axis] == 0:
            raise ValueError(f"every transformed length must be at least 1, got shape {tuple(x.shape)}")
    return normal


def ints(sizes: Iterable[Any]) -> tuple[int, ...]:
    """`sizes` as integers: under `torch.jit.trace`, which fixes them, a size is a tensor."""
    return tuple(int(n) if isinstance(n, Tensor) else n for n in sizes)


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


def leaves(structure: Any) -> tuple[Any, ...]:
    """What lists, tuples and dictionaries hold, in order."""
    if isinstance(structure, (list, tuple)):
        return tuple(leaf for entry in structure for leaf in leaves(entry))
    return leaves(list(structure.values())) if isinstance(structure, dict) else (structure,)


def widened(x: Tensor) -> Tensor:
    """`x` in the precision of the computation: half precisions are summed in float32."""
    return x.float() if x.dtype in HALF else x
