"""Circuits written for other tools: Verilog with a test bench, C, a drawing, and the chromosome's text."""

from pathlib import Path

from ... import files
from ...errors import UserError
from ..circuit import Circuit
from .c import to_c
from .svg import to_svg
from .verilog import to_testbench, to_verilog

__all__ = ["export", "to_c", "to_svg", "to_testbench", "to_verilog"]

SUFFIXES = (".v", ".c", ".svg", ".txt")


def export(circuit: Circuit, path: str | Path) -> None:
    """Write a circuit in the form that the file's suffix names; a module or function is named as the file is.

    `.v` is Verilog, `.c` C, `.svg` a drawing, and `.txt` the chromosome, which `Circuit.from_text` reads.

    Raises:
        UserError: another suffix, or a name that a module or function cannot have.
        OSError: the file cannot be written.
    """
    path = Path(path)
    match path.suffix.lower():
        case ".v":
            text = to_verilog(circuit, path.stem)
        case ".c":
            text = to_c(circuit, path.stem)
        case ".svg":
            text = to_svg(circuit)
        case ".txt":
            text = circuit.to_text() + "\n"
        case suffix:
            raise UserError(
                f"a circuit is written as {', '.join(SUFFIXES)}, not as {suffix or 'a file without suffix'}"
            )
    files.write_text(path, text)
