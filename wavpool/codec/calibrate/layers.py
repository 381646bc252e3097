"""The layers that calibration rounds, and what their weights are multiplied with."""

import math
from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

Weighted = nn.Linear | _ConvNd
KNOWN = (nn.Linear.forward, nn.Conv1d.forward, nn.Conv2d.forward, nn.Conv3d.forward)


def is_weighted(module: nn.Module | None) -> TypeGuard[Weighted]:
    """Whether a module multiplies patches of its input with a matrix, so that errors can be fed back.

    Of a class with a forward of its own nobody knows, but for timm's, which pads first.
    """
    if not isinstance(module, nn.Linear | _ConvNd):
        return False
    return type(module).forward in KNOWN or type(module).__name__ == "Conv2dSame"


def channel_axis(module: nn.Module, output: Tensor) -> int:
    """The axis of a layer's output that counts its channels."""
    if isinstance(module, _ConvNd):
        return output.ndim - module.weight.ndim + 1
    return 1 if isinstance(module, _BatchNorm) else output.ndim - 1


def groups_of(module: nn.Module) -> int:
    """Groups of channels that do not see each other's inputs."""
    return module.groups if isinstance(module, _ConvNd) else 1


def patches(module: Weighted, x: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """What the rows of a layer's weight are multiplied with.

    Args:
        module: a layer for which `is_weighted` holds.
        x: its input, a batch.
        most: positions a sample, drawn by chance where there are more.
        generator: of the draw.

    Returns:
        (groups, m, d): of each group m patches of d = in / groups * prod(kernel) elements.
    """
    if isinstance(module, nn.Linear):
        return x.reshape(1, -1, x.shape[-1])
    d = math.prod(module.weight.shape[1:])
    plain = type(module).forward is nn.Conv2d.forward and module.padding_mode == "zeros"
    if plain and not isinstance(module.padding, str):
        found = F.unfold(x, module.kernel_size, module.dilation, module.padding, module.stride)
    else:
        found = _by_convolution(module, x, d)
    found = found.reshape(len(x), module.groups, d, -1)
    positions = found.shape[-1]
    if positions > most:
        found = found[..., torch.randperm(positions, generator=generator)[:most].to(x.device)]
    return found.permute(1, 0, 3, 2).reshape(module.groups, -1, d)


def _by_convolution(module: _ConvNd, x: Tensor, d: int) -> Tensor:
    """Patches (batch, groups * d, positions) by the layer's own forward, with unit vectors for weights."""
    kernel = module.weight.shape[1:]
    units = torch.eye(d, dtype=x.dtype, device=x.device).reshape(d, *kernel).repeat(module.groups, *[1] * len(kernel))
    weight, bias = module.weight, module.bias
    try:
        module.weight, module.bias = nn.Parameter(units, requires_grad=False), None
        found: Tensor = type(module).forward(module, x).flatten(2)
        return found
    finally:
        module.weight, module.bias = weight, bias
