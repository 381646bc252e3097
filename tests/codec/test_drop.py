"""What is foretold of the accuracy that is lost."""

import math

import pytest
import torch
from torch import Tensor

from wavpool.codec.drop import believed_drop, expected_drop, relative_error
from wavpool.evaluation.metrics import Predictions


def logits(samples: int = 400, classes: int = 10, scale: float = 2.0, seed: int = 0) -> Tensor:
    return scale * torch.randn(samples, classes, generator=torch.Generator().manual_seed(seed))


def test_belief_is_the_loss_where_labels_are_drawn_from_the_predictions() -> None:
    original = logits(4000)
    compressed = original + 0.7 * logits(4000, scale=1.0, seed=1)
    labels = torch.multinomial(original.softmax(1), 400, replacement=True, generator=torch.Generator().manual_seed(2))
    before, after = ((each.argmax(1, keepdim=True) == labels).double().mean() for each in (original, compressed))
    own, others = believed_drop(original, compressed)
    assert own == pytest.approx(100 * float(before - after), rel=0.1)
    assert others == pytest.approx(own, rel=0.1)  # errors that do not depend on the sample may be shuffled


def test_shuffled_errors_tell_more_of_few_samples() -> None:
    truth = believed_drop(logits(20_000), logits(20_000) + 0.3 * logits(20_000, scale=1.0, seed=1))[0]
    small = [
        believed_drop(logits(60, seed=seed), logits(60, seed=seed) + 0.3 * logits(60, scale=1.0, seed=100 + seed))
        for seed in range(20)
    ]
    own, others = (math.sqrt(sum((each[k] - truth) ** 2 for each in small) / len(small)) for k in (0, 1))
    assert others < 0.6 * own


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_a_handful_of_samples_will_do(samples: int) -> None:
    original = logits(samples)
    assert believed_drop(original, original) == (0.0, 0.0)
    assert all(map(math.isfinite, believed_drop(original, original.roll(1, 1))))


def test_the_relative_error_does_not_mind_what_softmax_does_not() -> None:
    original, compressed = logits(), logits() + 0.1 * logits(seed=1)
    shifted = compressed + torch.randn(400, 1)
    assert relative_error(original, shifted) == pytest.approx(relative_error(original, compressed), rel=1e-4)
    assert relative_error(5 * original, 5 * compressed) == pytest.approx(relative_error(original, compressed), rel=1e-4)


def test_an_expected_drop_grows_with_the_error_and_heeds_labels_when_told() -> None:
    original = logits()
    drops = [
        expected_drop(Predictions(original + size * logits(seed=1), None), Predictions(original, None), False)
        for size in (0.0, 0.05, 0.2, 0.8)
    ]
    assert drops == sorted(drops)
    assert drops[0] == 0
    labels = original.argmax(1)
    wrong = Predictions(original.roll(1, 1) * 1e-3, labels)
    assert expected_drop(wrong, Predictions(original, labels), True) > 80
    assert expected_drop(Predictions(original * float("nan"), None), Predictions(original, None), False) == math.inf
