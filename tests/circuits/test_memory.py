"""Tables of what a byte's read costs."""

import json
import random
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest

from wavpool.circuits import memory
from wavpool.errors import UserError

SHIPPED = (resources.files("wavpool.circuits") / "memory_45nm.json").read_text(encoding="utf-8")


def test_the_shipped_table_is_what_its_sources_say() -> None:
    table = memory.load()
    accesses = {"SRAM 8 KB": 10, "SRAM 32 KB": 20, "SRAM 1 MB": 100, "DRAM": 1300, "DRAM, at most": 2600}  # pJ, 64 bits
    assert {name: table.read[name] * 8 for name in accesses} == accesses
    assert table.read["register file"] * 4 == 1  # 32 bits
    assert table.wire * 256 * 10 == pytest.approx(310, rel=1e-3)
    assert set(table.sources) == {*table.read, "wire"}
    assert table.estimates == ("register file", "wire")
    assert "estimates" in table.source


def test_a_table_of_ones_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"read": {"register file": 1, "ROM": 0.5}, "wire": 0.1}')
    table = memory.load(path)
    assert (table.per_byte("ROM"), table.wire, table.estimates) == (0.5, 0.1, ())
    with pytest.raises(UserError, match="no memory 'DRAM' in the table; it has register file, ROM"):
        table.per_byte("DRAM")


@pytest.mark.parametrize(("change", "words"), [
    (lambda table: table.pop("read"), "a JSON object with read"),
    (lambda table: table.pop("wire"), "a JSON object with read"),
    (lambda table: table["read"].pop("register file"), "lacks 'register file'"),
    (lambda table: table["read"].update(DRAM=-1), "the energy of DRAM must be"),
    (lambda table: table["read"].update(DRAM=0), "the energy of DRAM must be"),
    (lambda table: table["read"].update(DRAM=True), "the energy of DRAM must be"),
    (lambda table: table["read"].update(DRAM="much"), "the energy of DRAM must be"),
    (lambda table: table["read"].update(DRAM=float("nan")), "the energy of DRAM must be"),
    (lambda table: table["read"].update(DRAM=10**400), "the energy of DRAM must be"),
    (lambda table: table.update(wire=[]), "the energy of wire must be"),
    (lambda table: table.update(units={"read": "nJ/byte", "wire": "pJ/bit/mm"}), "units of a table"),
    (lambda table: table.update(estimates=["ROM"]), "estimates of a table"),
    (lambda table: table.update(estimates=[[]]), "estimates of a table"),
    (lambda table: table.update(sources={"ROM": ""}), "sources of a table"),
])  # fmt: skip
def test_a_wrong_table_is_refused(change: Callable[[dict], object], words: str) -> None:
    table = json.loads(SHIPPED)
    change(table)
    with pytest.raises(UserError, match=words):
        memory.from_json(json.dumps(table))


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe\x00", b"[" * 100_000])
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "no.json"
    path.write_bytes(content)
    with pytest.raises(UserError):
        memory.load(path)


def test_damaged_text_is_refused_or_a_table() -> None:
    """4,000 random edits: a sentence, or numbers that can be used."""
    generator = random.Random(0)
    refused = 0
    for _ in range(4000):
        letters = list(SHIPPED)
        for _ in range(generator.randint(1, 3)):
            place = generator.randrange(len(letters))
            letters[place : place + generator.choice([0, 1, 1, 4])] = generator.choice('0123456789-{}[](),.x\n e"N∞')
        try:
            table = memory.from_json("".join(letters))
            assert all(0 < energy < 1e10 for energy in [*table.read.values(), table.wire])
        except UserError:
            refused += 1
    assert 400 < refused < 4000
