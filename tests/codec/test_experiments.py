"""The codec's experiments on a network of a second: bases by kind of layer, the ancestors', ours beside the rival."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from benchmarks.codec import ancestors, bases, compare, finetuned
from benchmarks.codec.cases import Case
from benchmarks.codec.nncodec_rival import read_rows
from wavpool.codec.points import Curve

# Weights that are smooth over an image of 8 x 8, and labels that are the network's own.
MODULE = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 4)).eval()
    smooth = nn.functional.interpolate(torch.randn(24, 1, 3, 3), (8, 8), mode="bicubic")
    model[1].weight.data.copy_(smooth.flatten(1) / 4)
    return model

def batches(seed):
    images = torch.randn(400, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return [(part, net()(part).argmax(1)) for part in images.split(100)]

def calibration():
    return batches(1)

def test():
    return batches(2)
"""


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    (tmp_path / "experiment_net.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    module = importlib.import_module("experiment_net")
    case = Case(module.net, module.calibration, module.calibration, module.test, module.calibration)
    for user in (bases, compare, finetuned):
        monkeypatch.setattr(user, "CASES", {"net": case})
    for user in (ancestors, compare):
        monkeypatch.setattr(user, "RUNS", tmp_path / "runs")
    return case


def test_a_basis_of_the_image_wins_where_weights_are_smooth_over_it(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = bases.Kind(
        "first layer", "net", lambda layout: layout.cols == 64, ("none", "dct@map:1x8x8"), ("uniform",), 0.8, 300
    )
    monkeypatch.setattr(bases, "KINDS", {"first": kind})
    bases.main(["--output", str(tmp_path)])
    none, dct = (line.split(",") for line in (tmp_path / "bases.csv").read_text().splitlines()[1:])
    assert none[:4] == ["first layer", "1536", "uniform", "none"]
    assert int(dct[4]) < 0.8 * int(none[4])
    assert float(dct[5]) == pytest.approx(int(dct[4]) / int(none[4]), rel=0.02)  # of bytes that are rounded
    assert float(dct[8]) > float(none[8])  # accuracy after 80 % of the coefficients are dropped
    assert "| first layer | uniform | dct@map:1x8x8 |" in capsys.readouterr().out
    assert (tmp_path / "bases.png").read_bytes().startswith(b"\x89PNG")


def test_calibrated_rounding_counts_the_bytes_of_the_chosen_layers(case: Case) -> None:
    chosen = bases.Kind("first", "net", lambda layout: layout.cols == 64, ("none",), ("calibrated",), 0.5, 300)
    every = bases.Kind("all", "net", lambda layout: True, ("none",), ("calibrated",), 0.5, 300)
    part, whole = (bases.Trial(kind).calibrated("none")(1.0) for kind in (chosen, every))
    assert 0 < part["bytes"] < whole["bytes"]
    assert part["kl"] == whole["kl"] > 0


def test_an_ancestors_experiment_leaves_tables_and_figures(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curves = (Curve("hard", "haar@matrix"), Curve("kmeans", "none"))
    monkeypatch.setattr(ancestors, "EXPERIMENTS", {"tiny": ancestors.Experiment("net", curves)})
    arguments = ["tiny", "--strengths", "0.5", "2", "--no-cliff", "--output", str(tmp_path / "out")]
    ancestors.main([*arguments, "--methods", "hard"])
    assert len((tmp_path / "out" / "sweep.csv").read_text().splitlines()) == 4
    ancestors.main(arguments)
    assert len((tmp_path / "out" / "sweep.csv").read_text().splitlines()) == 6
    assert (tmp_path / "out" / "tradeoff.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "runs" / "ancestors-tiny" / "report.html").exists()


def test_fine_tuning_is_compared_at_one_size(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetuned, "NETWORKS", ("net",))
    settings = ["--epochs", "3", "--samples", "400", "--output", str(tmp_path)]
    finetuned.main(["net", "--max-bytes", "900", *settings])
    finetuned.main(["net", "--max-bytes", "700", "900", *settings])
    rows = read_rows(tmp_path / "finetuned.csv", ("model",), finetuned.WHOLE)
    assert [row["max_bytes"] for row in rows] == [700, 700, 900, 900]
    assert all(0.9 * row["max_bytes"] < row["bytes"] <= row["max_bytes"] for row in rows)
    assert all((row["samples"] > 0) == bool(number % 2) for number, row in enumerate(rows))
    assert "| net | " in (tmp_path / "finetuned.md").read_text()


def test_ours_has_rows_with_and_without_data(case: Case) -> None:
    rows = compare.ours("net", [0.5], [0.1, 0.2])
    assert [row["coder"] for row in rows] == 2 * [compare.DATA_FREE] + [compare.CALIBRATED]
    assert all(set(compare.COLUMNS) <= set(row) for row in rows)
    assert 25 < rows[0]["accuracy"] <= 100 - rows[0]["drop"] + 1e-9
