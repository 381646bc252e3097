"""What is read from files: chromosomes, problems and tables of costs, right ones and damaged ones."""

import json
import random
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavpool.circuits import (
    Circuit,
    Grid,
    Problem,
    costs,
    genome,
    load_costs,
    operators,
    parse_problem,
    read_problem,
    write_problem,
)
from wavpool.errors import UserError


@given(
    rows=st.integers(1, 5), columns=st.integers(1, 5), inputs=st.integers(1, 4), outputs=st.integers(1, 4),
    back=st.integers(1, 6), pins=st.integers(1, 2), seed=st.integers(0, 2**32),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_a_chromosome_is_read_as_it_was_written(
    rows: int, columns: int, inputs: int, outputs: int, back: int, pins: int, seed: int
) -> None:
    grid = Grid(inputs, outputs, rows, columns, min(back, columns + 1), pins)
    circuit = Circuit(genome.random_genes(grid, np.random.default_rng(seed), range(30)), grid, 2)
    again = Circuit.from_text(circuit.to_text(), pins)
    assert (again.grid, again.cases) == (grid, 2)
    assert np.array_equal(again.genes, circuit.genes)


def test_the_text_is_that_of_the_specification() -> None:
    text = "{2,1,2,1,2,3,1}([2]0,1,3)([3]2,0,100)(3)"  # multiply, then a wire
    circuit = Circuit.from_text(text)
    assert circuit.outputs([[7, 9]]).tolist() == [[63]]
    assert circuit.to_text() == text


@pytest.mark.parametrize(("text", "words"), [
    ("", "a chromosome begins with"),
    ("{2,1,1,1,2,2,1}([3]0,1,1)(2)", "gate 0 of the chromosome must read"),
    ("{2,1,1,1,2,2,1}([2]0,1,1)(2,2)", "must end with"),
    ("{2,1,1,1,3,2,1}([2]0,1,1)(2)", "2 inputs here, not 3"),
    ("{2,1,1,1,2,2,1}([2]0,1,55)(2)", "there is no operator 55"),
    ("{2,1,1,1,2,2,1}([2]0,2,1)(2)", "gate 0 reads pins [0, 2]; with levels_back=2 it may read 0 to 1"),
    ("{2,1,1,1,2,1,1}([2]0,1,1)(0)", "output 0 reads pins [0]; with levels_back=1 it may read 2 to 2"),
    ("{2,1,999999999,999999999,2,2,1}([2]0,1,1)(2)", "rows must be a whole number from 1 to"),
    ("{2,1,4000,4000,2,2,1}([2]0,1,1)(2)", "at most"),
    ("{2,1,1,1,2,2,0}([2]0,1,1)(2)", "1 case or more"),
])  # fmt: skip
def test_a_wrong_chromosome_is_refused(text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        Circuit.from_text(text)
    assert words in str(caught.value)


def test_a_grid_reads_everything_before_unless_told_otherwise() -> None:
    grid = Grid(3, 2, 4, 5)
    assert grid == Grid(3, 2, 4, 5, levels_back=6)
    assert [grid.legal_of(column) for column in range(6)] == [range(3 + 4 * column) for column in range(6)]
    with pytest.raises(UserError, match="levels_back must be a whole number from 1"):
        Grid(3, 2, 4, 5, levels_back=0)


def test_a_problem_of_arrays() -> None:
    problem = Problem.of(np.array([[1, 2]]), np.array([[3]]))
    assert (problem.inputs.tolist(), problem.targets.tolist()) == ([[1, 2]], [[3]])


def test_damaged_text_is_refused_or_legal() -> None:
    """5,000 random edits of a chromosome, of a problem and of a table: a sentence, or something legal."""
    generator = random.Random(0)
    grid = Grid(3, 4, 4, 4, 5)
    chromosome = Circuit(genome.random_genes(grid, np.random.default_rng(0)), grid).to_text()
    problem, table = "1 2 -3\n4 5 x\n-128 127 0\n1 x x\n", costs.resources.files("wavpool.circuits") / "costs_45nm.json"
    readers: list[tuple[str, Callable[[str], object]]] = [
        (chromosome, Circuit.from_text), (problem, parse_problem), (table.read_text(), costs.from_json),
        ("0 1e-3 2.5 0 .1\n" * 27, costs.from_columns),
    ]  # fmt: skip
    refused = 0
    for text, read in readers:
        for _ in range(5000):
            letters = list(text)
            for _ in range(generator.randint(1, 3)):
                place = generator.randrange(len(letters))
                letters[place : place + generator.choice([0, 1, 1, 4])] = generator.choice(
                    '0123456789-{}[](),.x\n e"N∞'
                )
            try:
                read("".join(letters))
            except UserError:
                refused += 1
    assert 5000 < refused < 20000


class TestProblem:
    @given(st.lists(
        st.tuples(st.lists(st.integers(-128, 127), min_size=1), st.lists(st.integers(-128, 127), min_size=1)),
        min_size=1, max_size=3,
    ))  # fmt: skip
    @settings(max_examples=100, deadline=None)
    def test_is_read_as_it_was_written(self, cases: list[tuple[list[int], list[int]]]) -> None:
        problem = Problem.of([each[0] for each in cases], [each[1] for each in cases])
        path = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path()
        path /= "wavpool-test-problem.data"
        write_problem(path, problem)
        again = read_problem(path)
        path.unlink()
        for name in ("inputs", "targets", "weights"):
            assert np.array_equal(getattr(problem, name), getattr(again, name))

    def test_nobody_cares_about_an_x(self) -> None:
        problem = parse_problem("1 x\n2 3\n4 5\n6 x\n")
        assert problem.inputs.tolist() == [[1, 0], [4, 5]]
        assert problem.weights.tolist() == [[1, 1], [1, 0]]

    @pytest.mark.parametrize(("text", "words"), [
        ("", "two lines a case"), ("1 2\n", "two lines a case"), ("1 200\n3\n", "input 200 of case 0 is no int8"),
        ("1\n-129\n", "target -129 of case 0 is no int8"), ("1 x 2\n3\n", "numbers after an x"),
        ("1 2.5\n3\n", "no whole number"), ("x\n3\n", "case 0 has no input"),
    ])  # fmt: skip
    def test_a_wrong_one_is_refused(self, text: str, words: str) -> None:
        with pytest.raises(UserError, match=words):
            parse_problem(text)

    def test_the_ancestors_problems_are_read(self, find_data: Callable[[str], Path]) -> None:
        problem = read_problem(find_data("circuits/layer_bypass.data"))
        assert (problem.inputs.shape, problem.targets.shape) == ((1, 150), (1, 2400))


class TestCosts:
    @pytest.mark.parametrize(("rows", "columns"), [(5, 5), (100, 10), (256, 31)])
    def test_are_quantised_as_the_ancestor_does(
        self, find_data: Callable[[str], Path], rows: int, columns: int
    ) -> None:
        path = find_data(f"circuits/gates_{rows}_{columns}.txt")
        lines = [line.split() for line in path.read_text().splitlines()]
        for table in (costs.load(path), load_costs()):
            assert table.quantized("energy", rows * columns)[:27].tolist() == [int(line[0]) for line in lines]
            expected = [int(line[3]) for line in lines]  # its delays went through a double
            assert table.quantized("delay", columns)[:27].astype(float) == pytest.approx(expected, rel=1e-15)

    def test_sums_cannot_overflow(self) -> None:
        table = load_costs()
        assert int(table.quantized("energy", 7936).max()) * 7936 < 2**64

    def test_say_where_they_come_from(self) -> None:
        table = load_costs()
        assert table.units == {"energy": "pJ", "area": "um^2", "delay": "ns"}
        assert "estimates" in table.source
        assert {"mux", "add"} <= set(table.estimates)
        assert table.energy[operators.IDENTITY] == table.delay[operators.IDENTITY] == 0
        assert table.energy[3] == Fraction("0.151548")

    @pytest.mark.parametrize(("change", "words"), [
        (lambda table: table["energy"].pop("mul"), "lacks the energy of mul"),
        (lambda table: table["area"].update(mull=1), "'mull', which is no operator"),
        (lambda table: table["delay"].update(add=-1), "the delay of add must be"),
        (lambda table: table["delay"].update(add="fast"), "the delay of add must be"),
        (lambda table: table.pop("area"), "has no area"),
        (lambda table: table.update(units="pJ"), "units of a table"),
        (lambda table: table.update(estimates=["mull"]), "estimates of a table"),
    ])  # fmt: skip
    def test_a_wrong_table_is_refused(self, change: Callable[[dict], object], words: str) -> None:
        table = json.loads((costs.resources.files("wavpool.circuits") / "costs_45nm.json").read_text())
        change(table)
        with pytest.raises(UserError, match=words):
            costs.from_json(json.dumps(table))

    @pytest.mark.parametrize("number", ["1e999999999", "1e-999999999", "NaN", "Infinity", "1e10"])
    def test_no_number_is_too_large_to_refuse(self, number: str) -> None:
        text = (costs.resources.files("wavpool.circuits") / "costs_45nm.json").read_text()
        with pytest.raises(UserError):
            costs.from_json(text.replace("0.151548", number))

    def test_missing_lines_are_named(self) -> None:
        with pytest.raises(UserError, match=r"lacks .*expected_value_max"):
            costs.from_columns("0 1 2 3 4\n" * 26)
