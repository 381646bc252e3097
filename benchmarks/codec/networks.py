"""The networks of the codec's experiments, with their weights: functions without arguments, in evaluation mode.

The two deep ResNets and MobileNetV2 are those of the shared data; the others are trained here at the first call, which
takes a minute to some minutes, and kept (see :mod:`benchmarks.codec.trained`). Accuracies are on the test split.

===================  ===============  =========  =======================================================
network              data              floats    what it stands for
===================  ===============  =========  =======================================================
``resnet20``         CIFAR-10           271,098  what the codec is tuned on: 3x3 convolutions
``resnet56``         CIFAR-10           857,082  the same, deeper
``resnet8``          CIFAR-10            75,770  the same, smaller
``vgg``              CIFAR-10         1,427,178  3x3 convolutions without shortcuts
``efficientnet``     CIFAR-10         1,099,356  1x1 and depthwise convolutions, squeeze and excitation, SiLU
``mobilenet_v2``     ImageNet         3,538,984  1x1 and depthwise convolutions
``mnist_mlp``        MNIST              101,770  the ancestors' network, 784-128-10
``image_mlp``        Fashion-MNIST      266,610  linear layers on images, 784-300-100-10
``minilm_sst2``      SST-2           22,566,146  a BERT encoder of six layers with a head
===================  ===============  =========  =======================================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import timm
import torch
from torch import nn
from torchvision.models import EfficientNet
from torchvision.models import mobilenet_v2 as torchvision_mobilenet_v2

import wavpool  # noqa: F401  (registers its models in timm)
from generators import BatchLoader
from generators.errors import DataError

from . import data
from .architectures import cifar_efficientnet, mlp
from .minilm import SentenceClassifier
from .places import locate, sha256
from .trained import Batches, fit, trained

MOBILENET = "weights/mobilenet_v2-b0353104.pth"
CIFAR_EPOCHS, EFFICIENTNET_EPOCHS, MLP_EPOCHS, SST2_EPOCHS = 12, 10, 10, 2


def resnet20() -> nn.Module:
    """ResNet-20 on CIFAR-10, 91.73 %."""
    return _cifar_resnet(20)


def resnet56() -> nn.Module:
    """ResNet-56 on CIFAR-10, 93.39 %."""
    return _cifar_resnet(56)


def _cifar_resnet(depth: int) -> nn.Module:
    path = locate(f"weights/resnet{depth}_cifar10.safetensors")
    try:
        return _zoo(f"resnet{depth}", pretrained=True, pretrained_cfg_overlay={"file": str(path)}).eval()
    except RuntimeError as error:
        raise DataError(
            f"{path} does not hold the weights of a ResNet-{depth}; replace it by the file of the data set"
        ) from error


def _zoo(name: str, **options: Any) -> nn.Module:
    model: nn.Module = timm.create_model(name, **options)
    return model


def mobilenet_v2() -> nn.Module:
    """Torchvision's MobileNetV2, trained on ImageNet: (B, 3, 224, 224) -> logits (B, 1000)."""
    path = locate(MOBILENET)
    if not sha256(path).startswith(path.stem.rpartition("-")[2]):
        raise DataError(f"{path} is truncated or altered; replace it by the file that torchvision names")
    model: nn.Module = torchvision_mobilenet_v2()
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval()


def resnet8() -> nn.Module:
    """ResNet-8 on CIFAR-10, 81.28 %."""
    return trained("resnet8.cifar10", partial(_zoo, "resnet8"), _train_on_cifar10)


def vgg() -> nn.Module:
    """A narrow VGG of eight convolutions with BatchNorm, on CIFAR-10, 89.64 %."""
    return trained("vgg9_bn.cifar10", partial(_zoo, "vgg9_bn"), _train_on_cifar10)


def efficientnet() -> EfficientNet:
    """EfficientNet-B0 at half its width, on CIFAR-10, 73.32 % (ten epochs)."""
    return trained("efficientnet_cifar10", cifar_efficientnet, _train_efficientnet)


def mnist_mlp() -> nn.Sequential:
    """The ancestors' MLP, 784-128-10, on MNIST, 98.04 %."""
    return _mlp("mnist", (784, 128, 10))


def image_mlp() -> nn.Sequential:
    """An MLP 784-300-100-10 on Fashion-MNIST, 89.59 %."""
    return _mlp("fashion_mnist", (784, 300, 100, 10))


def _mlp(name: str, sizes: Sequence[int]) -> nn.Sequential:
    model: nn.Sequential = trained(f"mlp_{name}", partial(mlp, sizes), partial(_train_mlp, name))
    return model


def minilm_sst2() -> SentenceClassifier:
    """MiniLM-L6 fine-tuned on SST-2, 88.80 %: token numbers (B, T), 0 for padding -> logits (B, 2)."""
    return trained("minilm_sst2", SentenceClassifier.pretrained, _train_on_sst2)


def _train_on_cifar10(model: nn.Module, epochs: int = CIFAR_EPOCHS, autocast: bool = True) -> None:
    batches = data.loader("cifar10", "train", shuffle=True, augment="crop_flip", batch_size=128, drop_last=True)
    optimizer = torch.optim.SGD(model.parameters(), 0.2, momentum=0.9, nesterov=True, weight_decay=5e-4)
    fit(model, partial(_epoch, batches), len(batches), optimizer, epochs, autocast)


def _train_efficientnet(model: nn.Module) -> None:
    """In float32 with channels last: twice as fast as bfloat16 for depthwise convolutions without matrix units."""
    model.to(memory_format=torch.channels_last)
    _train_on_cifar10(model, EFFICIENTNET_EPOCHS, autocast=False)
    model.to(memory_format=torch.contiguous_format)


def _train_mlp(name: str, model: nn.Module) -> None:
    batches = data.loader(name, "train", shuffle=True, batch_size=128)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.01)
    fit(model, partial(_epoch, batches), len(batches), optimizer, MLP_EPOCHS)


def _epoch(batches: BatchLoader, epoch: int) -> Batches:
    batches.set_epoch(epoch)
    return batches


def _train_on_sst2(model: SentenceClassifier) -> None:
    """The encoder with a small rate and the new head with a large one; the embeddings stay as they are."""
    model.encoder.embeddings.requires_grad_(False)
    groups = [
        {"params": model.encoder.encoder.parameters(), "lr": 5e-5},
        {"params": model.classifier.parameters(), "lr": 1e-3},
    ]
    batches = data.sst2("train", batch_size=32, seed=0)
    fit(
        model,
        lambda epoch: data.sst2("train", batch_size=32, seed=epoch),
        len(batches),
        torch.optim.AdamW(groups),
        SST2_EPOCHS,
    )


TRAINED: dict[str, Callable[[], Batches]] = {
    "mnist_mlp": data.mnist_test,
    "image_mlp": data.fashion_mnist_test,
    "resnet8": data.cifar10_test,
    "vgg": data.cifar10_test,
    "efficientnet": data.cifar10_test,
    "minilm_sst2": data.sst2_test,
}
