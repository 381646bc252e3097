"""Modules on top of `wavpool.transforms`.

The blocks of the zoo (`MicroWav`, `BandLinear`, `MultiResolutionPool`, `WavPool`); a wavelet with learnable filters;
layers whose weights live in a transform domain (`SpectralLinear`, `SpectralConv2d`), and `convert` for whole networks.
"""

from .band_linear import BandLinear
from .learnable_wavelet import LearnableWavelet
from .microwav import MicroWav
from .pool import MultiResolutionPool
from .resample import WaveletDownsample, WaveletUpsample
from .spectral import (
    Cardioid,
    ComplexBatchNorm2d,
    ComplexDropout,
    Modulus,
    ModulusMaxPool2d,
    SpectralConv2d,
    SpectralLinear,
    convert,
    fit_error,
    to_dense,
)
from .wavelet_pool import WaveletPool2d
from .wavpool import WavPool

__all__ = [
    "BandLinear",
    "Cardioid",
    "ComplexBatchNorm2d",
    "ComplexDropout",
    "LearnableWavelet",
    "MicroWav",
    "Modulus",
    "ModulusMaxPool2d",
    "MultiResolutionPool",
    "SpectralConv2d",
    "SpectralLinear",
    "WavPool",
    "WaveletDownsample",
    "WaveletPool2d",
    "WaveletUpsample",
    "convert",
    "fit_error",
    "to_dense",
]
