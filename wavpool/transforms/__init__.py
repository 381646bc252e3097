"""Orthonormal transforms as pure functions on tensors: no modules, no state."""

from .dwt import dwt, idwt
from .extension import MODES
from .filters import FilterBank, FilterTensors, filter_bank, wavelist
from .haar import haar_analysis, haar_lowpass, haar_step, haar_synthesis, haar_synthesis_step, level_sizes
from .levels import dwt2, idwt2
from .multilevel import dwt_max_level, wavedec, wavedec2, wavedecn, waverec, waverec2, waverecn
from .packed import PackedLayout, array_to_coeffs, coeffs_to_array, packed_layout, ravel_coeffs, unravel_coeffs

__all__ = [
    "MODES",
    "FilterBank",
    "FilterTensors",
    "PackedLayout",
    "array_to_coeffs",
    "coeffs_to_array",
    "dwt",
    "dwt2",
    "dwt_max_level",
    "filter_bank",
    "haar_analysis",
    "haar_lowpass",
    "haar_step",
    "haar_synthesis",
    "haar_synthesis_step",
    "idwt",
    "idwt2",
    "level_sizes",
    "packed_layout",
    "ravel_coeffs",
    "unravel_coeffs",
    "wavedec",
    "wavedec2",
    "wavedecn",
    "wavelist",
    "waverec",
    "waverec2",
    "waverecn",
]
