"""AlexNet by torchvision, for large images and for small ones."""

from __future__ import annotations

from torch import nn
from torchvision.models import AlexNet

SMALL = 63  # pixels: below, the strides leave nothing


def alexnet(num_classes: int = 1000, in_chans: int = 3, img_size: int | tuple[int, int] = 224) -> AlexNet:
    """The single-stream AlexNet (A. Krizhevsky, One weird trick ..., arXiv 1404.5997).

    Images under 63 pixels meet the first convolution at stride 1 in place of 4; the parameters are the same.

    Args:
        num_classes: outputs.
        in_chans: channels of the images.
        img_size: side, or height and width.
    """
    model = AlexNet(num_classes=num_classes)
    small = (img_size if isinstance(img_size, int) else min(img_size)) < SMALL
    if small or in_chans != 3:
        stride, padding = (1, 5) if small else (4, 2)
        model.features[0] = nn.Conv2d(in_chans, 64, 11, stride, padding)
    return model
