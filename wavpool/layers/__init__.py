"""Modules on top of `wavpool.transforms`."""

from .band_linear import BandLinear
from .learnable_wavelet import LearnableWavelet
from .microwav import MicroWav
from .pool import MultiResolutionPool
from .wavpool import WavPool

__all__ = ["BandLinear", "LearnableWavelet", "MicroWav", "MultiResolutionPool", "WavPool"]
