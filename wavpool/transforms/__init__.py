"""Orthonormal transforms as pure functions on tensors: no modules, no state."""

from .haar import haar_analysis, haar_lowpass, haar_step, haar_synthesis, haar_synthesis_step, level_sizes
from .wavelets import dwt_max_level, wavedec2, waverec2

__all__ = [
    "dwt_max_level",
    "haar_analysis",
    "haar_lowpass",
    "haar_step",
    "haar_synthesis",
    "haar_synthesis_step",
    "level_sizes",
    "wavedec2",
    "waverec2",
]
