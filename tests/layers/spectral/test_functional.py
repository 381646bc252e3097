"""Spectral layers under `torch.func`: other parameters for a call, gradients, those of every sample, ensembles."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from wavpool.layers import SpectralConv2d, SpectralLinear

FREQUENCIES = {"parametrisation": "frequencies"}
MAKERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "few frequencies": (partial(SpectralLinear, 64, 32, **FREQUENCIES), (64,)),
    "many frequencies": (partial(SpectralLinear, 1024, 1024, **FREQUENCIES), (1024,)),
    "dft": (partial(SpectralLinear, 64, 32, transform="dft", **FREQUENCIES), (64,)),
    "low": (partial(SpectralLinear, 64, 32, keep=0.25), (64,)),
    "largest": (partial(SpectralLinear, 64, 32, keep=0.25, select="largest"), (64,)),
    "learned": (partial(SpectralLinear, 64, 32, keep=0.25, select="learned"), (64,)),
    "kernels": (partial(SpectralConv2d, 8, 16, 3, keep=0.5), (8, 6, 6)),
    "separable kernels": (partial(SpectralConv2d, 64, 64, 3, padding=1, **FREQUENCIES), (64, 6, 6)),
}
same = partial(torch.testing.assert_close, rtol=1e-4, atol=1e-5)


@pytest.fixture(params=MAKERS)
def layers(request: pytest.FixtureRequest) -> list[nn.Module]:
    torch.manual_seed(0)
    return [MAKERS[request.param][0]() for _ in range(3)]


@pytest.fixture
def images(request: pytest.FixtureRequest, layers: list[nn.Module]) -> Tensor:
    return torch.randn(4, *MAKERS[request.node.callspec.params["layers"]][1])


@pytest.mark.parametrize("training", [True, False])
@torch.no_grad()
def test_other_parameters_for_one_call(layers: list[nn.Module], images: Tensor, training: bool) -> None:
    """In eval mode a layer keeps its weight, but not for other parameters."""
    layer, *_ = (each.train(training) for each in layers)
    before, expected = layer(images), [each(images) for each in layers]
    for each, wanted in zip(layers, expected, strict=True):
        same(functional_call(layer, each.state_dict(), (images,)), wanted)
    states = stack_module_state(layers)
    same(vmap(lambda *state: functional_call(layer, state, (images,)))(*states), torch.stack(expected))
    same(layer(images), before)


def test_gradients_and_those_of_every_sample(layers: list[nn.Module], images: Tensor) -> None:
    layer = layers[0]

    def loss(parameters: dict[str, Tensor], images: Tensor) -> Tensor:
        out: Tensor = functional_call(layer, parameters, (images,))
        return out.square().sum()

    parameters = {name: value.detach() for name, value in layer.named_parameters()}
    layer(images).square().sum().backward()
    found = grad(loss)(parameters, images)
    each = vmap(grad(loss), (None, 0))(parameters, images[:, None])
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None
        scale = parameter.grad.abs().max()
        same(found[name] / scale, parameter.grad / scale)
        same(each[name].sum(0) / scale, parameter.grad / scale)
