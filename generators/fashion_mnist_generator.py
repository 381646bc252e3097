"""Fashion-MNIST: 60,000 + 10,000 articles of clothing, 28x28 gray (Xiao, Rasul, Vollgraf; arXiv 1708.07747)."""

from __future__ import annotations

from torchvision.datasets import FashionMNIST

from generators.data import Data, Options
from generators.digests import FASHION_MNIST_SHA256
from generators.idx_source import idx_source, load_idx

CLASS_NAMES = tuple(FashionMNIST.classes)

SOURCE = idx_source(
    title="Fashion-MNIST",
    places=("fashion-mnist", "fashion_mnist", "FashionMNIST/raw"),
    mirrors=FashionMNIST.mirrors,
    resources=FashionMNIST.resources,
    sha256=FASHION_MNIST_SHA256,
)


def load(options: Options) -> Data:
    """Load Fashion-MNIST; see :func:`generators.load_data`."""
    return load_idx("fashion_mnist", SOURCE, CLASS_NAMES, options)
