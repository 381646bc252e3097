"""The fused kernel: all levels of a wavelet transform in one call, compiled from C at its first use."""

from .build import status
from .ops import analysis, disabled, synthesis, usable

__all__ = ["analysis", "disabled", "status", "synthesis", "usable"]
