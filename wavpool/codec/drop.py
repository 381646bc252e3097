"""How much accuracy a compressed model will lose on data that neither model has seen.

Calibration data are mostly training data. Of these a model is sure, far surer than of others, so that few predictions
change however wrong the logits become, and the accuracy lost there says little. The logits themselves err alike on
both: on CIFAR-10 the squared error of ResNet-20's and ResNet-56's logits, relative to their variance, is the same on
training and test images to one part in a hundred, while the divergence of the predictions is two to eight times as
large on the test images. So a drop is foretold from both, and from the labels of data that are said to be for that.
"""

from torch import Tensor

from .evaluate import Predictions, divergence, evaluate

POINTS_OF_DIVERGENCE = 15.0
"""Points of accuracy a nat of KL(original || compressed) on unseen data: mostly 11 to 18 of ResNet-20 and ResNet-56, as
results/codec/compare.csv shows."""
POINTS_OF_ERROR = 29.0
"""Points of accuracy a unit of relative squared error of the logits, on any data; of the same two networks about 17 on
average, and this with a margin for the scatter of a third of that from one network and calibration set to the next."""


def relative_error(original: Tensor, compressed: Tensor) -> float:
    """Squared error of logits (samples, classes) over their variance, both about each sample's mean.

    >>> relative_error(torch.tensor([[1.0, -1.0]]), torch.tensor([[3.0, 2.0]]))
    0.25
    """
    centred, error = (x - x.mean(1, keepdim=True) for x in (original.double(), (compressed - original).double()))
    return float(error.square().sum() / centred.square().sum().clamp_min(1e-300))


def expected_drop(predictions: Predictions, original: Predictions, labelled: bool) -> float:
    """Points of accuracy that are expected to be lost on unseen data.

    Args:
        predictions: of the compressed model.
        original: of the original on the same samples.
        labelled: whether to look at labels, too, where there are any.

    Returns:
        The largest of what the divergence, the relative error and, if so, the labels say; infinite where a logit is not
        finite.
    """
    logits = original.logits, predictions.logits
    if not bool(predictions.logits.isfinite().all()):
        return float("inf")
    divergent = float(divergence(*logits).double().mean())
    drop = max(POINTS_OF_DIVERGENCE * divergent, POINTS_OF_ERROR * relative_error(*logits))
    if not labelled or original.labels is None:
        return drop
    return max(drop, evaluate(predictions, original)["drop"].value)
