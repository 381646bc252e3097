"""The model zoo. Importing this module registers the models with timm."""

from .lenet import LeNet5
from .vanilla_cnn import PaperCNN, VanillaCNN
from .vanilla_mlp import VanillaMLP
from .wavpool_0_1 import load_wavpool_0_1
from .wavpool_net import WavPoolNet

__all__ = ["LeNet5", "PaperCNN", "VanillaCNN", "VanillaMLP", "WavPoolNet", "load_wavpool_0_1"]
