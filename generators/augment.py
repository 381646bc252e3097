"""Standard augmentation of whole batches: random crop after padding, horizontal flip, cutout.

The random numbers of an epoch are drawn at once, on the CPU, so that they are the same whatever the device and the
batch size; a batch is then made by one gather. Sources: crop and flip, He et al. 2016 (arXiv 1512.03385, section 4.2);
alternating flip, Jordan 2024 (arXiv 2404.00498); cutout, DeVries and Taylor 2017 (arXiv 1708.04552).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from generators.errors import DataError

PADDINGS = ("zero", "reflect")
FLIPS = (False, True, "alternate")


@dataclass(frozen=True)
class Augment:
    """What is done to each training image.

    Attributes:
        pad: pixels of padding on every side before a crop of the original size is taken at random; 0: no crop.
        flip: mirror left and right with probability one half; "alternate" draws each image's side once and mirrors it
            in every second epoch, so that two epochs show both sides of every image.
        cutout: side of a black square at a random centre, in pixels; 0: none.
        padding: "zero" or "reflect" (the edge pixel is not repeated).
    """

    pad: int = 0
    flip: bool | str = False
    cutout: int = 0
    padding: str = "zero"

    def __post_init__(self) -> None:
        if self.padding not in PADDINGS:
            raise DataError(f"no padding is called {self.padding!r}; choose one of {', '.join(PADDINGS)}")
        if self.flip not in FLIPS:
            raise DataError(f'flip must be True, False or "alternate", not {self.flip!r}')
        if self.pad < 0 or self.cutout < 0:
            raise DataError(f"padding and cutout count pixels and cannot be negative ({self.pad}, {self.cutout})")

    def draw(self, count: int, size: tuple[int, int], generator: torch.Generator) -> Draw:
        """The random choices for ``count`` images of (height, width) ``size``.

        Every array is drawn even if unused, so that switching one part off leaves the others as they were.
        """
        shift = torch.randint(2 * self.pad + 1, (count, 2), generator=generator) - self.pad
        flip = torch.rand(count, generator=generator) < 0.5
        centre = (torch.rand(count, 2, generator=generator) * torch.tensor(size)).long()
        return Draw(shift, flip, centre)

    def apply(self, images: torch.Tensor, draw: Draw) -> torch.Tensor:
        """Augment a batch.

        Args:
            images: (B, C, H, W) uint8, left as they are.
            draw: the choices for these images, on the same device.

        Returns:
            (B, C, H, W) uint8.
        """
        height, width = images.shape[-2:]
        if self.padding == "reflect" and self.pad >= min(height, width):
            raise DataError(f"reflection by {self.pad} pixels needs images above {height}x{width}; use zero padding")
        if self.pad or self.flip:
            images = self._crop_and_flip(images, draw)
        if self.cutout:
            rows = _window(height, draw.centre[:, 0], self.cutout)
            columns = _window(width, draw.centre[:, 1], self.cutout)
            images = images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)
        return images

    def _crop_and_flip(self, images: torch.Tensor, draw: Draw) -> torch.Tensor:
        height, width = images.shape[-2:]
        rows = torch.arange(height, device=images.device) + draw.shift[:, :1]  # (B, H)
        columns = torch.arange(width, device=images.device).expand(len(images), -1)  # (B, W)
        if self.flip:
            columns = torch.where(draw.flip[:, None], width - 1 - columns, columns)
        columns = columns + draw.shift[:, 1:]
        if self.padding == "reflect":
            rows, columns = _reflect(rows, height), _reflect(columns, width)
        elif self.pad:
            images = F.pad(images, (self.pad,) * 4)
            rows, columns = rows + self.pad, columns + self.pad
        pixels = rows[:, :, None] * images.shape[-1] + columns[:, None, :]  # (B, H, W)
        index = pixels.flatten(1)[:, None].expand(-1, images.shape[1], -1)  # (B, C, H * W)
        return images.flatten(2).gather(2, index).view(len(images), -1, height, width)


@dataclass(frozen=True, eq=False)
class Draw:
    """Random choices for N images: ``shift`` (N, 2) rows and columns, ``flip`` (N,) bool, ``centre`` (N, 2)."""

    shift: torch.Tensor
    flip: torch.Tensor
    centre: torch.Tensor

    def map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> Draw:
        """The choices after ``function`` on each of the tensors."""
        return Draw(function(self.shift), function(self.flip), function(self.centre))

    def __getitem__(self, rows: slice) -> Draw:
        return self.map(lambda tensor: tensor[rows])


def _reflect(index: torch.Tensor, size: int) -> torch.Tensor:
    return (size - 1) - ((size - 1) - index.abs()).abs()


def _window(size: int, centre: torch.Tensor, side: int) -> torch.Tensor:
    """(B, size) bool: the pixels of an axis in a window of ``side`` about the centre (B,), cut at the edges."""
    start = centre[:, None] - side // 2
    position = torch.arange(size, device=centre.device)
    return (position >= start) & (position < start + side)


# Strengths that are usual for 32x32, in proportion for other sizes: (pad, cutout) as fractions of the shorter side.
_NAMED: dict[str, tuple[int, bool | str, int, str]] = {
    "crop": (8, False, 0, "zero"),
    "flip": (0, True, 0, "zero"),
    "crop_flip": (8, True, 0, "zero"),
    "crop_reflect": (8, False, 0, "reflect"),
    "crop_flip_reflect": (8, True, 0, "reflect"),
    "crop_flip_cutout": (8, True, 2, "zero"),
    "crop_alternate_reflect": (16, "alternate", 0, "reflect"),
}
AUGMENTS = tuple(_NAMED)


def named_augment(name: str, img_size: int | tuple[int, int]) -> Augment:
    """The augmentation of a name in :data:`AUGMENTS`, with pad and cutout in proportion to the shorter side."""
    if name not in _NAMED:
        raise DataError(f"no augmentation is called {name!r}; choose one of {', '.join(AUGMENTS)}")
    side = img_size if isinstance(img_size, int) else min(img_size)
    pad, flip, cutout, padding = _NAMED[name]
    return Augment(max(1, side // pad) if pad else 0, flip, side // cutout if cutout else 0, padding)
