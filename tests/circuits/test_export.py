"""Exported circuits: what compilers and simulators make of them, and what a drawing shows."""

import doctest
import importlib
import itertools
import pkgutil
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import wavpool.circuits.export
from tests.circuits.strategies import circuits
from wavpool.circuits import Circuit, Grid
from wavpool.circuits.export import export, layout, to_c, to_svg, to_testbench, to_verilog
from wavpool.circuits.export.diagram import diagram
from wavpool.circuits.export.netlist import netlist
from wavpool.circuits.operators import OPERATORS
from wavpool.errors import UserError

Folders = Callable[[], Path]
Case = tuple[Circuit, list[list[int]]]
MANY = st.lists(circuits(), min_size=40, max_size=60)
SOME = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def gcc() -> str:
    return shutil.which("gcc") or pytest.skip("gcc is not installed")


@pytest.fixture(scope="module")
def iverilog() -> str:
    return shutil.which("iverilog") or pytest.skip("iverilog is not installed")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A function that makes an empty folder."""
    return lambda: tmp_path_factory.mktemp("export")


def run(*command: str | Path) -> str:
    """What a command prints; warnings are failures."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[:2000]
    return done.stdout


def rows(text: str) -> list[list[int]]:
    return [[int(word) for word in line.split()] for line in text.splitlines()]


def in_c(gcc: str, folder: Path, cases: list[Case]) -> list[list[int]]:
    """Outputs of all circuits in all their cases, by one program of them all."""
    text, calls = "#include <stddef.h>\n#include <stdio.h>\n", ""
    for number, (circuit, inputs) in enumerate(cases):
        text += to_c(circuit, f"circuit_{number}")
        table = ", ".join(f"{{{', '.join(map(str, row))}}}" for row in inputs)
        which = f", (unsigned)row % {circuit.cases}u" if circuit.cases > 1 else ""
        calls += f"""    for (size_t row = 0; row < {len(inputs)}; row++) {{
        static const int8_t in[{len(inputs)}][{circuit.grid.inputs}] = {{{table}}};
        int8_t out[{circuit.grid.outputs}];
        circuit_{number}(in[row], out{which});
        for (size_t i = 0; i < sizeof out; i++) printf("%d ", out[i]);
        puts("");
    }}
"""
    source, program = folder / "all.c", folder / "all"
    source.write_text(f"{text}int main(void) {{\n{calls}    return 0;\n}}\n")
    flags = "-std=c99 -pedantic -Wall -Wextra -Wconversion -Wsign-conversion -Wshadow -Wcast-qual -Wmissing-prototypes"
    flags += " -fsanitize=undefined -fno-sanitize-recover=all"
    run(gcc, *flags.split(), "-o", program, source)
    return rows(run(program))


def in_verilog(iverilog: str, folder: Path, cases: list[Case]) -> list[list[int]]:
    """Outputs of all circuits in all their cases, by one simulation, in which they take turns."""
    text, start = "", 0
    for number, (circuit, inputs) in enumerate(cases):
        bench = to_testbench(circuit, inputs, f"circuit_{number}")
        assert bench.count("initial begin") == 1
        text += to_verilog(circuit, f"circuit_{number}")
        text += bench.replace("initial begin", f"initial begin #{start}")
        start += len(inputs) + 1
    source, program = folder / "all.v", folder / "all"
    source.write_text(text)
    run(iverilog, "-g2001", "-Wall", "-o", program, source)
    return rows(run("vvp", "-N", program))


def outputs_of(cases: list[Case]) -> list[list[int]]:
    """What the circuits compute, those of one case always in their first."""
    return [
        row
        for circuit, inputs in cases
        for step in [len(inputs) if circuit.cases == 2 else circuit.cases]  # operators tell even from odd cases
        for start in range(0, len(inputs), step)
        for row in circuit.outputs(inputs[start : start + step]).tolist()
    ]


@given(cases=MANY)
@SOME
def test_compiled_c_computes_what_the_circuit_does(gcc: str, folders: Folders, cases: list[Case]) -> None:
    assert in_c(gcc, folders(), cases) == outputs_of(cases)


@given(cases=MANY)
@SOME
def test_simulated_verilog_computes_what_the_circuit_does(iverilog: str, folders: Folders, cases: list[Case]) -> None:
    assert in_verilog(iverilog, folders(), cases) == outputs_of(cases)


def every_operator(cases: int, gate_outputs: int) -> Case:
    """A circuit with a gate of each operator of the same inputs, and many pairs of them, each in every case."""
    count = len(OPERATORS)
    grid = Grid(2, count * gate_outputs, count, 1, 2, gate_outputs)
    gates = [gene for code in range(count) for gene in (0, 1, code)]
    genes = np.array([*gates, *range(2, grid.pins)], dtype=np.int32)
    second = (-128, -127, -86, -5, -1, 0, 1, 2, 7, 85, 127) if cases == 2 else (-77, 99)
    pairs = [[a, b] for a in range(-128, 128) for b in second for _ in range(cases)]
    return Circuit(genes, grid, cases), pairs


EVERY = [every_operator(cases, gate_outputs) for cases in (1, 2) for gate_outputs in (1, 2)]


def test_compiled_c_has_every_operator(gcc: str, folders: Folders) -> None:
    assert in_c(gcc, folders(), EVERY) == outputs_of(EVERY)


def test_simulated_verilog_has_every_operator(iverilog: str, folders: Folders) -> None:
    assert in_verilog(iverilog, folders(), EVERY) == outputs_of(EVERY)


SVG = "{http://www.w3.org/2000/svg}"


def groups(picture: str, kind: str) -> list[ElementTree.Element]:
    """Elements of a drawing that have a class."""
    return [each for each in ElementTree.fromstring(picture).iter(f"{SVG}g") if kind in each.get("class", "").split()]


def numbers_of(group: ElementTree.Element) -> list[int]:
    """Numbers of the outputs that a box names."""
    words = " ".join(line.text or "" for line in group.iter(f"{SVG}text"))
    assert words.startswith("out ")
    ends = [list(map(int, word.split("–"))) for word in words.removeprefix("out ").split(", ")]
    return [number for end in ends for number in range(end[0], end[-1] + 1)]


def value_of(group: ElementTree.Element) -> int:
    return int(group.findtext(f"{SVG}title", "").rpartition(" = ")[2])


@given(case=circuits(), is_last=st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_drawing_has_all_gates_and_outputs_and_tells_their_values(case: Case, is_last: bool) -> None:
    circuit, inputs = case
    number = len(inputs) - 1 if is_last else 0
    picture = to_svg(circuit, inputs[number], number)
    outputs = circuit.outputs(inputs)[number].tolist()
    boxes = groups(picture, "output")
    assert sorted(end for box in boxes for end in numbers_of(box)) == list(range(circuit.grid.outputs))
    assert all(outputs[end] == value_of(box) for box in boxes for end in numbers_of(box))
    several = Circuit(circuit.genes, circuit.grid, 2)  # of one case, what only a multiplexer's second input reads goes
    gates = [int(each.get("data-gate", "")) for each in groups(to_svg(several), "gate")]
    assert gates == several.active()
    assert {int(each.get("data-gate", "")) for each in groups(picture, "gate")} <= set(gates)
    for each in groups(picture, "input"):  # boxes and wires
        assert value_of(each) == inputs[number][int(each.findtext(f"{SVG}title", "").split()[1])]


@given(circuits())
@settings(max_examples=100, deadline=None)
def test_boxes_do_not_overlap_and_wires_do_not_leave_the_page(case: Case) -> None:
    picture = to_svg(case[0])
    rects = [each.find(f"{SVG}rect") for kind in ("gate", "output") for each in groups(picture, kind)]
    sides = [[float(rect.get(name)) for name in ("x", "y", "width", "height")] for rect in rects if rect is not None]
    for (x, y, w, h), (x2, y2, w2, h2) in itertools.combinations(sides, 2):
        assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y
    root = ElementTree.fromstring(picture)
    shift = float(re.search(r"translate\(0 ([-.\d]+)\)", picture)[1])
    for path in root.iter(f"{SVG}path"):
        places = re.findall(r"(-?[\d.]+) (-?[\d.]+)", path.get("d", ""))
        assert all(0 <= float(x) <= float(root.get("width")) for x, _ in places)
        assert all(0 <= float(y) + shift <= float(root.get("height")) for _, y in places)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=15))
def test_crossings_are_counted(pairs: list[tuple[int, int]]) -> None:
    left, right = [layout.Node(0) for _ in range(6)], [layout.Node(1) for _ in range(6)]
    for start, end in pairs:
        layout.Link(left[start], right[end])
    crossed = sum((a - c) * (b - d) < 0 for (a, b), (c, d) in itertools.combinations(pairs, 2))
    assert layout.crossings([left, right]) == crossed


def test_an_order_without_crossings_is_found() -> None:
    """Four inputs that feed four gates in the reverse order."""
    circuit = Circuit.from_text("{4,4,1,4,2,1,1}([4]3,0,11)([5]2,0,11)([6]1,0,11)([7]0,0,11)(4,5,6,7)")
    assert {path.get("d").count("C") for path in ElementTree.fromstring(to_svg(circuit)).iter(f"{SVG}path")} == {1}
    drawing = diagram(netlist(circuit))
    assert layout.crossings(drawing.columns) == 0


def test_a_constant_stands_before_its_reader() -> None:
    """A chain of three gates, the last of which adds a constant."""
    circuit = Circuit.from_text("{1,1,3,2,2,4,1}([1]0,0,11)([2]0,0,22)([3]1,0,11)([4]0,0,0)([5]3,2,1)([6]0,0,0)(5)")
    columns = {box.gate.number: box.column for box in diagram(netlist(circuit)).boxes if box.gate}
    assert columns == {0: 1, 1: 2, 2: 2, 4: 3}


ADDER = Circuit.from_text("{2,1,1,1,2,2,1}([2]0,1,1)(2)")


@pytest.mark.parametrize("suffix", ["v", "c", "svg", "txt", "SVG"])
def test_the_suffix_chooses_the_form(suffix: str, tmp_path: Path) -> None:
    export(ADDER, tmp_path / f"adder.{suffix}")
    text = (tmp_path / f"adder.{suffix}").read_text(encoding="utf-8")
    forms = {
        "v": to_verilog(ADDER, "adder"),
        "c": to_c(ADDER, "adder"),
        "svg": to_svg(ADDER),
        "txt": ADDER.to_text() + "\n",
    }
    assert text == forms[suffix.lower()]


@pytest.mark.parametrize(("act", "words"), [
    (lambda folder: export(ADDER, folder / "adder.vhd"), "written as .v, .c, .svg, .txt, not as .vhd"),
    (lambda folder: export(ADDER, folder / "adder"), "not as a file without suffix"),
    (lambda folder: export(ADDER, folder / "3x3.v"), "a Verilog module cannot be named '3x3'"),
    (lambda folder: export(ADDER, folder / "my-adder.c"), "a C function cannot be named 'my-adder'"),
    (lambda _: to_verilog(ADDER, "a; endmodule"), "begin with a letter"),
    (lambda _: to_verilog(ADDER, "wire"), "no word of Verilog"),
    (lambda _: to_c(ADDER, "main"), "no word of C"),
    (lambda _: to_c(ADDER, "int8_t"), "no end in _t"),
    (lambda _: to_testbench(ADDER, [[1, 2]], "wire"), "no word of Verilog"),
    (lambda _: to_testbench(ADDER, [[1, 2], [1]]), "vector 1 must be 2 numbers from -128 to 127"),
    (lambda _: to_testbench(ADDER, [[1, 128]]), "vector 0 must be 2 numbers"),
    (lambda _: to_svg(ADDER, [1]), "the circuit has 2 inputs"),
    (lambda _: to_svg(ADDER, [1, 2], 1), "cases 0 to 0, not 1"),
])  # fmt: skip
def test_mistakes_are_told_and_leave_no_file(act: Callable[[Path], None], words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        act(tmp_path)
    assert not list(tmp_path.iterdir())


MODULES = [each.name for each in pkgutil.iter_modules(wavpool.circuits.export.__path__, "wavpool.circuits.export.")]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
