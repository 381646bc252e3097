"""Packed coefficients: PyWavelets' two arrangements, layouts known in advance, and the way back."""

import math
from typing import Any

import numpy as np
import pytest
import pywt
import torch
from torch import Tensor
from torch.autograd import gradcheck

from wavpool.transforms import (
    MODES,
    PackedLayout,
    array_to_coeffs,
    coeffs_to_array,
    packed_layout,
    ravel_coeffs,
    unravel_coeffs,
    wavedec,
    wavedec2,
    wavedecn,
    waverec2,
)

FUNCTIONS = {
    "wavedec": (lambda x, *a: wavedec(x, *a), lambda x, *a: pywt.wavedec(x, *a)),
    "wavedec2": (lambda x, *a: wavedec2(x, *a), lambda x, *a: pywt.wavedec2(x, *a)),
    "wavedecn": (lambda x, *a: wavedecn(x, *a, axes=(-3, -2, -1)), lambda x, *a: pywt.wavedecn(x, *a)),
}
EACH_FORMAT = pytest.mark.parametrize("name", FUNCTIONS)
SIZES = {"wavedec": (37,), "wavedec2": (21, 28), "wavedecn": (10, 11, 13)}


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def same(ours: list[Any], other: list[Any]) -> bool:
    def flat(coefficients: list[Any]) -> list[Tensor]:
        return list(torch.utils._pytree.tree_leaves(coefficients))

    return len(ours) == len(other) and all(torch.equal(a, b) for a, b in zip(flat(ours), flat(other), strict=True))


@EACH_FORMAT
@pytest.mark.parametrize(("wavelet", "mode"), [("haar", "symmetric"), ("db2", "zero"), ("bior2.2", "periodization")])
def test_array_is_that_of_pywavelets(name: str, wavelet: str, mode: str) -> None:
    ours, theirs = FUNCTIONS[name]
    size = SIZES[name]
    x = noise(2, *size)
    array, slices = coeffs_to_array(ours(x, wavelet, mode, 1), padding=7.0)
    for element in range(2):
        expected, places = pywt.coeffs_to_array(theirs(x[element].numpy(), wavelet, mode, 1), padding=7.0)
        np.testing.assert_allclose(array[element].numpy(), expected, rtol=0, atol=1e-12)
    assert slices[0] == places[0]
    assert slices[1] == places[1]
    assert same(array_to_coeffs(array, slices), ours(x, wavelet, mode, 1))


@EACH_FORMAT
def test_arrays_of_several_levels(name: str) -> None:
    ours, theirs = FUNCTIONS[name]
    x = noise(*SIZES[name])
    array, slices = coeffs_to_array(ours(x, "haar", "symmetric", None))
    expected, places = pywt.coeffs_to_array(theirs(x.numpy(), "haar", "symmetric", None), padding=0)
    np.testing.assert_allclose(array.numpy(), expected, rtol=0, atol=1e-12)
    assert slices == places
    assert same(array_to_coeffs(array, slices), ours(x, "haar", "symmetric", None))


def test_gaps_are_refused_without_padding() -> None:
    array, _ = coeffs_to_array(wavedec2(noise(3, 16, 8)), padding=None)
    assert array.shape == (3, 16, 8)
    with pytest.raises(ValueError, match=r"leave gaps in an array of shape \(.*\); pass a padding"):
        coeffs_to_array(wavedec2(noise(16, 15), "db2"), padding=None)


@EACH_FORMAT
@pytest.mark.parametrize("mode", MODES)
def test_ravelled_bands_lie_where_the_layout_says(name: str, mode: str) -> None:
    ours, _ = FUNCTIONS[name]
    x = noise(2, 3, *SIZES[name])
    coefficients = ours(x, "db2", mode, None)
    packed, layout = ravel_coeffs(coefficients)
    assert layout == packed_layout(SIZES[name], "db2", mode)
    assert packed.shape == (2, 3, layout.total)
    assert layout.total == sum(math.prod(band.shape) for band in layout.bands)
    back = unravel_coeffs(packed, layout)
    assert same(back, coefficients)
    assert back[0].untyped_storage().data_ptr() == packed.untyped_storage().data_ptr()
    for band in layout.bands[1:]:
        entry = coefficients[len(coefficients) - band.level]
        by_key = entry if isinstance(entry, dict) else dict(zip(("da", "ad", "dd"), entry, strict=False))
        tensor = entry if name == "wavedec" else by_key[band.key]
        assert torch.equal(packed[..., band.slice()], tensor.flatten(2))


def test_order_of_a_level_is_that_of_pywavelets_tuples() -> None:
    x = noise(20, 22)
    packed, layout = ravel_coeffs(wavedec2(x, "db2"))
    bands = [band for level in pywt.wavedec2(x.numpy(), "db2")[1:] for band in level]
    expected = np.concatenate([pywt.wavedec2(x.numpy(), "db2")[0].ravel(), *(band.ravel() for band in bands)])
    np.testing.assert_allclose(packed.numpy(), expected, rtol=0, atol=1e-12)
    assert [band.key for band in layout.bands] == ["aa", "da", "ad", "dd"] * 1 + ["da", "ad", "dd"]
    assert [band.level for band in layout.bands] == [2, 2, 2, 2, 1, 1, 1]


def test_boundary_layout_is_critical() -> None:
    layout = packed_layout((7, 10), "db2", "boundary", 1)
    assert layout.total == 70
    assert [band.shape for band in layout.bands] == [(4, 5), (3, 5), (4, 5), (3, 5)]


def test_formats() -> None:
    x = noise(8, 12)
    for name, coefficients in (("wavedec2", wavedec2(x)), ("wavedecn", wavedecn(x))):
        packed, layout = ravel_coeffs(coefficients)
        assert same(unravel_coeffs(packed, layout, name), coefficients)
        array, slices = coeffs_to_array(coefficients)
        assert same(array_to_coeffs(array, slices, name), coefficients)
    with pytest.raises(ValueError, match="must be wavedec2 or wavedecn for 2 axes, got 'wavedec'"):
        unravel_coeffs(packed, layout, "wavedec")


def test_no_levels() -> None:
    x = noise(2, 5, 6)
    packed, layout = ravel_coeffs(wavedec2(x, level=0), dims=2)
    assert packed.shape == (2, 30)
    assert same(unravel_coeffs(packed, layout), [x])
    array, slices = coeffs_to_array([x], dims=2)
    assert torch.equal(array, x)
    assert same(array_to_coeffs(array, slices), [x])
    for pack in (ravel_coeffs, coeffs_to_array):
        with pytest.raises(ValueError, match="do not tell the number of transformed axes: pass dims"):
            pack([x])


def test_derivatives_and_transformations() -> None:
    x = noise(2, 6, 8).requires_grad_()

    def ravelled(image: Tensor) -> Tensor:
        return ravel_coeffs(wavedec2(image))[0]

    def arranged(image: Tensor) -> Tensor:
        return coeffs_to_array(wavedec2(image, "db2", "zero", 1))[0]

    def back(image: Tensor) -> Tensor:
        packed, layout = ravel_coeffs(wavedec2(image))
        return waverec2(unravel_coeffs(packed, layout), size=(6, 8))

    for function in (ravelled, arranged, back):
        assert gradcheck(function, (x,))
        torch.testing.assert_close(torch.func.vmap(function)(x), function(x))
        torch.testing.assert_close(torch.compile(function, fullgraph=True, backend="aot_eager")(x), function(x))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p, layout: unravel_coeffs(p[..., 1:], layout), r"must have shape \(..., 30\), got \(2, 29\)"),
        (lambda p, layout: ravel_coeffs([p, (p, p)], dims=1), "as wavedec, wavedec2 or wavedecn return them"),
        (lambda p, layout: ravel_coeffs([], dims=1), "as wavedec, wavedec2 or wavedecn return them"),
        (
            lambda p, layout: packed_layout(30, "db4", level=3),
            "level must be 0 to 2 for 30 and .* 8, got 3",
        ),
        (lambda p, layout: packed_layout(30, "db4", "smooth"), "mode must be one of"),
        (
            lambda p, layout: array_to_coeffs(p[..., :6], coeffs_to_array(wavedec(p))[1]),
            r"array must have shape \(..., 31\), got \(2, 6\)",
        ),
        (
            lambda p, layout: array_to_coeffs(p[0], coeffs_to_array(wavedec2(torch.zeros(8, 8)))[1]),
            r"array must have shape \(..., 8, 8\), got \(30,\)",
        ),
    ],
)
def test_refusals(call: Any, message: str) -> None:
    packed, layout = ravel_coeffs(wavedec(noise(2, 30)))
    assert isinstance(layout, PackedLayout)
    with pytest.raises(ValueError, match=message):
        call(packed[..., :30], packed_layout(30, mode="periodization", level=1))
