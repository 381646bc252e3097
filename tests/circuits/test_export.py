"""Exported circuits: what compilers and simulators make of them, and what a drawing shows."""

import doctest
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.circuits.strategies import circuits
from wavpool.circuits import Circuit, Grid
from wavpool.circuits.export import c, verilog
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
        text += c.to_c(circuit, f"circuit_{number}")
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
        bench = verilog.testbench(circuit, inputs, f"circuit_{number}")
        assert bench.count("initial begin") == 1
        text += verilog.to_verilog(circuit, f"circuit_{number}")
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
    """A circuit with a gate of each operator of the same two inputs, and all values of the first with many of the second.

    Every pair of values comes in each case.
    """
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


@pytest.mark.parametrize("module", [c, verilog])
def test_the_examples_run(module) -> None:
    assert doctest.testmod(module).failed == 0
