"""The README and docs keep their word: code runs, tables are stored results, commands work in a clone."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import timm

import wavpool  # noqa: F401  (registers its models)

ROOT = Path(__file__).parents[1]
NAMES = (
    "README.md",
    *(f"docs/{name}.md" for name in ("transforms", "layers", "spectral", "circuits", "models")),
)
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in NAMES}
README = PAGES["README.md"]
PYTHON_BLOCKS = re.findall(r"```python\n(.*?)```", "\n".join(PAGES.values()), re.DOTALL)
STORED = re.findall(r"<!-- (results/\S+\.md) -->\n+(.*?)<!-- end -->", "\n".join(PAGES.values()), re.DOTALL)


@pytest.mark.parametrize("block", PYTHON_BLOCKS)
def test_code_runs(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # what a block writes
    scope: dict[str, object] = {}
    exec(block, scope)
    # A comment below a print is what it prints, in one or several lines.
    said = " ".join(line.removeprefix("# ") for line in block.splitlines() if line.startswith("# "))
    assert said in " ".join(capsys.readouterr().out.split())


def test_commented_shapes() -> None:
    count = 0
    for block in PYTHON_BLOCKS:
        for line in re.finditer(r"^(.+\.shape)\s+# (\(.+\))$", block, re.MULTILINE):
            scope: dict[str, object] = {}
            exec(block[: line.start()], scope)
            assert tuple(eval(line[1], scope)) == eval(line[2]), line[0]
            count += 1
    assert count > 2


def test_tables_are_stored_results() -> None:
    assert STORED
    for path, table in STORED:
        assert table.strip() in (ROOT / path).read_text(encoding="utf-8"), f"a page and {path} differ"


def test_links_and_make_targets_exist() -> None:
    for name, page in PAGES.items():
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page):
            assert ((ROOT / name).parent / target).exists(), target
    targets = set(re.findall(r"make ([a-z-]+)", README))
    assert {"experiments", "test"} <= targets
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def fresh_clone(folder: Path) -> Path:
    """A clone of what is committed, as a stranger gets it."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    return folder


def make(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "MAKEFLAGS", "MAKELEVEL")
    }
    command = ["make", "-C", str(clone), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_commands_in_a_fresh_clone(tmp_path: Path) -> None:
    """Both commands with this environment in the place of `.venv`; CI makes a real one."""
    clone = fresh_clone(tmp_path / "clone")
    prefix = Path(sys.prefix)
    if not (prefix / "pyvenv.cfg").exists():
        pytest.skip("the tests do not run in a virtual environment")
    environment = clone / ".venv"
    environment.mkdir()
    shutil.copy(prefix / "pyvenv.cfg", environment)
    for name in ("bin", "lib"):
        (environment / name).symlink_to(prefix / name)
    for stamp in (".packages", ".ready"):
        (environment / stamp).touch()
    result = make(clone, "experiments", "ARGS=--epochs 3 --seeds 0")
    assert result.returncode == 0, result.stderr
    assert "WavPool (ours)" in result.stdout
    produced = {path.name for path in (clone / "runs" / "digits").iterdir()}
    assert {"results.md", "results.csv", "report.html"} <= produced
    result = make(clone, "test", "ARGS=tests/test_packaging.py -k version")
    assert result.returncode == 0, result.stdout
    assert re.search(r"[1-9]\d* passed", result.stdout)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_set_up_from_nothing(tmp_path: Path) -> None:
    """`make experiments` makes its environment from the lock and runs."""
    clone = fresh_clone(tmp_path / "clone")
    result = make(clone, "experiments", f"PYTHON={sys.executable}")
    assert result.returncode == 0, result.stderr
    assert "WavPool (ours)" in result.stdout


COUNTED = [
    "wavpool_dense_tiny",
    "wavpool_dense_small",
    "wavpool_dense_base",
    "wavpool_paper",
    "wavmlp_paper",
    "mlp_paper",
    "cnn_paper",
    "vanilla_mlp",
    "vanilla_cnn",
    "lenet5",
]


@pytest.mark.parametrize("name", COUNTED)
def test_parameter_counts(name: str) -> None:
    model = timm.create_model(name, num_classes=10, in_chans=1)
    table = README.split("| model | what it is |")[1].split("\n\n")[0]
    assert f"{sum(parameter.numel() for parameter in model.parameters()):,}" in table
