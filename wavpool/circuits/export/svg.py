"""A drawing of a circuit's active part."""

from collections.abc import Sequence
from dataclasses import replace
from xml.sax.saxutils import escape

import numpy as np

from ...errors import UserError
from .. import genome
from ..circuit import Circuit
from .diagram import CHARACTER, LINE, Box, Diagram, Net, diagram, signed
from .netlist import FORMULAS, Netlist, netlist

MARGIN, TOP = 24.0, 76.0
KINDS = {"wiring": "wiring (no logic)", "logic": "bitwise logic", "arithmetic": "arithmetic"}
# Every colour is written out, since many programs that show SVG know neither variables nor media queries.
STYLE = """
.wavpool-circuit { font: 12px ui-monospace, "DejaVu Sans Mono", Consolas, Menlo, monospace }
.wavpool-circuit .paper { fill: #ffffff }
.wavpool-circuit text { fill: #1b1f24; text-anchor: middle; dominant-baseline: central }
.wavpool-circuit .head { font: 600 15px "Segoe UI", "Helvetica Neue", "DejaVu Sans", Arial, sans-serif }
.wavpool-circuit .head, .wavpool-circuit .key, .wavpool-circuit .output text { text-anchor: start }
.wavpool-circuit rect { stroke-width: 1.2 }
.wavpool-circuit .wiring rect { fill: #eef0f3; stroke: #8b939e }
.wavpool-circuit .logic rect { fill: #d9ecf8; stroke: #0072b2 }
.wavpool-circuit .arithmetic rect { fill: #fde5d6; stroke: #d55e00 }
.wavpool-circuit .input rect, .wavpool-circuit .output rect { fill: #ffffff; stroke: #1b1f24 }
.wavpool-circuit .net path { fill: none; stroke: #9aa2ad; stroke-width: 1.1; stroke-opacity: 0.8 }
.wavpool-circuit .net.logic path { stroke: #4a9ccc }
.wavpool-circuit .net.arithmetic path { stroke: #e08a4b }
.wavpool-circuit .net.input path { stroke: #4b535d }
.wavpool-circuit .net:hover path { stroke: #cc0066; stroke-width: 2.6; stroke-opacity: 1 }
@media (prefers-color-scheme: dark) {
.wavpool-circuit .paper { fill: #14171b }
.wavpool-circuit text { fill: #e8ebef }
.wavpool-circuit .wiring rect { fill: #2a2f36; stroke: #7d8794 }
.wavpool-circuit .logic rect { fill: #10344a; stroke: #56b4e9 }
.wavpool-circuit .arithmetic rect { fill: #4a2713; stroke: #f0883e }
.wavpool-circuit .input rect, .wavpool-circuit .output rect { fill: #14171b; stroke: #e8ebef }
.wavpool-circuit .net path { stroke: #78818d }
.wavpool-circuit .net.input path { stroke: #c3c9d1 }
.wavpool-circuit .net:hover path { stroke: #ff5fa2 }
}
"""


def to_svg(circuit: Circuit, inputs: Sequence[int] | None = None, case: int = 0) -> str:
    """A drawing: inputs on the left, active gates in columns by their longest path from an input, outputs on the right.

    Gates show what they compute of their inputs, a above b; a constant stands just before its first reader. Outputs of
    the same pin share a box, and unused inputs are left out. Pointing at a wire lights it up and tells where it comes
    from and, for given `inputs` (int8) in a `case`, its value. The file needs nothing else, and has a light and a dark
    theme, which follow the reader's.

    Raises:
        UserError: another number of inputs than the circuit has, a value that is no int8, or a case that it has not.
    """
    if not 0 <= case < circuit.cases:
        raise UserError(f"the circuit has cases 0 to {circuit.cases - 1}, not {case}")
    net = netlist(circuit)
    values = {} if inputs is None else _values(circuit, net, inputs, case)
    drawing = diagram(net)
    lefts, rights = _columns(drawing)
    top = min(node.y - node.height / 2 for column in drawing.columns for node in column)
    bottom = max(node.y + node.height / 2 for column in drawing.columns for node in column)
    width, height = max(rights[-1] + MARGIN, 620.0), bottom - top + TOP + MARGIN
    nets = (_net(wires, values, lefts, rights) for wires in drawing.nets)
    boxes = (_box(box, net, values, lefts[box.column], rights[box.column]) for box in drawing.boxes)
    title = f"Circuit of {net.summary}"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" class="wavpool-circuit" role="img" width="{width:.0f}" '
        f'height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">\n<title>{title}</title>\n'
        f"<desc>Inputs on the left, gates in columns by depth, outputs on the right.</desc>\n<style>{STYLE}</style>\n"
        f'<rect class="paper" width="100%" height="100%"/>\n{_head(title, drawing)}'
        f'<g transform="translate(0 {TOP - top:.1f})">\n{"".join(nets)}{"".join(boxes)}</g>\n</svg>\n'
    )


def _values(circuit: Circuit, net: Netlist, inputs: Sequence[int], case: int) -> dict[int, int]:
    """Values of all pins in a case, from a circuit whose outputs they are."""
    pins = list(net.names)
    gates = genome.parts(circuit.genes, circuit.grid)[0].ravel()
    grid = replace(circuit.grid, outputs=len(pins), levels_back=circuit.grid.columns + 1)
    probe = Circuit(np.concatenate([gates, np.array(pins, dtype=np.int32)]), grid, circuit.cases)
    return dict(zip(pins, probe.outputs([inputs] * (case + 1))[case].tolist(), strict=True))


def _columns(drawing: Diagram) -> tuple[list[float], list[float]]:
    """Left and right ends of every column; the more wires pass between two of them, the farther they are apart."""
    lefts, rights, x = [], [], MARGIN
    for column in drawing.columns:
        lefts.append(x)
        x += max((node.width for node in column if isinstance(node, Box)), default=0.0)
        rights.append(x)
        x += min(50.0 + 1.5 * sum(len(node.after) for node in column), 260.0)
    return lefts, rights


def _net(wires: Net, values: dict[int, int], lefts: list[float], rights: list[float]) -> str:
    """The wires of a pin, as one element."""
    path = ""
    for link in wires.links:
        start, end = rights[link.start.column], lefts[link.end.column]
        y, to, middle = link.start.y + link.leaves, link.end.y + link.enters, (start + end) / 2
        path += f"M{start:.1f} {y:.1f}C{middle:.1f} {y:.1f} {middle:.1f} {to:.1f} {end:.1f} {to:.1f}"
        if not isinstance(link.end, Box):
            path += f"H{rights[link.end.column]:.1f}"
    value = f" = {values[wires.pin]}" if values else ""
    title = escape(f"{_origin(wires.source)}{value}")
    return f'<g class="net {wires.source.kind}"><title>{title}</title><path d="{path}"/></g>\n'


def _box(box: Box, net: Netlist, values: dict[int, int], left: float, right: float) -> str:
    """An input, a gate or the outputs of a pin; inputs stand at the right end of their column, the rest at the left."""
    x = right - box.width if box.kind == "input" else left
    middle = x + 8 if box.kind == "output" else x + box.width / 2
    first = box.y - LINE * (len(box.lines) - 1) / 2
    lines = (_text(line, middle, first + LINE * number) for number, line in enumerate(box.lines))
    data, pins = "", list(box.numbers)
    if box.gate:
        data, pins = f' data-gate="{box.gate.number}"', [wire.pin for wire in box.gate.wires]
    elif box.kind == "output":
        pins = [net.outputs[box.numbers[0]]]
    value = f" = {', '.join(str(values[pin]) for pin in pins)}" if values else ""
    return (
        f'<g class="{"gate " if box.gate else ""}{box.kind}"{data}><title>{escape(_origin(box) + value)}</title>'
        f'<rect x="{x:.1f}" y="{box.y - box.height / 2:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="5"/>'
        f"{''.join(lines)}</g>\n"
    )


def _origin(box: Box) -> str:
    """What a box is, in words."""
    if box.gate is None:
        return ("input " if box.kind == "input" else "output ") + ", ".join(map(str, box.numbers))
    return f"gate {box.gate.number}, {box.gate.operator.name}: {signed(FORMULAS[box.gate.operator.name])}"


def _head(title: str, drawing: Diagram) -> str:
    """The title, and a legend that counts the gates of every kind."""
    text, x = _text(title, MARGIN, 26.0, "head"), MARGIN
    for kind, words in KINDS.items():
        count = sum(box.kind == kind for box in drawing.boxes)
        swatch = f'<g class="{kind}"><rect x="{x:.1f}" y="44" width="14" height="14" rx="3"/></g>'
        text += swatch + _text(f"{words}: {count}", x + 21, 51.0, "key")
        x += 50 + CHARACTER * len(f"{words}: {count}")
    return text


def _text(words: str, x: float, y: float, style: str = "") -> str:
    attribute = f' class="{style}"' if style else ""
    return f'<text{attribute} x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'
