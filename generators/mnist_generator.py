"""MNIST: 60,000 + 10,000 handwritten digits, 28x28 gray (LeCun, Cortes, Burges)."""

from __future__ import annotations

from torchvision.datasets import MNIST

from generators.data import Data, Options
from generators.idx_source import idx_source, load_idx

CLASS_NAMES = tuple(str(digit) for digit in range(10))

SOURCE = idx_source(
    title="MNIST",
    places=("mnist", "MNIST/raw"),
    mirrors=MNIST.mirrors,
    resources=MNIST.resources,
    sha256={
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
)


def load(options: Options) -> Data:
    """Load MNIST; see :func:`generators.load_data`."""
    return load_idx("mnist", SOURCE, CLASS_NAMES, options)
