"""Spectral layers in training: the ancestor's command, its flags and what is logged."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from generators import load_data
from generators.batches import resized
from training.config import FREQUENCIES, ConfigError, TrainConfig, load_config
from training.engine import fit
from training.networks import build_model, build_optimizer
from training.train_model import _renamed
from wavpool.layers import SpectralConv2d, SpectralLinear
from wavpool.layers.spectral.sinusoids import FAMILIES

MakeConfig = Callable[..., TrainConfig]
DIGITS = {"model": "lenet", "image_size": 32, "optimizer": "adamw", "lr": 0.003}


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "training.train_model", *arguments], capture_output=True, text=True, check=False
    )


def test_the_ancestors_flags() -> None:
    given = ["--model=alexnet", "--kernel", "dct", "--max_epochs=3", "--dataset", "cifar10", "--rep", "--batch_size=64"]
    assert _renamed(given) == [
        *("--model=alexnet", "--kernel", "dct", "--epochs=3", "--data", "cifar10"),
        *("--seed", "87", "--deterministic", "--batch-size=64"),
    ]
    assert _renamed(["--rep=False", "--nodes=2"]) == ["--num-nodes=2"]


def test_two_runs_of_the_command_are_the_same_to_the_bit(tmp_path: Path) -> None:
    for name in ("one", "two"):
        done = command(
            *("--model=lenet", "--kernel=dct", "--layers=all", "--dataset=digits", "--max_epochs=2", "--image-size=32"),
            *("--rep", "--devices=1", "--accelerator=cpu", "--output", str(tmp_path / name)),
        )
        assert done.returncode == 0, done.stderr
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert all(torch.equal(value, two[key]) for key, value in one.items())
    metrics = json.loads((tmp_path / "one" / "metrics.json").read_text())
    assert metrics["parameters"] == 4052
    assert metrics["bytes"] == (tmp_path / "one" / "model.safetensors").stat().st_size
    assert metrics["flops"] > 0
    assert metrics["provenance"]["seed"] == 87
    assert metrics["provenance"]["cost"]["peak_rss_mb"] > 0


@pytest.mark.parametrize("kernel", ["dct", "dst", "dft", "shannon", "realshannon", "hadamard", "haar", "db2"])
@pytest.mark.parametrize("layers", ["linear", "conv", "all"])
def test_every_kernel_and_choice_of_layers(kernel: str, layers: str, make_config: MakeConfig) -> None:
    config, data = make_config(**DIGITS, kernel=kernel, layers=layers), load_data("digits")
    model = build_model(config, data)
    kinds = {SpectralLinear: ("linear", "all"), SpectralConv2d: ("conv", "all")}
    for kind, named in kinds.items():
        assert any(isinstance(each, kind) for each in model.modules()) == (layers in named)
    model(resized(torch.rand(2, 1, 8, 8), 32)).sum().backward()


def test_a_run_with_complex_features(make_config: MakeConfig, tmp_path: Path) -> None:
    settings = {"kernel": "dft", "complex_features": True, "layers": "linear", "epochs": 2}
    metrics = fit(make_config(**DIGITS, **settings), tmp_path, progress=False)
    assert metrics["parameters"] == 51274 - 300  # of the specification's table, with one channel in place of three
    assert metrics["test"]["accuracy"] > 0.3


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "densenet121"])
def test_ablations(name: str, make_config: MakeConfig) -> None:
    data = load_data("digits")
    options = {"model": name, "image_size": 64 if name == "alexnet" else 32}
    whole = build_model(make_config(**options, kernel="dct", layers="conv"), data)
    without = build_model(make_config(**options, kernel="dct", layers="conv", batch_norm=False), data)
    assert not any(isinstance(each, nn.BatchNorm2d) for each in without.modules())
    assert without(torch.rand(2, 1, options["image_size"], options["image_size"])).shape == (2, 10)
    assert any(isinstance(each, nn.BatchNorm2d) for each in whole.modules()) == (name != "alexnet")
    classifier = {"alexnet": "head.fc", "resnet18": "fc", "densenet121": "classifier"}[name]
    one = build_model(make_config(**options, kernel="dct", layers=classifier), data)
    assert [each for each, module in one.named_modules() if isinstance(module, SpectralLinear)] == [classifier]


@pytest.mark.parametrize("size", [32, 64])
def test_alexnet_of_small_and_large_images(size: int, make_config: MakeConfig) -> None:
    model = build_model(make_config(model="alexnet", image_size=size), load_data("digits"))
    assert sum(parameter.numel() for parameter in model.parameters()) == 57044810 - 2 * 64 * 11 * 11
    assert model.eval()(torch.rand(1, 1, size, size)).shape == (1, 10)


def test_frequencies_have_a_learning_rate_of_their_own(make_config: MakeConfig) -> None:
    config = make_config(**DIGITS, kernel="dct", frequency_lr=30.0, weight_decay=0.1)
    optimizer = build_optimizer(config, build_model(config, load_data("digits")))
    rates = {group["lr"]: group for group in optimizer.param_groups}
    assert sorted(rates) == pytest.approx([0.003, 0.09])
    assert rates[max(rates)]["weight_decay"] == 0
    assert len(optimizer.param_groups) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel": "cosine"}, "no transform 'cosine'"),
        ({"kernel": "dct", "layers": "dence"}, "layers must be linear, conv, all, or names"),
        ({"kernel": "haar", "parametrisation": "frequencies"}, "no rows of trainable frequency are known for 'haar'"),
        ({"kernel": "dct", "complex_features": True}, "dct has no complex form"),
        ({"kernel": "dct", "keep": 0}, "bad value 0 for 'keep'"),
    ],
)
def test_mistakes_are_told_in_a_sentence(settings: dict[str, Any], message: str, make_config: MakeConfig) -> None:
    with pytest.raises(ConfigError, match=message):
        build_model(make_config(**DIGITS, **settings), load_data("digits"))


@pytest.mark.parametrize(
    ("settings", "unused"),
    [
        ({"keep": "0.25"}, "keep"),
        ({"keep": "0.1", "parametrisation": "frequencies"}, "keep"),
        ({"spectral_kwargs": {"select": "low"}}, "select"),
        ({"keep": "0.5", "spectral_kwargs": {"axes": [0, 1], "gain": 2.0}}, "keep and axes"),
    ],
)
def test_what_frequencies_do_not_have_is_refused(settings: dict[str, Any], unused: str) -> None:
    remedy = f"set parametrisation to coefficients, or leave out {unused}"
    with pytest.raises(ConfigError, match=rf"^{unused} would have no effect: .* kernel 'dct' .*; {remedy}$"):
        load_config(overrides={"kernel": "dct", **settings})
    assert load_config(overrides={"kernel": "haar", **settings, "parametrisation": None}).keep <= 0.5
    assert load_config(overrides={"kernel": "dct", **settings, "parametrisation": "coefficients"}).keep <= 0.5


def test_keep_of_frequencies_in_files_and_on_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("kernel: dct\nkeep: 0.25\n")  # as in the file of a finished run
    assert load_config(file).spectral_parametrisation == "frequencies"
    file.write_text("kernel: dct\nkeep: 0.1\n")
    with pytest.raises(ConfigError, match="keep would have no effect"):
        load_config(file)
    done = command("--model=lenet", "--kernel=dct", "--keep=0.25", "--output", str(tmp_path / "run"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: keep would have no effect: ")


def test_transforms_of_frequencies_are_those_of_the_layers() -> None:
    assert set(FREQUENCIES) == {*FAMILIES, "realshannon"}


def test_a_run_is_logged_in_mlflow(make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)  # where the artifacts of a database go
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    config = make_config(**DIGITS, kernel="dct", epochs=1, mlflow=store)
    metrics = fit(config, tmp_path / "run", progress=False)
    check_logged(mlflow.MlflowClient(store), config.name, metrics)


def test_a_run_is_logged_in_a_folder(make_config: MakeConfig, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    config = make_config(**DIGITS, kernel="dct", epochs=1, mlflow=str(tmp_path / "logged"))
    metrics = fit(config, tmp_path / "run", progress=False)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'logged' / 'mlflow.db'}")
    check_logged(client, config.name, metrics)
    assert list((tmp_path / "logged" / "artifacts").rglob("metrics.json"))


def check_logged(client: Any, name: str, metrics: dict[str, Any]) -> None:
    """The client's only run is that of the name, with the command's settings, the numbers found, and the files."""
    experiment = client.get_experiment_by_name("digits")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == name
    assert run.info.status == "FINISHED"
    assert run.data.params["kernel"] == "dct"
    assert run.data.params["epochs"] == "1"
    assert run.data.metrics["parameters"] == metrics["parameters"]
    assert run.data.metrics["test_accuracy"] == pytest.approx(metrics["test"]["accuracy"])
    assert {each.path for each in client.list_artifacts(run.info.run_id)} >= {"metrics.json", "model.safetensors"}


@pytest.fixture
def mlflow_server(tmp_path: Path) -> Iterator[str]:
    """URL of an MLflow server of its own, with its database and artifacts in the test's folder."""
    pytest.importorskip("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, log = f"http://127.0.0.1:{port}", tmp_path / "server.log"
    stores = {
        "backend-store-uri": f"sqlite:///{tmp_path / 'server.db'}",
        "artifacts-destination": tmp_path / "artifacts",
    }
    options = {"host": "127.0.0.1", "port": port, "workers": 1, **stores}
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *(f"--{name}={value}" for name, value in options.items())],
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # its workers are ended with it
        )
    try:
        while not _answers(f"{url}/health"):
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_a_run_is_logged_on_an_mlflow_server(mlflow_server: str, tmp_path: Path) -> None:
    import mlflow

    done = command(
        *("--model=lenet", "--kernel=dct", "--data=digits", "--image-size=32", "--epochs=1", "--accelerator=cpu"),
        *("--mlflow", mlflow_server, "--output", str(tmp_path / "run")),
    )
    assert done.returncode == 0, done.stderr
    name = load_config(tmp_path / "run" / "config.yaml").name
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    check_logged(mlflow.MlflowClient(mlflow_server), name, metrics)
    assert next((tmp_path / "artifacts").rglob("model.safetensors")).is_file()


def test_mlflow_that_cannot_be_reached(make_config: MakeConfig, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    config = make_config(**DIGITS, epochs=1, mlflow="nonsense://nowhere")
    with pytest.raises(ConfigError, match="MLflow at nonsense://nowhere cannot be used"):
        fit(config, tmp_path / "run", progress=False)


def test_mlflow_server_that_is_not_there_is_told_at_once(make_config: MakeConfig, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    with socket.socket() as taken:  # a port that nobody listens on
        taken.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match=f"{uri} cannot be reached: .*; start the server"):
            fit(make_config(**DIGITS, epochs=1, mlflow=uri), tmp_path / "run", progress=False)


def test_table_and_curve_of_finished_runs(make_config: MakeConfig, tmp_path: Path) -> None:
    runs = tmp_path / "runs" / "digits"
    fit(make_config(**DIGITS, epochs=1), runs / "dense", progress=False)
    fit(make_config(**DIGITS, epochs=1, kernel="dct", layers="linear"), runs / "dct", progress=False)
    done = subprocess.run(
        [sys.executable, "-m", "training.spectral_table", str(tmp_path / "runs"), "--output", str(tmp_path / "table")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "| dct | linear | 50,880 |" in done.stdout
    assert done.stdout == (tmp_path / "table" / "lenet.md").read_text()
    command = [sys.executable, "-m", "training.keep_curve", str(runs / "dense"), "--output", str(tmp_path / "curve")]
    subprocess.run([*command, "--kernels", "dct"], capture_output=True, text=True, check=True)
    assert {path.name for path in (tmp_path / "curve").iterdir()} == {"keep.csv", "keep.md", "keep.png"}
    failed = subprocess.run(
        [sys.executable, "-m", "training.keep_curve", str(runs / "dct")], capture_output=True, text=True, check=False
    )
    assert failed.returncode == 2
    assert failed.stderr.count("\n") == 1
