"""LeNet-5, with ReLU and max pooling as it is taught today.

Paper: "Gradient-Based Learning Applied to Document Recognition", LeCun, Bottou, Bengio, Haffner, Proc. IEEE 86 (1998).
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from timm.models import register_model
from torch import nn

from ..layers.geometry import to_size
from ._base import ChainModel, build, image_cfg
from ._blocks import dense_stage
from ._weights import default_cfgs_with_weights

__all__ = ["LeNet5"]


class LeNet5(ChainModel):
    """Two convolution stages (6 and 16 channels, 5 x 5) and two dense layers (120 and 84).

    Images under 32 pixels are padded by 2 on every side, as LeCun et al. did with the 28 x 28 digits.

    Args:
        img_size, in_chans, num_classes, global_pool, drop_rate: as in timm; at least 12 x 12.

    Shape:
        `(B, in_chans, H, W)` to `(B, num_classes)`; features are `(B, 84, 1, 1)`. Every stage is a tap.
    """

    def __init__(
        self,
        img_size: int | Sequence[int] = 32,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_classes, in_chans, drop_rate)
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        size = to_size(img_size)
        padding = 2 if min(size) < 32 else 0
        height, width = (((side + 2 * padding - 4) // 2 - 4) // 2 for side in size)
        if min(height, width) < 1:
            raise ValueError(f"LeNet-5 needs images of at least 12 x 12, got {size[0]} x {size[1]}")
        whole = max(size)
        self._set_stages(
            [
                ("stage1", _stage(nn.Conv2d(in_chans, 6, 5, padding=padding, **dd), pool=True), 6, 2),
                ("stage2", _stage(nn.Conv2d(6, 16, 5, **dd), pool=True), 16, 4),
                ("fc1", _stage(nn.Conv2d(16, 120, (height, width), **dd)), 120, whole),
                ("fc2", dense_stage(nn.Linear(120, 84, **dd)), 84, whole),
            ],
            size,
        )
        self._set_head(global_pool, device, dtype)


def _stage(conv: nn.Module, pool: bool = False) -> nn.Sequential:
    return nn.Sequential(OrderedDict(conv=conv, act=nn.ReLU(), pool=nn.MaxPool2d(2) if pool else nn.Identity()))


default_cfgs = default_cfgs_with_weights(
    {"lenet5.untrained": image_cfg("stages.stage1.conv", min_input_size=(3, 12, 12), license="mit")}
)


@register_model
def lenet5(pretrained: bool = False, **kwargs: Any) -> LeNet5:
    """LeNet-5: 61,706 parameters on 32 x 32 gray images of ten classes."""
    return build(LeNet5, "lenet5", pretrained, **kwargs)
