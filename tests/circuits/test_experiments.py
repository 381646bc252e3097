"""Int8 networks, and every experiment from a network's weights to its accuracy; by Python and by the command."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from typer.main import get_command

import wavpool  # noqa: F401  # registers lenet5
from wavpool.circuits import Settings, quantized
from wavpool.circuits.experiments import folder as folders
from wavpool.circuits.experiments.catalogue import EXPERIMENTS, experiment
from wavpool.circuits.experiments.metrics import model_metrics
from wavpool.circuits.experiments.plan import Options
from wavpool.circuits.learning import Shuffled, fit
from wavpool.circuits.selection import core, ring
from wavpool.circuits.sensitivity import sensitivity
from wavpool.cli.app import app
from wavpool.cli.circuit_options import ANCESTORS, takes
from wavpool.cli.circuit_options import EXPERIMENTS as COMMANDS
from wavpool.cli.run import run
from wavpool.errors import UserError
from wavpool.parallel import Place

ROOT = Path(__file__).parents[2]
LENET = {"img_size": 28, "in_chans": 1, "num_classes": 10}


def digits(count: int = 512) -> list[tuple[torch.Tensor, torch.Tensor]]:
    from sklearn.datasets import load_digits

    content = load_digits()
    images = torch.from_numpy(content.images).float().unsqueeze(1) / 8 - 1
    images = torch.nn.functional.interpolate(images, (28, 28))
    labels = torch.from_numpy(content.target).long()
    return list(zip(images[:count].split(64), labels[:count].split(64), strict=True))


@pytest.fixture(scope="module")
def lenet() -> torch.nn.Module:
    torch.manual_seed(0)
    model = timm.create_model("lenet5", **LENET)
    fit(model, Shuffled(digits(1500), 32), epochs=4, learning_rate=0.02)
    return model


@pytest.fixture(scope="module")
def network(lenet: torch.nn.Module) -> torch.nn.Module:
    return quantized.post_training(lenet, digits())


@pytest.fixture(scope="module")
def weights(network: torch.nn.Module) -> dict[str, Any]:
    return quantized.weights_of(network)


class TestQuantized:
    def test_int8_networks_are_nearly_as_good(self, lenet: torch.nn.Module, network: torch.nn.Module) -> None:
        accuracy = lambda model: float(np.mean([(model(x).argmax(1) == y).float().mean() for x, y in digits()]))  # noqa: E731
        assert accuracy(lenet) > 0.9
        assert accuracy(network) > accuracy(lenet) - 0.02
        trained = quantized.quantization_aware(lenet, Shuffled(digits(1500), 32), 1)
        assert accuracy(trained) > accuracy(lenet) - 0.02

    def test_weights_are_int8_with_a_scale_a_channel(self, network: torch.nn.Module, weights: dict[str, Any]) -> None:
        assert {name: values.shape for name, values in weights.items()} == {
            "stages.stage1.conv": (6, 1, 5, 5), "stages.stage2.conv": (16, 6, 5, 5), "stages.fc1.conv": (120, 16, 5, 5),
            "stages.fc2.fc": (84, 120), "head.fc": (10, 84),
        }  # fmt: skip
        assert all(values.dtype == np.int8 for values in weights.values())
        assert network.get_submodule("stages.stage2.conv").weight().q_per_channel_scales().shape == (16,)
        largest = np.abs(weights["stages.stage1.conv"].astype(int)).reshape(6, -1).max(1)
        assert (largest >= 127).all()

    def test_weights_put_back_are_the_network(self, network: torch.nn.Module, weights: dict[str, Any]) -> None:
        inputs = digits()[0][0]
        assert torch.equal(quantized.with_weights(network, weights)(inputs), network(inputs))
        halved = quantized.with_weights(network, {"head.fc": weights["head.fc"] // 2})
        assert not torch.equal(halved(inputs), network(inputs))
        assert np.array_equal(quantized.weights_of(halved)["head.fc"], weights["head.fc"] // 2)
        assert np.array_equal(quantized.weights_of(network)["head.fc"], weights["head.fc"])

    def test_files_hold_the_network(
        self, lenet: torch.nn.Module, network: torch.nn.Module, weights: dict[str, Any], tmp_path: Path
    ) -> None:
        path, inputs = tmp_path / "int8.pth", digits()[0][0]
        quantized.save(network, path)
        assert torch.equal(quantized.load(lenet, path, inputs)(inputs), network(inputs))
        stored = quantized.weights_in(path)
        assert list(stored) == list(weights)
        assert all(np.array_equal(stored[name], weights[name]) for name in weights)

    @pytest.mark.parametrize("content", [b"", b"junk", b"\x80\x02}q\x00."])
    def test_other_files_are_refused(self, lenet: torch.nn.Module, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "int8.pth"
        path.write_bytes(content)
        with pytest.raises(UserError, match="wavpool circuits quantize"):
            quantized.weights_in(path)
        torch.save(timm.create_model("lenet5", **LENET).state_dict(), path)
        with pytest.raises(UserError, match="wavpool circuits quantize"):
            quantized.weights_in(path)
        with pytest.raises(UserError, match="wavpool circuits quantize"):
            quantized.load(lenet, path, digits()[0][0])

    def test_mistakes_are_told(self, network: torch.nn.Module) -> None:
        with pytest.raises(UserError, match="no int8 layer 'conv'"):
            quantized.with_weights(network, {"conv": np.zeros((1,), np.int8)})
        with pytest.raises(UserError, match="have shape"):
            quantized.with_weights(network, {"head.fc": np.zeros((1,), np.int8)})
        with pytest.raises(UserError, match="no int8 layers"):
            quantized.weights_of(torch.nn.Linear(2, 2))
        with pytest.raises(UserError, match="some batches"):
            quantized.post_training(torch.nn.Linear(2, 2), [])

    def test_mobilenet_v2_of_the_shared_data(self, find_data: Any) -> None:
        from torchvision.models import mobilenet_v2

        model = mobilenet_v2()
        path = find_data("weights/mobilenet_v2-b0353104.pth")
        model.load_state_dict(torch.load(path, weights_only=True))
        torch.manual_seed(0)
        network = quantized.post_training(model, [(torch.randn(2, 3, 96, 96), None)])
        assert len(quantized.convolutions_of(network)) == 52
        plan = experiment("mobilenet").plan(quantized.weights_of(network), Options())
        assert len(plan) == 52 * 4
        assert max(sub.grid.outputs for sub in plan) == 409_600


def test_core_and_ring_are_a_kernel() -> None:
    shape = (3, 2, 5, 5)
    inner, outer = core("c", shape, 3).positions, ring("c", shape, 3).positions
    assert sorted([*inner, *outer]) == list(range(150))
    assert ring("c", shape, 3, [1], [1]).positions.tolist() == [75 + p for p in (
        0, 1, 2, 3, 4, 5, 9, 10, 14, 15, 19, 20, 21, 22, 23, 24
    )]  # fmt: skip
    with pytest.raises(UserError, match="no core"):
        core("c", (3, 2, 3, 3), 3)
    with pytest.raises(UserError, match="no filter 3"):
        core("c", shape, 3, [3])


@pytest.mark.parametrize(("name", "inputs", "outputs", "count"), [
    ("layer_bypass", 150, 2400, 1), ("le_selector", 1, 2550, 1), ("all_layers", 864, 1536, 1),
    ("mobilenet", 96, 48_000, 12), ("single_channel", 54, 96, 1), ("single_filter", 9, 16, 1),
    ("reversed_single_filter", 16, 9, 12), ("grid_size", 9, 16, 12), ("chain", 96, 48_000, 3),
    ("worst_case", 64, 256, 1),
])  # fmt: skip
def test_sizes_are_those_of_the_specification(
    name: str, inputs: int, outputs: int, count: int, weights: dict[str, Any]
) -> None:
    plan = experiment(name).plan(weights, Options())
    assert len(plan) == count
    assert plan[-1].grid.inputs == inputs
    assert plan[-1].grid.outputs == outputs
    problem = plan[-1].problem(weights)
    assert problem.inputs.shape == (len(plan[-1].cases), inputs)
    if name == "all_layers":
        assert (problem.weights.sum(1) == [96, 1536]).all()
        assert plan[0].settings.threshold == 1536 + 96


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_every_experiment_runs(name: str, network: torch.nn.Module, weights: dict[str, Any], tmp_path: Path) -> None:
    weights = {key: values.copy() for key, values in weights.items()}
    weights["stages.stage1.conv"][0, 0, 2, 2] = 0  # a core with a zero
    options = Options(
        errors=(2,), count=2 if name not in ("mobilenet", "chain") else 20, sizes=((3, 3),),
        layers=("0", "1") if name in ("mobilenet", "chain") else (),
        settings=Settings(generations=300, mutation_rate=0.02),
    )  # fmt: skip
    found = folders.train(tmp_path, name, weights, options, 2)
    assert found
    again = folders.train(tmp_path, name, weights, options, 2)
    assert again == found
    with pytest.raises(UserError, match="another experiment"):
        folders.train(tmp_path, name, weights, Options(errors=(3,)), 2)
    network = quantized.with_weights(network, weights)
    if name == "worst_case":
        with pytest.raises(UserError, match="about no network's weights"):
            model_metrics(tmp_path, network, digits(128))
        return
    rows = model_metrics(tmp_path, network, digits(128))
    assert len(rows) == len(found) + 1 + (name == "chain")
    assert all(0 <= row["accuracy"] <= 1 for row in rows)
    with (tmp_path / "model_metrics.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(rows)


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_an_experiment_takes_exactly_the_options_that_have_an_effect(name: str, weights: dict[str, Any]) -> None:
    def planned(**options: Any) -> list[Any]:
        plan = experiment(name).plan(weights, Options(**options))
        places = [[(part.layer, part.positions.tolist()) for side in sub.cases[0] for part in side] for sub in plan]
        return [(sub.name, sub.grid, place) for sub, place in zip(plan, places, strict=True)]

    tried = {
        "rows": 64, "columns": 64, "layers": ("1",), "input_layers": ("1",), "output_layers": ("0",), "count": 2,
        "sizes": ((4, 4),),
    }  # fmt: skip
    effective = {option for option, value in tried.items() if planned(**{option: value}) != planned()}
    if name in ("grid_size", "reversed_single_filter"):
        effective -= {"rows", "columns"}  # would make all sizes the same
    if name == "single_filter_zero_outter":
        effective.add("count")  # bounds the kernels whose core holds a zero, which this network lacks
    words = {"columns": "cols"}
    assert {words.get(option, option) for option in effective} == takes(name) - {"weights"}
    assert ("weights" in takes(name)) == (name != "worst_case")


@pytest.mark.parametrize(("name", "options", "sentence"), [
    ("mobilenet", Options(layers=("0",), output_layers=("1",)), "give one of the two"),
    ("mobilenet", Options(input_layers=("0", "1")), "one name to --input-layers"),
    ("single_channel", Options(layers=("0", "1")), "one name to --layers"),
    ("single_filter", Options(layers=("0", "1")), "or a greater --count"),
])  # fmt: skip
def test_layers_without_effect_are_refused(name: str, options: Options, sentence: str, weights: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=sentence):
        experiment(name).plan(weights, options)


def test_found_weights_come_to_their_places(weights: dict[str, Any]) -> None:
    (sub,) = experiment("all_layers").plan(weights, Options())
    outputs = np.zeros((2, 1536), np.int8)
    outputs[0, :96], outputs[1] = 1, 2
    changed = sub.injected(weights, outputs)
    first = changed["stages.stage1.conv"]
    assert np.array_equal(first[:, :, 1:4, 1:4], weights["stages.stage1.conv"][:, :, 1:4, 1:4])
    assert (first[:, :, 0] == 1).all()
    assert (changed["stages.stage2.conv"][:, :, 4] == 2).all()
    problem = sub.problem(weights)
    assert np.array_equal(
        sub.injected(weights, problem.targets.astype(np.int8))["stages.stage2.conv"], weights["stages.stage2.conv"]
    )


def test_a_chain_reads_what_was_computed(weights: dict[str, Any], tmp_path: Path) -> None:
    """The second circuit's inputs are the first one's outputs, errors and all."""
    options = Options(layers=("0", "1"), count=20, settings=Settings(generations=200))
    folders.train(tmp_path, "chain", weights, options, 1)
    first, second = sorted(path for path in tmp_path.iterdir() if path.is_dir())
    computed = (first / "weights.0.txt").read_text().split()[:20]
    assert (second / "train.data").read_text().splitlines()[0].split() != list(
        map(str, weights["stages.stage1.conv"].reshape(-1)[:20])
    )
    assert (second / "train.data").read_text().splitlines()[0].split() == computed


def test_a_chain_keeps_its_number_of_runs(weights: dict[str, Any], tmp_path: Path) -> None:
    """A better run would change what circuits read that are finished, long after more of it had been computed."""
    options = Options(layers=("0", "1", "2"), count=20, settings=Settings(generations=20))
    folders.train(tmp_path, "chain", weights, options, 1)
    with pytest.raises(UserError, match="give --runs 1, or choose another folder"):
        folders.train(tmp_path, "chain", weights, options, 3)
    assert folders.note_of(tmp_path).runs == 1
    assert len(list(tmp_path.glob("*/result.*.json"))) == 3
    for path in sorted(tmp_path.glob("0[12]*")):
        shutil.rmtree(path)
    assert len(folders.train(tmp_path, "chain", weights, options, 3)) == 9


def test_batches_are_merged(weights: dict[str, Any], tmp_path: Path) -> None:
    options = Options(settings=Settings(generations=100, mutation_rate=0.15))
    whole = folders.train(tmp_path / "whole", "single_filter", weights, options, 4)
    parts = tmp_path / "parts"
    for batch in range(2):
        folders.train(parts, "single_filter", weights, options, 4, batches=folders.Batches(2, batch))
    _, (sub,) = folders.opened(parts, weights)
    assert folders.unfinished(parts, [sub.name], 5) == {sub.name: [4]}
    strip = lambda results: [  # noqa: E731
        {key: value for key, value in each.items() if key not in ("seconds", "provenance", "subexperiment")}
        for each in results
    ]
    assert strip(folders.results_of(parts, sub.name)) == strip(whole)
    assert [path.name for path in folders.merge(parts)] == [sub.name]
    assert strip(folders.results_of(parts, sub.name)) == strip(whole)
    assert not list(parts.glob("*_batch_*"))
    with pytest.raises(UserError, match=f"are merged: `wavpool circuits resume {parts}`"):
        folders.train(parts, "single_filter", weights, options, 4, batches=folders.Batches(2, 0))
    with pytest.raises(UserError, match="multiple of --batches"):
        folders.train(tmp_path / "odd", "single_filter", weights, options, 4, batches=folders.Batches(3))


def test_another_network_is_told_by_any_of_its_layers(weights: dict[str, Any], tmp_path: Path) -> None:
    options = Options(settings=Settings(generations=5), layers=tuple(weights)[:2])
    folders.train(tmp_path, "mobilenet", weights, options, 1)
    name, subs = folders.opened(tmp_path, weights)
    folders.check_weights(tmp_path, name, subs, weights)
    other = {layer: values + np.int8(layer == options.layers[1]) for layer, values in weights.items()}
    with pytest.raises(UserError, match="other weights"):
        folders.check_weights(tmp_path, name, subs, other)


def test_a_stopped_search_of_other_weights_is_kept(weights: dict[str, Any], tmp_path: Path) -> None:
    """A folder with a checkpoint is refused before anything in it is written."""
    options = Options(settings=Settings(generations=20))
    folders.train(tmp_path, "single_filter", weights, options, 1)
    (target,) = (path for path in tmp_path.iterdir() if path.is_dir())
    (target / "result.0.json").rename(target / "checkpoint.0.npz")
    before = (target / "train.data").read_bytes()
    other = {name: values + np.int8(1) for name, values in weights.items()}
    with pytest.raises(UserError, match=r"other weights, settings or costs.*choose another folder, or remove this one"):
        folders.train(tmp_path, "single_filter", other, options, 1)
    assert (target / "train.data").read_bytes() == before


@pytest.mark.parametrize("content", [b"{", b"{}", b"[]", b"\xff"])
@pytest.mark.parametrize("name", ["experiment.json", "mse_0_256_31/search.json", "mse_0_256_31/result.0.json"])
def test_damaged_files_are_named(name: str, content: bytes, tmp_path: Path) -> None:
    options = Options(settings=Settings(generations=2))
    folders.train(tmp_path, "worst_case", {}, options, 1)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name} is damaged: remove it, and start the experiment again"):
        folders.train(tmp_path, "worst_case", {}, options, 1)
    if "result" in name:
        done = command("status", str(tmp_path), cwd=tmp_path)
        assert done.returncode == 2
        assert f"{name} is damaged: remove it" in done.stderr
    (tmp_path / name).unlink()
    assert len(folders.train(tmp_path, "worst_case", {}, options, 1)) == 1


def test_accuracy_falls_with_what_is_added(network: torch.nn.Module, tmp_path: Path) -> None:
    rows = sensitivity(network, digits(256), [-60, 0, 60], output=tmp_path / "s.csv")
    assert [row["offset"] for row in rows] == [-60, 0, 60]
    assert rows[1]["accuracy"] > max(rows[0]["accuracy"], rows[2]["accuracy"])
    layers = ["stages.stage1.conv", "stages.stage2.conv"]
    inner = sensitivity(network, digits(256), [0], part="inner", layers=layers)
    assert inner[0]["accuracy"] == rows[1]["accuracy"]
    with pytest.raises(UserError, match="part must be"):
        sensitivity(network, digits(256), [0], part="core")


def command(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wavpool.cli", "circuits", *words],
        cwd=cwd, capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


DATA = """
import torch
from sklearn.datasets import load_digits
def digits():
    content = load_digits()
    images = torch.nn.functional.interpolate(torch.from_numpy(content.images).float().unsqueeze(1) / 8 - 1, (28, 28))
    return list(zip(images.split(64), torch.from_numpy(content.target).long().split(64)))
"""


def test_the_command_from_a_network_to_its_accuracy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data.py").write_text(DATA)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    kwargs = [word for key, value in LENET.items() for word in ("--model-kwargs", f"{key}={value}")]
    subject = ["lenet5", "data:digits", *kwargs]

    def said(*words: str) -> str:
        code = run(["circuits", *words])
        output, errors = capsys.readouterr()
        assert code == 0, (words, errors)
        return output

    said("train-model", *subject, "--epochs", "3", "--learning-rate", "0.02", "-o", "lenet.safetensors")
    said("quantize", *subject, "--checkpoint", "lenet.safetensors", "-o", "int8.pth")
    assert "accuracy" in said("evaluate", *subject, "--weights", "int8.pth")
    said("sensitivity", *subject, "--weights", "int8.pth", "--offsets=-40:40:40", "-o", "sensitivity.csv")
    assert len((tmp_path / "sensitivity.csv").read_text().splitlines()) == 4
    search = ["int8.pth", "-o", "found", "--generations", "2000"]
    done = command("single_filter", "train", *search, "--runs", "2", cwd=tmp_path)
    assert (done.returncode, done.stdout.count("run ")) == (0, 2)
    assert said("single_filter", "submit", *search, "--runs", "3").count("run ") == 3
    settings = json.loads((tmp_path / "found/experiment.json").read_text())["options"]["settings"]
    assert (settings["children"], settings["mutation_rate"]) == (1, 0.0)
    assert "3 of 3 runs finished\n" in said("status", "found")
    assert "3 of 4 runs finished; left: 3\nto go on: wavpool circuits resume found" in said(
        "status", "found", "--runs", "4"
    )
    (tmp_path / "found/stages.stage1.conv_0_0_mse_0_5_5/result.1.json").unlink()
    assert said("single_filter", "train", *search).count("run ") == 3  # as many as it was begun with
    (tmp_path / "found/stages.stage1.conv_0_0_mse_0_5_5/result.1.json").unlink()
    assert "left: 1" in (resumed := said("resume", "found"))  # weights and all else are noted
    assert resumed.count("run ") == 3
    alone = command("evaluate", *subject, "--weights", "int8.pth", cwd=tmp_path)
    assert (alone.returncode, alone.stderr) == (0, "")  # none of torch's announcements
    measured = said("single_filter", "model-metrics", "found", *subject, "--weights", "int8.pth")
    assert measured.count("accuracy") == 4
    told = said("compare", "found", *subject, "--weights", "int8.pth")
    assert "wins against" in told or "loses against" in told
    assert (tmp_path / "found/energy.png").read_bytes()[:4] == b"\x89PNG"
    table = {"read": {"register file": 0.2, "ROM": 2.0}, "wire": 0.1}
    (tmp_path / "memory.json").write_text(json.dumps(table))
    told = said("compare", "found", *subject, "--weights", "int8.pth", "--memory", "memory.json")
    assert "Read from ROM" in told
    said("export", "found/stages.stage1.conv_0_0_mse_0_5_5/result.0.json", "-o", "kernel.v")
    assert "module kernel" in (tmp_path / "kernel.v").read_text()


@pytest.mark.parametrize(("words", "sentence"), [
    (["le_selector", "train", "-o", "x"], "le_selector needs WEIGHTS"),
    (["le_selector", "train", "none.pth", "-o", "x"], "cannot use none.pth"),
    (["worst_case", "train", "-o", "x", "--runs", "3", "--batches", "2", "--generations", "5"],
     "--runs must be a multiple of --batches, got 3 runs in 2 batches"),
    (["worst_case", "train", "-o", "x", "--rows", "3", "--cols", "3"], "look-up mode needs a grid"),
    (["worst_case", "train", "-o", "x", "--children", "4", "--population-max", "8"], "not both"),
    (["worst_case", "train", "-o", "x", "--mse-thresholds", "a"], "--mse-thresholds"),
    (["worst_case", "submit", "-o", "x", "--cluster", "cloud"], "choose of processes, dask, pbs, slurm"),
    (["worst_case", "train", "a.pth", "-o", "x"], "WEIGHTS has no effect on worst_case: leave it out"),
    (["le_selector", "train", "a.pth", "-o", "x", "--sizes", "5x5"], "on le_selector: give --rows and --cols"),
    (["grid_size", "train", "a.pth", "-o", "x", "--rows", "5"], "--rows has no effect on grid_size: give --sizes"),
    (["layer_bypass", "train", "a.pth", "-o", "x", "--layers", "0"], "give --input-layers and --output-layers"),
    (["worst_case", "train", "-o", "x", "--batch", "0"], "--batch has no effect without --batches"),
    (["worst_case", "train", "-o", "x", "--scheduler", "tcp://a:1"], "give --cluster dask"),
    (["worst_case", "submit", "-o", "x", "--scheduler", "tcp://a:1", "--workers", "2"], "whose workers are there"),
    (["worst_case", "submit", "-o", "x", "--cluster-option", "queue=q"], "give --cluster pbs or slurm"),
    (["quantize", "lenet5", "d:d", "-o", "x.pth", "--learning-rate", "0.1"], "no effect without training: give --qat"),
    (["train-model", "lenet5", "data:digits", "-o", "x.pth"], "x.pth must end in .safetensors"),
    (["merge", "x"], "there is no folder x"),
    (["resume", "x"], "holds no experiment"),
    (["status", "x"], "holds no experiment"),
    (["export", "x.json", "-o", "x.v"], "cannot use x.json"),
    (["export", "data.py", "-o", "x.v"], "data.py is no result of a run and no chromosome: a chromosome begins"),
])  # fmt: skip
def test_mistakes_get_one_sentence(words: list[str], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "data.py").write_text(DATA)
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_dry_run_shows_the_job(tmp_path: Path) -> None:
    done = command(
        "worst_case", "submit", "-o", "x", "--cluster", "pbs", "--cluster-option", "walltime=02:00:00", "--dry-run",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0
    assert "#PBS -l walltime=02:00:00" in done.stdout
    assert not (tmp_path / "x").exists()


def test_a_dry_run_checks_the_weights(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"no state")
    words = ("layer_bypass", "submit", "weights.pt", "-o", "x", "--cluster", "slurm", "--dry-run")
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert "weights.pt" in done.stderr


def test_help_lists_every_experiment() -> None:
    assert set(COMMANDS) == set(EXPERIMENTS)
    assert Place().kind == "processes"


def every_command(command: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    below = getattr(command, "commands", {}).items()
    return [(path, command), *(found for name, each in below for found in every_command(each, (*path, name)))]


def test_help_shows_whole_options_on_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for path, each in every_command(get_command(app)):
        assert run([*path, "--help"]) == 0
        shown = capsys.readouterr().out
        assert "…" not in shown, path
        for option in (each for each in each.params if not getattr(each, "hidden", False)):
            names = [name for name in (*option.opts, *option.secondary_opts) if name.startswith("--")]
            assert all(re.search(rf"{name}\b", shown) for name in names), (path, names)


def test_help_shows_only_what_has_an_effect(capsys: pytest.CaptureFixture[str]) -> None:
    run(["circuits", "worst_case", "train", "--help"])
    shown = capsys.readouterr().out
    assert "--rows" in shown
    assert not re.search("WEIGHTS |--layers|--sizes|--count", shown)


def test_the_ancestors_words_are_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--row-count", "300", "--col-count", "5", "--number-of-runs", "1", "--generation-count", "7"]
    assert run(["circuits", "worst_case", "train", "-o", "x", *words]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^run   0: .* 7 generations", said)
    assert said.endswith("\nx: 1 run\n")  # and no hint to measure a network
    assert (tmp_path / "x/mse_0_300_5").is_dir()
    assert run(["circuits", "le_selector", "train", "-o", "y", "--input-layer-names", "0"]) == 2
    assert "--input-layers has no effect" in capsys.readouterr().err
    assert len(ANCESTORS) == 6


def test_results_tell_of_which_subexperiment_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--mse-thresholds", "0,5", "--runs", "1", "--generations", "7"]
    assert run(["circuits", "worst_case", "train", "-o", "x", *words]) == 0
    first, second, _ = capsys.readouterr().out.splitlines()
    assert first.startswith("mse_0_256_31 run   0: error ")
    assert second.startswith("mse_5_256_31 run   0: error ")


def test_resume_merges_and_computes_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["circuits", "worst_case", "train", "-o", "x", "--generations", "20"]
    assert run([*words, "--runs", "4", "--batches", "2", "--batch", "1", "--workers", "2"]) == 0
    assert run(words) == 2
    assert "x holds batches: `wavpool circuits resume x` merges" in capsys.readouterr().err
    assert run(["circuits", "resume", "x"]) == 0
    said = capsys.readouterr().out
    assert "merged into mse_0_256_31" in said
    assert "2 of 4 runs finished; left: 0-1" in said
    assert said.endswith("x: 4 runs\n")
    noted = folders.note_of("x")
    assert (noted.runs, noted.given["place"]["workers"], noted.subexperiments) == (4, 2, ["mse_0_256_31"])
    assert run(["circuits", "status", "x"]) == 0
    assert capsys.readouterr().out == "mse_0_256_31: 4 of 4 runs finished\n"


def test_a_stopped_search_says_how_to_go_on(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "wavpool.cli", "circuits", "worst_case", "train", "-o", "x", "--runs", "1"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("x/*/.standing.0.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told == ("interrupted: start the same command again, or `wavpool circuits resume x`, to go on from here\n")
    assert list(tmp_path.glob("x/*/checkpoint.0.npz"))
