"""Layers whose weights live in a transform domain, and networks of them."""

from .coefficients import KeptCoefficients
from .complex import Cardioid, ComplexBatchNorm2d, ComplexDropout, Modulus, ModulusMaxPool2d
from .conv import SpectralConv2d
from .convert import convert, to_dense
from .fit_error import fit_error
from .frequencies import SinusoidKernels, SinusoidRows
from .linear import SpectralLinear

__all__ = [
    "Cardioid",
    "ComplexBatchNorm2d",
    "ComplexDropout",
    "KeptCoefficients",
    "Modulus",
    "ModulusMaxPool2d",
    "SinusoidKernels",
    "SinusoidRows",
    "SpectralConv2d",
    "SpectralLinear",
    "convert",
    "fit_error",
    "to_dense",
]
