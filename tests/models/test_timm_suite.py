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

# pytest's -k selects our models, so nothing of the file changes; wavpool is imported before the file lists the models.
# Tests of forward_intermediates and pruning list the modules to test by name: ours are added.
CONFTEST = """
import functools
import wavpool
import timm

listed = timm.list_models

@functools.wraps(listed)
def list_models(filter="", module=None, **kwargs):
    if isinstance(module, (list, tuple)):
        module = [*module, *{families}]
    return listed(filter, module, **kwargs)

timm.list_models = list_models
"""
INTERMEDIATES = "test_model_forward_intermediates"
PRUNING = "test_prune_intermediate_layers_contract"  # from timm 1.0.31 on


@pytest.mark.parametrize("large", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_timms_own_model_tests(
    large: bool,
    fetch: Callable[..., Path],
    names: list[str],
    large_names: list[str],
    families: list[str],
    tmp_path: Path,
) -> None:
    names = [name for name in names if (name in large_names) == large]
    installed = version("timm")
    archive = fetch(f"timm=={installed}", f"timm-{installed}.tar.gz", "--no-binary", ":all:")
    with tarfile.open(archive) as tar:
        member = tar.extractfile(f"timm-{installed}/tests/test_models.py")
        assert member is not None
        source = member.read()
    (tmp_path / "test_models.py").write_bytes(source)
    (tmp_path / "conftest.py").write_text(CONFTEST.format(families=families))
    report = tmp_path / "report.xml"
    # Names begin after "[" or "-" and end before "-" or "]", so that lenet5 does not select others' models.
    selected = " or ".join(f"[{name}- or [{name}] or -{name}]" for name in names)
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
        own = [case for case in passed if f"[{name}-" in case or f"[{name}]" in case or f"-{name}]" in case]
        assert len(own) > 5, f"timm's suite ran nothing but {own} on {name}"
        for test in (INTERMEDIATES, PRUNING):
            if test.encode() in source:
                assert any(case.startswith(f"{test}[") for case in own), f"{test} did not run on {name}"
