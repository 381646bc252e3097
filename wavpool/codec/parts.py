"""What a compressed model consists of: for each tensor of a state dict, integers or the tensor itself."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from .coded import DTYPES, Coded
from .layout import Kind, Layout
from .quantize import uniform
from .scales import ROW_FRACTION, factor, nearest_index

Part = Coded | Tensor
Parts = dict[str, Part]
"""By name in the state dict; a tensor is stored losslessly."""

LEAST_VECTOR = 16  # elements below which a vector is stored as it is
MANTISSA = 9  # bits of `coded_floats`


def coded_vector(values: Tensor, step: float) -> Coded:
    """A vector (n,) rounded to multiples of about `step`."""
    row = nearest_index([step], ROW_FRACTION)
    q = uniform(values.detach().double().cpu().numpy(), factor(row, ROW_FRACTION)).reshape(-1, 1, 1)
    return Coded(q, Layout(Kind.VECTOR, tuple(values.shape)), row, dtype=values.dtype)


def coded_floats(values: Tensor) -> Coded:
    """A vector (n,) in floating-point numbers of 9 bits, right to one part in 1024."""
    numbers = values.detach().double().cpu().numpy()
    exponent = np.clip(np.frexp(numbers)[1], -200, 200)
    exponent[numbers == 0] = exponent[numbers != 0].min(initial=0)
    row = (ROW_FRACTION * (exponent - MANTISSA)).astype(np.int32)
    q = np.rint(numbers * np.ldexp(1.0, MANTISSA - exponent)).astype(np.int32).reshape(-1, 1, 1)
    return Coded(q, Layout(Kind.VECTOR, tuple(values.shape)), row, dtype=values.dtype)


def is_codable(tensor: Tensor) -> bool:
    """Whether a tensor may be rounded: finite floating-point numbers, not all of them equal."""
    if tensor.dtype not in DTYPES or not tensor.numel():
        return False
    return bool(tensor.isfinite().all()) and bool((tensor != tensor.flatten()[0]).any())


def ties(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Of each tensor that is another's very memory, the name of the first such."""
    first: dict[tuple[object, ...], str] = {}
    tied = {}
    for name, tensor in state.items():
        if tensor.numel() and tensor.layout == torch.strided and tensor.device.type != "meta":
            memory = (tensor.device, tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
            if (owner := first.setdefault(memory, name)) != name:
                tied[name] = owner
    return tied


def zeros(q: np.ndarray) -> float:
    """Share of zeros among integers."""
    return float((q == 0).mean()) if q.size else 0.0
