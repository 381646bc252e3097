"""Weights that come with the package: files, metadata, timm's tags, model cards, accuracy on the real test images."""

import hashlib
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from generators import DataError
from training.config import load_config
from training.evaluation import parameter_count
from training.package_weights import LIMIT, measured, official_data
from training.train_model import _parser
from wavpool.models import model_card, save_for_hf
from wavpool.models._weights import FOLDER, entries, weights_path

NAMES = list(entries())
ONE = "wavpool_paper_mnist.mnist"
QUICK_MACS = 20_000_000  # above this, 10,000 images take over 20 seconds
GRAY_SIZE, COLOUR_SIZE = (1, 28, 28), (3, 32, 32)


def evaluated(name: str) -> Any:
    slow = entries()[name]["macs"] > QUICK_MACS
    return pytest.param(name, marks=pytest.mark.slow if slow else ())


def images(size: tuple[int, ...], count: int = 8) -> Tensor:
    return torch.rand(count, *size, generator=torch.Generator().manual_seed(0))


def test_each_file_has_an_entry() -> None:
    assert {path.name.removesuffix(".safetensors") for path in FOLDER.glob("*.safetensors")} == set(NAMES)
    assert ONE in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_digest_and_size(name: str) -> None:
    content = weights_path(name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == entries()[name]["sha256"]
    assert len(content) == entries()[name]["bytes"]


def test_all_weights_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= LIMIT + 100_000  # the index comes on top


@pytest.mark.parametrize("name", NAMES)
def test_entry(name: str) -> None:
    entry = entries()[name]
    assert set(entry) >= {"license", "data", "split", "seed", "commit", "epochs", "recipe", "top5", "test_images"}
    assert entry["accuracy"] > 0.1
    model = timm.create_model(name, pretrained=True)
    assert parameter_count(model) == entry["parameters"]
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    cfg = model.pretrained_cfg
    for key in ("input_size", "mean", "std"):
        assert cfg[key] == tuple(entry[key])
    assert (cfg["num_classes"], cfg["label_names"]) == (len(entry["class_names"]), tuple(entry["class_names"]))
    assert f"{cfg['architecture']}.{cfg['tag']}" == name


@pytest.mark.parametrize("name", NAMES)
def test_command_trains_by_the_config(name: str) -> None:
    recipe = entries()[name]["recipe"]
    _, _, _, *flags = shlex.split(recipe["command"])
    namespace = _parser().parse(flags)
    assert Path(namespace.config).parts[:2] == ("training", "configs")
    values = {key: value for key, value in vars(namespace).items() if key in ("model", "data", "seed")}
    assert {"seed": 0, **recipe["config"]}.items() >= {**values, "seed": int(values["seed"])}.items()


@pytest.mark.parametrize("name", [evaluated(name) for name in NAMES])
def test_accuracy_on_the_real_test_images(name: str) -> None:
    entry = dict(entries()[name])
    try:
        data = official_data(entry)
    except DataError as error:
        pytest.skip(f"{entry['data']}: {error}")
    found = measured(name, entry, weights_path(name), data)
    assert {key: entry[key] for key in found} == found


# timm.


def test_listed() -> None:
    listed = timm.list_pretrained("wavpool*")
    assert set(listed) == {name for name in NAMES if name.startswith("wavpool")}


@pytest.mark.parametrize("name", NAMES)
def test_default_tag(name: str) -> None:
    architecture = name.partition(".")[0]
    tags = [other.partition(".")[2] for other in NAMES if other.startswith(f"{architecture}.")]
    default = timm.get_pretrained_cfg(architecture)
    assert default is not None
    assert default.tag == ("cifar10" if "cifar10" in tags else tags[0])


def test_models_without_weights_stay_untrained() -> None:
    cfg = timm.get_pretrained_cfg("wavpool_paper")
    assert cfg is not None
    assert (cfg.tag, cfg.file) == ("untrained", None)
    with pytest.raises(RuntimeError, match="No pretrained weights exist"):
        timm.create_model("wavpool_paper", pretrained=True)


def test_name_without_tag_loads_the_same_weights() -> None:
    x = images(GRAY_SIZE)
    tagged, plain = (timm.create_model(name, pretrained=True).eval() for name in (ONE, ONE.partition(".")[0]))
    assert torch.equal(tagged(x), plain(x))


@pytest.mark.parametrize("name", NAMES)
def test_backbones(name: str) -> None:
    x = images(tuple(entries()[name]["input_size"]))
    model = timm.create_model(name, pretrained=True).eval()
    features = model.forward_features(x)
    other = timm.create_model(name, pretrained=True, num_classes=7).eval()
    assert other(x).shape == (8, 7)
    torch.testing.assert_close(other.forward_features(x), features)
    headless = timm.create_model(name, pretrained=True, num_classes=0).eval()
    torch.testing.assert_close(headless(x), model.forward_head(features, pre_logits=True))
    maps = timm.create_model(name, pretrained=True, features_only=True).eval()(x)
    torch.testing.assert_close(maps[-1].flatten(), model.forward_intermediates(x)[1][-1].flatten())


def test_gray_weights_on_colour_images() -> None:
    gray = timm.create_model(ONE, pretrained=True).eval()
    colour = timm.create_model(ONE, pretrained=True, in_chans=3).eval()
    x = images(GRAY_SIZE)
    torch.testing.assert_close(colour(x.expand(-1, 3, -1, -1)), gray(x), rtol=1e-2, atol=5e-3)  # timm keeps float16


@pytest.fixture
def colour_weights(tmp_path: Path) -> dict[str, Any]:
    """A `pretrained_cfg_overlay` of a femto whose BatchNorms have seen images with colours of unequal brightness."""
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = timm.create_model("wavpool_femto", num_classes=10)
    brightness = torch.tensor([1.0, 0.95, 0.9])[:, None, None]
    for seed in range(40):
        gray = torch.randn(32, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
        model(nn.functional.interpolate(gray, scale_factor=4, mode="bilinear") * brightness)
    save_file(model.state_dict(), tmp_path / "femto.safetensors")
    return {"file": str(tmp_path / "femto.safetensors"), "input_size": COLOUR_SIZE, "num_classes": 10}


def test_colour_weights_on_gray_images(colour_weights: dict[str, Any]) -> None:
    colour = timm.create_model("wavpool_femto", pretrained=True, pretrained_cfg_overlay=colour_weights).eval()
    gray = timm.create_model("wavpool_femto", pretrained=True, pretrained_cfg_overlay=colour_weights, in_chans=1).eval()
    x = nn.functional.interpolate(images((1, 8, 8), 32), scale_factor=4, mode="bilinear") * 2 - 1
    expected, found = colour(x.expand(-1, 3, -1, -1)), gray(x)
    assert (found - expected).norm() < 0.2 * (expected - expected.mean(0)).norm()


@pytest.mark.parametrize("in_chans", [1, 2, 4])
def test_other_channels_leave_nothing_random(colour_weights: dict[str, Any], in_chans: int) -> None:
    options: dict[str, Any] = {"pretrained": True, "pretrained_cfg_overlay": colour_weights, "in_chans": in_chans}
    x = images((in_chans, 32, 32))
    logits = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        logits.append(timm.create_model("wavpool_femto", **options).eval()(x))
    assert logits[0].isfinite().all()
    assert torch.equal(*logits)


# Model cards.


@pytest.mark.parametrize("name", NAMES)
def test_saved_with_its_card(name: str, tmp_path: Path) -> None:
    model = timm.create_model(name, pretrained=True).eval()
    save_for_hf(model, tmp_path)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    entry = entries()[name]
    for text in (f"# Model card for {name}", f"{100 * entry['accuracy']:.2f} %", f"{entry['parameters']:,}"):
        assert text in card
    if entry["accuracy_mirrored"] is not None:
        assert f"{100 * entry['accuracy_mirrored']:.2f} %" in card
    assert entry["recipe"]["command"] in card
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["num_classes"] == len(entry["class_names"])
    assert "file" not in config["pretrained_cfg"]
    again = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    x = images(tuple(entry["input_size"]))
    assert torch.equal(again(x), model(x))


def test_other_weights_need_a_card_of_their_own(tmp_path: Path) -> None:
    model = timm.create_model(ONE, pretrained=True)
    with torch.no_grad():
        next(model.parameters()).mul_(1.5)
    with pytest.raises(ValueError, match=r"not packaged ones.*card="):
        save_for_hf(model, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    save_for_hf(model, tmp_path / "new", card={"description": "Fine-tuned."})
    assert "Fine-tuned." in (tmp_path / "new" / "README.md").read_text()


def test_card_of_an_untagged_and_of_an_unknown_name() -> None:
    assert model_card("wavpool_paper_mnist") == model_card(ONE)
    with pytest.raises(ValueError, match=r"no weights called 'wavpool_giant'; choose from .*wavpool_paper_mnist"):
        model_card("wavpool_giant")


def test_configs_of_the_entries_are_complete() -> None:
    for entry in entries().values():
        assert load_config(None, entry["recipe"]["config"]).model == entry["recipe"]["config"]["model"]
