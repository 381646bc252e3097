"""Orthonormal trigonometric transforms: DCT and DST of types I to IV, discrete Hartley, and packed real Fourier.

Each is one orthogonal matrix a length, applied as a matrix product to short axes and by FFTs to long ones. The inverse
is the transpose, and so is the derivative. The transformed lengths are constants of a compiled or exported program;
the others may be dynamic.

Reference: `scipy.fft` with `norm="ortho"`.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from . import fft_forms, trigonometric_matrices
from .arguments import integer
from .constants import Builder, constant
from .linear_maps import along_axes, as_matrix, product
from .tracing import is_exporting

MATRIX_LIMIT = 96  # measured on a CPU: the longest axis on which a matrix product keeps up with the FFTs
EXPORT_LIMIT = 1024  # exported programs keep to products longer: the DFT of an ONNX runtime is slow, and rough at odd n

Type = Literal[1, 2, 3, 4]
Axis = int | Sequence[int]


class Kind(NamedTuple):
    """One orthogonal transform."""

    matrix: Builder
    fast: Callable[[Tensor], Tensor]
    inverse: str


def _kind(name: str, inverse: str) -> Kind:
    return Kind(getattr(trigonometric_matrices, name), getattr(fft_forms, name), inverse)


INVERSES = {name: name for name in ("dct1", "dct4", "dst1", "dst4", "dht")}
INVERSES |= {"dct2": "dct3", "dct3": "dct2", "dst2": "dst3", "dst3": "dst2", "rdft": "irdft", "irdft": "rdft"}
KINDS = {name: _kind(name, inverse) for name, inverse in INVERSES.items()}


def dct(x: Tensor, type: Type = 2, axis: Axis = -1, norm: Literal["ortho"] = "ortho") -> Tensor:
    """Discrete cosine transform, as `scipy.fft.dct` (one axis) and `scipy.fft.dctn` (several) with `norm="ortho"`.

    Args:
        x: floating point, any shape and device; the result keeps its dtype. Half precisions are computed in float32,
            and autocast changes nothing.
        type: 1, 2, 3 or 4. Type 1 and 4 are their own inverses, 2 and 3 each other's.
        axis: the axis, or a sequence of axes, to transform.
        norm: "ortho", the only one here: every type is an orthogonal matrix.

    Returns:
        the coefficients, in the shape of `x`.

    Raises:
        TypeError: `x` is not a floating-point tensor.
        ValueError: an unknown type or norm, an axis that is missing, named twice or empty, or of length 1 in type 1.

    >>> dct(torch.ones(4))
    tensor([2., 0., 0., 0.])
    """
    if has_torch_function_unary(x):
        return handle_torch_function(dct, (x,), x, type=type, axis=axis, norm=norm)
    return _transform(x, _name("dct", type, norm), axis)


def idct(x: Tensor, type: Type = 2, axis: Axis = -1, norm: Literal["ortho"] = "ortho") -> Tensor:
    """Inverse of `dct` with the same arguments, as `scipy.fft.idct` and `scipy.fft.idctn`.

    >>> idct(torch.tensor([2.0, 0.0, 0.0, 0.0]))
    tensor([1., 1., 1., 1.])
    """
    if has_torch_function_unary(x):
        return handle_torch_function(idct, (x,), x, type=type, axis=axis, norm=norm)
    return _transform(x, INVERSES[_name("dct", type, norm)], axis)


def dst(x: Tensor, type: Type = 2, axis: Axis = -1, norm: Literal["ortho"] = "ortho") -> Tensor:
    """Discrete sine transform, as `scipy.fft.dst` and `scipy.fft.dstn` with `norm="ortho"`.

    Arguments, result and errors are those of `dct`; every type takes length 1.

    >>> dst(torch.tensor([1.0, -1.0]))
    tensor([0.0000, 1.4142])
    """
    if has_torch_function_unary(x):
        return handle_torch_function(dst, (x,), x, type=type, axis=axis, norm=norm)
    return _transform(x, _name("dst", type, norm), axis)


def idst(x: Tensor, type: Type = 2, axis: Axis = -1, norm: Literal["ortho"] = "ortho") -> Tensor:
    """Inverse of `dst` with the same arguments, as `scipy.fft.idst` and `scipy.fft.idstn`.

    >>> idst(dst(torch.ones(3), type=4), type=4)
    tensor([1.0000, 1.0000, 1.0000])
    """
    if has_torch_function_unary(x):
        return handle_torch_function(idst, (x,), x, type=type, axis=axis, norm=norm)
    return _transform(x, INVERSES[_name("dst", type, norm)], axis)


def dht(x: Tensor, axis: Axis = -1) -> Tensor:
    """Discrete Hartley transform, orthonormal: `y[k] = sum_j x[j] cas(2 pi j k / n) / sqrt(n)`, cas = cos + sin.

    It is its own inverse, along several axes too (there it is the separable form, a product of cas). The real part of
    the orthonormal FFT less its imaginary part. Arguments, result and errors are those of `dct`.

    Source: R. Bracewell, Discrete Hartley transform, J. Opt. Soc. Am. 73 (1983).

    >>> dht(torch.tensor([1.0, 0.0, 0.0, 0.0]))
    tensor([0.5000, 0.5000, 0.5000, 0.5000])
    """
    if has_torch_function_unary(x):
        return handle_torch_function(dht, (x,), x, axis=axis)
    return _transform(x, "dht", axis)


def rdft(x: Tensor, axis: Axis = -1) -> Tensor:
    """Discrete Fourier transform of real data as n orthonormal real numbers.

    The order is that of rising frequency, `scipy.fftpack.rfft`'s: with `X = torch.fft.rfft(x, norm="ortho")`,

        X[0], sqrt(2) Re X[1], sqrt(2) Im X[1], sqrt(2) Re X[2], sqrt(2) Im X[2], ..., and last X[n/2] where n is even.

    Arguments, result and errors are those of `dct`; along several axes it is the separable form. Inverse: `irdft`.

    >>> rdft(torch.tensor([3.0, 1.0]))
    tensor([2.8284, 1.4142])
    """
    if has_torch_function_unary(x):
        return handle_torch_function(rdft, (x,), x, axis=axis)
    return _transform(x, "rdft", axis)


def irdft(x: Tensor, axis: Axis = -1) -> Tensor:
    """Inverse of `rdft`.

    >>> irdft(rdft(torch.tensor([3.0, 1.0, 2.0])))
    tensor([3.0000, 1.0000, 2.0000])
    """
    if has_torch_function_unary(x):
        return handle_torch_function(irdft, (x,), x, axis=axis)
    return _transform(x, "irdft", axis)


def dct_matrix(
    n: int, type: Type = 2, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> Tensor:
    """Orthogonal matrix `C`, `(n, n)`: `dct(x) == x @ C.T` and `idct(x) == x @ C`.

    Args:
        n: the length, at least 1 (type 1: at least 2).
        type: 1, 2, 3 or 4.
        dtype: floating point; `None` takes torch's default. Entries are computed in float64 and rounded once.
        device: `None` takes torch's default.

    Raises:
        TypeError: `dtype` is not a floating-point dtype.
        ValueError: n is too small, or the type is unknown.

    >>> dct_matrix(2)
    tensor([[ 0.7071,  0.7071],
            [ 0.7071, -0.7071]])
    """
    name = _name("dct", type)
    check_length(name, n)
    return as_matrix(KINDS[name].matrix, n, dtype, device)


def dst_matrix(
    n: int, type: Type = 2, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> Tensor:
    """Orthogonal matrix `S`, `(n, n)`: `dst(x) == x @ S.T` and `idst(x) == x @ S`; arguments as `dct_matrix`.

    >>> dst_matrix(2)
    tensor([[ 0.7071,  0.7071],
            [ 0.7071, -0.7071]])
    """
    return as_matrix(KINDS[_name("dst", type)].matrix, n, dtype, device)


def dht_matrix(n: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Tensor:
    """Symmetric orthogonal matrix, `(n, n)`, of `dht`; arguments as `dct_matrix`.

    >>> dht_matrix(3)
    tensor([[ 0.5774,  0.5774,  0.5774],
            [ 0.5774,  0.2113, -0.7887],
            [ 0.5774, -0.7887,  0.2113]])
    """
    return as_matrix(KINDS["dht"].matrix, n, dtype, device)


def rdft_matrix(n: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Tensor:
    """Orthogonal matrix `F`, `(n, n)`: `rdft(x) == x @ F.T` and `irdft(x) == x @ F`; arguments as `dct_matrix`.

    >>> rdft_matrix(3)
    tensor([[ 0.5774,  0.5774,  0.5774],
            [ 0.8165, -0.4082, -0.4082],
            [ 0.0000, -0.7071,  0.7071]])
    """
    return as_matrix(KINDS["rdft"].matrix, n, dtype, device)


def _name(family: str, type: int, norm: str = "ortho") -> str:
    if type not in (1, 2, 3, 4):
        raise ValueError(f"type must be 1, 2, 3 or 4, got {type!r}")
    if norm != "ortho":
        raise ValueError(f"norm must be 'ortho', got {norm!r}; scale the orthonormal coefficients instead")
    return f"{family}{int(type)}"


def check_length(name: str, n: int) -> None:
    """Raise ValueError unless the transform of this name exists for length `n`."""
    if name == "dct1" and integer(n, "n") < 2:
        raise ValueError(f"a DCT of type 1 needs a length of at least 2, got {n}; use type 2")


def _transform(x: Tensor, name: str, axis: Axis) -> Tensor:
    return along_axes(x, axis, lambda y, each: _along(y, name, each))


def _along(x: Tensor, name: str, axis: int) -> Tensor:
    n = operator.index(x.shape[axis])  # a plain integer, also where a compiler holds a symbol
    check_length(name, n)
    if n <= (EXPORT_LIMIT if is_exporting() else MATRIX_LIMIT):
        return product(x, constant(KINDS[name].matrix, n, x), axis)
    last = x.movedim(axis, -1)
    if x.numel() == 0:  # oneMKL's transforms of torch 2.11 refuse it
        return x.clone()
    plain = torch.compiler.is_compiling() or torch.jit.is_tracing()
    y: Tensor = KINDS[name].fast(last) if plain else _Fast.apply(last, name)
    return y.movedim(-1, axis)


class _Fast(torch.autograd.Function):
    """The FFT form, with the FFT form of the inverse for its derivative: half of what differentiating FFTs costs."""

    @staticmethod
    def forward(x: Tensor, name: str) -> Tensor:
        return KINDS[name].fast(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, str], output: Tensor) -> None:
        ctx.name = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Fast.apply(gradient, KINDS[ctx.name].inverse), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        image: Tensor = _Fast.apply(tangent, ctx.name)
        return image

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, None], x: Tensor, name: str) -> tuple[Tensor, int]:
        return _Fast.apply(x.movedim(in_dims[0], 0), name), 0
