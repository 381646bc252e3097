"""The fused kernel: all levels of a wavelet transform in one call, compiled from C at its first use."""

from .bands import decompose, fits, recompose
from .build import status
from .ops import analysis, disabled, synthesis, usable

__all__ = ["analysis", "decompose", "disabled", "fits", "recompose", "status", "synthesis", "usable"]
