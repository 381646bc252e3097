"""The weights of a model one by one, as the methods without data see them."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .bases import Basis, bases_of
from .calibrate.folding import reduce_batchnorm
from .coded import Coded, reconstruct
from .layout import Layout, layout_of
from .parts import LEAST_VECTOR, Part, Parts, coded_floats, is_codable, ties
from .quantize import Array


@dataclass
class Weight:
    """A tensor of two axes or more.

    Args:
        name: in the state dict.
        layout: of the tensor.
        values: float64 (rows, cols, taps).
        dtype: of the tensor.
        bases: to choose from.
    """

    name: str
    layout: Layout
    values: Tensor
    dtype: torch.dtype
    bases: tuple[Basis, ...]
    basis: Basis = field(init=False)

    def __post_init__(self) -> None:
        self.basis = self.bases[0]

    @property
    def coefficients(self) -> Array:
        """Float64 (rows, cols, taps) in the current basis."""
        found: Array = self.basis.forward(self.values, self.layout).numpy()
        return found

    @property
    def scale(self) -> float:
        """Root mean square."""
        return float(self.values.square().mean().sqrt())

    def relative_error(self, part: Part) -> float:
        """Root mean square of what a part has wrong, relative to that of the weight."""
        assert isinstance(part, Coded)
        wrong = self.layout.view(reconstruct(part).double()) - self.values
        return float(wrong.square().mean().sqrt()) / self.scale

    def best(self, step: Array) -> Array:
        """Choose the basis in which integers of a step take the fewest bits, about; its coefficients."""
        trials = {basis: basis.forward(self.values, self.layout).numpy() for basis in self.bases}
        self.basis = min(trials, key=lambda basis: float(np.log2(1 + np.abs(trials[basis]) / step).sum()))
        return trials[self.basis]

    def coded(self, q: np.ndarray, row: np.ndarray, **more: Any) -> Coded:
        """Integers in the current basis."""
        return Coded(q, self.layout, row, basis=self.basis, dtype=self.dtype, **more)


class Weights:
    """The weights of a model, BatchNorm reduced to a scale and a shift, in a basis.

    Its scale stays where it is: in the convolution before it, it would make rows unequal whose errors matter alike.

    Args:
        model: a module, which is left as it is, or a state dict alone.
        basis: a text of `basis_for`, or `auto`.

    Attributes:
        model: the copy whose BatchNorm is reduced; `None` of a state dict.
        state: its state dict.
        weights: what has two axes or more and may be rounded; tied ones once.
        scale: root mean square of all of them.
    """

    def __init__(self, model: nn.Module | Mapping[str, Any], basis: str) -> None:
        self.model = copy.deepcopy(model).eval() if isinstance(model, nn.Module) else None
        if self.model is not None:
            with torch.no_grad():
                reduce_batchnorm(self.model)
        self.state: dict[str, Tensor] = dict(self.model.state_dict() if self.model is not None else model)  # type: ignore[arg-type]
        owners = dict(self.model.named_modules()) if self.model is not None else {}
        self._tied = ties(self.state)
        self.weights = [
            self._weight(name, tensor, owners.get(name.rpartition(".")[0]), basis)
            for name, tensor in self.state.items()
            if tensor.ndim > 1 and name not in self._tied and is_codable(tensor)
        ]
        squares = sum(float(weight.values.square().sum()) for weight in self.weights)
        count = sum(weight.values.numel() for weight in self.weights)
        self.scale = float(np.sqrt(squares / max(count, 1))) or 1.0

    def vectors(self) -> Parts:
        """Tensors of one axis, which are rounded little."""
        return {
            name: coded_floats(tensor)
            for name, tensor in self.state.items()
            if tensor.ndim == 1 and len(tensor) >= LEAST_VECTOR and name not in self._tied and is_codable(tensor)
        }

    @staticmethod
    def _weight(name: str, tensor: Tensor, module: nn.Module | None, basis: str) -> Weight:
        layout = layout_of(tensor.shape, module, name.rpartition(".")[2])
        values = layout.view(tensor.detach().double().cpu())
        return Weight(name, layout, values, tensor.dtype, bases_of(name, basis, layout))
