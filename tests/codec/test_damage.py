"""Damaged and crafted `.wvp` files: each is refused in one sentence, in little memory and time."""

import os
import re
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from wavpool.codec.container import MAGIC, Container, Entry, dumps
from wavpool.codec.errors import WvpError
from wavpool.codec.fields import varint


def entry(name: str, **changes: object) -> Entry:
    return replace(Entry(name=name, dtype="float32", shape=(2, 3), method=1, meta=b"m", payload=b"payload"), **changes)


def tied(name: str, to: Entry) -> Entry:
    return Entry(name=name, dtype=to.dtype, shape=to.shape, alias=to.name)


ATTRIBUTES = {"tool": "wavpool 1.2.3"}
EXAMPLE = [
    entry("conv1.weight", shape=(16, 3, 3, 3), payload=bytes(range(60))),
    entry("bn1.bias", shape=(16,), payload=b""),
    tied("conv2.weight", entry("conv1.weight", shape=(16, 3, 3, 3))),
    entry("naïve.Ω", dtype="bfloat16", payload=b"\0" * 30),
]


def refused(data: bytes, **kwargs: int) -> str:
    """The sentence with which a file is refused, at the latest when its payloads are read."""
    with pytest.raises(WvpError) as caught, Container(data, **kwargs) as file:
        file.verify()
    message = str(caught.value)
    assert message.startswith("the .wvp data: ")
    assert "\n" not in message
    return message


def test_the_draft_is_a_good_file(draft, parts) -> None:
    with Container(draft.parts().file()) as file:
        assert file.payload("a") == b"payload"
        assert (file.records["b"].meta, file.records["b"].method, file.attributes["tool"]) == (b"m", 1, "test")
    data = dumps(EXAMPLE, ATTRIBUTES)
    assert parts.of(parts.of(data).file()) == parts.of(data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"suffixes": b"a\0a\0"}, "'a' is there twice"),
        ({"suffixes": b"a\0\0"}, "no name"),
        ({"suffixes": b"a\0/b\0"}, "path"),
        ({"suffixes": b"a\0\\\\host\0"}, "path"),
        ({"suffixes": b"a\0..\0"}, "path"),
        ({"suffixes": b"a\0b\x1b[2J\0"}, r"'b\\x1b\[2J' has a control"),
        ({"suffixes": b"a\0\xff\0"}, "UTF-8"),
        ({"suffixes": b"a\0\xc0\xaf\0"}, "UTF-8"),
        ({"suffixes": b"a\0" + b"n" * 4097 + b"\0"}, "4096 bytes each"),
        ({"suffixes": b"a\0b", "flags": (), "lengths": (), "ndims": (), "methods": (), "metas": (1,)}, "no end|early"),
        ({"shared": (1, 0)}, "shares more"),
        ({"shared": (0, 2)}, "shares more"),
        ({"shared": (0, 2**60)}, "shares more"),
        ({"count": 2**60}, "65536 are allowed"),
        ({"count": 2**16}, "65536 numbers are announced"),
        ({"count": 3}, "damaged"),
        ({"count": 1}, "damaged"),
        ({"attributes": [(b"k", b"v"), (b"k", b"w")]}, "twice"),
        ({"attributes": [(b"k", b"\xff")]}, "UTF-8"),
        ({"attributes": [(b"k" * 5000, b"")]}, "a text of 5000 bytes"),
        ({"attributes": [(b"k", b"v" * 65537)]}, "a text of 65537 bytes"),
        ({"attributes": [(b"", b"v")]}, "a key of 1 to"),
        ({"attributes": [(b"k", b"\x1b[2J")]}, "'k' has a control"),
        ({"attributes": [(b"%d" % number, b"") for number in range(257)]}, "257 attributes"),
        ({"flags": (128 | 63, 0)}, "dtype that this wavpool does not know"),
        ({"flags": (128, 64 | 128), "targets": (0,), "ndims": (1,)}, "damaged|dtype"),
        ({"flags": (0, 0)}, "left over"),
        ({"flags": (128, 128)}, "too early"),
        ({"ndims": (65, 1)}, "65 axes"),
        ({"ndims": (2**60, 1)}, "axes"),
        ({"ndims": (64, 1), "lengths": (2**62,) * 65}, r"2\*\*40"),
        ({"lengths": (2**60, 2)}, r"'a' has more than 2\*\*40 elements"),
        ({"ndims": (2, 1), "lengths": (2**40, 0, 1)}, None),
        ({"ndims": (2, 1), "lengths": (2**41, 0, 1)}, r"2\*\*40"),
        ({"metas": (0, 2**60)}, "too early"),
        ({"metas": (0, 4097), "content": bytes(4097)}, "4096 bytes of meta"),
        ({"end": b"\0"}, "left over"),
        ({"payloads": b""}, "empty payload"),
        ({"table": b""}, "too early"),
        ({"table": b"\x87\0" + bytes(4)}, "leading zeros"),
        ({"table": varint(2**60) + bytes(4)}, "truncated"),
        ({"table": b"\xff" * 9 + b"\1" + bytes(4)}, "63 bits"),
        ({"table": varint(7) + bytes(8)}, "left over"),
        ({"table": varint(7) + bytes(4)}, "'a' is damaged, its checksum"),
        ({"table": varint(6) + bytes(4)}, "1 bytes after its end"),
    ],
    ids=lambda value: "" if value is None or isinstance(value, dict) else value[:20],
)
def test_crafted_headers_are_refused(changes: dict[str, object], message: str | None, draft) -> None:
    data = draft.parts(**changes).file()
    if message is None:
        assert Container(data, max_bytes=2**60).names == ("a", "b")
    else:
        assert re.search(message, refused(data, max_bytes=2**60))


@pytest.mark.parametrize(
    ("targets", "message"),
    [((0, 0), None), ((1, 0), "no earlier"), ((0, 1), "'c' is tied to 'b', no earlier"), ((0, 2), "no earlier")],
)
def test_ties_lead_to_earlier_tensors(targets: tuple[int, int], message: str | None, draft) -> None:
    crafted = {"count": 3, "shared": (0, 0, 0), "suffixes": b"a\0b\0c\0", "flags": (128, 64, 64), "targets": targets}
    one = {"ndims": (1,), "lengths": (2,), "methods": (0,), "metas": (0,), "content": b""}
    data = draft.parts(**crafted, **one).file()
    if message is None:
        assert Container(data).payload("c") == b"payload"
    else:
        assert message in refused(data)


def test_a_truncated_file_is_refused() -> None:
    data = dumps(EXAMPLE, ATTRIBUTES)
    for length in range(1, len(data)):
        assert "truncated" in refused(data[:length]), length
    assert "truncated" in refused(b"")


def test_an_extended_file_is_refused() -> None:
    assert "3 bytes after its end" in refused(dumps(EXAMPLE, ATTRIBUTES) + b"\0\0\0")


def test_every_flipped_bit_is_found() -> None:
    data = dumps(EXAMPLE, ATTRIBUTES)
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        refused(bytes(damaged))


def test_payloads_of_one_length_cannot_be_exchanged(parts) -> None:
    good = parts.of(dumps([entry("a", payload=b"first"), entry("b", payload=b"other")], {}))
    assert "'a' is damaged" in refused(replace(good, payloads=b"otherfirst").file())


def test_text_mode_shows() -> None:
    data = dumps(EXAMPLE, ATTRIBUTES)
    assert "line ends" in refused(data.replace(b"\r\n", b"\n"))
    assert "no .wvp file" in refused(b"PK\3\4" + data)
    assert "line ends" in refused(bytes(byte & 127 for byte in data))


def test_another_format_is_refused(parts) -> None:
    good = parts.of(dumps(EXAMPLE, ATTRIBUTES))
    message = refused(good.file(version=3))
    assert "newer wavpool (format 3), this one reads format 1: pip install --upgrade wavpool" in message
    assert "format 0 does not exist" in refused(good.file(version=0))


def test_a_header_length_is_written_in_one_form() -> None:
    data = dumps([], {})
    assert data[9] < 128
    assert "leading zeros" in refused(data[:9] + bytes([data[9] | 128, 0]) + data[10:])
    assert "allowed" in refused(MAGIC + b"\1" + varint(2**60) + bytes(100))


def test_a_bomb_is_refused_in_little_memory(parts) -> None:
    bomb = parts(bytes(2**25), b"", b"").file(level=9)
    assert len(bomb) < 2**16
    tracemalloc.start()
    assert "8,388,608" in refused(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**26


def test_the_largest_header_is_read_in_bounded_time(draft) -> None:
    count = 2**16
    shape = {"ndims": (25,) * count, "lengths": (1,) * 25 * count}
    suffixes = b"".join(b"%d\0" % number for number in range(count))
    one = {"methods": (0,) * count, "metas": (0,) * count, "content": b"", "flags": (0,) * count}
    data = draft.parts(
        count=count, shared=(0,) * count, suffixes=suffixes, table=b"", payloads=b"", **one, **shape
    ).file()
    start = time.process_time()
    with Container(data) as file:
        assert len(file.records) == count
    assert time.process_time() - start < 20


def test_max_bytes_bounds_what_is_decoded() -> None:
    data = dumps([entry("a", shape=(100, 100)), tied("b", entry("a", shape=(100, 100)))], {})
    assert Container(data, max_bytes=40_000).names == ("a", "b")
    assert "40,000 bytes, more than max_bytes=39,999: raise max_bytes" in refused(data, max_bytes=39_999)
    huge = dumps([entry(str(number), dtype="float64", shape=(2**33,)) for number in range(2)], {})
    assert "max_bytes=68,719,476,736" in refused(huge)


def test_the_message_begins_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.wvp"
    path.write_bytes(b"GIF89a")
    with pytest.raises(WvpError, match=f"^{re.escape(str(path))}: it is no .wvp file$"):
        Container(path)
    with path.open("rb") as file, pytest.raises(WvpError, match=f"^{re.escape(str(path))}: "):
        Container(file)
    with pytest.raises(FileNotFoundError, match=r"absent\.wvp"):
        Container(tmp_path / "absent.wvp")
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        Container(tmp_path)


def test_a_pipe_is_refused() -> None:
    read, written = os.pipe()
    os.close(written)
    with os.fdopen(read, "rb") as file, pytest.raises(WvpError, match="pipe"):
        Container(file)
