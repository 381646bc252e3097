"""A small ConvNeXt whose depthwise convolutions act on wavelet bands, for 32 x 32 images.

Papers: "Wavelet Convolutions for Large Receptive Fields", Finder, Amoyal, Treister, Freifeld, arXiv 2407.05848; "A
ConvNet for the 2020s", Liu et al., arXiv 2201.03545.

The blocks are the paper's; stem, widths and depths are ours, chosen for the parameters and multiply-adds of ResNet-20.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import DropPath, LayerNorm2d, get_act_layer, get_norm_layer
from timm.models import register_model
from torch import Tensor, nn

from ..layers import WTConv2d
from ._base import ChainModel, Device, build, image_cfg
from ._blocks import Layer, conv_mlp, drop_path_rates
from ._weights import default_cfgs_with_weights

__all__ = ["WTConvNeXt"]


class WTConvNeXtBlock(nn.Module):
    """Wavelet convolution, normalisation, an MLP on channels; residual: `(B, channels, H, W)` to the same.

    Args:
        channels: channels of input and output.
        levels: wavelet levels of the convolution.
        kernel_size: side of its kernels.
        mlp_ratio: width of the MLP's hidden layer, in multiples of `channels`.
        ls_init_value: initial layer scale, None for none; ConvNeXt, which is deeper, takes 1e-6.
        drop_path: rate of stochastic depth.
        act_layer, norm_layer: classes.
    """

    def __init__(
        self,
        channels: int,
        levels: int = 1,
        kernel_size: int = 5,
        mlp_ratio: float = 4.0,
        ls_init_value: float | None = None,
        drop_path: float = 0.0,
        act_layer: Layer = nn.GELU,
        norm_layer: Layer = LayerNorm2d,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        self.conv_dw = WTConv2d(channels, kernel_size, levels, **dd)
        self.norm = norm_layer(channels, **dd)
        self.mlp = conv_mlp(channels, mlp_ratio, act_layer, **dd)
        self.gamma: nn.Parameter | None = None
        if ls_init_value is not None:
            self.gamma = nn.Parameter(torch.full((channels, 1, 1), ls_init_value, **dd))
        self.drop_path = DropPath(drop_path) if drop_path > 0 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.mlp(self.norm(self.conv_dw(x)))
        if self.gamma is not None:
            y = y * self.gamma
        return x + self.drop_path(y)  # type: ignore[no-any-return]


class WTConvNeXt(ChainModel):
    """A 3 x 3 convolution, then stages of blocks; every stage but the first halves the map by a 2 x 2 convolution.

    Args:
        channels, depths, levels: for each stage, its channels, its blocks and their wavelet levels.
        kernel_size, mlp_ratio, ls_init_value: see `WTConvNeXtBlock`.
        in_chans, num_classes, global_pool, drop_rate, drop_path_rate, act_layer, norm_layer: as in timm.

    Shape:
        `(B, in_chans, H, W)`, both sides at least `2 ** (stages - 1)`, to `(B, num_classes)`. The stem and every stage
        are taps, at reductions 1, 1, 2, 4, ...

    Raises:
        ValueError: `channels`, `depths` and `levels` differ in length.

    >>> WTConvNeXt((8, 16), (1, 1), (2, 1))(torch.rand(1, 3, 32, 32)).shape
    torch.Size([1, 10])
    """

    def __init__(
        self,
        channels: Sequence[int] = (20, 40, 80),
        depths: Sequence[int] = (2, 4, 2),
        levels: Sequence[int] = (3, 2, 1),
        kernel_size: int = 5,
        mlp_ratio: float = 4.0,
        ls_init_value: float | None = None,
        in_chans: int = 3,
        num_classes: int = 10,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        act_layer: str | Layer = nn.GELU,
        norm_layer: str | Layer = LayerNorm2d,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_classes, in_chans, drop_rate)
        if not len(channels) == len(depths) == len(levels):
            raise ValueError(
                f"channels, depths and levels need one entry per stage each, got {len(channels)}, {len(depths)} and "
                f"{len(levels)}"
            )
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        norm, before = get_norm_layer(norm_layer), channels[0]
        layers: dict[str, Any] = {"act_layer": get_act_layer(act_layer), "norm_layer": norm, **dd}
        shape: dict[str, Any] = {"kernel_size": kernel_size, "mlp_ratio": mlp_ratio, "ls_init_value": ls_init_value}
        rates = iter(drop_path_rates(drop_path_rate, sum(depths)))
        stem = nn.Sequential(OrderedDict(conv=nn.Conv2d(in_chans, before, 3, padding=1, **dd), norm=norm(before, **dd)))
        stages: list[tuple[str, nn.Module, int, int]] = [("stem", stem, before, 1)]
        for index, (width, depth, level) in enumerate(zip(channels, depths, levels, strict=True), start=1):
            stage = nn.Sequential()
            if index > 1:
                halve = OrderedDict(norm=norm(before, **dd), conv=nn.Conv2d(before, width, 2, stride=2, **dd))
                stage.add_module("downsample", nn.Sequential(halve))
            for number in range(depth):
                block = WTConvNeXtBlock(width, level, drop_path=next(rates), **shape, **layers)
                stage.add_module(str(number), block)
            if index == len(channels):
                stage.add_module("norm", norm(width, **dd))
            stages.append((f"stage{index}", stage, width, 2 ** (index - 1)))
            before = width
        self._set_stages(stages)
        self.map_size = None
        self._set_head(global_pool, device, dtype)


default_cfgs = default_cfgs_with_weights(
    {
        "wtconvnext_pico.untrained": image_cfg(
            "stages.stem.conv",
            num_classes=10,
            fixed_input_size=False,
            pool_size=(8, 8),
            mean=IMAGENET_DEFAULT_MEAN,
            std=IMAGENET_DEFAULT_STD,
            paper_ids="arXiv:2407.05848",
            paper_name="Wavelet Convolutions for Large Receptive Fields",
        )
    }
)


@register_model
def wtconvnext_pico(pretrained: bool = False, **kwargs: Any) -> WTConvNeXt:
    """Three stages with 20, 40 and 80 channels: 252,450 parameters."""
    return build(WTConvNeXt, "wtconvnext_pico", pretrained, **kwargs)
