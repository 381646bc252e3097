"""Genomes: flat int32 arrays of a grid's genes, made at random, checked, and written as text.

The text is that of the ancestor and of its viewer: `{inputs,outputs,columns,rows,arity,levels_back,cases}`, then
`([id]input,input,operator)` for every gate, where `id` is `inputs` plus the gate's number, then the outputs' pins,
`(pin,...)`.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .grid import ARITY, GENES, LIMIT, Grid
from .operators import ARITHMETIC, OPERATORS, code_of

Genes = NDArray[np.int32]


def random_genes(grid: Grid, generator: np.random.Generator, operators: Sequence[int] = ARITHMETIC) -> Genes:
    """A random legal genome, (grid.genes,) int32: every pin and every operator (codes) is equally likely."""
    columns = np.repeat(np.arange(grid.columns), grid.rows)
    begin, count = grid.legal[columns].T
    genes = np.empty(grid.genes, dtype=np.int32)
    blocks, outputs = parts(genes, grid)
    for place in range(ARITY):
        blocks[:, place] = begin + generator.integers(count)
    blocks[:, ARITY] = generator.choice(np.asarray(operators), grid.gates)
    begin, count = grid.legal[-1]
    outputs[:] = begin + generator.integers(count, size=grid.outputs)
    return genes


def parts(genes: Genes, grid: Grid) -> tuple[Genes, Genes]:
    """Views of a genome: the gates (gates, 3) and the outputs' pins (outputs,)."""
    return genes[: grid.gates * GENES].reshape(grid.gates, GENES), genes[grid.gates * GENES :]


def check(genes: Genes, grid: Grid) -> None:
    """Refuse a genome that the grid does not allow.

    Raises:
        UserError: a wrong length, a pin that a gate or an output may not read, or an operator that is not there.
    """
    if genes.shape != (grid.genes,):
        raise UserError(f"a genome of this grid has {grid.genes} genes, got {genes.shape}")
    blocks, outputs = parts(genes, grid)
    if (bad := np.flatnonzero((blocks[:, ARITY] < 0) | (blocks[:, ARITY] >= len(OPERATORS)))).size:
        raise UserError(f"gate {bad[0]} has no operator of code {blocks[bad[0], ARITY]}")
    columns = np.repeat(np.arange(grid.columns), grid.rows)
    for pins, column, what in ((blocks[:, :ARITY], columns, "gate"), (outputs[:, None], [grid.columns], "output")):
        begin, count = grid.legal[column].T
        wrong = ((pins < begin[:, None]) | (pins >= (begin + count)[:, None])).any(1)
        if wrong.any():
            number = int(np.flatnonzero(wrong)[0])
            legal = grid.legal_of(int(columns[number]) if what == "gate" else grid.columns)
            raise UserError(
                f"{what} {number} reads pins {pins[number].tolist()}; "
                f"with levels_back={grid.levels_back} it may read {legal.start} to {legal.stop - 1}"
            )


def to_text(genes: Genes, grid: Grid, cases: int = 1) -> str:
    """A chromosome as text."""
    blocks, outputs = parts(genes, grid)
    ids = np.array([operator.id for operator in OPERATORS])
    header = (grid.inputs, grid.outputs, grid.columns, grid.rows, ARITY, grid.levels_back, cases)
    gates = zip(blocks[:, 0].tolist(), blocks[:, 1].tolist(), ids[blocks[:, ARITY]].tolist(), strict=True)
    body = "".join(f"([{number}]{a},{b},{f})" for number, (a, b, f) in enumerate(gates, grid.inputs))
    return f"{{{','.join(map(str, header))}}}{body}({','.join(map(str, outputs.tolist()))})"


_NUMBER = r"\s*\d{1,9}\s*"
_HEADER = re.compile(rf"\s*\{{({_NUMBER}(?:,{_NUMBER}){{6}})\}}")
_GATE = re.compile(rf"\s*\(\s*\[({_NUMBER})\]({_NUMBER}),({_NUMBER}),({_NUMBER})\)")
_OUTPUTS = re.compile(rf"\s*\(({_NUMBER}(?:,{_NUMBER})*)\)\s*")


def from_text(text: str, gate_outputs: int = 1) -> tuple[Genes, Grid, int]:
    """Genome, grid and number of cases of a chromosome's text, checked; `gate_outputs` is not in the text.

    Raises:
        UserError: it is no chromosome, or an illegal one.
    """
    header = _HEADER.match(text)
    if header is None:
        raise UserError("a chromosome begins with {inputs,outputs,columns,rows,arity,levels_back,cases}")
    inputs, outputs, columns, rows, arity, levels_back, cases = map(int, header[1].split(","))
    if arity != ARITY:
        raise UserError(f"gates of a chromosome have {ARITY} inputs here, not {arity}")
    if not 1 <= cases <= LIMIT:
        raise UserError(f"a chromosome has 1 case or more, got {cases}")
    grid = Grid(inputs, outputs, rows, columns, levels_back, gate_outputs)
    place = header.end()
    values: list[int] = []
    for number in range(grid.gates):
        gate = _GATE.match(text, place)
        if gate is None or int(gate[1]) != inputs + number:
            raise UserError(f"gate {number} of the chromosome must read ([{inputs + number}]pin,pin,operator)")
        values += [int(gate[2]), int(gate[3]), code_of(int(gate[4]))]
        place = gate.end()
    last = _OUTPUTS.fullmatch(text, place)
    pins = [] if last is None else last[1].split(",")
    if len(pins) != outputs:
        raise UserError(f"the chromosome must end with ({outputs} output pins), after {grid.gates} gates")
    genes = np.array(values + [int(pin) for pin in pins], dtype=np.int32)
    check(genes, grid)
    return genes, grid, cases
