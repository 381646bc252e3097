"""Metrics against scikit-learn, on the predictions of a model trained on real digits."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import sklearn.metrics as reference
import torch

from training.config import TrainConfig
from training.engine import load, predict, train
from training.metrics import ClassificationMetrics, classification_metrics, roc_curves

Prediction = tuple[torch.Tensor, torch.Tensor]


@pytest.fixture(scope="module")
def prediction() -> Prediction:
    config = TrainConfig(model="mlp_paper", epochs=1, optimizer="sgd", lr=0.1, accelerator="cpu")
    data = load(config)
    return predict(train(config, data).model, data.test, 128)


def expected(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    truth, predicted = labels.numpy(), logits.argmax(1).numpy()
    scores = logits.double().softmax(1).numpy()
    one_hot = np.eye(logits.shape[1])
    return {
        "accuracy": reference.accuracy_score(truth, predicted),
        "loss": reference.log_loss(truth, scores, labels=range(10)),
        "f1_macro": reference.f1_score(truth, predicted, average="macro"),
        "recall_macro": reference.recall_score(truth, predicted, average="macro"),
        "precision_macro": reference.precision_score(truth, predicted, average="macro", zero_division=0),
        "roc_auc": reference.roc_auc_score(truth, scores, multi_class="ovr"),
        "roc_auc_one_hot": reference.roc_auc_score(one_hot[truth], one_hot[predicted]),
    }


def test_all_metrics_agree_with_scikit_learn(prediction: Prediction) -> None:
    metrics = classification_metrics(*prediction)
    confusion = metrics.pop("confusion")
    assert metrics == pytest.approx(expected(*prediction), abs=1e-5)
    assert 0.3 < metrics["accuracy"] < 0.99  # neither trivial
    np.testing.assert_array_equal(confusion, reference.confusion_matrix(prediction[1], prediction[0].argmax(1)))


def test_batches_give_what_the_whole_gives(prediction: Prediction) -> None:
    metric = ClassificationMetrics()
    for logits, labels in zip(prediction[0].split(77), prediction[1].split(77), strict=True):
        metric.update(logits, labels)
    assert metric.compute() == classification_metrics(*prediction)


def test_an_absent_class_has_no_share_in_roc_auc(prediction: Prediction) -> None:
    logits, labels = (each[prediction[1] != 3] for each in prediction)
    present = [each for each in range(10) if each != 3]
    one_hot, scores = np.eye(10)[labels], logits.softmax(1).numpy()
    metrics = classification_metrics(logits, labels)
    wanted = np.mean([reference.roc_auc_score(one_hot[:, each], scores[:, each]) for each in present])
    assert metrics["roc_auc"] == pytest.approx(wanted, abs=1e-5)
    predicted = np.eye(10)[logits.argmax(1)]
    wanted = np.mean([reference.roc_auc_score(one_hot[:, each], predicted[:, each]) for each in present])
    assert metrics["roc_auc_one_hot"] == pytest.approx(wanted, abs=1e-5)


def test_roc_curves_agree_with_scikit_learn(prediction: Prediction) -> None:
    logits, labels = prediction
    for number, (false_positive, true_positive) in enumerate(roc_curves(logits, labels)):
        wanted = reference.roc_curve(labels == number, logits.softmax(1)[:, number], drop_intermediate=False)
        np.testing.assert_allclose(false_positive, wanted[0], atol=1e-6)
        np.testing.assert_allclose(true_positive, wanted[1], atol=1e-6)


def test_diverged_logits_still_have_metrics(prediction: Prediction) -> None:
    metrics = classification_metrics(torch.full_like(prediction[0], torch.nan), prediction[1])
    assert math.isnan(metrics["loss"])
    assert metrics["roc_auc"] == 0.5


def test_validation_in_training_is_validation_afterwards(make_config: Callable[..., TrainConfig]) -> None:
    config = make_config(epochs=2, eval_batch_size=70)
    data = load(config)
    outcome = train(config, data)
    metrics = classification_metrics(*predict(outcome.model, data.validation, 300))
    for key in ("accuracy", "loss", "f1_macro", "roc_auc"):
        assert outcome.history[-1][f"validation_{key}"] == pytest.approx(metrics[key], abs=1e-6)
