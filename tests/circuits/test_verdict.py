"""The verdict's words follow the numbers, and the figure shows them."""

import csv
from pathlib import Path

import numpy as np
import pytest

from wavpool.circuits.comparison import compare
from wavpool.circuits.memory import Memory, load
from wavpool.circuits.storage import Form, Sharing
from wavpool.circuits.verdict import Row, measured, verdict
from wavpool.circuits.verdict_figure import energy_figure
from wavpool.errors import UserError
from wavpool.pages import save_png

ROOT = Path(__file__).parents[2]
ONE = Memory({"register file": 0.25, "memory": 1.0}, 0.1)  # 1 pJ a byte


def _row(
    family: str, setting: str, stored: int, logic: float, loss: float = 0.0, sharing: Sharing | None = None
) -> Row:
    weights = {"a": np.zeros(1, np.int8)}
    return Row(Form(family, setting, 8 * stored, logic, int(loss > 0), weights, sharing), loss)


def _rows(circuit: float, loss: float = 0.0, wire: float = 0.0) -> list[Row]:
    sharing = Sharing(90, 60, 20, 4 if circuit else 0)
    return [
        _row("plain", "", 100, 0.0), _row("pruned", "50 %", 60, 0.0, 0.02), _row("Huffman", "", 80, 40.0),
        _row("codebook", "4 bits", 50, 10.0, 0.0005), _row("codebook", "2 bits", 20, 10.0, 0.3),
        _row("circuit", "in parallel", 10, circuit, loss, sharing),
        _row("circuit", "one by one", 10, circuit + 50, loss, sharing),
        _row("wired", "in parallel", 10, 0.0), _row("wired", "one by one", 10, wire),
    ]  # fmt: skip


def test_a_circuit_that_wins() -> None:
    assert verdict(_rows(10.0, wire=30.0), ONE, "memory") == (
        "Read from memory, losing at most 0.1 points of accuracy, the cheapest stored form is codebook 4 bits: "
        "60 pJ a pass, 1.67 times less than plain int8 (100 pJ); no pruned form here loses so little. "
        "With all weights at once, as its ancestor counts, the circuit takes 20 pJ and wins against plain (5 times), "
        "Huffman (6 times) and codebook 4 bits (3 times). "
        "With weights delivered one by one, it takes 70 pJ and wins against plain (1.43 times) and Huffman "
        "(1.71 times) and loses against codebook 4 bits (1.17 times). "
        "Of the 90 weights that it computes, 60 are wires from a stored value or a constant, and all come from 20 "
        "different pins: that is weight sharing by wiring, and its 4 gates take 10 pJ. "
        "Wiring the bits of these weights to the supply, with no logic and no loss, takes 10 pJ in parallel (the "
        "circuit takes 2 times as much) and 40 pJ one by one (the circuit takes 1.75 times as much)."
    )


def test_a_circuit_that_loses() -> None:
    words = verdict(_rows(990.0, loss=0.02, wire=1000.0), ONE, "memory")
    assert (
        "takes 1 nJ and loses against plain (10 times), Huffman (8.33 times) and codebook 4 bits (16.7 times)" in words
    )
    assert "But its weights lose 2 points of accuracy, too much to count as a win." in words
    assert "wins" not in words
    assert "1.01 nJ one by one (the circuit takes 1.04 times as much)" in words


def test_zero_energy_is_called_wiring() -> None:
    words = verdict(_rows(0.0), ONE, "memory", tolerance=0.05)
    assert "that is weight sharing by wiring, and its zero energy is nothing else." in words
    assert "10 pJ in parallel (the circuit takes as much)" in words
    assert "is level with pruned 50 % and codebook 4 bits" in words  # 60 pJ each
    assert "the cheapest stored form is pruned 50 %: 60 pJ" in words
    assert "no pruned form" not in words


def test_without_a_circuit_only_the_stored_forms_are_told() -> None:
    words = verdict(_rows(0.0)[:1], ONE, "memory")
    assert words == (
        "Read from memory, losing at most 0.1 points of accuracy, the cheapest stored form is plain: 100 pJ a pass; "
        "no pruned form, no Huffman form and no codebook form here loses so little."
    )
    with pytest.raises(UserError, match="plain weights"):
        verdict([], ONE, "memory")
    with pytest.raises(UserError, match="no memory 'DRAM'"):
        verdict(_rows(0.0), ONE, "DRAM")


def test_accuracy_is_asked_once_for_what_loses_nothing() -> None:
    layer = np.arange(-100, 100).astype(np.int8)
    asked = []

    def accuracy(weights: dict) -> float:
        asked.append(weights["a"])
        return 1 - np.abs(weights["a"].astype(int) - layer).mean() / 100

    forms = compare({"a": layer}, shares=[0.0, 0.5], bits=[2])
    rows = measured(forms, accuracy)
    assert len(asked) == 3
    assert [row.loss > 0 for row in rows] == [form.squared_error > 0 for form in forms]
    assert {row.loss for row in rows if not row.form.squared_error} == {0.0}
    with pytest.raises(UserError, match="loses nothing"):
        measured([], accuracy)


def test_the_figure_shows_every_form_in_every_memory(tmp_path: Path) -> None:
    rows, memory = _rows(0.0, loss=-0.001), load()
    figure = energy_figure(rows, memory, ("SRAM 8 KB", "DRAM"))
    assert [axes.get_title("left") for axes in figure.axes] == ["SRAM 8 KB: 1.25 pJ a byte", "DRAM: 162.5 pJ a byte"]
    for axes, per_byte in zip(figure.axes, (1.25, 162.5), strict=True):
        shown = sorted(tuple(map(float, mark.get_offsets()[0])) for mark in axes.collections)
        assert shown == sorted((100 * row.loss, row.form.energy(per_byte)) for row in rows)
        assert axes.get_yscale() == "log"
    save_png(figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 20_000


@pytest.mark.parametrize("name", ["chain", "layer_bypass", "le_selector"])
def test_labels_of_stored_results_lie_apart(name: str) -> None:
    rows = []
    with (ROOT / f"results/circuits/{name}.energy.csv").open(encoding="utf-8") as file:
        for line in csv.DictReader(file):
            family, _, setting = line["form"].partition(" ")
            rows.append(
                _row(family, setting, int(line["read_bytes"]), float(line["logic_pj"]), float(line["accuracy_loss"]))
            )
    figure = energy_figure(rows, load())
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) >= 10
        marks = [axes.transData.transform(mark.get_offsets()[0]) for mark in axes.collections]
        for one, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[:one])
            assert not any(box.contains(*mark) for mark in marks)


def test_the_figure_of_an_own_table_shows_its_first_memories() -> None:
    names = [axes.get_title("left") for axes in energy_figure(_rows(0.0), ONE).axes]
    assert names == ["memory: 1 pJ a byte"]
    own = Memory({"ROM": 2.0, "register file": 0.25, "flash": 9.0, "tape": 20.0, "DRAM 2": 200.0}, 0.1)
    assert own.shown == ("ROM", "flash", "tape")
    assert load().shown == ("SRAM 8 KB", "SRAM 1 MB", "DRAM")
    assert Memory({"register file": 0.25}, 0.1).shown == ("register file",)


def test_what_costs_nothing_lies_on_the_floor() -> None:
    figure = energy_figure([_row("plain", "", 100, 0.0), _row("wired", "in parallel", 0, 0.0)], ONE, ["memory"])
    axes = figure.axes[0]
    lowest = min(float(mark.get_offsets()[0][1]) for mark in axes.collections)
    assert axes.get_ylim()[0] < lowest == 25.0
    assert "0 pJ" in [text.get_text() for text in axes.texts]
    energy_figure([_row("wired", "in parallel", 0, 0.0)], ONE, ["memory"])
