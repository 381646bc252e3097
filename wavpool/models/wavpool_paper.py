"""The networks of the paper, bit-faithful: the original 0.1.x package's with their tuned settings.

Paper: "WavPool: A New Block for Deep Neural Networks", McDermott, Voetberg, Nord, arXiv 2306.08734.

Parameters that their pooling cuts off from the output are included; `wavpool.inspect` lists them.
"""

from typing import Any

from timm.models import register_model

from ._base import build, paper_cfg
from ._weights import default_cfgs_with_weights
from .wavpool_dense import WavPoolDense

_LEVELS = tuple(f"block.levels.{index}" for index in range(5))

default_cfgs = default_cfgs_with_weights(
    {
        "wavpool_paper.untrained": paper_cfg(_LEVELS, 32),
        "wavpool_paper_cifar10.untrained": paper_cfg(_LEVELS, 32),
        "wavpool_paper_fashion_mnist.untrained": paper_cfg(_LEVELS[:4], 28),
        "wavpool_paper_mnist.untrained": paper_cfg(_LEVELS[:4], 28),
        "wavmlp_paper.untrained": paper_cfg(_LEVELS[0], 32),
        "wavmlp_paper_cifar10.untrained": paper_cfg(_LEVELS[0], 32),
        "wavmlp_paper_fashion_mnist.untrained": paper_cfg(_LEVELS[0], 28),
        "wavmlp_paper_mnist.untrained": paper_cfg(_LEVELS[0], 28),
    }
)


def _paper(variant: str, pretrained: bool, **kwargs: Any) -> WavPoolDense:
    """The original's hyper-parameters; floats are truncated, windows are cubes in floor mode, coarse levels narrow."""
    settings = {"hidden": 224.2195, "pooling": 2.2, "pool_mode": "max", "hidden_scaling": True, **kwargs}
    pooling = int(settings.pop("pooling"))
    settings["hidden"] = int(settings["hidden"])
    return build(WavPoolDense, variant, pretrained, **{"kernel_size": pooling, "ceil_mode": False, **settings})


@register_model
def wavpool_paper(pretrained: bool = False, **kwargs: Any) -> WavPoolDense:
    """The original WavPool; `hidden`, `pooling`, `pool_mode` and `hidden_scaling` are its hyper-parameters."""
    return _paper("wavpool_paper", pretrained, **kwargs)


@register_model
def wavpool_paper_cifar10(pretrained: bool = False, **kwargs: Any) -> WavPoolDense:
    """Tuned on gray CIFAR-10: 201,672 parameters."""
    return _paper("wavpool_paper_cifar10", pretrained, **{"hidden": 224.2195, "pooling": 2.2, **kwargs})


@register_model
def wavpool_paper_fashion_mnist(pretrained: bool = False, **kwargs: Any) -> WavPoolDense:
    """Tuned on Fashion-MNIST: 186,722 parameters."""
    return _paper("wavpool_paper_fashion_mnist", pretrained, **{"hidden": 268.5255, "pooling": 2.17, **kwargs})


@register_model
def wavpool_paper_mnist(pretrained: bool = False, **kwargs: Any) -> WavPoolDense:
    """Tuned on MNIST: 186,722 parameters."""
    return _paper("wavpool_paper_mnist", pretrained, **{"hidden": 268.3038, "pooling": 2.56, **kwargs})


def _wavmlp(variant: str, pretrained: bool, **kwargs: Any) -> WavPoolDense:
    """One level, no pooling. The original counts levels from the coarsest; `level` here does too."""
    settings = {"hidden": 267, "level": 2, **kwargs}
    level = int(settings.pop("level"))
    settings["hidden"] = int(settings["hidden"])
    return build(WavPoolDense, variant, pretrained, **{"levels": [-level], "kernel_size": 1, **settings})


@register_model
def wavmlp_paper(pretrained: bool = False, **kwargs: Any) -> WavPoolDense:
    """The original WavMLP, one MicroWav and a classifier; `hidden` and `level` (1 = coarsest) are its settings."""
    return _wavmlp("wavmlp_paper", pretrained, **kwargs)


@register_model
def wavmlp_paper_cifar10(pretrained: bool = False, **kwargs: Any) -> WavPoolDense:
    """Tuned on gray CIFAR-10: 12,025 parameters."""
    return _wavmlp("wavmlp_paper_cifar10", pretrained, **{"hidden": 267, **kwargs})


@register_model
def wavmlp_paper_fashion_mnist(pretrained: bool = False, **kwargs: Any) -> WavPoolDense:
    """Tuned on Fashion-MNIST: 21,799 parameters."""
    return _wavmlp("wavmlp_paper_fashion_mnist", pretrained, **{"hidden": 269, **kwargs})


@register_model
def wavmlp_paper_mnist(pretrained: bool = False, **kwargs: Any) -> WavPoolDense:
    """Tuned on MNIST: 20,260 parameters."""
    return _wavmlp("wavmlp_paper_mnist", pretrained, **{"hidden": 250, **kwargs})
