"""The ways to make integers of a model, all behind one interface so that they can be compared at equal bytes.

A method prepares a model once and then compresses it at any strength. What a strength means is the method's own: it
says only that more of it makes a smaller file. `calibrated` is the one to use; the others are what it is measured
against, among them what the literature and this package's ancestors did.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor, nn

from ..errors import UserError
from ..evaluation.batches import Inputs
from . import prune, trellis
from .calibrate.passes import Calibrated, check_basis, corrected_biases
from .checks import check_classifier, check_inputs
from .data_free import Weight, Weights
from .kmeans import codebook
from .parts import Part, Parts
from .quantize import Array, fixed_bits, steps, uniform
from .scales import ROW_FRACTION, nearest_index

DEAD_ZONE = 0.4  # rounding offset of `uniform`: best where bytes count
TRELLIS_RATE = 0.1  # squared steps a bit, as in calibration
KEPT_BITS = 8  # of the values that pruning keeps


@dataclass(frozen=True)
class Settings:
    """What a method is prepared with.

    Args:
        basis: a text of `bases.basis_for`, or `auto`.
        seed: of everything random.
        inputs: batches of calibration inputs; none for a method without data.
        report: called with the name of each tensor as it is done.
    """

    basis: str = "auto"
    seed: int = 0
    inputs: Sequence[Inputs] = ()
    report: Callable[[str], None] = lambda name: None


class Prepared(Protocol):
    """A model ready to be compressed at any strength."""

    @property
    def state(self) -> Mapping[str, Tensor]:
        """Of the model that parts replace tensors of: the original's keys, with BatchNorm folded or reduced."""

    def at(self, strength: float) -> Parts:
        """What replaces tensors of `state`."""


class CalibratedModel:
    """A model prepared for `calibrated`.

    Attributes:
        model: the copy whose BatchNorm is folded.
    """

    def __init__(self, model: nn.Module, settings: Settings) -> None:
        self._passes = Calibrated(model, settings.inputs, settings.basis, settings.seed)
        self._report = settings.report
        self.model = self._passes.model
        self.state: Mapping[str, Tensor] = self.model.state_dict()
        self._rest = Weights(self.model, "none")

    def at(self, strength: float) -> Parts:
        return self._with_rest(self._passes.at(strength, self._report).parts, self._passes.step(strength))

    def scalar(self, strength: float) -> tuple[Parts, float]:
        """As `at` without dependent quantisation, for `finetune`, and the global step."""
        parts = self._passes.at(strength, self._report, dependent=False).parts
        step = self._passes.step(strength)
        return self._with_rest(parts, step), step

    def _with_rest(self, parts: Parts, step: float) -> Parts:
        """Parts of all weights: what the pass does not reach is rounded one by one, by the same rule of steps."""
        for weight in self._rest.weights:
            if weight.name not in parts:
                row = nearest_index(self._steps(weight, step), ROW_FRACTION)
                parts[weight.name] = weight.coded(uniform(weight.coefficients, steps(row), DEAD_ZONE), row)
        return self._rest.vectors() | parts

    def _steps(self, weight: Weight, step: float) -> Array:
        """Steps of the rows, between those for their own sensitivity and for that of all.

        What no sample asked for, such as the embedding of a rare word, may yet be asked for.
        """
        found = self._passes.of_weights.get(weight.name)
        if found is None or not found.any():  # nothing depends on it
            return np.full(1, 2.0 ** (1 - KEPT_BITS) * weight.scale)
        of_rows = weight.layout.view(found).mean((1, 2)).numpy()
        of_steps: Array = step / np.sqrt(0.5 * (of_rows + of_rows.mean()))
        return of_steps


class _DataFree:
    """Each weight on its own; with calibration inputs, biases make up for the mean errors afterwards."""

    def __init__(self, model: nn.Module | Mapping[str, Tensor], settings: Settings, rule: "Rule") -> None:
        self._weights = Weights(model, settings.basis)
        self._settings, self._rule = settings, rule
        self.state: Mapping[str, Tensor] = self._weights.state
        if settings.inputs and self._weights.model is not None:
            check_inputs(self._weights.model, settings.inputs)

    def at(self, strength: float) -> Parts:
        parts = self._weights.vectors()
        rule = self._rule(self._weights, strength, self._settings.seed)
        for weight in self._weights.weights:
            self._settings.report(weight.name)
            parts[weight.name] = rule(weight)
        model = self._weights.model
        if self._settings.inputs and model is not None:
            parts |= corrected_biases(model, self._settings.inputs, parts)
        return parts


Rule = Callable[[Weights, float, int], Callable[[Weight], Part]]
"""From all weights, a strength and a seed to what makes integers of one weight."""


def _uniform(weights: Weights, strength: float, seed: int) -> Callable[[Weight], Part]:
    """Rounding with a dead zone; the strength is the step relative to the root mean square of all weights."""
    row = nearest_index([strength * weights.scale], ROW_FRACTION)
    return lambda weight: weight.coded(uniform(weight.best(steps(row)), steps(row), DEAD_ZONE), row)


def _trellis(weights: Weights, strength: float, seed: int) -> Callable[[Weight], Part]:
    """Dependent quantisation; the strength is twice its step, to be compared with that of `uniform`."""
    row = nearest_index([strength * weights.scale / 2], ROW_FRACTION)

    def rule(weight: Weight) -> Part:
        step = steps(row)
        return weight.coded(trellis.quantize(weight.best(2 * step), step, mu=TRELLIS_RATE), row, trellis=True)

    return rule


def _fixed(weights: Weights, strength: float, seed: int) -> Callable[[Weight], Part]:
    """Integers of 8 - strength bits, from 8 down to 2, and a step a row."""
    bits = _bits(strength)
    return lambda weight: weight.coded(*fixed_bits(weight.coefficients, bits, "channel"))


def _kmeans(weights: Weights, strength: float, seed: int) -> Callable[[Weight], Part]:
    """A codebook of 256 * 2**-strength values a layer, at least 2."""
    count = _values(strength)

    def rule(weight: Weight) -> Part:
        book = codebook(weight.coefficients, count)
        return weight.coded(book.q, book.row, codebook=book.codebook, zero=book.zero)

    return rule


def _magnitude(weights: Weights, strength: float, seed: int) -> Callable[[Weight], Part]:
    """Prune a share of 1 - 2**-strength, the smallest of the whole model, and keep the rest in 8 bits."""
    sizes = {weight.name: weight.coefficients for weight in weights.weights}
    return _masked(prune.largest_of(sizes, _kept(weights, strength)))


def _percentile(weights: Weights, strength: float, seed: int) -> Callable[[Weight], Part]:
    """As `magnitude`, the smallest of each layer: the ancestors' selective pruning."""

    def mask(weight: Weight) -> prune.Mask:
        return prune.largest(weight.coefficients, prune.kept(weight.coefficients.size, 1 - 2.0**-strength))

    return _masked({weight.name: mask(weight) for weight in weights.weights})


def _random(weights: Weights, strength: float, seed: int) -> Callable[[Weight], Part]:
    """As `magnitude`, but a random share of the model."""
    sizes = {weight.name: weight.coefficients for weight in weights.weights}
    return _masked(prune.random_of(sizes, _kept(weights, strength), seed))


def _hard(weights: Weights, strength: float, seed: int) -> Callable[[Weight], Part]:
    """Zero what is below an absolute threshold: the strength, relative to the root mean square of all weights."""
    return lambda weight: _in_8_bits(weight, prune.hard(weight.coefficients, strength * weights.scale))


def _soft(weights: Weights, strength: float, seed: int) -> Callable[[Weight], Part]:
    """As `hard`, and move what is kept towards zero by the threshold."""
    return lambda weight: _in_8_bits(weight, prune.soft(weight.coefficients, strength * weights.scale))


def _bits(strength: float) -> int:
    return min(max(round(8 - strength), 2), 8)


def _values(strength: float) -> int:
    return max(2, round(256 * math.exp2(-strength)))


def _kept(weights: Weights, strength: float) -> int:
    return prune.kept(sum(weight.coefficients.size for weight in weights.weights), 1 - 2.0**-strength)


def _masked(masks: Mapping[str, prune.Mask]) -> Callable[[Weight], Part]:
    return lambda weight: _in_8_bits(weight, np.where(masks[weight.name], weight.coefficients, 0.0))


def _in_8_bits(weight: Weight, coefficients: Array) -> Part:
    return weight.coded(*fixed_bits(coefficients, KEPT_BITS, "channel"))


RULES: dict[str, Rule] = {
    "uniform": _uniform,
    "trellis": _trellis,
    "fixed": _fixed,
    "kmeans": _kmeans,
    "magnitude": _magnitude,
    "percentile": _percentile,
    "random": _random,
    "hard": _hard,
    "soft": _soft,
}


_DISTINCT: dict[str, Callable[[float], float]] = {
    "fixed": lambda strength: max(8.0 - _bits(strength), 0.5),
    "kmeans": lambda strength: max(8.0 - math.log2(_values(strength)), 2.0**-9),
}


def distinct(name: str, strength: float) -> float:
    """Of all strengths at which a method gives the same file, always the same one: a search need not measure two.

    >>> distinct("fixed", 4.2), distinct("fixed", 3.9), distinct("uniform", 4.2)
    (4.0, 4.0, 4.2)
    """
    return _DISTINCT.get(name, float)(strength)


def names() -> tuple[str, ...]:
    """Names of all methods."""
    return ("calibrated", *RULES)


def explain(name: str) -> str:
    """What a method does, in one sentence."""
    text = RULES[name].__doc__ if name in RULES else "Steps by sensitivity, rounding with error feedback; needs data."
    return (text or "").strip()


def check(name: str, model: nn.Module | Mapping[str, Tensor], basis: str, inputs: Sequence[Inputs]) -> None:
    """Whether a method and a basis go with a model and its calibration inputs, without the work.

    Raises:
        ValueError: they do not.
    """
    if name not in names():
        raise UserError(f"method must be one of {', '.join(names())}, got {name!r}")
    if name != "calibrated":
        Weights(model, basis)
        return
    if not isinstance(model, nn.Module) or not inputs:
        raise UserError(
            "the method calibrated needs a model that can be run and calibration inputs: "
            "give them, or take the method uniform"
        )
    check_classifier(model, inputs)
    check_basis(model, basis)


def prepare(name: str, model: nn.Module | Mapping[str, Tensor], settings: Settings) -> Prepared:
    """A model ready for a method.

    Raises:
        ValueError: an unknown method, or `calibrated` without a module or without inputs.
    """
    if name == "calibrated":
        check(name, model, settings.basis, settings.inputs)
        assert isinstance(model, nn.Module)
        return CalibratedModel(model, settings)
    if name not in RULES:
        raise UserError(f"method must be one of {', '.join(names())}, got {name!r}")
    return _DataFree(model, settings, RULES[name])
