"""Data of the codec's experiments, each a function without arguments that gives batches (inputs, labels).

Images of the official training split serve calibration and validation, in disjoint parts drawn with a seed; the
official test split serves figures only. The ResNets of the shared data were trained on all of the training split, so a
validation *accuracy* of theirs is too high; drops and divergences against the original network are what it is for.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torchvision.datasets import ImageFolder
from torchvision.transforms import CenterCrop, Compose, PILToTensor

from generators import BatchLoader, Data, Split, load_data

from .minilm import tokenizer
from .places import locate

Batch = tuple[Tensor, Tensor]

CALIBRATION = 2048
BATCH = 250
# ImageNet's statistics, which the CIFAR-10 ResNets of the shared data were trained with as well.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MNIST_MEAN, MNIST_STD = (0.1307,), (0.3081,)
FASHION_MEAN, FASHION_STD = (0.2860,), (0.3530,)
_STATISTICS = {
    "cifar10": (IMAGENET_MEAN, IMAGENET_STD),
    "mnist": (MNIST_MEAN, MNIST_STD),
    "fashion_mnist": (FASHION_MEAN, FASHION_STD),
}


@cache
def _data(name: str) -> Data:
    return load_data(name, split="official", download=False)


def loader(name: str, part: str, **options: object) -> BatchLoader:
    """Batches of the "train" (45,000 or 55,000), "calibration", "validation" or "test" part of an image data set.

    Args:
        name: "cifar10", "mnist" or "fashion_mnist".
        part: the part; the calibration images are the first of a seeded shuffle of the training part.
        options: further arguments of :class:`generators.BatchLoader`.
    """
    data = _data(name)
    mean, std = _STATISTICS[name]
    split = (
        _rows(data.train, _shuffled(len(data.train))[:CALIBRATION]) if part == "calibration" else getattr(data, part)
    )
    return BatchLoader(split, **{"batch_size": BATCH, "mean": mean, "std": std, **options})  # type: ignore[arg-type]


def _shuffled(count: int, seed: int = 0) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def _rows(split: Split, rows: Tensor) -> Split:
    """The images of these positions, or where a mask is true."""
    return Split(split.images[rows], split.labels[rows])


def cifar10_train() -> BatchLoader:
    """45,000 CIFAR-10 training images, shuffled, not augmented, normalised as the shared ResNets take them."""
    return loader("cifar10", "train", shuffle=True)


def cifar10_calibration() -> BatchLoader:
    """2,048 of them, whose labels calibration does not look at."""
    return loader("cifar10", "calibration", batch_size=128)


def cifar10_validation() -> BatchLoader:
    """The 5,000 other training images."""
    return loader("cifar10", "validation")


def cifar10_test() -> BatchLoader:
    """The official test split, 10,000 images."""
    return loader("cifar10", "test")


def mnist_train() -> BatchLoader:
    """MNIST's training images without those of validation."""
    return loader("mnist", "train")


def mnist_calibration() -> BatchLoader:
    """768 MNIST training images (B, 1, 28, 28)."""
    return loader("mnist", "calibration", batch_size=128)


def mnist_validation() -> BatchLoader:
    """5,000 other MNIST training images."""
    return loader("mnist", "validation")


def mnist_test() -> BatchLoader:
    """The official MNIST test split, 10,000 images."""
    return loader("mnist", "test")


def fashion_mnist_calibration() -> BatchLoader:
    """768 Fashion-MNIST training images (B, 1, 28, 28)."""
    return loader("fashion_mnist", "calibration", batch_size=128)


def fashion_mnist_validation() -> BatchLoader:
    """5,000 other Fashion-MNIST training images."""
    return loader("fashion_mnist", "validation")


def fashion_mnist_test() -> BatchLoader:
    """The official Fashion-MNIST test split, 10,000 images."""
    return loader("fashion_mnist", "test")


def imagenet_sample() -> BatchLoader:
    """The 1,000 images of the shared ImageNet sample, centre crops of 224 pixels: to compare with the original net."""
    return _imagenet(_imagenet_crops())


def imagenet_calibration() -> BatchLoader:
    """Every fourth image of the sample, 250 images."""
    crops = _imagenet_crops()
    return _imagenet(_rows(crops, torch.arange(len(crops)) % 4 == 0))


def imagenet_test() -> BatchLoader:
    """The other 750 images."""
    crops = _imagenet_crops()
    return _imagenet(_rows(crops, torch.arange(len(crops)) % 4 != 0))


def _imagenet(split: Split) -> BatchLoader:
    return BatchLoader(split, 50, mean=IMAGENET_MEAN, std=IMAGENET_STD)


@cache
def _imagenet_crops() -> Split:
    """What torchvision's transform for these weights crops; the sample's shorter side is 256 pixels, as it takes it."""
    crop = Compose([CenterCrop(224), PILToTensor()])
    images, labels = zip(*ImageFolder(str(locate("imagenet-sample")), crop), strict=True)
    return Split(torch.stack(images), torch.tensor(labels))


def sst2_train() -> list[Batch]:
    """The 6,920 training sentences, shuffled: token numbers (B, T), 0 for padding, and 1 for praise, 0 for blame."""
    return sst2("train", seed=0)


def sst2_calibration() -> list[Batch]:
    """256 of them, cut to their first 32 tokens: calibration takes batches of one shape, and padding for input."""
    long = [(tokens, label) for tokens, label in _sentences("train", 32) if len(tokens) == 32]
    chosen = [long[number] for number in _shuffled(len(long))[:256]]
    return [_collate(chosen[start : start + 32]) for start in range(0, len(chosen), 32)]


def sst2_validation() -> list[Batch]:
    """The 872 sentences of the development set."""
    return sst2("dev")


def sst2_test() -> list[Batch]:
    """The 1,821 sentences of the test set."""
    return sst2("test")


def sst2(part: str, batch_size: int = 32, seed: int | None = None) -> list[Batch]:
    """Batches of sentences of similar length, so that little is padding.

    Args:
        part: "train", "dev" or "test".
        batch_size: sentences in a batch.
        seed: of the order of the batches and of the sentences of equal length; None: from short to long.
    """
    sentences = _sentences(part)
    draw = random.Random(seed)
    order = sorted(sentences, key=lambda row: (len(row[0]), seed is not None and draw.random()))
    batches = [_collate(order[start : start + batch_size]) for start in range(0, len(order), batch_size)]
    if seed is not None:
        draw.shuffle(batches)
    return batches


def _sentences(part: str, longest: int = 128) -> list[tuple[Tensor, int]]:
    """Tokens and label of each sentence, in the order of the file."""
    lines = locate(f"sst2/{part}.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.rsplit("\t", 1) for line in lines]
    return [(torch.tensor(tokenizer()(text, longest)), int(label)) for text, label in rows]


def _collate(rows: Sequence[tuple[Tensor, int]]) -> Batch:
    return pad_sequence([tokens for tokens, _ in rows], batch_first=True), torch.tensor([label for _, label in rows])
