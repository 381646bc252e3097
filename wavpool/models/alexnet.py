"""AlexNet, its version with one tower, for large images and for small ones.

Paper: "One weird trick for parallelizing convolutional neural networks", Krizhevsky, arXiv 1404.5997.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from timm.layers import get_act_layer
from timm.models import register_model
from torch import nn

from ..layers.geometry import to_size
from ._base import FEATURE_CFG, ChainModel, Device, build, image_cfg
from ._blocks import Layer, dense_stage
from ._weights import default_cfgs_with_weights

__all__ = ["AlexNet"]

SMALL = 63  # pixels: below, a first convolution of stride 4 leaves no position for the last pooling
SMALLEST = 15


class AlexNet(ChainModel):
    """Five convolutions and three dense layers.

    The first convolution has stride 4. If a side of `img_size` is below 63 pixels, it has stride 1; the parameters
    are the same.

    Args:
        img_size: side or `(H, W)`, at least 15 x 15; it decides the first stride alone.
        in_chans, num_classes, global_pool, act_layer: as in timm.
        drop_rate: dropout before the first two dense layers; the paper trains with 0.5.

    Shape:
        `(B, in_chans, H, W)` to `(B, num_classes)`; features are `(B, 4096, 1, 1)`. Every stage is a tap.
    """

    def __init__(
        self,
        img_size: int | Sequence[int] = 32,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        act_layer: str | Layer = nn.ReLU,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_classes, in_chans, 0.0)
        size = to_size(img_size)
        if min(size) < SMALLEST:
            raise ValueError(f"AlexNet needs images of at least {SMALLEST} x {SMALLEST}, got {size[0]} x {size[1]}")
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        act = get_act_layer(act_layer)
        first, padding = (1, 5) if min(size) < SMALL else (4, 2)
        whole = max(size)
        pool = nn.AdaptiveAvgPool2d(6)
        self._set_stages(
            [
                ("conv1", _stage(nn.Conv2d(in_chans, 64, 11, first, padding, **dd), act, pool=True), 64, 2 * first),
                ("conv2", _stage(nn.Conv2d(64, 192, 5, padding=2, **dd), act, pool=True), 192, 4 * first),
                ("conv3", _stage(nn.Conv2d(192, 384, 3, padding=1, **dd), act), 384, 4 * first),
                ("conv4", _stage(nn.Conv2d(384, 256, 3, padding=1, **dd), act), 256, 4 * first),
                ("conv5", _stage(nn.Conv2d(256, 256, 3, padding=1, **dd), act, pool=True), 256, 8 * first),
                ("fc6", dense_stage(nn.Linear(256 * 36, 4096, **dd), act, drop_rate, pool), 4096, whole),
                ("fc7", dense_stage(nn.Linear(4096, 4096, **dd), act, drop_rate), 4096, whole),
            ]
        )
        self._set_head(global_pool, device, dtype)


def _stage(conv: nn.Module, act_layer: Layer, pool: bool = False) -> nn.Sequential:
    return nn.Sequential(OrderedDict(conv=conv, act=act_layer(), pool=nn.MaxPool2d(3, 2) if pool else nn.Identity()))


default_cfgs = default_cfgs_with_weights(
    {
        "alexnet.untrained": image_cfg(
            "stages.conv1.conv",
            min_input_size=(3, SMALLEST, SMALLEST),
            paper_ids="arXiv:1404.5997",
            paper_name="One weird trick for parallelizing convolutional neural networks",
        )
    }
)


@register_model
def alexnet(pretrained: bool = False, **kwargs: Any) -> AlexNet:
    """AlexNet: 57,044,810 parameters for colour images of ten classes."""
    # The first three taps at different reductions: the dense layers leave no map.
    feature_cfg = {**FEATURE_CFG, "out_indices": (0, 1, 4)}
    return build(AlexNet, "alexnet", pretrained, feature_cfg=feature_cfg, **kwargs)
