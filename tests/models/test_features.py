"""timm's interfaces to what lies between image and logits."""

from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

Create = Callable[..., Any]
Images = Callable[..., Tensor]


def test_features_only(name: str, create: Create, images: Images) -> None:
    model = create(name, features_only=True)
    x = torch.randn(2, *create(name).pretrained_cfg["input_size"])
    maps = model(x)
    assert len(maps) >= 3
    assert [feature.shape[1] for feature in maps] == model.feature_info.channels()
    assert all(feature.ndim == 4 and feature.shape[0] == 2 for feature in maps)
    sum(feature.sum() for feature in maps).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


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
    assert torch.equal(taps[-1], final)
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
    for name, module in {"cnn_paper": "stages.bn2", "wavpool_tiny": "neck.1"}.items():
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
        torch.testing.assert_close(model.forward_features(x), taps[last])
        torch.testing.assert_close(model(x), taps[last])
        (only,) = model.forward_intermediates(x, [last], intermediates_only=True)
        torch.testing.assert_close(only, taps[last])
        model.train()
        kept = model.forward_intermediates(x, intermediates_only=True)
        assert len(kept) == last + 1
        sum(tap.square().sum() for tap in kept).backward()
        assert all(parameter.grad is not None for parameter in model.parameters()), f"tap {last}"


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
