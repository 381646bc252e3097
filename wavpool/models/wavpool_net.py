"""WavPool networks: convolutional backbones whose every spatial step is a fixed wavelet analysis with pooled bands.

Paper of the block: "WavPool: A New Block for Deep Neural Networks", McDermott, Voetberg, Nord, arXiv 2306.08734. There
every band has a dense layer of its own; here layers are shared over positions, so that weights do not depend on the
image size. The stem is MicroWav's fixed analysis (`wavpool.layers.WaveletStem`); a stage halves its map by one wavelet
level and pools the four bands (`wavpool.layers.WaveletPool2d`); residual blocks of a depthwise and a pointwise
convolution follow. There is no strided convolution.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import DropPath, get_act_layer, get_norm_layer
from timm.models import register_model
from torch import Tensor, nn

from ..layers import WaveletPool2d, WaveletStem
from ._base import ChainModel, Device, build, image_cfg
from ._blocks import Layer, drop_path_rates
from ._weights import default_cfgs_with_weights
from .wavpool_dense import refuse_dense

__all__ = ["WavPoolBlock", "WavPoolNet", "checkpoint_filter_fn"]


_FIRST = ("stages.stage1.stem.", "stages.stage1.widen.conv.")  # layers whose weights depend on the image's channels
_BLOCK = r"^stages\.stage(\d+)\.block(\d+)"


class WavPoolBlock(nn.Module):
    """Residual block of a depthwise and a pointwise convolution: `(B, chs, H, W)` to the same shape.

    Args:
        chs: channels.
        kernel_size: of the depthwise convolution, odd.
        drop_path: rate of stochastic depth.
        act_layer, norm_layer: classes.
    """

    def __init__(
        self,
        chs: int,
        kernel_size: int = 3,
        drop_path: float = 0.0,
        act_layer: Layer = nn.GELU,
        norm_layer: Layer = nn.BatchNorm2d,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        self.conv_dw = nn.Conv2d(chs, chs, kernel_size, padding=kernel_size // 2, groups=chs, bias=False, **dd)
        self.bn1 = norm_layer(chs, **dd)
        self.conv_pw = nn.Conv2d(chs, chs, 1, bias=False, **dd)
        self.bn2 = norm_layer(chs, **dd)
        self.drop_path = DropPath(drop_path) if drop_path > 0 else nn.Identity()
        self.act = act_layer()

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv_pw(self.bn1(self.conv_dw(x))))
        return self.act(x + self.drop_path(y))  # type: ignore[no-any-return]


class WavPoolNet(ChainModel):
    """A wavelet stem, stages of `WavPoolBlock`, global pooling and a classifier.

    Args:
        in_chans, num_classes, global_pool, drop_rate, drop_path_rate, act_layer, norm_layer: as in timm.
        widths, depths: for each stage, channels and blocks. Every stage but the first halves the map.
        stem_levels: wavelet levels of the stem: 0 for very small images, 1 for 32 x 32, 2 for 224 x 224.
        wavelet: of the stem and of the halving steps; a name as in PyWavelets.
        pool: how a halving step pools its four bands; one of `wavpool.layers.WaveletPool2d`, but not `bands`.
        kernel_size: of the depthwise convolutions.

    Shape:
        `(B, in_chans, H, W)`, any size from 16, to `(B, num_classes)`. Every stage is a tap, at reductions
        `2 ** stem_levels`, twice that, ...; sizes are rounded up.

    >>> WavPoolNet(num_classes=10)(torch.rand(1, 3, 32, 32)).shape
    torch.Size([1, 10])
    """

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        widths: Sequence[int] = (32, 40, 56),
        depths: Sequence[int] = (2, 3, 3),
        stem_levels: int = 1,
        wavelet: str = "haar",
        pool: str = "max",
        kernel_size: int = 3,
        act_layer: str | Layer = nn.GELU,
        norm_layer: str | Layer = nn.BatchNorm2d,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_classes, in_chans, drop_rate)
        if len(widths) != len(depths):
            raise ValueError(f"widths and depths are one number per stage each, got {len(widths)} and {len(depths)}")
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        layers: dict[str, Any] = {"act_layer": get_act_layer(act_layer), "norm_layer": get_norm_layer(norm_layer)}
        rates = iter(drop_path_rates(drop_path_rate, sum(depths)))
        stages: list[tuple[str, nn.Module, int, int]] = []
        analysis = WaveletStem(stem_levels, wavelet)
        before = analysis.out_chans(in_chans)
        for index, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            stage = nn.Sequential()
            pooling: nn.Module | None = None
            if index == 0:
                stem = nn.Sequential(OrderedDict(analysis=analysis, bn=layers["norm_layer"](before, **dd)))
                stage.add_module("stem", stem)
            else:
                pooling = WaveletPool2d(pool, width if pool == "moduli" else None, wavelet, **dd)
            stage.add_module("widen", _widen(before, width, pooling, **layers, **dd))
            for block in range(depth):
                stage.add_module(f"block{block}", WavPoolBlock(width, kernel_size, next(rates), **layers, **dd))
            stages.append((f"stage{index + 1}", stage, width, 2 ** (stem_levels + index)))
            before = width
        self._set_stages(stages)
        self.map_size = None
        self._set_head(global_pool, device, dtype)
        self.register_load_state_dict_pre_hook(refuse_dense)  # type: ignore[no-untyped-call]

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        parts = r"^stages\.stage(\d+)" if coarse else [(r"^stages\.stage(\d+)\.widen", (0,)), (_BLOCK, None)]
        return {"stem": r"^stages\.stage1\.(?:stem|widen)", "blocks": parts}


def checkpoint_filter_fn(state_dict: dict[str, Tensor], model: WavPoolNet) -> dict[str, Tensor]:
    """Fit the first layers to images of another number of channels; other checkpoints pass unchanged.

    In every band the stem's normalisation gets the mean of the source channels' statistics. The convolution after it
    gets the sum of the source channels' weights, shared out equally: exact for equal channels of equal statistics.
    """
    adapted = dict(state_dict)
    for name, value in model.state_dict().items():
        source = state_dict.get(name)
        if not name.startswith(_FIRST) or source is None or source.shape == value.shape:
            continue
        if value.ndim == 1:
            bands = value.shape[0] // model.in_chans
            adapted[name] = source.view(bands, -1).mean(1).repeat_interleave(model.in_chans)
        else:
            bands = value.shape[1] // model.in_chans
            summed = source.view(source.shape[0], bands, -1).sum(2) / model.in_chans
            adapted[name] = summed.repeat_interleave(model.in_chans, 1)[:, :, None, None]
    return adapted


def _widen(
    in_chs: int,
    out_chs: int,
    pool: nn.Module | None,
    act_layer: Layer,
    norm_layer: Layer,
    device: Device = None,
    dtype: torch.dtype | None = None,
) -> nn.Sequential:
    """A pointwise convolution, pooling, normalisation and activation: modules `conv`, `pool`, `bn`, `act`."""
    dd: dict[str, Any] = {"device": device, "dtype": dtype}
    conv = nn.Conv2d(in_chs, out_chs, 1, bias=False, **dd)
    return nn.Sequential(
        OrderedDict(conv=conv, pool=pool or nn.Identity(), bn=norm_layer(out_chs, **dd), act=act_layer())
    )


def _cfg(**kwargs: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"num_classes": 10, "min_input_size": (3, 16, 16), "pool_size": (4, 4), **kwargs}
    return image_cfg(
        "stages.stage1.widen.conv",
        fixed_input_size=False,
        paper_ids="arXiv:2306.08734",
        paper_name="WavPool: A New Block for Deep Neural Networks",
        **settings,
    )


# Widths and depths of the variants for images of about 32 x 32.
_SIZES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "wavpool_zepto": ((10, 14, 18), (1, 2, 1)),
    "wavpool_atto": ((14, 20, 24), (2, 3, 1)),
    "wavpool_femto": ((32, 40, 52), (3, 3, 1)),
    "wavpool_pico": ((64, 72, 88), (6, 4, 1)),
    "wavpool_nano": ((72, 80, 112), (6, 4, 1)),
    "wavpool_tiny": ((104, 112, 112), (8, 4, 1)),
    "wavpool_small": ((192, 224, 240), (8, 6, 2)),
    "wavpool_base": ((256, 320, 384), (10, 7, 2)),
    "wavpool_large": ((512, 768, 1024), (10, 6, 2)),
}
# Variants for about 224 x 224: two levels in the stem, and one stage more.
_SIZES_224: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "wavpool_tiny_224": ((64, 128, 256, 384), (2, 3, 8, 2)),
    "wavpool_small_224": ((96, 192, 384, 512), (3, 4, 12, 3)),
    "wavpool_base_224": ((128, 256, 512, 768), (3, 4, 16, 3)),
}

default_cfgs = default_cfgs_with_weights(
    {
        **{f"{name}.untrained": _cfg() for name in _SIZES},
        **{
            f"{name}.untrained": _cfg(
                num_classes=1000,
                input_size=(3, 224, 224),
                pool_size=(7, 7),
                interpolation="bicubic",
                mean=IMAGENET_DEFAULT_MEAN,
                std=IMAGENET_DEFAULT_STD,
            )
            for name in _SIZES_224
        },
    }
)


def _create(variant: str, pretrained: bool, **kwargs: Any) -> WavPoolNet:
    widths, depths = {**_SIZES, **_SIZES_224}[variant]
    sizes: dict[str, Any] = {"widths": widths, "depths": depths, "stem_levels": 2 if variant in _SIZES_224 else 1}
    sizes |= {"pretrained_filter_fn": checkpoint_filter_fn}
    return build(WavPoolNet, variant, pretrained, **{**sizes, **kwargs})


@register_model
def wavpool_zepto(pretrained: bool = False, **kwargs: Any) -> WavPoolNet:
    """At most 2,500 parameters for gray images of ten classes."""
    return _create("wavpool_zepto", pretrained, **kwargs)


@register_model
def wavpool_atto(pretrained: bool = False, **kwargs: Any) -> WavPoolNet:
    """At most 5,000 parameters for gray images."""
    return _create("wavpool_atto", pretrained, **kwargs)


@register_model
def wavpool_femto(pretrained: bool = False, **kwargs: Any) -> WavPoolNet:
    """At most 20,000 parameters for colour images."""
    return _create("wavpool_femto", pretrained, **kwargs)


@register_model
def wavpool_pico(pretrained: bool = False, **kwargs: Any) -> WavPoolNet:
    """At most 79,000 parameters and 12.5 M multiply-adds, the size of MLPerf Tiny's ResNet-8."""
    return _create("wavpool_pico", pretrained, **kwargs)


@register_model
def wavpool_nano(pretrained: bool = False, **kwargs: Any) -> WavPoolNet:
    """At most 100,000 parameters."""
    return _create("wavpool_nano", pretrained, **kwargs)


@register_model
def wavpool_tiny(pretrained: bool = False, **kwargs: Any) -> WavPoolNet:
    """At most .2 M parameters, fewer than a ResNet-20."""
    return _create("wavpool_tiny", pretrained, **kwargs)


@register_model
def wavpool_small(pretrained: bool = False, **kwargs: Any) -> WavPoolNet:
    """At most .86 M parameters, as a ResNet-56."""
    return _create("wavpool_small", pretrained, **kwargs)


@register_model
def wavpool_base(pretrained: bool = False, **kwargs: Any) -> WavPoolNet:
    """At most 2 M parameters."""
    return _create("wavpool_base", pretrained, **kwargs)


@register_model
def wavpool_large(pretrained: bool = False, **kwargs: Any) -> WavPoolNet:
    """At most 10 M parameters."""
    return _create("wavpool_large", pretrained, **kwargs)


@register_model
def wavpool_tiny_224(pretrained: bool = False, **kwargs: Any) -> WavPoolNet:
    """Four stages for images of about 224 x 224."""
    return _create("wavpool_tiny_224", pretrained, **kwargs)


@register_model
def wavpool_small_224(pretrained: bool = False, **kwargs: Any) -> WavPoolNet:
    """Four stages for images of about 224 x 224."""
    return _create("wavpool_small_224", pretrained, **kwargs)


@register_model
def wavpool_base_224(pretrained: bool = False, **kwargs: Any) -> WavPoolNet:
    """Four stages for images of about 224 x 224."""
    return _create("wavpool_base_224", pretrained, **kwargs)
