"""A problem on a grid, as the arrays that the engine works with."""

import numpy as np

from ..errors import UserError
from ._engine import Progress, Scratch, Task
from .costs import Costs
from .genome import Genes
from .grid import GENES, Grid
from .operators import ARITY, COEFFICIENTS, DEMUX, IDENTITY, MUX, OPERATORS, TABLE
from .problem import Problem

LOG_ROWS = 1024


def task_of(problem: Problem, grid: Grid, costs: Costs) -> Task:
    """The plain form: every output of the grid has a gene, and a target in every case.

    Mutated operators are the arithmetic ones and the identity, of several cases multiplexers too, and demultiplexers
    where gates have two outputs.

    Raises:
        UserError: the grid has another number of inputs or outputs than the problem.
    """
    if (grid.inputs, grid.outputs) != (problem.inputs.shape[1], problem.targets.shape[1]):
        raise UserError(
            f"the problem has {problem.inputs.shape[1]} inputs and {problem.targets.shape[1]} outputs, "
            f"the grid {grid.inputs} and {grid.outputs}"
        )
    last = IDENTITY if problem.cases == 1 else MUX if grid.gate_outputs == 1 else DEMUX
    return Task(
        inputs=problem.inputs,
        targets=problem.targets,
        weights=problem.weights,
        outputs=np.arange(grid.gates * GENES, grid.genes),
        columns=np.repeat(np.arange(grid.columns, dtype=np.int32), grid.rows),
        ranges=np.concatenate([grid.legal, np.array([[0, last + 1]], dtype=np.int32)]),
        locked=grid.gates,
        mutable=grid.genes,
        shift=grid.gate_outputs - 1,
        arity=ARITY,
        table=TABLE,
        coefficients=COEFFICIENTS,
        energy=costs.quantized("energy", grid.gates),
        delay=costs.quantized("delay", grid.columns),
        area=costs.real("area"),
        logic=np.array([not operator.is_wiring for operator in OPERATORS], dtype=np.int64),
    )


def scratch(grid: Grid, mutations: int = 0) -> Scratch:
    """Memory for a grid and for children of fewer than `mutations` mutations (0: of as many as the genome is long)."""
    room = (2, max(mutations, 1) if mutations else grid.genes)
    return Scratch(
        values=np.zeros(grid.pins, dtype=np.int8),
        arrival=np.zeros(grid.gates, dtype=np.uint64),
        active=np.zeros(3 * ((grid.inputs + grid.gates + 63) // 64), dtype=np.uint64),
        order=np.zeros(grid.gates, dtype=np.int32),
        places=np.zeros(room, dtype=np.int32),
        new=np.zeros(room, dtype=np.int32),
        old=np.zeros(room, dtype=np.int32),
        log=np.zeros((LOG_ROWS, 3), dtype=np.int64),
        log_costs=np.zeros((LOG_ROWS, 2), dtype=np.uint64),
        log_area=np.zeros(LOG_ROWS),
    )


def beginning(genes: Genes, generator: np.random.Generator) -> Progress:
    """The state of a run that begins with `genes`, its random numbers seeded by `generator`."""
    seed = generator.integers(2**64, size=1, dtype=np.uint64)
    return Progress(genes.copy(), seed, np.zeros(4, dtype=np.int64), np.zeros(2, dtype=np.uint64))
