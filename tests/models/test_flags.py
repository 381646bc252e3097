"""timm's training flags on the models that have what they act on."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from timm.layers import convert_splitbn_model
from timm.layers.split_batchnorm import SplitBatchNorm2d
from torch import Tensor, nn

Create = Callable[..., Any]
Images = Callable[..., Tensor]
BatchNorm = nn.modules.batchnorm._BatchNorm


def test_batchnorm_arguments(name: str, create: Create) -> None:
    norms = [module for module in create(name).modules() if isinstance(module, BatchNorm)]
    if norms:
        for kind in ({}, {"features_only": True}):
            model = create(name, bn_momentum=0.3, bn_eps=1e-3, **kind)
            found = [module for module in model.modules() if isinstance(module, BatchNorm)]
            assert all((norm.momentum, norm.eps) == (0.3, 1e-3) for norm in found)
        model = create(name, bn_eps=1e-2)
        assert {norm.momentum for norm in model.modules() if isinstance(norm, BatchNorm)} == {norms[0].momentum}
    else:
        with pytest.raises(ValueError, match=f"{name} has no BatchNorm that bn_eps could act on; leave bn_eps out"):
            create(name, bn_eps=1e-3)


def test_split_batchnorm(name: str, create: Create, images: Images) -> None:
    plain = create(name)
    split = convert_splitbn_model(create(name), 2).eval()
    x = images(plain, 4)
    assert torch.equal(split(x), plain(x))
    split.train()(x).square().mean().backward()
    assert all(parameter.grad is not None for parameter in split.parameters())
    norms = [module for module in plain.modules() if isinstance(module, BatchNorm)]
    assert sum(isinstance(module, SplitBatchNorm2d) for module in split.modules()) == len(norms)
    if norms:
        assert plain.state_dict().keys() < split.state_dict().keys()


@pytest.mark.parametrize("dense", ["wavpool_dense_tiny", "wavpool_paper_cifar10"])
def test_drop_path_drops_whole_levels_in_training(dense: str, create: Create, images: Images) -> None:
    plain, dropping = create(dense), create(dense, drop_path_rate=0.5)
    x = images(plain, 256)
    assert torch.equal(plain(x), dropping(x))
    kept = plain.train().block.responses(x)
    torch.manual_seed(1)
    for whole, dropped in zip(kept, dropping.train().block.responses(x), strict=True):
        gone = (dropped == 0).all(dim=(1, 2))
        assert 0.3 < gone.float().mean() < 0.7
        torch.testing.assert_close(dropped[~gone], 2 * whole[~gone])
    dropping(x).square().mean().backward()
    assert all(parameter.grad is not None for parameter in dropping.parameters())
    with pytest.raises(ValueError, match="drop_path must be at least 0 and below 1, got 1"):
        create(dense, drop_path_rate=1.0)


def test_norm_and_activation_of_the_dense_networks(create: Create, images: Images) -> None:
    model = create("wavpool_dense_tiny", norm_layer="groupnorm1", act_layer="gelu", train=True)
    assert [type(layer).__name__ for layer in model.neck][2:] == ["GroupNorm1", "GELU"]
    model(images(model)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_hidden_layers_names_stay_those_of_older_checkpoints(create: Create) -> None:
    model = create("wavpool_dense_tiny")
    assert {key: tuple(value.shape) for key, value in model.neck.state_dict().items()} == {
        "0.weight": (48, model.block.num_features),
        **{f"1.{key}": (48,) for key in ("weight", "bias", "running_mean", "running_var")},
        "1.num_batches_tracked": (),
    }
