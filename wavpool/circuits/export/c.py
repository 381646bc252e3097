"""A circuit as a C99 function.

Wires are `uint8_t`, whose arithmetic wraps around where C leaves that of `int8_t` open; the arrays are read and written
as bytes, which C allows for the unsigned type of the same width (C99, 6.5, paragraph 7).
"""

import re
from string import Template

from ...errors import UserError
from ..circuit import Circuit
from .netlist import CONSTANTS, SHIFTS, Gate, Netlist, Wire, netlist

WORDS = """
auto break case char const continue default do double else enum extern float for goto if inline int long register
restrict return short signed sizeof static struct switch typedef union unsigned void volatile while main
"""  # C99, 6.4.1; and `main`
KEYWORDS = frozenset(WORDS.split())


def _shift(bits: int) -> str:
    if bits > 0:
        return f"(uint8_t)((unsigned)$a << {bits})"
    # Shifting a negative value to the right is not defined: shift the value plus 128, and take away what that became.
    return f"(uint8_t)((($a ^ 0x80u) >> {-bits}) - {128 >> -bits}u)"


RULES = {
    "add": "(uint8_t)($a + $b)",
    "sub": "(uint8_t)($a - $b)",
    "mul": "(uint8_t)((unsigned)$a * $b)",
    "neg": "(uint8_t)(-$a)",
    "bit_inc": "(uint8_t)($a + 1)",
    "bit_dec": "(uint8_t)($a - 1)",
    "bit_and": "$a & $b",
    "bit_or": "$a | $b",
    "bit_xor": "$a ^ $b",
    "bit_neg": "(uint8_t)(~$a)",
    "reverse_max_a": "(uint8_t)(127 - $a)",
    "reverse_min_b": "$a ^ 0x80",
    "mux": "(which_case & 1u) ? $b : $a",
    "demux_0": "(which_case & 1u) ? 0 : $a",
    "demux_1": "(which_case & 1u) ? $a : 0",
    "id": "$a",
    **{name: _shift(bits) for name, bits in SHIFTS.items()},
    **{name: f"0x{value & 0xFF:02x}" for name, value in CONSTANTS.items()},
}
"""The value of a wire by its rule, in C."""


def to_c(circuit: Circuit, name: str = "circuit") -> str:
    """A file of C99 with one function, `void name(const int8_t in[inputs], int8_t out[outputs])`.

    A circuit of several cases takes `unsigned which_case` as a third argument, 0 for the first. The function allocates
    nothing, has no undefined or implementation-defined behaviour, and `in` and `out` may overlap.

    Raises:
        UserError: a C function cannot have this name.

    >>> print(to_c(Circuit.from_text("{2,1,1,1,2,1,1}([2]0,1,1)(2)"), "sum"))
    // Written by wavpool: 2 inputs, 1 gate, 1 output.
    #include <stdint.h>
    <BLANKLINE>
    void sum(const int8_t in[2], int8_t out[1]);
    <BLANKLINE>
    void sum(const int8_t in[2], int8_t out[1]) {
        const uint8_t *const from = (const uint8_t *)in;
        uint8_t *const to = (uint8_t *)out;
        const uint8_t in0 = from[0];
        const uint8_t in1 = from[1];
        const uint8_t g0 = (uint8_t)(in0 + in1);
        to[0] = g0;
    }
    <BLANKLINE>
    """
    _check(name)
    net = netlist(circuit)
    case = ", unsigned which_case" if circuit.cases > 1 else ""
    head = f"void {name}(const int8_t in[{circuit.grid.inputs}], int8_t out[{circuit.grid.outputs}]{case})"
    body = [*_begin(net, circuit.cases > 1), *(_wire(net, gate, wire) for gate in net.gates for wire in gate.wires)]
    body += [f"to[{number}] = {net.names[pin]};" for number, pin in enumerate(net.outputs)]
    top = f"// Written by wavpool: {net.summary}.\n#include <stdint.h>\n\n{head};\n\n{head} {{\n"
    return top + "".join(f"    {line}\n" for line in body) + "}\n"


def _begin(net: Netlist, has_cases: bool) -> list[str]:
    """The function's views of its arguments, and a word to the compiler about those that it does not need."""
    begin = ["const uint8_t *const from = (const uint8_t *)in;"] if net.inputs else ["(void)in;"]
    if has_cases and not any(gate.needs_case for gate in net.gates):
        begin.append("(void)which_case;")
    begin.append("uint8_t *const to = (uint8_t *)out;")
    return begin + [f"const uint8_t {net.names[pin]} = from[{pin}];" for pin in net.inputs]


def _wire(net: Netlist, gate: Gate, wire: Wire) -> str:
    value = Template(RULES[wire.rule]).substitute(net.operands(gate))
    return f"const uint8_t {net.names[wire.pin]} = {value};{gate.comment}"


def _check(name: str) -> None:
    # <stdint.h> has names that end as these do.
    is_taken = name in KEYWORDS or name.endswith(("_t", "_MIN", "_MAX", "_C"))
    if is_taken or not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name):
        raise UserError(
            f"a C function cannot be named {name!r}: begin with a letter, go on with letters, digits and _, "
            "and take no word of C and no end in _t, _C, _MIN or _MAX"
        )
