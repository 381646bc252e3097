"""CIFAR-100 and SVHN: small files in the true formats, through the real loaders."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from generators import DataError, cifar100_generator, svhn_generator
from generators.data import Options
from generators.files import DataFile, Source
from generators.svhn_generator import parse_svhn

SIZES = {"train": 40, "test": 12}


def digested(source: Source, contents: dict[str, bytes]) -> Source:
    form = source.forms[0]
    files = {
        key: DataFile(file.name, f"sha256:{hashlib.sha256(contents[file.name]).hexdigest()}")
        for key, file in form.files.items()
    }
    return replace(source, forms=(replace(form, files=files),))


def arrays(key: str, classes: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(len(key))
    return draw.integers(0, 256, (SIZES[key], 3, 32, 32), np.uint8), draw.integers(0, classes, SIZES[key])


def cifar100_file(images: np.ndarray, labels: np.ndarray) -> bytes:
    content = {
        "filenames": [f"a_s_{number:06}.png" for number in range(len(labels))],
        "batch_label": "training batch 1 of 1",
        "fine_labels": labels.tolist(),
        "coarse_labels": (labels // 5).tolist(),
        "data": images.reshape(len(labels), -1),
    }
    return pickle.dumps(content, protocol=2)


def svhn_file(images: np.ndarray, labels: np.ndarray) -> bytes:
    file = io.BytesIO()
    labels = np.where(labels == 0, 10, labels).astype(np.uint8)
    scipy.io.savemat(file, {"X": images.transpose(2, 3, 1, 0), "y": labels[:, None]}, do_compression=True)
    return file.getvalue()


@pytest.fixture
def write(place: Callable[..., Path], tmp_path: Path) -> Callable[[str, dict[str, bytes]], Path]:
    def into(folder: str, contents: dict[str, bytes]) -> Path:
        place(tmp_path / folder, contents)
        return tmp_path

    return into


@contextmanager
def suppress_named(name: str) -> Iterator[None]:
    """Let a DataError pass that names the file."""
    message = name
    try:
        yield
    except DataError as error:
        message = str(error)
    assert name in message


def check(data: object, classes: int, name: str) -> None:
    images, labels = arrays("train", classes)
    test_images, test_labels = arrays("test", classes)
    assert (data.name, data.num_classes, data.in_chans, data.img_size) == (name, classes, 3, 32)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [35, 5, 12]
    assert torch.equal(data.test.images, torch.from_numpy(test_images))
    assert data.test.labels.tolist() == test_labels.tolist()
    both = torch.cat((data.train.images, data.validation.images)).flatten(1).sum(1).sort().values
    assert torch.equal(both, torch.from_numpy(images).flatten(1).sum(1).sort().values)
    assert sorted((*data.train.labels.tolist(), *data.validation.labels.tolist())) == sorted(labels.tolist())


def test_cifar100(write: Callable[..., Path]) -> None:
    contents = {key: cifar100_file(*arrays(key, 100)) for key in SIZES}
    folder = write("cifar-100-python", contents)
    options = Options("official", data_dir=folder, download=False)
    data = cifar100_generator.load(options, digested(cifar100_generator.SOURCE, contents), SIZES, held_out=5)
    check(data, 100, "cifar100")
    assert data.class_names[0] == "apple"
    assert data.class_names[-1] == "worm"


def test_svhn(write: Callable[..., Path]) -> None:
    contents = {f"{key}_32x32.mat": svhn_file(*arrays(key, 10)) for key in SIZES}
    folder = write("svhn", contents)
    options = Options("official", data_dir=folder, download=False)
    data = svhn_generator.load(options, digested(svhn_generator.SOURCE, contents), held_out=5)
    check(data, 10, "svhn")


def test_the_official_digests_are_asked_for(write: Callable[..., Path]) -> None:
    folder = write("svhn", {f"{key}_32x32.mat": svhn_file(*arrays(key, 10)) for key in SIZES})
    with pytest.raises(DataError, match=r"train_32x32\.mat"):
        svhn_generator.load(Options("official", data_dir=folder, download=False))


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_svhn_fuzz(content: bytes) -> None:
    with pytest.raises(DataError, match="the-file"):
        parse_svhn(content, "the-file")


@given(st.integers(0, 5000), st.integers(0, 255))
@settings(max_examples=200)
def test_svhn_fuzz_of_a_valid_file(place: int, value: int) -> None:
    images, labels = arrays("test", 10)
    content = bytearray(svhn_file(images, labels))
    content[place % len(content)] = value
    with suppress_named("the-file"):
        found, numbers = parse_svhn(bytes(content), "the-file")
        assert found.shape == (len(numbers), 3, 32, 32)
        assert numbers.max() < 10


@pytest.mark.parametrize("change", [{"X": np.zeros((32, 32, 3, 4))}, {"y": np.full((4, 1), 11, np.uint8)}])
def test_svhn_of_other_contents(change: dict[str, np.ndarray]) -> None:
    file = io.BytesIO()
    scipy.io.savemat(file, {"X": np.zeros((32, 32, 3, 4), np.uint8), "y": np.ones((4, 1), np.uint8)} | change)
    with pytest.raises(DataError, match="uint8 \\(32, 32, 3, N\\) and N of 1 to 10 are expected"):
        parse_svhn(file.getvalue(), "the-file")
