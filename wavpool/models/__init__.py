"""The model zoo. Importing this module registers the models with timm."""

try:
    import timm as _timm  # noqa: F401
except Exception as error:  # a broken torchvision makes timm raise RuntimeError, and more
    raise ImportError(
        f"the models of wavpool need timm, and importing it failed with {type(error).__name__}: {error}; "
        "install it, with a torchvision that matches your torch: pip install --upgrade timm torch torchvision"
    ) from error

from . import wavpool_paper as _wavpool_paper  # noqa: F401
from .alexnet import AlexNet
from .cards import model_card, save_for_hf
from .lenet import LeNet5
from .resnet_cifar import CifarResNet
from .vanilla_cnn import PaperCNN, VanillaCNN
from .vanilla_mlp import VanillaMLP
from .vgg_cifar import CifarVGG
from .wavemix import WaveMixLite
from .wavpool_0_1 import load_wavpool_0_1
from .wavpool_dense import WavPoolDense
from .wavpool_net import WavPoolNet
from .wtconvnext import WTConvNeXt

__all__ = [
    "AlexNet",
    "CifarResNet",
    "CifarVGG",
    "LeNet5",
    "PaperCNN",
    "VanillaCNN",
    "VanillaMLP",
    "WTConvNeXt",
    "WavPoolDense",
    "WavPoolNet",
    "WaveMixLite",
    "load_wavpool_0_1",
    "model_card",
    "save_for_hf",
]
