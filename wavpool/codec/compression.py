"""From a model to a small one within a limit: `compress`."""

import copy
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..evaluation.batches import Batch, Batches, as_batches, batch_size, split_samples
from ..evaluation.metrics import Predictions, divergence, predict
from . import coders, methods
from .checks import check_comparable
from .drop import foretold
from .errors import CompressionWarning
from .finetune import fine_tune, steps_of
from .model import CompressedModel
from .parts import Parts
from .search import NothingKeeps, Trial, strongest

START = {"calibrated": 0.5}  # the first strength that a search tries; 1 of other methods
# Strengths below which float32 itself is as coarse, or the method does no more.
FINEST = dict.fromkeys(("calibrated", "uniform", "trellis"), 2.0**-24)
FITTED = 0.8  # share of the calibration data that weights are fitted to; where more is asked of them, that flatters
CALIBRATED = 2048  # samples that are calibrated on where there are more for fine-tuning
FALL = 2.5  # of the logarithm of the divergence over that of the bytes, of ResNet-20
TOLERANCE = {"max_drop": 0.08, "max_bytes": 0.02}  # of a search, in logarithms
CODERS = tuple(reversed(coders.CODERS))  # the best first


class Event(NamedTuple):
    """How far `compress` is.

    Attributes:
        stage: what it is doing.
        layer: the tensor at hand.
        done, total: tensors of this stage, or batches of fine-tuning.
        nbytes: size of the file, as far as it is known: of the last trial, or of the streams so far.
    """

    stage: str
    layer: str
    done: int
    total: int
    nbytes: int


Progress = Callable[[Event], Any]
Attempt = Callable[[float], CompressedModel]  # from a strength


def compress(
    model: nn.Module | Mapping[str, Tensor],
    *,
    calibration: Any = None,
    max_drop: float | None = None,
    max_bytes: int | None = None,
    step: float | None = None,
    evaluate: Any = None,
    basis: str = "auto",
    levels: int | None = None,
    profile: str = "small",
    method: str | None = None,
    finetune: int = 0,
    progress: Progress | None = None,
    seed: int = 0,
) -> CompressedModel:
    """Compress a trained model.

    Exactly one of `max_drop`, `max_bytes` and `step` says how far.

    Args:
        model: any module, or a state dict alone (which `calibrated` cannot take). It is left as it is.
        calibration: inputs, of which labels are ignored unless they serve `max_drop`: a DataLoader, a Dataset, a
            tensor, or an iterable of batches. Some 1,000 samples do; all are held in memory.
        max_drop: points of accuracy that may be lost.
        max_bytes: size of the file at most.
        step: strength of the compression, whose meaning is the method's; 1 is moderate.
        evaluate: what `max_drop` is measured on: data as `calibration`, labelled or not, or a function from a model to
            its accuracy, 0 to 1. Without it a fifth of `calibration`, whose labels are not looked at, is held out for
            that. See `expected_drop`.
        basis: `auto`, `none`, or a transform: `dct`, `haar`, `db2`, ..., perhaps with `@` and what it acts over.
        levels: of a wavelet.
        profile: `small` (context mixing), `fast` (asymmetric numeral systems), `huffman` or `raw`.
        method: one of `methods.names()`; by default `calibrated` with calibration data, else `uniform`.
        finetune: epochs to train the integers for on four fifths of `calibration`, unlabelled, at every strength that
            is tried (of more than 2,048 samples the others serve this alone). The fifth that is left decides whether
            the outcome is better than without. It pays where `calibration` is most of the training data.
        progress: called with an `Event`.
        seed: of all draws.

    Raises:
        TypeError: a model that is none, or a target that is no number.
        ValueError: arguments that do not go together, or a target that cannot be met.

    Warns:
        CompressionWarning: all of a layer's weights came out zero.

    >>> compressed = compress(nn.Linear(64, 64), step=1.0)
    >>> compressed.nbytes < 64 * 65 * 4, compressed.to_model()(torch.zeros(1, 64)).shape
    (True, torch.Size([1, 64]))
    """
    _check_types(model, basis, finetune, max_drop=max_drop, max_bytes=max_bytes, step=step)
    targets = {"max_drop": max_drop, "max_bytes": max_bytes, "step": step}
    given = [(name, limit) for name, limit in targets.items() if limit is not None]
    if len(given) != 1:
        raise ValueError(f"give exactly one of {', '.join(targets)}")
    target, limit = given[0]
    if not (math.isfinite(limit) and limit > 0):
        raise ValueError(f"{target} must be a positive number, got {limit}")
    if target == "max_drop" and limit >= 100:
        raise ValueError(f"max_drop is in points of accuracy, below 100, got {limit}")
    if profile not in CODERS:
        raise ValueError(f"profile must be one of {', '.join(CODERS)}, got {profile!r}")
    basis = _with_levels(basis, levels)
    if finetune < 0:
        raise ValueError(f"finetune is a number of epochs, 0 or more, got {finetune}")
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, got {seed}")
    if evaluate is not None and target != "max_drop":
        raise ValueError("evaluate is what max_drop is measured on: leave it out, or give max_drop")
    if not isinstance(model, nn.Module):  # what the caller does to these tensors later must not change the result
        model = copy.deepcopy({name: tensor.detach() for name, tensor in model.items()})
    about = evaluate, basis, profile, method, finetune, progress, seed
    # The caller may be evaluating, and a DataLoader draws from the generator that the caller's training uses.
    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=[]):
        compressed = _Job(model, calibration, target, limit, *about).run()
    if compressed.zeroed:
        warnings.warn(zeroed_sentence(compressed), CompressionWarning, stacklevel=2)
    return compressed


def zeroed_sentence(compressed: CompressedModel) -> str:
    """What to tell of layers that came out zero."""
    first, *others = compressed.zeroed
    more = f" and {len(others)} more" if others else ""
    return f"every weight of {first}{more} came out zero: take a smaller step, or allow more"


def _check_types(model: Any, basis: Any, finetune: Any, **targets: Any) -> None:
    """Refuse what is no model, no text and no number.

    Raises:
        TypeError: it is that.
    """
    state = isinstance(model, Mapping) and all(isinstance(each, Tensor) for each in model.values())
    if not state and not isinstance(model, nn.Module):
        kind = "mapping of other things" if isinstance(model, Mapping) else type(model).__name__
        raise TypeError(
            f"model must be a torch.nn.Module or a state dict of tensors, not a {kind}: make or load it first"
        )
    for name, value in targets.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
            raise TypeError(f"{name} must be a number, got {value!r}")
    if not isinstance(basis, str):
        raise TypeError(f"basis must be a text such as 'auto' or 'dct', got {basis!r}")
    if not isinstance(finetune, int):
        raise TypeError(f"finetune must be a number of epochs, got {finetune!r}")


@dataclass
class _Job:
    """One call of `compress`."""

    model: nn.Module | Mapping[str, Tensor]
    calibration: Any
    target: str
    limit: float
    evaluate: Any
    basis: str
    coder: str
    method: str | None
    finetune: int
    progress: Progress | None
    seed: int

    def __post_init__(self) -> None:
        self._batches: list[Batch] = [] if self.calibration is None else list(as_batches(self.calibration))
        if self.calibration is not None and not any(batch_size(inputs) for inputs, _ in self._batches):
            raise ValueError("there are no samples to calibrate on: give more data")
        self._held: list[Batch] = []
        if self.finetune or (self.target == "max_drop" and self.evaluate is None):
            self._batches, self._held = split_samples(self._batches, FITTED)
            if self._batches and not self._held:
                raise ValueError("too few samples to hold some out: give more, or (with max_drop) data as evaluate")
        self.method = self.method or ("calibrated" if self._batches else "uniform")
        if self.finetune and (self.method != "calibrated" or not self._held):
            raise ValueError("fine-tuning needs the method calibrated, and samples to calibrate on")
        self._tensors = len(self.model.state_dict() if isinstance(self.model, nn.Module) else self.model)
        self._nbytes = 0
        self._begin("measuring", self._tensors)
        few = Batches(self._batches, CALIBRATED) if self.finetune else self._batches
        settings = methods.Settings(self.basis, self.seed, [inputs for inputs, _ in few], self._tell)
        self._tell("")
        self._prepared = methods.prepare(self.method, self.model, settings)

    def _begin(self, stage: str, total: int) -> None:
        self._stage, self._done, self._total = stage, 0, total

    def _tell(self, layer: str, nbytes: int | None = None) -> None:
        self._nbytes = self._nbytes if nbytes is None else nbytes
        if self.progress is not None:
            self.progress(Event(self._stage, layer, self._done, self._total, self._nbytes))
        self._done += 1

    def run(self) -> CompressedModel:
        """What is asked for, without fine-tuning or with it, whichever is better for its size."""
        plain = self._find(self._plain, START.get(str(self.method), 1.0))
        if not self.finetune:
            return plain.result
        tuned = self._find(self._tuned, plain.strength)
        return min(plain.result, tuned.result, key=self._cost)

    def _find(self, attempt: Attempt, start: float) -> Trial[CompressedModel]:
        """The smallest file that loses no more than `max_drop`, or the best that takes no more than `max_bytes`."""
        if self.target == "step":
            return Trial(self.limit, 1.0, attempt(self.limit))
        measure = self._loss if self.target == "max_drop" else lambda candidate: candidate.nbytes

        def trial(strength: float) -> tuple[float, CompressedModel]:
            candidate = attempt(strength)
            return measure(candidate) / self.limit, candidate

        finest = FINEST.get(str(self.method), 2.0**-12)
        try:
            return strongest(trial, start, TOLERANCE[self.target], self.target == "max_drop", finest)
        except NothingKeeps as error:
            least = error.least * self.limit
            if not math.isfinite(least):
                raise UserError("no strength makes a model that can be measured: check its weights") from None
            if self.target == "max_bytes":
                found = f"even the strongest compression takes {math.ceil(least):,} bytes"
            else:
                found = f"even the weakest compression is expected to lose {least:.2g} points"
            raise UserError(f"{found}: allow more than {self.target}={self.limit:.12g}") from None

    def _plain(self, strength: float) -> CompressedModel:
        """The model at a strength of the method."""
        self._begin("rounding", self._tensors)
        return self._coded(self._prepared.at(strength), strength)

    def _tuned(self, strength: float) -> CompressedModel:
        """The same with fine-tuning."""
        assert isinstance(self._prepared, methods.CalibratedModel)
        inputs = [inputs for inputs, _ in self._batches]
        self._begin("rounding", self._tensors)
        parts, step = self._prepared.scalar(strength)
        self._begin("fine-tuning", self.finetune * steps_of(sum(map(batch_size, inputs))))
        tuned = fine_tune(self._prepared.model, inputs, parts, step, self.finetune, self.seed, self._tell)
        return self._coded(tuned, strength, finetune=str(self.finetune))

    def _coded(self, parts: Parts, strength: float, **about: str) -> CompressedModel:
        self._begin("coding", self._tensors)
        attributes = {"method": str(self.method), "strength": f"{strength:.6g}", **about}
        model = self.model if isinstance(self.model, nn.Module) else None
        return CompressedModel(self._prepared.state, parts, model, self.coder, attributes, self._tell)

    def _cost(self, candidate: CompressedModel) -> float:
        """Divergence on the held-out samples, as if all candidates were of one size; in logarithms."""
        found = predict(candidate.to_model(), self._held)
        loss = float(divergence(self._original.logits, found.logits).double().mean())
        return math.log(max(loss, 1e-12)) + FALL * math.log(candidate.nbytes)

    @cached_property
    def _original(self) -> Predictions:
        """Of the original on the held-out samples."""
        return predict(self._module, self._held)

    @property
    def _module(self) -> nn.Module:
        if not isinstance(self.model, nn.Module):
            raise ValueError("max_drop needs a model that can be run, not a state dict alone: give max_bytes or step")
        return self.model

    @cached_property
    def _loss(self) -> Callable[[CompressedModel], float]:
        """Function from a compressed model to the points of accuracy that it loses."""
        model = self._module
        if callable(self.evaluate) and not hasattr(self.evaluate, "__iter__"):
            before = self._accuracy(model)
            return lambda candidate: 100 * (before - self._accuracy(candidate.to_model()))
        data = self._held if self.evaluate is None else list(as_batches(self.evaluate))
        if not data and self.evaluate is None:
            raise ValueError("max_drop needs calibration data, or evaluate, to measure accuracy on")
        original = self._original if self.evaluate is None else predict(model, data)
        check_comparable(original)

        def foretell(candidate: CompressedModel) -> float:
            drop = foretold(predict(candidate.to_model(), data), original, self.evaluate is not None)
            candidate.expected_drop = drop
            return drop.value

        return foretell

    def _accuracy(self, model: nn.Module) -> float:
        found = self.evaluate(model)
        if not isinstance(found, Real | Tensor) or not 0 <= float(found) <= 1:
            raise ValueError(f"evaluate must return the accuracy as a share, 0 to 1, got {found!r}")
        return float(found)


def _with_levels(basis: str, levels: int | None) -> str:
    """A basis with a number of levels put in: `haar@row` and 2 are `haar:2@row`."""
    if levels is None:
        return basis
    name, at, over = basis.partition("@")
    if basis in ("auto", "none"):
        raise ValueError(f"levels go with a wavelet, not with the basis {basis}")
    return f"{name}:{levels}{at}{over}" if levels else "none"
