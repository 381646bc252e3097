"""Every registered model: made as timm makes models, in every dtype, layout and mode."""

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

import wavpool

Create = Callable[..., Any]
Images = Callable[..., torch.Tensor]

# Parameters of the original's networks with the tuned settings, as its stored results give them.
PAPER_PARAMETERS = {
    "wavpool_paper_cifar10": 201_672,
    "wavpool_paper_fashion_mnist": 186_722,
    "wavpool_paper_mnist": 186_722,
    "mlp_paper_cifar10": 215_290,
    "mlp_paper_fashion_mnist": 217_045,
    "mlp_paper_mnist": 216_250,
    "cnn_paper_cifar10": 125_175,
    "cnn_paper_fashion_mnist": 154_154,
    "cnn_paper_mnist": 96_375,
    "wavmlp_paper_cifar10": 12_025,
    "wavmlp_paper_fashion_mnist": 21_799,
    "wavmlp_paper_mnist": 20_260,
}
TUNED = ("_cifar10", "_fashion_mnist", "_mnist")


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_every_model_is_listed_and_has_a_card(names: list[str]) -> None:
    assert {*PAPER_PARAMETERS} < {*names}
    assert timm.list_models("wavpool*") == [name for name in names if name.startswith("wavpool")]
    cards = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    for name in names:
        family = next((name.removesuffix(data) for data in TUNED if name.endswith(data)), name)
        assert f"`{family}" in cards, f"docs/models.md has no card of {name}"


def test_defaults(name: str, create: Create, images: Images) -> None:
    model = create(name)
    cfg = model.pretrained_cfg
    x = images(model)
    out = model(x)
    assert out.shape == (2, cfg["num_classes"])
    assert out.isfinite().all()
    assert torch.equal(out, model.forward_head(model.forward_features(x)))
    assert (model.num_classes, model.in_chans) == (cfg["num_classes"], cfg["input_size"][0])
    assert model.get_classifier() is model.head.fc
    weights = model.state_dict()
    first = cfg["first_conv"] if isinstance(cfg["first_conv"], tuple) else (cfg["first_conv"],)
    assert all(f"{prefix}.weight" in weights for prefix in (*first, cfg["classifier"]))


@pytest.mark.parametrize("img_size", [28, 32, (24, 40), (33, 17)])
@pytest.mark.parametrize("in_chans", [1, 3, 4])
def test_overrides(name: str, create: Create, img_size: Any, in_chans: int) -> None:
    size_argument = {"img_size": img_size} if timm.get_pretrained_cfg_value(name, "fixed_input_size") else {}
    model = create(name, in_chans=in_chans, num_classes=7, **size_argument)
    size = (img_size, img_size) if isinstance(img_size, int) else img_size
    assert model(torch.randn(2, in_chans, *size)).shape == (2, 7)
    assert (model.num_classes, model.in_chans) == (7, in_chans)


@pytest.mark.parametrize(("paper_name", "count"), PAPER_PARAMETERS.items())
def test_paper_parameter_counts(paper_name: str, count: int, create: Create) -> None:
    assert parameters(create(paper_name)) == count


def test_small_is_within_the_papers_count(create: Create) -> None:
    for data, (side, limit) in {"cifar10": (32, 201_672), "mnist": (28, 186_722)}.items():
        assert parameters(create("wavpool_dense_small", img_size=side, in_chans=1, num_classes=10)) <= limit, data


def always_zero(block: Any, index: int) -> torch.Tensor:
    """Coefficients `(3, h, w)` that no image has: differences of an odd length's last sample and its repetition."""
    level = block.level_numbers[index]
    zero = torch.zeros(3, *block.sizes[level], dtype=torch.bool)
    height, width = block.sizes[level - 1]
    zero[::2, -1, :] |= height % 2 == 1
    zero[1:, :, -1] |= width % 2 == 1
    return zero


@pytest.mark.parametrize("ours", ["wavpool_dense_tiny", "wavpool_dense_small", "wavpool_dense_base"])
@pytest.mark.parametrize(("img_size", "in_chans"), [(32, 3), (28, 1), ((20, 13), 1)])
def test_every_parameter_of_ours_is_live(ours: str, img_size: Any, in_chans: int, create: Create) -> None:
    model = create(ours, train=True, img_size=img_size, in_chans=in_chans, num_classes=10)
    size = (img_size, img_size) if isinstance(img_size, int) else img_size
    generator = torch.Generator().manual_seed(2)
    # Heavy tails, so that each unit of a maxout pair is the larger one for some image.
    x = torch.randn(256, in_chans, *size, generator=generator)
    x = x * torch.randn(256, in_chans, 1, 1, generator=generator).mul(1.5).exp()
    nn.functional.cross_entropy(model(x), torch.arange(256) % 10).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        live = parameter.grad != 0
        if match := re.fullmatch(r"block\.levels\.(\d+)\.weight", key):
            zero = always_zero(model.block, int(match[1]))[:, None, None]  # (3, hidden, in_chans, h, w)
            live |= zero.expand_as(live.unflatten(0, (3, -1))).flatten(0, 1)
        assert live.all(), f"{key}: {int((~live).sum())} of {parameter.numel()} without gradient"


def test_every_parameter_gets_a_gradient(name: str, create: Create, images: Images) -> None:
    model = create(name, train=True)
    model(images(model, 4)).square().mean().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


def test_paper_cifar10_is_nine_tenths_dead(create: Create, images: Images) -> None:
    model = create("wavpool_paper_cifar10", train=True)
    model(images(model, 256)).square().mean().backward()
    dead = sum(int((parameter.grad == 0).sum()) for parameter in model.parameters())
    assert 0.905 < dead / 201_672 < 0.915


def test_unknown_keyword(name: str) -> None:
    with pytest.raises(TypeError, match="hiden"):
        timm.create_model(name, hiden=12)


def test_arguments_reach_the_block(create: Create) -> None:
    model = create("wavpool_dense_tiny", hidden=[8, 9, 10, 11, 12], min_band=1, neck=0, kernel_size=(3, 3, 1))
    assert [linear.hidden for linear in model.block.levels] == [8, 9, 10, 11, 12]
    assert not [*model.neck.parameters()]
    assert (
        create("wavpool_paper", hidden=100.9, pooling=3.7).block.pool.extra_repr().startswith("kernel_size=(3, 3, 3)")
    )
    assert create("mlp_paper", hidden=50.7).stages.fc1.weight.shape[0] == 50
    assert create("wavmlp_paper", level=1).block.level_numbers == [5]
    assert create("cnn_paper", kernel_size=5.5, hidden_channels_1=2.9).stages.conv1.weight.shape == (2, 1, 5, 5)


@pytest.mark.parametrize("drop_rate", [0.5])
def test_dropout_acts_in_training_alone(name: str, create: Create, images: Images, drop_rate: float) -> None:
    plain, dropping = create(name), create(name, drop_rate=drop_rate)
    x = images(plain)
    assert torch.equal(plain(x), dropping(x))
    dropping.train()
    assert not torch.equal(dropping(x), dropping(x))


def test_bfloat16(name: str, create: Create, images: Images) -> None:
    model = create(name)
    x = images(model)
    expected = model(x)
    out = model.to(torch.bfloat16)(x.to(torch.bfloat16))
    assert out.dtype == torch.bfloat16
    assert (out.float() - expected).abs().max() <= 0.05 * (1 + expected.abs().max())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtype_of_construction(name: str, create: Create, images: Images, dtype: torch.dtype) -> None:
    model = create(name, dtype=dtype)
    tensors = [*model.parameters(), *model.buffers()]
    assert {tensor.dtype for tensor in tensors if tensor.is_floating_point()} == {dtype}
    assert model(images(model).to(dtype)).dtype == dtype


def test_float64_agrees(name: str, create: Create, images: Images) -> None:
    model = create(name)
    x = images(model)
    torch.testing.assert_close(copy.deepcopy(model).double()(x.double()).float(), model(x), rtol=1e-4, atol=1e-5)


def test_meta_device(name: str, create: Create, images: Images) -> None:
    model, on_meta = create(name), create(name, device="meta")
    assert {tensor.device.type for tensor in [*on_meta.parameters(), *on_meta.buffers()]} == {"meta"}
    assert on_meta(images(model).to("meta")).shape == (2, model.num_classes)
    filled = on_meta.to_empty(device="cpu")
    filled.load_state_dict(model.state_dict())
    x = images(model)
    assert torch.equal(filled(x), model(x))
    with torch.device("meta"):
        assert next(timm.create_model(name).parameters()).is_meta


def test_channels_last(name: str, create: Create, images: Images) -> None:
    model = create(name)
    x = images(model)
    expected = model(x)
    model = model.to(memory_format=torch.channels_last)
    out = model(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)


def test_grad_checkpointing(name: str, create: Create, images: Images) -> None:
    plain, saving = create(name, train=True), create(name, train=True)
    saving.set_grad_checkpointing()
    assert saving.grad_checkpointing
    x = images(plain, 4)
    outs = [model(x.clone().requires_grad_()) for model in (plain, saving)]
    torch.testing.assert_close(outs[1], outs[0])
    for out in outs:
        out.square().mean().backward()
    for (key, a), b in zip(plain.named_parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(b.grad, a.grad, msg=key)


def test_layer_groups(name: str, create: Create) -> None:
    model = create(name)
    groups = timm.models.group_parameters(model, model.group_matcher())
    assert len(groups) > 1
    assert sorted(key for keys in groups.values() for key in keys) == sorted(key for key, _ in model.named_parameters())
    assert not model.no_weight_decay()


def test_too_small_images_are_refused() -> None:
    with pytest.raises(ValueError, match="LeNet-5 needs images of at least 12 x 12, got 8 x 20"):
        timm.create_model("lenet5", img_size=(8, 20))
    with pytest.raises(ValueError, match="an image of 1 x 5 has no wavelet level"):
        timm.create_model("wavpool_dense_tiny", img_size=(1, 5))
    with pytest.raises(ValueError, match="an image of 6 x 6 is too small for kernels of 9"):
        timm.create_model("cnn_paper", img_size=6, kernel_size=9)
    with pytest.raises(ValueError, match="AlexNet needs images of at least 15 x 15, got 14 x 20"):
        timm.create_model("alexnet", img_size=(14, 20))


@pytest.mark.parametrize("name", ["lenet5", "cnn_paper", "mlp_paper", "wavpool_dense_tiny"])
def test_images_of_another_size_are_refused(name: str) -> None:
    model = timm.create_model(name, in_chans=1).eval()
    for images, message in [(torch.ones(2, 1, 28, 32), "height 28"), (torch.ones(2, 3, 32, 32), "3 channels")]:
        with pytest.raises(AssertionError, match=rf"images must be \(B, 1, 32, 32\), got {message}"):
            model(images)


def test_the_papers_cnn_takes_every_size_without_its_flat_head() -> None:
    model = timm.create_model("cnn_paper")
    model.reset_classifier(3, "avg")
    assert model(torch.ones(2, 1, 40, 41)).shape == (2, 3)
    model.reset_classifier(3, "flatten")
    with pytest.raises(AssertionError, match="got height 40"):
        model(torch.ones(2, 1, 40, 41))


def test_version_is_the_packages() -> None:
    assert wavpool.__version__.count(".") == 2
