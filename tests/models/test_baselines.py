"""The baselines: published sizes, published weights, and image sizes chosen at run time."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from generators import BatchLoader, load_data
from wavpool.evaluation.metrics import evaluate, predict
from wavpool.models import CifarResNet, WaveMixLite, WTConvNeXt
from wavpool.models.resnet_cifar import BasicBlock

Create = Callable[..., Any]
Find = Callable[[str], Path]

# Millions of parameters: table 6 of the ResNet paper. Millions of multiply-adds on 32 x 32: the tables of
# chenyaofo/pytorch-cifar-models, whose shortcuts are 1 x 1 convolutions where ours have no parameters.
RESNETS = {20: (0.27, 40.8), 32: (0.46, 69.1), 44: (0.66, 97.4), 56: (0.85, 125.8)}
PROJECTIONS = (16 * 32 * 16 * 16 + 32 * 64 * 8 * 8) / 1e6
WAVEMIX = {"8_10": 3_566, "8_5": 7_156, "32_7": 37_058, "64_6": 520_106}  # its table of parameter efficiency


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("depth", "published"), RESNETS.items())
def test_resnets_have_the_published_size(depth: int, published: tuple[float, float]) -> None:
    model = timm.create_model(f"resnet{depth}", device="meta")
    assert parameters(model) / 1e6 == pytest.approx(published[0], abs=0.006)
    with FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, 32, 32, device="meta"))
    assert counter.get_total_flops() / 2e6 == pytest.approx(published[1] - PROJECTIONS, abs=0.06)


@pytest.mark.parametrize(("size", "published"), WAVEMIX.items())
def test_wavemix_has_the_published_number_of_parameters(size: str, published: int) -> None:
    assert parameters(timm.create_model(f"wavemix_lite_{size}")) == published


def test_wtconvnext_is_as_large_as_resnet20() -> None:
    sizes = {}
    for name in ("wtconvnext_pico", "resnet20"):
        model = timm.create_model(name).eval()
        with FlopCounterMode(display=False) as counter:
            model(torch.zeros(1, 3, 32, 32))
        sizes[name] = (parameters(model), counter.get_total_flops())
    for ours, theirs in zip(sizes["wtconvnext_pico"], sizes["resnet20"], strict=True):
        assert 0.8 * theirs < ours <= theirs


def test_wtconvnext_settings_per_stage_are_checked() -> None:
    with pytest.raises(ValueError, match="channels, depths and levels need one entry per stage each, got 2, 3 and 3"):
        WTConvNeXt((8, 16))


def test_wtconvnext_layer_scale(create: Create) -> None:
    model = create("wtconvnext_pico", ls_init_value=0.0)
    x = torch.randn(1, 3, 32, 32)
    taps = model.forward_intermediates(x, intermediates_only=True)
    assert torch.equal(taps[0], taps[1])  # blocks add nothing at the start


def test_other_baselines_keep_their_sizes() -> None:
    for name, count in {"resnet8": 75_290, "vgg9_bn": 1_424_938, "alexnet": 57_044_810}.items():
        assert parameters(timm.create_model(name, num_classes=10, device="meta")) == count


def test_a_resnet_of_another_depth_is_refused() -> None:
    with pytest.raises(ValueError, match=r"6 n \+ 2 layers .* not 18"):
        CifarResNet(18)


def test_shortcut_takes_every_second_pixel_and_pads_channels_on_both_sides() -> None:
    block = BasicBlock(2, 4, stride=2).eval()
    nn.init.zeros_(block.bn2.weight)  # what is left is the shortcut
    x = torch.rand(1, 2, 5, 6)
    expected = torch.zeros(1, 4, 3, 3)
    expected[:, 1:3] = x[:, :, ::2, ::2]
    assert torch.equal(block(x), expected)


@pytest.mark.parametrize("depth", [20, pytest.param(56, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_shared_weights_reach_their_accuracy(depth: int, find_data: Find, cifar10_dir: Path) -> None:
    path = find_data(f"weights/resnet{depth}_cifar10.safetensors")
    model = timm.create_model(f"resnet{depth}", pretrained=True, pretrained_cfg_overlay={"file": str(path)}).eval()
    cfg = model.pretrained_cfg
    test = load_data("cifar10", split="official", download=False).test
    result = evaluate(predict(model, BatchLoader(test, 500, mean=cfg["mean"], std=cfg["std"])))
    assert result["accuracy"].value == pytest.approx({20: 0.9173, 56: 0.9339}[depth], abs=1e-9)


def test_checkpoints_with_other_names_load(create: Create, tmp_path: Path) -> None:
    model = create("resnet8", train=True)
    x = torch.randn(8, 3, 32, 32)
    model(x)  # statistics that a new model does not have
    names = {"stages.stem.conv": "module.conv1", "stages.stem.bn": "module.bn1", "head.": "module."}
    names |= {f"stages.stage{index}": f"module.layer{index}" for index in (1, 2, 3)}
    weights = {}
    for key, value in model.state_dict().items():
        for ours, other in names.items():
            key = key.replace(ours, other)
        weights[key] = value
    save_file(weights, tmp_path / "weights.safetensors")
    overlay = {"file": str(tmp_path / "weights.safetensors")}
    again = timm.create_model("resnet8", pretrained=True, pretrained_cfg_overlay=overlay).eval()
    assert torch.equal(again(x), model.eval()(x))
    features = timm.create_model("resnet8", pretrained=True, pretrained_cfg_overlay=overlay, features_only=True).eval()
    torch.testing.assert_close(features(x)[-1], model.forward_features(x))


def test_convolutional_models_take_any_size_at_run_time(name: str, create: Create) -> None:
    if timm.get_pretrained_cfg_value(name, "fixed_input_size"):
        pytest.skip("this model is made for one image size")
    model, features = create(name), create(name, features_only=True)
    for size in ((16, 16), (32, 32), (17, 45)):
        x = torch.randn(1, model.in_chans, *size)
        assert model(x).shape == (1, model.num_classes)
        for tap, reduction in zip(features(x), features.feature_info.reduction(), strict=True):
            for side, whole in zip(tap.shape[2:], size, strict=True):
                assert whole // reduction <= side <= -(-whole // reduction)


def test_wavemix_mixes_all_positions_of_a_cell_and_more(create: Create) -> None:
    """With one block, a pixel changes outputs beyond the reach of the stem's two 3 x 3 convolutions."""
    model = WaveMixLite(8, 1).eval()
    x = torch.randn(1, 3, 17, 16)
    moved = x.clone()
    moved[..., 8, 8] += 1
    changed = (model.forward_features(moved) - model.forward_features(x)).abs().amax((0, 1)) > 0
    rows = changed.any(1).nonzero().flatten()
    assert rows.min() < 6
    assert rows.max() > 10
    assert not changed[0, 0]


@pytest.mark.parametrize("name", ["resnet8", "wavemix_lite_8_5", "wtconvnext_pico"])
def test_stochastic_depth_acts_in_training_alone(name: str, create: Create) -> None:
    plain, dropping = create(name), create(name, drop_path_rate=0.9)
    x = torch.randn(4, plain.in_chans, 32, 32)
    assert torch.equal(plain(x), dropping(x))
    plain.train()
    torch.testing.assert_close(copy.deepcopy(plain)(x), plain(x))
    dropping.train()
    assert not torch.equal(dropping(x), dropping(x))


@pytest.mark.parametrize(
    "name", ["resnet8", "wavemix_lite_8_5", "vanilla_cnn", "vgg9_bn", "alexnet", "wtconvnext_pico"]
)
def test_activation_by_name(name: str, create: Create) -> None:
    model = create(name, act_layer="silu", device="meta")
    assert any(isinstance(module, nn.SiLU) for module in model.modules())
    assert not any(isinstance(module, nn.ReLU | nn.GELU) for module in model.modules())


@pytest.mark.parametrize("name", ["resnet8", "wavemix_lite_8_5", "vanilla_cnn", "vgg9_bn"])
def test_other_normalisation(name: str, create: Create) -> None:
    model = create(name, norm_layer=lambda channels, **factory: nn.GroupNorm(4, channels, **factory))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert model(torch.randn(1, model.in_chans, 32, 32)).isfinite().all()


def test_flatten_is_refused_where_any_size_fits() -> None:
    with pytest.raises(ValueError, match="needs images of one size"):
        timm.create_model("vanilla_cnn", global_pool="flatten")


def test_wavemix_channels_are_checked() -> None:
    with pytest.raises(ValueError, match="channels must be a multiple of 4, one quarter for each Haar band, got 18"):
        WaveMixLite(18, 2)


def test_alexnet_takes_small_images_at_stride_1(create: Create) -> None:
    small, large = create("alexnet", device="meta"), create("alexnet", img_size=224, device="meta")
    assert (small.stages.conv1.conv.stride, large.stages.conv1.conv.stride) == ((1, 1), (4, 4))
    assert parameters(small) == parameters(large)
    assert large(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 1000)


def test_a_pyramid_on_the_features(name: str, create: Create) -> None:
    """torchvision's FPN joins maps of several reductions; all weights below it get gradients."""
    ops = pytest.importorskip("torchvision.ops")
    backbone = create(name, features_only=True, train=True)
    if len(set(backbone.feature_info.reduction())) == 1:
        pytest.skip("all taps have one reduction")
    pyramid = ops.FeaturePyramidNetwork(backbone.feature_info.channels(), 8)
    maps = backbone(torch.randn(2, *create(name).pretrained_cfg["input_size"]))
    levels: dict[str, Tensor] = pyramid({str(index): tap for index, tap in enumerate(maps)})
    assert [level.shape for level in levels.values()] == [(2, 8, *tap.shape[2:]) for tap in maps]
    sum(level.square().mean() for level in levels.values()).backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())
    assert all(parameter.grad is not None for parameter in pyramid.parameters())
