"""Filters from parameters: perfect reconstruction for any of them, known wavelets among them, gradients."""

import math
from functools import partial

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from wavpool.transforms.dwt import dwt, idwt
from wavpool.transforms.filters import FilterBank, FilterTensors
from wavpool.transforms.learnable import LIFTING_STEPS, angles_of, lifting, product_filter
from wavpool.transforms.multilevel import wavedec, waverec

ORTHOGONAL = ("haar", "db2", "db3", "db7", "db15", "db22", "sym4", "sym9", "sym20", "coif1", "coif5", "coif17")
SMALL = st.floats(-1.5, 1.5, allow_subnormal=False)
TAPS = st.lists(SMALL, min_size=1, max_size=5).map(partial(torch.tensor, dtype=torch.float64))


def bank(filters: FilterTensors) -> FilterBank:
    return FilterBank("made", *(tuple(taps.tolist()) for taps in filters))  # which checks perfect reconstruction


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-10, 10), min_size=1, max_size=12))
def test_any_angles_are_orthonormal(angles: list[float]) -> None:
    filters = product_filter(torch.tensor(angles, dtype=torch.float64))
    made = bank(filters)
    assert made.orthogonal
    assert made.reconstruction_error < 1e-13
    assert made.length == 2 * len(angles)
    assert math.isclose(float(filters.dec_lo.sum()), math.sqrt(2) * math.cos(sum(angles) - math.pi / 4), abs_tol=1e-12)


@pytest.mark.parametrize("name", ORTHOGONAL)
def test_angles_of_a_wavelet(name: str) -> None:
    angles = angles_of(name)
    assert angles.dtype == torch.float64
    assert math.isclose(float(angles.sum()), math.pi / 4, rel_tol=1e-14)
    for ours, taps in zip(product_filter(angles), pywt.Wavelet(name).filter_bank, strict=True):
        np.testing.assert_allclose(ours.numpy(), taps, rtol=0, atol=2e-11)  # sym20's own taps are good to 1.4e-11


@pytest.mark.slow
def test_angles_of_all_wavelets() -> None:
    """Every orthogonal wavelet but db23 to db38, and but dmey, which is not orthonormal, has angles."""
    refused = []
    for name in pywt.wavelist(kind="discrete"):
        if pywt.Wavelet(name).orthogonal:
            try:
                angles_of(name)
            except ValueError:
                refused.append(name)
    assert {*refused} == {"dmey", *(f"db{order}" for order in range(23, 39))}


@settings(max_examples=60, deadline=None)
@given(st.lists(TAPS, min_size=1, max_size=4), st.floats(0.3, 3) | st.floats(-3, -0.3))
def test_any_lifting_steps_reconstruct(steps: list[Tensor], scale: float) -> None:
    filters = lifting(steps, scale)
    low, high = filters.dec_lo.numpy(), filters.dec_hi.numpy()
    size = max(1.0, float(np.abs([low, high]).max())) * max(1.0, float(max(taps.abs().max() for taps in filters)))
    transfer = np.convolve(low, filters.rec_lo) + np.convolve(high, filters.rec_hi)
    transfer[filters.length - 1] -= 2
    assert np.abs(transfer).max() < 1e-13 * size
    x = torch.linspace(-1, 1, 30, dtype=torch.float64).cos()
    restored = idwt(*dwt(x, filters, "symmetric"), filters, "symmetric")
    torch.testing.assert_close(restored, x, rtol=0, atol=1e-12 * size)


def test_a_step_is_the_lifting_step_it_claims_to_be() -> None:
    x = torch.arange(16.0, dtype=torch.float64).square() % 7
    predict, update = torch.tensor([0.3, 0.6, -0.2], dtype=torch.float64), torch.tensor([0.5, 0.1], dtype=torch.float64)
    even, odd = x[::2], x[1::2]
    detail = odd - sum(predict[k] * even.roll(1 - k) for k in range(3))  # s[n + k - 1]
    low = even + sum(update[k] * detail.roll(1 - k) for k in range(2))  # d[n + k - 1]
    found = dwt(x, lifting([predict, update], 2.0), "periodization")
    for ours, expected in zip(found, (low * 2, detail / -2), strict=True):
        assert any(torch.allclose(ours, expected.roll(shift), atol=1e-12) for shift in range(8))


@pytest.mark.parametrize("name", LIFTING_STEPS)
def test_named_steps(name: str) -> None:
    steps, scale = LIFTING_STEPS[name]
    filters = lifting([torch.tensor(taps, dtype=torch.float64) for taps in steps], scale)
    for ours, taps in zip(filters, pywt.Wavelet(name).filter_bank, strict=True):
        np.testing.assert_allclose(ours.numpy(), taps, rtol=0, atol=1e-12)


def transform_angles(x: Tensor, angles: Tensor) -> tuple[Tensor, ...]:
    return tuple(wavedec(x, product_filter(angles), "symmetric", level=1))


def transform_steps(x: Tensor, predict: Tensor, update: Tensor, scale: Tensor) -> Tensor:
    filters = lifting([predict, update], scale)
    return waverec([band * 2 for band in wavedec(x, filters, "periodization", level=1)], filters, "periodization")


def test_gradients_reach_the_parameters() -> None:
    generator = torch.Generator().manual_seed(0)
    x, angles, predict, update, scale = (
        torch.randn(shape, dtype=torch.float64, generator=generator, requires_grad=True)
        for shape in ((2, 24), (3,), (2,), (3,), ())
    )
    assert gradcheck(transform_angles, (x, angles))
    assert gradgradcheck(transform_angles, (x, angles))
    assert gradcheck(lambda *parameters: tuple(lifting(parameters[:2], parameters[2])), (predict, update, scale))
    assert gradgradcheck(lambda *parameters: tuple(lifting(parameters[:2], parameters[2])), (predict, update, scale))
    gradients = torch.autograd.grad(transform_steps(x, predict, update, scale).sum(), (predict, update, scale))
    for gradient in gradients:  # the identity, whatever the parameters
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-11)


def test_vmap_over_wavelets() -> None:
    angles = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    stacked = torch.func.vmap(product_filter)(angles)
    for number, row in enumerate(angles):
        torch.testing.assert_close([taps[number] for taps in stacked], list(product_filter(row)))


def test_compile() -> None:
    torch.compiler.reset()
    x, angles = torch.randn(2, 20), torch.tensor([0.3, 0.5, -0.1])
    compiled = torch.compile(transform_angles, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, angles), transform_angles(x, angles))


def test_refuses() -> None:
    with pytest.raises(TypeError, match=r"angles must be floating point, got torch.int64"):
        product_filter(torch.tensor([1, 2]))
    with pytest.raises(ValueError, match=r"shape \(K,\) with K at least 1, got \(0,\)"):
        product_filter(torch.zeros(0))
    with pytest.raises(ValueError, match=r"1-D tensors of at least one tap, got \[\]"):
        lifting([])
    with pytest.raises(ValueError, match="no angles in double precision give db30"):
        angles_of("db30")
