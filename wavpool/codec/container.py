"""The `.wvp` file: named tensors as opaque streams, each with a checksum and readable without the others.

`docs/format.md` describes every byte. What a payload means is the business of `coded`.

>>> data = dumps([Entry(name="fc.bias", dtype="float32", shape=(3,), method=7, payload=b"abc")], {"model": "tiny"})
>>> with Container(data) as file:
...     file.names, file.attributes["model"], file.records["fc.bias"].shape, file.payload("fc.bias")
(('fc.bias',), 'tiny', (3,), b'abc')
"""

import contextlib
import io
import os
import threading
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import BinaryIO, Self

from ..files import atomic
from .errors import WvpError
from .fields import Reader, varint
from .header import DEFAULT_MAX_BYTES, MAX_STORED, Item, Record, decode, encode

MAGIC = b"\x89WVP\r\n\x1a\n"  # as PNG's: a transfer as text, or one that clears the eighth bit, shows
VERSION = 1
_FRONT = len(MAGIC) + 1 + 9  # bytes before the header's block at most
_CRC = 4
_LEAST = len(MAGIC) + 1 + 1 + _CRC  # bytes of any file


@dataclass(frozen=True, kw_only=True)
class Entry(Item):
    """One tensor to write: what the header tells of it, and its payload, which may be empty."""

    payload: bytes = b""


def write(path: str | os.PathLike[str], entries: Iterable[Entry], attributes: Mapping[str, str]) -> int:
    """Write a `.wvp` file; wholly or not at all, whatever happens.

    Args:
        path: of the file.
        entries: its tensors, in order.
        attributes: about the file as a whole: the version of the tool, the name of the model, settings.

    Returns:
        size of the file in bytes.

    Raises:
        ValueError: a tensor or an attribute that the format cannot hold, by name.
        OSError: the file cannot be written; what was there before is still there.
    """
    chunks = _chunks(entries, attributes)
    with atomic(Path(path)) as temporary, temporary.open("wb") as file:
        file.writelines(chunks)
    return sum(map(len, chunks))


def dumps(entries: Iterable[Entry], attributes: Mapping[str, str]) -> bytes:
    """The bytes of the file that `write` writes: the same for the same entries."""
    return b"".join(_chunks(entries, attributes))


def _chunks(entries: Iterable[Entry], attributes: Mapping[str, str]) -> list[bytes]:
    entries = list(entries)
    payloads = [entry.payload for entry in entries]
    block = encode(entries, payloads, attributes)
    front = MAGIC + bytes([VERSION]) + varint(len(block)) + block
    return [front, zlib.crc32(front).to_bytes(_CRC, "little"), *payloads]


class Closing(ABC):
    """What is closed by `close` or at the end of a `with` statement."""

    @abstractmethod
    def close(self) -> None:
        """Close it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Container(Closing):
    """A `.wvp` file to read: the header at once, a payload when it is asked for.

    Args:
        source: a path, the bytes of a file, or a seekable binary file (which stays open on `close`).
        max_bytes: refuse a file whose tensors take more bytes than this, decoded.

    Attributes:
        attributes: about the file as a whole.
        records: of each tensor, by name and in order, what is known without its payload.
        nbytes: size of the file in bytes.
        header_nbytes: bytes of it that are no payload.
        label: what a message about the file begins with: its path.

    Raises:
        WvpError: not a `.wvp` file, one of a newer format, or a damaged one; a damaged payload when it is read.
        OSError: the file cannot be opened.
    """

    def __init__(
        self, source: str | os.PathLike[str] | bytes | BinaryIO, *, max_bytes: int = DEFAULT_MAX_BYTES
    ) -> None:
        self.label = "the .wvp data"
        self._lock = threading.Lock()  # seek and read belong together
        with contextlib.ExitStack() as stack:
            if isinstance(source, bytes):
                self._file: BinaryIO = io.BytesIO(source)
            elif isinstance(source, str | os.PathLike):
                self.label = os.fspath(source)
                self._file = stack.enter_context(Path(source).open("rb"))
            else:
                self.label = str(getattr(source, "name", self.label))
                self._file = source
            try:
                self._read_header(max_bytes)
            except WvpError as error:
                raise self._error(str(error)) from None
            self._opened = stack.pop_all()

    def close(self) -> None:
        """Close the file that was opened here; what was read of the header remains."""
        self._opened.close()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tensors, in order."""
        return tuple(self.records)

    def resolve(self, name: str) -> Record:
        """The record that holds a tensor's payload: its own or, of a tied one, that of the tensor it shares.

        Raises:
            KeyError: no such tensor.
        """
        record = self.records[name]
        return record if record.alias is None else self.records[record.alias]

    def payload(self, name: str) -> bytes:
        """The payload of a tensor, or of the one that it is tied to.

        Raises:
            KeyError: no such tensor.
            WvpError: its checksum differs.
        """
        record = self.resolve(name)
        data = self._read(self.header_nbytes + record.offset, record.nbytes)
        if zlib.crc32(data) != record.crc:
            raise self._error(f"the tensor {record.name!a} is damaged, its checksum differs: fetch it again")
        return data

    def verify(self) -> None:
        """Read every payload and compare its checksum.

        Raises:
            WvpError: one differs.
        """
        for name, record in self.records.items():
            if record.alias is None:
                self.payload(name)

    def _error(self, message: str) -> WvpError:
        return WvpError(f"{self.label}: {message}")

    def _read(self, offset: int, count: int) -> bytes:
        with self._lock:
            if getattr(self._file, "closed", False):
                raise ValueError(f"{self.label} is closed: load it again")
            self._file.seek(offset)
            return self._file.read(count)

    def _read_header(self, max_bytes: int) -> None:
        if not self._file.seekable():
            raise WvpError("a .wvp file cannot be read from a pipe: save it first")
        self.nbytes = self._file.seek(0, os.SEEK_END)
        front = self._read(0, _FRONT)
        if MAGIC.startswith(front[: len(MAGIC)]):
            self._check_size(_LEAST)
        _check_front(front)
        reader = Reader(front[len(MAGIC) + 1 :])
        size = reader.varint()
        self.header_nbytes = len(front) - reader.left + size + _CRC
        if size > MAX_STORED:
            raise WvpError(f"its header is announced with {size:,} bytes, {MAX_STORED:,} are allowed: it is damaged")
        self._check_size(self.header_nbytes)
        head = self._read(0, self.header_nbytes)
        if zlib.crc32(head[:-_CRC]) != int.from_bytes(head[-_CRC:], "little"):
            raise WvpError("its header is damaged, the checksum differs: fetch it again")
        attributes, records = decode(head[len(front) - reader.left : -_CRC], max_bytes)
        total = self.header_nbytes + sum(record.nbytes for record in records.values())
        self._check_size(total)
        if total < self.nbytes:
            raise WvpError(f"it goes on for {self.nbytes - total:,} bytes after its end: fetch it again")
        self.attributes: Mapping[str, str] = MappingProxyType(attributes)
        self.records: Mapping[str, Record] = MappingProxyType(records)

    def _check_size(self, needed: int) -> None:
        if needed > self.nbytes:
            raise WvpError(f"it is truncated, {self.nbytes:,} of at least {needed:,} bytes: fetch it again")


def _check_front(front: bytes) -> None:
    """Refuse another magic or version."""
    if not front.startswith(MAGIC):
        if front[1:4] == MAGIC[1:4]:
            raise WvpError("its line ends were changed as if it were text: fetch it again as binary")
        raise WvpError("it is no .wvp file")
    version = front[len(MAGIC)]
    if version > VERSION:
        raise WvpError(
            f"it was written by a newer wavpool (format {version}), this one reads format {VERSION}: "
            "pip install --upgrade wavpool"
        )
    if version < VERSION:
        raise WvpError(f"its format {version} does not exist: the file is damaged")
