"""timm's interfaces to what lies between image and logits."""

import copy
from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest
import timm
import torch
from timm.models._features import FeatureGetterNet
from torch import Tensor, nn

Create = Callable[..., Any]
Images = Callable[..., Tensor]


def middle(features: Tensor, tap: Tensor) -> Tensor:
    """The features, cropped to the size of their tap."""
    start = (features.shape[2] - tap.shape[2]) // 2
    return features[:, :, start : start + tap.shape[2], start : start + tap.shape[3]]


def test_features_only(name: str, create: Create, images: Images) -> None:
    model = create(name, features_only=True)
    x = torch.randn(2, *create(name).pretrained_cfg["input_size"])
    maps = model(x)
    assert len(maps) >= 3
    assert [feature.shape[1] for feature in maps] == model.feature_info.channels()
    assert all(feature.ndim == 4 and feature.shape[0] == 2 for feature in maps)
    sum(feature.sum() for feature in maps).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_chosen_features_leave_no_parameter_without_gradient(name: str, create: Create, images: Images) -> None:
    """Every single tap and every pair, as DistributedDataParallel needs it."""
    whole = create(name, train=True)
    x = images(whole)
    indices = range(len(whole.feature_info))
    for chosen in [*combinations(indices, 1), *combinations(indices, 2)]:
        model = FeatureGetterNet(copy.deepcopy(whole), out_indices=chosen)
        maps = model(x)
        assert [feature.shape[1] for feature in maps] == model.feature_info.channels()
        sum(feature.sum() for feature in maps).backward()
        unused = [key for key, parameter in model.named_parameters() if parameter.grad is None]
        assert not unused, f"taps {chosen}"


def test_features_only_of_chosen_indices(name: str, create: Create) -> None:
    x = torch.randn(2, *create(name).pretrained_cfg["input_size"])
    whole = create(name)
    _, taps = whole.forward_intermediates(x)
    for chosen in ((0,), (0, 1), (1, len(taps) - 1), (-1,)):
        # The same seed gives the first layers the same weights; a pruned model keeps those that are needed.
        torch.manual_seed(0)
        model = timm.create_model(name, features_only=True, out_indices=chosen).eval()
        for feature, index in zip(model(x), chosen, strict=True):
            torch.testing.assert_close(feature, taps[index], rtol=1e-5, atol=1e-6)


def test_forward_intermediates(name: str, create: Create, images: Images) -> None:
    model = create(name)
    x = images(model)
    final, taps = model.forward_intermediates(x)
    assert len(taps) == len(model.feature_info)
    assert [tap.shape[1] for tap in taps] == [info["num_chs"] for info in model.feature_info]
    torch.testing.assert_close(final, model.forward_features(x))
    assert taps[-1].shape[2] <= x.shape[2]
    assert torch.equal(taps[-1], middle(final, taps[-1]))
    for chosen in ([0], [0, 2], [-1, 0]):
        for stop_early in (False, True):
            only = model.forward_intermediates(x, chosen, stop_early=stop_early, intermediates_only=True)
            for feature, index in zip(only, chosen, strict=True):
                assert torch.equal(feature, taps[index])
    last_two = model.forward_intermediates(x, 2, intermediates_only=True)
    for feature, tap in zip(last_two, taps[-2:], strict=True):
        assert torch.equal(feature, tap)
    with pytest.raises(ValueError, match="output_fmt must be 'NCHW'"):
        model.forward_intermediates(x, output_fmt="NLC")


def test_stop_early_computes_no_more_than_is_asked(create: Create, images: Images) -> None:
    for name, module in {"cnn_paper": "stages.bn2", "wavpool_dense_tiny": "neck.1"}.items():
        model = create(name)

        def refuse(*_: Any) -> None:
            raise AssertionError("computed")

        model.get_submodule(module).register_forward_hook(refuse)
        model.forward_intermediates(images(model), [0], stop_early=True)
        with pytest.raises(AssertionError, match="computed"):
            model.forward_intermediates(images(model), [0])


def test_prune_intermediate_layers(name: str, create: Create, images: Images) -> None:
    reference = create(name)
    x = images(reference)
    _, taps = reference.forward_intermediates(x)
    for last in range(len(taps)):
        model = create(name)
        assert model.prune_intermediate_layers([last]) == [last]
        assert isinstance(model.get_classifier(), nn.Identity)
        assert model.num_features == taps[last].shape[1]
        torch.testing.assert_close(middle(model.forward_features(x), taps[last]), taps[last])
        torch.testing.assert_close(model(x), model.forward_features(x))
        (only,) = model.forward_intermediates(x, [last], intermediates_only=True)
        torch.testing.assert_close(only, taps[last])
        model.train()
        final, kept = model.forward_intermediates(x)
        torch.testing.assert_close(middle(final, kept[-1]), kept[-1])
        assert len(kept) == len(model.remaining) <= last + 1
        sum(tap.square().sum() for tap in kept).backward()
        assert all(parameter.grad is not None for parameter in model.parameters()), f"tap {last}"


def test_pruned_taps_are_refused(create: Create, images: Images) -> None:
    model = create("wavpool_dense_tiny")
    x = images(model)
    model.prune_intermediate_layers([0, 2])
    assert [key for key, _ in model.named_parameters()] == [
        f"block.levels.{level}.{part}" for level in (0, 2) for part in ("weight", "bias")
    ]
    assert [feature.shape[1] for feature in model.forward_intermediates(x, 2, intermediates_only=True)] == [192, 96]
    with pytest.raises(ValueError, match=r"the taps at \[1\] were pruned; choose from \[0, 2\]"):
        model.forward_intermediates(x, [0, 1])
    model.prune_intermediate_layers([0])
    assert model.block.sizes[-1] == (4, 4)
    assert len(model.block.levels) == 1
    with pytest.raises(ValueError, match="set_input_size needs all levels, and some were pruned"):
        model.set_input_size(64)


def test_pruning_removes_levels_that_are_never_pooled(create: Create, images: Images) -> None:
    whole = create("wavpool_paper_cifar10")
    x = images(whole)
    model = FeatureGetterNet(copy.deepcopy(whole), out_indices=(5,))
    torch.testing.assert_close(model(x)[0], whole.block(x)[:, :, None, None])
    assert sum(parameter.numel() for parameter in model.parameters()) < 0.15 * 201_672


def test_maps_of_small_kernels_are_cropped_to_the_image(create: Create) -> None:
    """A kernel of 2 with padding 1 adds half a pixel on each side of every layer."""
    model = create("cnn_paper_fashion_mnist")
    x = torch.randn(2, 1, 28, 28)
    final, taps = model.forward_intermediates(x)
    assert [tap.shape[2] for tap in taps] == [28] * 6
    assert torch.equal(taps[-1], final[:, :, 1:-1, 1:-1])
    assert torch.equal(taps[0], model.stages.conv1(x)[:, :, :-1, :-1])


def test_reset_classifier(name: str, create: Create, images: Images) -> None:
    model = create(name)
    x = images(model)
    features = model.forward_features(x)
    pooled = model.forward_head(features, pre_logits=True)
    assert pooled.shape == (2, model.head_hidden_size)
    model.reset_classifier(5)
    assert (model.num_classes, model(x).shape) == (5, (2, 5))
    model.reset_classifier(0)
    assert model.num_classes == 0
    torch.testing.assert_close(model(x), pooled)
    model.reset_classifier(0, "")
    torch.testing.assert_close(model(x), features)
    model.reset_classifier(3, "avg")
    assert model(x).shape == (2, 3)
    assert model.head_hidden_size == model.num_features == features.shape[1]


def test_created_without_classifier(name: str, create: Create, images: Images) -> None:
    model = create(name, num_classes=0)
    x = images(model)
    assert model(x).shape == (2, model.head_hidden_size)
    no_pool = create(name, num_classes=0, global_pool="")
    torch.testing.assert_close(no_pool(x), no_pool.forward_features(x))


def test_reset_classifier_keeps_device_dtype_and_mode(name: str, create: Create) -> None:
    model = create(name, train=True, dtype=torch.float64)
    model.reset_classifier(4)
    assert model.get_classifier().weight.dtype == torch.float64
    assert all(module.training for module in model.modules())
