"""Look-up mode (the ancestor's "multiplexing"): one output a value instead of one a weight.

The last 256 gates of the grid become wires, one for each int8 value; the search chooses which pin feeds the wire of a
value. A target then is the wire of its value, however often it occurs, so that the work does not depend on how many
weights there are. Afterwards every output is wired to what feeds its value's wire, and the wires go.

With several cases, an output takes the value of another wire in each of them: a multiplexer an output, which selects
by the case, stands in columns of their own behind the grid; it is left out where all cases agree.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from . import genome
from ._engine import Task
from .circuit import Circuit
from .costs import Costs
from .genome import Genes
from .grid import ARITY, GENES, Grid
from .operators import IDENTITY, MUX
from .problem import HIGHEST, LOWEST, Problem
from .tasks import task_of

VALUES = 256


def lookup_grid(problem: Problem, grid: Grid) -> Grid:
    """The grid to search on, whose outputs are the wires.

    Raises:
        UserError: too few gates, or more cases than a multiplexer has inputs.
    """
    if grid.gates <= VALUES:
        raise UserError(f"look-up mode needs a grid of more than {VALUES} gates, got {grid.rows} x {grid.columns}")
    if problem.cases > ARITY:
        raise UserError(f"look-up mode takes at most {ARITY} cases, one an input of a multiplexer; got {problem.cases}")
    return replace(grid, outputs=VALUES)


def lookup_task(problem: Problem, grid: Grid, costs: Costs) -> Task:
    """The problem on `lookup_grid`: targets are the values that occur, weighted by how often."""
    values = np.arange(LOWEST, HIGHEST + 1)
    counts = np.stack([
        np.bincount(wanted - LOWEST, minlength=VALUES, weights=weights)
        for wanted, weights in zip(problem.targets, problem.weights, strict=True)
    ]).astype(np.int64)  # fmt: skip
    used = np.flatnonzero(counts.any(0))
    every = Problem(problem.inputs, np.tile(values, (problem.cases, 1)), counts)
    task = task_of(every, grid, costs)
    return task._replace(
        targets=np.ascontiguousarray(every.targets[:, used]),
        weights=np.ascontiguousarray(counts[:, used]),
        outputs=-1 - _wires(grid)[used],
        locked=grid.gates - VALUES,
        mutable=grid.gates * GENES,
    )


def lookup_genes(problem: Problem, grid: Grid, genes: Genes) -> Genes:
    """Random genes of `lookup_grid` with the wires in place; the wire of a value that is an input begins there."""
    genes = genes.copy()
    blocks, outputs = genome.parts(genes, grid)
    outputs[:] = _wires(grid)
    blocks[-VALUES:, ARITY] = IDENTITY
    for value in range(LOWEST, HIGHEST + 1):
        gate = grid.gates - VALUES + value - LOWEST
        for pin in np.flatnonzero((problem.inputs == value).all(0)).tolist():
            if pin in grid.legal_of(gate // grid.rows):
                blocks[gate, 0] = pin
                break
    return genes


def _wires(grid: Grid) -> NDArray[np.int64]:
    return grid.inputs + np.arange(grid.gates - VALUES, grid.gates) * grid.gate_outputs


def unwrapped(problem: Problem, grid: Grid, genes: Genes) -> Circuit:
    """The circuit of the problem's own outputs from the genes of a search."""
    sources = genome.parts(genes, grid)[0][-VALUES:, 0]
    wanted = sources[problem.targets - LOWEST]  # (cases, outputs): pins
    outputs = problem.targets.shape[1]
    if problem.cases == 1:
        result = replace(grid, outputs=outputs)
        if not np.isin(wanted, result.legal_of(grid.columns)).all():
            result = replace(result, levels_back=grid.columns + 1)
        return Circuit(np.concatenate([genes[: grid.gates * GENES], wanted[0]]), result)
    extra = -(-outputs // grid.rows)
    result = replace(grid, outputs=outputs, columns=grid.columns + extra, levels_back=grid.columns + extra + 1)
    blocks = np.full((extra * grid.rows, GENES), (0, 0, IDENTITY), dtype=np.int32)
    blocks[:outputs, :ARITY] = wanted.T
    blocks[:outputs, ARITY] = MUX
    pins = result.inputs + (grid.gates + np.arange(outputs)) * grid.gate_outputs
    agreed = (problem.weights[0] == 0) | (problem.weights[1] == 0) | (wanted[0] == wanted[1])
    direct = np.where(problem.weights[0] > 0, wanted[0], wanted[1])
    last = np.where(agreed, direct, pins)
    return Circuit(
        np.concatenate([genes[: grid.gates * GENES], blocks.ravel(), last]).astype(np.int32), result, problem.cases
    )
