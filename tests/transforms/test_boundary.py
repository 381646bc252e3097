"""Mode `boundary`: orthonormal on any length, the wavelet's own filters inside, smooth signals sparse, reproducible."""

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from wavpool.transforms.boundary import boundary_matrix
from wavpool.transforms.boundary import dwt as boundary_dwt
from wavpool.transforms.boundary import idwt as boundary_idwt
from wavpool.transforms.dwt import dwt, idwt
from wavpool.transforms.filters import FilterBank, filter_bank
from wavpool.transforms.learnable import product_filter
from wavpool.transforms.multilevel import wavedec, wavedec2, waverec, waverec2

ORTHOGONAL = tuple(name for name in pywt.wavelist(kind="discrete") if pywt.Wavelet(name).orthogonal and name != "dmey")
SAMPLE = ("haar", "db2", "db3", "db4", "db7", "sym4", "sym5", "coif1", "coif2", "db20", "db38", "coif17")


def defect(name: str) -> float:
    """How far PyWavelets' own taps are from orthonormal: 1e-16 for db and coif, up to 1.4e-11 for sym20."""
    low = np.array(pywt.Wavelet(name).dec_lo)
    products = np.convolve(low, low[::-1])[len(low) - 1 :: 2]
    return float(np.abs(products - np.eye(1, len(products))).max())


def check_orthonormal(name: str, lengths: range) -> None:
    bank = filter_bank(name)
    for n in lengths:
        matrix = boundary_matrix(n, name, torch.float64)
        assert matrix.shape == (n, n)
        error = float((matrix @ matrix.mT - torch.eye(n)).abs().max())
        assert error <= 1e-14 + 2 * defect(name), f"{name}, n = {n}: {error}"
        x = torch.randn(2, n, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
        low, high = boundary_dwt(x, bank)
        assert (low.shape[-1], high.shape[-1]) == ((n + 1) // 2, n // 2)
        torch.testing.assert_close(torch.cat((low, high), -1), x @ matrix.mT, rtol=0, atol=1e-13)
        torch.testing.assert_close(boundary_idwt(low, high, bank), x, rtol=0, atol=1e-13 + 20 * defect(name))


@pytest.mark.parametrize("name", SAMPLE)
def test_orthonormal(name: str) -> None:
    check_orthonormal(name, range(1, 60))
    check_orthonormal(name, range(60, 202, 35))


@pytest.mark.slow
@pytest.mark.parametrize("name", ORTHOGONAL)
def test_orthonormal_for_every_wavelet_and_length(name: str) -> None:
    check_orthonormal(name, range(1, 202))


@pytest.mark.parametrize("name", SAMPLE)
@pytest.mark.parametrize("n", [150, 151, 256])
def test_inside_are_the_rows_of_periodization(name: str, n: int) -> None:
    """Every filter of the wavelet that fits on the signal is a row, low ones in the order of PyWavelets."""
    identity = np.eye(n + n % 2)[:n]
    references = [rows[:, :n] for rows in (part.T for part in pywt.dwt(identity, name, "periodization", axis=-1))]
    matrix = boundary_matrix(n, name, torch.float64).numpy()
    start, length = 1 - pywt.Wavelet(name).dec_len // 2, pywt.Wavelet(name).dec_len
    fits = [i for i in range((n + 1) // 2) if start + 2 * i >= 0 and start + 2 * i + length <= n]
    for reference, rows in zip(references, np.split(matrix, [(n + 1) // 2]), strict=True):
        places = [int(np.abs(rows - reference[i]).max(1).argmin()) for i in fits]
        np.testing.assert_allclose(rows[places], reference[fits], rtol=0, atol=1e-14)
        assert places == list(range(places[0], places[0] + len(fits)))


def test_haar_passes_the_last_sample_of_an_odd_length() -> None:
    x = torch.tensor([1.0, 3.0, 2.0, 2.0, 5.0], dtype=torch.float64)
    low, high = dwt(x, "haar", "boundary")
    np.testing.assert_allclose(low, np.array([4, 4, 5 * 2**0.5]) / 2**0.5, rtol=1e-15)
    np.testing.assert_allclose(high, np.array([-2, 0]) / 2**0.5, rtol=1e-15)
    for ours, theirs in zip(dwt(x[:4], "haar", "boundary"), pywt.dwt(x[:4].numpy(), "haar"), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", ["db2", "db4", "sym4", "db8", "sym8", "coif2"])
def test_smooth_signals_are_sparse(name: str) -> None:
    """Polynomials vanish inside, and near the ends they leave less than the jump that `periodization` makes there."""
    n = 64
    bank = filter_bank(name)
    for degree in range(min(4, pywt.Wavelet(name).vanishing_moments_psi)):
        x = torch.linspace(-1, 1, n, dtype=torch.float64) ** degree + 1
        _, high = dwt(x, name, "boundary")
        inside = high[bank.length : -bank.length] if 2 * bank.length < n // 2 else high[n // 4 : n // 4 + 1]
        assert float(inside.abs().max()) < 1e-9
        assert float(high.norm()) < 0.03 * float(x.norm())
        if degree % 2 == 1:
            assert float(high.norm()) < 0.5 * float(dwt(x, name, "periodization")[1].norm())


@pytest.mark.parametrize("name", ["db2", "db4", "sym4", "sym8", "coif1"])
def test_coding_gain_exceeds_periodization(name: str) -> None:
    """Three levels of a first-order autoregressive signal; in dB, geometric against arithmetic mean of variances."""
    n, gains = 64, []
    distance = torch.arange(n, dtype=torch.float64)
    root = torch.linalg.cholesky(0.95 ** (distance[:, None] - distance).abs())
    for mode in ("boundary", "periodization"):
        rows = torch.cat(wavedec(root, name, mode, level=min(3, pywt.dwt_max_level(n, name)), axis=0))
        variances = rows.square().sum(1)
        gains.append(float(10 * (variances.mean().log10() - variances.log10().mean())))
    assert gains[0] > gains[1] + 0.2


@pytest.mark.parametrize("name", ["db2", "db5", "sym8", "db20", "coif10", "db38"])
def test_rows_do_not_depend_on_rounding(name: str) -> None:
    """A file written on one machine is read on another: disturbed taps give the same rows to 1e-12."""
    bank = filter_bank(name)
    noise = np.random.default_rng(0)
    low = np.array(bank.dec_lo) + 1e-16 * noise.standard_normal(bank.length)
    high = low[::-1] * (-1.0) ** np.arange(1, bank.length + 1)
    other = FilterBank("disturbed", *(tuple(taps) for taps in (low, high, low[::-1], high[::-1])))
    for n in range(1, 2 * bank.length + 3, 1 if bank.length < 20 else 7):
        torch.testing.assert_close(
            boundary_matrix(n, other, torch.float64), boundary_matrix(n, name, torch.float64), rtol=0, atol=1e-12
        )


def test_ends_of_long_signals_are_those_of_short_ones() -> None:
    for n in (40, 41):
        short, long = boundary_matrix(n, "db4", torch.float64), boundary_matrix(n + 100, "db4", torch.float64)
        torch.testing.assert_close(long[:10, :n], short[:10], rtol=0, atol=1e-14)
        torch.testing.assert_close(long[-10:, -n:], short[-10:], rtol=0, atol=1e-14)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(("haar", "db2", "sym4", "db10")),
    st.integers(1, 90),
    st.integers(0, 2),
    st.sampled_from((torch.float64, torch.float32, torch.float16, torch.bfloat16)),
)
def test_any_axis_and_precision(name: str, n: int, axis: int, dtype: torch.dtype) -> None:
    shape = [2, 3, 2]
    shape[axis] = n
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(n)).to(dtype)
    low, high = dwt(x, name, "boundary", axis)
    assert low.dtype == high.dtype == dtype
    expected = torch.tensordot(boundary_matrix(n, name, torch.float64), x.double(), ([1], [axis])).movedim(0, axis)
    tolerance = {torch.float64: 1e-13, torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 4e-2}[dtype]
    torch.testing.assert_close(torch.cat((low, high), axis).double(), expected, rtol=0, atol=tolerance)
    restored = idwt(low, high, name, "boundary", axis)
    torch.testing.assert_close(restored.double(), x.double(), rtol=0, atol=3 * tolerance + 20 * defect(name))


@pytest.mark.parametrize("n", [5, 13, 40])
def test_gradients(n: int) -> None:
    x = torch.randn(2, n, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    low, high = (band.detach().requires_grad_() for band in dwt(x, "db4", "boundary"))
    for function, inputs in ((boundary_dwt, (x,)), (boundary_idwt, (low, high))):
        assert gradcheck(lambda *bands, function=function: function(*bands, filter_bank("db4")), inputs)
        assert gradgradcheck(lambda *bands, function=function: function(*bands, filter_bank("db4")), inputs)


@pytest.mark.parametrize("size", [(28, 28), (37, 50)])
def test_all_levels_keep_the_number_of_values_and_the_energy(size: tuple[int, int]) -> None:
    x = torch.randn(3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    coefficients = wavedec2(x, "db2", "boundary")
    bands = [coefficients[0], *(band for level in coefficients[1:] for band in level)]
    values = torch.cat([torch.as_tensor(band).flatten() for band in bands])
    assert values.shape == (x.numel(),)
    torch.testing.assert_close(values.norm(), x.norm(), rtol=1e-13, atol=0)
    torch.testing.assert_close(waverec2(coefficients, "db2", "boundary", size=size), x, rtol=0, atol=1e-13)
    row = x[0, 0]
    torch.testing.assert_close(waverec(wavedec(row, "db2", "boundary"), "db2", "boundary"), row, rtol=0, atol=1e-13)


def test_refuses() -> None:
    remedy = "take an orthogonal wavelet such as db4 or sym4, or mode='periodization'"
    x = torch.zeros(20)
    for name in ("bior2.2", "dmey"):
        with pytest.raises(ValueError, match=f"needs orthonormal filters, unlike {name}: {remedy}"):
            dwt(x, name, "boundary")
    with pytest.raises(ValueError, match=f"built from fixed filters, not from tensors: {remedy}"):
        dwt(x, product_filter(torch.ones(3)), "boundary")
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        boundary_matrix(0, "haar")
