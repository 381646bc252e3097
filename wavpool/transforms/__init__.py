"""Orthonormal transforms as pure functions on tensors: no modules, no state.

* Wavelets of PyWavelets and of one's own filters: `dwt`, `dwt2` (one level), `wavedec`, `wavedec2`, `wavedecn`
  (several), their inverses, in PyWavelets' modes and the orthonormal `boundary` of any length (`boundary_matrix`).
* Wavelet packets, `wpdec`, `wpdec2`, `best_basis`; the stationary transform, `swt`, `swt2`; and their inverses.
* Coefficients as one vector or array with slices: `ravel_coeffs`, `coeffs_to_array` and back.
* Filters with gradients: `product_filter` of angles, `lifting` of steps.
* Trigonometric transforms `dct`, `dst` (types 1 to 4), `dht`, `rdft`, and Walsh-Hadamard's `wht` (any length: `bwht`);
  also as matrices. Discrete Shannon wavelets `shannon`, `real_shannon`.
* Plain Haar for TorchScript: `haar_analysis`, `haar_synthesis`; one Haar level of feature maps with the bands as
  channels: `haar2d`, `ihaar2d`.
* One interface to all that keep the shape: `get_transform(name)` is a `Transform`; `transform_names()` lists them.

The submodule `native` holds the fused kernels.
"""

from .boundary import boundary_matrix
from .dwt import dwt, idwt
from .extension import MODES
from .filters import FilterBank, FilterTensors, filter_bank, wavelist
from .haar import haar_analysis, haar_lowpass, haar_step, haar_synthesis, haar_synthesis_step, level_sizes
from .haar_channels import haar2d, ihaar2d
from .hadamard import bwht, ibwht, wht, wht_matrix
from .learnable import LIFTING_STEPS, angles_of, lifting, product_filter
from .levels import dwt2, idwt2
from .multilevel import dwt_max_level, wavedec, wavedec2, wavedecn, waverec, waverec2, waverecn
from .octaves import ireal_shannon, ishannon, real_shannon, shannon
from .packed import (
    PackedLayout,
    array_slices,
    array_to_coeffs,
    coeffs_to_array,
    packed_layout,
    ravel_coeffs,
    unravel_coeffs,
)
from .packets import best_basis, entropy, packet_paths, wpdec, wpdec2, wprec, wprec2
from .stationary import iswt, iswt2, swt, swt2, swt_max_level
from .transform import Separable, Transform, WaveletTransform, get_transform, transform_names
from .trigonometric import dct, dct_matrix, dht, dht_matrix, dst, dst_matrix, idct, idst, irdft, rdft, rdft_matrix

__all__ = [
    "LIFTING_STEPS",
    "MODES",
    "FilterBank",
    "FilterTensors",
    "PackedLayout",
    "Separable",
    "Transform",
    "WaveletTransform",
    "angles_of",
    "array_slices",
    "array_to_coeffs",
    "best_basis",
    "boundary_matrix",
    "bwht",
    "coeffs_to_array",
    "dct",
    "dct_matrix",
    "dht",
    "dht_matrix",
    "dst",
    "dst_matrix",
    "dwt",
    "dwt2",
    "dwt_max_level",
    "entropy",
    "filter_bank",
    "get_transform",
    "haar2d",
    "haar_analysis",
    "haar_lowpass",
    "haar_step",
    "haar_synthesis",
    "haar_synthesis_step",
    "ibwht",
    "idct",
    "idst",
    "idwt",
    "idwt2",
    "ihaar2d",
    "irdft",
    "ireal_shannon",
    "ishannon",
    "iswt",
    "iswt2",
    "level_sizes",
    "lifting",
    "packed_layout",
    "packet_paths",
    "product_filter",
    "ravel_coeffs",
    "rdft",
    "rdft_matrix",
    "real_shannon",
    "shannon",
    "swt",
    "swt2",
    "swt_max_level",
    "transform_names",
    "unravel_coeffs",
    "wavedec",
    "wavedec2",
    "wavedecn",
    "wavelist",
    "waverec",
    "waverec2",
    "waverecn",
    "wht",
    "wht_matrix",
    "wpdec",
    "wpdec2",
    "wprec",
    "wprec2",
]
