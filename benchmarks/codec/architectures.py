"""Networks that the codec is measured on and the zoo does not have, without weights."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torchvision.models import EfficientNet
from torchvision.models.efficientnet import MBConvConfig

# Expansion, kernel, stride, channels in and out, and layers of EfficientNet-B0's blocks (Tan and Le 2019, table 1).
EFFICIENTNET_B0 = (
    (1, 3, 1, 32, 16, 1), (6, 3, 2, 16, 24, 2), (6, 5, 2, 24, 40, 2), (6, 3, 2, 40, 80, 3),
    (6, 5, 1, 80, 112, 3), (6, 5, 2, 112, 192, 4), (6, 3, 1, 192, 320, 1),
)  # fmt: skip


def cifar_efficientnet(width: float = 0.5, num_classes: int = 10) -> EfficientNet:
    """EfficientNet-B0 (Tan and Le 2019, arXiv 1905.11946), narrow, no stride in the stem, for 32x32: -> logits (B, 10).

    Args:
        width: factor of the channels.
        num_classes: number of logits.
    """
    blocks = [MBConvConfig(*block, width_mult=width, depth_mult=1.0) for block in EFFICIENTNET_B0]
    last = 4 * blocks[-1].out_channels
    model = EfficientNet(blocks, dropout=0.2, stochastic_depth_prob=0.0, num_classes=num_classes, last_channel=last)
    model.features[0][0].stride = (1, 1)
    return model


def mlp(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers with ReLU between them, on flattened images: (B, 1, 28, 28) -> logits (B, sizes[-1]).

    Args:
        sizes: features of the input, of each hidden layer, and the number of logits.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])


def num_weights(model: nn.Module) -> int:
    """Number of floating-point values in the state dict, buffers included: what fp32 storage takes, over 4."""
    return sum(tensor.numel() for tensor in model.state_dict().values() if torch.is_floating_point(tensor))
