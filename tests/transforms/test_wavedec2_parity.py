"""wavedec2 and waverec2 against PyWavelets, on every size from 1 to 65 in both axes."""

import random
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import pywt
import torch

from wavpool.transforms import dwt_max_level, level_sizes, wavedec2, waverec2

SIDES = range(1, 66)
LEADING: list[tuple[int, ...]] = [(), (1,), (3,), (2, 3), (2, 1, 2)]
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])


def flat(coefficients: Sequence[Any]) -> list[np.ndarray]:
    """All bands in order, as arrays."""
    bands = [coefficients[0], *(band for detail in coefficients[1:] for band in detail)]
    return [np.asarray(band) for band in bands]


def expected(x: torch.Tensor, level: int | None) -> list[np.ndarray]:
    """PyWavelets' coefficients of the same numbers in float64."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # PyWavelets warns at levels where all is boundary
        return flat(pywt.wavedec2(x.double().numpy(), "haar", "symmetric", level))


def assert_same(x: torch.Tensor, level: int | None) -> None:
    ours, theirs = flat(wavedec2(x, level=level)), expected(x, level)
    assert [band.shape for band in ours] == [band.shape for band in theirs]
    difference = np.concatenate([(a - b).ravel() for a, b in zip(ours, theirs, strict=True)])
    assert np.abs(difference).max() <= TOLERANCE[x.dtype], f"shape {tuple(x.shape)}, level {level}"


@DTYPES
@pytest.mark.parametrize("height", SIDES)
def test_all_levels_of_every_size(height: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(height)
    choose = random.Random(height)
    for width in SIDES:
        x = torch.randn(*choose.choice(LEADING), height, width, generator=generator, dtype=dtype)
        assert_same(x, None)


@DTYPES
@pytest.mark.parametrize("side", SIDES)
def test_every_level(side: int, dtype: torch.dtype) -> None:
    other = 65 - side // 2
    x = torch.randn(2, side, other, generator=torch.Generator().manual_seed(side), dtype=dtype)
    for level in range(dwt_max_level((side, other)) + 1):
        assert_same(x, level)


@pytest.mark.parametrize("height", SIDES)
def test_max_level_and_band_sizes(height: int) -> None:
    for width in SIDES:
        deepest = dwt_max_level((height, width))
        assert deepest == pywt.dwtn_max_level((height, width), "haar")
        assert level_sizes((height, width), deepest)[0] == (height, width)
    assert dwt_max_level(height) == pywt.dwt_max_level(height, "haar")


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (5, 8), (28, 28), (31, 17), (64, 64), (65, 3)])
def test_synthesis_of_pywavelets_coefficients(size: tuple[int, int]) -> None:
    x = torch.randn(2, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        first, *details = pywt.wavedec2(x.numpy(), "haar")
    coefficients = [torch.from_numpy(first), *(tuple(map(torch.from_numpy, detail)) for detail in details)]
    assert (waverec2(coefficients, size=size) - x).abs().max() <= 1e-12


@pytest.mark.parametrize("size", [(2, 2), (12, 20), (32, 32)])
def test_synthesis_of_arbitrary_coefficients(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(2)
    coefficients = wavedec2(torch.zeros(3, *size, dtype=torch.float64))
    noise: list[Any] = [torch.randn(coefficients[0].shape, generator=generator, dtype=torch.float64)]
    for detail in coefficients[1:]:
        noise.append(tuple(torch.randn(band.shape, generator=generator, dtype=torch.float64) for band in detail))
    theirs = pywt.waverec2(
        [noise[0].numpy(), *(tuple(band.numpy() for band in detail) for detail in noise[1:])], "haar"
    )
    assert np.abs(waverec2(noise).numpy() - theirs).max() <= 1e-12


def test_names_of_the_wavelet_are_synonyms() -> None:
    x = torch.randn(3, 12, 9, generator=torch.Generator().manual_seed(3))
    for ours, other in zip(flat(wavedec2(x, "haar")), flat(wavedec2(x, "db1")), strict=True):
        np.testing.assert_array_equal(ours, other)


def test_real_images(find_data: Any) -> None:
    """Pixels of CIFAR-10, whose approximations are a hundred times as large as noise's."""
    raw = np.fromfile(find_data("cifar-10-batches-bin/test_batch.bin"), dtype=np.uint8, count=64 * 3073)
    images = torch.from_numpy(raw.reshape(64, 3073)[:, 1:].reshape(64, 3, 32, 32)).float() / 255
    ours, theirs = flat(wavedec2(images)), expected(images, None)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
