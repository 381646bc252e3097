"""Sweeps of a small net on scikit-learn's digits: what is measured, resumed, refused and found."""

import csv
import json
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from wavpool.codec import bench as bench_module
from wavpool.codec import compress
from wavpool.codec.bench import Bench, Subject, digest, state_bytes, zeros
from wavpool.codec.points import CLIFF_COLUMNS, COLUMNS, Curve, Row, claim, curve_of, read_cliffs, read_points
from wavpool.codec.sweep import SweepEvent, sweep
from wavpool.errors import UserError
from wavpool.evaluation.metrics import evaluate, predict
from wavpool.evaluation.specs import DataSpec, ModelSpec

NETS = """
import torch
from sklearn.datasets import load_digits
from torch import nn

def digits():
    data = load_digits()
    return torch.tensor(data.images, dtype=torch.float32).flatten(1) / 16, torch.tensor(data.target)

def train():
    return tuple(each[:900] for each in digits())

def test():
    return tuple(each[900:] for each in digits())

def unlabelled():
    return test()[0]

def even():
    inputs, labels = test()
    return inputs, labels % 2

def two_class_net():
    return nn.Sequential(net(), EvenOdd())

class EvenOdd(nn.Module):
    def forward(self, logits):
        return logits.unflatten(1, (5, 2)).logsumexp(1)

def nothing():
    return []

def other():
    torch.seed()
    return nn.Linear(64, 10)

def net(seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    inputs, labels = train()
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    return model
"""
CURVES = (Curve("uniform", "none"), Curve("magnitude", "none"))
STRENGTHS = (0.5, 2.0)


@pytest.fixture(scope="module", autouse=True)
def nets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on the path, also of worker processes, with a module `digit_nets`."""
    folder = tmp_path_factory.mktemp("nets")
    (folder / "digit_nets.py").write_text(NETS)
    sys.path.insert(0, str(folder))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield folder
    torch.set_num_threads(threads)
    sys.path.remove(str(folder))
    sys.modules.pop("digit_nets", None)


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject(ModelSpec("digit_nets:net"), DataSpec("digit_nets:test"))


@pytest.fixture(scope="module")
def swept(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished sweep with its cliffs."""
    folder = tmp_path_factory.mktemp("sweep")
    sweep(folder, subject, CURVES, STRENGTHS)
    return folder


@pytest.fixture
def no_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise AssertionError("a point is measured again")

    monkeypatch.setattr(Bench, "_compress", fail)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class TestPoints:
    def test_columns(self, swept: Path):
        rows = table(swept / "sweep.csv")
        assert tuple(rows[0]) == COLUMNS
        assert [row["method"] for row in rows[:1]] == ["original"]
        assert {(row["method"], float(row["strength"])) for row in rows} >= {
            (curve.method, strength) for curve in CURVES for strength in STRENGTHS
        }

    def test_figures_are_those_of_the_file(self, swept: Path, subject: Subject):
        source = subject.model.load()
        data = subject.data.load(source)
        compressed = compress(source.network, step=2.0, method="magnitude", basis="none")
        row = next(row for row, _ in read_points(swept) if row["method"] == "magnitude" and row["strength"] == 2)
        assert row["bytes"] == compressed.nbytes
        assert row["ratio"] == pytest.approx(state_bytes(source.state) / compressed.nbytes)
        figures = evaluate(predict(compressed.to_model(), data), predict(source.network, data))
        assert set(figures) == {"accuracy", "top5", "loss", "f1", "precision", "recall", "kl", "agreement", "drop"}
        for name, figure in figures.items():
            assert [row[f"{name}{end}"] for end in ("", "_low", "_high")] == pytest.approx(list(figure)), name
        assert row["zero_weights"] == pytest.approx(0.74, abs=0.03)  # 3/4 of the weights, none of the biases
        assert row["samples"] == 897
        assert row["encode_seconds"] > 0
        assert row["inference_seconds_low"] <= row["inference_seconds"] <= row["inference_seconds_high"]

    def test_stronger_is_smaller_and_worse(self, swept: Path):
        for curve in CURVES:
            weak, strong = (
                next(
                    row
                    for row, _ in read_points(swept)
                    if row["method"] == curve.method and row["strength"] == strength
                )
                for strength in STRENGTHS
            )
            assert strong["bytes"] < weak["bytes"]
            assert strong["kl"] > weak["kl"]
            assert strong["zero_coefficients"] > weak["zero_coefficients"]

    def test_layers_are_kept_beside(self, swept: Path, subject: Subject):
        names = set(subject.model.load().state)
        for row, layers in read_points(swept):
            assert {layer["name"] for layer in layers} == (set() if row["method"] == "original" else names)

    def test_no_other_file_is_left(self, swept: Path):
        assert {path.name for path in swept.iterdir()} == {"settings.json", "points", "sweep.csv", "cliffs.csv"}
        assert all(path.suffix == ".json" for path in (swept / "points").iterdir())


class TestResuming:
    def test_what_is_finished_is_not_measured_again(self, swept: Path, subject: Subject, no_measuring: None):
        before = (swept / "sweep.csv").read_text(), (swept / "cliffs.csv").read_text()
        sweep(swept, subject, CURVES, STRENGTHS)
        assert ((swept / "sweep.csv").read_text(), (swept / "cliffs.csv").read_text()) == before

    def test_goes_on_after_an_interrupt(self, subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        def interrupt(event: SweepEvent) -> None:
            if event.done == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            sweep(tmp_path, subject, CURVES, STRENGTHS, cliff=False, progress=interrupt)
        assert len(table(tmp_path / "sweep.csv")) == 3
        measured: list[float] = []
        real = Bench._compress
        monkeypatch.setattr(Bench, "_compress", lambda self, c, s: measured.append(s) or real(self, c, s))
        rows = sweep(tmp_path, subject, CURVES, (*STRENGTHS, 4.0), cliff=False)
        assert len(rows) == 7
        assert sorted(measured) == [0.5, 2, 4, 4]

    def test_half_a_point_leaves_nothing(self, subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        def interrupt(path: Path) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(bench_module, "load", interrupt)
        with pytest.raises(KeyboardInterrupt):
            sweep(tmp_path, subject, CURVES, STRENGTHS)
        assert [path.name for path in (tmp_path / "points").iterdir()] == ["original.json"]

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"data": DataSpec("digit_nets:train")}, "data"),
            ({"calibration": DataSpec("digit_nets:train")}, "calibration"),
            ({"profile": "fast"}, "profile"),
            ({"model": ModelSpec("digit_nets:net", settings={"seed": 1})}, "model, weights"),
        ],
    )
    def test_other_settings_are_refused(self, swept: Path, subject: Subject, change: dict[str, object], named: str):
        with pytest.raises(UserError, match=rf"other settings \({named}\): give another folder"):
            sweep(swept, replace(subject, **change), CURVES, STRENGTHS)

    def test_other_weights_of_the_same_name_are_refused(self, subject: Subject, tmp_path: Path):
        path = tmp_path / "w.pth"
        for seed in (0, 1):
            torch.save(ModelSpec("digit_nets:net", settings={"seed": seed}).load().state, path)
            named = replace(subject, model=ModelSpec("digit_nets:net", checkpoint=path))
            if seed == 0:
                sweep(tmp_path / "sweep", named, CURVES[:1], STRENGTHS[:1], cliff=False)
        with pytest.raises(UserError, match=r"\(weights\)"):
            sweep(tmp_path / "sweep", named, CURVES[:1], STRENGTHS[:1], cliff=False)


class TestCliff:
    def test_stays_where_it_is_not_searched_again(self, swept: Path, subject: Subject):
        before = (swept / "cliffs.csv").read_bytes()
        sweep(swept, subject, CURVES, STRENGTHS, cliff=False)
        assert (swept / "cliffs.csv").read_bytes() == before

    def test_columns_and_order(self, swept: Path):
        rows = table(swept / "cliffs.csv")
        assert tuple(rows[0]) == CLIFF_COLUMNS
        for curve in CURVES:
            of = {row["critical"]: row for row in read_cliffs(swept) if row["method"] == curve.method}
            assert of["5"]["bytes"] < of["1"]["bytes"] <= of["0.5"]["bytes"]
            assert "knee" in of
            for row in of.values():
                assert row["bytes_low"] <= row["bytes"] + 1
                assert row["bytes"] <= row["bytes_high"] + 1

    def test_two_classes_have_a_knee(self, tmp_path: Path):
        """Half of the accuracy cannot be lost where guessing is right half of the time."""
        subject = Subject(ModelSpec("digit_nets:two_class_net"), DataSpec("digit_nets:even"))
        sweep(tmp_path, subject, CURVES[1:], STRENGTHS)
        (knee,) = (row for row in read_cliffs(tmp_path) if row["critical"] == "knee")
        assert knee["bytes_low"] <= knee["bytes"] <= knee["bytes_high"]

    def test_no_file_is_measured_twice(self, subject: Subject, tmp_path: Path):
        """Of bits and codebooks there are few, and below some strength random pruning takes nothing away."""
        curves = [Curve("fixed", "none"), Curve("kmeans", "none"), Curve("random", "none")]
        sweep(tmp_path, subject, curves, STRENGTHS)
        for curve in curves:
            rows = [row for row, _ in read_points(tmp_path) if curve_of(row) == curve]
            sizes = [row["bytes"] for row in rows]
            assert len(rows) > len(STRENGTHS)
            assert curve.method == "random" or len(set(sizes)) == len(sizes), sizes
            assert min(row["strength"] for row in rows) > 1e-3

    def test_is_where_the_points_cross(self, swept: Path):
        """Files clearly larger than the critical size hold, and clearly smaller ones do not."""
        for cliff in read_cliffs(swept):
            if cliff["critical"] == "knee":
                continue
            target = float(cliff["critical"])
            for row, _ in read_points(swept):
                if row["method"] == cliff["method"] and row["bytes"] > cliff["bytes_high"] * 1.01:
                    assert row["drop_low"] <= target
                if row["method"] == cliff["method"] and row["bytes"] < cliff["bytes_low"] * 0.99:
                    assert row["drop_high"] >= target

    def test_both_sides_are_measured_closely(self, swept: Path):
        for cliff in read_cliffs(swept):
            if cliff["critical"] == "5":
                sizes = [row["bytes"] for row, _ in read_points(swept) if row["method"] == cliff["method"]]
                below, above = (
                    max(s for s in sizes if s <= cliff["bytes"]),
                    min(s for s in sizes if s >= cliff["bytes"]),
                )
                assert above / below < 1.2

    def test_a_method_that_saturates_ends(self, subject: Subject, tmp_path: Path):
        """Two bits are the fewest that `fixed` has: no strength beyond is of use."""
        sweep(tmp_path, subject, [Curve("fixed", "none")], [1.0])
        strengths = [row["strength"] for row, _ in read_points(tmp_path)]
        assert len(strengths) < 25
        assert max(strengths) <= 16

    def test_needs_labels(self, subject: Subject, tmp_path: Path):
        bare = replace(subject, data=DataSpec("digit_nets:unlabelled"))
        with pytest.raises(UserError, match="--no-cliff"):
            sweep(tmp_path, bare, CURVES[:1], STRENGTHS[:1])
        rows = sweep(tmp_path, bare, CURVES[:1], STRENGTHS[:1], cliff=False)
        assert {"kl", "agreement"} <= set(rows[-1])
        assert not {"accuracy", "drop", "loss"} & set(rows[-1])
        assert table(tmp_path / "sweep.csv")[-1]["accuracy"] == ""


def without_times(rows: list[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if "seconds" not in name} for row in rows]


def test_workers_give_the_same(subject: Subject, swept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    events: list[SweepEvent] = []
    sweep(tmp_path, subject, CURVES, STRENGTHS, workers=2, progress=events.append)
    ours, theirs = ([row for row, _ in read_points(folder)] for folder in (tmp_path, swept))
    assert without_times(ours) == without_times(theirs)
    assert (tmp_path / "cliffs.csv").read_text() == (swept / "cliffs.csv").read_text()
    assert [event.done for event in events] == list(range(1, 7))
    with pytest.raises(UserError, match="method must be one of"):
        sweep(tmp_path, subject, [Curve("no_such_method")], STRENGTHS, workers=2)


class TestCounting:
    def test_zeros_of_weights_and_of_coefficients(self):
        state = {"a": torch.tensor([0.0, 1, 2, 3]), "b": torch.tensor([0.0, 0]), "n": torch.tensor([0, 0, 0])}
        found = zeros(state, [{"name": "a", "zeros": 0.75}, {"name": "b", "zeros": None}])
        assert found == {"zero_weights": 0.5, "zero_coefficients": pytest.approx(5 / 6)}

    def test_tied_tensors_are_counted_once(self):
        weight = torch.zeros(10)
        assert state_bytes({"a": weight, "b": weight, "c": torch.zeros(3, dtype=torch.int64)}) == 64

    def test_digest_depends_on_everything(self):
        base = {"a": torch.zeros(4)}
        others = [{"b": torch.zeros(4)}, {"a": torch.zeros(2, 2)}, {"a": torch.zeros(4).half()}, {"a": torch.ones(4)}]
        assert len({digest(state) for state in (base, *others)}) == 5
        assert digest(base) == digest({"a": torch.zeros(8)[::2]})
        assert digest({"s": torch.tensor(1.0)}) != digest({"s": torch.tensor(2.0)})


def test_infinite_figures_survive(tmp_path: Path):
    from wavpool.codec.points import read_point, write_point, write_tables

    row = {"method": "uniform", "basis": "none", "strength": 1.0, "seed": 0, "bytes": 9, "kl": math.inf}
    write_point(tmp_path, "x.json", row, [])
    assert read_point(tmp_path, "x.json") == (row, [])
    assert json.loads((tmp_path / "points" / "x.json").read_text())["figures"]["kl"] is None
    write_tables(tmp_path)
    assert table(tmp_path / "sweep.csv")[0]["kl"] == "inf"


class TestMistakes:
    """What cannot be measured is told before a folder is claimed and before anything is measured."""

    @pytest.mark.parametrize(
        ("curve", "strength", "message"),
        [
            (Curve("best"), 1.0, "method must be one of"),
            (Curve("calibrated"), 1.0, "needs a model that can be run and calibration inputs"),
            (Curve("uniform", "warblet"), 1.0, "warblet"),
            (Curve("uniform", "wht"), 1.0, r"2\.weight: .*or bwht"),
            (Curve("uniform"), 0.0, "above 0, got 0"),
            (Curve("uniform"), math.nan, "above 0, got nan"),
        ],
    )
    def test_nothing_is_claimed(self, subject: Subject, tmp_path: Path, curve: Curve, strength: float, message: str):
        with pytest.raises(ValueError, match=message):
            sweep(tmp_path, subject, [curve], [strength])
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("data", ["digit_nets:no_such", "digit_nets:unlabelled"])
    def test_nor_by_data_that_will_not_do(self, subject: Subject, tmp_path: Path, data: str, no_measuring: None):
        with pytest.raises(UserError):
            sweep(tmp_path, replace(subject, data=DataSpec(data)), CURVES[:1], STRENGTHS[:1])
        assert list(tmp_path.iterdir()) == []

    def test_nor_by_empty_calibration_data(self, subject: Subject, tmp_path: Path):
        empty = replace(subject, calibration=DataSpec("digit_nets:nothing"))
        with pytest.raises(UserError, match="no samples to calibrate on"):
            sweep(tmp_path, empty, CURVES[:1], STRENGTHS[:1])

    def test_settings_without_points_are_no_claim(self, subject: Subject, tmp_path: Path):
        claim(tmp_path, {"model": "another"})
        sweep(tmp_path, subject, CURVES[:1], STRENGTHS[:1], cliff=False)
        assert json.loads((tmp_path / "settings.json").read_text())["model"]["name"] == "digit_nets:net"

    def test_a_model_that_comes_out_different_each_time(
        self, subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        with pytest.raises(UserError, match="different each time it is made: save its weights and give --checkpoint"):
            sweep(tmp_path, replace(subject, model=ModelSpec("digit_nets:other")), CURVES[:1], STRENGTHS, workers=2)

    @pytest.mark.parametrize("content", ["{", "[1, 2]", '{"figures": {"method": "uniform"}, "layers": []}', "\xff"])
    def test_a_damaged_point_is_named(self, tmp_path: Path, content: str):
        (tmp_path / "points").mkdir()
        (tmp_path / "points" / "x.json").write_text(content, encoding="latin-1")
        with pytest.raises(UserError, match=r"points.x\.json is damaged: delete it and run the sweep again"):
            list(read_points(tmp_path))

    def test_damaged_tables_are_named(self, tmp_path: Path):
        (tmp_path / "cliffs.csv").write_text("method,bytes\nuniform,many\n")
        with pytest.raises(UserError, match=r"cliffs\.csv is damaged"):
            read_cliffs(tmp_path)
        (tmp_path / "points").mkdir()
        (tmp_path / "points" / "x.json").write_text("{}")
        (tmp_path / "settings.json").write_text("{")
        with pytest.raises(UserError, match=r"settings\.json is damaged"):
            claim(tmp_path, {})


@pytest.mark.parametrize("method", ["kmeans", "fixed"])
def test_a_finished_search_of_distinct_strengths_finds_nothing_more(subject: Subject, tmp_path: Path, method: str):
    """Of these methods many strengths make one file, which is no smaller than itself."""
    curves = [Curve(method)]
    first = sweep(tmp_path, subject, curves, [0.5, 2.0, 6.0])
    cliffs = read_cliffs(tmp_path)
    assert sweep(tmp_path, subject, curves, [0.5, 2.0, 6.0]) == first
    assert read_cliffs(tmp_path) == cliffs


def test_without_a_cliff_its_table_has_a_header_alone(subject: Subject, tmp_path: Path):
    sweep(tmp_path, subject, CURVES[:1], STRENGTHS[:1], cliff=False)
    assert (tmp_path / "cliffs.csv").read_text().splitlines() == [",".join(CLIFF_COLUMNS)]
    assert read_cliffs(tmp_path) == []


def test_drawn_weights_are_those_of_the_seed():
    one, same, other = (ModelSpec("lenet5", pretrained=False, seed=seed).load().state for seed in (3, 3, 4))
    assert digest(one) == digest(same) != digest(other)
