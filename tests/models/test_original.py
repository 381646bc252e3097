"""The same weights give the same logits and gradients as the original package, wavpool 0.1.3 from PyPI."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor

import wavpool
from benchmarks.original import Unavailable, unpack

SCRIPT = Path(__file__).with_name("run_original.py")


def cases(*kinds: str) -> list[str]:
    spec = importlib.util.spec_from_file_location("run_original", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [case for case, (kind, _, _) in module.CASES.items() if kind in kinds]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the original computed, by case."""
    try:
        package = unpack()
    except Unavailable as reason:
        pytest.skip(str(reason))
    folder = tmp_path_factory.mktemp("original")
    output = folder / "results.pt"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, str(SCRIPT), str(package), str(output)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    assert result.returncode == 0, result.stderr
    results: dict[str, Any] = torch.load(output, weights_only=True)
    return results


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def load(run: dict[str, Any]) -> Any:
    """load_wavpool_0_1 with the arguments that the original's constructor had."""
    passed = {key: value for key, value in run["keywords"].items() if "pooling" in key}
    return wavpool.load_wavpool_0_1(run["state"], run["side"], **passed)


@pytest.mark.parametrize("case", cases("WavPool"))
def test_wavpool(case: str, original: dict[str, Any]) -> None:
    run = original[case]
    model = load(run)
    logits = model(run["x"])
    close(logits, run["logits"])
    logits.square().sum().backward()
    close(model.head.fc.bias.grad, run["gradients"]["output.bias"])
    for index, linear in enumerate(model.block.levels):
        for part in ("weight", "bias"):
            theirs = [run["gradients"][f"models.{index}.channel_{band}_mlp.{part}"] for band in (1, 2, 3)]
            torch.testing.assert_close(
                getattr(linear, part).grad.flatten(1 if part == "weight" else 0),
                torch.cat(theirs),
                rtol=1e-4,
                atol=1e-4 * float(max(grad.abs().max() for grad in theirs)) + 1e-6,
            )


@pytest.mark.parametrize(
    ("case", "name"), [("tuned CIFAR-10", "wavpool_paper_cifar10"), ("tuned MNIST", "wavpool_paper_mnist")]
)
def test_registered_models_are_the_originals(case: str, name: str, original: dict[str, Any]) -> None:
    run = original[case]
    registered = timm.create_model(name)
    registered.load_state_dict(load(run).state_dict())
    close(registered(run["x"]), run["logits"])


@pytest.mark.parametrize("case", cases("WavMLP"))
def test_wavmlp(case: str, original: dict[str, Any]) -> None:
    run, state = original[case], original[case]["state"]
    keywords = run["keywords"]
    name = "wavmlp_paper"
    model = timm.create_model(name, img_size=run["side"], hidden=keywords["hidden_size"], level=keywords["level"])
    weights = [state[f"wav.channel_{band}_mlp.weight"] for band in (1, 2, 3)]
    model.load_state_dict(
        {
            "block.levels.0.weight": torch.cat(weights).view_as(model.block.levels[0].weight),
            "block.levels.0.bias": torch.cat([state[f"wav.channel_{band}_mlp.bias"] for band in (1, 2, 3)]),
            # The original flattens (hidden, band); here it is (band, hidden).
            "head.fc.weight": state["output.weight"].unflatten(1, (-1, 3)).transpose(1, 2).flatten(1),
            "head.fc.bias": state["output.bias"],
        }
    )
    close(model(run["x"]), run["logits"])


@pytest.mark.parametrize("case", cases("VanillaMLP"))
def test_mlp(case: str, original: dict[str, Any]) -> None:
    run, state = original[case], original[case]["state"]
    model = timm.create_model("mlp_paper", img_size=run["side"], hidden=run["keywords"]["hidden_size"])
    model.load_state_dict(
        {
            "stages.fc1.weight": state["hidden_layer.weight"].view_as(model.stages.fc1.weight),
            "stages.fc1.bias": state["hidden_layer.bias"],
            "head.fc.weight": state["output_layer.weight"],
            "head.fc.bias": state["output_layer.bias"],
        }
    )
    close(model(run["x"]), run["logits"])


@pytest.mark.parametrize("case", cases("VanillaCNN"))
def test_cnn(case: str, original: dict[str, Any]) -> None:
    run, state = original[case], original[case]["state"]
    model = timm.create_model("cnn_paper", img_size=run["side"], **run["keywords"])
    names = {
        "conv1": "stages.conv1",
        "batch_norm_hidden": "stages.bn1",
        "conv2": "stages.conv2",
        "batch_norm_out": "stages.bn2",
        "dense_out": "head.fc",
    }
    renamed = {f"{names[key.split('.')[0]]}.{key.split('.')[1]}": value for key, value in state.items()}
    model.load_state_dict(renamed)
    close(model.train()(run["x"]), run["logits"])


def test_wrong_arguments_and_weights_are_refused(original: dict[str, Any]) -> None:
    state = original["tuned MNIST"]["state"]
    with pytest.raises(ValueError, match="give pooling_size, or both hidden_pooling and level_pooling"):
        wavpool.load_wavpool_0_1(state, 28)
    with pytest.raises(ValueError, match="give pooling_size, or both"):
        wavpool.load_wavpool_0_1(state, 28, pooling_size=2, hidden_pooling=2)
    with pytest.raises(ValueError, match=r"output.weight takes \d+ features, this pooling gives \d+"):
        wavpool.load_wavpool_0_1(state, 28, pooling_size=3, pooling_mode="max")
    with pytest.raises(
        ValueError, match=r"models.0 takes 4 coefficients, but a side of 16 gives that level 1; check img_size"
    ):
        wavpool.load_wavpool_0_1(state, 16, pooling_size=2, pooling_mode="max")
    incomplete = {key: value for key, value in state.items() if key != "models.2.channel_3_mlp.bias"}
    with pytest.raises(ValueError, match=r"missing \['models\.2\.channel_3_mlp\.bias'\], unknown nothing"):
        wavpool.load_wavpool_0_1(incomplete, 28, pooling_size=2, pooling_mode="max")
    with pytest.raises(ValueError, match=r"4 levels of a side of 16: missing nothing, unknown \['models\.4"):
        wavpool.load_wavpool_0_1(original["tuned CIFAR-10"]["state"], 16, pooling_size=2, pooling_mode="max")
    with pytest.raises(ValueError, match="img_size must be one side"):
        wavpool.load_wavpool_0_1(state, (28, 28), pooling_size=2)
