"""BandLinear and MicroWav against torch's own layers and PyWavelets' coefficients."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavpool.layers import BandLinear, MicroWav
from wavpool.transforms import wavedec2


@pytest.fixture
def bands() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(4, 2, 5, 3, generator=generator, dtype=torch.float64) * scale for scale in (1, 10, 100)]


def make() -> BandLinear:
    torch.manual_seed(0)
    return BandLinear(2, (5, 3), 7, bands=3, dtype=torch.float64)


def test_equals_one_linear_a_band(bands: list[Tensor]) -> None:
    layer = make()
    out = layer(torch.stack(bands, dim=2))
    assert out.shape == (4, 3, 7)
    assert layer.bias is not None
    for index, band in enumerate(bands):
        rows = slice(7 * index, 7 * index + 7)
        expected = F.linear(band.flatten(1), layer.weight[rows].flatten(1), layer.bias[rows])
        torch.testing.assert_close(out[:, index], expected, rtol=0, atol=1e-12)


def test_equals_the_grouped_convolution_it_is(bands: list[Tensor]) -> None:
    layer = make()
    convolved = nn.Conv2d.forward(layer, torch.cat(bands, dim=1))
    torch.testing.assert_close(layer(torch.stack(bands, dim=2)).flatten(1), convolved.flatten(1), rtol=0, atol=1e-12)


def test_first_bands_alone(bands: list[Tensor]) -> None:
    layer, x = make(), torch.stack(bands, dim=2)
    for count in (1, 2):
        torch.testing.assert_close(layer(x, count), layer(x)[:, :count], rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(4, 2, 3, 3, 5), (4, 3, 2, 5, 3), (4, 2, 15, 3), (2, 3, 5, 3)])
def test_bands_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"bands must be \(B, 2, 3, 5, 3\), got"):
        make()(torch.zeros(shape, dtype=torch.float64))


def test_initialised_like_linear() -> None:
    """Every band's weights are drawn within the bounds nn.Linear would use for its coefficients."""
    bound = (2 * 5 * 3) ** -0.5
    layer = make()
    assert layer.bias is not None
    for values in (layer.weight, layer.bias):
        assert values.abs().max() <= bound
    assert layer.weight.abs().max() > 0.9 * bound


def test_zero_gives_zero_gradients() -> None:
    layer = make()
    layer.zero().backward()
    for parameter in layer.parameters():
        assert parameter.grad is not None
        assert not parameter.grad.any()


@pytest.mark.parametrize(("size", "level", "in_chans"), [(32, 1, 1), (28, 4, 3), ((13, 40), -1, 2), ((7, 9), 2, 1)])
@pytest.mark.parametrize("approximation", [False, True])
def test_microwav_is_linear_on_one_level(size: Any, level: int, in_chans: int, approximation: bool) -> None:
    torch.manual_seed(1)
    layer = MicroWav(size, level, hidden=6, in_chans=in_chans, approximation=approximation, dtype=torch.float64)
    height, width = (size, size) if isinstance(size, int) else size
    x = torch.randn(3, in_chans, height, width, dtype=torch.float64)
    depth = level if level > 0 else min(height, width).bit_length() + level
    coefficients = wavedec2(x, level=depth)
    kept: list[Tensor] = list(coefficients[1])
    if approximation:
        kept.append(coefficients[0])  # type: ignore[arg-type]
    out = layer(x)
    assert out.shape == (3, 4 if approximation else 3, 6)
    bias = layer.linear.bias
    assert bias is not None
    for index, band in enumerate(kept):
        rows = slice(6 * index, 6 * index + 6)
        expected = F.linear(band.flatten(1), layer.linear.weight[rows].flatten(1), bias[rows])
        torch.testing.assert_close(out[:, index], expected, rtol=0, atol=1e-12)


def test_microwav_activation() -> None:
    torch.manual_seed(2)
    layer = MicroWav(16, 2, hidden=8, act_layer=nn.ReLU)
    x = torch.randn(5, 1, 16, 16)
    out = layer(x)
    assert (out >= 0).all()
    layer.act = nn.Identity()
    assert torch.equal(out, layer(x).relu())


@pytest.mark.parametrize("level", [0, 5, -5])
def test_microwav_refuses_a_level_the_image_has_not(level: int) -> None:
    with pytest.raises(ValueError, match=r"distinct numbers from 1 \(finest\) to 4 \(coarsest\)"):
        MicroWav(16, level, hidden=8)
