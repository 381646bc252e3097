"""Fashion-MNIST: 60,000 + 10,000 articles of clothing, 28x28 gray (Xiao, Rasul, Vollgraf; arXiv 1708.07747)."""

from __future__ import annotations

from torchvision.datasets import FashionMNIST

from generators.data import Data, Options
from generators.idx_source import idx_source, load_idx

CLASS_NAMES = tuple(FashionMNIST.classes)

SOURCE = idx_source(
    title="Fashion-MNIST",
    places=("fashion-mnist", "fashion_mnist", "FashionMNIST/raw"),
    mirrors=FashionMNIST.mirrors,
    resources=FashionMNIST.resources,
    sha256={
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
)


def load(options: Options) -> Data:
    """Load Fashion-MNIST; see :func:`generators.load_data`."""
    return load_idx("fashion_mnist", SOURCE, CLASS_NAMES, options)
