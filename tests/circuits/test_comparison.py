"""Energies of weights' reads: every form by hand, by its properties, and on real weights."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from wavpool.circuits import Circuit, Grid, Settings, load_costs, read_problem
from wavpool.circuits.comparison import compare, records
from wavpool.circuits.memory import load
from wavpool.circuits.search import search
from wavpool.circuits.storage import Form, codebook, huffman, plain, pruned, run_entries
from wavpool.circuits.wiring import Computed, delivery, places_of
from wavpool.codec import coders
from wavpool.errors import UserError

Int8 = NDArray[np.int8]
MEMORY, COSTS = load(), load_costs()
MUX, DECREMENT, ADD, SUBTRACT, REGISTER = 0.0002, 0.00304, 0.0197, 0.0245, 0.25
layers = arrays(np.int8, st.integers(1, 300), elements=st.one_of(st.integers(-128, 127), st.integers(-3, 3)))


def _int8(*values: int) -> Int8:
    return np.array(values, dtype=np.int8)


def _adder() -> Circuit:
    """Outputs: input 0, a + b, half of a, one."""
    return Circuit.from_text("{2,4,1,3,2,2,1}([2]0,1,1)([3]0,0,7)([4]0,0,22)(0,2,3,4)")


@given(layers)
@settings(max_examples=50, deadline=None)
def test_plain_is_bytes_times_energy(layer: Int8) -> None:
    form = plain({"a": layer, "b": layer[:1]})
    for per_byte in MEMORY.read.values():
        assert form.energy(per_byte) == pytest.approx((layer.size + 1) * per_byte)


class TestPruned:
    def test_by_hand(self) -> None:
        dense, sparse = _int8(5, -4, 3, 2), np.zeros(100, np.int8)
        sparse[[6, 99]] = 7, -9
        form = pruned({"a": dense}, 0.5, COSTS)
        assert form.weights["a"].tolist() == [5, -4, 0, 0]
        assert form.squared_error == 3**2 + 2**2
        # run-lengths: two entries without zeros before them, of 1 + 8 bits; a bitmap would take 4 + 16
        assert (form.stored_bits, form.logic_energy) == (18, pytest.approx(4 * (MUX + DECREMENT)))
        form = pruned({"a": sparse}, 0.98, COSTS)
        # runs of 6 and 92: 7 bits hold both; a bitmap would take 100 + 16
        assert (form.stored_bits, form.squared_error) == (2 * (7 + 8), 0)
        full = pruned({"a": _int8(*range(1, 101))}, 0.25, COSTS)
        # 75 of 100 stay, the last ones: a run of 25 zeros, 12 entries more of 1 + 8 bits
        assert full.stored_bits == min(100 + 75 * 8, (75 + 12) * 9, (75 + 6) * 10)
        assert (full.stored_bits, full.logic_energy) == (700, pytest.approx(100 * MUX))

    @given(layers, st.floats(0, 1))
    @settings(max_examples=100, deadline=None)
    def test_exactly_the_share_goes_and_the_smallest(self, layer: Int8, share: float) -> None:
        left = pruned({"a": layer}, share, COSTS).weights["a"]
        gone = (left == 0) & (layer != 0)
        kept = layer.size - round(share * layer.size)
        assert np.count_nonzero(left) == min(kept, np.count_nonzero(layer))
        assert (left[~gone] == layer[~gone]).all()
        sizes = np.abs(layer.astype(int))
        assert sizes[gone].max(initial=0) <= sizes[left != 0].min(initial=128)

    @given(layers, st.integers(1, 8))
    @settings(max_examples=100, deadline=None)
    def test_run_lengths_are_a_code(self, layer: Int8, width: int) -> None:
        """As many entries as a plain encoder makes, and they decode to the weights."""
        entries, run, longest = [], 0, 2**width - 1
        for value in np.trim_zeros(layer, "b").tolist():
            if value or run == longest:
                entries.append((run, value))
                run = 0
            else:
                run += 1
        decoded = [number for zeros, value in entries for number in [*[0] * zeros, value]]
        assert decoded + [0] * (layer.size - len(decoded)) == layer.tolist()
        assert run_entries(np.flatnonzero(layer), width) == len(entries)


class TestHuffman:
    def test_by_hand(self) -> None:
        layer = _int8(*[0] * 4, *[1] * 2, 2, 3)
        # lengths 1, 2, 3, 3: 14 bits in 2 bytes; the table: 5 bytes, and a nibble for each of 4 values and the escape
        form = huffman({"a": layer}, MEMORY, COSTS)
        assert form.stored_bits == 8 * (5 + 3 + 2)
        assert form.logic_energy == pytest.approx(80 * (2 * SUBTRACT + ADD) + 8 * REGISTER)
        # one table for both layers, 28 bits in 4 bytes, is smaller than two
        assert huffman({"a": layer, "b": layer}, MEMORY, COSTS).stored_bits == 8 * (5 + 3 + 4)

    @given(layers)
    @settings(max_examples=100, deadline=None)
    def test_between_the_entropy_and_a_bit_more(self, layer: Int8) -> None:
        shares = np.unique(layer, return_counts=True)[1] / layer.size
        entropy = float(-(shares * np.log2(shares)).sum())
        table = 8 * (5 + (int(layer.max()) - int(layer.min()) + 3) // 2)
        bits = huffman({"a": layer}, MEMORY, COSTS).stored_bits - table
        assert entropy - 1e-9 <= bits / layer.size <= entropy + 1 + 7 / layer.size
        values = layer.astype(np.int32).reshape(1, 1, -1)
        data = coders.encode(values, "huffman")
        assert len(data) * 8 == bits + table
        assert (coders.decode(data, values.shape, "huffman") == values).all()


class TestCodebook:
    def test_by_hand(self) -> None:
        layer = _int8(-10, -11, -10, -9, 50, 52, 50, 48)
        form = codebook({"a": layer}, 1, MEMORY)
        assert form.weights["a"].tolist() == [-10] * 4 + [50] * 4
        assert (form.stored_bits, form.squared_error) == (8 * 1 + 2 * 8, 1 + 1 + 4 + 4)
        assert form.logic_energy == pytest.approx(8 * REGISTER)
        exact = codebook({"a": layer}, None, MEMORY)  # six values need three bits
        assert (exact.name, exact.stored_bits, exact.squared_error) == ("codebook lossless", 8 * 3 + 6 * 8, 0)
        assert codebook({"a": _int8(7, 7, 7)}, None, MEMORY).stored_bits == 8

    @given(layers)
    @settings(max_examples=50, deadline=None)
    def test_all_different_values_lose_nothing(self, layer: Int8) -> None:
        for bits in (None, 8):
            form = codebook({"a": layer}, bits, MEMORY)
            assert form.squared_error == 0
            assert (form.weights["a"] == layer).all()

    @pytest.mark.parametrize("seed", range(5))
    def test_the_error_falls_with_the_bits(self, seed: int) -> None:
        layer = np.random.default_rng(seed).normal(0, 40, 1000).clip(-128, 127).astype(np.int8)
        forms = [codebook({"a": layer}, bits, MEMORY) for bits in range(1, 9)]
        errors = [form.squared_error for form in forms]
        assert errors == sorted(errors, reverse=True)
        assert errors[0] > 100 * errors[5]
        assert errors[-1] == 0
        assert all(np.unique(form.weights["a"]).size <= 2**bits for bits, form in enumerate(forms, 1))


class TestCircuit:
    def test_by_hand(self) -> None:
        weights = {"a": _int8(20, 5), "b": _int8(20, 25, 11, 1)}
        computed = Computed(_adder(), np.stack([weights["a"]]), places_of(weights, "b"), are_weights=True)
        parallel, serial = (form for form in compare(weights, circuits=[computed]) if form.family == "circuit")
        assert parallel.weights["b"].tolist() == [20, 25, 10, 1]
        assert (parallel.squared_error, parallel.stored_bits) == (1, 16)
        assert parallel.logic_energy == pytest.approx(ADD)
        assert serial.logic_energy == pytest.approx(ADD + delivery(4, 8, 56.316, MEMORY, COSTS))
        assert parallel.sharing == (4, 3, 4, 1)  # of four weights, three over wires; four pins, one gate
        elsewhere = replace(computed, are_weights=False)
        assert next(f for f in compare(weights, circuits=[elsewhere]) if f.family == "circuit").stored_bits == 32

    def test_the_rest_is_stored_and_cases_are_counted(self) -> None:
        weights = {"a": np.zeros((2, 5), np.int8)}
        places = np.array([[0, 1, -1, -1], [-1, -1, 8, 3]])
        inputs = np.array([[1, 2], [3, 4]], np.int8)
        form = next(f for f in compare(weights, circuits=[Computed(_adder(), inputs, places)]) if f.family == "circuit")
        assert form.weights["a"].tolist() == [[1, 3, 0, 1, 0], [0, 0, 0, 1, 0]]
        assert form.stored_bits == 8 * (10 - 4 + 4)
        assert form.logic_energy == pytest.approx(2 * ADD)

    def test_delivery_by_hand(self) -> None:
        # four words of 8 bits: two levels; three multiplexers fill 3 x 33.7896 um^2; half of the bits change
        side = math.sqrt(3 * 33.7896) / 1000
        assert delivery(4, 8, 0.0, MEMORY, COSTS) == pytest.approx(4 * 2 * MUX + 4 * 4 * side * 0.121)
        assert delivery(4, 16, 0.0, MEMORY, COSTS) == pytest.approx(
            2 * 1 * 2 * MUX + 2 * 8 * math.sqrt(2 * 33.7896) / 1000 * 0.121
        )
        assert delivery(4, 32, 0.0, MEMORY, COSTS) == delivery(1, 8, 0.0, MEMORY, COSTS) == 0
        energies = [delivery(2550, width, 1000.0, MEMORY, COSTS) for width in (8, 16, 32, 64, 1024)]
        assert energies == sorted(energies, reverse=True)

    def test_a_multiplexer_a_level_switches_in_order_of_the_slowest_bit(self) -> None:
        """The tree, word by word: which 2:1 multiplexers have another address bit than before."""
        levels = 4
        switched = 0
        for word in range(1, 2**levels + 1):  # the last goes back to the first
            changed = [bit for bit in range(levels) if (word ^ (word - 1)) >> bit & 1]
            switched += sum(2**bit for bit in changed)  # the slowest bit, the highest, serves the leaves: most of all
        assert switched == 2**levels * levels

    @pytest.mark.parametrize(("change", "words"), [
        ({"places": np.array([[0, 1]])}, r"have shape \(cases, outputs\) = \(1, 4\), got \(1, 2\)"),
        ({"places": np.array([[0, 1, 2, 6]])}, "computes weight 6 of a network that has 6"),
        ({"places": np.array([[0, 1, 2, 2]])}, "computed twice"),
        ({"inputs": np.zeros((1, 3), np.int8)}, "2 inputs"),
    ])  # fmt: skip
    def test_a_wrong_one_is_refused(self, change: dict, words: str) -> None:
        weights = {"a": np.zeros(6, np.int8)}
        computed = Computed(_adder(), np.zeros((1, 2), np.int8), np.array([[0, 1, 2, 3]]))
        with pytest.raises(UserError, match=words):
            compare(weights, circuits=[replace(computed, **change)])
        with pytest.raises(UserError, match="no layer 'b'; there are a"):
            places_of(weights, "b")


@pytest.mark.parametrize(("arguments", "words"), [
    ({"weights": {}}, "no weights"), ({"weights": {"a": np.zeros(2)}}, "must be int8"),
    ({"weights": {"a": _int8()}}, "not empty"), ({"shares": [50]}, "from 0 to 1"), ({"bits": [9]}, "1 to 8 bits"),
    ({"width": 12}, "bits at once, got 12"),
    ({"costs": replace(COSTS, units={**COSTS.units, "energy": "nJ"})}, "in pJ"),
])  # fmt: skip
def test_wrong_arguments_are_refused(arguments: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        compare(**{"weights": {"a": _int8(1, 2)}, **arguments})


def test_what_comes_in_is_left_as_it_is() -> None:
    layer = _int8(*range(-100, 100))
    before = layer.copy()
    compare({"a": layer}, circuits=[Computed(_adder(), np.ones((1, 2), np.int8), np.array([[0, 1, 2, 3]]))])
    assert (layer == before).all()


def test_lenets_weights(find_data: Callable[[str], Path]) -> None:
    problem = read_problem(find_data("circuits/layer_bypass.data"))
    conv1, conv2 = (values[0].astype(np.int8) for values in (problem.inputs, problem.targets))
    weights = {"conv1": conv1.reshape(6, 1, 5, 5), "conv2": conv2.reshape(16, 6, 5, 5)}
    found = search(problem, Grid(150, 2400, 256, 31, 32), Settings(generations=20_000), is_lookup=True)
    computed = Computed(found.circuit, conv1[None], places_of(weights, "conv2"), are_weights=True)
    forms = {form.name: form for form in compare(weights, circuits=[computed])}
    parallel, serial, wired = (
        forms[name] for name in ("circuit in parallel", "circuit one by one", "wired one by one")
    )
    assert forms["plain"].energy(1.25) == 2550 * 1.25
    assert parallel.squared_error == found.error
    assert (parallel.read_bytes, parallel.logic_energy) == (150, pytest.approx(found.price.energy))
    assert wired.energy(1.25) <= serial.energy(1.25) < forms["plain"].energy(1.25)
    assert parallel.sharing is not None
    assert parallel.sharing.outputs == 2400
    assert 1000 < parallel.sharing.wired < 2400
    assert parallel.sharing.sources <= np.unique(conv2).size
    rows = records(list(forms.values()))
    assert rows[0]["form"] == "plain"
    assert rows[0]["DRAM, pJ"] == 2550 * 162.5
    _shapes_are_kept(list(forms.values()))


def _shapes_are_kept(forms: list[Form]) -> None:
    for form in forms:
        assert {name: layer.shape for name, layer in form.weights.items()} == {
            "conv1": (6, 1, 5, 5), "conv2": (16, 6, 5, 5),
        }  # fmt: skip
        assert all(layer.dtype == np.int8 for layer in form.weights.values())
