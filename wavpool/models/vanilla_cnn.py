"""Small convolutional networks: the paper's baseline and a fair one."""

from collections.abc import Sequence
from typing import Any

import torch
from timm.layers import get_act_layer, get_norm_layer
from timm.models import register_model
from torch import nn

from ..layers.geometry import to_size
from ._base import ChainModel, Device, build, image_cfg, paper_cfg
from ._blocks import Layer, conv_norm_act
from ._weights import default_cfgs_with_weights

__all__ = ["PaperCNN", "VanillaCNN"]


class PaperCNN(ChainModel):
    """The original VanillaCNN: twice convolution (padding 1, no bias), BatchNorm, ReLU; a classifier on every position.

    Args:
        img_size, in_chans, num_classes, global_pool, drop_rate: as in timm; `global_pool="flatten"` is the paper's.
        kernel_size: side of both kernels.
        channels: channels of the two convolutions.

    Shape:
        `(B, in_chans, H, W)` to `(B, num_classes)`; features are `(B, channels[1], H', W')` with
        `H' = H + 2 * (3 - kernel_size)`. Every stage is a tap; taps larger than the image, for kernels of 1 and 2, are
        cropped in the middle to its size.
    """

    def __init__(
        self,
        img_size: int | Sequence[int] = 32,
        in_chans: int = 1,
        num_classes: int = 10,
        global_pool: str = "flatten",
        drop_rate: float = 0.0,
        kernel_size: int = 3,
        channels: tuple[int, int] = (19, 12),
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_classes, in_chans, drop_rate)
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        stages: list[tuple[str, nn.Module, int, int]] = []
        before = in_chans
        for index, width in enumerate(channels, start=1):
            parts: dict[str, nn.Module] = {
                "conv": nn.Conv2d(before, width, kernel_size, padding=1, bias=False, **dd),
                "bn": nn.BatchNorm2d(width, **dd),
                "act": nn.ReLU(),
            }
            stages += [(f"{name}{index}", module, width, 1) for name, module in parts.items()]
            before = width
        self._set_stages(stages)
        self.margins = [index * (3 - kernel_size) for index in (1, 2) for _ in range(3)]
        height, width = self._size = to_size(img_size)
        growth = self.margins[-1]
        if min(height, width) + growth < 1:
            raise ValueError(f"an image of {height} x {width} is too small for kernels of {kernel_size}")
        self.map_size = (height + growth, width + growth)
        self._set_head(global_pool, device, dtype)

    def _set_head(self, pool: str, device: Device, dtype: torch.dtype | None) -> None:
        super()._set_head(pool, device, dtype)
        self.image_size = self._size if pool == "flatten" else None  # no other head needs one


class VanillaCNN(ChainModel):
    """Convolution 3 x 3, normalisation, activation and max pooling per stage; then average pooling and a classifier.

    Args:
        in_chans, num_classes, global_pool, drop_rate, act_layer, norm_layer: as in timm.
        channels: channels of each stage; every stage halves the side, rounding up.

    Shape:
        `(B, in_chans, H, W)`, any size, to `(B, num_classes)`. Every stage is a tap.
    """

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        channels: Sequence[int] = (20, 40, 80, 160),
        act_layer: str | Layer = nn.ReLU,
        norm_layer: str | Layer = nn.BatchNorm2d,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_classes, in_chans, drop_rate)
        norm, act = get_norm_layer(norm_layer), get_act_layer(act_layer)
        stages: list[tuple[str, nn.Module, int, int]] = []
        before = in_chans
        for index, width in enumerate(channels, start=1):
            stage = conv_norm_act(before, width, norm, act, device, dtype)
            stage.add_module("pool", nn.MaxPool2d(2, ceil_mode=True))
            stages.append((f"stage{index}", stage, width, 2**index))
            before = width
        self._set_stages(stages)
        self.map_size = None
        self._set_head(global_pool, device, dtype)


default_cfgs = default_cfgs_with_weights(
    {
        "vanilla_cnn.untrained": image_cfg("stages.stage1.conv", pool_size=(2, 2), fixed_input_size=False),
        "cnn_paper.untrained": paper_cfg("stages.conv1", 32, pool_size=(32, 32)),
        "cnn_paper_cifar10.untrained": paper_cfg("stages.conv1", 32, pool_size=(32, 32)),
        "cnn_paper_fashion_mnist.untrained": paper_cfg("stages.conv1", 28, pool_size=(30, 30)),
        "cnn_paper_mnist.untrained": paper_cfg("stages.conv1", 28, pool_size=(28, 28)),
    }
)


@register_model
def vanilla_cnn(pretrained: bool = False, **kwargs: Any) -> VanillaCNN:
    """Four convolution stages; `channels` sets their widths."""
    return build(VanillaCNN, "vanilla_cnn", pretrained, **kwargs)


def _paper(
    variant: str,
    pretrained: bool,
    kernel_size: float,
    hidden_channels_1: float,
    hidden_channels_2: float,
    **kwargs: Any,
) -> PaperCNN:
    """The original's hyper-parameters; floats are truncated, as it does."""
    sizes: dict[str, Any] = {
        "kernel_size": int(kernel_size),
        "channels": (int(hidden_channels_1), int(hidden_channels_2)),
    }
    return build(PaperCNN, variant, pretrained, **sizes, **kwargs)


_TUNED = {"kernel_size": 3.73, "hidden_channels_1": 19.76, "hidden_channels_2": 12.89}
_TUNED_FASHION = {"kernel_size": 2.19, "hidden_channels_1": 15.09, "hidden_channels_2": 17.58}


@register_model
def cnn_paper(pretrained: bool = False, **kwargs: Any) -> PaperCNN:
    """The paper's CNN; `kernel_size`, `hidden_channels_1` and `hidden_channels_2` are its hyper-parameters."""
    return _paper("cnn_paper", pretrained, **{**_TUNED, **kwargs})


@register_model
def cnn_paper_cifar10(pretrained: bool = False, **kwargs: Any) -> PaperCNN:
    """Tuned on gray CIFAR-10: 125,175 parameters."""
    return _paper("cnn_paper_cifar10", pretrained, **{**_TUNED, **kwargs})


@register_model
def cnn_paper_fashion_mnist(pretrained: bool = False, **kwargs: Any) -> PaperCNN:
    """Tuned on Fashion-MNIST: 154,154 parameters."""
    return _paper("cnn_paper_fashion_mnist", pretrained, **{**_TUNED_FASHION, **kwargs})


@register_model
def cnn_paper_mnist(pretrained: bool = False, **kwargs: Any) -> PaperCNN:
    """Tuned settings of MNIST: 96,375 parameters."""
    return _paper("cnn_paper_mnist", pretrained, **{**_TUNED, **kwargs})
