"""The convolutional WavPool family: sizes, any image size, feature maps, and what is no strided convolution."""

import pytest
import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.ops import FeaturePyramidNetwork

from wavpool.models import WavPoolNet

# The most parameters and multiply-adds (millions) of the CIFAR-10 rows that the variants are made for; gray at 28 x 28.
LIMITS = {
    "wavpool_zepto": (1, 2_500, None),
    "wavpool_atto": (1, 5_000, None),
    "wavpool_femto": (3, 20_000, None),
    "wavpool_pico": (3, 79_000, 12.5),
    "wavpool_nano": (3, 100_000, None),
    "wavpool_tiny": (3, 200_000, 41),
    "wavpool_small": (3, 870_000, 126),
    "wavpool_base": (3, 2_000_000, None),
    "wavpool_large": (3, 10_000_000, None),
}


@pytest.mark.parametrize(("name", "limits"), LIMITS.items())
def test_sizes_keep_within_their_rows(name: str, limits: tuple[int, int, float | None]) -> None:
    chans, parameters, macs = limits
    model = timm.create_model(name, in_chans=chans).eval()
    count = sum(parameter.numel() for parameter in model.parameters())
    assert 0.9 * parameters < count <= parameters
    if macs is not None:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(torch.zeros(1, chans, 32, 32))
        assert counter.get_total_flops() / 2e6 <= macs


@pytest.mark.parametrize("size", [(16, 16), (28, 28), (33, 47), (64, 40)])
@pytest.mark.parametrize("name", ["wavpool_femto", "wavpool_tiny_224"])
def test_one_set_of_weights_takes_any_image_size(name: str, size: tuple[int, int]) -> None:
    model = timm.create_model(name, features_only=True, out_indices=(0, 1, 2))
    maps = model(torch.randn(2, 3, *size))
    reductions = model.feature_info.reduction()
    assert reductions == ([2, 4, 8] if name == "wavpool_femto" else [4, 8, 16])
    for feature, reduction in zip(maps, reductions, strict=True):
        assert feature.shape[2:] == tuple(-(-side // reduction) for side in size)
    assert timm.create_model(name, num_classes=7).eval()(torch.randn(2, 3, *size)).shape == (2, 7)


def test_no_convolution_is_strided() -> None:
    for name in timm.list_models("wavpool_*", exclude_filters=["*dense*", "*paper*"]):
        model = timm.create_model(name)
        assert all(module.stride == (1, 1) for module in model.modules() if isinstance(module, nn.Conv2d)), name


@pytest.mark.parametrize("pool", ["max", "average", "moduli"])
@pytest.mark.parametrize("wavelet", ["haar", "db2"])
@pytest.mark.parametrize("stem_levels", [0, 1, 2])
def test_wavelets_pools_and_stems(pool: str, wavelet: str, stem_levels: int) -> None:
    model = WavPoolNet(
        in_chans=2, num_classes=3, widths=(8, 12), depths=(1, 1), pool=pool, wavelet=wavelet, stem_levels=stem_levels
    )
    logits = model(torch.randn(4, 2, 24, 20))
    logits.square().sum().backward()
    assert logits.shape == (4, 3)
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_arguments_reach_their_layers() -> None:
    model = timm.create_model(
        "wavpool_femto",
        drop_path_rate=0.3,
        act_layer="relu",
        bn_momentum=0.2,
        bn_eps=1e-4,
        kernel_size=5,
        drop_rate=0.1,
    )
    kinds = [type(module).__name__ for module in model.modules()]
    assert "GELU" not in kinds
    assert kinds.count("DropPath") == 6  # not the first of seven blocks, whose rate is 0
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.momentum, norm.eps) for norm in norms} == {(0.2, 1e-4)}
    assert model.stages.stage2.block0.conv_dw.kernel_size == (5, 5)
    grouped = timm.create_model("wavpool_femto", norm_layer="groupnorm1")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in grouped.modules())


def test_a_feature_pyramid_learns_on_it() -> None:
    backbone = timm.create_model("wavpool_femto", features_only=True)
    pyramid = FeaturePyramidNetwork(backbone.feature_info.channels(), 16)
    maps = pyramid(dict(enumerate(backbone(torch.randn(2, 3, 40, 40)))))
    assert [feature.shape[2] for feature in maps.values()] == [20, 10, 5]
    sum(feature.mean() for feature in maps.values()).backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())


@pytest.mark.parametrize("coarse", [False, True])
def test_groups_of_layers_follow_depth(coarse: bool) -> None:
    """The stem, then the stages, or their blocks, the first with what widens the map; the head is last."""
    model = timm.create_model("wavpool_femto")
    groups = timm.models.group_parameters(model, model.group_matcher(coarse))
    assert [key for key in groups[0] if "stage2" in key] == []
    assert len(groups) == 1 + {False: 7, True: 3}[coarse] + 1, groups.keys()
    order = [name for number in sorted(groups, key=float) for name in groups[number]]
    assert sorted(order) == sorted(name for name, _ in model.named_parameters())
    assert order[-1].startswith("head")


def test_split_batch_norm() -> None:
    model = timm.layers.convert_splitbn_model(timm.create_model("wavpool_femto"), 2)
    assert model(torch.randn(4, 3, 32, 32)).shape == (4, 10)


@pytest.mark.parametrize("chans", [1, 4])
def test_weights_of_colour_images_fit_other_channels(chans: int) -> None:
    torch.manual_seed(0)
    colour = timm.create_model("wavpool_femto").train()
    colour(torch.rand(64, 1, 32, 32).expand(-1, 3, -1, -1))  # statistics that differ from the start
    overlay = {"state_dict": colour.state_dict()}
    model = timm.create_model("wavpool_femto", pretrained=True, in_chans=chans, pretrained_cfg_overlay=overlay).eval()
    image = torch.rand(2, 1, 32, 32)
    expected = colour.eval()(image.expand(-1, 3, -1, -1))
    logits = model(image.expand(-1, chans, -1, -1))
    assert logits.shape == expected.shape
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)  # exact, as all channels are alike


def test_a_checkpoint_of_the_former_dense_network_is_told_apart() -> None:
    former = timm.create_model("wavpool_dense_small", num_classes=10).state_dict()
    with pytest.raises(ValueError, match="now called wavpool_dense_small"):
        timm.create_model("wavpool_small").load_state_dict(former)


def test_widths_and_depths_belong_together() -> None:
    with pytest.raises(ValueError, match="widths and depths are one number per stage each, got 3 and 2"):
        WavPoolNet(widths=(8, 8, 8), depths=(1, 1))


def test_onnx_with_dynamic_sizes() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model = timm.create_model("wavpool_femto").eval()
    images = torch.randn(2, 3, 32, 32)
    dims = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    program = torch.onnx.export(model, (images,), dynamo=True, dynamic_shapes=(dims,), verbose=False)
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    for size in ((2, 3, 32, 32), (5, 3, 41, 28)):
        x = torch.randn(size)
        (logits,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        torch.testing.assert_close(torch.from_numpy(logits), model(x), atol=1e-4, rtol=1e-4)


def test_export_with_dynamic_sizes() -> None:
    model = timm.create_model("wavpool_femto").eval()
    dims = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    exported = torch.export.export(model, (torch.randn(2, 3, 32, 32),), dynamic_shapes=(dims,)).module()
    for size in ((2, 3, 32, 32), (5, 3, 41, 28)):
        x = torch.randn(size)
        torch.testing.assert_close(exported(x), model(x), atol=1e-5, rtol=1e-5)
