"""A model compressed with calibration: prepared once, then rounded at any global step in one pass over the data."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...evaluation.batches import Inputs, joined
from ..bases import Basis, bases_of
from ..coded import DTYPES, Coded, reconstruct
from ..layout import Layout, layout_of
from ..parts import Parts, coded_floats, coded_vector, ties
from .folding import fold_batchnorm
from .layers import Weighted, channel_axis, groups_of, is_weighted, patches
from .rounding import Moments, Problem, corrected, problem, round_dependent, round_scalar
from .sensitivity import sensitivity
from .twin import Twins

CORRECTION = 0.5  # how far weights go to make up for errors of the layers before
PATCHES = 98_304  # of a layer's input that its second moment is summed over, if there are so many
CHUNK = 64  # samples whose patches are in memory at a time
EXTREME = 1e30  # strength that zeroes everything, and whose inverse rounds nothing
TYPICAL_LOSS = 0.05  # nats, at a strength of 1, by the theory for small steps

Report = Callable[[str], None]
"""Called with the name of each layer as it is done."""


@dataclass(frozen=True)
class Pass:
    """What one pass made.

    Attributes:
        parts: what replaces tensors of the state dict.
        original, compressed: outputs (samples, classes) on the calibration data.
    """

    parts: Parts
    original: Tensor
    compressed: Tensor


class Calibrated:
    """A model prepared for rounding: BatchNorm folded, sensitivities measured.

    Args:
        model: left as it is.
        batches: inputs, unlabelled; all of one shape but for the number of samples.
        basis: a text of `basis_for` for every layer, or `auto` to measure which is best for each.
        seed: of all draws.

    Attributes:
        model: the copy whose BatchNorm is folded; its state dict is what the parts of a pass replace tensors of.
        sensitivity: Fisher information of the outputs of the layers that a pass visits.
        of_weights: that of the weights which it does not.
    """

    def __init__(self, model: nn.Module, batches: Sequence[Inputs], basis: str = "auto", seed: int = 0) -> None:
        self.model = copy.deepcopy(model).eval()
        with torch.no_grad():
            self.pairs = fold_batchnorm(self.model, batches[0])
        self._inputs = joined(batches)
        self._basis, self._seed = basis, seed
        self._chosen: dict[str, Basis] = {}
        self._ties = ties(self.model.state_dict())
        self._layers = _layers(self.model)
        others = _others(self.model, self._layers)
        self.sensitivity, self.of_weights = sensitivity(self.model, batches, self._layers, others, seed)
        weights = sum(module.weight.numel() for module in self._layers.values() if is_weighted(module))
        weights += sum(other.numel() for other in others.values())
        self._unit = math.sqrt(24 * TYPICAL_LOSS / max(weights, 1))

    @property
    def total(self) -> int:
        """Number of layers that a pass reports."""
        return len(self._layers)

    def step(self, strength: float) -> float:
        """The global step at a strength: to be wrong by it in one weight costs `step**2 / 2` nats.

        Raises:
            ValueError: a strength whose square is no number to reckon with.
        """
        if not 1 / EXTREME <= strength <= EXTREME:
            limits = f"{1 / EXTREME:g} and {EXTREME:g}"
            raise ValueError(f"strengths of calibration must be between {limits}, got {strength:g}")
        return strength * self._unit

    def at(self, strength: float, report: Report = lambda layer: None, dependent: bool = True) -> Pass:
        """Round all layers.

        Args:
            strength: of the compression; steps are proportional to it.
            report: told of each layer.
            dependent: quantise dependently where the layer is not too large for that.
        """
        step = self.step(strength)
        parts: Parts = {}
        twins = Twins(self.model, self._layers)

        def visit(name: str, module: nn.Module, original: Tensor, twin: Tensor) -> None:
            report(name)
            if name not in self.sensitivity:
                return  # no gradient: the output does not depend on it
            if isinstance(module, _BatchNorm):
                gap = _channel_mean(original - twin, 1) * module.weight
                self._replace_bias(twins, parts, name, module.bias + gap, step)
            elif is_weighted(module) and module.weight.dtype in DTYPES and bool(module.weight.isfinite().all()):
                self._replace_weight(twins, parts, name, module, original, twin, step, dependent)

        def after(name: str, bias: Tensor, original: Tensor, twin: Tensor) -> Tensor:
            if name not in self.sensitivity:
                return torch.zeros_like(bias)
            gap = _channel_mean(original - twin, channel_axis(self._layers[name], original))
            return self._replace_bias(twins, parts, name, bias + gap, step) - bias

        original, compressed = twins.run(self._inputs, visit, after)
        return Pass(parts, original, compressed)

    def _replace_weight(
        self, twins: Twins, parts: Parts, name: str, module: Weighted, original: Tensor, twin: Tensor, step: float,
        dependent: bool,
    ) -> None:  # fmt: skip
        key = self._ties.get(f"{name}.weight", f"{name}.weight")
        if key not in parts:
            layout = layout_of(module.weight.shape, module)
            moments = self._moments(module, original, twin)
            weight = module.weight.detach().double().cpu().reshape(layout.rows, -1)
            target = corrected(weight, moments, CORRECTION)
            about = target, moments.own, self.sensitivity[name], step, layout
            given = self._in_basis(key, lambda basis: problem(*about, basis, module.weight.dtype), layout)
            parts[key] = (round_dependent(given) if dependent else None) or round_scalar(given)[0]
        coded = parts[key]
        assert isinstance(coded, Coded)
        twins.replace(name, "weight", reconstruct(coded))

    def _in_basis(self, key: str, given: Callable[[Basis], Problem], layout: Layout) -> Problem:
        """The layer in its basis, which is chosen at the first pass."""
        if key not in self._chosen:
            bases = bases_of(key, self._basis, layout, _maps(self._inputs, layout))
            costs = {basis: round_scalar(given(basis))[1] if len(bases) > 1 else 0.0 for basis in bases}
            self._chosen[key] = min(costs, key=lambda basis: costs[basis])
        return given(self._chosen[key])

    def _replace_bias(self, twins: Twins, parts: Parts, name: str, bias: Tensor, step: float) -> Tensor:
        """Round a bias, whose input is 1, by the rule of the weights; returns it."""
        sensitivity = self.sensitivity[name]
        coded = coded_vector(bias, step / math.sqrt(max(float(sensitivity.mean()), 1e-100)))
        value = reconstruct(coded).to(bias)
        twins.replace(name, "bias", value)
        parts[f"{name}.bias"] = coded
        return value

    def _moments(self, module: Weighted, original: Tensor, twin: Tensor) -> Moments:
        """Second moments of a layer's inputs, the same patches of both models."""
        d = math.prod(module.weight.shape[1:])
        own = torch.zeros(groups_of(module), d, d, dtype=torch.float64, device=twin.device)
        cross, count = torch.zeros_like(own), 0
        most = -(-PATCHES // len(twin))
        for start in range(0, len(twin), CHUNK):
            part = slice(start, start + CHUNK)
            x, y = (
                patches(module, inputs[part], most, torch.Generator().manual_seed(self._seed + start)).detach()
                for inputs in (twin, original)
            )
            own += x.mT @ x
            cross += y.mT @ x
            count += x.shape[1]
        return Moments(own.cpu() / count, cross.cpu() / count)


def corrected_biases(model: nn.Module, batches: Sequence[Inputs], parts: Parts) -> Parts:
    """Biases of a model whose weights have been replaced, each made up for the mean error before it.

    Args:
        model: the original, BatchNorm folded.
        batches: inputs, as `Calibrated` takes them.
        parts: what replaces its tensors; biases among them are not looked at.

    Returns:
        Parts for the biases of all layers, BatchNorm's included.
    """
    layers = _layers(model)
    twins = Twins(model, layers)
    found: Parts = {}

    def replace(name: str, bias: Tensor) -> Tensor:
        coded = found[f"{name}.bias"] = coded_floats(bias)
        value = reconstruct(coded).to(bias)
        twins.replace(name, "bias", value)
        return value

    def visit(name: str, module: nn.Module, original: Tensor, twin: Tensor) -> None:
        part = parts.get(f"{name}.weight")
        if isinstance(module, _BatchNorm):
            replace(name, module.bias + _channel_mean(original - twin, 1) * module.weight)
        elif part is not None:
            twins.replace(name, "weight", reconstruct(part) if isinstance(part, Coded) else part)

    def after(name: str, bias: Tensor, original: Tensor, twin: Tensor) -> Tensor:
        gap = _channel_mean(original - twin, channel_axis(layers[name], original))
        return replace(name, bias + gap) - bias

    twins.run(joined(batches), visit, after)
    return found


def _maps(inputs: Inputs, layout: Layout) -> tuple[int, int, int] | None:
    """(C, H, W) of images that have as many pixels as a layer has columns: it sees them laid out flat."""
    if isinstance(inputs, Tensor) and inputs.ndim == 4 and inputs[0].numel() == layout.cols:
        channels, height, width = inputs.shape[1:]
        return channels, height, width
    return None


def check_basis(model: nn.Module, basis: str) -> None:
    """Whether every layer that a pass rounds takes a basis.

    Raises:
        ValueError: one does not.
    """
    for name, module in _layers(model).items():
        if is_weighted(module):
            bases_of(f"{name}.weight", basis, layout_of(module.weight.shape, module))


def _layers(model: nn.Module) -> dict[str, nn.Module]:
    """What a pass visits: layers that multiply, and BatchNorm with a bias."""
    return {
        name: module
        for name, module in model.named_modules()
        if is_weighted(module) or (isinstance(module, _BatchNorm) and module.affine)
    }


def _others(model: nn.Module, layers: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Weights that a pass does not reach: embeddings, transposed convolutions, what has a forward of its own."""
    seen = {f"{name}.weight" for name in layers}
    return {name: tensor for name, tensor in model.named_parameters() if tensor.ndim > 1 and name not in seen}


def _channel_mean(x: Tensor, axis: int) -> Tensor:
    """Mean over all axes but one."""
    return x.mean([other for other in range(x.ndim) if other != axis])
