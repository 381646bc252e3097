"""The networks that the codec is measured on, without weights."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import EfficientNet
from torchvision.models.efficientnet import MBConvConfig

# Channels of a convolution with BatchNorm and ReLU, or "M": a max pool of 2 x 2.
VGG = (32, 64, "M", 128, 128, "M", 128, 128, "M", 256, 256, "M")

# Expansion, kernel, stride, channels in and out, and layers of EfficientNet-B0's blocks (Tan and Le 2019, table 1).
EFFICIENTNET_B0 = (
    (1, 3, 1, 32, 16, 1), (6, 3, 2, 16, 24, 2), (6, 5, 2, 24, 40, 2), (6, 3, 2, 40, 80, 3),
    (6, 5, 1, 80, 112, 3), (6, 5, 2, 112, 192, 4), (6, 3, 1, 192, 320, 1),
)  # fmt: skip


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and the parameter-free shortcut, option A of He et al. 2016, section 4.2.

    Where the block halves the image, the shortcut takes every second row and column and pads the missing channels with
    zeros, half of them on each side.

    Args:
        in_planes: channels of the input.
        planes: channels of the output.
        stride: 1, or 2 to halve the image.
    """

    def __init__(self, in_planes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.stride, self.padding = stride, (planes - in_planes) // 2

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        return F.relu(y + F.pad(shortcut, (0, 0, 0, 0, self.padding, self.padding)))


class CifarResNet(nn.Module):
    """ResNet for 32x32 images (He et al. 2016, arXiv 1512.03385, section 4.2): (B, 3, 32, 32) -> logits (B, 10).

    Args:
        depth: number of weighted layers, 6 n + 2.
        num_classes: number of logits.
    """

    def __init__(self, depth: int, num_classes: int = 10) -> None:
        super().__init__()
        if depth < 8 or depth % 6 != 2:
            raise ValueError(f"a CIFAR ResNet has 6 n + 2 layers (8, 14, 20, ...), not {depth}")
        blocks = depth // 6
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, 1, blocks)
        self.layer2 = _stage(16, 32, 2, blocks)
        self.layer3 = _stage(32, 64, 2, blocks)
        self.linear = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


def _stage(in_planes: int, planes: int, stride: int, blocks: int) -> nn.Sequential:
    first = BasicBlock(in_planes, planes, stride)
    return nn.Sequential(first, *(BasicBlock(planes, planes, 1) for _ in range(blocks - 1)))


class CifarVGG(nn.Module):
    """VGG with BatchNorm (Simonyan and Zisserman 2015, arXiv 1409.1556), narrow, for 32x32: -> logits (B, 10).

    Args:
        layers: channels of each convolution, "M" for a max pool that halves the image.
        num_classes: number of logits.
    """

    def __init__(self, layers: Sequence[int | str] = VGG, num_classes: int = 10) -> None:
        super().__init__()
        features: list[nn.Module] = []
        channels = 3
        for layer in layers:
            if isinstance(layer, str):
                features.append(nn.MaxPool2d(2))
            else:
                convolution = nn.Conv2d(channels, layer, 3, padding=1, bias=False)
                features += [convolution, nn.BatchNorm2d(layer), nn.ReLU(inplace=True)]
                channels = layer
        self.features = nn.Sequential(*features)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


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
