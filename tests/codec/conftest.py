"""A `.wvp` file taken apart and put together again with right checksums: what lies below them can be damaged."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from wavpool.codec.header import DICTIONARY

MAGIC = bytes.fromhex("89 57 56 50 0d 0a 1a 0a")


def varint(value: int) -> bytes:
    """Seven bits a byte, of any size: also of numbers that the format does not allow."""
    out = []
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


@dataclass(frozen=True)
class Parts:
    """The parts of a file, after docs/format.md."""

    columns: bytes  # inflated
    table: bytes
    payloads: bytes

    @classmethod
    def of(cls, data: bytes) -> "Parts":
        """Take a good file apart."""
        at, size, shift = 9, 0, 0
        while True:
            size |= (data[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if data[at - 1] < 128:
                break
        inflate = zlib.decompressobj(-15, DICTIONARY)
        columns = inflate.decompress(data[at : at + size])
        return cls(columns, inflate.unused_data, data[at + size + 4 :])

    def file(self, version: int = 1, magic: bytes = MAGIC, level: int = 6) -> bytes:
        """Put the file together, whatever the parts hold."""
        deflate = zlib.compressobj(level, zlib.DEFLATED, -15, zdict=DICTIONARY)
        block = deflate.compress(self.columns) + deflate.flush() + self.table
        front = magic + bytes([version]) + varint(len(block)) + block
        return front + zlib.crc32(front).to_bytes(4, "little") + self.payloads


@dataclass(frozen=True)
class Draft:
    """A header to spell out, by default of two float32 tensors of two elements, "a" with and "b" without a payload."""

    attributes: Sequence[tuple[bytes, bytes]] = ((b"tool", b"test"),)
    count: int = 2
    shared: Sequence[int] = (0, 0)
    suffixes: bytes = b"a\0b\0"
    flags: Sequence[int] = (128, 0)
    targets: Sequence[int] = ()
    ndims: Sequence[int] = (1, 1)
    lengths: Sequence[int] = (2, 2)
    methods: Sequence[int] = (0, 1)
    metas: Sequence[int] = (0, 1)
    content: bytes = b"m"
    end: bytes = b""
    table: bytes | None = None
    payloads: bytes = b"payload"

    def parts(self, **changes: object) -> Parts:
        """The parts of this header with some of it changed."""
        draft = replace(self, **changes)
        columns = [varint(len(draft.attributes))]
        columns += [varint(len(text)) + text for pair in draft.attributes for text in pair]
        columns += [varint(draft.count), *map(varint, draft.shared), draft.suffixes, bytes(draft.flags)]
        columns += [*map(varint, draft.targets), *map(varint, draft.ndims), *map(varint, draft.lengths)]
        columns += [bytes(draft.methods), *map(varint, draft.metas), draft.content, draft.end]
        table = draft.table
        if table is None:
            table = varint(len(draft.payloads)) + zlib.crc32(draft.payloads).to_bytes(4, "little")
        return Parts(b"".join(columns), table, draft.payloads)


@pytest.fixture(scope="session")
def parts() -> type[Parts]:
    return Parts


@pytest.fixture(scope="session")
def draft() -> Draft:
    return Draft()
