"""WavPool networks: the paper's, bit-faithful, and ours, in which every parameter is live.

Paper: "WavPool: A New Block for Deep Neural Networks", McDermott, Voetberg, Nord, arXiv 2306.08734.

`wavpool_tiny`, `wavpool_small`, `wavpool_base`: every band of the Haar levels down to 4 x 4 or an odd side, the
coarsest approximation included, goes through its own dense layer; maxout over pairs of units pools the responses; one
hidden layer and a classifier follow.

`wavpool_paper*`, `wavmlp_paper*`: the original 0.1.x networks with their tuned settings, dead parameters included
(`wavpool.inspect` lists them).
"""

from collections.abc import Sequence
from typing import Any

import torch
from timm.models import build_model_with_cfg, checkpoint, generate_default_cfgs, register_model
from torch import Tensor, nn

from ..layers import WavPool
from ..layers.geometry import to_size
from ..transforms import dwt_max_level, level_sizes
from ._base import FEATURE_CFG, ZooModel, image_cfg, paper_cfg

__all__ = ["WavPoolNet"]


class WavPoolNet(ZooModel):
    """A WavPool block, optionally a hidden layer, and a classifier.

    Args:
        img_size: image side or `(H, W)`; at least 2 x 2.
        in_chans, num_classes, global_pool, drop_rate: as in timm; dropout acts before the classifier.
        hidden: units a band; one number, or one a level, coarsest first.
        hidden_scaling: narrow the coarser levels as the paper does.
        finest_ratio: factor on `hidden` for the finest level, which holds three quarters of all coefficients.
        levels: decomposition levels, 1 = finest; all by default.
        min_band: without `levels`, stop before bands smaller than this on a side, and before a level that would halve
            an odd side: repeating the last sample makes some of its coefficients zero for every image, and their
            weights dead. The finest level is always used.
        approximation: units for the coarsest approximation, 0 for none.
        kernel_size, pool_mode, ceil_mode: see `wavpool.layers.WavPool`.
        neck: width of the hidden layer after pooling (dense, BatchNorm, ReLU), 0 for none.

    Shape:
        `(B, in_chans, H, W)` to `(B, num_classes)`. The taps are 1 x 1 maps: the responses of the levels, coarsest
        first, `(B, 3 * hidden, 1, 1)`, the approximation's, the pooled responses, and the final features.
    """

    def __init__(
        self,
        img_size: int | Sequence[int] = 32,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        hidden: int | Sequence[int] = 128,
        hidden_scaling: bool = False,
        finest_ratio: float = 1.0,
        levels: Sequence[int] | None = None,
        min_band: int | None = None,
        approximation: int = 0,
        kernel_size: int | Sequence[int] = (2, 1, 1),
        pool_mode: str = "max",
        ceil_mode: bool = True,
        neck: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_classes, in_chans, drop_rate)
        size = to_size(img_size)
        if levels is None:
            deepest = dwt_max_level(size)
            levels = range(1, 1 + (deepest if min_band is None else _live_levels(size, deepest, min_band)))
        if isinstance(hidden, int) and not hidden_scaling:
            hidden = [hidden] * (len(levels) - 1) + [int(hidden * finest_ratio)]
        self.block = WavPool(
            size,
            hidden,
            in_chans,
            hidden_scaling=hidden_scaling,
            levels=levels,
            approximation=approximation,
            kernel_size=kernel_size,
            pool_mode=pool_mode,
            ceil_mode=ceil_mode,
            device=device,
            dtype=dtype,
        )
        self.num_features = self.block.num_features
        self.neck: nn.Module = nn.Identity()
        if neck:
            self.neck = nn.Sequential(
                nn.Linear(self.num_features, neck, bias=False, device=device, dtype=dtype),
                nn.BatchNorm1d(neck, device=device, dtype=dtype),
                nn.ReLU(),
            )
            self.num_features = neck
        taps = [(3 * width, f"block.levels.{index}") for index, width in enumerate(self.block.pool.hidden)]
        if approximation:
            taps.append((approximation, "block.approximation"))
        self.num_responses = len(taps)
        taps += [(self.block.num_features, "block"), (self.num_features, "neck")]
        self.feature_info = [{"num_chs": chs, "reduction": max(size), "module": module} for chs, module in taps]
        self._set_head(global_pool, device, dtype)

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        # The levels lie side by side, so they are one depth for layer-wise decay.
        return {"stem": r"^block", "blocks": [(r"^neck", (0,))]}

    def forward_features(self, x: Tensor) -> Tensor:
        if self.num_taps <= self.num_responses:  # pruned to some of the responses
            return self._forward_taps(x, self.num_taps)[-1]
        x = self._checkpoint_block(x) if self.grad_checkpointing and not torch.jit.is_scripting() else self.block(x)
        return self.neck(x)[:, :, None, None]  # type: ignore[no-any-return]

    @torch.jit.unused
    def _checkpoint_block(self, x: Tensor) -> Tensor:
        return checkpoint(self.block, x)  # type: ignore[no-any-return]

    def _forward_taps(self, x: Tensor, count: int) -> list[Tensor]:
        responses = self.block.responses(x)
        taps = [response.flatten(1)[:, :, None, None] for response in responses]
        if count > self.num_responses:
            pooled = self.block.pool_responses(responses)
            taps += [pooled[:, :, None, None], self.neck(pooled)[:, :, None, None]]
        return taps[:count]

    def _keep_taps(self, count: int) -> None:
        self.neck = nn.Identity()
        if count <= self.num_responses:
            self.block.keep_responses(count)


def _live_levels(size: tuple[int, int], deepest: int, min_band: int) -> int:
    """Number of levels before a band smaller than `min_band` or an odd side to halve; at least 1."""
    count = 1
    for height, width in level_sizes(size, deepest)[1:-1]:
        if height % 2 or width % 2 or min(height, width) // 2 < min_band:
            break
        count += 1
    return count


_LEVELS = tuple(f"block.levels.{index}" for index in range(5))
_OURS = image_cfg(
    (*_LEVELS[:3], "block.approximation"), min_input_size=(3, 2, 2), origin_url="", paper_ids="arXiv:2306.08734"
)

default_cfgs = generate_default_cfgs(
    {
        "wavpool_tiny.untrained": dict(_OURS),
        "wavpool_small.untrained": dict(_OURS),
        "wavpool_base.untrained": dict(_OURS),
        "wavpool_paper.untrained": paper_cfg(_LEVELS[:5], 32),
        "wavpool_paper_cifar10.untrained": paper_cfg(_LEVELS[:5], 32),
        "wavpool_paper_fashion_mnist.untrained": paper_cfg(_LEVELS[:4], 28),
        "wavpool_paper_mnist.untrained": paper_cfg(_LEVELS[:4], 28),
        "wavmlp_paper.untrained": paper_cfg("block.levels.0", 32),
        "wavmlp_paper_cifar10.untrained": paper_cfg("block.levels.0", 32),
        "wavmlp_paper_fashion_mnist.untrained": paper_cfg("block.levels.0", 28),
        "wavmlp_paper_mnist.untrained": paper_cfg("block.levels.0", 28),
    }
)


def _create(variant: str, pretrained: bool, **kwargs: Any) -> WavPoolNet:
    return build_model_with_cfg(WavPoolNet, variant, pretrained, feature_cfg=dict(FEATURE_CFG), **kwargs)


def _ours(variant: str, pretrained: bool, **kwargs: Any) -> WavPoolNet:
    return _create(variant, pretrained, **{"min_band": 4, "finest_ratio": 0.5, **kwargs})


@register_model
def wavpool_tiny(pretrained: bool = False, **kwargs: Any) -> WavPoolNet:
    """Smallest of ours."""
    sizes = {"hidden": 64, "approximation": 64, "neck": 48}
    return _ours("wavpool_tiny", pretrained, **{**sizes, **kwargs})


@register_model
def wavpool_small(pretrained: bool = False, **kwargs: Any) -> WavPoolNet:
    """Within the paper's parameter count on its gray images of ten classes."""
    sizes = {"hidden": 128, "approximation": 128, "neck": 64}
    return _ours("wavpool_small", pretrained, **{**sizes, **kwargs})


@register_model
def wavpool_base(pretrained: bool = False, **kwargs: Any) -> WavPoolNet:
    """About a million parameters on colour images of ten classes."""
    sizes = {"hidden": 384, "approximation": 384, "neck": 256}
    return _ours("wavpool_base", pretrained, **{**sizes, **kwargs})


def _paper(variant: str, pretrained: bool, **kwargs: Any) -> WavPoolNet:
    """The original's hyper-parameters; floats are truncated, windows are cubes in floor mode, coarse levels narrow."""
    settings = {"hidden": 224.2195, "pooling": 2.2, "pool_mode": "max", "hidden_scaling": True, **kwargs}
    pooling = int(settings.pop("pooling"))
    settings["hidden"] = int(settings["hidden"])
    return _create(variant, pretrained, **{"kernel_size": pooling, "ceil_mode": False, **settings})


@register_model
def wavpool_paper(pretrained: bool = False, **kwargs: Any) -> WavPoolNet:
    """The original WavPool; `hidden`, `pooling`, `pool_mode` and `hidden_scaling` are its hyper-parameters."""
    return _paper("wavpool_paper", pretrained, **kwargs)


@register_model
def wavpool_paper_cifar10(pretrained: bool = False, **kwargs: Any) -> WavPoolNet:
    """Tuned on gray CIFAR-10: 201,672 parameters."""
    return _paper("wavpool_paper_cifar10", pretrained, **{"hidden": 224.2195, "pooling": 2.2, **kwargs})


@register_model
def wavpool_paper_fashion_mnist(pretrained: bool = False, **kwargs: Any) -> WavPoolNet:
    """Tuned on Fashion-MNIST: 186,722 parameters."""
    return _paper("wavpool_paper_fashion_mnist", pretrained, **{"hidden": 268.5255, "pooling": 2.17, **kwargs})


@register_model
def wavpool_paper_mnist(pretrained: bool = False, **kwargs: Any) -> WavPoolNet:
    """Tuned on MNIST: 186,722 parameters."""
    return _paper("wavpool_paper_mnist", pretrained, **{"hidden": 268.3038, "pooling": 2.56, **kwargs})


def _wavmlp(variant: str, pretrained: bool, **kwargs: Any) -> WavPoolNet:
    """One level, no pooling. The original counts levels from the coarsest; `level` here does too."""
    settings = {"hidden": 267, "level": 2, **kwargs}
    level = int(settings.pop("level"))
    settings["hidden"] = int(settings["hidden"])
    return _create(variant, pretrained, **{"levels": [-level], "kernel_size": 1, **settings})


@register_model
def wavmlp_paper(pretrained: bool = False, **kwargs: Any) -> WavPoolNet:
    """The original WavMLP, one MicroWav and a classifier; `hidden` and `level` (1 = coarsest) are its settings."""
    return _wavmlp("wavmlp_paper", pretrained, **kwargs)


@register_model
def wavmlp_paper_cifar10(pretrained: bool = False, **kwargs: Any) -> WavPoolNet:
    """Tuned on gray CIFAR-10: 12,025 parameters."""
    return _wavmlp("wavmlp_paper_cifar10", pretrained, **{"hidden": 267, **kwargs})


@register_model
def wavmlp_paper_fashion_mnist(pretrained: bool = False, **kwargs: Any) -> WavPoolNet:
    """Tuned on Fashion-MNIST: 21,799 parameters."""
    return _wavmlp("wavmlp_paper_fashion_mnist", pretrained, **{"hidden": 269, **kwargs})


@register_model
def wavmlp_paper_mnist(pretrained: bool = False, **kwargs: Any) -> WavPoolNet:
    """Tuned on MNIST: 20,260 parameters."""
    return _wavmlp("wavmlp_paper_mnist", pretrained, **{"hidden": 250, **kwargs})
