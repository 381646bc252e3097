"""A linear map along one axis after another: what the trigonometric and Walsh-Hadamard transforms share."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .arguments import as_axes, check_floating, checked_dtype, integer, is_autocast, normal_axes, widened
from .constants import Builder


def along_axes(x: Tensor, axis: int | Sequence[int], step: Callable[[Tensor, int], Tensor]) -> Tensor:
    """`step(x, axis)` for each axis (counted from the front), in float32 at least; the result has the dtype of `x`.

    Raises:
        TypeError: `x` is not a floating-point tensor.
        ValueError: an axis is missing, named twice or empty.
    """
    check_floating(x)
    y = widened(x)
    for each in normal_axes(x, as_axes(axis)):
        y = step(y, each)
    return y if y.dtype == x.dtype else y.to(x.dtype)


def product(x: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """`matrix` `(m, n)` times every vector of `x` along `axis >= 0`, in the dtype of `x` also under autocast."""
    if is_autocast(x.device):
        with torch.autocast(x.device.type, enabled=False):
            return product(x, matrix, axis)
    if axis == x.ndim - 1:
        return x @ matrix.T
    if axis == x.ndim - 2:
        return matrix @ x
    y = matrix @ x.flatten(axis + 1)
    return torch.unflatten(y, -1, x.shape[axis + 1 :])


def as_matrix(build: Builder, n: int, dtype: torch.dtype | None, device: torch.device | str | None) -> Tensor:
    """A matrix of the caller's own, `(n, n)`.

    Raises:
        TypeError: `dtype` is not a real floating-point dtype.
        ValueError: n is below 1.
    """
    if integer(n, "n") < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    return build(n).to(torch.empty(0, device=device).device, checked_dtype(dtype)).contiguous()
