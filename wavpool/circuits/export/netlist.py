"""A circuit as a list of its active gates with named wires: what every exported form is written from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .. import genome
from ..circuit import Circuit
from ..grid import ARITY
from ..operators import DEMUX, IDENTITY, MUX, OPERATORS, Operator

SHIFTS = {
    "double": 1, "l_shift_2": 2, "l_shift_3": 3, "l_shift_4": 4, "l_shift_5": 5,
    "half": -1, "quarter": -2, "r_shift_3": -3, "r_shift_4": -4, "r_shift_5": -5,
}  # fmt: skip
"""Bits that a value is shifted to the left; to the right, with its sign, where negative."""

CONSTANTS = {operator.name: operator.compute(0, 0) for operator in OPERATORS if operator.arity == 0}

FORMULAS = {
    "add": "a + b", "sub": "a - b", "mul": "a * b", "neg": "-a", "bit_inc": "a + 1", "bit_dec": "a - 1",
    "bit_and": "a & b", "bit_or": "a | b", "bit_xor": "a ^ b", "bit_neg": "~a",
    "reverse_max_a": "127 - a", "reverse_min_b": "a - 128", "id": "a",
    "mux": "b in odd cases, else a", "demux": "a at the output of its case, 0 at the other",
    **{name: f"a << {bits}" if bits > 0 else f"a >> {-bits}" for name, bits in SHIFTS.items()},
    **{name: str(value) for name, value in CONSTANTS.items()},
}  # fmt: skip
"""What an operator computes of its inputs, by name, for people to read."""

OBVIOUS = frozenset(
    ("add", "sub", "mul", "neg", "bit_inc", "bit_dec", "bit_and", "bit_or", "bit_xor", "bit_neg", "id")
)  # operators that C and Verilog spell as a reader would


class Wire(NamedTuple):
    """An output of a gate that something reads.

    Attributes:
        pin: its number on the grid.
        name: `g7` of gate 7, `g7_1` if it is the second output of a demultiplexer.
        rule: how its value is computed: an operator's name, or `demux_0` or `demux_1` for the two of a demultiplexer.
    """

    pin: int
    name: str
    rule: str


class Gate(NamedTuple):
    """An active gate: its number on the grid, its operator, the pins that it reads, and what is read of it."""

    number: int
    operator: Operator
    reads: tuple[int, ...]
    wires: tuple[Wire, ...]

    @property
    def needs_case(self) -> bool:
        """Whether its value depends on the case, apart from its inputs."""
        return any(wire.rule in ("mux", "demux_0", "demux_1") for wire in self.wires)

    @property
    def comment(self) -> str:
        """What it computes, where an expression in C or Verilog does not show it; else nothing."""
        name = self.operator.name
        return "" if name in OBVIOUS else f" // {name}: {FORMULAS[name]}"


@dataclass(frozen=True)
class Netlist:
    """The active part of a circuit.

    Pins of a gate that have the same value are one here, the first; a multiplexer of a single case is a wire, so that
    what its second input alone would read is not active.

    Attributes:
        width: primary inputs of the circuit.
        inputs: those that something reads, ascending.
        gates: every gate after those that it reads.
        outputs: the pin that each output of the circuit is wired to.
        names: of the pins: `in3` of an input, that of the wire else.
    """

    width: int
    inputs: tuple[int, ...]
    gates: tuple[Gate, ...]
    outputs: tuple[int, ...]
    names: dict[int, str]

    @property
    def summary(self) -> str:
        """Its size, in words.

        >>> netlist(Circuit.from_text("{2,1,1,1,2,1,1}([2]0,1,7)(2)")).summary
        '1 of 2 inputs, 1 gate, 1 output'
        """
        used = "" if len(self.inputs) == self.width else f"{len(self.inputs)} of "
        counts = (self.width, "input"), (len(self.gates), "gate"), (len(self.outputs), "output")
        return used + ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts)

    def operands(self, gate: Gate) -> dict[str, str]:
        """Names of the pins that a gate reads, as `a` and `b`."""
        return dict(zip("ab", (self.names[pin] for pin in gate.reads), strict=False))


def netlist(circuit: Circuit) -> Netlist:
    """The active part of a circuit, see `Netlist`."""
    grid = circuit.grid
    blocks, ends = genome.parts(circuit.genes, grid)

    def driver(pin: int) -> int:
        """The first pin that has a pin's value."""
        gate, place = divmod(pin - grid.inputs, grid.gate_outputs)
        return pin if pin < grid.inputs or blocks[gate, ARITY] == DEMUX else pin - place

    outputs = tuple(map(driver, ends.tolist()))
    needed = set(outputs)
    gates: list[Gate] = []
    for number in reversed(circuit.active()):
        first = grid.inputs + number * grid.gate_outputs
        operator = OPERATORS[blocks[number, ARITY]]
        wires = tuple(
            Wire(first + place, f"g{number}_1" if place else f"g{number}", _rule(operator, place, circuit))
            for place in range(grid.gate_outputs)
            if first + place in needed
        )
        if wires:
            count = _reads(operator, wires)
            reads = tuple(map(driver, blocks[number, :count].tolist()))
            needed.update(reads)
            gates.append(Gate(number, operator, reads, wires))
    inputs = tuple(sorted(pin for pin in needed if pin < grid.inputs))
    names = {pin: f"in{pin}" for pin in inputs} | {wire.pin: wire.name for gate in gates for wire in gate.wires}
    return Netlist(grid.inputs, inputs, tuple(reversed(gates)), outputs, names)


def _rule(operator: Operator, place: int, circuit: Circuit) -> str:
    """How an output of a gate is computed in this circuit."""
    wire = OPERATORS[IDENTITY].name
    if operator == OPERATORS[MUX] and circuit.cases == 1:
        return wire
    if operator != OPERATORS[DEMUX]:
        return operator.name
    if circuit.grid.gate_outputs == 1:
        return wire
    if circuit.cases == 1:
        return "zero_const" if place else wire
    return f"demux_{place}"


def _reads(operator: Operator, wires: Sequence[Wire]) -> int:
    """How many of its inputs a gate reads, whose operator the number of cases may have made a simpler one."""
    rules = {wire.rule for wire in wires}
    if rules <= CONSTANTS.keys():
        return 0
    return 1 if rules == {OPERATORS[IDENTITY].name} else operator.arity
