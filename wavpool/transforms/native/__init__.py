"""The fused kernel: all levels of a wavelet transform in one call, compiled from C at its first use."""

from .bands import decompose, fits, grouped, recompose
from .build import status
from .cuda import use_triton
from .ops import analysis, disabled, synthesis, usable

__all__ = [
    "analysis",
    "decompose",
    "disabled",
    "fits",
    "grouped",
    "recompose",
    "status",
    "synthesis",
    "usable",
    "use_triton",
]
