"""`python -m wavpool.timm`: timm's own scripts, unmodified, train and use our models."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from wavpool.cli import main as command
from wavpool.codec import load
from wavpool.timm import find_script, main

ROOT = Path(__file__).parents[2]
MODEL = ("--model", "vanilla_cnn", "--num-classes", "3")
CPU = ("--device", "cpu", "--workers", "1")
COLOURS = {"blue": (0, 0, 200), "green": (0, 200, 0), "red": (200, 0, 0)}
Script = Callable[..., str]


def call(folder: Path, *command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, outside the checkout."""
    changed = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment
    return subprocess.run(
        [sys.executable, *map(str, command)], cwd=folder, env=changed, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 24 small images in three classes."""
    folder = tmp_path_factory.mktemp("timm")
    generator = np.random.default_rng(0)
    for split, count in (("train", 6), ("validation", 2)):
        for name, colour in COLOURS.items():
            (folder / "photos" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 50, (32, 32, 3)) + colour
                Image.fromarray(pixels.astype(np.uint8)).save(folder / "photos" / split / name / f"{name}{number}.png")
    return folder


@pytest.fixture(scope="module")
def script(folder: Path, timm_scripts: Path) -> Script:
    """Function from a script and its arguments to what it printed, both streams together."""

    def run(*command: object) -> str:
        done = call(folder, "-m", "wavpool.timm", *command, TIMM_SCRIPTS=str(timm_scripts))
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stderr + done.stdout

    return run


@pytest.fixture(scope="module")
def trained(folder: Path, script: Script) -> Path:
    """What two epochs of `train` left, with averaged weights."""
    script(
        "train", "--data-dir", "photos", *MODEL, *CPU, "--epochs", 2, "-b", 6, "--lr", "0.05", "--warmup-epochs", 0,
        "--model-ema", "--model-ema-decay", "0.5", "--output", ".", "--experiment", "trained", "--seed", 1,
    )  # fmt: skip
    return folder / "trained"


def result(output: str) -> dict[str, float]:
    """The JSON after `--result`, with which timm's scripts end."""
    found: dict[str, float] = json.loads(output.rpartition("--result")[2])
    return found


def test_train(trained: Path) -> None:
    with (trained / "summary.csv").open() as file:
        first, last = csv.DictReader(file)
    assert float(last["train_loss"]) < float(first["train_loss"])
    assert (trained / "model_best.pth.tar").is_file()


def test_validate(trained: Path, script: Script) -> None:
    output = script("validate", "--data-dir", "photos", *MODEL, *CPU, "--checkpoint", trained / "last.pth.tar")
    with (trained / "summary.csv").open() as file:
        *_, last = csv.DictReader(file)
    assert result(output)["top1"] == pytest.approx(float(last["eval_top1"]), abs=0.01)


def test_compress(trained: Path, tmp_path: Path) -> None:
    fine = ("--step", "0.1", "--basis", "none", "--profile", "fast")
    with pytest.raises(SystemExit) as ended:
        command(["compress", str(trained / "last.pth.tar"), "-o", str(tmp_path / "net.wvp"), *fine])
    assert not ended.value.code
    expected = timm.create_model("vanilla_cnn", num_classes=3, checkpoint_path=str(trained / "last.pth.tar")).eval()
    restored = timm.create_model("vanilla_cnn", num_classes=3).eval()
    with load(tmp_path / "net.wvp") as loaded:
        restored.load_state_dict(loaded.state_dict())
    image = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(restored(image), expected(image), rtol=0.1, atol=0.1)


@pytest.mark.slow
def test_inference(folder: Path, trained: Path, script: Script) -> None:
    checkpoint = ("--checkpoint", trained / "last.pth.tar")
    script("inference", "--data-dir", "photos/validation", *MODEL, *CPU, *checkpoint, "--results-file", "found.csv")
    with (folder / "found.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert {row["filename"] for row in rows} == {f"{name}{number}.png" for name in COLOURS for number in range(2)}


@pytest.mark.slow
def test_benchmark(script: Script) -> None:
    measure = ("--bench", "both", "-b", 2, "--num-bench-iter", 10, "--num-warm-iter", 1)
    found = result(script("benchmark", *MODEL, "--device", "cpu", *measure))
    assert min(found["infer_samples_per_sec"], found["train_samples_per_sec"]) > 0


@pytest.mark.slow
def test_onnx_export(folder: Path, trained: Path, script: Script) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    script("onnx_export", "net.onnx", *MODEL, "--checkpoint", trained / "last.pth.tar", "--dynamo")
    session = runtime.InferenceSession(folder / "net.onnx")
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    model = timm.create_model("vanilla_cnn", num_classes=3, checkpoint_path=str(trained / "last.pth.tar")).eval()
    (exported,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    torch.testing.assert_close(torch.from_numpy(exported), model(image).detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_processes_of_a_script_know_the_models(folder: Path, timm_scripts: Path, script: Script) -> None:
    measure = ("--device", "cpu", "-b", 2, "--num-bench-iter", 10, "--num-warm-iter", 1)
    models = ("--model-list", "vanilla*", "--results-file", "bulk.csv")
    script("bulk_runner", *models, timm_scripts / "benchmark.py", "--bench", "inference", *measure)
    with (folder / "bulk.csv").open() as file:
        assert {row["model"] for row in csv.DictReader(file)} == set(timm.list_models("vanilla*"))


PRINTS = """
import sys
import neighbour
print(sys.argv, __name__, neighbour.NAME, "wavpool" in sys.modules)
"""
STARTS = """
import subprocess, sys
subprocess.run([sys.executable, "-c", "import timm; print(timm.is_model('vanilla_cnn'))"], check=True)
"""

RANKS = """
import os, timm
print(os.environ["RANK"], timm.is_model("vanilla_cnn"), flush=True)
"""


@pytest.fixture
def own_scripts(tmp_path: Path) -> Path:
    """A folder of scripts, one with a module beside it, one that starts a process."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "prints.py").write_text(PRINTS)
    (scripts / "neighbour.py").write_text("NAME = 'beside'")
    (scripts / "starts.py").write_text(STARTS)
    return scripts


@pytest.mark.parametrize("name", ["scripts/prints.py", "scripts/prints", "prints"])
def test_a_script_runs_as_python_runs_it(own_scripts: Path, tmp_path: Path, name: str) -> None:
    done = call(tmp_path, "-m", "wavpool.timm", name, "--amp", "x y", TIMM_SCRIPTS=str(own_scripts))
    path = own_scripts / "prints.py" if name == "prints" else Path("scripts/prints.py")
    assert done.stdout == f"{[str(path), '--amp', 'x y']} __main__ beside True\n", done.stderr


def test_the_environments_own_start_up_file_still_runs(own_scripts: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('own')")
    path = os.pathsep.join(map(str, (tmp_path, ROOT)))
    done = call(tmp_path, "-m", "wavpool.timm", own_scripts / "starts.py", PYTHONPATH=path)
    assert done.stdout.split() == ["own", "own", "True"], done.stderr


@pytest.mark.slow
def test_under_torchrun(tmp_path: Path) -> None:
    (tmp_path / "ranks.py").write_text(RANKS)
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    done = call(tmp_path, *torchrun, "-m", "wavpool.timm", "ranks")
    assert sorted(done.stdout.splitlines()) == ["0 True", "1 True"], done.stderr


def test_a_script_fails_with_its_own_exit_code(tmp_path: Path) -> None:
    (tmp_path / "fails.py").write_text("import sys; sys.exit(7)")
    assert call(tmp_path, "-m", "wavpool.timm", "fails").returncode == 7


class TestMistakes:
    @pytest.mark.parametrize(
        ("folder", "said"), [(None, "TIMM_SCRIPTS is not set"), ("elsewhere", r"or elsewhere \(TIMM_SCRIPTS\)")]
    )
    def test_a_missing_script_is_told_with_the_remedy(
        self, monkeypatch: pytest.MonkeyPatch, folder: str | None, said: str
    ) -> None:
        if folder is None:
            monkeypatch.delenv("TIMM_SCRIPTS", raising=False)
        else:
            monkeypatch.setenv("TIMM_SCRIPTS", folder)
        with pytest.raises(
            ValueError, match=rf"no script 'absent' in this folder.*{said}.*git clone .*v{timm.__version__}"
        ):
            find_script("absent")

    @pytest.mark.parametrize(("arguments", "said"), [([], "no script is named"), (["absent"], "no script 'absent'")])
    def test_one_sentence_and_exit_code_2(
        self, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
    ) -> None:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        error = capsys.readouterr().err
        assert ended.value.code == 2
        assert error.startswith("error: ")
        assert said in error
        assert error.count("\n") == 1

    def test_help_tells_how_to_get_the_scripts(self, capsys: pytest.CaptureFixture[str]) -> None:
        main(["--help"])
        assert f"git clone --depth 1 --branch v{timm.__version__}" in capsys.readouterr().out
