"""Mutated `.wvp` files: each raises `WvpError` or gives the original tensors, in little memory and time.

A mutation below the checksums, which are made right again, may give other tensors; it must not do anything worse.
`-m slow` runs 100,000 files, the normal suite a few thousand; each prints its count.
"""

import gc
import math
import random
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from wavpool.codec import coders
from wavpool.codec.bases import basis_for
from wavpool.codec.coded import Coded, decode, describe, encode, encode_lossless
from wavpool.codec.container import Container, Entry, dumps
from wavpool.codec.errors import WvpError
from wavpool.codec.header import MAX_ELEMENTS
from wavpool.codec.kmeans import codebook
from wavpool.codec.layout import Kind, Layout

MAX_BYTES = 2**20  # decoded, of a file
MEMORY = 2**28  # bytes of address space above what the process had
SECONDS = 10.0  # of processor time a file; a good one takes some milliseconds
KERNEL = Layout(Kind.KERNEL, (8, 4, 3, 3))

Mutation = Callable[[random.Random, bytes], bytes]


def coded(text: str, layout: Layout = KERNEL, seed: int = 0, **fields: object) -> Coded:
    """Integers and steps like a small layer's, in a basis."""
    rng = np.random.default_rng(seed)
    rows, cols, taps = layout.size
    steps = {
        "row": rng.integers(-120, -60, rows).astype(np.int32),
        "col": rng.integers(-6, 6, cols).astype(np.int32),
        "tap": rng.integers(-3, 4, taps).astype(np.int32),
    }
    q = np.rint(rng.laplace(0, 2, layout.size)).astype(np.int32)
    return Coded(**{"q": q, "layout": layout, "basis": basis_for(text, layout), **steps, **fields})


def clustered(per: str) -> Coded:
    values = np.random.default_rng(1).standard_normal(KERNEL.size)
    book = codebook(values, 7, per=per)
    return Coded(q=book.q, layout=KERNEL, row=book.row, codebook=book.codebook, zero=book.zero)


def lossless() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(6, 5, generator=generator)
    return {
        "bn.weight": torch.ones(8),
        "bn.num_batches_tracked": torch.tensor(7),
        "noise": noise,
        "half": noise.half(),
        "brain": torch.linspace(-2, 2, 40).bfloat16(),
        "double": noise.double(),
        "complex": torch.complex(noise, noise),
        "table": torch.arange(600),
        "ramp": torch.arange(300, dtype=torch.uint8) // 3,
        "mask": noise > 0,
        "none": torch.empty(0, 3),
        "broken": torch.tensor([float("nan"), float("inf"), -0.0]),
    }


def entry(name: str, part: Coded | Tensor, coder: str) -> Entry:
    stream = encode(part, coder) if isinstance(part, Coded) else encode_lossless(part)
    shape = part.layout.shape if isinstance(part, Coded) else tuple(part.shape)
    dtype = str(part.dtype).removeprefix("torch.")
    return Entry(
        name=name, dtype=dtype, shape=shape, method=int(stream.method), meta=stream.meta, payload=stream.payload
    )


@cache
def seeds() -> list[tuple[bytes, dict[str, Tensor]]]:
    """Good files with every method, packing, coder and kind of basis, and what they decode to."""
    plain = [entry(name, tensor, "raw") for name, tensor in lossless().items()]
    first = plain[2]
    plain.append(Entry(name="tied", dtype=first.dtype, shape=first.shape, alias=first.name))
    files = [dumps(plain, {"tool": "fuzz", "model": "lossless"}), dumps([], {})]
    linear, image = Layout(Kind.MATRIX, (5, 24)), Layout(Kind.MATRIX, (3, 32))
    for coder in coders.CODERS:
        parts = {
            "conv1.weight": coded("none", trellis=True),
            "conv2.weight": coded("dct", dtype=torch.float16),
            "conv3.weight": clustered("layer"),
            "conv4.weight": clustered("channel"),
            "fc1.weight": coded("haar:2@row", linear, dtype=torch.float64),
            "fc2.weight": coded("dst2@matrix", linear, trellis=True),
            "fc3.weight": coded("haar@map:2x4x4", image, dtype=torch.bfloat16),
            "fc3.bias": coded("none", Layout(Kind.VECTOR, (9,))),
        }
        entries = [entry(name, part, coder) for name, part in parts.items()]
        files += [dumps(entries[:4], {"tool": "fuzz"}), dumps(entries[4:], {"coder": coder})]
    return [(data, tensors(data)) for data in files]


def tensors(data: bytes) -> dict[str, Tensor]:
    """Everything in a file."""
    with Container(data, max_bytes=MAX_BYTES) as file:
        found: dict[str, Tensor] = {}
        for name, record in file.records.items():
            if record.alias is not None:
                found[name] = found[record.alias]
                continue
            describe(record.method, record.meta, record.shape)
            dtype = getattr(torch, record.dtype)
            payload = file.payload(name)
            found[name] = decode(record.method, record.meta, payload, record.shape, dtype, max_bytes=MAX_BYTES)
        return found


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Whether names, order, shapes, dtypes and every bit agree."""
    return list(a) == list(b) and all(
        a[name].dtype == b[name].dtype
        and a[name].shape == b[name].shape
        and torch.equal(a[name].reshape(-1).view(torch.uint8), b[name].reshape(-1).view(torch.uint8))
        for name in a
    )


# Mutations of a string of bytes

HUGE = (b"\xff" * 8 + b"\x7f", b"\x80" * 8 + b"\x10", b"\xff\xff\xff\xff\x0f", b"\xff" * 9 + b"\x01", b"\x80\x00")


def span(rng: random.Random, data: bytes, most: int = 64) -> tuple[int, int]:
    """Begin and end of a block, mostly a short one."""
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 1, 2, 4, rng.randrange(1, most + 1))))


def truncate(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def extend(rng: random.Random, data: bytes) -> bytes:
    return data + rng.choice((rng.randbytes(rng.randrange(1, 40)), bytes(rng.randrange(1, 40)), data))


def flip_bits(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8)) if data else 0):
        out[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(out)


def change_bytes(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 3)) if data else 0):
        at = rng.randrange(len(data))
        out[at] = rng.choice((0, 1, 2, 3, 63, 64, 127, 128, 192, 255, out[at] + 1 & 255, out[at] - 1 & 255))
    return bytes(out)


def insert(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.randrange(1, 9)) + data[at:]


def insert_huge(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(HUGE) + data[at + rng.randrange(2) :]


def delete(rng: random.Random, data: bytes) -> bytes:
    start, end = span(rng, data)
    return data[:start] + data[end:]


def duplicate(rng: random.Random, data: bytes) -> bytes:
    start, end = span(rng, data)
    return data[:end] + data[start:end] * rng.choice((1, 1, 50)) + data[end:]


def move(rng: random.Random, data: bytes) -> bytes:
    start, end = span(rng, data)
    rest = data[:start] + data[end:]
    at = rng.randrange(len(rest) + 1)
    return rest[:at] + data[start:end] + rest[at:]


def overwrite(rng: random.Random, data: bytes) -> bytes:
    start, end = span(rng, data)
    return (
        data[:start]
        + rng.choice((bytes(end - start), b"\xff" * (end - start), rng.randbytes(end - start)))
        + data[end:]
    )


def replace_all(rng: random.Random, data: bytes) -> bytes:
    return rng.choice((b"", rng.randbytes(rng.randrange(1, 200)), bytes(rng.randrange(1, 200)), data[::-1]))


MUTATIONS: tuple[Mutation, ...] = (
    truncate, extend, flip_bits, change_bytes, insert, insert_huge, delete, duplicate, move, overwrite, replace_all,
)  # fmt: skip


def mutate(rng: random.Random, data: bytes) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        data = rng.choice(MUTATIONS)(rng, data)
    return data


# Mutations of a file


def mutated_file(rng: random.Random, data: bytes, parts: type) -> bytes:
    """Damage as of a disk or a transfer."""
    if rng.randrange(20) == 0:  # the front of one file, the rest of another
        other, at = rng.choice(seeds())[0], rng.randrange(min(20, len(data)), len(data) + 1)
        return data[:at] + other[at:]
    return mutate(rng, data)


def mutated_header(rng: random.Random, data: bytes, parts: type) -> bytes:
    """The header's columns or its table, with the header's checksum made right."""
    good = parts.of(data)
    if rng.randrange(4) == 0:
        return replace(good, table=mutate(rng, good.table)).file()
    if rng.randrange(2) == 0:
        return replace(good, columns=change_bytes(rng, good.columns)).file()  # all else stays in its place
    return replace(good, columns=mutate(rng, good.columns)).file(version=rng.choice((1, 1, 1, 1, 0, 2, 255)))


def mutated_stream(rng: random.Random, data: bytes, parts: type) -> bytes:
    """What a writer might have written: another payload, meta, method, shape or dtype, all checksums right."""
    with Container(data) as file:
        about = [
            Entry(
                name=r.name, dtype=r.dtype, shape=r.shape, method=r.method, meta=r.meta, alias=r.alias,
                payload=b"" if r.alias else file.payload(r.name),
            )
            for r in file.records.values()
        ]  # fmt: skip
        attributes = file.attributes
    own = [
        number for number, item in enumerate(about) if item.alias is None and item.name != "noise"
    ]  # "noise" is tied
    if not own:
        return mutate(rng, data)
    chosen = rng.choice(own)
    item = about[chosen]
    lengths = [rng.choice((0, 1, 2, 3, 7, 16, 100, 2**10, 2**20, 2**31, 2**39)) for _ in range(rng.randrange(6))]
    while math.prod(length or 1 for length in lengths) > MAX_ELEMENTS:
        lengths.pop()
    changed = {
        "payload": mutate(rng, item.payload),
        "meta": mutate(rng, item.meta)[:4096],
        "method": rng.choice((0, 1, 2, 3, 255)),
        "shape": rng.choice((tuple(lengths), item.shape[::-1], item.shape[:-1], (*item.shape[:3], 2))),
        "dtype": rng.choice(("float16", "float32", "float64", "int64", "bool", "complex64", "uint8", "float8_e5m2")),
    }
    fields = rng.choices(list(changed), weights=(8, 4, 1, 2, 1), k=rng.choice((1, 1, 1, 2)))
    about[chosen] = replace(item, **{field: changed[field] for field in fields})
    return dumps(about, attributes)


LEVELS = {"file": mutated_file, "header": mutated_header, "stream": mutated_stream}


@contextmanager
def little_memory() -> Iterator[None]:
    """Allow the process `MEMORY` bytes more than it has."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def fuzz(level: str, count: int, seed: int, parts: type) -> Counter[str]:
    """What became of `count` mutated files."""
    rng = random.Random(f"{level} {seed}")
    outcomes: Counter[str] = Counter()
    good = seeds()
    with little_memory():
        for number in range(count):
            data, original = rng.choice(good)
            damaged = LEVELS[level](rng, data, parts)
            start = time.process_time()
            try:
                outcome = "the same" if same(tensors(damaged), original) else "other"
            except WvpError as error:
                outcome = "refused" if str(error) and "\n" not in str(error) else "not one sentence"
            except BaseException as error:
                error.add_note(f"{level} {seed}, file {number}: {damaged.hex()}")
                raise
            assert time.process_time() - start < SECONDS, damaged.hex()
            assert outcome != "not one sentence", damaged.hex()
            assert level != "file" or outcome != "other", damaged.hex()
            outcomes[outcome] += 1
    return outcomes


def report(level: str, outcomes: Counter[str], capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        told = ", ".join(f"{outcomes[key]:,} {key}" for key in ("refused", "the same", "other"))
        print(f"\n{sum(outcomes.values()):,} files mutated in the {level}: {told}")


def test_the_good_files_are_read() -> None:
    files = seeds()
    assert same(files[0][1] | {"tied": lossless()["noise"]}, lossless() | {"tied": lossless()["noise"]})
    assert all(same(tensors(data), original) for data, original in files)
    assert not same(files[0][1], files[2][1])


@pytest.mark.parametrize("level", LEVELS)
def test_mutated_files(level: str, parts: type, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = fuzz(level, 1_000, 0, parts)
    report(level, outcomes, capsys)
    assert outcomes["refused"] > 300


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize(("level", "count"), [("file", 10_000), ("header", 7_500), ("stream", 7_500)])
def test_100_000_mutated_files(
    level: str, count: int, seed: int, parts: type, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = fuzz(level, count, seed, parts)
    report(level, outcomes, capsys)
    assert sum(outcomes.values()) == count
