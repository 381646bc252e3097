"""The orthonormal Walsh-Hadamard transform, a product of small Hadamard matrices.

Source: J. Sylvester, Phil. Mag. 34 (1867); N. Ahmed and K. Rao, Orthogonal Transforms for Digital Signal Processing,
ch. 6, for the orders.
"""

import operator
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from .arguments import integer
from .constants import constant
from .linear_maps import along_axes, as_matrix, product

FACTOR = 64  # the longest Hadamard matrix that is multiplied with; a longer one is the Kronecker product of such

Order = Literal["natural", "sequency"]


def wht(x: Tensor, axis: int | Sequence[int] = -1, order: Order = "natural") -> Tensor:
    """Walsh-Hadamard transform, orthonormal; it is its own inverse in either order.

    Args:
        x: floating point, any shape and device; the result keeps its dtype. Half precisions are computed in float32,
            and autocast changes nothing.
        axis: the axis, or a sequence of axes, to transform; their lengths are powers of two.
        order: of the coefficients; "natural" as `scipy.linalg.hadamard`, "sequency" by rising number of sign changes.

    Returns:
        the coefficients, in the shape of `x`.

    Raises:
        TypeError: `x` is not a floating-point tensor.
        ValueError: a length that is no power of two, an axis that is missing, named twice or empty, an unknown order.

    >>> wht(torch.tensor([1.0, 1.0, -1.0, -1.0]), order="sequency")
    tensor([0., 2., 0., 0.])
    """
    if has_torch_function_unary(x):
        return handle_torch_function(wht, (x,), x, axis=axis, order=order)
    is_sequency = _is_sequency(order)
    return along_axes(x, axis, lambda y, each: _along(y, each, is_sequency))


def bwht(x: Tensor, axis: int | Sequence[int] = -1) -> Tensor:
    """Block Walsh-Hadamard transform of any length: one `wht` for each power of two that the length is the sum of.

    The coefficients of all blocks are in the order of rising sign changes a sample; of a power of two it is
    `wht(x, order="sequency")`. Inverse: `ibwht`. Arguments, result and other errors are those of `wht`.

    Source: H. Pan, D. Badawi, A. E. Cetin, Block Walsh-Hadamard transform-based binary layers in deep neural networks,
    ACM Trans. Embedded Computing Systems 21 (2022), for the blocks.

    >>> bwht(torch.ones(6)).round(decimals=4)
    tensor([2.0000, 1.4142, 0.0000, 0.0000, 0.0000, 0.0000])
    """
    if has_torch_function_unary(x):
        return handle_torch_function(bwht, (x,), x, axis=axis)
    return along_axes(x, axis, _block_along)


def ibwht(x: Tensor, axis: int | Sequence[int] = -1) -> Tensor:
    """Inverse of `bwht`.

    >>> ibwht(bwht(torch.tensor([1.0, 2.0, 4.0])))
    tensor([1.0000, 2.0000, 4.0000])
    """
    if has_torch_function_unary(x):
        return handle_torch_function(ibwht, (x,), x, axis=axis)
    return along_axes(x, axis, _block_inverse_along)


def wht_matrix(
    n: int, order: Order = "natural", dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> Tensor:
    """Symmetric orthogonal matrix `H`, `(n, n)`, of the transform: `wht(x) == x @ H`.

    Args:
        n: the length, a power of two.
        order: as for `wht`.
        dtype: floating point; `None` takes torch's default.
        device: `None` takes torch's default.

    Raises:
        TypeError: `dtype` is not a floating-point dtype.
        ValueError: n is no power of two, or the order is unknown.

    >>> wht_matrix(2)
    tensor([[ 0.7071,  0.7071],
            [ 0.7071, -0.7071]])
    """
    check_length(n)
    return as_matrix(_walsh if _is_sequency(order) else _hadamard, n, dtype, device)


def _is_sequency(order: str) -> bool:
    if order not in ("natural", "sequency"):
        raise ValueError(f"order must be 'natural' or 'sequency', got {order!r}")
    return order == "sequency"


def check_length(n: int) -> None:
    """Raise ValueError unless `n` is a power of two."""
    n = integer(n, "n")
    if n < 1 or n & (n - 1):
        below = 1 << max(n, 1).bit_length() - 1
        raise ValueError(
            f"the Walsh-Hadamard transform needs a length that is a power of two, got {n}; take {below} or {2 * below}"
        )


def _along(x: Tensor, axis: int, is_sequency: bool) -> Tensor:
    length = n = operator.index(x.shape[axis])  # a plain integer, also where a compiler holds a symbol
    check_length(n)
    if n <= FACTOR:
        return product(x, constant(_walsh if is_sequency else _hadamard, n, x), axis)
    factors = []
    while n > 1:
        factors.append(min(n, FACTOR))
        n //= factors[-1]
    y = x.unflatten(axis, factors)
    for place, factor in enumerate(factors):
        y = product(y, constant(_hadamard, factor, x), axis + place)
    y = y.reshape(x.shape)
    return torch.index_select(y, axis, constant(_sequency_order, length, x)) if is_sequency else y


def _block_along(x: Tensor, axis: int) -> Tensor:
    n = operator.index(x.shape[axis])
    y = torch.cat([_along(block, axis, True) for block in x.split(_blocks(n), axis)], axis)
    return torch.index_select(y, axis, constant(_block_order, n, x))


def _block_inverse_along(x: Tensor, axis: int) -> Tensor:
    n = operator.index(x.shape[axis])
    y = torch.index_select(x, axis, constant(_block_places, n, x))
    return torch.cat([_along(block, axis, True) for block in y.split(_blocks(n), axis)], axis)


def _blocks(n: int) -> list[int]:
    """The powers of two in `n`, largest first."""
    return [1 << bit for bit in reversed(range(n.bit_length())) if n >> bit & 1]


def _block_order(n: int) -> Tensor:
    """Coefficients of all blocks by sign changes a sample, which a tie leaves in the order of the blocks."""
    rates = [torch.arange(size, dtype=torch.float64, device="cpu") / size for size in _blocks(n)]
    return torch.cat(rates).argsort(stable=True)


def _block_places(n: int) -> Tensor:
    return _block_order(n).argsort()


def _hadamard(n: int) -> Tensor:
    """H[k, j] = (-1)^(number of ones that k and j share) / sqrt(n)."""
    matrix = torch.full((1, 1), n**-0.5, dtype=torch.float64, device="cpu")
    while len(matrix) < n:
        matrix = torch.cat((torch.cat((matrix, matrix), 1), torch.cat((matrix, -matrix), 1)))
    return matrix


def _sequency_order(n: int) -> Tensor:
    """Rows of `_hadamard` by rising number of sign changes: the bits of the Gray code, reversed."""
    sequency = torch.arange(n, device="cpu")
    gray = sequency ^ (sequency >> 1)
    row = torch.zeros_like(gray)
    for _ in range(n.bit_length() - 1):
        row, gray = 2 * row + gray % 2, gray // 2
    return row


def _walsh(n: int) -> Tensor:
    return torch.index_select(_hadamard(n), 0, _sequency_order(n))
