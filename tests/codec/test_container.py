"""The `.wvp` file: what is written is read, one tensor without the others, and every other file is refused."""

import io
import os
import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wavpool.codec import header
from wavpool.codec.container import Container, Entry, dumps, write
from wavpool.codec.errors import WvpError
from wavpool.codec.fields import Reader, varint, varints

FORMAT = Path(__file__).parents[2] / "docs" / "format.md"
ATTRIBUTES = {"tool": "wavpool 1.2.3", "model": "tiny"}


def entry(name: str, **changes: object) -> Entry:
    return replace(Entry(name=name, dtype="float32", shape=(2, 3), method=1, meta=b"m", payload=b"payload"), **changes)


def tied(name: str, to: Entry) -> Entry:
    return Entry(name=name, dtype=to.dtype, shape=to.shape, alias=to.name)


EXAMPLE = [
    entry("conv1.weight", shape=(16, 3, 3, 3), payload=bytes(range(60))),
    entry("bn1.weight", shape=(16,), method=2, meta=b"\0\0\x80?", payload=b""),
    entry("bn1.num_batches_tracked", dtype="int64", shape=(), method=2, payload=b""),
    entry("mask", dtype="bool", shape=(0, 7), meta=b"", payload=b"x"),
    tied("conv2.weight", entry("conv1.weight", shape=(16, 3, 3, 3))),
    entry("naïve.Ω", dtype="bfloat16", payload=b"\0" * 50),
]


def resnet(depth: int) -> list[Entry]:
    """The state dict of a CIFAR ResNet in the form in which it is compressed: coded weights, constant BatchNorms."""
    entries = []

    def layer(conv: str, norm: str, out: int, ins: int) -> None:
        count = out * ins * 2
        entries.append(
            entry(f"{conv}.weight", shape=(out, ins, 3, 3), meta=bytes([2, 3, ins % 3]), payload=os.urandom(count))
        )
        for name in ("weight", "bias", "running_mean", "running_var"):
            meta = b"\0\0\x80?" if name in ("weight", "running_var") else b"\0\0\0\0"
            entries.append(entry(f"{norm}.{name}", shape=(out,), method=2, meta=meta, payload=b""))
        entries.append(
            entry(f"{norm}.num_batches_tracked", dtype="int64", shape=(), method=2, meta=bytes(8), payload=b"")
        )

    layer("conv1", "bn1", 16, 3)
    ins = 16
    for stage, out in enumerate((16, 32, 64), start=1):
        for block in range((depth - 2) // 6):
            for number in (1, 2):
                layer(f"layer{stage}.{block}.conv{number}", f"layer{stage}.{block}.bn{number}", out, ins)
                ins = out
    entries.append(entry("fc.weight", shape=(10, 64), payload=os.urandom(300)))
    entries.append(entry("fc.bias", shape=(10,), payload=os.urandom(10)))
    return entries


def assert_same(file: Container, entries: list[Entry], attributes: dict[str, str]) -> None:
    assert file.names == tuple(item.name for item in entries)
    assert dict(file.attributes) == attributes
    for item in entries:
        record = file.records[item.name]
        for field in ("name", "dtype", "shape", "method", "meta", "alias"):
            assert getattr(record, field) == getattr(item, field)
        assert record.nbytes == len(item.payload)
        if item.alias is None:
            assert file.payload(item.name) == item.payload


# Round trips


def test_file_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "model.wvp"
    assert write(path, EXAMPLE, ATTRIBUTES) == path.stat().st_size
    with Container(path) as file:
        assert_same(file, EXAMPLE, ATTRIBUTES)
        assert file.nbytes == path.stat().st_size
        assert file.header_nbytes + sum(record.nbytes for record in file.records.values()) == file.nbytes
        assert file.resolve("conv2.weight") is file.records["conv1.weight"]
        assert file.payload("conv2.weight") == EXAMPLE[0].payload
        file.verify()
    assert path.read_bytes() == dumps(EXAMPLE, ATTRIBUTES) == dumps(iter(EXAMPLE), ATTRIBUTES)


names = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/\\"), min_size=1).filter(
    lambda name: ".." not in name
)
shapes = st.lists(st.integers(0, 9) | st.integers(0, 2**8), max_size=4).map(tuple)


@st.composite
def contents(draw: st.DrawFn) -> list[Entry]:
    entries: list[Entry] = []
    for name in draw(st.lists(names, unique=True, max_size=12)):
        stored = [item for item in entries if item.alias is None]
        if stored and draw(st.integers(0, 4)) == 0:
            entries.append(tied(name, draw(st.sampled_from(stored))))
            continue
        item = Entry(
            name=name,
            dtype=draw(st.sampled_from(list(header.DTYPES))),
            shape=draw(shapes),
            method=draw(st.integers(0, 255)),
            meta=draw(st.binary(max_size=20)),
            payload=draw(st.binary(max_size=300)),
        )
        entries.append(item)
    return entries


@given(contents(), st.dictionaries(names, st.text(st.characters(exclude_categories=["Cc", "Cs"])), max_size=5))
def test_anything_comes_back(entries: list[Entry], attributes: dict[str, str]) -> None:
    data = dumps(entries, attributes)
    assert dumps(entries, attributes) == data
    with Container(data, max_bytes=2**60) as file:
        assert_same(file, entries, attributes)


def test_limits_are_reached() -> None:
    entries = [
        entry("n" * header.MAX_NAME, shape=(1,) * header.MAX_NDIM, method=255, meta=bytes(header.MAX_META)),
        entry("wide", dtype="uint8", shape=(2**20, 2**20)),
        entry("none", shape=(0, 2**40)),
    ]
    attributes = {f"k{number}": "v" * 100 for number in range(header.MAX_ATTRIBUTES)} | {"k0": "v" * header.MAX_VALUE}
    with Container(dumps(entries, attributes), max_bytes=2**41) as file:
        assert_same(file, entries, attributes)


@pytest.mark.parametrize("name", header.DTYPES)
def test_dtypes_are_torchs(name: str) -> None:
    if not hasattr(torch, name):
        pytest.skip(f"this torch has no {name}")
    assert getattr(torch, name).itemsize == header.DTYPES[name]


@pytest.mark.parametrize(("depth", "most"), [(20, 350), (56, 680)])
def test_the_header_is_small(depth: int, most: int) -> None:
    entries = resnet(depth)
    with Container(dumps(entries, {"tool": "wavpool 0.3.0", "model": f"resnet{depth}"})) as file:
        print(f"ResNet-{depth}: {len(entries)} tensors, {file.header_nbytes} bytes of header")
        assert file.header_nbytes <= most


@given(st.integers(0, 2**63 - 1))
def test_varints(value: int) -> None:
    reader = Reader(varint(value) + b"end")
    assert reader.varint() == value
    assert reader.rest() == b"end"


@pytest.mark.parametrize("data", [b"\x80\0", b"\x81\x80\0", b"\xff" * 9 + b"\1", b"\xff" * 20, b"\x80", b""])
def test_varints_have_one_form(data: bytes) -> None:
    with pytest.raises(WvpError):
        Reader(data).varint()


def test_no_varint_is_negative_or_huge() -> None:
    for value in (-1, 2**63):
        with pytest.raises(ValueError, match="must be in"):
            varints([value])


def test_the_reader_of_the_documentation_reads_a_file(tmp_path: Path) -> None:
    write(tmp_path / "model.wvp", EXAMPLE, ATTRIBUTES)
    (source,) = re.findall(r"```python\n(.*?)```", FORMAT.read_text(encoding="utf-8"), re.DOTALL)
    namespace: dict[str, object] = {}
    exec(source, namespace)
    attributes, tensors = namespace["read"](tmp_path / "model.wvp")
    assert attributes == ATTRIBUTES
    assert namespace["DICTIONARY"] == header.DICTIONARY
    assert namespace["DTYPES"] == list(header.DTYPES)
    for item in EXAMPLE:
        expected = (item.dtype, item.shape, item.method, item.meta, item.payload)
        assert tensors[item.name] == (item.alias if item.alias else expected)


# Laziness


class Counting(io.BytesIO):
    """A file that counts the bytes that are read."""

    total = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.total += len(data)
        return data


def test_one_tensor_is_read_without_the_others() -> None:
    big = [entry(f"layer{number}.weight", payload=os.urandom(100_000)) for number in range(20)]
    source = Counting(dumps(big, {}))
    with Container(source) as file:
        assert source.total <= file.header_nbytes + 100
        before = source.total
        assert file.payload("layer7.weight") == big[7].payload
        assert source.total - before == 100_000
    assert not source.closed


def test_threads_may_share_a_file(tmp_path: Path) -> None:
    big = [entry(f"layer{number}.weight", payload=os.urandom(20_000)) for number in range(16)]
    write(tmp_path / "model.wvp", big, {})
    wrong: list[str] = []
    with Container(tmp_path / "model.wvp") as file:

        def read() -> None:
            for item in big * 5:
                try:
                    file.payload(item.name)
                except WvpError as error:
                    wrong.append(str(error))

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_damage_of_one_tensor_leaves_the_others_readable() -> None:
    data = bytearray(dumps(EXAMPLE, ATTRIBUTES))
    data[-1] ^= 1
    with Container(bytes(data)) as file:
        assert file.payload("conv1.weight") == EXAMPLE[0].payload
        with pytest.raises(WvpError, match="is damaged"):
            file.payload("naïve.Ω")
        with pytest.raises(KeyError):
            file.payload("absent")


# Refusals when writing


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([entry("")], "no name"),
        ([entry("a"), entry("b"), entry("a")], "'a' is there twice"),
        ([entry("a\nb")], r"'a\\nb' has a control"),
        ([entry("a\0")], "control"),
        ([entry("a\x85")], "control"),
        ([entry("/etc/passwd")], "path"),
        ([entry("..")], "path"),
        ([entry("a..b")], "path"),
        ([entry("C:\\a")], "path"),
        ([entry("n" * 4097)], "more than 4096"),
        ([entry("\ud800")], "UTF-8"),
        ([entry("a", dtype="quint8")], "'a' is of the dtype quint8"),
        ([entry("a", shape=(1,) * 65)], "'a' has more than 64 axes"),
        ([entry("a", shape=(-1,))], "'a' has more than 64 axes, or one of negative"),
        ([entry("a", shape=(2**20, 2**20, 2))], r"'a' has more than 2\*\*40"),
        ([entry("a", shape=(2**60, 0))], r"'a' has more than 2\*\*40"),
        ([entry("a", method=256)], "'a' has a method outside"),
        ([entry("a", meta=bytes(4097))], "'a' has a method .* 4096 bytes of meta"),
        ([entry("a", alias="a", payload=b"")], "'a' is tied to 'a', no earlier"),
        ([entry("a", alias="b", payload=b""), entry("b")], "'a' is tied to 'b', no earlier"),
        ([entry("a"), tied("b", entry("a")), tied("c", entry("b"))], "'c' is tied to 'b', no earlier"),
        ([entry("a"), tied("b", entry("a", shape=(3, 2)))], "'b' is tied to one of another shape"),
        ([entry("a"), tied("b", entry("a", dtype="int32"))], "'b' is tied to one of another shape or dtype"),
        ([entry("a"), replace(tied("b", entry("a")), payload=b"x")], "'b' is tied .* payload of its own"),
        ([entry(f"{n:04}" + "n" * 4000, payload=b"") for n in range(2100)], "more than 8,388,608 bytes"),
        ([entry(str(n), payload=b"") for n in range(2**16 + 1)], "at most 65,536"),
    ],
    ids=lambda value: value[:25] if isinstance(value, str) else "",
)
def test_what_cannot_be_written_is_named(bad: list[Entry], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "model.wvp", bad, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "attributes",
    [{"": "x"}, {"k": "v" * 65537}, {"k" * 4097: "v"}, {"k": "\x1b[2J"}, {"k\n": ""}, {str(n): "" for n in range(257)}],
)
def test_attributes_have_limits(attributes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="attribute"):
        dumps([], attributes)
