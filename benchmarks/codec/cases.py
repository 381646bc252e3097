"""What is compressed and measured: a network with its calibration, validation and test data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from . import data, networks
from .trained import Batches

Load = Callable[[], Batches]


@dataclass(frozen=True)
class Case:
    """A network of :mod:`benchmarks.codec.networks` and its data of :mod:`benchmarks.codec.data`."""

    network: Callable[[], nn.Module]
    calibration: Load
    validation: Load
    test: Load
    train: Load | None = None


_CIFAR10 = (data.cifar10_calibration, data.cifar10_validation, data.cifar10_test, data.cifar10_train)
_IMAGENET = (data.imagenet_calibration, data.imagenet_calibration, data.imagenet_test)
CASES = {
    "resnet20": Case(networks.resnet20, *_CIFAR10),
    "resnet56": Case(networks.resnet56, *_CIFAR10),
    "resnet8": Case(networks.resnet8, *_CIFAR10),
    "vgg": Case(networks.vgg, *_CIFAR10),
    "efficientnet": Case(networks.efficientnet, *_CIFAR10),
    "mobilenet_v2": Case(networks.mobilenet_v2, *_IMAGENET),
    "mnist_mlp": Case(networks.mnist_mlp, data.mnist_calibration, data.mnist_validation, data.mnist_test),
    "image_mlp": Case(
        networks.image_mlp, data.fashion_mnist_calibration, data.fashion_mnist_validation, data.fashion_mnist_test
    ),
    "minilm_sst2": Case(networks.minilm_sst2, data.sst2_calibration, data.sst2_validation, data.sst2_test),
}
