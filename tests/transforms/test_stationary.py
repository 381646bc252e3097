"""The stationary transform against PyWavelets, its shift invariance, and what it refuses."""

from typing import Any

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wavpool.transforms.arguments import leaves
from wavpool.transforms.learnable import product_filter
from wavpool.transforms.stationary import iswt, iswt2, swt, swt2, swt_max_level

WAVELETS = ("haar", "db3", "bior2.4", "sym8", "coif5")
OPTIONS = [(trim, norm) for trim in (False, True) for norm in (False, True)]


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64).to(dtype)


def assert_parity(ours: Any, theirs: Any, tolerance: float) -> None:
    assert len(ours) == len(theirs)
    bands, references = leaves(ours), leaves(theirs)
    assert [tuple(band.shape) for band in bands] == [reference.shape for reference in references]
    for band, reference in zip(bands, references, strict=True):
        np.testing.assert_allclose(band, reference, rtol=0, atol=tolerance * max(1.0, np.abs(reference).max()))


@pytest.mark.parametrize("wavelet", WAVELETS)
@pytest.mark.parametrize(("trim", "norm"), OPTIONS)
@pytest.mark.filterwarnings("ignore:norm=True")
def test_parity_along_an_axis(wavelet: str, trim: bool, norm: bool) -> None:
    for n in (2, 8, 24, 36):
        for level in (None, *range(1, swt_max_level(n) + 1)):
            for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
                x = noise(3, n, 2, dtype=dtype)
                found = swt(x, wavelet, level, 1, trim, norm)
                expected = pywt.swt(x.double().numpy(), wavelet, level, axis=1, trim_approx=trim, norm=norm)
                assert_parity(found, expected, tolerance)
                assert all(band.dtype == dtype for band in leaves(found))
                torch.testing.assert_close(iswt(found, wavelet, norm, 1), x, rtol=0, atol=20 * tolerance)


@pytest.mark.parametrize("wavelet", WAVELETS)
@pytest.mark.parametrize(("trim", "norm"), OPTIONS)
@pytest.mark.filterwarnings("ignore:norm=True")
def test_parity_along_two_axes(wavelet: str, trim: bool, norm: bool) -> None:
    x = noise(16, 2, 12)
    for level in (1, 2):
        found = swt2(x, wavelet, level, (0, 2), trim, norm)
        expected = pywt.swt2(x.numpy(), wavelet, level, axes=(0, 2), trim_approx=trim, norm=norm)
        assert_parity(found, expected, 1e-12)
        torch.testing.assert_close(iswt2(found, wavelet, norm, (0, 2)), x, rtol=0, atol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("wavelet", pywt.wavelist(kind="discrete"))
def test_parity_of_every_wavelet(wavelet: str) -> None:
    x = noise(48)
    found = swt(x, wavelet)
    assert_parity(found, pywt.swt(x.numpy(), wavelet), 1e-12)
    reference = pywt.iswt(pywt.swt(x.numpy(), wavelet), wavelet)  # dmey reconstructs to 1e-2 only
    np.testing.assert_allclose(iswt(found, wavelet), reference, rtol=0, atol=1e-10)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 63), st.sampled_from(WAVELETS))
def test_a_shift_of_the_signal_shifts_the_coefficients(shift: int, wavelet: str) -> None:
    x = noise(64)
    for shifted, band in zip(leaves(swt(x.roll(shift), wavelet, 3)), leaves(swt(x, wavelet, 3)), strict=True):
        torch.testing.assert_close(shifted, band.roll(shift), rtol=0, atol=1e-12)


@pytest.mark.parametrize("wavelet", ["haar", "db4", "sym6"])
def test_norm_preserves_the_energy(wavelet: str) -> None:
    x = noise(32, 16)
    bands = leaves(swt2(x, wavelet, trim_approx=True, norm=True))
    torch.testing.assert_close(torch.stack(bands).norm(), x.norm(), rtol=1e-9, atol=0)


def test_gradients_with_learned_filters() -> None:
    x, angles = noise(2, 8).requires_grad_(), noise(3).requires_grad_()

    def bands(x: torch.Tensor, angles: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return leaves(swt(x, product_filter(angles), 2))

    def restore(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        filters = product_filter(angles)
        first, *details = swt(x, filters, 2, trim_approx=True)
        return iswt([torch.tanh(first), *details], filters)  # type: ignore[arg-type]

    assert torch.autograd.gradcheck(bands, (x, angles))
    assert torch.autograd.gradcheck(restore, (x, angles))
    assert torch.autograd.gradgradcheck(restore, (x, angles))


@pytest.mark.filterwarnings("ignore:No levels")
def test_max_level() -> None:
    for n in range(1, 70):
        assert swt_max_level(n) == pywt.swt_max_level(n)
    assert swt_max_level((24, 16, 40)) == 3


@pytest.mark.parametrize(
    ("size", "level", "message"),
    [
        (24, 4, "level must be 1 to 3 for 24, which 2[*][*]level must divide, got 4"),
        (24, 0, "level must be 1 to 3 for 24"),
        (7, None, "takes even lengths, got 7; pad the input"),
        (0, None, "every transformed length must be at least 1"),
    ],
)
def test_swt_refuses(size: int, level: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        swt(torch.zeros(size), level=level)


def test_refuses() -> None:
    with pytest.raises(TypeError, match=r"got torch.int64; convert it with x.float\(\)"):
        swt(torch.zeros(8, dtype=torch.long))
    with pytest.raises(ValueError, match="level must be 1 to 1 for 6 x 8"):
        swt2(torch.zeros(6, 8), level=2)
    with pytest.raises(ValueError, match="axes must be two"):
        swt2(torch.zeros(6, 8), axes=(0,))  # type: ignore[arg-type]
    x = torch.zeros(8)
    for coefficients in ([], [(x,)], [(x, x, x)]):
        with pytest.raises(ValueError, match="coefficients must be"):
            iswt(coefficients)
    with pytest.raises(ValueError, match="every level must have 1 details"):
        iswt([x])
    with pytest.raises(ValueError, match="every level must have 3 details"):
        iswt2(swt(torch.zeros(8, 8), level=1))
    with pytest.raises(ValueError, match=r"must be torch.float32 of shape \(8,\), got torch.float32 of shape \(4,\)"):
        iswt([x, x[:4]])
    with pytest.raises(ValueError, match=r"2 levels need lengths that 2\*\*2 divides, got \(6,\)"):
        iswt([x[:6], x[:6], x[:6]])
