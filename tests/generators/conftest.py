"""Small data sets in the official formats, written by the tests, and an environment without the user's own folders."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from generators import cifar_generator
from generators.files import DataFile, Form, Source
from generators.idx_source import TEST, TRAIN, idx_source

RECORDS = 20


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and no $WAVPOOL_DATA."""
    monkeypatch.delenv("WAVPOOL_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "wavpool"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Torchvision's helpers fail as they do offline; the list receives the addresses that were asked for."""
    asked: list[str] = []

    def refuse(url: str, *args: object, **kwargs: object) -> None:
        asked.append(url)
        raise OSError("Network is unreachable")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", refuse)
    return asked


@pytest.fixture
def make_idx() -> Callable[[np.ndarray], bytes]:
    """Function from a uint8 array to the bytes of an idx file."""
    return lambda array: bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def small_idx(make_idx: Callable[[np.ndarray], bytes]) -> tuple[Source, dict[str, bytes]]:
    """A source of 60 + 30 random 5x4 images, and the content of its eight files (plain and .gz)."""
    draw = np.random.default_rng(0)
    plain = {}
    for (images, labels), count in ((TRAIN, 60), (TEST, 30)):
        plain[images] = make_idx(draw.integers(0, 256, (count, 5, 4), np.uint8))
        plain[labels] = make_idx(draw.integers(0, 10, count, np.uint8))
    packed = {f"{name}.gz": gzip.compress(content) for name, content in plain.items()}
    source = idx_source(
        title="Small set",
        places=("small", "Small/raw"),
        mirrors=("https://mirror.invalid/a/", "https://mirror.invalid/b/"),
        resources=[(name, hashlib.md5(content).hexdigest()) for name, content in packed.items()],
        sha256={name: hashlib.sha256(content).hexdigest() for name, content in plain.items()},
    )
    return source, plain | packed


def python2_pickle(images: np.ndarray, labels: np.ndarray) -> bytes:
    """The bytes that Python 2's cPickle writes (protocol 2) for a CIFAR batch: byte strings and numpy.core names."""
    memo = iter(range(1, 1 << 30))

    def put() -> bytes:
        slot = next(memo)
        return b"q" + bytes([slot]) if slot < 256 else b"r" + struct.pack("<I", slot)

    def text(value: bytes) -> bytes:
        return (
            (b"U" + bytes([len(value)]) if len(value) < 256 else b"T" + struct.pack("<I", len(value))) + value + put()
        )

    def number(value: int) -> bytes:
        return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)

    rows = images.reshape(len(images), -1)
    out = [
        b"\x80\x02}",
        put(),
        b"(",
        text(b"batch_label"),
        text(b"training batch 1 of 5"),
        text(b"labels"),
        b"]",
        put(),
    ]
    out += [b"(", *(number(int(label)) for label in labels), b"e", text(b"data")]
    out += [b"cnumpy.core.multiarray\n_reconstruct\n", put(), b"cnumpy\nndarray\n", put(), number(0), b"\x85", put()]
    out += [text(b"b"), b"\x87", put(), b"R", put(), b"(", number(1)]
    out += [number(len(rows)), number(rows.shape[1]), b"\x86", put(), b"cnumpy\ndtype\n", put(), text(b"u1"), number(0)]
    out += [number(1), b"\x87", put(), b"R", put(), b"(", number(3), text(b"|"), b"NNN"]
    out += [
        b"J\xff\xff\xff\xff",
        b"J\xff\xff\xff\xff",
        number(0),
        b"t",
        put(),
        b"b\x89",
        text(rows.tobytes()),
        b"t",
        put(),
    ]
    out += [b"b", text(b"filenames"), b"]", put(), b"("]
    out += [text(b"leptodactylus_pentadactylus_s_%06d.png" % index) for index in range(len(rows))]
    return b"".join([*out, b"eu."])


def python3_pickle(images: np.ndarray, labels: np.ndarray) -> bytes:
    """The same batch as a Python 3 pickle of protocol 2."""
    return pickle.dumps({"labels": labels.tolist(), "data": images.reshape(len(images), -1)}, protocol=2)


@pytest.fixture(params=["python2", "python3"])
def make_pickle(request: pytest.FixtureRequest) -> Callable[[np.ndarray, np.ndarray], bytes]:
    """Function from images and labels to a batch file of the Python form, as either Python writes it."""
    return {"python2": python2_pickle, "python3": python3_pickle}[request.param]


@pytest.fixture
def small_cifar() -> tuple[Source, dict[str, bytes]]:
    """A source of 6 batches of 20 random images, and the content of its twelve files (binary and Python form)."""
    draw = np.random.default_rng(0)
    contents = {}
    for key in (*cifar_generator.TRAIN, cifar_generator.TEST):
        images = draw.integers(0, 256, (RECORDS, 3, 32, 32), np.uint8)
        labels = draw.integers(0, 10, RECORDS, np.uint8)
        contents[f"{key}.bin"] = np.concatenate([labels[:, None], images.reshape(RECORDS, -1)], axis=1).tobytes()
        contents[key] = python2_pickle(images, labels)
    return replace(cifar_generator.SOURCE, forms=small_forms(contents)), contents


def small_forms(contents: Mapping[str, bytes]) -> tuple[Form, ...]:
    """CIFAR-10's two forms with the digests of ``contents``."""

    def digested(file: DataFile) -> DataFile:
        return DataFile(file.name, f"sha256:{hashlib.sha256(contents[file.name]).hexdigest()}")

    return tuple(
        replace(form, files={key: digested(file) for key, file in form.files.items()})
        for form in cifar_generator.SOURCE.forms
    )


@pytest.fixture
def place() -> Callable[..., Path]:
    """Function that writes the named contents into a folder and returns it."""

    def write(folder: Path, contents: Mapping[str, bytes], names: Callable[[str], bool] = lambda name: True) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            if names(name):
                (folder / name).write_bytes(content)
        return folder

    return write
