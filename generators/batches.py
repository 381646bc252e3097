"""Batches from images in memory: shuffled, augmented and turned into floats a batch at a time, on one device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from generators.augment import Augment, Draw, named_augment
from generators.data import Split
from generators.errors import DataError

Batch = tuple[torch.Tensor, torch.Tensor]
Statistics = float | Sequence[float] | None
_SHUFFLE, _AUGMENT, _SIDE = 0, 1, 2  # separate random streams: augmentation leaves the order of the images alone


class BatchLoader:
    """Iterates over a split as (images (B, C, H, W) float32, labels (B,) int64).

    Pixels lie in [0, 1], or are (pixel - mean) / std where statistics are given. Order and augmentation depend on
    ``seed`` and the epoch of :meth:`set_epoch` alone, not on what was iterated before, the device, the batch size or
    the number of replicas: a resumed run sees what an uninterrupted one would have seen.

    Args:
        split: the images and labels; uint8 is what is kept on ``device``.
        batch_size: images in a batch; the last batch may be smaller.
        shuffle: visit the images in a random order, another one each epoch.
        seed: seed of order and augmentation.
        augment: an :class:`Augment`, or a name of :data:`generators.AUGMENTS`.
        mean: mean to subtract, one number or one a channel.
        std: standard deviation to divide by, likewise.
        device: where the batches are made.
        drop_last: leave the last batch out where it is smaller.
        num_replicas: number of processes that share the images; each gets every ``num_replicas``-th one of the common
            order, which is filled up from its beginning so that all get equally many (as DistributedSampler does).
        rank: number of this process.
        image_size: side to which the batches are resized, after augmentation.

    Example:
        >>> from generators import load_data
        >>> data = load_data("digits")
        >>> loader = BatchLoader(data.train, 256, shuffle=True, augment="crop")
        >>> loader.set_epoch(3)
        >>> images, labels = next(iter(loader))
        >>> images.shape, images.dtype
        (torch.Size([256, 1, 8, 8]), torch.float32)
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        augment: Augment | str | None = None,
        mean: Statistics = None,
        std: Statistics = None,
        device: torch.device | str = "cpu",
        drop_last: bool = False,
        num_replicas: int = 1,
        rank: int = 0,
        image_size: int | None = None,
    ) -> None:
        if batch_size < 1:
            raise DataError(f"the batch size must be at least 1, not {batch_size}")
        if not 0 <= rank < num_replicas:
            raise DataError(f"the rank must lie between 0 and {num_replicas - 1}, not at {rank}")
        self.split = split.to(device)
        self.batch_size, self.shuffle, self.seed, self.drop_last = batch_size, shuffle, seed, drop_last
        self.num_replicas, self.rank, self.epoch = num_replicas, rank, 0
        self.image_size = image_size
        size = (int(split.images.shape[2]), int(split.images.shape[3]))
        self.augment = named_augment(augment, size) if isinstance(augment, str) else augment
        channels = int(split.images.shape[1])
        self.mean = _per_channel(mean, channels, "mean", device)
        self.std = _per_channel(std, channels, "std", device)
        if self.std is not None and not bool((self.std > 0).all()):
            raise DataError("the standard deviation of every channel must be positive")

    @property
    def num_samples(self) -> int:
        """Images that one pass visits in this process, with those that ``drop_last`` leaves out."""
        return -(-len(self.split) // self.num_replicas)

    @property
    def sampler(self) -> BatchLoader:
        """The loader itself: Lightning calls ``loader.sampler.set_epoch(epoch)`` at the beginning of every epoch."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order and augmentation the next pass follows."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Number of batches."""
        full, rest = divmod(self.num_samples, self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Batch]:
        device = self.split.images.device
        order = self._order()
        draw = self._draw(order)
        order = order.to(device) if order is not None else None
        draw = draw.map(lambda tensor: tensor.to(device)) if draw is not None else None
        for number in range(len(self)):
            rows = slice(number * self.batch_size, min((number + 1) * self.batch_size, self.num_samples))
            if order is None:
                images, labels = self.split.images[rows], self.split.labels[rows]
            else:
                images = self.split.images.index_select(0, order[rows])
                labels = self.split.labels.index_select(0, order[rows])
            if self.augment is not None and draw is not None:
                images = self.augment.apply(images, draw[rows])
            yield self._to_float(images), labels

    def _to_float(self, images: torch.Tensor) -> torch.Tensor:
        pixels = images.to(torch.float32, memory_format=torch.contiguous_format).div_(255)
        if self.mean is not None:
            pixels.sub_(self.mean)
        if self.std is not None:
            pixels.div_(self.std)
        return resized(pixels, self.image_size)

    def _order(self) -> torch.Tensor | None:
        """Indices of this pass; None where it is simply all images from first to last."""
        count = len(self.split)
        if self.shuffle:
            order = torch.randperm(count, generator=self._generator(_SHUFFLE))
        elif self.num_replicas > 1:
            order = torch.arange(count)
        else:
            return None
        return self._share(order)

    def _draw(self, order: torch.Tensor | None) -> Draw | None:
        if self.augment is None:
            return None
        height, width = self.split.images.shape[2:]
        draw = self.augment.draw(len(self.split), (height, width), self._generator(_AUGMENT)).map(self._share)
        if self.augment.flip != "alternate":
            return draw
        side = torch.rand(len(self.split), generator=self._generator(_SIDE, epoch=0)) < 0.5
        return replace(draw, flip=(side if order is None else side[order]) ^ bool(self.epoch % 2))

    def _share(self, everything: torch.Tensor) -> torch.Tensor:
        """This process's part of a tensor that has one row for each image, filled up from the beginning."""
        if self.num_replicas == 1:
            return everything
        positions = torch.arange(self.rank, self.num_samples * self.num_replicas, self.num_replicas)
        return everything[positions % len(everything)]

    def _generator(self, stream: int, epoch: int | None = None) -> torch.Generator:
        epoch = self.epoch if epoch is None else epoch
        mixed = np.random.SeedSequence([self.seed, epoch, stream]).generate_state(1, np.uint64)
        return torch.Generator().manual_seed(int(mixed[0] >> np.uint64(1)))


def resized(images: torch.Tensor, image_size: int | None) -> torch.Tensor:
    """Float images ``(B, C, H, W)`` of that side, bilinear with antialiasing; None leaves them as they are."""
    if image_size is None or images.shape[-2:] == (image_size, image_size):
        return images
    side = (image_size, image_size)
    return torch.nn.functional.interpolate(images, side, mode="bilinear", antialias=True)


def _per_channel(values: Statistics, channels: int, name: str, device: torch.device | str) -> torch.Tensor | None:
    if values is None:
        return None
    tensor = torch.as_tensor(values, dtype=torch.float32, device=device).flatten()
    if len(tensor) not in (1, channels):
        raise DataError(f"{name} takes one number or one for each of the {channels} channels, not {len(tensor)}")
    return tensor.view(1, -1, 1, 1)
