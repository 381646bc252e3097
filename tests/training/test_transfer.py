"""Transfer: trained weights on other images, against random ones."""

import csv
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from training.config import ConfigError, TrainConfig
from training.engine import fit, load
from training.networks import build_model
from training.pretrained import pretrained_kwargs
from training.transfer import RECIPE, load_config, table, transfer

MakeConfig = Callable[..., TrainConfig]
CNN = {"model": "vanilla_cnn", "optimizer": "adamw", "lr": 0.01, "normalize": True, "limit": (400, 100, 100)}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File of a small network trained on the digits."""
    folder = tmp_path_factory.mktemp("trained")
    fit(TrainConfig.checked(CNN | {"data": "digits", "epochs": 4, "accelerator": "cpu"}), folder, progress=False)
    return folder / "model.safetensors"


def test_every_mode_learns_and_is_run_once(weights: Path, make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(**CNN | {"epochs": 2, "seed": 1, "limit": (200, 100, 100), "batch_size": 20, "lr": 0.002})
    rows = [
        transfer(config, mode, tmp_path / mode, str(weights))
        for mode in ("probe", "random_probe", "finetune", "scratch")
    ]
    score = {row["mode"]: row["test_accuracy"] for row in rows}
    assert score["probe"] > score["random_probe"]
    assert min(score.values()) > 0.3  # the digits are too easy to tell fine-tuning from training from scratch
    assert score["finetune"] != score["scratch"]
    assert [row["images"] for row in rows] == [200] * 4
    assert [row["weights"] for row in rows] == [str(weights), "random", str(weights), "random"]
    assert table(rows).count("\n") == 6
    saved = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/metrics.json")}
    assert [transfer(config, row["mode"], tmp_path / row["mode"], str(weights)) for row in rows] == rows
    assert saved == {path: path.stat().st_mtime_ns for path in saved}  # read, not trained again
    with pytest.raises(ConfigError, match=r"other settings \(epochs, batch_size, lr, seed\)"):
        transfer(
            make_config(**CNN | {"epochs": 1, "limit": (200, 100, 100)}), "probe", tmp_path / "probe", str(weights)
        )


def test_all_but_the_classifier_is_taken(weights: Path, make_config: MakeConfig) -> None:
    config = make_config(**CNN, model_kwargs=pretrained_kwargs("vanilla_cnn", weights))
    state, stored = build_model(config, load(config)).state_dict(), load_file(weights)
    same = {key for key, value in state.items() if torch.equal(value, stored[key])}
    assert set(state) - same == {"head.fc.weight", "head.fc.bias"}


def test_the_recipe_is_the_same_for_all_modes() -> None:
    config = load_config(RECIPE, {"model": "wavpool_femto"})
    assert (config.data, config.split, config.normalize) == ("fashion_mnist", "official", True)
    with pytest.raises(ConfigError, match="unknown mode 'prob' \\(did you mean 'probe'\\?\\)"):
        transfer(config, "prob", Path("none"))


def test_the_command(weights: Path, start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    common = [
        "--model",
        "vanilla_cnn",
        "--data",
        "digits",
        "--color",
        "gray",
        "--mode",
        "probe",
        "--limit",
        200,
        100,
        100,
    ]
    process = start(
        "training.transfer",
        *common,
        "--checkpoint",
        weights,
        "--output",
        tmp_path,
        "--table",
        tmp_path / "a" / "digits",
    )
    wrong = start("training.transfer", *common, "--output", tmp_path / "none")
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    with (tmp_path / "a" / "digits.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["test_accuracy"]) > 0.7
    assert (tmp_path / "a" / "digits.md").read_text() == (tmp_path / "transfer.md").read_text()
    assert (tmp_path / "transfer.md").read_text() in out
    _, errors = wrong.communicate(timeout=300)
    assert wrong.returncode == 2
    assert errors == "error: model 'vanilla_cnn' has no pretrained weights; give a --checkpoint\n"
