"""A narrow VGG with BatchNorm for 32 x 32 images: 3 x 3 convolutions without shortcuts.

Paper: "Very Deep Convolutional Networks for Large-Scale Image Recognition", Simonyan, Zisserman, arXiv 1409.1556.
"""

from collections.abc import Sequence
from typing import Any

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import get_act_layer, get_norm_layer
from timm.models import register_model
from torch import nn

from ._base import ChainModel, Device, build, image_cfg
from ._blocks import Layer, conv_norm_act
from ._weights import default_cfgs_with_weights

__all__ = ["CifarVGG"]


class CifarVGG(ChainModel):
    """Stages of 3 x 3 convolutions, each followed by normalisation and activation; a stage ends with max pooling.

    Args:
        channels: for each stage, the channels of its convolutions.
        in_chans, num_classes, global_pool, drop_rate, act_layer, norm_layer: as in timm.

    Shape:
        `(B, in_chans, H, W)`, both sides at least `2 ** stages`, to `(B, num_classes)`. Every stage is a tap.

    >>> CifarVGG(((8,), (16,)))(torch.rand(1, 3, 32, 32)).shape
    torch.Size([1, 10])
    """

    def __init__(
        self,
        channels: Sequence[Sequence[int]] = ((32, 64), (128, 128), (128, 128), (256, 256)),
        in_chans: int = 3,
        num_classes: int = 10,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        act_layer: str | Layer = nn.ReLU,
        norm_layer: str | Layer = nn.BatchNorm2d,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_classes, in_chans, drop_rate)
        norm, act = get_norm_layer(norm_layer), get_act_layer(act_layer)
        stages: list[tuple[str, nn.Module, int, int]] = []
        before = in_chans
        for index, widths in enumerate(channels, start=1):
            stage = nn.Sequential()
            for width in widths:
                stage.append(conv_norm_act(before, width, norm, act, device, dtype))
                before = width
            stage.add_module("pool", nn.MaxPool2d(2))
            stages.append((f"stage{index}", stage, before, 2**index))
        self._set_stages(stages)
        self.map_size = None
        self._set_head(global_pool, device, dtype)


default_cfgs = default_cfgs_with_weights(
    {
        "vgg9_bn.untrained": image_cfg(
            "stages.stage1.0.conv",
            num_classes=10,
            fixed_input_size=False,
            min_input_size=(3, 16, 16),
            pool_size=(2, 2),
            mean=IMAGENET_DEFAULT_MEAN,
            std=IMAGENET_DEFAULT_STD,
            paper_ids="arXiv:1409.1556",
            paper_name="Very Deep Convolutional Networks for Large-Scale Image Recognition",
        )
    }
)


@register_model
def vgg9_bn(pretrained: bool = False, **kwargs: Any) -> CifarVGG:
    """Eight convolutions with 32 to 256 channels and a classifier: 1,424,938 parameters."""
    return build(CifarVGG, "vgg9_bn", pretrained, **kwargs)
