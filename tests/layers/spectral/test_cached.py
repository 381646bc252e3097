"""In eval mode a layer keeps the weight it made for as long as its parameters are the same."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from wavpool.layers import SpectralConv2d, SpectralLinear


def replace(layer: nn.Module, values: dict[str, Tensor]) -> None:
    for name, value in values.items():
        owner, _, last = name.rpartition(".")
        setattr(layer.get_submodule(owner), last, nn.Parameter(value))


def set_data(layer: nn.Module, values: dict[str, Tensor]) -> None:
    for name, parameter in layer.named_parameters():
        parameter.data = values[name]


def copy_in_place(layer: nn.Module, values: dict[str, Tensor]) -> None:
    for name, parameter in layer.named_parameters():
        parameter.copy_(values[name])


def from_vector(layer: nn.Module, values: dict[str, Tensor]) -> None:
    vector = torch.cat([values[name].flatten() for name, _ in layer.named_parameters()])
    nn.utils.vector_to_parameters(vector, layer.parameters())


@pytest.fixture(params=["linear", "conv", "frequencies"])
def layer(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    if request.param == "conv":
        return SpectralConv2d(8, 16, 3, keep=0.5).eval()
    if request.param == "linear":
        return SpectralLinear(64, 32, keep=0.5, select="largest").eval()
    return SpectralLinear(64, 32, parametrisation="frequencies").eval()


def images(layer: nn.Module) -> Tensor:
    return torch.randn(4, 8, 6, 6) if isinstance(layer, SpectralConv2d) else torch.randn(4, 64)


@pytest.mark.parametrize("change", [replace, set_data, copy_in_place, from_vector])
@torch.no_grad()
def test_other_parameters_have_their_effect(
    layer: nn.Module, change: Callable[[nn.Module, dict[str, Tensor]], None]
) -> None:
    x, other = images(layer), copy.deepcopy(layer)
    for parameter in other.parameters():
        parameter.mul_(3).add_(0.1)
    before, expected = layer(x), other(x)
    change(layer, {name: value.clone() for name, value in other.named_parameters()})
    assert not torch.allclose(before, expected)
    torch.testing.assert_close(layer(x), expected)
