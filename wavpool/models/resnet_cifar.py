"""ResNets for 32 x 32 images.

Paper: "Deep Residual Learning for Image Recognition", He, Zhang, Ren, Sun, arXiv 1512.03385, section 4.2.

A 3 x 3 convolution with 16 channels, then three stages of `n` blocks with 16, 32 and 64 channels: `6 n + 2` layers with
weights. Shortcuts have no parameters (option A): where a block halves the map, its shortcut keeps every second row and
column and pads the missing channels with zeros, half of them on each side.
"""

import re
from typing import Any

import torch
import torch.nn.functional as F
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import DropPath, get_act_layer, get_norm_layer
from timm.models import register_model
from torch import Tensor, nn

from ._base import ChainModel, Device, build, image_cfg
from ._blocks import Layer, conv_norm_act, drop_path_rates
from ._weights import default_cfgs_with_weights

__all__ = ["CifarResNet", "checkpoint_filter_fn"]


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut: `(B, in_chs, H, W)` to `(B, out_chs, ceil(H / stride), ceil(W / stride))`.

    Args:
        in_chs, out_chs: channels; `out_chs - in_chs` is even.
        stride: 1, or 2 to halve the map.
        drop_path: rate of stochastic depth.
        act_layer, norm_layer: classes.
    """

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        stride: int = 1,
        drop_path: float = 0.0,
        act_layer: Layer = nn.ReLU,
        norm_layer: Layer = nn.BatchNorm2d,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        self.conv1 = nn.Conv2d(in_chs, out_chs, 3, stride, padding=1, bias=False, **dd)
        self.bn1 = norm_layer(out_chs, **dd)
        self.act1 = act_layer()
        self.conv2 = nn.Conv2d(out_chs, out_chs, 3, padding=1, bias=False, **dd)
        self.bn2 = norm_layer(out_chs, **dd)
        self.drop_path = DropPath(drop_path) if drop_path > 0 else nn.Identity()
        self.act2 = act_layer()
        self.stride = stride
        self.padding = (out_chs - in_chs) // 2

    def forward(self, x: Tensor) -> Tensor:
        y = self.act1(self.bn1(self.conv1(x)))
        y = self.drop_path(self.bn2(self.conv2(y)))
        if self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride]
        if self.padding > 0:
            x = F.pad(x, (0, 0, 0, 0, self.padding, self.padding))
        return self.act2(y + x)  # type: ignore[no-any-return]


class CifarResNet(ChainModel):
    """ResNet of He et al., section 4.2.

    Args:
        depth: layers with weights, `6 n + 2`.
        in_chans, num_classes, global_pool, drop_rate, drop_path_rate, act_layer, norm_layer: as in timm.

    Shape:
        `(B, in_chans, H, W)`, any size, to `(B, num_classes)`. The stem and the three stages are taps, at reductions
        1, 1, 2 and 4.

    Raises:
        ValueError: no ResNet of this kind has that depth.

    >>> CifarResNet(20)(torch.rand(1, 3, 32, 32)).shape
    torch.Size([1, 10])
    """

    def __init__(
        self,
        depth: int = 20,
        in_chans: int = 3,
        num_classes: int = 10,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        act_layer: str | Layer = nn.ReLU,
        norm_layer: str | Layer = nn.BatchNorm2d,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_classes, in_chans, drop_rate)
        if depth < 8 or depth % 6 != 2:
            raise ValueError(f"a CIFAR ResNet has 6 n + 2 layers (8, 14, 20, ...), not {depth}")
        blocks = depth // 6
        layers: dict[str, Any] = {"act_layer": get_act_layer(act_layer), "norm_layer": get_norm_layer(norm_layer)}
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        rates = iter(drop_path_rates(drop_path_rate, 3 * blocks))
        stages: list[tuple[str, nn.Module, int, int]] = [("stem", conv_norm_act(in_chans, 16, **layers, **dd), 16, 1)]
        before = 16
        for index, (width, reduction) in enumerate(((16, 1), (32, 2), (64, 4)), start=1):
            stage = nn.Sequential()
            for number in range(blocks):
                stride = 2 if number == 0 and index > 1 else 1
                stage.append(BasicBlock(before, width, stride, next(rates), **layers, **dd))
                before = width
            stages.append((f"stage{index}", stage, width, reduction))
        self._set_stages(stages)
        self.map_size = None
        self._set_head(global_pool, device, dtype)


# Names in the usual checkpoints of these networks, and ours.
_NAMES = (
    (r"^module\.", ""),
    (r"^conv1\.", "stages.stem.conv."),
    (r"^bn1\.", "stages.stem.bn."),
    (r"^layer(\d)\.", r"stages.stage\1."),
    (r"^(linear|fc)\.", "head.fc."),
)


def checkpoint_filter_fn(state_dict: dict[str, Any], model: nn.Module) -> dict[str, Any]:
    """Rename the weights of a checkpoint with torchvision's names (`conv1`, `layer1.0.conv1`, `linear` or `fc`)."""
    renamed = {}
    for name, value in state_dict.get("state_dict", state_dict).items():
        for pattern, ours in _NAMES:
            name = re.sub(pattern, ours, name)
        renamed[name] = value
    return renamed


def _cfg(**kwargs: Any) -> dict[str, Any]:
    return image_cfg(
        "stages.stem.conv",
        num_classes=10,
        fixed_input_size=False,
        pool_size=(8, 8),
        mean=IMAGENET_DEFAULT_MEAN,
        std=IMAGENET_DEFAULT_STD,
        paper_ids="arXiv:1512.03385",
        paper_name="Deep Residual Learning for Image Recognition",
        **kwargs,
    )


default_cfgs = default_cfgs_with_weights(
    {f"resnet{depth}.untrained": _cfg() for depth in (8, 20, 32, 44, 56)},
)


def _create(depth: int, pretrained: bool, **kwargs: Any) -> CifarResNet:
    return build(
        CifarResNet,
        f"resnet{depth}",
        pretrained,
        pretrained_filter_fn=checkpoint_filter_fn,
        depth=depth,
        **kwargs,
    )


@register_model
def resnet8(pretrained: bool = False, **kwargs: Any) -> CifarResNet:
    """One block per stage: 75,290 parameters."""
    return _create(8, pretrained, **kwargs)


@register_model
def resnet20(pretrained: bool = False, **kwargs: Any) -> CifarResNet:
    """Three blocks per stage: 269,722 parameters."""
    return _create(20, pretrained, **kwargs)


@register_model
def resnet32(pretrained: bool = False, **kwargs: Any) -> CifarResNet:
    """Five blocks per stage: 464,154 parameters."""
    return _create(32, pretrained, **kwargs)


@register_model
def resnet44(pretrained: bool = False, **kwargs: Any) -> CifarResNet:
    """Seven blocks per stage: 658,586 parameters."""
    return _create(44, pretrained, **kwargs)


@register_model
def resnet56(pretrained: bool = False, **kwargs: Any) -> CifarResNet:
    """Nine blocks per stage: 853,018 parameters."""
    return _create(56, pretrained, **kwargs)
