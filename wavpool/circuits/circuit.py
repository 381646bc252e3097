"""A circuit: a grid and the genes that wire it; what it computes and what it costs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from . import genome
from .costs import Costs, load
from .grid import ARITY, Grid
from .operators import OPERATORS
from .problem import HIGHEST, LOWEST, Problem


class Price(NamedTuple):
    """What a circuit costs: sums over its active gates, and the slowest path.

    Attributes:
        energy, area, delay: in the units of the table.
        gates: active gates without wires (constants, shifts, the identity), which need no logic.
        nodes: active gates with them.
    """

    energy: float
    area: float
    delay: float
    gates: int
    nodes: int


@dataclass(frozen=True, eq=False)
class Circuit:
    """Genes (grid.genes,) int32 on a grid; `cases` is how often it is used, which multiplexers tell apart.

    Raises:
        UserError: the grid does not allow the genes.

    >>> text = "{2,1,1,1,2,1,1}([2]0,1,1)(2)"  # one gate: add
    >>> Circuit.from_text(text).outputs([[100, 29]]).tolist()
    [[-127]]
    """

    genes: genome.Genes
    grid: Grid
    cases: int = 1

    def __post_init__(self) -> None:
        genome.check(self.genes, self.grid)

    @classmethod
    def from_text(cls, text: str, gate_outputs: int = 1) -> "Circuit":
        """The circuit of a chromosome's text, see `genome`.

        Raises:
            UserError: it is no chromosome, or an illegal one.
        """
        return cls(*genome.from_text(text, gate_outputs))

    def to_text(self) -> str:
        """Its chromosome's text."""
        return genome.to_text(self.genes, self.grid, self.cases)

    def outputs(self, inputs: Sequence[Sequence[int]] | NDArray[np.integer]) -> NDArray[np.int8]:
        """Outputs (cases, outputs) int8 for inputs (cases, inputs), each an int8; missing cases are not computed.

        Raises:
            UserError: another number of inputs, or a value that is no int8.
        """
        from . import _engine
        from .tasks import scratch, task_of

        values = np.asarray(inputs, dtype=np.int64)
        if values.ndim != 2 or values.shape[1] != self.grid.inputs:
            raise UserError(f"the circuit has {self.grid.inputs} inputs, got an array of shape {values.shape}")
        if values.size and not LOWEST <= values.min() <= values.max() <= HIGHEST:
            raise UserError(f"inputs must be {LOWEST} to {HIGHEST}")
        nothing = np.zeros((len(values), self.grid.outputs), dtype=np.int64)
        task, memory = task_of(Problem(values, nothing, nothing), self.grid, load()), scratch(self.grid)
        count = _engine.mark(task, self.genes, memory.active, 0, memory.order)
        result = np.empty(nothing.shape, dtype=np.int8)
        for case in range(len(values)):
            _engine.feed(task, case, memory.values)
            _engine.evaluate(task, self.genes, memory.order, count, case, memory.values)
            result[case] = memory.values[genome.parts(self.genes, self.grid)[1]]
        return result

    def active(self) -> list[int]:
        """Numbers of the gates that some output depends on, ascending."""
        inputs, pins = self.grid.inputs, self.grid.gate_outputs
        blocks, outputs = genome.parts(self.genes, self.grid)
        found: set[int] = set()
        todo = {(pin - inputs) // pins for pin in outputs.tolist() if pin >= inputs}
        while todo:
            gate = todo.pop()
            found.add(gate)
            read = blocks[gate, : OPERATORS[blocks[gate, ARITY]].arity].tolist()
            todo |= {(pin - inputs) // pins for pin in read if pin >= inputs} - found
        return sorted(found)

    def usage(self) -> dict[str, int]:
        """How many active gates are of each operator, by name, the most frequent first."""
        blocks = genome.parts(self.genes, self.grid)[0]
        return dict(Counter(OPERATORS[blocks[gate, ARITY]].name for gate in self.active()).most_common())

    def price(self, costs: Costs | None = None) -> Price:
        """What it costs by a table, or by the shipped one."""
        costs = costs or load()
        blocks = genome.parts(self.genes, self.grid)[0]
        inputs, pins = self.grid.inputs, self.grid.gate_outputs
        energy, area, delay = (costs.real(quantity) for quantity in ("energy", "area", "delay"))
        active = self.active()
        codes = blocks[active, ARITY]
        arrival: dict[int, float] = {}
        for gate in active:
            read = blocks[gate, : OPERATORS[blocks[gate, ARITY]].arity].tolist()
            earlier = [arrival[(pin - inputs) // pins] for pin in read if pin >= inputs]
            arrival[gate] = float(delay[blocks[gate, ARITY]]) + max(earlier, default=0.0)
        logic = sum(not OPERATORS[code].is_wiring for code in codes)
        return Price(
            float(energy[codes].sum()), float(area[codes].sum()), max(arrival.values(), default=0.0), logic, len(active)
        )
