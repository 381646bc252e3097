"""Segmentation: scenes, pyramids on any backbone, the command."""

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from generators import DataError, load_data
from training.config import ConfigError
from training.pyramid import build_pyramid, foreground_iou
from training.scenes import THRESHOLD, Scenes, make_scenes
from training.segment import SegmentConfig, run, segment

Start = Callable[..., subprocess.Popen[str]]


def config(**overrides: Any) -> SegmentConfig:
    small = {
        "backbone": "vanilla_cnn",
        "data": "digits",
        "size": 24,
        "train_scenes": 40,
        "test_scenes": 10,
        "epochs": 1,
    }
    return SegmentConfig.checked(small | overrides)


def cropped(mask: Tensor) -> tuple[object, ...]:
    """What there is of a mask, wherever it lies."""
    kept = mask[mask.any(1)][:, mask.any(0)]
    return tuple(kept.shape), kept.numpy().tobytes()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), size=st.integers(8, 30))
def test_a_mask_is_the_silhouette_of_an_image(seed: int, size: int) -> None:
    split = load_data("digits").train
    scenes = make_scenes(split, 3, size, objects=1, seed=seed)
    shapes = {cropped(silhouette) for silhouette in split.images[:, 0] > THRESHOLD}
    assert all(cropped(mask) in shapes for mask in scenes.masks[:, 0])
    again = make_scenes(split, 3, size, objects=1, seed=seed)
    assert torch.equal(again.images, scenes.images)


def test_scenes_hold_the_pixels_of_the_objects() -> None:
    split = load_data("digits", color="rgb").train
    scenes = make_scenes(split, 50, 24, objects=3)
    assert scenes.images.shape == (50, 3, 24, 24)
    inside, outside = scenes.images[:, :1][scenes.masks].float(), scenes.images[:, :1][~scenes.masks].float()
    assert inside.mean() > outside.mean() + 40
    assert outside.std() > 20  # a gradient and noise, not black
    with pytest.raises(DataError, match="scenes of 7 x 7 pixels cannot hold images of 8 x 8; use a larger size"):
        make_scenes(split, 1, 7)


def test_iou_counts_pixels() -> None:
    class Brightness(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images - 100

    images = torch.tensor([[[[200, 200], [0, 0]]], [[[200, 0], [0, 0]]]], dtype=torch.uint8)
    masks = torch.tensor([[[[True, False], [True, False]]], [[[True, False], [False, False]]]])
    assert foreground_iou(Brightness(), Scenes(images, masks), batch_size=1) == pytest.approx(2 / 4)


@pytest.mark.parametrize(
    ("backbone", "finest", "reductions"),
    [
        ("wavpool_femto", 2, [2, 4, 8]),
        ("vanilla_cnn", 2, [2, 4, 8, 16]),
        ("vanilla_cnn", 4, [4, 8, 16]),
        ("resnet20", 1, [1, 2, 4]),
        ("test_resnet", 2, [2, 4, 8, 16, 32]),
    ],
)
def test_the_pyramid_begins_where_it_is_told(backbone: str, finest: int, reductions: list[int]) -> None:
    scenes = make_scenes(load_data("digits").test, 2, 32)
    model = build_pyramid(config(backbone=backbone, finest=finest, size=32), scenes)
    assert model.backbone.feature_info.reduction() == reductions
    model(scenes.images.float()).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_it_learns_and_the_seed_decides() -> None:
    first, model, test = segment(config(train_scenes=200, epochs=3))
    assert first["iou"] > 0.5
    assert foreground_iou(model, test) == pytest.approx(first["iou"])
    rows = [segment(config(seed=seed))[0] for seed in (0, 0, 1)]
    assert rows[0]["iou"] == rows[1]["iou"]
    assert rows[0]["train_loss"] == rows[1]["train_loss"] != rows[2]["train_loss"]


def test_pretrained_weights_are_loaded(tmp_path: Path) -> None:
    scenes = make_scenes(load_data("digits").train, 2, 24)
    trained = build_pyramid(config(), scenes).backbone.model
    weights = {**trained.state_dict(), "head.fc.weight": torch.zeros(7, 160), "head.fc.bias": torch.zeros(7)}
    save_file(weights, tmp_path / "cnn.safetensors")
    model = build_pyramid(config(checkpoint=str(tmp_path / "cnn.safetensors")), scenes).backbone.model
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    with pytest.raises(ConfigError, match=r"cnn.safetensors is not of model 'resnet20': it has no \S+; give the model"):
        build_pyramid(config(backbone="resnet20", checkpoint=str(tmp_path / "cnn.safetensors")), scenes)
    with pytest.raises(ConfigError, match="cannot be read as safetensors"):
        build_pyramid(config(checkpoint=str(tmp_path / "absent")), scenes)
    with pytest.raises(ConfigError, match="'vanilla_cnn' has no pretrained weights; give a --checkpoint"):
        build_pyramid(config(pretrained=True), scenes)


def test_the_command(start: Start, tmp_path: Path) -> None:
    arguments = ["--data", "digits", "--size", 24, "--train-scenes", 32, "--test-scenes", 8, "--epochs", 1]
    process = start("training.segment", "--backbone", "vanilla_cnn", *arguments, "--seeds", 0, 1, "--output", tmp_path)
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    with (tmp_path / "segment.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows] == ["0", "1"]
    assert (tmp_path / "segment.md").read_text() in out
    stored = json.loads((tmp_path / "metrics.json").read_text())
    assert stored["runs"][1]["config"]["seed"] == 1
    assert float(rows[1]["iou"]) == pytest.approx(stored["runs"][1]["result"]["iou"])
    with Image.open(tmp_path / "vanilla_cnn.png") as picture:
        picture.verify()
    assert run([config(train_scenes=32, test_scenes=8, seed=1)], tmp_path) == [
        each["result"] for each in stored["runs"]
    ]
    with pytest.raises(ConfigError, match=r"holds runs with other settings \(objects\); give another --output"):
        run([config(train_scenes=32, test_scenes=8, objects=3)], tmp_path)


def test_mistakes_are_one_sentence(start: Start, tmp_path: Path) -> None:
    common = ("training.segment", "--data", "digits", "--size", "24", "--output", tmp_path / "none", "--backbone")
    wrong = {
        "wavpool_fento": "unknown model 'wavpool_fento' (did you mean 'wavpool_femto'?)",
        "vanilla_mlp": "backbone 'vanilla_mlp' gives no pyramid of 24 x 24",
    }
    for (name, message), process in zip(wrong.items(), [start(*common, name) for name in wrong], strict=True):
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 2
        assert errors.startswith(f"error: {message}")
        assert errors.count("\n") == 1, name
    assert not (tmp_path / "none").exists()


def test_the_page_shows_the_table() -> None:
    root = Path(__file__).parents[2]
    assert (root / "results/segment/segment.md").read_text() in (root / "docs/downstream.md").read_text()
