"""What reading a byte costs, from a table that is data: memories of several sizes, and wires.

A table is a JSON file: `read` in pJ a byte by the memory's name, `wire` in pJ for a bit that changes over a mm, their
`units`, the `source` of all and the `sources` of each, and which are `estimates`. A `register file` must be there: the
small tables of decoders are read at its energy.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import UserError

REGISTERS, WIRE = "register file", "wire"
UNITS = {"read": "pJ/byte", "wire": "pJ/bit/mm"}
SMALLEST, LARGEST = 1e-9, 1e9
SHOWN = ("SRAM 8 KB", "SRAM 1 MB", "DRAM")  # a small, a middling and a large one of the shipped table


@dataclass(frozen=True, eq=False)
class Memory:
    """Energies of reading.

    Attributes:
        read: pJ a byte by the name of the memory, among them `register file`.
        wire: pJ for a bit that changes over one mm of wire.
        source: where the numbers come from.
        sources: the same of each, by the name of the memory or `wire`.
        estimates: names of those that are guesses.

    >>> load().read["SRAM 8 KB"]  # 64 bits for 10 pJ
    1.25
    """

    read: Mapping[str, float]
    wire: float
    source: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)
    estimates: tuple[str, ...] = ()

    @property
    def shown(self) -> tuple[str, ...]:
        """Up to three memories to show: of the shipped table a small one first; of another the first ones.

        >>> Memory({"register file": 0.2, "ROM": 2.0}, 0.1).shown
        ('ROM',)
        """
        known = tuple(name for name in SHOWN if name in self.read)
        return known or tuple(name for name in self.read if name != REGISTERS)[: len(SHOWN)] or (REGISTERS,)

    def per_byte(self, name: str) -> float:
        """Energy of reading a byte, pJ.

        Raises:
            UserError: the table has no memory of this name.
        """
        if name not in self.read:
            raise UserError(f"there is no memory {name!r} in the table; it has {', '.join(self.read)}")
        return self.read[name]


def load(path: str | Path | None = None) -> Memory:
    """A table of a JSON file, or the shipped one at 45 nm.

    Raises:
        UserError: it is no such table.
        OSError: it cannot be read.
    """
    if path is None:
        return from_json(resources.files(__package__).joinpath("memory_45nm.json").read_text(encoding="utf-8"))
    try:
        return from_json(Path(path).read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise UserError(f"{path} is no table of memories, which is text") from None


def from_json(text: str) -> Memory:
    """A table from JSON, see the module.

    Raises:
        UserError: it is no such table, or a number is missing or out of range.
    """
    try:
        content: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"a table of memories is JSON, and this is not: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("read"), dict) or WIRE not in content:
        raise UserError(f"a table of memories is a JSON object with read (pJ a byte by memory) and {WIRE}")
    if content.get("units", UNITS) != UNITS:
        raise UserError(f"units of a table of memories must be {UNITS['read']} for read and {UNITS['wire']} for wire")
    read = {name: _energy(value, name) for name, value in content["read"].items()}
    if REGISTERS not in read:
        raise UserError(f"the table of memories lacks {REGISTERS!r}, at whose energy decoders read their tables")
    known = {*read, WIRE}
    sources, estimates = content.get("sources", {}), content.get("estimates", [])
    if not isinstance(sources, dict) or not set(sources) <= known:
        raise UserError("sources of a table of memories is an object of texts by memory, or by wire")
    if not isinstance(estimates, list) or not all(isinstance(name, str) and name in known for name in estimates):
        raise UserError("estimates of a table of memories is a list of its memories' names, or wire")
    words = {name: str(text) for name, text in sources.items()}
    return Memory(read, _energy(content[WIRE], WIRE), str(content.get("source", "")), words, tuple(estimates))


def _energy(value: Any, name: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not SMALLEST <= value <= LARGEST:  # NaN is not
        raise UserError(f"the energy of {name} must be a number from {SMALLEST:g} to {LARGEST:g}, got {value!r:.40}")
    return float(value)
