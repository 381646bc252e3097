"""The real data sets: known images, splits against file order, gray against Pillow, both forms of CIFAR-10."""

from __future__ import annotations

import gzip
import hashlib
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from generators import DATASETS, DataError, cifar_generator, load_data, mnist_generator
from generators.data import Options
from generators.files import DataFile

PARTS = ("train", "validation", "test")
KNOWN = {  # first labels of the training split and of the test split, side, channels
    "mnist": ([5, 0, 4, 1, 9, 2, 1, 3], [7, 2, 1, 0, 4], 28, 1),
    "fashion_mnist": ([9, 0, 0, 3, 0, 2, 7, 2], [9, 2, 1, 1, 6], 28, 1),
    "cifar10": ([6, 9, 9, 4, 1, 1, 2, 7], [3, 8, 8, 0, 6], 32, 3),
}
MNIST_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


@pytest.fixture(params=KNOWN)
def name(request, find_data):
    """A data set whose files are there."""
    find_data({"mnist": "mnist", "fashion_mnist": "fashion-mnist", "cifar10": "cifar-10-batches-bin"}[request.param])
    return request.param


def whole_training_split(name, find_data) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of the official training split in file order, read independently of the code under test."""
    if name == "cifar10":
        folder = find_data("cifar-10-batches-bin")
        rows = np.concatenate(
            [np.fromfile(folder / f"data_batch_{i}.bin", np.uint8).reshape(-1, 3073) for i in range(1, 6)]
        )
        return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0]
    folder = find_data("mnist" if name == "mnist" else "fashion-mnist")
    content = gzip.decompress((folder / "train-images-idx3-ubyte.gz").read_bytes())
    count, height, width = struct.unpack(">3I", content[4:16])
    labels = gzip.decompress((folder / "train-labels-idx1-ubyte.gz").read_bytes())[8:]
    images = np.frombuffer(content, np.uint8, offset=16).reshape(count, 1, height, width)
    return images, np.frombuffer(labels, np.uint8)


def test_paper_split_is_file_order(name, find_data):
    images, labels = whole_training_split(name, find_data)
    for limit, ends in ((None, (10_000, 14_000, 18_000)), ((4_000, 2_000, 2_000), (4_000, 6_000, 8_000))):
        data = load_data(name, limit=limit, download=False)
        for part, first, last in zip(PARTS, (0, *ends[:2]), ends, strict=True):
            assert np.array_equal(getattr(data, part).images, images[first:last])
            assert np.array_equal(getattr(data, part).labels, labels[first:last])
    first_labels, _, side, channels = KNOWN[name]
    assert data.train.labels[:8].tolist() == first_labels
    assert (data.name, data.num_classes, data.in_chans, data.img_size) == (name, 10, channels, side)
    assert len(data.class_names) == 10
    assert data.options.limit == limit


def test_official_split(name, find_data):
    images, labels = whole_training_split(name, find_data)
    data = load_data(name, split="official", download=False)
    assert [len(getattr(data, part)) for part in PARTS] == [len(labels) - 5_000, 5_000, 10_000]
    assert data.test.labels[:5].tolist() == KNOWN[name][1]
    assert torch.bincount(data.test.labels).tolist() == [1_000] * 10 or name == "mnist"
    counts = torch.bincount(torch.cat([data.train.labels, data.validation.labels])).tolist()
    assert counts == np.bincount(labels).tolist()
    assert counts == (MNIST_COUNTS if name == "mnist" else [len(labels) // 10] * 10)
    held_out = np.sort(np.random.RandomState(0).permutation(len(labels))[:5_000])
    assert np.array_equal(data.validation.images, images[held_out])
    assert np.array_equal(data.train.labels, np.delete(labels, held_out))


def test_whole_split_trains_on_the_held_out_images_too(name, find_data):
    images, labels = whole_training_split(name, find_data)
    official, whole = (load_data(name, split=split, download=False) for split in ("official", "whole"))
    assert np.array_equal(whole.train.images, images)
    assert np.array_equal(whole.train.labels, labels)
    for part in ("validation", "test"):
        assert torch.equal(getattr(whole, part).images, getattr(official, part).images)


def test_seed_chooses_the_held_out_part(find_data):
    find_data("mnist")
    zero, one, again = (
        load_data("mnist", "official", limit=(9, 500, 9), seed=seed, download=False) for seed in (0, 1, 1)
    )
    assert torch.equal(one.validation.images, again.validation.images)
    assert not torch.equal(one.validation.images, zero.validation.images)
    assert torch.equal(one.test.images, zero.test.images)


def test_gray_cifar_equals_pillow(find_data):
    find_data("cifar-10-batches-bin")
    limit = (2_000, 50, 50)
    colour, gray = (load_data("cifar10", color=color, limit=limit, download=False) for color in (None, "gray"))
    for image, expected in zip(gray.train.images, colour.train.images, strict=True):
        assert np.array_equal(image[0], np.asarray(Image.fromarray(expected.permute(1, 2, 0).numpy()).convert("L")))
    assert gray.in_chans == 1
    assert colour.in_chans == 3


def test_gray_images_in_three_channels(find_data):
    find_data("mnist")
    gray, colour = (load_data("mnist", color=color, limit=(9, 9, 9), download=False) for color in (None, "rgb"))
    assert colour.in_chans == 3
    assert all(torch.equal(colour.test.images[:, i], gray.test.images[:, 0]) for i in range(3))


def test_plain_idx_files_equal_the_packed_ones(mnist_dir, tmp_path):
    for path in mnist_dir.glob("*.gz"):
        (tmp_path / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    packed, plain = (mnist_generator.load(Options("official", data_dir=folder)) for folder in (mnist_dir, tmp_path))
    assert plain.source == str(tmp_path)
    assert all(torch.equal(getattr(plain, part).images, getattr(packed, part).images) for part in PARTS)


def test_python_form_equals_the_binary_form(cifar10_dir, make_pickle, tmp_path):
    """A full batch of 10,000 images, written in the Python form from the binary one."""
    rows = np.fromfile(cifar10_dir / "data_batch_1.bin", np.uint8).reshape(-1, 3073)
    content = make_pickle(rows[:, 1:], rows[:, 0])
    (tmp_path / "data_batch_1").write_bytes(content)
    python = cifar_generator.PYTHON
    files = {**python.files, "data_batch_1": DataFile("data_batch_1", f"sha1:{hashlib.sha1(content).hexdigest()}")}
    source = replace(cifar_generator.SOURCE, forms=(replace(python, files=files),))
    options = Options(limit=(4_000, 2_000, 2_000), data_dir=tmp_path, download=False)
    binary, unpickled = load_data("cifar10", limit=options.limit, download=False), cifar_generator.load(options, source)
    for part in PARTS:
        assert torch.equal(getattr(unpickled, part).images, getattr(binary, part).images)
        assert torch.equal(getattr(unpickled, part).labels, getattr(binary, part).labels)


def test_one_altered_bit_of_the_real_files(mnist_dir, cifar10_dir, tmp_path):
    for folder, altered, name in (
        (mnist_dir, "train-labels-idx1-ubyte.gz", "mnist"),
        (cifar10_dir, "data_batch_2.bin", "cifar10"),
    ):
        target = tmp_path / name
        target.mkdir()
        for path in folder.iterdir():
            (target / path.name).symlink_to(path)
        content = bytearray((folder / altered).read_bytes())
        content[len(content) // 2] ^= 1
        (target / altered).unlink()
        (target / altered).write_bytes(content)
        with pytest.raises(DataError, match=f"{altered} is truncated or altered"):
            load_data(name, data_dir=target)


@pytest.mark.parametrize("split", ["paper", "official"])
def test_digits(split, cache, no_network):
    """The embedded set: no file, no network; 1,197 / 300 / 300, stratified, levels kept apart."""
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    data = load_data("digits", split)
    assert [len(getattr(data, part)) for part in PARTS] == [1_197, 300, 300]
    assert (data.in_chans, data.img_size, data.num_classes) == (1, 8, 10)
    assert no_network == []
    bunch = sklearn_datasets.load_digits()
    everything = torch.cat([getattr(data, part).images for part in PARTS])
    levels = everything.unique().tolist()
    assert len(levels) == 17
    assert levels[0] == 0
    assert levels[8] == 128
    assert levels[16] == 255
    assert np.abs(np.array(levels) / 255 - np.arange(17) / 16).max() <= 0.5 / 255 + 1e-12
    ours = sorted(image.tobytes() for image in np.searchsorted(levels, everything[:, 0].numpy()).astype(np.uint8))
    assert ours == sorted(image.tobytes() for image in bunch.images.astype(np.uint8))
    share = np.bincount(bunch.target) / len(bunch.target)
    for part in PARTS:
        labels = getattr(data, part).labels
        assert np.abs(np.bincount(labels.numpy()) - share * len(labels)).max() <= 2
    other = load_data("digits", split, seed=1)
    assert not torch.equal(other.test.images, data.test.images)
    assert torch.equal(load_data("digits", split, limit=(100, 20, 10)).train.images, data.train.images[:100])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"name": "imagenet"}, f"no data set is called 'imagenet'; choose one of {', '.join(DATASETS)}"),
        ({"split": "half"}, "no split is called 'half'; choose one of paper, official"),
        ({"color": "cmyk"}, "no colour is called 'cmyk'"),
        ({"limit": (1_198, 1, 1)}, "limit asks for 1,198 training images, but the split has 1,197"),
        ({"limit": (10, 10)}, "limit takes three sizes"),
        ({"limit": (10, 0, 10)}, "limit takes three sizes"),
        ({"seed": -1}, "the seed must lie between"),
    ],
)
def test_wrong_options(options, reason):
    with pytest.raises(DataError, match=reason):
        load_data(**({"name": "digits"} | options))


def test_limits_of_the_paper_s_split(find_data):
    find_data("mnist")
    with pytest.raises(DataError, match="limit asks for 5,000 validation images, but the paper's split has 4,000"):
        load_data("mnist", limit=(10_000, 5_000, 1_000), download=False)
