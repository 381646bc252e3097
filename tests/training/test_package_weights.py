"""`python -m training.package_weights`: from finished runs to files and entries."""

import json
import shlex
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from training import package_weights
from training.config import TrainConfig, load_config
from training.engine import fit
from training.package_weights import command_of, main, stored
from training.train_model import _parser


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a tiny network on the digits."""
    folder = tmp_path_factory.mktemp("runs") / "mlp"
    settings = {"model": "mlp_paper_mnist", "data": "digits", "epochs": 1, "model_kwargs": {"img_size": 8}}
    fit(TrainConfig.checked({**settings, "normalize": True}), folder, progress=False)
    return folder


def packaged(run: Path, folder: Path, *flags: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(run), "--folder", str(folder), *flags])
    return int(stopped.value.code or 0)


def test_file_and_entry(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert packaged(run, tmp_path) == 0
    (entry,) = json.loads((tmp_path / "weights.json").read_text()).values()
    file = tmp_path / "mlp_paper_mnist.digits.safetensors"
    assert entry["bytes"] == file.stat().st_size
    metrics = json.loads((run / "metrics.json").read_text())
    assert entry["accuracy"] == pytest.approx(metrics["test"]["accuracy"])
    assert (entry["parameters"], entry["accuracy_mirrored"]) == (metrics["parameters"], None)
    assert (entry["input_size"], entry["seed"], entry["epochs"]) == ([1, 8, 8], 0, 1)
    assert entry["mean"][0] > 0
    assert f"accuracy {entry['accuracy']:.4f}" in capsys.readouterr().out


def test_packaging_again_replaces(run: Path, tmp_path: Path) -> None:
    assert packaged(run, tmp_path) == packaged(run, tmp_path) == packaged(run, tmp_path, "--tag", "other") == 0
    assert list(json.loads((tmp_path / "weights.json").read_text())) == [
        "mlp_paper_mnist.digits",
        "mlp_paper_mnist.other",
    ]


def test_too_many_bytes(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(package_weights, "LIMIT", 1000)
    assert packaged(run, tmp_path) == 2
    assert "at most 1,000 are allowed; remove others first" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_no_finished_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert packaged(tmp_path, tmp_path) == 2
    assert "holds no finished run: it lacks config.yaml" in capsys.readouterr().err


def test_weights_of_another_network(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "run"
    other.mkdir()
    for name in ("config.yaml", "metrics.json"):
        (other / name).write_bytes((run / name).read_bytes())
    weights = load_file(run / "model.safetensors")
    save_file({f"odd.{name}": value for name, value in weights.items()}, other / "model.safetensors")
    assert packaged(other, tmp_path / "to") == 2
    assert "do not fit the model" in capsys.readouterr().err
    assert not list((tmp_path / "to").iterdir())


def test_large_networks_are_stored_in_halves() -> None:
    large = {"conv.weight": torch.randn(300, 300), "bn.weight": torch.rand(300), "steps": torch.tensor(3)}
    kept = stored(large)
    assert [value.dtype for value in kept.values()] == [torch.float16, torch.float32, torch.int64]
    small = {"conv.weight": torch.randn(30, 30)}
    assert torch.equal(stored(small)["conv.weight"], small["conv.weight"])
    with pytest.raises(package_weights.ConfigError, match=r"conv.weight are not finite"):
        stored({"conv.weight": torch.full((400, 400), 1e6)})


@pytest.mark.parametrize(
    ("file", "settings"),
    [
        ("zoo.yaml", {"model": "wavpool_femto", "data": "cifar10", "epochs": 36, "seed": 2}),
        ("zoo.yaml", {"model": "wavpool_zepto", "data": "mnist", "lr": 0.02, "channels_last": False}),
        ("paper.yaml", {"model": "cnn_paper_mnist", "data": "mnist"}),
        ("zoo.yaml", {"model": "resnet20", "data": "cifar10", "model_kwargs": {"drop_rate": 0.1}, "ema": 0.99}),
    ],
)
def test_the_command_gives_the_config_back(file: str, settings: dict[str, object]) -> None:
    from training.cli import field_values

    config = load_config(package_weights.CONFIGS / file, settings)
    command = command_of(config)
    assert command.startswith(f"python -m training.train_model --config training/configs/{file} ")
    namespace = _parser().parse(shlex.split(command)[3:])
    assert load_config(namespace.config, field_values(namespace, TrainConfig)) == config
