"""Saved with timm.models.save_for_hf and made again from the folder, with other channels, classes or sizes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor

Create = Callable[..., Any]
Images = Callable[..., Tensor]


def save(model: Any, folder: Path, **model_args: Any) -> str:
    timm.models.save_for_hf(model, str(folder), model_args=model_args or None, safe_serialization=True)
    return f"local-dir:{folder}"


def load(location: str, **kwargs: Any) -> Any:
    return timm.create_model(location, pretrained=True, **kwargs).eval()


def test_round_trip(name: str, create: Create, images: Images, tmp_path: Path) -> None:
    model = create(name, num_classes=6)
    x = images(model)
    location = save(model, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["architecture"] == name
    assert load_file(tmp_path / "model.safetensors").keys() == model.state_dict().keys()
    again = load(location)
    assert again.num_classes == 6
    assert torch.equal(again(x), model(x))
    other_classes = load(location, num_classes=4)
    assert other_classes(x).shape == (2, 4)
    assert torch.equal(other_classes.forward_features(x), model.forward_features(x))


def test_colour_weights_on_gray_images(name: str, create: Create, tmp_path: Path) -> None:
    """A gray image is a colour image of equal channels: timm sums the weights of the channels."""
    height, width = create(name).pretrained_cfg["input_size"][1:]
    model = create(name, in_chans=3)
    model.pretrained_cfg["input_size"] = (3, height, width)
    gray = load(save(model, tmp_path), in_chans=1)
    x = torch.randn(2, 1, height, width, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(gray(x), model(x.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)


def test_gray_weights_on_colour_images(name: str, create: Create, tmp_path: Path) -> None:
    """timm repeats the weights over three channels, a third each: on equal channels nothing changes."""
    height, width = create(name).pretrained_cfg["input_size"][1:]
    model = create(name, in_chans=1)
    model.pretrained_cfg["input_size"] = (1, height, width)
    colour = load(save(model, tmp_path), in_chans=3)
    x = torch.randn(2, 1, height, width, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(colour(x.expand(-1, 3, -1, -1)), model(x), rtol=1e-4, atol=1e-5)


def test_other_size(name: str, create: Create, tmp_path: Path) -> None:
    size = {"img_size": (24, 40)} if timm.get_pretrained_cfg_value(name, "fixed_input_size") else {}
    model = create(name, **size)
    again = load(save(model, tmp_path, **size))
    x = torch.randn(2, model.in_chans, 24, 40)
    assert torch.equal(again(x), model(x))


def test_other_size_and_channels(create: Create, tmp_path: Path) -> None:
    """A 28 x 28 image has four levels, one less than the model's default configuration names."""
    model = create("wavpool_dense_tiny", img_size=28)
    gray = load(save(model, tmp_path, img_size=28), in_chans=1)
    x = torch.randn(2, 1, 28, 28)
    torch.testing.assert_close(gray(x), model(x.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weights", ["model.safetensors"])
def test_altered_weights_are_refused(create: Create, tmp_path: Path, weights: str) -> None:
    location = save(create("wavpool_dense_tiny"), tmp_path)
    with pytest.raises(RuntimeError, match="size mismatch"):
        load(location, hidden=65)
    (tmp_path / weights).write_bytes((tmp_path / weights).read_bytes()[:-100])
    with pytest.raises(Exception, match=r"(?i)header|incomplete|invalid"):
        load(location)
