"""Pooling of wavelet bands: equal to max and average pooling for Haar, to its formula for others."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from wavpool.layers import WaveletPool2d
from wavpool.transforms import dwt2

SIDES = st.integers(1, 20)


@settings(max_examples=100, deadline=None)
@given(SIDES, SIDES, st.sampled_from([torch.float32, torch.bfloat16]), st.booleans())
def test_max_is_max_pooling(height: int, width: int, dtype: torch.dtype, channels_last: bool) -> None:
    x = torch.randn(2, 3, height, width, dtype=dtype)
    x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
    expected = F.max_pool2d(x, 2, ceil_mode=True)
    assert torch.equal(WaveletPool2d("max")(x), expected)
    low, (horizontal, vertical, diagonal) = dwt2(x.double(), "haar")
    details = torch.maximum((vertical + horizontal).abs() + diagonal, (vertical - horizontal).abs() - diagonal)
    torch.testing.assert_close((low / 2 + details / 2).to(dtype), expected)


@settings(max_examples=50, deadline=None)
@given(SIDES, SIDES)
def test_average_is_average_pooling(height: int, width: int) -> None:
    x = torch.randn(2, 3, height, width)
    torch.testing.assert_close(WaveletPool2d("average")(x), F.avg_pool2d(x, 2, ceil_mode=True))


def test_gradients_of_max_go_to_the_first_of_equals() -> None:
    x = torch.randint(3, (2, 3, 8, 9)).float().requires_grad_()
    weights = torch.randn(2, 3, 4, 5)
    expected = torch.autograd.grad(F.max_pool2d(x, 2, ceil_mode=True), x, weights)[0]
    assert torch.equal(torch.autograd.grad(WaveletPool2d("max")(x), x, weights)[0], expected)


def test_not_a_number_is_passed_on() -> None:
    x = torch.zeros(1, 1, 4, 6)
    x[0, 0, 1, 2] = torch.nan
    for pool in ("max", "average"):
        assert WaveletPool2d(pool)(x).isnan().sum() == 1


@pytest.mark.parametrize("wavelet", ["haar", "db2", "bior2.2"])
@pytest.mark.parametrize("size", [(8, 6), (9, 5)])
def test_moduli_are_weighted(wavelet: str, size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    pool = WaveletPool2d("moduli", 3, wavelet)
    low, details = dwt2(x, wavelet, "periodization")
    horizontal, vertical, diagonal = (band.abs() for band in details)
    torch.testing.assert_close(pool(x), 0.5 * low + 0.35 * horizontal + 0.35 * vertical + 0.25 * diagonal)
    with torch.no_grad():
        pool.weight.normal_()
    bands = torch.stack((low, horizontal, vertical, diagonal))
    torch.testing.assert_close(pool(x), torch.einsum("kc,kbchw->bchw", pool.weight, bands))


def test_generalised_maximum_lies_over_all_signs() -> None:
    x = torch.randn(2, 3, 8, 8)
    low, (h, v, d) = dwt2(x, "db2", "periodization")
    signs = torch.stack([low + h + v + d, low + h - v - d, low - h + v - d, low - h - v + d])
    torch.testing.assert_close(WaveletPool2d("max", wavelet="db2")(x), signs.amax(0) / 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("sum",), "max, average, moduli, bands"), (("moduli",), "give channels"), (("max", 3), "give channels")],
)
def test_refuses(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WaveletPool2d(*arguments)
