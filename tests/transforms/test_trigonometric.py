"""The trigonometric and Walsh-Hadamard transforms: parity with SciPy, orthonormality, derivatives, refusals."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.fft
import scipy.fftpack
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from wavpool.transforms import trigonometric
from wavpool.transforms.hadamard import wht, wht_matrix
from wavpool.transforms.trigonometric import (
    MATRIX_LIMIT,
    dct,
    dct_matrix,
    dht,
    dht_matrix,
    dst,
    dst_matrix,
    idct,
    idst,
    irdft,
    rdft,
    rdft_matrix,
)

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}


def hartley(x: np.ndarray, axis: int = -1) -> np.ndarray:
    spectrum = np.fft.fft(x, axis=axis, norm="ortho")
    return spectrum.real - spectrum.imag


def packed_fourier(x: np.ndarray, axis: int = -1) -> np.ndarray:
    y = np.moveaxis(scipy.fftpack.rfft(x, axis=axis), axis, -1) * np.sqrt(2 / x.shape[axis])
    y[..., 0] /= np.sqrt(2)
    if x.shape[axis] % 2 == 0:
        y[..., -1] /= np.sqrt(2)
    return np.moveaxis(y, -1, axis)


def hadamard(x: np.ndarray, axis: int = -1, order: str = "natural") -> np.ndarray:
    matrix = scipy.linalg.hadamard(x.shape[axis])
    if order == "sequency":
        matrix = matrix[np.argsort(np.count_nonzero(np.diff(matrix), axis=1))]
    return np.moveaxis(np.moveaxis(x, axis, -1) @ matrix.T / np.sqrt(x.shape[axis]), -1, axis)


class Case(NamedTuple):
    forward: Callable[..., Tensor]
    inverse: Callable[..., Tensor]
    matrix: Callable[..., Tensor]
    reference: Callable[..., np.ndarray]


CASES = {
    f"dct{kind}": Case(
        partial(dct, type=kind),
        partial(idct, type=kind),
        partial(dct_matrix, type=kind),
        partial(scipy.fft.dct, type=kind, norm="ortho"),
    )
    for kind in (1, 2, 3, 4)
}
CASES |= {
    f"dst{kind}": Case(
        partial(dst, type=kind),
        partial(idst, type=kind),
        partial(dst_matrix, type=kind),
        partial(scipy.fft.dst, type=kind, norm="ortho"),
    )
    for kind in (1, 2, 3, 4)
}
CASES["dht"] = Case(dht, dht, dht_matrix, hartley)
CASES["rdft"] = Case(rdft, irdft, rdft_matrix, packed_fourier)
SCIPY = tuple(CASES)
for order in ("natural", "sequency"):
    forward = partial(wht, order=order)
    CASES[order] = Case(forward, forward, partial(wht_matrix, order=order), partial(hadamard, order=order))

EVERY = pytest.mark.parametrize("name", CASES)
LENGTHS = [*range(1, 33), MATRIX_LIMIT, MATRIX_LIMIT + 1, 97, 128, 250, 1009]


def takes(name: str, n: int) -> bool:
    return n & (n - 1) == 0 if name in ("natural", "sequency") else n > 1 or name != "dct1"


def noise(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def assert_near(ours: Tensor, reference: np.ndarray | Tensor, tolerance: float) -> None:
    """The error is small against the norm."""
    expected = torch.as_tensor(np.asarray(reference))
    assert ours.shape == expected.shape
    assert (ours.double() - expected).norm() <= tolerance * expected.norm()


@pytest.fixture(params=["matrix", "fft"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Either form at every length."""
    monkeypatch.setattr(trigonometric, "MATRIX_LIMIT", 1 << 20 if request.param == "matrix" else 0)
    return str(request.param)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@EVERY
def test_parity(name: str, dtype: torch.dtype) -> None:
    case = CASES[name]
    for n in filter(partial(takes, name), LENGTHS):
        x = noise(3, n, dtype=dtype, seed=n)
        y = case.forward(x)
        assert y.dtype == dtype
        expected = case.reference(x.double().numpy())
        assert_near(y, expected, TOLERANCE[dtype])
        assert_near(case.inverse(y), x.double(), 2 * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", SCIPY)
def test_parity_of_both_forms(name: str, form: str, dtype: torch.dtype) -> None:
    case = CASES[name]
    for n in filter(partial(takes, name), LENGTHS):
        x = noise(2, n, dtype=dtype, seed=n)
        y = case.forward(x)
        assert_near(y, case.reference(x.double().numpy()), TOLERANCE[dtype])
        assert_near(case.inverse(y), x.double(), 2 * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@EVERY
def test_long_axes(name: str, dtype: torch.dtype) -> None:
    case = CASES[name]
    for n in (100_003, 99_990) if name in SCIPY else (1 << 11,):
        x = noise(n, dtype=dtype)
        assert_near(case.forward(x), case.reference(x.double().numpy()), TOLERANCE[dtype])
        assert_near(case.inverse(case.forward(x)), x.double(), 2 * TOLERANCE[dtype])


@EVERY
def test_matrix(name: str) -> None:
    for n in filter(partial(takes, name), LENGTHS):
        x, matrix = noise(3, n, seed=n), CASES[name].matrix(n, dtype=torch.float64)
        assert matrix.is_contiguous()
        assert_near(CASES[name].forward(x), x @ matrix.T, 1e-13)
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(n, dtype=torch.float64), rtol=0, atol=1e-13)
        single = CASES[name].matrix(n)
        assert single.dtype == torch.get_default_dtype()
        assert torch.equal(single, matrix.float())


def test_matrix_belongs_to_the_caller() -> None:
    dct_matrix(8).zero_()
    assert_near(dct(torch.ones(8)), torch.tensor([8.0**0.5, *[0.0] * 7]).double(), 1e-6)
    assert dct_matrix(8).any()


@pytest.mark.parametrize("axes", [0, 1, -1, (1, 2), [3, 0], (-2, -1), (3, 2, 1, 0), ()])
@pytest.mark.parametrize("name", ["dct2", "dst1", "natural"])
def test_axes(name: str, axes: Any, form: str) -> None:
    x = noise(4, 2, 8, 16)
    expected = x.numpy()
    for axis in [axes] if isinstance(axes, int) else axes:
        expected = CASES[name].reference(expected, axis=axis)
    ours = CASES[name].forward(x, axis=axes)
    assert_near(ours, expected, 1e-14)
    assert_near(CASES[name].inverse(ours, axis=axes), x, 1e-14)


def test_several_axes_as_dctn() -> None:
    x = noise(3, 70, 33)
    assert_near(dct(x, type=4, axis=(1, 2)), scipy.fft.dctn(x.numpy(), 4, axes=(1, 2), norm="ortho"), 1e-13)
    assert_near(idst(x, type=2, axis=(0, 1)), scipy.fft.idstn(x.numpy(), 2, axes=(0, 1), norm="ortho"), 1e-13)


@st.composite
def signals(draw: st.DrawFn) -> tuple[str, Tensor, int]:
    name = draw(st.sampled_from(list(CASES)))
    lengths = st.integers(2, 150) if name in SCIPY else st.sampled_from([1, 2, 8, 64, 128, 256])
    shape = draw(st.lists(st.integers(1, 4), max_size=2))
    axis = draw(st.integers(0, len(shape)))
    shape.insert(axis, draw(lengths))
    return name, noise(*shape, seed=draw(st.integers(0, 2**31))), axis


@settings(max_examples=150, deadline=None)
@given(signals(), st.floats(-10, 10))
def test_linear_isometry_with_its_inverse(signal: tuple[str, Tensor, int], factor: float) -> None:
    name, x, axis = signal
    forward, inverse = (partial(function, axis=axis) for function in CASES[name][:2])
    y = forward(x)
    assert y.shape == x.shape
    torch.testing.assert_close(y.norm(), x.norm(), rtol=1e-13, atol=0)
    assert_near(inverse(y), x, 1e-13)
    assert_near(forward(inverse(x)), x, 1e-13)
    other = noise(*x.shape, seed=1)
    torch.testing.assert_close(forward(factor * x + other), factor * y + forward(other), rtol=0, atol=1e-11)
    torch.testing.assert_close((y * other).sum(), (x * inverse(other)).sum(), rtol=0, atol=1e-11)


@pytest.mark.parametrize("n", [4, 5])
@pytest.mark.parametrize("name", SCIPY)
def test_gradients(name: str, form: str, n: int) -> None:
    x = noise(2, n, 2).requires_grad_()
    for function in (CASES[name].forward, CASES[name].inverse):
        squared = partial(lambda f, x: f(x, axis=1).square(), function)
        assert gradcheck(squared, (x,), check_forward_ad=True, check_batched_grad=True)
        assert gradgradcheck(squared, (x,))


@pytest.mark.parametrize("n", [8, 128])
@pytest.mark.parametrize("name", ["natural", "sequency"])
def test_gradients_of_hadamard(name: str, n: int) -> None:
    x = noise(n, 1).requires_grad_()
    squared = partial(lambda f, x: f(x, axis=0).square(), CASES[name].forward)
    assert gradcheck(squared, (x,), check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(squared, (x,))


@EVERY
def test_length_one_is_the_identity_up_to_sign(name: str) -> None:
    x = noise(3, 1)
    if not takes(name, 1):
        with pytest.raises(ValueError, match="a DCT of type 1 needs a length of at least 2, got 1; use type 2"):
            CASES[name].forward(x)
        with pytest.raises(ValueError, match="a DCT of type 1 needs a length of at least 2, got 1; use type 2"):
            CASES[name].matrix(1)
    else:
        assert_near(CASES[name].forward(x), x, 1e-15)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: dct(torch.zeros(4), type=5), ValueError, "type must be 1, 2, 3 or 4, got 5"),
        (lambda: dst_matrix(4, type=0), ValueError, "type must be 1, 2, 3 or 4, got 0"),
        (lambda: idst(torch.zeros(4), norm="forward"), ValueError, "norm must be 'ortho', got 'forward'; scale"),
        (lambda: dct([1.0]), TypeError, r"x must be a tensor, got list; convert it with torch.as_tensor\(x\)"),
        (lambda: rdft(torch.zeros(4, dtype=torch.int32)), TypeError, r"got torch.int32; convert it with x.float\(\)"),
        (lambda: dht(torch.zeros(4, dtype=torch.complex64)), TypeError, "transform x.real and x.imag apart"),
        (lambda: dct(torch.zeros(3, 4), axis=2), ValueError, r"axis 2 does not exist in shape \(3, 4\)"),
        (lambda: wht(torch.zeros(2, 4), axis=(1, -1)), ValueError, r"axes must differ, got \(1, -1\)"),
        (lambda: dst(torch.zeros(3, 0)), ValueError, r"length must be at least 1, got shape \(3, 0\)"),
        (lambda: wht(torch.zeros(12)), ValueError, "length that is a power of two, got 12; take 8 or 16"),
        (lambda: wht_matrix(0), ValueError, "length that is a power of two, got 0; take 1 or 2"),
        (lambda: wht(torch.zeros(4), order="dyadic"), ValueError, "must be 'natural' or 'sequency', got 'dyadic'"),
        (lambda: dht_matrix(0), ValueError, "n must be at least 1, got 0"),
        (lambda: dct_matrix(4, dtype=torch.int64), TypeError, "floating-point dtype such as torch.float32, got"),
    ],
)
def test_refusals(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
