"""The README and docs keep their word: code runs, tables are stored results, commands work in a clone."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

import wavpool  # noqa: F401  (registers its models)
from benchmarks.imagenet import count_macs
from benchmarks.pages import filled, pages

ROOT = Path(__file__).parents[1]
README_LIMIT = 12 * 1024  # bytes
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in pages(ROOT)}
README = PAGES["README.md"]


def found(pattern: str, flags: int = 0) -> list[Any]:
    """Matches of a pattern on all pages, each named by its page."""
    return [
        pytest.param(match, id=f"{name}-{index}")
        for name, page in PAGES.items()
        for index, match in enumerate(re.finditer(pattern, page, flags))
    ]


PYTHON_BLOCKS = found(r"```python\n(.*?)```", re.DOTALL)
COUNTED = found(r"^\| `(\w+)` \| ([\d x]+) \| ([\d,]+) \| ([\d.]+) \|", re.MULTILINE)


def test_the_readme_is_short() -> None:
    assert len(README.encode()) <= README_LIMIT


@pytest.mark.parametrize("match", PYTHON_BLOCKS)
def test_code_runs(
    match: re.Match[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    block = match[1]
    monkeypatch.chdir(tmp_path)  # what a block writes
    scope: dict[str, object] = {}
    exec(block, scope)
    # A comment below a print is what it prints, in one or several lines.
    said = " ".join(line.removeprefix("# ") for line in block.splitlines() if line.startswith("# "))
    assert said in " ".join(capsys.readouterr().out.split())


def test_commented_shapes() -> None:
    count = 0
    for parameters in PYTHON_BLOCKS:
        block = parameters.values[0][1]
        for line in re.finditer(r"^(.+\.shape)\s+# (\(.+\))$", block, re.MULTILINE):
            scope: dict[str, object] = {}
            exec(block[: line.start()], scope)
            assert tuple(eval(line[1], scope)) == eval(line[2]), line[0]
            count += 1
    assert count > 2


@pytest.mark.parametrize("name", PAGES)
def test_tables_are_stored_results(name: str) -> None:
    assert filled(PAGES[name]) == PAGES[name], "run python -m benchmarks.pages"


def test_pages_have_tables() -> None:
    assert sum(page.count("<!-- results/") for page in PAGES.values()) > 10


def anchors(page: str) -> set[str]:
    """GitHub's names of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_and_make_targets_exist() -> None:
    for name, page in PAGES.items():
        for target, anchor in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", page):
            path = ((ROOT / name).parent / target).resolve() if target else ROOT / name
            assert path.exists(), (name, target)
            if anchor:
                assert anchor in anchors(path.read_text(encoding="utf-8")), (name, target, anchor)
    targets = set(re.findall(r"`?make ([a-z-]+)", README))
    assert {"experiments", "test"} <= targets
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:^|`)make ([a-z-]+)", "\n".join(PAGES.values()), re.MULTILINE)):
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
    assert "WavPool (dense)" in result.stdout
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
    assert "WavPool (dense)" in result.stdout


@pytest.mark.parametrize("match", COUNTED)
def test_parameters_and_macs(match: re.Match[str]) -> None:
    name, size, parameters, macs = match.groups()
    shape = [int(side) for side in size.split(" x ")]
    model = timm.create_model(name, in_chans=shape[0], num_classes=1000 if name.endswith("_224") else 10).eval()
    assert f"{sum(parameter.numel() for parameter in model.parameters()):,}" == parameters
    assert f"{count_macs(model, torch.zeros(1, *shape)) / 1e6:.2f}" == macs
