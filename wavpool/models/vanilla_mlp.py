"""Multilayer perceptrons on pixels: the paper's baseline (no activation) and a fair one."""

from collections.abc import Sequence
from typing import Any

import torch
from timm.models import register_model
from torch import Tensor, nn

from ..layers import BandLinear
from ..layers.geometry import to_size
from ._base import ChainModel, build, image_cfg, paper_cfg
from ._weights import default_cfgs_with_weights

__all__ = ["VanillaMLP"]


class ImageLinear(BandLinear):
    """`BandLinear` with the whole image as its one band: `(B, in_chans, H, W)` to `(B, hidden, 1, 1)`."""

    def __init__(self, in_chans: int, size: tuple[int, int], hidden: int, **kwargs: Any) -> None:
        super().__init__(in_chans, size, hidden, bands=1, **kwargs)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return nn.functional.linear(x.flatten(1), self.weight.flatten(1), self.bias)[:, :, None, None]


class VanillaMLP(ChainModel):
    """Dense layers on pixels.

    Args:
        img_size, in_chans, num_classes, global_pool, drop_rate: as in timm; dropout follows every hidden layer.
        hidden: width of each hidden layer.
        norm: BatchNorm after each dense layer; the paper has none.
        act_layer: activation class after that; `nn.Identity` is the paper's.

    Shape:
        `(B, in_chans, H, W)` to `(B, num_classes)`. Every stage is a tap, a 1 x 1 map.
    """

    def __init__(
        self,
        img_size: int | Sequence[int] = 32,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        hidden: Sequence[int] = (256, 128, 64),
        norm: bool = True,
        act_layer: type[nn.Module] = nn.ReLU,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_classes, in_chans, 0.0)
        size = to_size(img_size)
        stages: list[tuple[str, nn.Module, int, int]] = []
        for index, width in enumerate(hidden, start=1):
            dense: nn.Module
            if index == 1:
                dense = ImageLinear(in_chans, size, width, device=device, dtype=dtype)
            else:
                dense = nn.Conv2d(hidden[index - 2], width, 1, device=device, dtype=dtype)
            parts = {"fc": dense, "bn": nn.BatchNorm2d(width, device=device, dtype=dtype)} if norm else {"fc": dense}
            parts |= {"act": act_layer(), "drop": nn.Dropout(drop_rate)}
            stages += [(f"{name}{index}", module, width, max(size)) for name, module in parts.items()]
        self._set_stages(stages, size)
        self._set_head(global_pool, device, dtype)


default_cfgs = default_cfgs_with_weights(
    {
        "vanilla_mlp.untrained": image_cfg("stages.fc1"),
        "mlp_paper.untrained": paper_cfg("stages.fc1", 32),
        "mlp_paper_cifar10.untrained": paper_cfg("stages.fc1", 32),
        "mlp_paper_fashion_mnist.untrained": paper_cfg("stages.fc1", 28),
        "mlp_paper_mnist.untrained": paper_cfg("stages.fc1", 28),
    }
)


def _create(variant: str, pretrained: bool, **kwargs: Any) -> VanillaMLP:
    return build(VanillaMLP, variant, pretrained, **kwargs)


@register_model
def vanilla_mlp(pretrained: bool = False, **kwargs: Any) -> VanillaMLP:
    """Dense layers, each with BatchNorm and ReLU; `hidden` is a list of widths."""
    return _create("vanilla_mlp", pretrained, **kwargs)


def _paper(variant: str, pretrained: bool, hidden: float, **kwargs: Any) -> VanillaMLP:
    """One hidden layer, no activation; a float width is truncated, as the original does."""
    return _create(variant, pretrained, **{"hidden": (int(hidden),), "norm": False, "act_layer": nn.Identity, **kwargs})


@register_model
def mlp_paper(pretrained: bool = False, **kwargs: Any) -> VanillaMLP:
    """The paper's MLP; `hidden` is its hyper-parameter."""
    return _paper("mlp_paper", pretrained, **{"hidden": 208.27, **kwargs})


@register_model
def mlp_paper_cifar10(pretrained: bool = False, **kwargs: Any) -> VanillaMLP:
    """Tuned on gray CIFAR-10: 215,290 parameters."""
    return _paper("mlp_paper_cifar10", pretrained, **{"hidden": 208.27, **kwargs})


@register_model
def mlp_paper_fashion_mnist(pretrained: bool = False, **kwargs: Any) -> VanillaMLP:
    """Tuned on Fashion-MNIST: 217,045 parameters."""
    return _paper("mlp_paper_fashion_mnist", pretrained, **{"hidden": 273.43, **kwargs})


@register_model
def mlp_paper_mnist(pretrained: bool = False, **kwargs: Any) -> VanillaMLP:
    """Tuned on MNIST: 216,250 parameters."""
    return _paper("mlp_paper_mnist", pretrained, **{"hidden": 272.03, **kwargs})
