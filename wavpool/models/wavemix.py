"""WaveMix-Lite: blocks that mix positions by a Haar transform.

Papers: "WaveMix: Resource-efficient Token Mixing for Images", Jeevan, Sethi, arXiv 2203.03689; "WaveMix: A
Resource-efficient Neural Network for Image Analysis", Jeevan, Viswanathan, Anandu, Sethi, arXiv 2205.14375.

Two 3 x 3 convolutions, then blocks that keep channels and size. `wavemix_lite_C_N` has `C` channels and `N` blocks, as
in the papers; the names are those of their table of parameter efficiency, and the parameter counts equal that table's.
"""

from collections import OrderedDict
from typing import Any

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import DropPath, get_act_layer, get_norm_layer
from timm.models import register_model
from torch import Tensor, nn

from ..layers import WaveletDownsample
from ._base import ChainModel, Device, build, image_cfg
from ._blocks import Layer, conv_mlp, drop_path_rates
from ._weights import default_cfgs_with_weights

__all__ = ["WaveMixLite"]


class WaveMixBlock(nn.Module):
    """A convolution to a quarter of the channels, Haar bands, an MLP on them, upsampling, normalisation; residual.

    Args:
        channels: channels of input and output, a multiple of 4.
        mlp_ratio: width of the MLP's hidden layer, in multiples of `channels`.
        upsample: `deconv` (transposed convolution, 4 x 4), or a mode of `torch.nn.Upsample` without parameters.
        proj_drop: dropout rate inside the MLP.
        drop_path: rate of stochastic depth.
        act_layer, norm_layer: classes.

    Shape:
        `(B, channels, H, W)` to the same. At an odd side the last row or column is repeated for the transform.
    """

    def __init__(
        self,
        channels: int,
        mlp_ratio: float = 2.0,
        upsample: str = "deconv",
        proj_drop: float = 0.0,
        drop_path: float = 0.0,
        act_layer: Layer = nn.GELU,
        norm_layer: Layer = nn.BatchNorm2d,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        self.reduction = nn.Conv2d(channels, channels // 4, 1, **dd)
        self.transform = WaveletDownsample()
        self.mlp = conv_mlp(channels, mlp_ratio, act_layer, proj_drop, **dd)
        self.upsample: nn.Module
        if upsample == "deconv":
            self.upsample = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, **dd)
        else:
            self.upsample = nn.Upsample(scale_factor=2, mode=upsample)
        self.norm = norm_layer(channels, **dd)
        self.drop_path = DropPath(drop_path) if drop_path > 0 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2], x.shape[3]
        y = self.mlp(self.transform(self.reduction(x)))
        y = self.upsample(y)[:, :, :height, :width]
        return x + self.drop_path(self.norm(y))  # type: ignore[no-any-return]


class WaveMixLite(ChainModel):
    """WaveMix-Lite for classification.

    Args:
        channels: channels of all blocks, a multiple of 4.
        depth: number of blocks.
        mlp_ratio, upsample: see `WaveMixBlock`.
        in_chans, num_classes, global_pool, drop_rate, drop_path_rate, act_layer, norm_layer: as in timm.
        proj_drop_rate: dropout inside the blocks' MLPs; the papers train with 0.5.

    Shape:
        `(B, in_chans, H, W)`, any size, to `(B, num_classes)`. The stem and every block are taps, all at reduction 1.

    Raises:
        ValueError: `channels` is no multiple of 4.

    >>> WaveMixLite(16, 4)(torch.rand(1, 3, 32, 32)).shape
    torch.Size([1, 10])
    """

    def __init__(
        self,
        channels: int = 32,
        depth: int = 7,
        mlp_ratio: float = 2.0,
        upsample: str = "deconv",
        in_chans: int = 3,
        num_classes: int = 10,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        act_layer: str | Layer = nn.GELU,
        norm_layer: str | Layer = nn.BatchNorm2d,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_classes, in_chans, drop_rate)
        if channels < 4 or channels % 4:
            raise ValueError(f"channels must be a multiple of 4, one quarter for each Haar band, got {channels}")
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        stem: OrderedDict[str, nn.Module] = OrderedDict(
            conv1=nn.Conv2d(in_chans, channels // 2, 3, padding=1, **dd),
            conv2=nn.Conv2d(channels // 2, channels, 3, padding=1, **dd),
        )
        stages: list[tuple[str, nn.Module, int, int]] = [("stem", nn.Sequential(stem), channels, 1)]
        settings = {"act_layer": get_act_layer(act_layer), "norm_layer": get_norm_layer(norm_layer), **dd}
        for index, rate in enumerate(drop_path_rates(drop_path_rate, depth), start=1):
            block = WaveMixBlock(channels, mlp_ratio, upsample, proj_drop_rate, rate, **settings)
            stages.append((f"block{index}", block, channels, 1))
        self._set_stages(stages)
        self.map_size = None
        self._set_head(global_pool, device, dtype)


def _cfg(in_chans: int, side: int, **kwargs: Any) -> dict[str, Any]:
    return image_cfg(
        "stages.stem.conv1",
        num_classes=10,
        fixed_input_size=False,
        input_size=(in_chans, side, side),
        pool_size=(side, side),
        paper_ids=("arXiv:2203.03689", "arXiv:2205.14375"),
        paper_name="WaveMix: A Resource-efficient Neural Network for Image Analysis",
        origin_url="https://github.com/pranavphoenix/WaveMix",
        **kwargs,
    )


_COLOUR = {"mean": IMAGENET_DEFAULT_MEAN, "std": IMAGENET_DEFAULT_STD}
_GRAY = {"mean": (0.5,), "std": (0.25,)}

default_cfgs = default_cfgs_with_weights(
    {
        "wavemix_lite_8_5.untrained": _cfg(1, 28, **_GRAY),
        "wavemix_lite_8_10.untrained": _cfg(1, 28, **_GRAY),
        "wavemix_lite_32_7.untrained": _cfg(3, 32, **_COLOUR),
        "wavemix_lite_64_6.untrained": _cfg(3, 32, **_COLOUR),
    }
)


def _create(channels: int, depth: int, pretrained: bool, **kwargs: Any) -> WaveMixLite:
    variant = f"wavemix_lite_{channels}_{depth}"
    sizes: dict[str, Any] = {"channels": channels, "depth": depth, **kwargs}
    return build(WaveMixLite, variant, pretrained, **sizes)


# The table's smaller networks upsample without parameters; its counts tell which. It does not name the interpolation:
# bilinear lets neighbouring 2 x 2 cells mix, which nearest would not.


@register_model
def wavemix_lite_8_5(pretrained: bool = False, **kwargs: Any) -> WaveMixLite:
    """The papers' network for Fashion-MNIST: 7,156 parameters."""
    return _create(8, 5, pretrained, **{"in_chans": 1, **kwargs})


@register_model
def wavemix_lite_8_10(pretrained: bool = False, **kwargs: Any) -> WaveMixLite:
    """The papers' network for MNIST: 3,566 parameters."""
    return _create(8, 10, pretrained, **{"in_chans": 1, "upsample": "bilinear", **kwargs})


@register_model
def wavemix_lite_32_7(pretrained: bool = False, **kwargs: Any) -> WaveMixLite:
    """The papers' smaller network for CIFAR-10: 37,058 parameters."""
    return _create(32, 7, pretrained, **{"upsample": "bilinear", **kwargs})


@register_model
def wavemix_lite_64_6(pretrained: bool = False, **kwargs: Any) -> WaveMixLite:
    """The papers' larger network for CIFAR-10: 520,106 parameters."""
    return _create(64, 6, pretrained, **kwargs)
