"""The parsers of untrusted files: exact on what they should read, an error that names the file on everything else."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generators import DataError
from generators.cifar_formats import RECORD, parse_binary, parse_python
from generators.idx import gunzip, parse_idx

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), np.uint8)
LABELS = np.array([7, 0, 9], np.uint8)
PICKLE = pickle.dumps({"labels": LABELS.tolist(), "data": IMAGES.reshape(3, -1)}, protocol=2)


def idx_bytes(shape: tuple[int, ...], data: bytes, kind: int = 8) -> bytes:
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + data


def named_error(parse: Callable[..., Any], content: bytes, name: str, *sizes: int) -> Any:
    """What the parser returns, or None where it raises a DataError, which must name the file."""
    try:
        return parse(content, name, *sizes)
    except DataError as error:
        message = str(error)
    assert name in message
    return None


@given(st.lists(st.integers(0, 5), min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_idx_round_trip(shape, random):
    data = random.randbytes(int(np.prod(shape)))
    array = parse_idx(idx_bytes(tuple(shape), data), "file")
    assert array.shape == tuple(shape)
    assert array.tobytes() == data


@given(st.binary(max_size=64))
def test_idx_fuzz(content):
    """Any bytes either parse to exactly the data after the header, or raise DataError naming the file."""
    array = named_error(parse_idx, content, "the-file")
    if array is not None:
        assert content.endswith(array.tobytes())
        assert len(content) == 4 + 4 * array.ndim + array.size


@given(st.binary(max_size=40), st.integers(0, 3))
def test_idx_fuzz_after_a_valid_magic(tail, ndim):
    array = named_error(parse_idx, bytes([0, 0, 8, ndim]) + tail, "the-file")
    assert array is None or tail.endswith(array.tobytes())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an idx file"),
        (idx_bytes((2, 2), b"1234", kind=0x0D), "not an idx file"),
        (idx_bytes((2, 2), b"1234")[:7], "truncated inside its header"),
        (idx_bytes((2, 2), b"123"), "holds 3 bytes of data, but its header says 4"),
        (idx_bytes((2, 2), b"12345"), "holds 5 bytes"),
        (idx_bytes((2**32 - 1,) * 3, b"1"), "holds 1 bytes"),  # a header that asks for 2**96 bytes
    ],
)
def test_idx_refuses(content, reason):
    with pytest.raises(DataError, match=reason):
        parse_idx(content, "file")


@pytest.mark.parametrize("cut", [1, 9, 15, -1, -8])
def test_gunzip_names_a_truncated_file(cut):
    with pytest.raises(DataError, match="the-file is truncated or damaged"):
        gunzip(gzip.compress(b"content" * 10)[:cut], "the-file")


def test_cifar_binary_exact():
    content = b"".join(bytes([label]) + image.tobytes() for label, image in zip(LABELS, IMAGES, strict=True))
    batch = parse_binary(content, "file", 3)
    assert np.array_equal(batch.images, IMAGES)
    assert np.array_equal(batch.labels, LABELS)


@given(st.integers(0, 3), st.integers(-2, 2), st.integers(0, 255))
def test_cifar_binary_fuzz(records, extra, byte):
    """Accepted if and only if the length is right and every label is one of ten."""
    content = bytes([byte]) * max(0, records * RECORD + extra)
    if len(content) == records * RECORD and (byte < 10 or records == 0):
        assert len(parse_binary(content, "file", records).labels) == records
    else:
        with pytest.raises(DataError, match="the-file"):
            parse_binary(content, "the-file", records)


def test_cifar_python_exact(make_pickle: Callable[[np.ndarray, np.ndarray], bytes]):
    content = make_pickle(IMAGES, LABELS)
    batch = parse_python(content, "file", 3)
    assert np.array_equal(batch.images, IMAGES)
    assert np.array_equal(batch.labels, LABELS)
    reference = pickle.loads(content, encoding="latin1")  # NumPy's own reading of the bytes that the test wrote
    assert np.array_equal(reference["data"], IMAGES.reshape(3, -1))
    assert reference["labels"] == LABELS.tolist()


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_cifar_python_fuzz(data):
    """Damaged pickles (bytes changed, cut, inserted) give the right sizes or DataError, and never another error."""
    content = bytearray(PICKLE)
    for _ in range(data.draw(st.integers(1, 4))):
        # Most bytes are pixels: aim at the structure before and after them.
        end = data.draw(st.booleans())
        offset = data.draw(st.integers(0, 150))
        position = len(content) - 1 - offset if end else offset
        content[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=5))
    batch = named_error(parse_python, bytes(content), "the-file", 3)
    if batch is not None:
        assert batch.images.shape == (3, 3, 32, 32)
        assert batch.labels.max() < 10


class Evil:
    """Runs a command when it is unpickled by pickle itself."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", range(6))
def test_malicious_pickle_is_refused(protocol, tmp_path):
    witness = tmp_path / "ran"
    content = pickle.dumps({"labels": [0], "data": Evil(f"touch {witness}")}, protocol=protocol)
    with pytest.raises(DataError, match="not allowed"):
        parse_python(content, "evil", 1)
    assert not witness.exists()
    pickle.loads(content)
    assert witness.exists(), "the pickle of this test is harmless, so refusing it proves nothing"


@pytest.mark.parametrize(
    "name", ["builtins eval", "numpy load", "numpy.core.multiarray scalar", "_codecs decode", "os system"]
)
def test_names_beyond_the_array_are_refused(name):
    module, attribute = name.split()
    with pytest.raises(DataError, match=f"the name {module}.{attribute} is not allowed"):
        parse_python(b"\x80\x02c" + f"{module}\n{attribute}\n.".encode(), "file", 1)


def test_memo_bomb_is_refused():
    with pytest.raises(DataError, match="memo slot 4294967295 is out of turn"):
        parse_python(b"\x80\x02}r\xff\xff\xff\xff.", "file", 1)


@pytest.mark.parametrize(
    "entry",
    [
        {"labels": [0]},
        {"labels": [10], "data": np.zeros((1, 3072), np.uint8)},
        {"labels": [-1], "data": np.zeros((1, 3072), np.uint8)},
        {"labels": 1, "data": np.zeros((1, 3072), np.uint8)},
        {"labels": [0, 1], "data": np.zeros((1, 3072), np.uint8)},
        {"labels": [0], "data": np.zeros((1, 3071), np.uint8)},
        {"labels": [0], "data": np.zeros((1, 3072), np.float32)},
        {"labels": [0], "data": np.zeros((1, 3072), object)},
        {"labels": [0], "data": np.zeros((2, 1536), np.uint8)},
        [0],
    ],
    ids=["no data", "label 10", "label -1", "label no list", "2 labels", "size", "float", "object", "shape", "list"],
)
def test_unexpected_entries_are_refused(entry):
    with pytest.raises(DataError, match="the-file"):
        parse_python(pickle.dumps(entry, protocol=2), "the-file", 1)


def test_fortran_order_is_refused():
    array = np.asfortranarray(np.arange(2 * 3072, dtype=np.uint8).reshape(2, 3072))
    with pytest.raises(DataError, match="C-ordered"):
        parse_python(pickle.dumps({"labels": [0, 1], "data": array}, protocol=2), "file", 2)


def test_unpickler_reads_from_memory_only():
    """Persistent ids and extension codes have no place in a batch."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, 2)
    pickler.persistent_id = lambda thing: "id" if thing == "x" else None  # type: ignore[method-assign]
    pickler.dump({"data": "x"})
    with pytest.raises(DataError, match="BINPERSID is not allowed"):
        parse_python(buffer.getvalue(), "file", 1)
