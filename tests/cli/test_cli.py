"""The `wavpool` command: what it writes and says, its exit codes, and that mistakes get one sentence."""

import argparse
import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file, save_file

from wavpool import __version__
from wavpool.cli import main, options
from wavpool.cli.progress import compressing
from wavpool.cli.sweeping import counted
from wavpool.codec import compress, load
from wavpool.codec.compression import Event

ROOT = Path(__file__).parents[2]
NETS = """
import time
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, 32), nn.ReLU(), nn.Linear(32, 4))

def data(count=96):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(count, 3, 8, 8, generator=generator)
    return inputs, net()(inputs).argmax(1)

def needy(what):
    return data()

def gray():
    return torch.zeros(9, 1, 8, 8)

def pair():
    from torchvision.transforms import ToTensor
    return net(), ToTensor()

def drawn():
    return nn.Linear(64, 10)

def slow():
    print("started", flush=True)
    while True:
        time.sleep(0.02)
"""
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Function from arguments to exit code, output and errors of the command, run in a folder with nets."""
    (tmp_path / "cli_nets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(each) for each in arguments])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    yield call
    sys.modules.pop("cli_nets", None)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A small state dict as safetensors."""
    torch.manual_seed(0)
    state = {"features.18.conv.0.weight": torch.randn(16, 8, 3, 3), "head.weight": torch.randn(10, 16)}
    save_file(state | {"head.bias": torch.randn(10), "steps": torch.tensor(7)}, tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


class TestCompress:
    def test_of_a_function_by_step(self, run: Run, tmp_path: Path):
        code, out, _ = run("compress", "cli_nets:net", "-o", "net.wvp", "--step", "1")
        assert code == 0
        size = (tmp_path / "net.wvp").stat().st_size
        assert out.startswith(f"net.wvp: {size:,} bytes, ")
        assert "times smaller than 76,176" in out

    def test_writes_over_what_it_wrote(self, run: Run, tmp_path: Path):
        sizes = []
        for step in ("1", "2"):
            code, _, err = run("compress", "cli_nets:net", "-o", "net.wvp", "--step", step)
            assert code == 0, err
            sizes.append((tmp_path / "net.wvp").stat().st_size)
        assert sizes[1] < sizes[0]

    def test_is_the_same_as_in_python(self, run: Run, tmp_path: Path):
        run("compress", "cli_nets:net", "-o", "net.wvp", "--step", "2", "--basis", "dct", "--profile", "fast")
        from cli_nets import net

        compress(net(), step=2, basis="dct", profile="fast").save(tmp_path / "same.wvp")
        assert (tmp_path / "net.wvp").read_bytes() == (tmp_path / "same.wvp").read_bytes()

    def test_of_weights_to_a_size(self, run: Run, weights: Path, tmp_path: Path):
        code, _, _ = run("compress", weights, "-o", "w.wvp", "--max-bytes", "0.9KB")
        assert code == 0
        assert 700 < (tmp_path / "w.wvp").stat().st_size <= 900

    def test_calibrated_within_a_drop(self, run: Run, tmp_path: Path):
        limits = ("--calibration", "cli_nets:data", "--validation", "cli_nets:data", "--max-drop", "2")
        code, out, err = run("compress", "cli_nets:net", "-o", "net.wvp", *limits)
        assert code == 0, err
        from cli_nets import data, net

        inputs, labels = data()
        model = net()
        with load(tmp_path / "net.wvp") as loaded:
            model.load_state_dict(loaded.state_dict())
            assert loaded.attributes["method"] == "calibrated"
        assert float((model(inputs).argmax(1) == labels).float().mean()) >= 0.98
        assert "times smaller" in out

    def test_fine_tuned(self, run: Run, tmp_path: Path):
        settings = ("--calibration", "cli_nets:data", "--step", "1.5", "--finetune", "20")
        code, _, err = run("compress", "cli_nets:net", "-o", "net.wvp", *settings)
        assert code == 0, err
        from cli_nets import data, net

        compress(net(), calibration=data(), step=1.5, finetune=20).save(tmp_path / "same.wvp")
        assert (tmp_path / "net.wvp").read_bytes() == (tmp_path / "same.wvp").read_bytes()

    def test_of_a_registered_network_with_a_checkpoint(self, run: Run, tmp_path: Path):
        name = min(timm.list_models("wavpool*"))
        torch.save(timm.create_model(name).state_dict(), tmp_path / "c.pth")
        code, _, err = run("compress", name, "--checkpoint", "c.pth", "-o", "c.wvp", "--step", "1")
        assert code == 0, err

    def test_a_promise_is_told_with_its_interval(self, run: Run, tmp_path: Path):
        code, out, _ = run(
            "compress", "cli_nets:net", "-o", "n.wvp", "--max-drop", "9", "--calibration", "cli_nets:data"
        )
        assert code == 0
        value, low, high = map(float, re.findall(r"\d+\.\d\d", out.splitlines()[1]))
        assert out.splitlines()[1].startswith("foretold loss: ")
        assert low <= value <= min(high, 9)

    def test_of_a_checkpoint_of_timms_training(self, run: Run, tmp_path: Path):
        arguments = argparse.Namespace(model="vanilla_cnn", num_classes=3, img_size=None, model_kwargs={})
        torch.manual_seed(0)
        states = [timm.create_model("vanilla_cnn", num_classes=3).state_dict() for _ in range(2)]
        content = {"arch": "vanilla_cnn", "args": arguments, "state_dict": states[0], "state_dict_ema": states[1]}
        torch.save(content, "last.pth.tar")
        for model, name in (("last.pth.tar", "file"), (("vanilla_cnn", "--checkpoint", "last.pth.tar"), "named")):
            words = (model,) if isinstance(model, str) else model
            code, _, err = run("compress", *words, "-o", f"{name}.wvp", "--step", "1", "--profile", "fast")
            assert code == 0, err
        run("compress", "last.pth.tar", "--no-ema", "-o", "plain.wvp", "--step", "1", "--profile", "fast")
        file, named, plain = ((tmp_path / f"{name}.wvp").read_bytes() for name in ("file", "named", "plain"))
        assert file == named != plain

    def test_a_checkpoint_of_timms_training_can_be_calibrated(self, run: Run, tmp_path: Path):
        arguments = argparse.Namespace(model="vanilla_cnn", num_classes=3, img_size=None, model_kwargs={})
        state = timm.create_model("vanilla_cnn", num_classes=3).state_dict()
        torch.save({"arch": "vanilla_cnn", "args": arguments, "state_dict": state}, "last.pth.tar")
        for number in range(4):
            path = tmp_path / "photos" / "train" / "red" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 40), (60 * number, 0, 0)).save(path)
        code, _, err = run("compress", "last.pth.tar", "-o", "x.wvp", "--step", "1", "--calibration", "photos")
        assert code == 0, err

    def test_layers_that_came_out_zero_are_named(self, run: Run, tmp_path: Path):
        code, _, err = run("compress", "cli_nets:net", "-o", "net.wvp", "--step", "90")
        assert code == 0
        assert err == "warning: every weight of 0.weight and 2 more came out zero: take a smaller step, or allow more\n"

    @pytest.mark.parametrize("name", [("lenet5", "--no-pretrained"), ("cli_nets:drawn",)])
    def test_drawn_weights_are_the_same_each_time(self, run: Run, tmp_path: Path, name: tuple[str, ...]):
        for file, seed in (("a", 1), ("b", 1), ("c", 2)):
            assert run("compress", *name, "-o", file, "--step", "1", "--seed", seed, "--profile", "fast")[0] == 0
        same, again, other = ((tmp_path / file).read_bytes() for file in "abc")
        assert same == again != other

    def test_a_folder_that_cannot_be_written_is_told_first(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        def refuse(*args: object, **kwargs: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied", "/tmp/x/.net-abc.wvp")

        monkeypatch.setattr("tempfile.TemporaryFile", refuse)
        code, _, err = run("compress", "no_such_model", "-o", "net.wvp", "--step", "1")
        assert code == 2
        assert err == "error: cannot write net.wvp: Permission denied; give another file or folder\n"


class TestDecompress:
    @pytest.mark.parametrize("ending", ["safetensors", "pth"])
    def test_gives_the_decoded_weights(self, run: Run, weights: Path, tmp_path: Path, ending: str):
        run("compress", weights, "-o", "w.wvp", "--step", "0.5")
        code, out, _ = run("decompress", "w.wvp", "-o", f"back.{ending}")
        assert code == 0
        assert out == f"back.{ending}: 4 tensors, 5,296 bytes of weights\n"
        path = tmp_path / f"back.{ending}"
        state = load_file(path) if ending == "safetensors" else torch.load(path, weights_only=True)
        with load(tmp_path / "w.wvp") as loaded:
            for name, tensor in loaded.state_dict().items():
                assert torch.equal(state[name], tensor)
        assert state["steps"].item() == 7

    def test_tied_weights(self, run: Run, tmp_path: Path):
        shared = torch.randn(32, 8)
        compress({"a": shared, "b": shared}, step=1.0).save(tmp_path / "tied.wvp")
        assert run("decompress", "tied.wvp", "-o", "tied.safetensors")[0] == 0
        state = load_file(tmp_path / "tied.safetensors")
        assert torch.equal(state["a"], state["b"])


class TestInfo:
    def test_table_fits_80_columns(self, run: Run, weights: Path):
        run("compress", weights, "-o", "w.wvp", "--step", "0.5")
        code, out, _ = run("info", "w.wvp")
        assert code == 0
        lines = out.rstrip().splitlines()
        assert max(map(len, lines)) <= 80
        assert lines[0].split() == ["tensor", "shape", "basis", "level", "bits", "zeros", "bytes"]
        assert any("features.18.conv.0.weight" in line and "16×8×3×3" in line for line in lines)
        assert "times smaller than 5,296" in lines[-1]

    def test_json(self, run: Run, weights: Path, tmp_path: Path):
        run("compress", weights, "-o", "w.wvp", "--step", "0.5")
        content = json.loads(run("info", "w.wvp", "--json")[1])
        assert content["totals"]["bytes"] == (tmp_path / "w.wvp").stat().st_size
        assert content["totals"]["weights"] == 16 * 8 * 9 + 160 + 10 + 1
        assert [row["name"] for row in content["tensors"]] == list(load_file(weights))
        assert content["attributes"]["tool"] == f"wavpool {__version__}"

    def test_long_names_are_shortened_in_the_middle(self, run: Run, tmp_path: Path):
        name = "encoder.layers.11.attention.output.dense.projection.weight"
        compress({name: torch.randn(128, 64, 3, 3)}, step=1.0).save(tmp_path / "long.wvp")
        out = run("info", "long.wvp")[1]
        assert max(map(len, out.splitlines())) <= 80
        row = next(line for line in out.splitlines() if "…" in line).split()
        head, tail = row[0].split("…")
        assert name.startswith(head)
        assert name.endswith(tail)
        assert row[1] == "128×64×3×3"


class TestSweepAndReport:
    def test_from_end_to_end(self, run: Run, tmp_path: Path):
        arguments = ("cli_nets:net", "cli_nets:data", "-o", "s", "--methods", "uniform,kmeans", "--strengths", "1,3")
        code, out, err = run("sweep", *arguments, "--no-cliff", "--basis", "none")
        assert code == 0, err
        assert "sweep.csv: 5 points" in out
        assert run("report", "s", "-o", "s/settings.json")[2].startswith("error: cannot write s/settings.json")
        code, out, err = run("report", "s", "-o", "r")
        assert code == 0, err
        assert {path.name for path in (tmp_path / "r").iterdir()} == {"tradeoff.png", "layers.png", "report.html"}
        assert out.split() == ["r/tradeoff.png", "r/layers.png", "r/report.html"]

    def test_prints_the_cliff(self, run: Run):
        arguments = ("cli_nets:net", "cli_nets:data", "-o", "s", "--methods", "uniform", "--strengths", "1")
        code, out, err = run("sweep", *arguments, "--basis", "none")
        assert code == 0, err
        assert "5 points" in out
        assert "95 %" in out


MISTAKES = [
    (("compress", "cli_nets:net", "-o", "x.wvp"), "give one of --max-drop, --max-bytes and --step"),
    (("compress", "cli_nets:net", "-o", "x.wvp", "--step", "1", "--max-bytes", "9KB"), "give one of"),
    (("compress", "cli_nets:net", "-o", "x.wvp", "--max-drop", "1"), "--max-drop needs --calibration"),
    (("compress", "cli_nets:net", "-o", "x.wvp", "--max-bytes", "many"), "'many' is no size"),
    (("compress", "cli_nets:net", "-o", "x.wvp", "--step", "-1"), "--step must be above 0, got -1"),
    (("compress", "cli_nets:net", "-o", "x.wvp", "--step", "nan"), "--step must be above 0"),
    (("compress", "no_such", "-o", "x.wvp", "--max-drop", "0"), "--max-drop must be above 0, got 0"),
    (("compress", "cli_nets:net", "-o", "x.wvp", "--step", "1", "--finetune", "2"), "--finetune needs --calibration"),
    (("compress", "cli_nets:net", "-o", "x.wvp", "--step", "1", "--method", "best"), "method must be one of"),
    (("compress", "cli_nets:net", "-o", "x.wvp", "--step", "1", "--basis", "warblet"), "warblet"),
    (("compress", "cli_nets:net", "-o", "x.wvp", "--step", "1", "--device", "abacus"), "no device 'abacus'"),
    (("compress", "cli_nets:net", "-o", "x.wvp", "--step", "1", "--model-kwargs", "x"), "takes KEY=VALUE"),
    (("compress", "cli_nets:net", "-o", "no/such/x.wvp", "--step", "1"), "there is no folder no/such"),
    (("compress", "cli_nets:net", "-o", ".", "--step", "1"), "is a folder"),
    (("compress", "w.safetensors", "-o", "x.wvp", "--step", "1", "--calibration", "cli_nets:data"), "--checkpoint"),
    (("compress", "no_such_model", "-o", "x.wvp", "--step", "1"), "neither timm nor torchvision"),
    (("compress", "cli_nets:net"), "Missing option '-"),
    (("decompress", "w.safetensors", "-o", "x.safetensors"), "w.safetensors"),
    (("decompress", "absent.wvp", "-o", "x.safetensors"), "cannot use absent.wvp"),
    (("decompress", "w.safetensors", "-o", "x.txt"), "must end in .safetensors or .pth"),
    (("info", "w.safetensors"), "w.safetensors"),
    (("sweep", "cli_nets:net", "cli_nets:data", "-o", "s", "--methods", "best"), "there is no method 'best'"),
    (("sweep", "cli_nets:net", "cli_nets:data", "-o", "s", "--strengths", "a"), "takes numbers between commas"),
    (("sweep", "cli_nets:net", "cli_nets:data", "-o", "s", "--methods", ""), "--methods takes names between commas"),
    (("sweep", "cli_nets:net", "cli_nets:data", "-o", "s", "--basis", ","), "--basis takes names between commas"),
    (("sweep", "cli_nets:net", "cli_nets:data", "-o", "s", "--strengths", "1,-1"), "finite numbers above 0, not -1"),
    (("sweep", "cli_nets:net", "cli_nets:data", "-o", "s", "--strengths", "inf"), "finite numbers above 0, not inf"),
    (("sweep", "cli_nets:net", "cli_nets:data", "-o", "s", "--seed", "1.7"), "--seed takes whole numbers"),
    (("sweep", "cli_nets:net", "cli_nets:data", "-o", "s", "--seed", "nan"), "--seed takes whole numbers"),
    (("report", "."), "no folder of a sweep"),
    (("compress", "w.safetensors", "-o", "x.wvp", "--max-drop", "1"), "--max-drop needs a network, and w.safetensors"),
    (("compress", "old.wvp", "-o", "x.wvp", "--step", "1"), "old.wvp is a .wvp file: decompress it first"),
    (
        ("compress", "cli_nets:net", "--checkpoint", "old.wvp", "-o", "x.wvp", "--step", "1"),
        "old.wvp is a .wvp file: decompress it first",
    ),
    (
        ("compress", "cli_nets:net", "-o", "x.wvp", "--step", "1", "--model-kwargs", "a=3"),
        "cli_nets:net cannot be called (got an unexpected keyword argument 'a')",
    ),
    (
        ("compress", "cli_nets:net", "-o", "x.wvp", "--step", "1", "--calibration", "cli_nets:needy"),
        "cli_nets:needy cannot be called (missing a required argument: 'what')",
    ),
    (
        ("compress", "cli_nets:pair", "-o", "x.wvp", "--step", "1", "--calibration", "images"),
        "images of images cannot be read (Failed to load",
    ),
    (
        ("compress", "cli_nets:net", "-o", "x.wvp", "--step", "1", "--calibration", "cli_nets:gray"),
        "does not take float32 of shape (9, 1, 8, 8)",
    ),
    (("compress",), "(see wavpool compress --help)"),
    (("compress", "cli_nets:net", "-o", "x.wvp", "--step", "1", "--basis", "wht"), "take 2 or 4; or bwht"),
    (("compres",), "No such command"),
    (("compress", "w.safetensors", "-o", "w.safetensors", "--step", "1"), "holds the weights to be compressed"),
    (
        ("compress", "cli_nets:net", "--checkpoint", "w.safetensors", "-o", "./w.safetensors", "--step", "1"),
        "holds the weights to be compressed: give the result another name",
    ),
    (
        ("compress", "cli_nets:net", "-o", "new.pth", "--step", "1"),
        "name of plain weights: give it one such as new.wvp",
    ),
    (("compress", "cli_nets:net", "-o", "x.wvp", "--max-bytes", "1,5KB"), "'1,5KB' is no size"),
    (("compress", "cli_nets:net", "-o", "x.wvp", "--step", "1", "--seed", "-1"), "--seed"),
    (("compress", "cli_nets.py:net", "-o", "x.wvp", "--step", "1"), "write cli_nets:net, without .py"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_a_mistake_is_told_in_one_sentence(run: Run, weights: Path, arguments: tuple[str, ...], message: str):
    Path("old.wvp").write_bytes(b"")
    Path("images/a").mkdir(parents=True)
    for number in range(60):
        Path(f"images/a/{number}.png").write_bytes(b"no image")
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert not Path("x.wvp").exists()


def test_a_defect_keeps_its_traceback(run: Run, weights: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(*args: object, **kwargs: object) -> None:
        torch.zeros(2).reshape(3)

    monkeypatch.setattr("wavpool.cli.commands.compress", broken)
    with pytest.raises(RuntimeError, match="invalid for input"):
        main(["compress", "w.safetensors", "-o", "x.wvp", "--step", "1"])


def test_help_alone_is_no_error(run: Run):
    code, out, err = run()
    assert code == 2
    assert "compress" in out
    assert "error" not in err


def test_one_of_a_thing():
    assert counted(1, "point") == "1 point"
    assert counted(0, "point") == "0 points"


def test_progress_has_no_count_before_there_is_one(monkeypatch: pytest.MonkeyPatch):
    shown = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr("wavpool.cli.progress.console", shown)
    with compressing() as show:
        show(Event("rounding", "fc", 1, 7, 300))
    assert isinstance(shown.file, io.StringIO)
    assert "None" not in shown.file.getvalue()
    assert "1/7" in shown.file.getvalue()


def test_version_and_help(run: Run):
    assert run("--version")[:2] == (0, f"wavpool {__version__}\n")
    code, out, _ = run("--help")
    assert code == 0
    for command in ("compress", "decompress", "info", "sweep", "report"):
        assert command in out
        code, text, _ = run(command, "--help")
        assert code == 0
        assert "Example" in text


@pytest.mark.parametrize(
    ("text", "count"),
    [("60000", 60_000), ("60KB", 60_000), ("60 kb", 60_000), ("1.5KiB", 1536), ("2M", None), ("-3", None)],
)
def test_sizes(text: str, count: int | None):
    if count is None:
        with pytest.raises(ValueError, match=r"is no size|at least one byte"):
            options.size(text)
    else:
        assert options.size(text) == count


def environment(**changes: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | changes


def test_help_does_not_wait_for_torch():
    code = """
import sys
from wavpool.cli import main
try:
    main(["compress", "--help"])
except SystemExit:
    print(sorted({"torch", "numpy", "timm", "numba", "plotly", "matplotlib"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize("library", ["typer", "rich"])
def test_without_the_extra_one_line_names_it(library: str):
    code = f"import sys; sys.modules[{library!r}] = None; from wavpool.cli import main; main(['info', 'x.wvp'])"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: the wavpool command needs typer and rich: pip install 'wavpool[codec]'\n"


def test_ctrl_c_leaves_nothing_half_written(tmp_path: Path):
    (tmp_path / "cli_nets.py").write_text(NETS)
    command = [sys.executable, "-m", "wavpool.cli", "compress", "cli_nets:slow", "-o", "x.wvp", "--step", "1"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err == "interrupted: no file is half-written\n"
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".py" and path.name != "__pycache__"] == []


def test_reader_that_stops_early_is_no_error(run: Run, weights: Path, tmp_path: Path):
    run("compress", weights, "-o", "w.wvp", "--step", "0.5")
    command = f"{sys.executable} -m wavpool.cli info w.wvp --json | head -c 10"
    done = subprocess.run(
        command, shell=True, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
