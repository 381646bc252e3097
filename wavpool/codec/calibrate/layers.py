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
    table = _taps(module, x.shape[2:])
    if table.shape[1] > most:
        table = table[:, torch.randperm(table.shape[1], generator=generator)[:most]]
    flat, table = (F.pad(x.flatten(2), (1, 0)), table) if bool((table == 0).any()) else (x.flatten(2), table - 1)
    found = flat.gather(2, table.flatten().to(x.device).expand(*flat.shape[:2], -1))
    found = found.reshape(len(x), module.groups, -1, table.shape[1])
    return found.permute(1, 0, 3, 2).reshape(module.groups, -1, found.shape[2])


def _taps(module: _ConvNd, size: torch.Size) -> Tensor:
    """Where each tap of a kernel reads, (taps, positions): 1 for a sample's first element, 0 for padding.

    Found by the layer's own forward, from an image of its indices and unit vectors for weights.
    """
    kernel = module.weight.shape[2:]
    image = 1 + torch.arange(math.prod(size), dtype=torch.float64).reshape(1, 1, *size)
    units = torch.eye(math.prod(kernel), dtype=torch.float64).reshape(-1, 1, *kernel)
    weight, bias, groups = module.weight, module.bias, module.groups
    try:
        module.weight, module.bias, module.groups = nn.Parameter(units, requires_grad=False), None, 1
        found: Tensor = type(module).forward(module, image)
        return found[0].flatten(1).round().long()
    finally:
        module.weight, module.bias, module.groups = weight, bias, groups
