"""The notebooks run from top to bottom in a fresh kernel, draw what they promise, and are stored bare."""

import base64
import io
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
OF_THE_CHECKOUT = ("comparison", "inference", "block_tour", "backbones")  # the others need the package alone
NAMES = (*OF_THE_CHECKOUT, "spectral_layers")
EPOCHS = 2  # as many as the digits recipe warms up for


def read(name: str) -> NotebookNode:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=nbformat.NO_CONVERT)


@pytest.fixture
def execute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run a notebook in a folder on the digits, one seed, few epochs, no other data and runs of its own."""
    monkeypatch.delenv("WAVPOOL_DATA", raising=False)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    for name, value in {
        "OMP_NUM_THREADS": "1",
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "WAVPOOL_NOTEBOOK_DATA": "digits",
        "WAVPOOL_NOTEBOOK_EPOCHS": str(EPOCHS),
        "WAVPOOL_NOTEBOOK_SEEDS": "0",
        "WAVPOOL_NOTEBOOK_RUNS": str(tmp_path / "runs"),
    }.items():
        monkeypatch.setenv(name, value)

    def run(name: str, folder: Path) -> NotebookNode:
        notebook = read(name)
        NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(folder)}}).execute()
        return notebook

    return run


def outputs(notebook: NotebookNode, cell_id: str) -> list[NotebookNode]:
    return next(cell.outputs for cell in notebook.cells if cell.id == cell_id)


def text(notebook: NotebookNode, cell_id: str) -> str:
    """All that a cell printed or showed as text."""
    shown = outputs(notebook, cell_id)
    return "".join(out.get("text", "") or "".join(out.get("data", {}).get("text/plain", "")) for out in shown)


def pictures(cell: NotebookNode) -> list[np.ndarray]:
    encoded = [output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("L")) for png in encoded]


def check_outputs(notebook: NotebookNode) -> None:
    """No error, and a picture with something on it below exactly the cells that are tagged `figure`."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            assert output.output_type != "error", f"{cell.id}: {output}"
        drawn = pictures(cell)
        assert len(drawn) == ("figure" in cell.metadata.get("tags", [])), cell.id
        for pixels in drawn:
            assert min(pixels.shape) > 100
            assert pixels.std() > 5, f"{cell.id}: an empty picture"


def test_comparison(execute, tmp_path: Path):
    notebook = execute("comparison", NOTEBOOKS)
    check_outputs(notebook)
    table = outputs(notebook, "table")[0].data["text/markdown"]
    for label in ("WavPool (paper)", "WavPool (dense)", "MLP", "CNN"):
        accuracy = re.search(rf"^\| {re.escape(label)} \| ([\d.]+) \|", table, re.MULTILINE)
        assert accuracy, table
        assert 0.1 < float(accuracy[1]) <= 1
    histories = sorted((tmp_path / "runs").rglob("history.csv"))
    assert len(histories) == 5
    assert all(len(history.read_text().splitlines()) == 1 + EPOCHS for history in histories)


def test_inference(execute, tmp_path: Path):
    notebook = execute("inference", ROOT)
    check_outputs(notebook)
    assert len(list((tmp_path / "runs").rglob("model.safetensors"))) == 2
    together = outputs(notebook, "together")[-1].data["text/html"]
    counts = [int(count) for count in re.findall(r"<td>(\d+)</td>", together)]
    assert sum(counts) == 300  # all test images of the digits


def test_block_tour(execute):
    notebook = execute("block_tour", NOTEBOOKS)
    check_outputs(notebook)
    assert "of 201,672 parameters (91%) are dead" in text(notebook, "networks")
    assert "181,610 cannot reach the output" in text(notebook, "networks")
    # A unit's response is the product of the image with its drawn filter.
    differences = re.findall(r"difference (\S+) of (\S+)", text(notebook, "check"))
    assert len(differences) == 3
    assert all(float(difference) < 1e-5 * float(size) for difference, size in differences)
    # What is called invisible changes no logit.
    changes = re.findall(r"at most (\S+)", text(notebook, "seen"))
    assert len(changes) == 3
    assert all(float(change) < 1e-5 for change in changes)


def test_backbones(execute):
    notebook = execute("backbones", NOTEBOOKS)
    check_outputs(notebook)
    assert "image (45, 71): logits (1, 10)" in text(notebook, "create")
    assert "(1, 32, 23, 36)" in text(notebook, "features")
    iou = re.search(r"foreground IoU ([\d.]+)", text(notebook, "segment"))
    assert iou
    assert float(iou[1]) > 0.5
    accuracy = re.search(r"random weights: test accuracy ([\d.]+)", text(notebook, "probe"))
    assert accuracy
    assert float(accuracy[1]) > 0.5


def test_spectral_layers(execute):
    notebook = execute("spectral_layers", NOTEBOOKS)
    check_outputs(notebook)
    assert "layer: differs from SciPy by" in text(notebook, "steps")
    assert "sought 5.330" in text(notebook, "learn")
    assert "rank of all filters: 16" in text(notebook, "filters")


@pytest.mark.parametrize("name", NAMES)
def test_stored_bare_and_valid(name: str):
    notebook = read(name)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert name not in OF_THE_CHECKOUT or "parameters" in code[0].metadata.tags
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


def test_no_other_notebooks():
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(NAMES)


@pytest.mark.parametrize("folder", [ROOT, NOTEBOOKS], ids=["root", "notebooks"])
@pytest.mark.parametrize("name", OF_THE_CHECKOUT)
def test_finds_the_checkout(name: str, folder: Path):
    """An interpreter that has neither the folder nor the checkout on its path imports the checkout's packages."""
    source = next(cell.source for cell in read(name).cells if cell.id == "root")
    probe = "import importlib.util as i; print([i.find_spec(name).origin for name in ('generators', 'training')])"
    command = [sys.executable, "-I", "-c", f"{source}\n{probe}"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert result.stdout.count(str(ROOT)) == 2
