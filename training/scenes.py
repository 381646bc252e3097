"""Scenes for segmentation: real images at random places on a noisy canvas, with the silhouettes as truth."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from generators import DataError, Split

THRESHOLD = 25
"""Pixels above this value, of 255, belong to the silhouette: compression noise of Fashion-MNIST's ground lies below."""
_GROUND, _NOISE = 160.0, 12.0  # largest value of the ground, standard deviation of the noise


@dataclass(frozen=True, eq=False)
class Scenes:
    """Scenes and their truth: ``images`` (N, C, size, size) uint8, ``masks`` (N, 1, size, size) bool."""

    images: Tensor
    masks: Tensor

    def __len__(self) -> int:
        return len(self.images)


def make_scenes(split: Split, count: int, size: int = 64, objects: int = 4, seed: int = 0) -> Scenes:
    """Compose scenes of random images of a split.

    The ground is a linear gradient between two random grays. Later objects cover earlier ones. Noise covers everything,
    so that neither brightness nor texture alone tells object from ground.

    Args:
        split: images whose ground is black.
        count: number of scenes.
        size: side of a scene in pixels.
        objects: images in each scene.
        seed: decides everything.

    Raises:
        DataError: the images are larger than the scene.

    >>> from generators import load_data
    >>> scenes = make_scenes(load_data("digits").train, 5, size=24)
    >>> scenes.images.shape, scenes.masks.shape
    (torch.Size([5, 1, 24, 24]), torch.Size([5, 1, 24, 24]))
    """
    channels, height, width = split.images.shape[1:]
    if size < max(height, width):
        raise DataError(f"scenes of {size} x {size} pixels cannot hold images of {height} x {width}; use a larger size")
    generator = torch.Generator().manual_seed(seed)
    canvas = _ground(count, size, generator)[..., None].repeat(1, 1, 1, channels)  # (N, size, size, C)
    masks = torch.zeros(count, size, size, dtype=torch.bool)
    scene = torch.arange(count)[:, None, None]
    for _ in range(objects):
        images = split.images[torch.randint(len(split), (count,), generator=generator)]  # (N, C, h, w)
        silhouette = images.amax(1) > THRESHOLD  # (N, h, w)
        top = torch.randint(size - height + 1, (count, 1, 1), generator=generator)
        left = torch.randint(size - width + 1, (count, 1, 1), generator=generator)
        place = (scene, top + torch.arange(height)[:, None], left + torch.arange(width))
        canvas[place] = torch.where(silhouette[..., None], images.permute(0, 2, 3, 1).float(), canvas[place])
        masks[place] |= silhouette
    canvas += _NOISE * torch.randn(canvas.shape, generator=generator)
    return Scenes(canvas.round().clamp(0, 255).to(torch.uint8).permute(0, 3, 1, 2).contiguous(), masks[:, None])


def _ground(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Linear gradients ``(N, size, size)`` in random directions."""
    start, end = _GROUND * torch.rand(2, count, 1, 1, generator=generator)
    angle = 2 * torch.pi * torch.rand(count, 1, 1, generator=generator)
    axis = torch.linspace(-0.5, 0.5, size)
    slope = angle.sin() * axis[:, None] + angle.cos() * axis
    share = slope / (2 * slope.abs().amax((1, 2), keepdim=True)) + 0.5
    ground: Tensor = start + (end - start) * share
    return ground
