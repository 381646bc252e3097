"""The parts of a circuit's drawing: boxes in columns, and nets that link them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..operators import DEMUX, MUX, OPERATORS
from .layout import Link, Node, arrange
from .netlist import FORMULAS, Gate, Netlist

ARITHMETIC = frozenset(("add", "sub", "mul", "neg", "bit_inc", "bit_dec"))
GATE, PORT = (70.0, 26.0), 6.0  # width and height of a gate; its inputs' and outputs' distance from the middle
LINE, CHARACTER = 15.0, 7.3  # height and width of text
WRAP = 96  # characters of a line of outputs' numbers


@dataclass(eq=False)
class Box(Node):
    """A box with text: an input, a gate, or the outputs of one pin.

    Attributes:
        kind: `input`, `output`, or of a gate `wiring`, `logic` or `arithmetic`.
        lines: its text.
        gate: that it stands for, if any.
        numbers: of the input or outputs that it stands for.
    """

    kind: str = ""
    lines: tuple[str, ...] = ()
    gate: Gate | None = None
    numbers: tuple[int, ...] = ()

    @property
    def width(self) -> float:
        """In pixels."""
        return GATE[0] if self.gate else max(map(len, self.lines)) * CHARACTER + 16


@dataclass(eq=False)
class Net:
    """All wires of one pin, as links from column to column."""

    pin: int
    source: Box
    links: list[Link]


@dataclass(eq=False)
class Diagram:
    """Columns of boxes and bends, arranged, from the inputs' to the outputs'; and nets."""

    columns: list[list[Node]]
    boxes: list[Box]
    nets: list[Net]


def diagram(net: Netlist) -> Diagram:
    """The arranged drawing of a circuit."""
    depths = _depths(net)
    last = max(depths.values(), default=0) + 1
    inputs = [Box(0, LINE + 5, kind="input", lines=(f"in {pin}",), numbers=(pin,)) for pin in net.inputs]
    gates = [
        Box(depths[gate.number], GATE[1], kind=_kind(gate), lines=(_label(gate),), gate=gate) for gate in net.gates
    ]
    outputs = _outputs(net, last)
    sources = {box.numbers[0]: (box, 0.0) for box in inputs}
    targets: dict[int, list[tuple[Box, float]]] = defaultdict(list)
    for box, gate in zip(gates, net.gates, strict=True):
        for wire, place in zip(gate.wires, _places(len(gate.wires)), strict=True):
            sources[wire.pin] = (box, place)
        for pin, place in zip(gate.reads, _places(len(gate.reads)), strict=True):
            targets[pin].append((box, place))
    for pin, box in outputs.items():
        targets[pin].append((box, 0.0))
    boxes = [*inputs, *gates, *outputs.values()]
    columns: list[list[Node]] = [[] for _ in range(last + 1)]
    for box in boxes:
        columns[box.column].append(box)
    nets = [_route(pin, *sources[pin], ends, columns) for pin, ends in sorted(targets.items())]
    arrange(columns)
    return Diagram(columns, boxes, nets)


def _outputs(net: Netlist, column: int) -> dict[int, Box]:
    """A box for the outputs of every pin that has some, by the pin."""
    readers: dict[int, list[int]] = defaultdict(list)
    for number, pin in enumerate(net.outputs):
        readers[pin].append(number)
    lines = {pin: wrapped(numbers) for pin, numbers in readers.items()}
    return {
        pin: Box(column, len(lines[pin]) * LINE + 5, kind="output", lines=lines[pin], numbers=tuple(numbers))
        for pin, numbers in readers.items()
    }


def _depths(net: Netlist) -> dict[int, int]:
    """Columns of the gates: the longest path from an input; but a constant stands just before its first reader."""
    source = {wire.pin: gate.number for gate in net.gates for wire in gate.wires}
    depth: dict[int, int] = {}
    for gate in net.gates:
        depth[gate.number] = 1 + max((depth[source[pin]] for pin in gate.reads if pin in source), default=0)
    first: dict[int, int] = {}
    for gate in net.gates:
        for pin in gate.reads:
            first[pin] = min(first.get(pin, depth[gate.number]), depth[gate.number])
    last = max(depth.values(), default=0) + 1
    constants = {
        gate.number: min(first.get(wire.pin, last) for wire in gate.wires) - 1 for gate in net.gates if not gate.reads
    }
    return depth | constants


def _route(pin: int, source: Box, leaves: float, ends: Sequence[tuple[Box, float]], columns: list[list[Node]]) -> Net:
    """The links of a pin; its wires to later columns share one bend in each column before."""
    links: list[Link] = []
    node: Node = source
    last = max(box.column for box, _ in ends)
    for column in range(source.column + 1, last + 1):
        links += [Link(node, box, leaves, enters) for box, enters in ends if box.column == column]
        if column < last:
            bend = Node(column)
            columns[column].append(bend)
            links.append(Link(node, bend, leaves))
            node, leaves = bend, 0.0
    return Net(pin, source, links)


def _places(count: int) -> Iterable[float]:
    """Of a gate's inputs or outputs, from its middle."""
    return (-PORT, PORT) if count == 2 else (0.0,) * count


def _kind(gate: Gate) -> str:
    if gate.operator.is_wiring:
        return "wiring"
    return "arithmetic" if gate.operator.name in ARITHMETIC else "logic"


def _label(gate: Gate) -> str:
    """The text in a gate's box, at most 9 characters."""
    return (
        gate.operator.name
        if gate.operator in (OPERATORS[MUX], OPERATORS[DEMUX])
        else signed(FORMULAS[gate.operator.name])
    )


def signed(formula: str) -> str:
    """A formula with the signs of print."""
    return formula.replace("-", "−").replace("*", "×")


def wrapped(numbers: Sequence[int]) -> tuple[str, ...]:
    """Lines of text that name outputs, ascending; three or more in a row are written as `3–7`.

    >>> wrapped([0, 2, 3, 4, 9])
    ('out 0, 2–4, 9',)
    """
    lines = ["out"]
    for words in _runs(numbers):
        if len(lines[-1]) + len(words) + 2 > WRAP:
            lines[-1] += ","
            lines.append(words)
        else:
            lines[-1] += f" {words}" if lines == ["out"] else f", {words}"
    return tuple(lines)


def _runs(numbers: Sequence[int]) -> list[str]:
    """Words for numbers that are ascending."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return [word for run in runs for word in ([f"{run[0]}–{run[-1]}"] if len(run) > 2 else map(str, run))]
