"""Rows of trainable frequency beside SciPy, NumPy and torch; and the ancestor's defects, which must not return."""

import math

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from wavpool.layers.spectral import SinusoidKernels, SinusoidRows
from wavpool.layers.spectral.nonuniform import cosine_product, cosine_product_adjoint
from wavpool.layers.spectral.sinusoids import FAMILIES, cosines
from wavpool.transforms import dct_matrix, dht_matrix, dst_matrix

REAL = tuple(FAMILIES)
N = 24


def rows(count: int, n: int, transform: str, **options: object) -> SinusoidRows:
    return SinusoidRows(count, n, transform, dtype=torch.float64, **options)


def by_scipy(transform: str) -> np.ndarray:
    functions = {"dct": scipy.fft.dct, "dst": scipy.fft.dst}
    return functions[transform](np.eye(N), norm="ortho", axis=0)


def by_numpy(transform: str) -> np.ndarray:
    """The definition, term by term."""
    k, t = np.arange(N)[:, None], np.arange(N)
    if transform == "dct":
        return np.sqrt(2 / N) * np.cos(np.pi * k * (2 * t + 1) / (2 * N)) / np.sqrt(1 + (k == 0))
    if transform == "dst":
        return np.sqrt(2 / N) * np.sin(np.pi * (k + 1) * (2 * t + 1) / (2 * N)) / np.sqrt(1 + (k == N - 1))
    return (np.cos(2 * np.pi * k * t / N) + np.sin(2 * np.pi * k * t / N)) / np.sqrt(N)


def by_torch(transform: str) -> Tensor:
    matrices = {"dct": dct_matrix, "dst": dst_matrix, "dft": dht_matrix}
    return matrices[transform](N, dtype=torch.float64)


@pytest.mark.parametrize("transform", ["dct", "dst", "dft"])
def test_scipy_numpy_torch_and_the_layer_agree_step_by_step(transform: str) -> None:
    layer = rows(N, N, transform)().detach().numpy()
    np.testing.assert_allclose(layer, by_numpy(transform), atol=1e-12)
    np.testing.assert_allclose(layer, by_torch(transform).numpy(), atol=1e-12)
    if transform != "dft":
        np.testing.assert_allclose(layer, by_scipy(transform), atol=1e-12)
    single = SinusoidRows(N, N, transform)().detach()
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.numpy(), by_numpy(transform), atol=1e-6)


def test_complex_rows_are_the_fourier_matrix() -> None:
    matrix = rows(N, N, "dft", complex=True)().detach().numpy()
    np.testing.assert_allclose(matrix, scipy.fft.fft(np.eye(N), norm="ortho"), atol=1e-12)


@pytest.mark.parametrize("spacing", ["out", "in"])
@pytest.mark.parametrize("transform", ["dct", "dst", "dft"])
def test_rows_are_orthonormal(transform: str, spacing: str) -> None:
    count = N if spacing == "out" else N // 2
    matrix = rows(count, N, transform, spacing=spacing)()
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(count, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize("transform", REAL)
@pytest.mark.parametrize(("count", "n"), [(64, 64), (84, 120), (10, 84)])
def test_rows_have_unit_length_and_full_rank(transform: str, count: int, n: int) -> None:
    """The ancestor's real Shannon rows had half of the rank: 33 of 64, 47 of 84, 6 of 10."""
    matrix = rows(count, n, transform)()
    assert matrix.norm(dim=1).sub(1).abs().max() < 0.2
    assert torch.linalg.matrix_rank(matrix, rtol=1e-3) == count


@given(
    transform=st.sampled_from(REAL),
    count=st.integers(1, 20),
    n=st.integers(1, 40),
    batch=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_products_equal_those_with_the_matrix(transform: str, count: int, n: int, batch: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    made = rows(count, n, transform)
    with torch.no_grad():
        made.frequency.add_(torch.randn(count, generator=generator, dtype=torch.float64) * count)
    x = torch.randn(batch, n, generator=generator, dtype=torch.float64)
    expected = x @ made().T
    torch.testing.assert_close(made.product(x), expected, atol=1e-11, rtol=1e-11)
    single = made.float().product(x.float())
    scale = x.norm(dim=1, keepdim=True).float()
    assert ((single - x.float() @ made().T).abs() <= 1e-5 * scale).all()


@pytest.mark.parametrize("transform", ["dft", "shannon"])
def test_complex_products(transform: str) -> None:
    made, x = rows(7, 30, transform, complex=True), torch.randn(4, 30, dtype=torch.float64)
    torch.testing.assert_close(made.product(x), x.to(torch.complex128) @ made().T)


@pytest.mark.parametrize("n", [9216, 9217])
def test_long_rows_keep_their_precision(n: int) -> None:
    """Angles of thousands of turns: float32 would lose three digits."""
    made = SinusoidRows(64, n, "dct", spacing="in")
    with torch.no_grad():
        made.frequency.add_(n - 70.3)
    angle = np.pi / n * made.frequency.detach().double().numpy()[:, None] * (np.arange(n) + 0.5)
    expected = torch.from_numpy(np.cos(angle)) * made.factors.detach().double()[:, None]
    torch.testing.assert_close(made().double(), expected, atol=1e-7, rtol=0)
    x = torch.randn(3, n)
    error = made.product(x).double() - x.double() @ expected.T
    assert error.norm() <= 1e-6 * (x.double() @ expected.T).norm()


@pytest.mark.parametrize("phase", [0.0, -0.125, 0.25])
def test_gradients_to_second_order(phase: float) -> None:
    x = torch.randn(2, 9, dtype=torch.float64, requires_grad=True)
    y = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    omega = (torch.rand(5, dtype=torch.float64) * 6 - 1).requires_grad_()
    for function, inputs in (
        (lambda x, omega: cosine_product(x, omega, 0.5, phase), (x, omega)),
        (lambda y, omega: cosine_product_adjoint(y, omega, 9, 0.5, phase), (y, omega)),
        (lambda omega: cosines(omega, 9, 0.5, phase, torch.float64), (omega,)),
    ):
        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("options", [{}, {"amplitude": True}, {"amplitude": True, "bandwidth": True}])
@pytest.mark.parametrize("transform", ["dct", "shannon"])
def test_every_parameter_has_its_gradient(transform: str, options: dict[str, bool]) -> None:
    if transform == "dct":
        options = {key: value for key, value in options.items() if key != "bandwidth"}
    made = rows(5, 8, transform, **options)

    def matrix(*values: Tensor) -> Tensor:
        return torch.func.functional_call(made, dict(zip(names, values, strict=True)), ())

    names, values = zip(*made.named_parameters(), strict=True)
    assert set(names) == {"frequency", *options}
    assert torch.autograd.gradcheck(matrix, values)


def test_a_row_is_found_again() -> None:
    true = rows(6, 50, "dct", amplitude=True)
    with torch.no_grad():
        true.frequency.copy_(torch.tensor([0.3, 1.9, 2.0, 3.14, 4.4, 5.2]))
        true.amplitude.copy_(torch.tensor([1.0, -2.0, 0.5, 3.0, -0.1, 1.0]))
    found = rows(6, 50, "dct", amplitude=True)
    found.fit(true().detach())
    torch.testing.assert_close(found(), true(), atol=2e-3, rtol=0)


def test_kernels_are_a_row_times_a_pattern_and_found_again() -> None:
    made = SinusoidKernels(8, 12, (3, 3), "dct", dtype=torch.float64)
    kernels = made()
    patterns = kernels.flatten(2)
    assert (torch.linalg.matrix_rank(patterns, atol=1e-9) == 1).all()
    # the ancestor's cosine kernels were all one and the same spatial filter
    assert torch.linalg.matrix_rank(kernels.flatten(0, 1).flatten(1)) == 8
    found = SinusoidKernels(8, 12, (3, 3), "dct", dtype=torch.float64)
    with torch.no_grad():
        found.mixing.zero_()
    found.fit(kernels.detach())
    torch.testing.assert_close(found(), kernels, atol=1e-2, rtol=0)


@pytest.mark.parametrize("size", [(1, 3), (3, 5), (1, 1)])
@pytest.mark.parametrize("transform", REAL)
def test_patterns_of_any_shape(transform: str, size: tuple[int, int]) -> None:
    """The ancestor needed square kernels; and its windows over space had the width of the channels."""
    made = SinusoidKernels(4, 6, size, transform, dtype=torch.float64)
    height, width = made.height(), made.width()
    mixing = made.mixing.reshape(4, *size)
    expected = torch.einsum("ofg,fh,gw->ohw", mixing, height, width)
    torch.testing.assert_close(made.patterns(), expected)
    assert math.prod(size) == torch.linalg.matrix_rank(torch.kron(height, width), rtol=1e-6)


def test_complex_kernels_are_complex_products() -> None:
    """The ancestor added real and imaginary parts of two of the three factors."""
    made = SinusoidKernels(3, 5, (2, 2), "dft", complex=True, dtype=torch.float64)
    channels, height, width = made.channels(), made.height(), made.width()
    mixing = made.mixing.reshape(3, 2, 2).to(torch.complex128)
    expected = torch.einsum("oi,ofg,fh,gw->oihw", channels, mixing, height, width)
    torch.testing.assert_close(made(), expected)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((4, 4, "haar"), {}, "no rows of trainable frequency are known for 'haar'"),
        ((4, 4, "dct"), {"complex": True}, "dct has no complex form"),
        ((4, 4, "dct"), {"bandwidth": True}, "belongs to shannon and real_shannon"),
        ((4, 4, "dct"), {"spacing": "far"}, "must be 'out' or 'in', got 'far'"),
    ],
)
def test_refusals(arguments: tuple, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SinusoidRows(*arguments, **options)
