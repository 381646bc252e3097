"""The engine against a slow evaluator in plain Python, mutation, selection and generations."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.circuits.strategies import circuits
from wavpool.circuits import Circuit, Grid, Problem, Settings, genome, load_costs, lookup, operators, tasks
from wavpool.circuits import _engine as engine
from wavpool.circuits.search import Search
from wavpool.circuits.settings import most_mutations

IDENTITY, MUX, DEMUX = 27, 28, 29


def int8(value: int) -> int:
    value &= 255
    return value - 256 if value > 127 else value


BINARY = {"add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b,
          "bit_and": lambda a, b: a & b, "bit_or": lambda a, b: a | b, "bit_xor": lambda a, b: a ^ b}  # fmt: skip
UNARY = {
    "reverse_max_a": lambda a: 127 - a, "neg": lambda a: -a, "reverse_min_b": lambda a: a - 128,
    "quarter": lambda a: a // 4, "half": lambda a: a // 2, "bit_neg": lambda a: -1 - a, "double": lambda a: 2 * a,
    "bit_inc": lambda a: a + 1, "bit_dec": lambda a: a - 1, "r_shift_3": lambda a: a // 8,
    "r_shift_4": lambda a: a // 16, "r_shift_5": lambda a: a // 32, "l_shift_2": lambda a: 4 * a,
    "l_shift_3": lambda a: 8 * a, "l_shift_4": lambda a: 16 * a, "l_shift_5": lambda a: 32 * a, "id": lambda a: a,
}  # fmt: skip
CONSTANT = {
    "one_const": 1,
    "minus_one_const": -1,
    "zero_const": 0,
    "expected_value_min": -128,
    "expected_value_max": 127,
}


def slowly(circuit: Circuit, inputs: list[list[int]]) -> tuple[list[list[int]], dict[str, float]]:
    """Outputs and costs by recursion from each output, with the operators as the specification's table has them."""
    grid, costs = circuit.grid, load_costs()
    gate_of = lambda pin: (pin - grid.inputs) // grid.gate_outputs  # noqa: E731
    gene = lambda gate, place: int(circuit.genes[3 * gate + place])  # noqa: E731
    outputs = [int(pin) for pin in circuit.genes[3 * grid.gates :]]

    def value(pin: int, case: int) -> int:
        if pin < grid.inputs:
            return inputs[case][pin]
        gate, output = gate_of(pin), (pin - grid.inputs) % grid.gate_outputs
        name = operators.OPERATORS[gene(gate, 2)].name
        if name in CONSTANT:
            return CONSTANT[name]
        if name in UNARY:
            return int8(UNARY[name](value(gene(gate, 0), case)))
        if name in BINARY:
            return int8(BINARY[name](value(gene(gate, 0), case), value(gene(gate, 1), case)))
        if name == "mux":
            return value(gene(gate, case % 2), case)
        assert name == "demux"
        return value(gene(gate, 0), case) if grid.gate_outputs == 1 or output == case % 2 else 0

    def read(gate: int) -> list[int]:
        name = operators.OPERATORS[gene(gate, 2)].name
        count = 0 if name in CONSTANT else 2 if name in BINARY or name == "mux" else 1
        return [gene(gate, place) for place in range(count)]

    active: set[int] = set()

    def visit(pin: int) -> float:
        """Delay until a pin is there."""
        if pin < grid.inputs:
            return 0.0
        gate = gate_of(pin)
        active.add(gate)
        return float(costs.delay[gene(gate, 2)]) + max(map(visit, read(gate)), default=0.0)

    delay = max(map(visit, outputs))
    codes = [gene(gate, 2) for gate in active]
    wires = {
        "quarter",
        "half",
        "double",
        "id",
        *CONSTANT,
        *(f"{side}_shift_{n}" for side in "lr" for n in (2, 3, 4, 5)),
    }
    return [[value(pin, case) for pin in outputs] for case in range(len(inputs))], {
        "energy": sum(float(costs.energy[code]) for code in codes),
        "area": sum(float(costs.area[code]) for code in codes),
        "delay": delay,
        "gates": sum(operators.OPERATORS[code].name not in wires for code in codes),
        "nodes": len(active),
    }


@given(circuits())
@settings(max_examples=300, deadline=None)
def test_any_circuit_computes_and_costs_what_plain_python_says(case: tuple[Circuit, list[list[int]]]) -> None:
    circuit, inputs = case
    outputs, costs = slowly(circuit, inputs)
    assert circuit.outputs(inputs).tolist() == outputs
    price = circuit.price()
    assert price.gates == costs["gates"]
    assert price.nodes == costs["nodes"] == sum(circuit.usage().values())
    assert [price.energy, price.area, price.delay] == pytest.approx([costs[key] for key in ("energy", "area", "delay")])


def engine_of(circuit: Circuit, problem: Problem, **rules: Any) -> tuple[Any, Any, Any, Any]:
    task = tasks.task_of(problem, circuit.grid, load_costs())
    given = {
        "children": 4, "mutations": 5, "threshold": 0, "patience": 2**60, "generations": 2**60, "drift": True,
        "enough_error": -1, "enough_energy": np.uint64(0), "pause_error": -1, "metric": 0, "divisor": 1,
    }  # fmt: skip
    progress = tasks.beginning(circuit.genes, np.random.default_rng(0))
    return task, engine.Rules(**{**given, **rules}), progress, tasks.scratch(circuit.grid, 5)


@given(circuits(), st.sampled_from(["se", "ae", "mse"]), st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_the_search_measures_what_the_circuit_says(
    case: tuple[Circuit, list[list[int]]], metric: str, seed: int
) -> None:
    circuit, inputs = case
    targets = np.random.default_rng(seed).integers(-128, 128, (len(inputs), circuit.grid.outputs))
    problem = Problem.of(inputs, targets.tolist())
    rules = {"metric": ("se", "ae", "mse").index(metric), "divisor": targets.size}
    task, rules, progress, scratch = engine_of(circuit, problem, **rules)
    engine.evolve(task, rules, progress, scratch, 0)
    difference = np.array(slowly(circuit, inputs)[0]) - targets
    squared = int((difference**2).sum())
    expected = {"se": squared, "ae": int(np.abs(difference).sum()), "mse": squared // targets.size}
    assert progress.counters[engine.ERROR] == expected[metric]
    price, costs = circuit.price(), load_costs()
    assert progress.counters[engine.GATES] == price.gates
    for place, quantity, times in ((0, "energy", circuit.grid.gates), (1, "delay", circuit.grid.columns)):
        unit = float(max(getattr(costs, quantity)) * times) / (2**64 - 2)
        assert int(progress.costs[place]) * unit == pytest.approx(getattr(price, quantity), abs=1e-9)


@given(circuits(), st.integers(0, 2**63))
@settings(max_examples=200, deadline=None)
def test_mutations_are_legal_and_taken_back(case: tuple[Circuit, list[list[int]]], seed: int) -> None:
    circuit, inputs = case
    problem = Problem.of(inputs, [[0] * circuit.grid.outputs] * len(inputs))
    task, rules, _, scratch = engine_of(circuit, problem)
    genes, random = circuit.genes.copy(), np.array([seed], dtype=np.uint64)
    engine.mark(task, genes, scratch.active, 0, scratch.order)
    for _ in range(20):
        memory = scratch.places, scratch.new, scratch.old
        count, touched = engine.mutate(task, rules, genes, random, scratch.active, 0, *memory, 0)
        child = Circuit(genes.copy(), circuit.grid, circuit.cases)  # checks that it is legal
        if not touched:
            assert slowly(child, inputs) == slowly(circuit, inputs)
        engine.undo(genes, count, scratch.places, scratch.old, 0)
        assert np.array_equal(genes, circuit.genes)


def test_every_operator_and_pin_is_drawn_equally_often() -> None:
    """The ancestor's generator could turn a gate of this grid into 7 of 28 operators."""
    grid = Grid(1, 3, 256, 31, 31)
    circuit = Circuit(genome.random_genes(grid, np.random.default_rng(0)), grid)
    task, rules, _, scratch = engine_of(circuit, Problem.of([[0]], [[0, 0, 0]]), mutations=5)
    random, genes = np.array([3], dtype=np.uint64), circuit.genes.copy()
    operators_seen, places_seen = [], []
    for _ in range(40_000):
        memory = scratch.places, scratch.new, scratch.old
        count, _ = engine.mutate(task, rules, genes, random, scratch.active, 0, *memory, 0)
        for place, new in zip(memory[0][0, :count].tolist(), memory[1][0, :count].tolist(), strict=True):
            places_seen.append(place)
            if place < 3 * grid.gates and place % 3 == 2:
                operators_seen.append(new)
    counts = np.bincount(operators_seen, minlength=30)
    assert counts[[MUX, DEMUX]].sum() == 0
    expected = len(operators_seen) / 28
    chi = ((np.delete(counts, [MUX, DEMUX]) - expected) ** 2 / expected).sum()
    assert chi < 60  # 27 degrees of freedom: 99.97 %
    assert abs(np.mean(places_seen) / (grid.genes / 2) - 1) < 0.02


def test_mutations_of_a_child_are_as_many_as_specified() -> None:
    assert most_mutations(23808, 0.01, lookup=True) == 239
    assert most_mutations(3 * 25 + 16, 0.15, lookup=False) == 15


@pytest.mark.parametrize("mutation_rate", [0.15, 0.0])
@pytest.mark.parametrize("drift", [True, False])
def test_no_generation_is_worse_than_its_parent(mutation_rate: float, drift: bool) -> None:
    problem = Problem.of([[3, -7, 90]], [[5, 44, -100, 7]])
    options = Settings(mutation_rate=mutation_rate, threshold=200, drift=drift, patience=10**6)
    search = Search(problem, Grid(3, 4, 5, 5, 6), options)
    before = (search.standing.error, 1e9)
    for _ in range(3000):
        search.advance(generations=1)
        now = (max(200, search.standing.error), search.standing.energy if search.standing.error <= 200 else 1e9)
        assert now <= (before[0], before[1] + 1e-12)
        before = now
    assert search.standing.error <= 200


@pytest.mark.parametrize("is_lookup", [False, True])
def test_a_run_does_not_depend_on_how_it_is_cut(is_lookup: bool) -> None:
    problem = Problem.of([[3, -7, 90]], [[5, 44, -100, 7, 7]])
    grid = Grid(3, 5, 30, 10, 11)
    options = Settings(mutation_rate=0.02, patience=800)
    whole, cut = (Search(problem, grid, options, is_lookup=is_lookup, run=3) for _ in range(2))
    whole.advance()
    while not cut.is_finished:
        cut.advance(generations=17)
    assert np.array_equal(whole.progress.genes, cut.progress.genes)
    strip = lambda rows: [vars(row) | {"time": 0} for row in rows]  # noqa: E731
    assert strip(whole.rows) == strip(cut.rows)
    assert whole.standing[:5] == cut.standing[:5]


def test_a_seed_is_a_run() -> None:
    problem, grid = Problem.of([[3, -7, 90]], [[5, 44, -100, 7, 7]]), Grid(3, 5, 5, 5, 6)

    def genes(seed: int, run: int) -> bytes:
        search = Search(problem, grid, Settings(mutation_rate=0.15, generations=500, seed=seed), run=run)
        search.advance()
        return search.progress.genes.tobytes()

    assert genes(1, 0) == genes(1, 0)
    assert len({genes(1, 0), genes(1, 1), genes(0, 1)}) == 3


def test_rows_are_what_their_circuits_cost() -> None:
    problem = Problem.of([[3, -7, 90]], [[5, 44, -100, 7, 7]])
    options = Settings(mutation_rate=0.1, patience=3000)
    search = Search(problem, Grid(3, 5, 6, 6, 7), options, note_chromosomes=1e9)
    search.advance()
    result = search.result()
    assert result.error == 0
    assert len(result.rows) > 5
    for row in result.rows:
        circuit = Circuit.from_text(row.chromosome)
        price = circuit.price()
        assert [row.energy, row.area, row.delay] == pytest.approx([price.energy, price.area, price.delay], abs=1e-9)
        assert row.gates == price.gates
        difference = circuit.outputs(problem.inputs).astype(int) - problem.targets
        assert (difference**2).sum() == row.error


def test_energy_falls_in_the_second_phase() -> None:
    """A target that cannot be met: the first phase ends by patience, and the second begins at its error."""
    problem = Problem.of([[0, 1], [0, 1]], [[5], [90]])  # without a multiplexer two cases of equal inputs are one
    search = Search(problem, Grid(2, 1, 4, 4, 5), Settings(mutation_rate=0.2, patience=3000))
    search.task.ranges[-1, 1] -= 1
    search.progress.genes[2:48:3] %= 27
    search.advance()
    assert search.phase == 2
    assert search.rules.threshold == search.standing.error > 0
    assert search.standing.generation > 6000


class TestLookup:
    @pytest.mark.parametrize("outputs", [1, 40, 700])
    def test_outputs_are_those_of_the_plain_problem(self, outputs: int) -> None:
        generator = np.random.default_rng(outputs)
        problem = Problem.of(
            [generator.integers(-128, 128, 9).tolist()], [generator.integers(-30, 30, outputs).tolist()]
        )
        search = Search(problem, Grid(9, outputs, 60, 10, 10), Settings(generations=1500), is_lookup=True)
        search.advance()
        result = search.result()
        found = result.circuit.outputs(problem.inputs).astype(int)
        assert ((found - problem.targets) ** 2).sum() == result.error
        assert result.circuit.grid.outputs == outputs

    def test_a_value_that_is_stored_costs_nothing(self) -> None:
        problem = Problem.of([[5, 7, -3]], [[7, 7, -3, 5]])
        search = Search(problem, Grid(3, 4, 30, 10, 10), Settings(), is_lookup=True)
        assert search.is_finished
        assert search.result().price == (0, 0, 0, 0, 0)

    def test_two_cases_are_told_apart_by_multiplexers(self) -> None:
        problem = Problem.of([[5, 9, 1], [17, -2, 4]], [[5, 10, 5], [4, -3]])
        search = Search(problem, Grid(3, 3, 30, 10, 11, gate_outputs=2), Settings(generations=20000), is_lookup=True)
        search.advance()
        result = search.result()
        assert result.error == 0
        outputs = result.circuit.outputs(problem.inputs).tolist()
        assert outputs[0] == [5, 10, 5]
        assert outputs[1][:2] == [4, -3]
        assert Circuit.from_text(result.circuit.to_text(), 2).outputs(problem.inputs).tolist() == outputs

    def test_wires_keep_their_operator(self) -> None:
        problem = Problem.of([[5, 9, 1]], [[77, 10, 5]])
        search = Search(problem, Grid(3, 3, 30, 10, 11), Settings(generations=3000, patience=10**6), is_lookup=True)
        search.advance()
        blocks, outputs = genome.parts(search.progress.genes, search.grid)
        assert (blocks[-lookup.VALUES :, 2] == IDENTITY).all()
        assert outputs.tolist() == list(range(search.grid.pins - lookup.VALUES, search.grid.pins))


def test_several_cases_are_computed_with_multiplexers_in_plain_mode() -> None:
    """Different outputs for equal inputs: only a multiplexer can do that, and the search finds it."""
    problem = Problem.of([[3, 10], [3, 10]], [[3], [10]])
    search = Search(problem, Grid(2, 1, 3, 3, 4), Settings(mutation_rate=0.2, patience=20_000))
    search.advance()
    assert search.standing.error == 0
    assert "mux" in search.circuit().usage()
