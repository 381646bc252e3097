"""Classification metrics of logits, by torchmetrics: one set for every epoch and for the final report."""

from __future__ import annotations

import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_auroc,
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
    multiclass_roc,
)
from torchmetrics.utilities import dim_zero_cat


def classification_metrics(logits: Tensor, labels: Tensor) -> dict[str, Any]:
    """Metrics of predictions.

    Args:
        logits: ``(N, num_classes)`` floats.
        labels: ``(N,)`` int64 class indices.

    Returns:
        ``accuracy``, ``loss`` (mean cross entropy), ``f1_macro``, ``recall_macro``, ``precision_macro``, ``roc_auc``
        (from probabilities), ``roc_auc_one_hot`` (from one-hot predictions: the paper's number), each a float, and
        ``confusion``, a nested list of counts, rows true, columns predicted. The two ROC-AUC are macro averages, one
        class against the rest, over the classes that occur in ``labels``; nan where that is undefined.
    """
    num_classes = logits.shape[1]
    logits = logits.float()
    predicted = logits.argmax(1)
    options: dict[str, Any] = {"num_classes": num_classes, "average": "macro", "validate_args": False}
    values = {
        "accuracy": multiclass_accuracy(predicted, labels, num_classes, average="micro", validate_args=False),
        "loss": F.cross_entropy(logits, labels),
        "f1_macro": multiclass_f1_score(predicted, labels, **options),
        "recall_macro": multiclass_recall(predicted, labels, **options),
        "precision_macro": multiclass_precision(predicted, labels, **options),
        "roc_auc": roc_auc(logits.softmax(1).nan_to_num(0.0), labels),
    }
    confusion = multiclass_confusion_matrix(predicted, labels, num_classes, validate_args=False)
    values["roc_auc_one_hot"] = _roc_auc_of_confusion(confusion)
    # float32 has seven digits; more would be noise in the files
    return {name: round(float(value), 7) for name, value in values.items()} | {"confusion": confusion.tolist()}


def roc_auc(scores: Tensor, labels: Tensor) -> Tensor:
    """Macro one-against-rest ROC-AUC of ``scores`` ``(N, num_classes)`` in [0, 1], over the classes in ``labels``."""
    num_classes = scores.shape[1]
    with warnings.catch_warnings():  # a class without positives is left out of the mean below, as it has no curve
        warnings.filterwarnings("ignore", message="No (positive|negative) samples in targets")
        each = multiclass_auroc(scores, labels, num_classes, average="none", validate_args=False)
    count = torch.bincount(labels, minlength=num_classes)
    return each[(count > 0) & (count < len(labels))].mean()


def _roc_auc_of_confusion(confusion: Tensor) -> Tensor:
    """Macro ROC-AUC of one-hot predictions: each curve has one inner point, so its area is (TPR + 1 - FPR) / 2."""
    total, positives, predicted = confusion.sum().double(), confusion.sum(1).double(), confusion.sum(0).double()
    hits = confusion.diagonal().double()
    area = (1 + hits / positives - (predicted - hits) / (total - positives)) / 2
    return area[(positives > 0) & (positives < total)].mean()


def roc_curves(logits: Tensor, labels: Tensor) -> list[tuple[Tensor, Tensor]]:
    """One ROC curve a class, ``(false_positive_rate, true_positive_rate)``, from ``(N, num_classes)`` logits."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No (positive|negative) samples in targets")
        false_positive, true_positive, _ = multiclass_roc(
            logits.float().softmax(1).nan_to_num(0.0), labels, logits.shape[1], validate_args=False
        )
    return list(zip(false_positive, true_positive, strict=True))


class ClassificationMetrics(Metric):
    """:func:`classification_metrics` over batches and, as torchmetrics gathers its states, over processes."""

    full_state_update = False
    logits: list[Tensor]
    labels: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("logits", default=[], dist_reduce_fx="cat")
        self.add_state("labels", default=[], dist_reduce_fx="cat")

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Take a batch: logits ``(B, num_classes)``, labels ``(B,)``."""
        self.logits.append(logits)
        self.labels.append(labels)

    def compute(self) -> dict[str, Any]:
        """The metrics of all batches since the last ``reset``."""
        return classification_metrics(dim_zero_cat(self.logits), dim_zero_cat(self.labels))
