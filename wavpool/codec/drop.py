"""How much accuracy a compressed model will lose on data that neither model has seen.

Calibration data are mostly training data. Of these a model is sure, far surer than of others, so that few predictions
change however wrong the logits become, and the accuracy lost there says little. The logits themselves err alike on
both: on CIFAR-10 the squared error of ResNet-20's and ResNet-56's logits, relative to their variance, is the same on
training and test images to one part in a hundred, while the divergence of the predictions is two to eight times as
large on the test images. A model that is less sure loses more at an equal divergence: there, what it believes itself
tells. So a drop is foretold from all of these, and from the labels of data that are said to be for that.
"""

import math

import torch
from torch import Tensor

from ..evaluation.metrics import REPLICATES, Estimate, Predictions, divergence

POINTS_OF_DIVERGENCE = 15.0
"""Points of accuracy a nat of KL(original || compressed) on unseen data: mostly 11 to 18 of ResNet-20 and ResNet-56, as
results/codec/compare.csv shows."""
POINTS_OF_ERROR = 29.0
"""Points of accuracy a unit of relative squared error of the logits, on any data; of the same two networks about 17 on
average, and this with a margin for the scatter of a third of that from one network and calibration set to the next."""

POINTS_OF_BELIEF = 1.9
"""Points of accuracy a point that is believed to be lost with the errors of other samples: 0.9 to 1.9 of ResNet-8, VGG
and a perceptron (`benchmarks.codec.networks`); 1.3 and more of ResNet-20 and -56, where belief says little."""
ROTATIONS = 64


def relative_error(original: Tensor, compressed: Tensor) -> float:
    """Squared error of logits (samples, classes) over their variance, both about each sample's mean.

    >>> relative_error(torch.tensor([[1.0, -1.0]]), torch.tensor([[3.0, 2.0]]))
    0.25
    """
    error, variance = (float(each.sum()) for each in _squares(original, compressed))
    return error / max(variance, 1e-300)


def _squares(original: Tensor, compressed: Tensor) -> tuple[Tensor, Tensor]:
    """Of each sample the squared error of its logits, and their variance."""
    centred, error = (x - x.mean(1, keepdim=True) for x in (original.double(), (compressed - original).double()))
    return error.square().sum(1), centred.square().sum(1)


def believed_drop(original: Tensor, compressed: Tensor) -> tuple[float, float]:
    """Points of accuracy lost if the original's predictions were the labels' true distribution.

    Args:
        original, compressed: logits (samples, classes).

    Returns:
        With the errors as they are and with their signs turned; and with each sample given the errors of others, which
        makes many trials of few samples.

    >>> logits = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    >>> believed_drop(logits, logits)
    (0.0, 0.0)
    """
    own, others = _believed(original, compressed)
    return float(own.mean()), float(others.mean())


def _believed(original: Tensor, compressed: Tensor) -> tuple[Tensor, Tensor]:
    """Both figures of `believed_drop` of each sample."""
    belief, error = original.double().softmax(1), (compressed - original).double()
    best = belief.max(1).values

    def lost(moved: Tensor) -> Tensor:
        return 100 * (best - belief.gather(1, moved.argmax(1, keepdim=True))[:, 0])

    own = (lost(original + error) + lost(original - error)) / 2
    order = torch.randperm(len(error), generator=torch.Generator().manual_seed(0))
    shifts = range(1, min(ROTATIONS, len(error) - 1) + 1)
    others = torch.zeros_like(own)
    for shift in shifts:
        others += lost(original + error[order][(order.argsort() + shift) % len(error)])
    return own, others / max(len(shifts), 1)


def expected_drop(predictions: Predictions, original: Predictions, labelled: bool) -> float:
    """Points of accuracy that are expected to be lost on unseen data.

    Args:
        predictions: of the compressed model.
        original: of the original on the same samples.
        labelled: whether to look at labels, too, where there are any.

    Returns:
        The largest of what the divergence, the relative error, belief and, if so, the labels say; infinite where a
        logit is not finite.
    """
    return foretold(predictions, original, labelled).value


def foretold(predictions: Predictions, original: Predictions, labelled: bool) -> Estimate:
    """As `expected_drop`, with the interval of 400 bootstrap replicates: what other samples would have foretold."""
    logits = original.logits, predictions.logits
    if not bool(predictions.logits.isfinite().all()):
        return Estimate(math.inf, math.inf, math.inf)
    columns = [divergence(*logits).double(), *_squares(*logits), *_believed(*logits)]
    if labelled and original.labels is not None:
        right = [(each.classes == original.labels).double() for each in (original, predictions)]
        columns.append(100 * (right[0] - right[1]))
    samples = torch.stack(columns, 1)
    value = _largest(samples.mean(0))
    generator = torch.Generator().manual_seed(0)
    draws = (torch.randint(len(samples), (len(samples),), generator=generator) for _ in range(REPLICATES))
    drawn = torch.tensor([_largest(samples[chosen].mean(0)) for chosen in draws], dtype=torch.float64)
    low, high = drawn.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Estimate(value, min(low, value), max(high, value))


def _largest(means: Tensor) -> float:
    """The drop from the means of what `foretold` makes of each sample."""
    divergent, error, variance, own, others, *lost = means.tolist()
    relative = POINTS_OF_ERROR * error / max(variance, 1e-300)
    return float(max(POINTS_OF_DIVERGENCE * divergent, relative, own, POINTS_OF_BELIEF * others, *lost))
