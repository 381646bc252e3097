"""A feature pyramid on a timm backbone, trained to find the foreground.

Source: "Feature Pyramid Networks for Object Detection", Lin et al., arXiv 1612.03144; the pyramid is torchvision's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import timm
import timm.optim
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.ops import FeaturePyramidNetwork

import wavpool  # noqa: F401  (registers its models in timm)
from training.config import ConfigError
from training.pretrained import check_model, pretrained_kwargs

if TYPE_CHECKING:
    from training.scenes import Scenes
    from training.segment import SegmentConfig


class Pyramid(nn.Module):
    """A backbone's feature maps, joined by a feature pyramid; a 1 x 1 head on the finest gives one logit per pixel.

    Args:
        backbone: made by ``timm.create_model(..., features_only=True)``.
        channels: of the pyramid.
        mean, std: of the pixels from 0 to 255, which are normalised by them.

    Shape:
        ``(B, C, H, W)`` with values from 0 to 255 to ``(B, 1, H, W)``.

    >>> backbone = timm.create_model("wavpool_femto", features_only=True)
    >>> Pyramid(backbone)(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 1, 64, 64])
    """

    backbone: Any  # torch types every attribute as Tensor or Module; feature_info is neither

    def __init__(self, backbone: nn.Module, channels: int = 32, mean: float = 0.0, std: float = 255.0) -> None:
        super().__init__()
        self.backbone, self.mean, self.std = backbone, mean, std
        self.fpn = FeaturePyramidNetwork(self.backbone.feature_info.channels(), channels)
        for coarser in range(1, len(self.fpn.layer_blocks)):
            self.fpn.layer_blocks[coarser] = nn.Identity()  # only the finest map is read
        self.head = nn.Conv2d(channels, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the foreground."""
        maps = self.backbone((images - self.mean) / self.std)
        finest = self.fpn({str(number): each for number, each in enumerate(maps)})["0"]
        return F.interpolate(self.head(finest), images.shape[-2:], mode="bilinear", align_corners=False)


def build_pyramid(config: SegmentConfig, scenes: Scenes) -> Pyramid:
    """Build the pyramid of ``config`` for scenes like these; raises ConfigError where the backbone does not fit."""
    name = config.backbone
    check_model(name)
    arguments: dict[str, Any] = {"in_chans": scenes.images.shape[1]}
    if config.pretrained or config.checkpoint is not None:
        arguments |= pretrained_kwargs(name, config.checkpoint)
    default = timm.get_pretrained_cfg(name, allow_unregistered=True)
    if default is not None and default.fixed_input_size:
        arguments["img_size"] = config.size
    pixels = scenes.images.float()
    try:
        taps = _taps(name, config.finest)
        backbone = timm.create_model(name, features_only=True, out_indices=taps, **arguments)
        model = Pyramid(backbone, config.channels, float(pixels.mean()), float(pixels.std()))
        with torch.inference_mode():
            model.eval()(pixels[:1])
    except (AttributeError, TypeError, ValueError, RuntimeError, AssertionError, IndexError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"backbone '{name}' gives no pyramid of {config.size} x {config.size}: {reason}") from error
    return model.train()


def _taps(name: str, finest: int) -> list[int]:
    """The last tap of every reduction from ``finest`` on, which puts all backbones on an equal footing."""
    model: Any = timm.create_model(name)
    info = model.feature_info
    reductions = [each["reduction"] for each in getattr(info, "info", info)]
    last = {reduction: index for index, reduction in enumerate(reductions) if reduction >= finest}
    if len(last) < 2:
        raise ValueError(f"it has fewer than two feature maps of reduction {finest} or more (it has {reductions})")
    return sorted(last.values())


def fit_pyramid(model: Pyramid, scenes: Scenes, config: SegmentConfig) -> list[float]:
    """Train by AdamW with a one-cycle schedule on the binary cross-entropy of the pixels; returns each epoch's loss."""
    optimizer = timm.optim.create_optimizer_v2(model, "adamw", config.lr, config.weight_decay)
    steps = config.epochs * -(-len(scenes) // config.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=steps)
    generator = torch.Generator().manual_seed(config.seed)
    losses = []
    for _ in range(config.epochs):
        total = 0.0
        for rows in torch.randperm(len(scenes), generator=generator).split(config.batch_size):
            loss = F.binary_cross_entropy_with_logits(model(scenes.images[rows].float()), scenes.masks[rows].float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        losses.append(total / len(scenes))
    model.eval()
    return losses


@torch.inference_mode()
def predict_masks(model: nn.Module, images: Tensor, batch_size: int = 32) -> Tensor:
    """Predicted foreground ``(N, 1, H, W)`` bool of images ``(N, C, H, W)`` uint8."""
    return torch.cat([model(batch.float()) > 0 for batch in images.split(batch_size)])


def foreground_iou(model: nn.Module, scenes: Scenes, batch_size: int = 32) -> float:
    """Intersection over union of predicted and true foreground, over the pixels of all scenes together."""
    predicted = predict_masks(model, scenes.images, batch_size)
    return float((predicted & scenes.masks).sum() / (predicted | scenes.masks).sum())


def macs(model: nn.Module, images: Tensor) -> float:
    """Multiply-adds of a forward pass, by torch's counter."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(images)
    return float(counter.get_total_flops()) / 2


def draw(model: nn.Module, scenes: Scenes, path: str | Path, title: str, count: int = 6) -> None:
    """Draw the first scenes as PNG: image, truth and prediction, one row each."""
    from matplotlib.figure import Figure

    from wavpool.pages import save_png

    images = scenes.images[:count]
    rows = {"scene": images, "truth": scenes.masks[:count], "prediction": predict_masks(model, images)}
    figure = Figure(figsize=(1.5 * len(images), 4.8), layout="constrained")
    grid = figure.subplots(len(rows), len(images), squeeze=False)
    for axes, (name, pictures) in zip(grid, rows.items(), strict=True):
        for each, picture in zip(axes, pictures, strict=True):
            shown = picture.expand(3, -1, -1).permute(1, 2, 0)
            each.imshow(shown if shown.dtype == torch.uint8 else shown.float())
            each.set(xticks=[], yticks=[])
        axes[0].set_ylabel(name)
    figure.suptitle(title)
    save_png(figure, path)
