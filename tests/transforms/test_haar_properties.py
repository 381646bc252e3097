"""Perfect reconstruction, orthonormality and derivatives of the Haar transform."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from wavpool.transforms import dwt_max_level, haar_analysis, haar_synthesis, level_sizes, wavedec2, waverec2

# Errors of a few roundings at every one of at most six levels.
ROUND_OFF = {torch.float64: 1e-13, torch.float32: 1e-5, torch.float16: 0.03, torch.bfloat16: 0.25}


def concatenated(coefficients: list[Any]) -> Tensor:
    """All coefficients of each image, `(..., number)`."""
    bands = [coefficients[0], *(band for detail in coefficients[1:] for band in detail)]
    return torch.cat([band.flatten(-2) for band in bands], dim=-1)


@st.composite
def images(draw: st.DrawFn) -> tuple[Tensor, int]:
    size = (draw(st.integers(1, 40)), draw(st.integers(1, 40)))
    leading = draw(st.lists(st.integers(1, 3), max_size=3))
    dtype = draw(st.sampled_from(list(ROUND_OFF)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    x = torch.randn(*leading, *size, generator=generator).to(dtype)
    return x, draw(st.integers(0, dwt_max_level(size)))


@settings(max_examples=200, deadline=None)
@given(images())
def test_perfect_reconstruction(case: tuple[Tensor, int]) -> None:
    x, level = case
    coefficients = wavedec2(x, level=level)
    assert len(coefficients) == level + 1
    size = (x.shape[-2], x.shape[-1])
    rebuilt = waverec2(coefficients, size=size)
    assert rebuilt.dtype == x.dtype
    assert rebuilt.shape == x.shape
    assert (rebuilt - x).abs().max() <= ROUND_OFF[x.dtype] * max(1.0, float(x.abs().max()))
    approximation, details = haar_analysis(x, level_sizes(size, level))
    if x.dtype in (torch.float32, torch.float64):  # half precisions are summed in float32 by wavedec2 alone
        assert torch.equal(haar_synthesis(approximation, details, level_sizes(size, level)), rebuilt)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 3))
def test_energy_is_kept_where_sizes_divide(height: int, width: int, level: int) -> None:
    size = (height * 2**level, width * 2**level)
    x = torch.randn(2, *size, generator=torch.Generator().manual_seed(height), dtype=torch.float64)
    spectrum = concatenated(wavedec2(x, level=level))
    assert spectrum.shape == (2, size[0] * size[1])
    torch.testing.assert_close(spectrum.square().sum(-1), x.square().sum((-2, -1)), rtol=1e-12, atol=0)


@pytest.mark.parametrize("size", [(2, 2), (8, 8), (4, 12), (16, 8)])
def test_matrix_is_orthogonal(size: tuple[int, int]) -> None:
    count = size[0] * size[1]
    eye = torch.eye(count, dtype=torch.float64)
    level = 2 if min(size) >= 4 else 1
    matrix = concatenated(wavedec2(eye.view(count, *size), level=level))
    torch.testing.assert_close(matrix @ matrix.T, eye, rtol=0, atol=1e-14)
    torch.testing.assert_close(matrix.T @ matrix, eye, rtol=0, atol=1e-14)


def test_constant_image_has_no_details() -> None:
    coefficients = wavedec2(torch.full((1, 28, 28), 3.0))
    assert all(not band.any() for detail in coefficients[1:] for band in detail)
    torch.testing.assert_close(coefficients[0], torch.full((1, 2, 2), 3.0 * 2**4))


@pytest.mark.parametrize("size", [(4, 4), (5, 7), (1, 6), (8, 3)])
def test_gradients(size: tuple[int, int]) -> None:
    x = torch.randn(2, *size, generator=torch.Generator().manual_seed(4), dtype=torch.float64, requires_grad=True)

    def analyse(image: Tensor) -> Tensor:
        return concatenated(wavedec2(image))

    def squared(image: Tensor) -> Tensor:  # the transform is linear: its own second derivative is none
        return analyse(image).square()

    def rebuild(image: Tensor) -> Tensor:
        return waverec2(wavedec2(image.square()), size=size)

    for function in (analyse, squared, rebuild):
        assert gradcheck(function, (x,))
    for function in (squared, rebuild):
        assert gradgradcheck(function, (x,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_kept_and_close(dtype: torch.dtype) -> None:
    x = torch.rand(4, 3, 28, 30, generator=torch.Generator().manual_seed(5)).to(dtype)
    ours = wavedec2(x)
    assert all(band.dtype == dtype for entry in ours for band in ([entry] if isinstance(entry, Tensor) else entry))
    spectrum = concatenated(wavedec2(x.double()))
    # A few roundings a level, relative to the largest coefficient.
    limit = 4 * torch.finfo(dtype).eps * spectrum.abs().amax()
    assert (concatenated(ours).double() - spectrum).abs().max() <= limit


def test_autocast_keeps_the_precision_of_the_input() -> None:
    x = torch.randn(2, 9, 8, generator=torch.Generator().manual_seed(6))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coefficients = wavedec2(x)
        rebuilt = waverec2(coefficients, size=(9, 8))
    assert rebuilt.dtype == torch.float32
    assert torch.equal(concatenated(coefficients), concatenated(wavedec2(x)))
