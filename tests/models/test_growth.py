"""Dense networks grow with the image: the larger one computes what the smaller one does on the averaged image."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from wavpool.models import WavPoolDense
from wavpool.models.wavpool_dense import checkpoint_filter_fn, refuse_dense

Create = Callable[..., Any]
DENSE = ("wavpool_dense_tiny", "wavpool_dense_small", "wavpool_dense_base")

configurations = st.fixed_dictionaries(
    {
        "img_size": st.sampled_from([8, 16, (8, 24), 28, 20]),
        "in_chans": st.integers(1, 3),
        "hidden": st.integers(2, 9),
        "finest_ratio": st.sampled_from([0.5, 0.7, 1.0]),
        "min_band": st.sampled_from([4, 3]),
        "approximation": st.integers(0, 5),
        "kernel_size": st.tuples(st.integers(1, 4), st.integers(1, 3), st.just(1)),
        "pool_mode": st.sampled_from(["max", "average"]),
        "neck": st.sampled_from([0, 6]),
        "global_pool": st.sampled_from(["avg", "catavgmax"]),
    }
)


def trained(model: nn.Module, seed: int = 0) -> nn.Module:
    """Other weights and statistics than a new model has."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.is_floating_point():
            tensor.data = torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype) + 0.1
    return model.eval()


def images(model: Any, batch: int = 4, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, model.in_chans, *model.block.sizes[0], generator=generator, dtype=dtype)


@settings(max_examples=60, deadline=None)
@given(configurations, st.integers(1, 2))
def test_the_larger_network_computes_the_same(configuration: dict[str, Any], doublings: int) -> None:
    arguments = {**configuration, "num_classes": 5, "dtype": torch.float64}
    small = trained(WavPoolDense(**arguments))
    scale = 2**doublings
    size = arguments.pop("img_size")
    larger = (size * scale, size * scale) if isinstance(size, int) else (size[0] * scale, size[1] * scale)
    large = WavPoolDense(larger, **arguments).eval()
    large.load_state_dict(small.state_dict())
    x = images(large, dtype=torch.float64)
    expected = small(F.avg_pool2d(x, scale))
    torch.testing.assert_close(large(x), expected, rtol=0, atol=1e-10)
    small.set_input_size(larger)
    torch.testing.assert_close(small(x), expected, rtol=0, atol=1e-10)
    assert {key: value.shape for key, value in small.state_dict().items()} == {
        key: value.shape for key, value in large.state_dict().items()
    }


@pytest.mark.parametrize("name", DENSE)
def test_through_timm(name: str, create: Create, tmp_path: Path) -> None:
    small = trained(create(name, num_classes=10))
    file = tmp_path / "checkpoint.pth"
    torch.save({"state_dict": small.state_dict()}, file)
    large = create(name, num_classes=10, img_size=64, checkpoint_path=str(file))
    x = images(large)
    averaged = F.avg_pool2d(x, 2)
    torch.testing.assert_close(large(x), small(averaged), rtol=1e-5, atol=1e-5)

    cfg = {"file": str(file), "num_classes": 10}
    arguments = {"pretrained": True, "pretrained_cfg_overlay": cfg, "img_size": 64}
    torch.testing.assert_close(create(name, **arguments)(x), small(averaged), rtol=1e-5, atol=1e-5)
    other = create(name, **arguments, num_classes=3)
    assert other(x).shape == (4, 3)
    torch.testing.assert_close(other.forward_features(x), small.forward_features(averaged), rtol=1e-5, atol=1e-5)
    gray = create(name, **arguments, in_chans=1)
    equal = x[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(gray(x[:, :1]), large(equal), rtol=1e-4, atol=1e-4)
    features = create(name, **arguments, features_only=True)(x)
    torch.testing.assert_close(features[-1], small.forward_features(averaged), rtol=1e-5, atol=1e-5)


def test_checkpoints_of_large_images_adapt_to_gray_ones(create: Create, tmp_path: Path) -> None:
    """Its levels are more than the default configuration names."""
    large = trained(create("wavpool_dense_tiny", img_size=64))
    torch.save(large.state_dict(), tmp_path / "large.pth")
    cfg = {"file": str(tmp_path / "large.pth")}
    arguments = {"pretrained": True, "pretrained_cfg_overlay": cfg, "img_size": 64, "in_chans": 1}
    gray = create("wavpool_dense_tiny", **arguments)
    x = torch.randn(2, 1, 64, 64)
    torch.testing.assert_close(gray(x), large(x.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4)


def test_within_another_module(create: Create) -> None:
    small = trained(create("wavpool_dense_tiny", num_classes=2))
    outer = nn.ModuleDict({"net": create("wavpool_dense_tiny", num_classes=2, img_size=64)})
    outer.load_state_dict({f"net.{key}": value for key, value in small.state_dict().items()})
    x = images(outer["net"])
    torch.testing.assert_close(outer["net"](x), small(F.avg_pool2d(x, 2)), rtol=1e-5, atol=1e-5)


def test_the_new_level_learns(create: Create) -> None:
    model = trained(create("wavpool_dense_tiny", num_classes=10)).train()
    model.set_input_size(64)
    assert model.training
    F.cross_entropy(model(images(model, 16)), torch.arange(16) % 10).backward()
    assert not model.block.levels[-1].weight.any()
    assert model.block.levels[-1].weight.grad.any()
    assert model.pretrained_cfg["input_size"] == (3, 32, 32), "the configuration stays that of the checkpoint"


def test_set_input_size(create: Create) -> None:
    model = create("wavpool_dense_tiny", num_classes=10)
    before = copy.deepcopy(model.state_dict())
    for same in (None, 32, (32, 32)):
        model.set_input_size(same)
    for size in (16, 40, (64, 32)):
        with pytest.raises(ValueError, match=r"grow from 32 x 32 to 2, 4, 8, \.\.\. times that, got \d"):
            model.set_input_size(size)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    model.reset_classifier(0)
    model.set_input_size(img_size=(64, 64))
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 48)
    assert {info["reduction"] for info in model.feature_info} == {64}
    with pytest.raises(ValueError, match="networks whose levels are pooled one by one grow"):
        create("wavpool_paper").set_input_size(64)


def test_checkpoints_of_other_sizes_are_explained(create: Create) -> None:
    bands = "wavelet bands of 4 x 4, 8 x 8, 16 x 16, this model of 5 x 5, 10 x 10, 20 x 20"
    state = create("wavpool_dense_tiny").state_dict()
    with pytest.raises(ValueError, match=rf"{bands} .* img_size or of 2, 4, 8, \.\.\. times that$"):
        create("wavpool_dense_tiny", img_size=40).load_state_dict(state)
    state = create("wavpool_paper").state_dict()
    with pytest.raises(ValueError, match=r"load it into a model of the checkpoint's img_size$"):
        create("wavpool_paper", img_size=64).load_state_dict(state)


def test_the_filter_leaves_the_checkpoint_alone(create: Create) -> None:
    small, large = create("wavpool_dense_tiny"), create("wavpool_dense_tiny", img_size=64)
    state = small.state_dict()
    grown = checkpoint_filter_fn(state, large)
    assert state.keys() < grown.keys()
    assert state["neck.0.weight"].shape[1] < grown["neck.0.weight"].shape[1]
    with pytest.raises(RuntimeError, match="size mismatch"):
        create("wavpool_dense_tiny", img_size=64, hidden=32).load_state_dict(state)


class NewFamily(nn.Module):
    """Stands for a model that took over a name of the dense networks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)
        self.register_load_state_dict_pre_hook(refuse_dense)


@pytest.mark.parametrize("name", DENSE)
def test_old_checkpoints_are_explained_to_the_new_family(name: str, create: Create) -> None:
    """The parameters' names are those of wavpool 0.10."""
    state = create(name, img_size=64).state_dict()
    assert {"block.levels.0.weight", "block.approximation.bias", "neck.0.weight", "neck.1.running_mean"} < state.keys()
    message = f"this is a checkpoint of the dense network of wavpool <= 0.10, now called {name}$"
    with pytest.raises(ValueError, match=message):
        NewFamily().load_state_dict(state)
    with pytest.raises(ValueError, match=message):
        nn.Sequential(NewFamily()).load_state_dict({f"0.{key}": value for key, value in state.items()})
    with pytest.raises(ValueError, match=message):
        refuse_dense(NewFamily(), state)
    model = NewFamily()
    model.load_state_dict(copy.deepcopy(model).state_dict())
