"""A circuit as a combinational Verilog-2001 module, and a test bench for it."""

import re
from collections.abc import Sequence
from string import Template

from ...errors import UserError
from ..circuit import Circuit
from ..problem import HIGHEST, LOWEST
from .netlist import CONSTANTS, SHIFTS, Gate, Netlist, Wire, netlist

WORDS = """
always and assign automatic begin buf bufif0 bufif1 case casex casez cell cmos config deassign default defparam
design disable edge else end endcase endconfig endfunction endgenerate endmodule endprimitive endspecify endtable
endtask event for force forever fork function generate genvar highz0 highz1 if ifnone incdir include initial inout
input instance integer join large liblist library localparam macromodule medium module nand negedge nmos nor
noshowcancelled not notif0 notif1 or output parameter pmos posedge primitive pull0 pull1 pulldown pullup
pulsestyle_onevent pulsestyle_ondetect rcmos real realtime reg release repeat rnmos rpmos rtran rtranif0 rtranif1
scalared showcancelled signed small specify specparam strong0 strong1 supply0 supply1 table task time tran tranif0
tranif1 tri tri0 tri1 triand trior trireg unsigned use vectored wait wand weak0 weak1 while wire wor xnor xor
"""  # IEEE 1364-2001, annex B
KEYWORDS = frozenset(WORDS.split())


def _shift(bits: int) -> str:
    if bits > 0:
        return f"{{$a[{7 - bits}:0], {bits}'b{'0' * bits}}}"
    return f"{{{{{-bits}{{$a[7]}}}}, $a[7:{-bits}]}}"


RULES = {
    "add": "$a + $b",
    "sub": "$a - $b",
    "mul": "$a * $b",
    "neg": "-$a",
    "bit_inc": "$a + 8'sd1",
    "bit_dec": "$a - 8'sd1",
    "bit_and": "$a & $b",
    "bit_or": "$a | $b",
    "bit_xor": "$a ^ $b",
    "bit_neg": "~$a",
    "reverse_max_a": "{$a[7], ~$a[6:0]}",
    "reverse_min_b": "{~$a[7], $a[6:0]}",
    "mux": "which_case[0] ? $b : $a",
    "demux_0": "which_case[0] ? 8'sd0 : $a",
    "demux_1": "which_case[0] ? $a : 8'sd0",
    "id": "$a",
    **{name: _shift(bits) for name, bits in SHIFTS.items()},
    **{name: f"8'h{value & 0xFF:02x}" for name, value in CONSTANTS.items()},
}
"""The value of a wire by its rule, in Verilog; shifts and constants are wires to any tool."""


def to_verilog(circuit: Circuit, name: str = "circuit") -> str:
    """A file of Verilog-2001 with one combinational module, `name(inputs, outputs)`.

    The ports are two packed vectors, eight bits a weight, number i in bits 8 i + 7 to 8 i (`inputs[8*i +: 8]`): a layer
    has hundreds of weights, which so connect as one word of a memory or register, can be indexed in a loop, and do not
    change the port list with their number. (Verilog-2001 has no ports that are arrays; the standard asks tools for
    vectors of 65,536 bits, which is 8192 weights.) A circuit of several cases has a third port, `which_case`, as wide
    as a counter of the cases, 0 for the first.

    Raises:
        UserError: a module cannot have this name.

    >>> print(to_verilog(Circuit.from_text("{2,1,1,1,2,1,1}([2]0,1,7)(2)"), "halve"))
    // Written by wavpool: 1 of 2 inputs, 1 gate, 1 output.
    module halve (
        input wire [15:0] inputs,
        output wire [7:0] outputs
    );
        wire signed [7:0] in0 = inputs[7:0];
        wire signed [7:0] g0 = {{1{in0[7]}}, in0[7:1]}; // half: a >> 1
        assign outputs[7:0] = g0;
    endmodule
    <BLANKLINE>
    """
    _check(name)
    net = netlist(circuit)
    ports = [f"input wire [{8 * circuit.grid.inputs - 1}:0] inputs"]
    if circuit.cases > 1:
        ports.append(f"input wire [{_case_bits(circuit) - 1}:0] which_case")
    ports.append(f"output wire [{8 * circuit.grid.outputs - 1}:0] outputs")
    body = [f"wire signed [7:0] {net.names[pin]} = inputs{_byte(pin)};" for pin in net.inputs]
    body += [_wire(net, gate, wire) for gate in net.gates for wire in gate.wires]
    body += [f"assign outputs{_byte(number)} = {net.names[pin]};" for number, pin in enumerate(net.outputs)]
    head = f"// Written by wavpool: {net.summary}.\nmodule {name} (\n    " + ",\n    ".join(ports) + "\n);\n"
    return head + "".join(f"    {line}\n" for line in body) + "endmodule\n"


def to_testbench(circuit: Circuit, vectors: Sequence[Sequence[int]], name: str = "circuit") -> str:
    """A module `name_tb` that prints the outputs of the module `name`, as decimal numbers, a line a vector.

    Vectors are int8 inputs of the circuit. Those of a circuit of several cases are used in them by turns, the first in
    the first case: a problem's inputs give what `circuit.outputs` of them does. Run it with
    `iverilog -g2001 -o run circuit.v circuit_tb.v && vvp run`.

    Raises:
        UserError: a module cannot have this name, or a vector is not one of the circuit's inputs.
    """
    _check(name)
    inputs, outputs = 8 * circuit.grid.inputs, circuit.grid.outputs
    for number, vector in enumerate(vectors):
        if len(vector) != circuit.grid.inputs or not all(LOWEST <= value <= HIGHEST for value in vector):
            raise UserError(f"vector {number} must be {circuit.grid.inputs} numbers from {LOWEST} to {HIGHEST}")
    case, set_case = "", [""]
    if circuit.cases > 1:
        case = f"    reg [{_case_bits(circuit) - 1}:0] which_case;\n"
        set_case = [f" which_case = {number};" for number in range(circuit.cases)]
    steps = [
        f"        inputs = {inputs}'h{_packed(vector)};{set_case[number % len(set_case)]} #1 show;\n"
        for number, vector in enumerate(vectors)
    ]
    return BENCH.substitute(
        name=name, inputs=inputs - 1, outputs=8 * outputs - 1, count=outputs, steps="".join(steps),
        case=case, port=".which_case(which_case), " if case else "",
    )  # fmt: skip


BENCH = Template("""\
module ${name}_tb;
    reg [$inputs:0] inputs;
${case}    wire [$outputs:0] outputs;
    integer i;
    $name device (.inputs(inputs), $port.outputs(outputs));

    task show;
        begin
            for (i = 0; i < $count; i = i + 1) begin
                if (i > 0) $$write(" ");
                $$write("%0d", $$signed(outputs[8*i +: 8]));
            end
            $$display;
        end
    endtask

    initial begin
$steps    end
endmodule
""")


def _packed(vector: Sequence[int]) -> str:
    """A vector as the digits of one hexadecimal number, its first value lowest."""
    return "".join(f"{int(value) & 0xFF:02x}" for value in reversed(vector))


def _case_bits(circuit: Circuit) -> int:
    return (circuit.cases - 1).bit_length()


def _byte(number: int) -> str:
    return f"[{8 * number + 7}:{8 * number}]"


def _wire(net: Netlist, gate: Gate, wire: Wire) -> str:
    value = Template(RULES[wire.rule]).substitute(net.operands(gate))
    return f"wire signed [7:0] {net.names[wire.pin]} = {value};{gate.comment}"


def _check(name: str) -> None:
    if name in KEYWORDS or not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name):
        raise UserError(
            f"a Verilog module cannot be named {name!r}: begin with a letter, go on with letters, digits and _, "
            "and take no word of Verilog"
        )
