"""One tensor as a stream: what was coded is decoded bit for bit, and nothing but `WvpError` comes of damage."""

import contextlib
import doctest
import hashlib
import importlib
import itertools
import tracemalloc
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wavpool.codec import lossless
from wavpool.codec.bases import Basis, basis_for
from wavpool.codec.coded import (
    Coded,
    Method,
    Stream,
    decode,
    describe,
    encode,
    encode_lossless,
    read,
    reconstruct,
)
from wavpool.codec.coders import CODERS
from wavpool.codec.errors import WvpError
from wavpool.codec.fields import Reader, varint
from wavpool.codec.indices import read_indices, write_indices
from wavpool.codec.kmeans import codebook
from wavpool.codec.layout import Kind, Layout, layout_of
from wavpool.codec.trellis import levels
from wavpool.codec.wire import read_basis, write_basis

KERNEL = Layout(Kind.KERNEL, (12, 5, 3, 3))


def example(layout: Layout, text: str = "none", seed: int = 0, trellis: bool = False, dtype=torch.float32) -> Coded:
    """Integers and steps like a trained layer's."""
    rng = np.random.default_rng(seed)
    rows, cols, taps = layout.size
    return Coded(
        q=np.rint(rng.laplace(0, 3, layout.size)).astype(np.int32),
        layout=layout,
        row=rng.integers(-120, -60, rows).astype(np.int32),
        col=rng.integers(-6, 6, cols).astype(np.int32),
        tap=rng.integers(-3, 4, taps).astype(np.int32),
        basis=basis_for(text, layout),
        dtype=dtype,
        trellis=trellis,
    )


def returned(stream: Stream, coded: Coded) -> torch.Tensor:
    return decode(*stream, coded.layout.shape, coded.dtype)


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("trellis", [False, True])
@pytest.mark.parametrize(
    ("layout", "text"),
    [
        (KERNEL, "none"),
        (KERNEL, "dct"),
        (KERNEL, "haar"),
        (KERNEL, "db2@row"),
        (KERNEL, "dst1@matrix"),
        (KERNEL, "sym11:1@row"),
        (layout_of((6, 48)), "haar@map:3x4x4"),
        (layout_of((17,)), "none"),
        (layout_of(()), "none"),
        (Layout(Kind.KERNEL, (4, 3, 2, 3, 5)), "dft"),
    ],
)
def test_decoding_is_reconstruction_bit_for_bit(layout: Layout, text: str, trellis: bool, coder: str) -> None:
    coded = example(layout, text, trellis=trellis)
    stream = encode(coded, coder)
    weight = returned(stream, coded)
    assert weight.shape == layout.shape
    assert weight.dtype == torch.float32
    assert torch.equal(weight, reconstruct(coded))
    again = read(*stream, layout.shape, coded.dtype)
    for name in ("q", "row", "col", "tap"):
        assert np.array_equal(getattr(again, name), getattr(coded, name))
    assert (again.layout, again.basis, again.trellis) == (layout, coded.basis, trellis)


@pytest.mark.parametrize("text", ["none", "dct", "haar", "db2@row", "dct@matrix", "haar@matrix"])
@pytest.mark.parametrize("trellis", [False, True])
def test_decoded_weight_is_the_real_valued_formula(text: str, trellis: bool) -> None:
    layout = Layout(Kind.KERNEL, (40, 32, 3, 3))
    coded = example(layout, text, trellis=trellis, dtype=torch.float64)
    steps = 2.0 ** (coded.row[:, None, None] / 16 + (coded.col[:, None] + coded.tap) / 4)
    integers = levels(coded.q) if trellis else coded.q
    ideal = coded.basis.inverse(torch.from_numpy(integers * steps), layout)
    ours = reconstruct(coded).view(layout.size)
    assert ((ours - ideal).abs().amax((1, 2)) <= 3e-7 * ideal.abs().amax((1, 2))).all()
    single = reconstruct(example(layout, text, trellis=trellis)).view(layout.size)
    assert torch.equal(single, ours.float())


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        ("none", "44156ddb9a0aef0a"),
        ("dct", "a494730ac75a01cc"),
        ("haar", "17bbd2b80b983b40"),
        ("db2@row", "b3504f2a138b3cf4"),
        ("sym4@matrix", "0855c8b60ab05c05"),
    ],
)
def test_decoded_bits_are_the_same_on_every_machine(text: str, digest: str) -> None:
    layout = Layout(Kind.KERNEL, (24, 16, 3, 3))
    q = ((np.arange(24 * 16 * 9, dtype=np.int64) * 2654435761 >> 7) % 23 - 11).astype(np.int32).reshape(layout.size)
    row, col, tap = (np.arange(n, dtype=np.int32) * 5 % 13 - 90 // (k + 1) for k, n in enumerate(layout.size))
    weight = reconstruct(Coded(q, layout, row, col, tap, basis_for(text, layout)))
    assert hashlib.sha256(weight.numpy().tobytes()).hexdigest()[:16] == digest


def test_number_of_threads_and_rows_at_a_time_do_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    coded = example(Layout(Kind.KERNEL, (40, 32, 3, 3)), "db4@row")
    whole = reconstruct(coded)
    monkeypatch.setattr("wavpool.codec.coded.BLOCK", 300)
    assert torch.equal(reconstruct(coded), whole)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_are_cast_once_at_the_end(dtype: torch.dtype) -> None:
    coded = example(KERNEL, "dct", dtype=dtype)
    weight = returned(encode(coded), coded)
    assert weight.dtype == dtype
    assert torch.equal(weight, reconstruct(example(KERNEL, "dct", dtype=torch.float64)).to(dtype))


@pytest.mark.parametrize("per", ["layer", "channel"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("text", ["none", "dct"])
def test_codebooks_return(per: str, dtype: type, text: str) -> None:
    basis = basis_for(text, KERNEL)
    values = np.random.default_rng(0).normal(size=KERNEL.size)
    book = codebook(values, 16, per=per, dtype=dtype)
    coded = Coded(book.q, KERNEL, row=book.row, basis=basis, codebook=book.codebook, zero=book.zero)
    stream = encode(coded)
    assert torch.equal(returned(stream, coded), reconstruct(coded))
    assert np.array_equal(read(*stream, KERNEL.shape, torch.float32).codebook, book.codebook)
    assert describe(stream.method, stream.meta, KERNEL.shape)["codebook"] == 16
    coefficients = basis.forward(torch.from_numpy(reconstruct(coded).double().numpy()).view(KERNEL.size), KERNEL)
    centres = np.sort(book.codebook.astype(np.float64).reshape(-1)) * 2.0 ** (book.row[0] / 16)
    nearest = np.abs(coefficients.numpy()[..., None] - centres).min(axis=-1)
    assert nearest.max() < 1e-6


def test_description_needs_no_payload() -> None:
    stream = encode(example(KERNEL, "haar", trellis=True), "fast")
    assert describe(stream.method, stream.meta, KERNEL.shape) == {
        "method": "coded",
        "basis": "haar:1@taps",
        "level": 1,
        "coder": "fast",
        "trellis": True,
        "codebook": None,
    }
    assert describe(*encode_lossless(torch.ones(3))[:2], (3,)) == {"method": "fill"}
    assert describe(*encode_lossless(torch.arange(3))[:2], (3,))["method"] == "raw"


def test_steps_cost_little() -> None:
    """Of 20 layers of a ResNet-20: rows and columns with steps spread over an octave and more, and nine taps each."""
    rng = np.random.default_rng(0)
    channels = [3, *[16] * 7, *[32] * 6, *[64] * 6]
    total = 0
    for cols, rows in itertools.pairwise(channels):
        layout = Layout(Kind.KERNEL, (rows, cols, 3, 3))
        q = np.zeros(layout.size, dtype=np.int32)
        plain = len(encode(Coded(q, layout)).payload)
        row = np.rint(rng.normal(-80, 8, rows)).astype(np.int32)
        col = np.rint(rng.normal(0, 2, cols)).astype(np.int32)
        tap = np.rint(rng.normal(0, 1, 9)).astype(np.int32)
        stream = encode(Coded(q, layout, row, col, tap, basis_for("dct", layout)))
        total += len(stream.payload) - plain + len(stream.meta)
    assert total < 1000


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(3.5),
        torch.tensor(7),
        torch.empty(0),
        torch.empty(3, 0, 2, dtype=torch.int64),
        torch.arange(1000),
        torch.arange(12, dtype=torch.int8).reshape(3, 4).T,
        torch.tensor([True, False, True]),
        torch.full((40, 3), 0.1),
        torch.full((5,), -0.0, dtype=torch.float16),
        torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0, 1e-45]),
        torch.randn(300, generator=torch.Generator().manual_seed(0)).bfloat16(),
        torch.randn(300, generator=torch.Generator().manual_seed(0)).to(torch.float8_e4m3fn),
        torch.complex(torch.ones(3), torch.arange(3.0)).conj(),
    ],
    ids=lambda tensor: f"{tuple(tensor.shape)}-{tensor.dtype}",
)
def test_any_tensor_is_stored_bit_for_bit(tensor: torch.Tensor) -> None:
    stream = encode_lossless(tensor)
    again = decode(*stream, tensor.shape, tensor.dtype)
    assert again.shape == tensor.shape
    assert again.dtype == tensor.dtype
    assert lossless._bytes(again) == lossless._bytes(tensor)
    assert len(stream.payload) <= tensor.numel() * tensor.element_size()


def test_constants_cost_an_element_and_shuffling_pays() -> None:
    assert encode_lossless(torch.full((64,), 0.1)) == (Method.FILL, torch.tensor(0.1).numpy().tobytes(), b"")
    assert encode_lossless(torch.tensor([0.0, -0.0])).method == Method.RAW
    smooth = torch.linspace(1, 2, 4000)
    stream = encode_lossless(smooth)
    assert lossless.PACKINGS[stream.meta[0]].startswith("shuffled")
    assert len(stream.payload) < 0.8 * len(zlib.compress(smooth.numpy().tobytes(), 9))


BROKEN = [
    (Method.FILL, b"\0\0", b"", (3,), torch.float32, "constant"),
    (Method.FILL, b"\2", b"", (3,), torch.bool, "truth value"),
    (Method.FILL, b"\0\0\0\0", b"x", (3,), torch.float32, "payload"),
    (Method.FILL, b"\0\0\0\0", b"", (2**60, 2**60), torch.float32, "more than"),
    (Method.FILL, b"\0\0\0\0", b"", (-1,), torch.float32, "more than"),
    (Method.RAW, b"", b"", (3,), torch.float32, "packing"),
    (Method.RAW, b"\x09", b"", (3,), torch.float32, "update wavpool"),
    (Method.RAW, b"\0", b"123", (3,), torch.float32, "unpacks to 3 bytes"),
    (Method.RAW, b"\1", b"123", (3,), torch.float32, "does not unpack"),
    (Method.RAW, b"\3", b"123", (3,), torch.float32, "does not unpack"),
    (Method.RAW, b"\1", zlib.compress(bytes(12)) + b"x", (3,), torch.float32, "another size"),
    (Method.RAW, b"\0", b"\0\3", (2,), torch.bool, "truth value"),
    (9, b"", b"", (3,), torch.float32, "method 9"),
    (Method.CODED, b"", b"", (3,), torch.float32, "too early"),
    (Method.CODED, b"\3\0", b"", (3,), torch.float32, "does not fit"),
    (Method.CODED, b"\2\0", b"", (3,), torch.float32, "does not fit"),
    (Method.CODED, b"\0\0", b"\0\0\1", (0,), torch.float32, "it is empty"),
    (Method.CODED, b"\xe0\0", b"", (3,), torch.float32, "update wavpool"),
    (Method.CODED, b"\0\x09", b"", (3,), torch.float32, "too early"),
    (Method.CODED, b"\0\x09\0", b"", (3,), torch.float32, "update wavpool"),
    (Method.CODED, b"\0\0", b"\0\0\0", (3,), torch.int32, "floating-point"),
    (Method.CODED, b"\0\0", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", (3,), torch.float32, "63 bits"),
    (Method.CODED, b"\0\0", varint(32 * 5000) + b"\0\0", (3,), torch.float32, "2\\*\\*256"),
    (Method.CODED, b"\0\0", b"\1\x0d" + b"\xff" * 13, (3,), torch.float32, "longer than their number"),
    (Method.CODED, b"\0\0\0\xff\xff\xff\xff\x7f\0", b"\0\0\0", (3,), torch.float32, "codebook"),
    (Method.CODED, b"\0\0\0\xff\xff\x03\0", b"\0\0\0", (3,), torch.float32, "too early"),
]


@pytest.mark.parametrize(("method", "meta", "payload", "shape", "dtype", "message"), BROKEN)
def test_damage_is_one_sentence(method, meta, payload, shape, dtype, message) -> None:
    with pytest.raises(WvpError, match=message) as caught:
        decode(method, meta, payload, shape, dtype)
    assert "\n" not in str(caught.value)


def test_bombs_take_no_memory() -> None:
    bomb = zlib.compress(bytes(10**8), 9)
    tracemalloc.start()
    with pytest.raises(WvpError, match="another size"):
        decode(Method.RAW, b"\1", bomb, (1000,), torch.float32)
    with pytest.raises(WvpError, match="more than 1000 bytes"):
        decode(Method.FILL, bytes(4), b"", (251,), torch.float32, max_bytes=1000)
    huge = bytes([Kind.MATRIX]) + write_basis(Basis("dct2", "row"))
    with pytest.raises(WvpError, match="30000 x 30000"):
        decode(Method.CODED, huge, b"\0\0\0", (2, 30000), torch.float32)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**6


STREAMS = [
    (encode(example(KERNEL, text, trellis=trellis), coder), KERNEL.shape, torch.float32)
    for text, trellis, coder in [("none", False, "small"), ("haar", True, "small"), ("db2@row", False, "fast")]
] + [(encode_lossless(torch.arange(100)), (100,), torch.int64), (encode_lossless(torch.ones(9)), (9,), torch.float32)]


@settings(deadline=None)
@given(
    st.sampled_from(STREAMS),
    st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=4),
    st.sampled_from(["meta", "payload"]),
    st.integers(-3, 3),
    st.sampled_from([None, (), (12,), (4, 15), (2, 2, 3, 3), (5, 12, 3, 3), (0,)]),
)
def test_mutated_streams_decode_or_raise_one_error(case, edits, part, longer, other_shape) -> None:
    stream, shape, dtype = case
    data = bytearray(getattr(stream, part))
    for position, value in edits:
        if data:
            data[position % len(data)] = value
    data = data[:longer] if longer < 0 else data + bytes(longer)
    stream = stream._replace(**{part: bytes(data)})
    shape = shape if other_shape is None else other_shape
    with contextlib.suppress(WvpError):
        tensor = decode(*stream, shape, dtype)
        assert (tuple(tensor.shape), tensor.dtype) == (tuple(shape), dtype)
    with contextlib.suppress(WvpError):
        assert describe(stream.method, stream.meta, shape)


@settings(deadline=None)
@given(st.integers(0, 3), st.binary(max_size=12), st.binary(max_size=40))
def test_bytes_that_are_no_stream_raise_one_error(method: int, meta: bytes, payload: bytes) -> None:
    with contextlib.suppress(WvpError):
        assert decode(method, meta, payload, (4, 3, 2, 2), torch.float32).shape == (4, 3, 2, 2)


@pytest.mark.parametrize("text", ["none", "dct", "haar", "db2@row", "haar@map:3x4x4", "sym11:1@row", "dst3@taps"])
def test_bases_return_from_a_file(text: str) -> None:
    layout = Layout(Kind.KERNEL, (24, 12, 2, 2)) if "map" not in text else layout_of((5, 48))
    basis = basis_for(text, layout)
    reader = Reader(write_basis(basis))
    assert read_basis(reader, basis.extra_bits) == basis
    reader.finish()


@settings(deadline=None)
@given(st.integers(-5000, 5000), st.sampled_from([0, 1, 3, 40, 1000, 9000]), st.integers(1, 9000), st.integers(0, 99))
def test_indices_return_from_a_file(mean: int, spread: int, count: int, seed: int) -> None:
    indices = np.clip(mean + np.random.default_rng(seed).integers(-spread, spread, count, endpoint=True), -4096, 4096)
    reader = Reader(write_indices(indices.astype(np.int32)))
    assert np.array_equal(read_indices(reader, count, 16), indices)
    reader.finish()


@settings(deadline=None)
@given(st.integers(0, 2**63 - 1))
def test_numbers_return_from_a_file(value: int) -> None:
    assert Reader(varint(value)).varint() == value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q": np.zeros((12, 5, 8), np.int32)}, "q must be int32 of shape"),
        ({"q": np.zeros(KERNEL.size, np.int64)}, "q must be int32 of shape"),
        ({"q": np.full(KERNEL.size, 2**30 + 1, np.int32)}, "within 2\\*\\*30"),
        ({"row": np.zeros(11, np.int32)}, "broadcast"),
        ({"dtype": torch.int32}, "a coded tensor is one of"),
        ({"codebook": np.zeros(4)}, "float16 or float32"),
        ({"codebook": np.zeros(4, np.float32), "trellis": True}, "exclude each other"),
        ({"codebook": np.zeros(4, np.float32), "zero": 4}, "leave a codebook"),
        ({"codebook": np.full(4, np.nan, np.float32)}, "finite"),
        ({"q": np.zeros((0, 5, 9), np.int32), "layout": Layout(Kind.KERNEL, (0, 5, 3, 3))}, "empty"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict, message: str) -> None:
    parts = {"q": np.zeros(KERNEL.size, np.int32), "layout": KERNEL} | change
    with pytest.raises(ValueError, match=message):
        Coded(**parts)


@pytest.mark.parametrize(
    "name",
    ["bases", "coded", "indices", "kmeans", "layout", "lossless", "prune", "quantize", "scales", "trellis", "wire"],
)
def test_examples_run(name: str) -> None:
    module = importlib.import_module(f"wavpool.codec.{name}")
    assert not doctest.testmod(module, extraglobs={"np": np, "torch": torch}).failed


def test_unknown_coder_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown coder 'zip'"):
        encode(example(KERNEL), "zip")
