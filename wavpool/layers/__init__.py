"""Modules on top of `wavpool.transforms`.

Wavelet layers for feature maps: `DWT2d`, `WaveletDownsample`, `WaveletPool2d`, `WTConv2d` and their relatives. The
blocks of the paper (`MicroWav`, `BandLinear`, `MultiResolutionPool`, `WavPool`); a wavelet with learnable filters;
layers whose weights live in a transform domain (`SpectralLinear`, `SpectralConv2d`), and `convert` for whole networks.
"""

from .band_linear import BandLinear
from .dwt2d import DWT2d, IDWT2d
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
from .wavelet_stem import WaveletStem
from .wavpool import WavPool
from .wt_conv import WTConv1d, WTConv2d, WTConv3d

__all__ = [
    "BandLinear",
    "Cardioid",
    "ComplexBatchNorm2d",
    "ComplexDropout",
    "DWT2d",
    "IDWT2d",
    "LearnableWavelet",
    "MicroWav",
    "Modulus",
    "ModulusMaxPool2d",
    "MultiResolutionPool",
    "SpectralConv2d",
    "SpectralLinear",
    "WTConv1d",
    "WTConv2d",
    "WTConv3d",
    "WavPool",
    "WaveletDownsample",
    "WaveletPool2d",
    "WaveletStem",
    "WaveletUpsample",
    "convert",
    "fit_error",
    "to_dense",
]
