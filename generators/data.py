"""What a generator hands out: three splits of uint8 images in memory, and the options that chose them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from generators.errors import DataError

SPLITS = ("paper", "official", "whole")
COLORS = ("gray", "rgb")
Limit = tuple[int, int, int]


@dataclass(frozen=True)
class Options:
    """How to load a data set; see :func:`generators.load_data` for the meaning of each field."""

    split: str = "paper"
    color: str | None = None
    data_dir: str | os.PathLike[str] | None = None
    download: bool = True
    limit: Limit | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise DataError(f"no split is called {self.split!r}; choose one of {', '.join(SPLITS)}")
        if self.color is not None and self.color not in COLORS:
            raise DataError(f"no colour is called {self.color!r}; choose one of {', '.join(COLORS)}, or none")
        if not 0 <= self.seed < 2**32:
            raise DataError(f"the seed must lie between 0 and 2**32 - 1, not {self.seed}")
        sizes: tuple[int, ...] = (1, 1, 1) if self.limit is None else tuple(self.limit)
        if len(sizes) != 3 or min(sizes) < 1:
            raise DataError(f"limit takes three sizes of at least 1 (train, validation, test), not {self.limit}")


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set.

    Attributes:
        images: (N, C, H, W) uint8.
        labels: (N,) int64.
    """

    images: torch.Tensor
    labels: torch.Tensor

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise ValueError(f"images must be uint8 (N, C, H, W), not {self.images.dtype} {tuple(self.images.shape)}")
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(f"labels must be int64 ({len(self.images)},), not {tuple(self.labels.shape)}")

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> Split:
        """The same split on another device."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def mean_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Per-channel mean and standard deviation of the pixels in [0, 1], exact: from a histogram of their values."""
        values = torch.arange(256, dtype=torch.float64) / 255
        means, stds = [], []
        for channel in range(self.images.shape[1]):
            counts = torch.bincount(self.images[:, channel].flatten(), minlength=256).double().cpu()
            share = counts / counts.sum()
            mean = float(share @ values)
            means.append(mean)
            stds.append(float(share @ (values - mean) ** 2) ** 0.5)
        return tuple(means), tuple(stds)


@dataclass(frozen=True, eq=False)
class Data:
    """A data set in three parts.

    Attributes:
        name: one of :data:`generators.DATASETS`.
        train, validation, test: the parts.
        class_names: the name of each class, in the order of the labels.
        source: the folder (or package) that the images were read from.
        options: the options that they were loaded with.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    source: str
    options: Options

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def in_chans(self) -> int:
        """Number of channels."""
        return int(self.train.images.shape[1])

    @property
    def img_size(self) -> int | tuple[int, int]:
        """The side of square images, else (height, width)."""
        height, width = self.train.images.shape[2:]
        return height if height == width else (height, width)


def to_split(images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], color: str | None) -> Split:
    """Turn arrays that nobody else holds, uint8 (N, C, H, W) and integers (N,), into a split of the colour wanted."""
    tensor = torch.from_numpy(np.ascontiguousarray(images))
    if color == "gray" and tensor.shape[1] == 3:
        tensor = to_gray(tensor)
    elif color == "rgb" and tensor.shape[1] == 1:
        tensor = tensor.expand(-1, 3, -1, -1)
    return Split(tensor, torch.from_numpy(labels.astype(np.int64)))


def to_gray(images: torch.Tensor) -> torch.Tensor:
    """ITU-R 601 luma in Pillow's integer arithmetic: equal to ``Image.convert("L")`` in every pixel.

    Args:
        images: (N, 3, H, W) uint8.

    Returns:
        (N, 1, H, W) uint8.
    """
    gray = torch.empty_like(images[:, :1])
    # In pieces, because the int32 intermediates are four times as large as the images.
    for out, piece in zip(gray.split(1024), images.split(1024), strict=True):
        red, green, blue = piece.to(torch.int32).unbind(1)
        out[:, 0] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
    return gray


def check_sizes(asked: Sequence[int], available: Sequence[int], what: str) -> None:
    """Raise DataError where a part is asked to be larger than it is."""
    for part, wanted, present in zip(("training", "validation", "test"), asked, available, strict=True):
        if wanted > present:
            raise DataError(f"limit asks for {wanted:,} {part} images, but {what} has {present:,}; lower the limit")
