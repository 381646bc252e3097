"""The convolution whose kernels live in a transform domain."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from wavpool.layers import SpectralConv2d
from wavpool.layers.spectral import conv
from wavpool.layers.spectral.separable import separable_conv2d


def convolved(x: torch.Tensor, layer: SpectralConv2d, weight: torch.Tensor) -> torch.Tensor:
    """The dense convolution of torch with that weight."""
    dense = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.groups,
        layer.bias is not None,
        layer.padding_mode,
        dtype=weight.dtype,
    )
    with torch.no_grad():
        dense.weight.copy_(weight)
        if layer.bias is not None:
            dense.bias.copy_(layer.bias)
    return dense(x)


@st.composite
def settings_of(draw: st.DrawFn) -> dict[str, Any]:
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    return {
        "in_channels": groups * draw(st.integers(1, 4)),
        "out_channels": groups * draw(st.integers(1, 4)),
        "kernel_size": draw(st.tuples(st.integers(1, 4), st.integers(1, 4))),
        "stride": draw(st.integers(1, 2)),
        "padding": draw(st.tuples(st.integers(0, 2), st.integers(0, 2))),
        "dilation": draw(st.integers(1, 2)),
        "groups": groups,
        "bias": draw(st.booleans()),
        "padding_mode": draw(st.sampled_from(["zeros", "reflect", "circular"])),
        "transform": draw(st.sampled_from(["dct", "dst", "dft", "shannon", "real_shannon"])),
    }


@given(options=settings_of(), separable=st.booleans(), parametrisation=st.sampled_from(["frequencies", "coefficients"]))
@settings(deadline=None)
def test_equals_torchs_convolution_with_its_weight(options: dict, separable: bool, parametrisation: str) -> None:
    share, conv.SEPARABLE_SHARE = conv.SEPARABLE_SHARE, math.inf if separable else 0.0
    try:
        layer = SpectralConv2d(**options, parametrisation=parametrisation, dtype=torch.float64)
        x = torch.randn(2, options["in_channels"], 9, 8, dtype=torch.float64)
        expected = convolved(x, layer, layer.weight.detach())
        torch.testing.assert_close(layer(x), expected)
        with torch.no_grad():
            torch.testing.assert_close(layer.eval()(x), expected)
            torch.testing.assert_close(layer(x), expected)
    finally:
        conv.SEPARABLE_SHARE = share


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_by_name(padding: str) -> None:
    layer = SpectralConv2d(3, 4, 3, padding=padding, parametrisation="frequencies", dtype=torch.float64)
    x = torch.randn(1, 3, 7, 7, dtype=torch.float64)
    torch.testing.assert_close(layer(x), convolved(x, layer, layer.weight.detach()))


@pytest.mark.parametrize("separable", [True, False])
@pytest.mark.parametrize("transform", ["dft", "shannon"])
def test_complex_convolution(transform: str, separable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ancestor dropped the imaginary input: a line break ended its difference early."""
    monkeypatch.setattr(conv, "SEPARABLE_SHARE", math.inf if separable else 0.0)
    layer = SpectralConv2d(
        4, 6, 3, padding=1, groups=2, transform=transform, parametrisation="frequencies", complex=True
    ).double()
    z = torch.randn(2, 4, 5, 2, dtype=torch.complex128)  # two columns wide, which are no real and imaginary part
    expected = torch.nn.functional.conv2d(z, layer.weight, layer.bias.to(z.dtype), padding=1, groups=2)
    torch.testing.assert_close(layer(z), expected)
    torch.testing.assert_close(layer(z.real), layer(z.real.to(z.dtype)))
    assert (layer(z) - layer(z.real)).abs().max() > 0.1


def test_parameter_count_is_the_ancestors() -> None:
    for channels, size, expected in (((6, 16), 5, 16 + 10 + 400 + 16), ((16, 120), 5, 3250), ((256, 256), 3, 2822)):
        layer = SpectralConv2d(*channels, size, parametrisation="frequencies")
        assert sum(parameter.numel() for parameter in layer.parameters()) == expected


@pytest.mark.parametrize("options", [{"parametrisation": "frequencies"}, {"keep": 0.3}, {"select": "largest"}])
@pytest.mark.parametrize("size", [1, 3, 7])
def test_initial_gain_is_the_dense_layers(options: dict, size: int) -> None:
    torch.manual_seed(0)
    x, dense = torch.randn(4, 32, 12, 12), nn.Conv2d(32, 64, size, bias=False)
    layer = SpectralConv2d(32, 64, size, bias=False, **options)
    assert layer(x).std().item() == pytest.approx(dense(x).std().item(), rel=0.25)


def test_work_decides_how_it_is_computed() -> None:
    assert SpectralConv2d(256, 256, 3, parametrisation="frequencies").separable
    assert not SpectralConv2d(256, 256, 1, parametrisation="frequencies").separable
    assert not SpectralConv2d(3, 64, 7, stride=2, parametrisation="frequencies").separable


def test_depthwise_and_small_kernels_in_coefficients() -> None:
    x = torch.randn(1, 6, 5, 5)
    assert SpectralConv2d(6, 6, 3, groups=6, keep=0.5)(x).shape == (1, 6, 3, 3)
    assert SpectralConv2d(6, 6, 1, keep=0.5).spectrum.axes == (1,)
    assert SpectralConv2d(6, 6, 1, groups=6, keep=0.5)(x).shape == x.shape


@pytest.mark.parametrize("channels", [3, 64])
def test_kernels_kept_under_autocast_serve_outside(channels: int) -> None:
    layer = SpectralConv2d(channels, 8, 3, parametrisation="frequencies").eval()
    x = torch.randn(2, channels, 5, 5)
    with torch.no_grad():
        expected = layer.train()(x)
        layer.eval()
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(x).dtype == torch.bfloat16
        torch.testing.assert_close(layer(x), expected)


def test_a_bad_argument_is_torchs_own_error() -> None:
    with pytest.raises(ValueError, match="divisible by groups"):
        SpectralConv2d(3, 4, 3, groups=2)


@pytest.mark.parametrize("batch", [0, 1, 2, 7])
@pytest.mark.parametrize("groups", [1, 2])
def test_separable_gradients(batch: int, groups: int) -> None:
    inputs = [
        torch.randn(batch, 4, 5, 4, dtype=torch.float64),
        torch.randn(6, 4 // groups, 1, 1, dtype=torch.float64),
        torch.randn(6, 1, 3, 2, dtype=torch.float64),
        torch.randn(6, dtype=torch.float64),
    ]
    inputs = [each.requires_grad_() for each in inputs]

    def ours(*each: torch.Tensor) -> torch.Tensor:
        return separable_conv2d(*each, (2, 1), (1, 0), (1, 2), groups)

    def plain(x: torch.Tensor, channels: torch.Tensor, patterns: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        between = nn.functional.conv2d(x, channels, groups=groups)
        return nn.functional.conv2d(between, patterns, bias, (2, 1), (1, 0), (1, 2), 6)

    torch.testing.assert_close(ours(*inputs), plain(*inputs))
    found, expected = (torch.autograd.grad(f(*inputs).square().sum(), inputs) for f in (ours, plain))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    if batch:
        assert torch.autograd.gradcheck(ours, inputs)


def test_part_of_the_gradients_and_a_single_image() -> None:
    layer = SpectralConv2d(64, 64, 3, padding=1, parametrisation="frequencies", dtype=torch.float64)
    assert layer.separable
    x = torch.randn(64, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(layer(x), layer(x[None])[0])
    layer.requires_grad_(False)
    batch = x[None].clone().requires_grad_()
    layer(batch).sum().backward()
    assert batch.grad is not None
    layer.bias.requires_grad_()
    layer(x[None]).sum().backward()
    assert layer.bias.grad is not None
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x[None]), layer(x[None]))
