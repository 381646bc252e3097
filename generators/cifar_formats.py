"""The two forms of a CIFAR-10 batch file: fixed-length records, and a Python 2 pickle that is read as mere data.

Source: A. Krizhevsky, "The CIFAR-10 dataset", sections "Binary version" and "Python / Matlab versions".
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from typing import Any, NamedTuple

import numpy as np

from generators.errors import DataError

NUM_CLASSES = 10
PIXELS = 3 * 32 * 32
RECORD = 1 + PIXELS

# What a pickler writes for dictionaries, lists, numbers, strings and arrays up to protocol 3.
# fmt: off
_OPCODES = frozenset({
    "PROTO", "MARK", "STOP",
    "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2",
    "BINSTRING", "SHORT_BINSTRING", "BINUNICODE", "BINBYTES", "SHORT_BINBYTES",
    "EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "APPEND", "APPENDS",
    "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
    "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET",
    "GLOBAL", "REDUCE", "BUILD",
})
# fmt: on


class Batch(NamedTuple):
    """Images (N, 3, 32, 32) uint8 and labels (N,) uint8."""

    images: np.ndarray[Any, np.dtype[np.uint8]]
    labels: np.ndarray[Any, np.dtype[np.uint8]]


def parse_binary(content: bytes, name: str, records: int) -> Batch:
    """Read a batch of the binary form: per record a label byte and 1,024 red, green, blue bytes each, row-major.

    Raises:
        DataError: the length is not that of ``records`` records, or a label is not a class.
    """
    if len(content) != records * RECORD:
        raise DataError(
            f"{name} holds {len(content):,} bytes where {records:,} images take {records * RECORD:,}; "
            "replace it by the official file"
        )
    rows = np.frombuffer(content, np.uint8).reshape(records, RECORD)
    return _batch(rows[:, 1:], rows[:, 0], name)


def parse_python(content: bytes, name: str, records: int, key: str = "labels", num_classes: int = NUM_CLASSES) -> Batch:
    """Read a batch of the Python form: a pickled dictionary with "data" (N, 3072) uint8 and labels under ``key``.

    Nothing that the file names is imported or called: only dictionaries, lists, strings, integers and one array of
    bytes are understood, and the array is a recording stand-in of ours.

    Raises:
        DataError: the pickle is damaged, holds anything else, or has other sizes than expected.
    """
    try:
        _check_opcodes(content)
        entry = _Unpickler(io.BytesIO(content), encoding="latin1").load()
        rows = np.frombuffer(entry["data"].content, np.uint8)
        shape = entry["data"].shape
        # bytes(n) of a number would be n zeros.
        labels = np.frombuffer(bytes(list(entry[key])), np.uint8)
    # A damaged pickle may raise anything at all.
    except Exception as error:
        raise DataError(
            f"{name} is not a CIFAR batch in the Python form ({error}); replace it by the official file"
        ) from error
    if shape != (records, PIXELS) or labels.shape != (records,):
        raise DataError(
            f"{name} holds images {shape} and {len(labels):,} labels where {(records, PIXELS)} and {records:,} are "
            "expected; replace it by the official file"
        )
    return _batch(rows.reshape(shape), labels, name, num_classes)


def _batch(
    pixels: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], name: str, num_classes: int = NUM_CLASSES
) -> Batch:
    if labels.max(initial=0) >= num_classes:
        raise DataError(
            f"{name} holds the label {labels.max()} of {num_classes} classes; replace it by the official file"
        )
    return Batch(pixels.reshape(-1, 3, 32, 32), labels)


def _check_opcodes(content: bytes) -> None:
    """Refuse opcodes beyond those needed, and memo slots out of turn (the memo is allocated up to the highest one)."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if opcode.name not in _OPCODES:
            raise pickle.UnpicklingError(f"opcode {opcode.name} is not allowed")
        if opcode.name in ("BINPUT", "LONG_BINPUT") and int(argument or 0) > count:
            raise pickle.UnpicklingError(f"memo slot {argument} is out of turn")


class _Dtype:
    """Stand-in for numpy.dtype that accepts unsigned bytes only."""

    def __init__(self, code: str, *_: object) -> None:
        if code not in ("u1", "|u1"):
            raise pickle.UnpicklingError(f"an array of {code!r} is not allowed")

    def __setstate__(self, state: object) -> None:
        """Byte order and alignment say nothing about single bytes."""


class _Array:
    """Stand-in for numpy.ndarray that keeps the shape and the bytes."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = ()
        self.content = b""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, is_fortran, raw = state
        content = raw.encode("latin1") if isinstance(raw, str) else raw
        if not isinstance(dtype, _Dtype) or is_fortran or not isinstance(content, bytes):
            raise pickle.UnpicklingError("the array is not a C-ordered one of unsigned bytes")
        if min(shape, default=0) < 0 or math.prod(shape) != len(content):
            raise pickle.UnpicklingError(f"an array {shape} does not have {len(content)} bytes")
        self.shape, self.content = shape, content


class _Unpickler(pickle.Unpickler):
    """Resolves the names that a pickled array needs, to stand-ins, and refuses every other."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")):
            return lambda *_: _Array()
        if (module, name) == ("numpy", "ndarray"):
            return _Array
        if (module, name) == ("numpy", "dtype"):
            return _Dtype
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes in protocol 2
            return lambda text, _: text.encode("latin1")
        raise pickle.UnpicklingError(f"the name {module}.{name} is not allowed")
