"""Figures of a model: agreement with scikit-learn and scipy, honest intervals, and the search for the cliff."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import Tensor, nn

from wavpool.codec.cliff import Point, bisect, critical_size, knee, monotone
from wavpool.evaluation.metrics import (
    Estimate,
    Predictions,
    as_row,
    evaluate,
    inference_seconds,
    mean,
    paired_drop,
    predict,
    wilson,
)


@pytest.fixture
def case() -> tuple[Predictions, Predictions]:
    """Predictions of a fair model and of a worse one, 7 classes of which one never occurs."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(0, 6, (500,), generator=generator)
    clean = torch.randn(500, 7, generator=generator) + 2 * nn.functional.one_hot(labels, 7)
    return Predictions(clean, labels), Predictions(clean + torch.randn(500, 7, generator=generator), labels)


class TestFigures:
    def test_are_those_of_scikit_learn(self, case: tuple[Predictions, Predictions]):
        _, worse = case
        figures = evaluate(worse)
        truth, guess = worse.labels.numpy(), worse.logits.argmax(1).numpy()
        scores = metrics.precision_recall_fscore_support(truth, guess, average="macro", zero_division=0)
        assert figures["accuracy"].value == pytest.approx(metrics.accuracy_score(truth, guess))
        assert [figures[name].value for name in ("precision", "recall", "f1")] == pytest.approx(scores[:3])
        probabilities = worse.logits.double().softmax(1).numpy()
        assert figures["loss"].value == pytest.approx(metrics.log_loss(truth, probabilities, labels=range(7)), rel=1e-6)
        assert figures["top5"].value == pytest.approx(
            metrics.top_k_accuracy_score(truth, probabilities, k=5, labels=range(7))
        )

    def test_against_the_original(self, case: tuple[Predictions, Predictions]):
        original, worse = case
        figures = evaluate(worse, original)
        p, q = (each.logits.double().softmax(1).numpy() for each in case)
        assert figures["kl"].value == pytest.approx((p * np.log(p / q)).sum(1).mean(), rel=1e-6)
        same = original.logits.argmax(1) == worse.logits.argmax(1)
        assert figures["agreement"].value == pytest.approx(same.double().mean().item())
        lost = evaluate(original)["accuracy"].value - figures["accuracy"].value
        assert figures["drop"].value == pytest.approx(100 * lost)

    def test_of_itself(self, case: tuple[Predictions, Predictions]):
        figures = evaluate(case[0], case[0])
        assert figures["kl"].value == 0
        assert figures["agreement"] == pytest.approx((1, 0.99238, 1), abs=1e-5)
        assert figures["drop"].value == 0
        assert figures["drop"].low < 0 < figures["drop"].high

    def test_without_labels_only_the_comparison(self, case: tuple[Predictions, Predictions]):
        original, worse = (Predictions(each.logits, None) for each in case)
        assert set(evaluate(worse, original)) == {"kl", "agreement"}
        assert evaluate(worse) == {}

    def test_a_broken_model_is_wrong_everywhere(self, case: tuple[Predictions, Predictions]):
        original, _ = case
        figures = evaluate(Predictions(torch.full((500, 7), math.nan), original.labels), original)
        assert [figures[name].value for name in ("accuracy", "top5", "agreement", "f1")] == [0, 0, 0, 0]
        assert [figures[name].value for name in ("kl", "loss")] == [math.inf, math.inf]
        assert figures["drop"].value == pytest.approx(100 * evaluate(original)["accuracy"].value)

    def test_of_other_samples_is_refused(self, case: tuple[Predictions, Predictions]):
        with pytest.raises(ValueError, match="same samples"):
            evaluate(Predictions(case[0].logits[:9], None), case[0])


class TestIntervals:
    """95 % intervals hold the truth in about 95 % of repetitions."""

    TRIALS = 400

    def coverage(self, interval: Callable[[torch.Generator], tuple[float, Estimate]]) -> float:
        generator = torch.Generator().manual_seed(0)
        held = 0
        for _ in range(self.TRIALS):
            truth, estimate = interval(generator)
            assert estimate.low <= estimate.value <= estimate.high
            held += estimate.low <= truth <= estimate.high
        return held / self.TRIALS

    def test_of_a_proportion(self):
        def one(generator: torch.Generator) -> tuple[float, Estimate]:
            return 0.92, wilson(int((torch.rand(200, generator=generator) < 0.92).sum()), 200)

        assert 0.92 < self.coverage(one) < 0.98

    def test_of_a_mean(self):
        def one(generator: torch.Generator) -> tuple[float, Estimate]:
            return 0.5, mean(torch.rand(100, generator=generator))

        assert 0.92 < self.coverage(one) < 0.98

    def test_of_a_paired_drop(self):
        def one(generator: torch.Generator) -> tuple[float, Estimate]:
            draw = torch.rand(1000, generator=generator)
            before, after = draw > 0.08, (draw > 0.1) | (draw < 0.01)  # 2 % lost, 1 % won
            return 1.0, paired_drop(before, after)

        assert 0.92 < self.coverage(one) < 0.985

    def test_pairing_narrows(self):
        draw = torch.rand(10_000, generator=torch.Generator().manual_seed(1))
        estimate = paired_drop(draw > 0.08, draw > 0.09)
        assert estimate.high - estimate.low < 0.4 * 100 * (wilson(9100, 10_000).high - wilson(9100, 10_000).low)

    def test_of_macro_f1_is_that_of_repetition(self, case: tuple[Predictions, Predictions]):
        """The bootstrap's spread is near the spread over fresh samples."""
        values, widths = [], []
        for seed in range(20):
            generator = torch.Generator().manual_seed(seed)
            labels = torch.randint(0, 6, (300,), generator=generator)
            logits = torch.randn(300, 6, generator=generator) + 1.5 * nn.functional.one_hot(labels, 6)
            f1 = evaluate(Predictions(logits, labels))["f1"]
            values.append(f1.value)
            widths.append((f1.high - f1.low) / 2)
        assert np.mean(widths) == pytest.approx(1.96 * np.std(values), rel=0.3)

    def test_single_sample(self):
        assert mean(torch.tensor([2.0])) == (2, 0, math.inf)

    def test_row_has_three_columns_a_figure(self):
        assert list(as_row({"kl": Estimate(1, 0, 2)})) == ["kl", "kl_low", "kl_high"]


class Transformer(nn.Module):
    """Called by keyword, gives a result with logits."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, ids: Tensor, mask: Tensor) -> object:
        return type("Output", (), {"logits": self.head(ids * mask)})()


class TestPredict:
    def test_leaves_the_mode_as_it_was_and_uses_evaluation(self):
        model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.9)).train()
        x = torch.randn(8, 3)
        said = predict(model, [(x, None)])
        assert model.training
        torch.testing.assert_close(said.logits, model[0](x).detach())

    def test_of_a_mapping_by_keyword(self):
        said = predict(
            Transformer(), [({"ids": torch.ones(4, 3), "mask": torch.zeros(4, 3)}, torch.tensor([0, 1, 0, 1]))]
        )
        assert said.logits.shape == (4, 2)

    @pytest.mark.parametrize(
        ("model", "batches", "message"),
        [
            (nn.Linear(3, 2), [], "no samples"),
            (nn.Identity(), [(torch.zeros(2, 3, 4), None)], r"\(batch, classes\)"),
            (nn.Linear(3, 2), [(torch.zeros(2, 3), torch.tensor([0, 2]))], "model has 2 classes"),
            (nn.Linear(3, 2), [(torch.zeros(2, 3), torch.tensor([0.5, 1]))], "one whole number"),
            (nn.Linear(3, 2), [(torch.zeros(2, 3), torch.zeros(2, 2, dtype=torch.long))], "one whole number"),
            (
                nn.Linear(3, 2),
                [(torch.zeros(2, 3), None), (torch.zeros(2, 3), torch.zeros(2).long())],
                "in every batch",
            ),
        ],
    )
    def test_refuses(self, model: nn.Module, batches: list[object], message: str):
        with pytest.raises(ValueError, match=message):
            predict(model, batches)

    def test_time_is_a_median_within_its_interval(self):
        model = nn.Linear(64, 64).train()
        seconds = inference_seconds(model, torch.zeros(8, 64), repeats=6)
        assert 0 < seconds.low <= seconds.value <= seconds.high
        assert model.training


def test_bisection_finds_the_edge_with_few_measurements():
    calls: list[float] = []

    def measure(strength: float) -> float:
        calls.append(strength)
        return strength

    found = bisect(measure, lambda value: value <= 37.3, precision=0.01)
    assert 37.3 * 2**-0.01 <= found.strength <= 37.3
    assert found.result == found.strength
    assert len(calls) == len(set(calls)) < 16


def test_bisection_goes_down_and_reuses_what_is_known():
    known = {1.0: 1.0}
    assert bisect(lambda s: s, lambda value: value <= 0.01, known=known).strength == pytest.approx(0.01, rel=0.05)
    count = len(known)

    def never(strength: float) -> float:
        raise AssertionError(f"{strength} was measured already")

    bisect(never, lambda value: value <= 0.01, known=known)
    assert len(known) == count


def test_bisection_ends_where_nothing_or_everything_holds():
    with pytest.raises(ValueError, match="weakest"):
        bisect(lambda s: s, lambda value: False)
    assert bisect(lambda s: s, lambda value: True).strength >= 2**12


def test_bisection_with_noise_returns_a_point_that_held():
    generator = np.random.default_rng(0)
    for _ in range(50):
        found = bisect(lambda s: s + generator.normal(0, 0.3), lambda value: value <= 5)
        assert found.result <= 5
        assert found.strength == pytest.approx(5, abs=1.5)


def curve(noise: float = 0.0, seed: int = 0) -> list[Point]:
    """Files of 10 to 100 kB; the drop is 5 points at 40 kB and halves with every tenth of an octave more."""
    generator = np.random.default_rng(seed)
    points = []
    for size in np.geomspace(10e3, 100e3, 24):
        drop = min(80.0, 5 * 2 ** (-10 * math.log2(size / 40e3) / 3)) + generator.normal(0, noise)
        points.append(Point(size, Estimate(drop, drop - 1.96 * noise, drop + 1.96 * noise)))
    return points


class TestCritical:
    @pytest.mark.parametrize("target", [0.5, 1, 5])
    def test_size_is_where_the_curve_crosses(self, target: float):
        at = critical_size(curve(), target)
        assert at is not None
        assert at.value == pytest.approx(40e3 * (5 / target) ** 0.3, rel=0.03)
        assert at.low == pytest.approx(at.value)
        assert at.high == pytest.approx(at.value)

    def test_interval_covers_and_grows_with_the_noise(self):
        truth, held, widths = 40e3 * 5**0.3, 0, {}
        for noise in (0.05, 0.2):
            found = [critical_size(curve(noise, seed), 1) for seed in range(100)]
            held = sum(each.low <= truth * 1.03 and truth * 0.97 <= each.high for each in found)
            assert held >= 93
            widths[noise] = np.median([each.high / each.low for each in found])
        assert widths[0.2] > 1.5 * widths[0.05] - 0.5 > 1

    def test_none_where_the_target_is_not_crossed(self):
        assert critical_size(curve()[-5:], 50) is None
        assert critical_size(curve()[:3], 0.1) is None
        assert critical_size([], 1) is None

    def test_open_end_where_the_interval_is_not_crossed(self):
        points = [Point(100, Estimate(3, 2, 4)), Point(200, Estimate(0.4, -0.5, 1.3))]
        at = critical_size(points, 1)
        assert at is not None
        assert at.high == math.inf
        assert 100 < at.low < at.value < 200

    def test_knee_does_not_move_with_the_ends_of_the_sweep(self):
        at = [knee(points, 1e6, 45) for points in (curve(), curve()[4:], curve()[:-6])]
        assert at[0] is not None
        assert at[0] == at[1] == at[2]
        assert 30e3 < at[0].value < 90e3

    def test_knee_is_uncertain_with_noise(self):
        clean, noisy = knee(curve(), 1e6, 45), knee(curve(0.5), 1e6, 45)
        assert clean is not None
        assert noisy is not None
        assert noisy.low <= noisy.value <= noisy.high
        assert noisy.high / noisy.low > clean.high / clean.low == 1

    def test_no_knee_without_a_collapse(self):
        assert knee(curve()[-8:], 1e6, 45) is None
        assert knee([], 1e6, 45) is None

    def test_no_knee_of_a_network_that_only_guesses(self):
        assert knee(curve(), 1e6, 0.0) is None
        assert knee(curve(), 1e6, -1.0) is None

    def test_monotone_is_the_closest(self):
        values = np.random.default_rng(1).normal(size=12) - np.arange(12) / 4
        found = monotone(values)
        assert np.all(np.diff(found) <= 0)
        assert found.mean() == pytest.approx(values.mean())
        for shift in np.random.default_rng(2).normal(size=(200, 12)) * 0.1:
            other = np.minimum.accumulate(found + shift)
            assert ((found - values) ** 2).sum() <= ((other - values) ** 2).sum() + 1e-12
