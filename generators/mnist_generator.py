"""MNIST: 60,000 + 10,000 handwritten digits, 28x28 gray (LeCun, Cortes, Burges)."""

from __future__ import annotations

from torchvision.datasets import MNIST

from generators.data import Data, Options
from generators.digests import MNIST_SHA256
from generators.idx_source import idx_source, load_idx

CLASS_NAMES = tuple(str(digit) for digit in range(10))

SOURCE = idx_source(
    title="MNIST",
    places=("mnist", "MNIST/raw"),
    mirrors=MNIST.mirrors,
    resources=MNIST.resources,
    sha256=MNIST_SHA256,
)


def load(options: Options) -> Data:
    """Load MNIST; see :func:`generators.load_data`."""
    return load_idx("mnist", SOURCE, CLASS_NAMES, options)
