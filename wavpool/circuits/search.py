"""One run of the search: two phases, watched, stopped and gone on with at any generation.

The first phase lowers the error, and energy at errors within the threshold. If it ends above the threshold, the error
that it reached becomes the threshold, and a second phase lowers the energy at it.

Source: Miller, Thomson: Cartesian Genetic Programming, EuroGP 2000; the two phases are the ancestor's.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from . import _engine as engine
from . import genome, lookup, tasks
from .circuit import Circuit, Price
from .costs import Costs, load
from .grid import Grid
from .problem import Problem
from .settings import METRICS, UNLIMITED, Settings, most_mutations
from .statistics import Row

TICK = 0.2  # seconds between two looks at the clock, about


class Standing(NamedTuple):
    """Where a run stands."""

    generation: int
    error: int
    energy: float
    gates: int
    phase: int
    seconds: float


@dataclass(frozen=True)
class Result:
    """What a run found.

    Attributes:
        circuit: with the problem's own outputs.
        error: in the metric of the run; with look-up mode, too, of all outputs.
        price: of the circuit.
        generations, seconds: of both phases.
        rows: improvements, then the end, with its chromosome.
        is_finished: whether it ended by itself.
    """

    circuit: Circuit
    error: int
    price: Price
    generations: int
    seconds: float
    rows: tuple[Row, ...]
    is_finished: bool


class Search:
    """A run that can be advanced.

    Args:
        problem: what to compute.
        grid: to compute it on.
        settings: how to search.
        costs: what operators cost; the shipped table by default.
        is_lookup: search one wire a value, see `lookup`.
        run: number of the run, which its random numbers depend on, with `settings.seed`, and on nothing else.
        note_chromosomes: also note the chromosome of improvements whose error is at most this.

    Raises:
        UserError: the grid does not fit the problem.
    """

    def __init__(
        self,
        problem: Problem,
        grid: Grid,
        settings: Settings,
        costs: Costs | None = None,
        *,
        is_lookup: bool = False,
        run: int = 0,
        note_chromosomes: float = -1,
    ) -> None:
        self.problem, self.settings, self.is_lookup, self.run = problem, settings, is_lookup, run
        self.costs = costs or load()
        generator = np.random.default_rng([settings.seed, run])
        if is_lookup:
            self.grid = lookup.lookup_grid(problem, grid)
            self.task = lookup.lookup_task(problem, self.grid, self.costs)
            genes = lookup.lookup_genes(problem, self.grid, genome.random_genes(self.grid, generator))
        else:
            self.grid = grid
            self.task = tasks.task_of(problem, grid, self.costs)
            genes = genome.random_genes(grid, generator)
        mutations = most_mutations(self.task.mutable, settings.mutation_rate, is_lookup)
        self.progress = tasks.beginning(genes, generator)
        self._scratch = tasks.scratch(self.grid, mutations)
        self._units = [  # of the quantised costs, in the table's
            max(getattr(self.costs, name)) * times / (2**64 - 2)
            for name, times in (("energy", self.grid.gates), ("delay", self.grid.columns))
        ]
        enough = 0 if self._units[0] == 0 else min(2**64 - 2, int(settings.enough_energy / float(self._units[0])))
        self.rules = engine.Rules(
            children=settings.children,
            mutations=mutations,
            threshold=int(settings.threshold),
            patience=settings.patience,
            generations=settings.generations,
            drift=settings.drift,
            enough_error=int(settings.enough_error),
            enough_energy=np.uint64(enough),
            pause_error=int(note_chromosomes),
            metric=METRICS.index(settings.metric),
            divisor=max(1, int(problem.weights.sum())),
        )
        self.phase, self.seconds, self.is_finished = 1, 0.0, False
        self.rows: list[Row] = []
        self._stretch = 16
        engine.evolve(self.task, self.rules, self.progress, self._scratch, 0)  # measures
        self.is_finished = self._has_enough()

    @property
    def standing(self) -> Standing:
        """Where it stands."""
        generation, _, error, gates = map(int, self.progress.counters)
        return Standing(generation, error, self._real(0, self.progress.costs[0]), gates, self.phase, self.seconds)

    def advance(self, generations: int = UNLIMITED, seconds: float = float("inf")) -> None:
        """Search for some generations, or about some seconds, or to the end; however it is cut, the run is the same."""
        begun = time.perf_counter()
        last = min(self.settings.generations, int(self.progress.counters[engine.GENERATION]) + generations)
        while not self.is_finished and self.progress.counters[engine.GENERATION] < last:
            start = time.perf_counter()
            if start - begun >= seconds:
                return
            before = int(self.progress.counters[engine.GENERATION])
            stretch = min(self._stretch, last - before)
            reason, logged = engine.evolve(self.task, self.rules, self.progress, self._scratch, stretch)
            took = time.perf_counter() - start
            self.seconds += took
            if reason == engine.MORE and stretch == self._stretch:
                self._stretch = max(1, int(stretch * min(2.0, TICK / max(took, 1e-6))))
            self._note(logged, reason)
            if reason == engine.PATIENCE:
                self._next_phase()
            elif reason == engine.REACHED:
                self.is_finished = True
        self.is_finished |= bool(self.progress.counters[engine.GENERATION] >= self.settings.generations)

    def resume(self, threshold: int, phase: int, seconds: float, rows: list[Row], is_finished: bool) -> None:
        """Go on from elsewhere, `progress` being set."""
        genome.check(self.progress.genes, self.grid)
        self.rules = self.rules._replace(threshold=threshold)
        self.phase, self.seconds, self.rows, self.is_finished = phase, seconds, rows, is_finished

    def result(self) -> Result:
        """What it has found until now."""
        circuit = self.circuit()
        price = circuit.price(self.costs)
        generation, _, error, _ = map(int, self.progress.counters)
        end = Row(
            self.run, generation, self.seconds, error, price.energy, price.area, price.delay, price.gates,
            circuit.to_text(),
        )  # fmt: skip
        return Result(circuit, error, price, generation, self.seconds, (*self.rows, end), self.is_finished)

    def circuit(self) -> Circuit:
        """The circuit of the problem's own outputs."""
        if self.is_lookup:
            return lookup.unwrapped(self.problem, self.grid, self.progress.genes)
        return Circuit(self.progress.genes.copy(), self.grid, self.problem.cases)

    def _has_enough(self) -> bool:
        error, energy = self.progress.counters[engine.ERROR], self.progress.costs[0]
        return bool(error <= self.rules.enough_error and energy <= self.rules.enough_energy)

    def _next_phase(self) -> None:
        error = int(self.progress.counters[engine.ERROR])
        if self.phase == 2 or error <= self.rules.threshold:
            self.is_finished = True
            return
        self.phase = 2
        self.rules = self.rules._replace(threshold=error)
        self.progress.counters[engine.UNCHANGED] = 0

    def _note(self, logged: int, reason: int) -> None:
        for index in range(logged):
            generation, error, gates = map(int, self._scratch.log[index])
            energy, delay = (self._real(place, self._scratch.log_costs[index, place]) for place in (0, 1))
            area = float(self._scratch.log_area[index])
            self.rows.append(Row(self.run, generation, self.seconds, error, energy, area, delay, gates))
        if reason == engine.WANTED:
            self.rows[-1] = replace(self.rows[-1], chromosome=self.circuit().to_text())

    def _real(self, place: int, quantized: np.uint64) -> float:
        return float(int(quantized) * self._units[place])


def search(
    problem: Problem,
    grid: Grid,
    settings: Settings,
    costs: Costs | None = None,
    *,
    is_lookup: bool = False,
    run: int = 0,
    watch: Callable[[Standing], None] | None = None,
) -> Result:
    """Search to the end; the arguments of `Search`, and a function that is told about every second how it stands.

    >>> from wavpool.circuits import Grid, Problem, Settings
    >>> settings = Settings(mutation_rate=0.15, patience=2000)
    >>> found = search(Problem.of([[3, 5]], [[8, 15]]), Grid(2, 2, 3, 3, 4), settings)
    >>> found.error, found.circuit.outputs([[3, 5]]).tolist()
    (0, [[8, 15]])
    """
    running = Search(problem, grid, settings, costs, is_lookup=is_lookup, run=run)
    while not running.is_finished:
        running.advance(seconds=1.0)
        if watch is not None:
            watch(running.standing)
    return running.result()
