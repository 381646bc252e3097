"""How well a model does and how far it is from another, each figure with a 95 % interval.

All figures come from logits that were computed once (`predict`), so that the original is run once and every compressed
model is compared with it on the same samples: the interval of a drop in accuracy is that of a paired comparison.
"""

import math
import statistics
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .batches import Batch, Inputs, batch_size, checked_forward, forward

Z = 1.959963984540054  # the normal quantile of 97.5 %
REPLICATES = 400  # of a bootstrap


class Estimate(NamedTuple):
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Predictions:
    """What a model says of a data set.

    Attributes:
        logits: (samples, classes), float32, on the CPU.
        labels: (samples,), int64, on the CPU; None where the data have none.
    """

    logits: Tensor
    labels: Tensor | None

    @property
    def classes(self) -> Tensor:
        """(samples,) the largest logit's position; -1 where a logit is not finite, which is never right."""
        return self.logits.argmax(1).where(self.logits.isfinite().all(1), torch.tensor(-1))


def predict(model: nn.Module, batches: Iterable[Batch]) -> Predictions:
    """Run a model, in evaluation mode, over all batches.

    Raises:
        ValueError: no samples, outputs that are not (batch, classes), or labels that are not one class a sample.
    """
    training = model.training
    logits: list[Tensor] = []
    labels: list[Tensor] = []
    model.eval()
    try:
        with torch.inference_mode():
            for inputs, truth in batches:
                logits.append(_checked_logits(checked_forward(model, inputs), batch_size(inputs)))
                labels += [] if truth is None else [truth]
    finally:
        model.train(training)
    if not logits:
        raise ValueError("there are no samples to evaluate on: give more data")
    return Predictions(torch.cat(logits), _checked_labels(labels, sum(map(len, logits)), logits[0].shape[1]))


def evaluate(predictions: Predictions, original: Predictions | None = None, seed: int = 0) -> dict[str, Estimate]:
    """All figures that the labels and the original allow.

    Args:
        predictions: of the model.
        original: of the model that it is compared with, on the same samples in the same order.
        seed: of the bootstrap.

    Returns:
        With labels `accuracy`, `top5` (five classes and more), `loss` (cross-entropy, nats), `f1`, `precision` and
        `recall` (macro). With an original `kl` (of its output to the model's, nats) and `agreement` (share of samples
        that get the same class). With both `drop` (of accuracy, in points of a hundred).

    >>> say = Predictions(torch.eye(4), torch.tensor([0, 1, 2, 0]))
    >>> evaluate(say)["accuracy"].value
    0.75
    """
    figures: dict[str, Estimate] = {}
    labels, guesses = predictions.labels, predictions.classes
    if labels is not None:
        figures["accuracy"] = wilson(int((guesses == labels).sum()), len(labels))
        if predictions.logits.shape[1] >= 5:
            top = predictions.logits.topk(5).indices.where(guesses[:, None] >= 0, torch.tensor(-1))
            figures["top5"] = wilson(int((top == labels[:, None]).any(1).sum()), len(labels))
        figures["loss"] = mean(_cross_entropy(predictions.logits, labels))
        figures |= macro(labels, guesses, predictions.logits.shape[1], seed)
    if original is not None:
        if original.logits.shape != predictions.logits.shape:
            raise ValueError("the two models must be run on the same samples and have the same classes")
        figures["kl"] = mean(divergence(original.logits, predictions.logits))
        figures["agreement"] = wilson(int((guesses == original.classes).sum()), len(guesses))
        if labels is not None:
            figures["drop"] = paired_drop(original.classes == labels, guesses == labels)
    return figures


def chance(labels: Tensor) -> float:
    """The accuracy of the best guess that does not look: the share of the most frequent of `(n,)` labels.

    >>> chance(torch.tensor([0, 1, 1, 2]))
    0.5
    """
    return int(labels.bincount().max()) / len(labels)


def wilson(successes: int, trials: int) -> Estimate:
    """A proportion and Wilson's score interval (Wilson 1927).

    >>> [round(value, 4) for value in wilson(9, 10)]
    [0.9, 0.5958, 0.9821]
    """
    share = successes / trials
    scale = 1 + Z**2 / trials
    center = (share + Z**2 / (2 * trials)) / scale
    half = Z / scale * math.sqrt(share * (1 - share) / trials + (Z / (2 * trials)) ** 2)
    return Estimate(share, max(0.0, min(share, center - half)), min(1.0, max(share, center + half)))


def mean(values: Tensor) -> Estimate:
    """The mean of `(n,)` values, none negative, and the interval of the normal approximation."""
    middle = float(values.mean(dtype=torch.float64))
    if not math.isfinite(middle) or len(values) < 2:
        return Estimate(middle, 0.0 if len(values) < 2 else middle, math.inf)
    half = Z * float(values.double().std()) / math.sqrt(len(values))
    return Estimate(middle, max(0.0, middle - half), middle + half)


def paired_drop(before: Tensor, after: Tensor) -> Estimate:
    """Points of accuracy lost from `before` to `after`, `(n,)` booleans of the same samples: right or wrong.

    The interval is that of Agresti and Min (2005) for matched pairs: Wald's after half a pair is added to each of the
    four cells, so that it keeps a width where no sample changes sides.

    >>> paired_drop(torch.tensor([True, True, True, False]), torch.tensor([True, True, False, False])).value
    25.0
    """
    count = len(before)
    lost, won = int((before & ~after).sum()), int((~before & after).sum())
    more = count + 2
    center = (lost - won) / more
    half = Z * math.sqrt((lost + won + 1) / more - center**2) / math.sqrt(more)
    drop = (lost - won) / count
    return Estimate(100 * drop, 100 * min(drop, center - half), 100 * max(drop, center + half))


def divergence(original: Tensor, other: Tensor) -> Tensor:
    """KL(original || other) of each sample, in nats, from two `(n, classes)` logits; infinite where not finite."""
    log_p, log_q = original.double().log_softmax(1), other.double().log_softmax(1)
    return (log_p.exp() * (log_p - log_q)).sum(1).clamp_min(0).nan_to_num(nan=math.inf).float()


def macro(labels: Tensor, guesses: Tensor, classes: int, seed: int = 0) -> dict[str, Estimate]:
    """Macro F1, precision and recall over the classes that occur as a label or a guess.

    A class that is never guessed has precision 0, one that never occurs has recall 0. The interval is the value
    plus and minus 1.96 standard deviations of 400 bootstrap replicates.

    Args:
        labels: (n,) int64.
        guesses: (n,) int64; -1 is no class at all.
        classes: how many there are.
        seed: of the bootstrap.
    """
    names = ("f1", "precision", "recall")
    values = _macro(labels, guesses, classes)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.stack(
        [
            _macro(labels[chosen], guesses[chosen], classes)
            for chosen in (torch.randint(len(labels), labels.shape, generator=generator) for _ in range(REPLICATES))
        ]
    )
    half = Z * drawn.std(0)
    return {
        name: Estimate(float(value), max(0.0, float(value - width)), min(1.0, float(value + width)))
        for name, value, width in zip(names, values, half, strict=True)
    }


def inference_seconds(model: nn.Module, inputs: Inputs, repeats: int = 11) -> Estimate:
    """Median time of one forward pass, after two passes to warm up, and the interval that its order statistics give.

    Args:
        model: is run in evaluation mode.
        inputs: one batch.
        repeats: timed passes, at least 6, the fewest whose extremes enclose the median with 95 %.
    """
    at = next(model.parameters(), torch.empty(0)).device
    training = model.training
    times = []
    model.eval()
    try:
        with torch.inference_mode():
            for number in range(repeats + 2):
                start = time.perf_counter()
                forward(model, inputs)
                if at.type == "cuda":
                    torch.cuda.synchronize(at)
                if number >= 2:
                    times.append(time.perf_counter() - start)
    finally:
        model.train(training)
    times.sort()
    outside = _outside(repeats)
    return Estimate(statistics.median(times), times[outside], times[-1 - outside])


def as_row(figures: Mapping[str, Estimate]) -> dict[str, float]:
    """Columns `name`, `name_low` and `name_high`.

    >>> as_row({"loss": Estimate(1.0, 0.5, 1.5)})
    {'loss': 1.0, 'loss_low': 0.5, 'loss_high': 1.5}
    """
    ends = ("", "_low", "_high")
    return {f"{name}{end}": value for name, each in figures.items() for end, value in zip(ends, each, strict=True)}


def _outside(count: int) -> int:
    """How many of `count` sorted values may be left out at each end so that the rest hold the median with 95 %."""
    tail, left_out = 0.5**count, 0
    while tail + math.comb(count, left_out + 1) * 0.5**count <= 0.025:
        left_out += 1
        tail += math.comb(count, left_out) * 0.5**count
    return left_out


def _macro(labels: Tensor, guesses: Tensor, classes: int) -> Tensor:
    right = labels[labels == guesses].bincount(minlength=classes).double()
    of_label = labels.bincount(minlength=classes)
    of_guess = guesses[guesses >= 0].bincount(minlength=classes)
    seen = (of_label + of_guess) > 0
    precision = right / of_guess.clamp_min(1)
    recall = right / of_label.clamp_min(1)
    f1 = 2 * right / (of_label + of_guess).clamp_min(1)
    return torch.stack([values[seen].mean() for values in (f1, precision, recall)])


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    values = nn.functional.cross_entropy(logits.double(), labels, reduction="none")
    return values.nan_to_num(nan=math.inf).float()


def _checked_logits(logits: Tensor, samples: int) -> Tensor:
    if logits.ndim != 2 or len(logits) != samples:
        raise ValueError(
            f"evaluation needs outputs of shape (batch, classes), but {samples} samples gave {tuple(logits.shape)}"
        )
    return logits.float().cpu()


def _checked_labels(labels: list[Tensor], samples: int, classes: int) -> Tensor | None:
    if not labels:
        return None
    truth = torch.cat([each.reshape(-1) if each.ndim < 2 else each for each in labels]).cpu()
    if truth.ndim != 1 or len(truth) != samples or truth.is_floating_point():
        raise ValueError("labels must be one whole number a sample, in every batch or in none")
    truth = truth.long()
    if int(truth.min()) < 0 or int(truth.max()) >= classes:
        raise ValueError(
            f"labels go from {int(truth.min())} to {int(truth.max())}, but the model has {classes} classes: "
            "give the data that it was trained for"
        )
    return truth
