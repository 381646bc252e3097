"""timm's own tests/test_models.py, unmodified, on our models."""

import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

# timm selects by pytest's -k, so nothing of the file changes; wavpool is imported before the file lists the models.
CONFTEST = "import wavpool\nimport timm\n"


@pytest.mark.parametrize("large", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_timms_own_model_tests(
    large: bool, fetch: Callable[..., Path], names: list[str], large_names: list[str], tmp_path: Path
) -> None:
    names = [name for name in names if (name in large_names) == large]
    installed = version("timm")
    archive = fetch(f"timm=={installed}", f"timm-{installed}.tar.gz", "--no-binary", ":all:")
    with tarfile.open(archive) as tar:
        member = tar.extractfile(f"timm-{installed}/tests/test_models.py")
        assert member is not None
        (tmp_path / "test_models.py").write_bytes(member.read())
    (tmp_path / "conftest.py").write_text(CONFTEST)
    report = tmp_path / "report.xml"
    # Names begin after "[" or "-" and end before "-" or "]", so that lenet5 does not select others' models.
    selected = " or ".join(f"[{name}-" for name in names) + " or " + " or ".join(f"-{name}]" for name in names)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        "--rootdir",
        str(tmp_path),
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [*command, "-k", selected, f"--junitxml={report}", "test_models.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
    tree = ElementTree.parse(report)
    cases = tree.findall(".//testcase")
    assert not tree.findall(".//failure")
    assert not tree.findall(".//error")
    passed = [case.get("name", "") for case in cases if case.find("skipped") is None]
    for name in names:
        assert any(f"[{name}-" in case or f"-{name}]" in case for case in passed), f"timm's suite ran nothing on {name}"
    assert len(passed) > 5 * len(names)
