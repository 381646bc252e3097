"""Quantisers: errors within bounds, clusters as good as scikit-learn's, a trellis that beats rounding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from wavpool.codec import trellis
from wavpool.codec.coders.states import NEXT, START
from wavpool.codec.kmeans import codebook
from wavpool.codec.quantize import fixed_bits, steps, uniform
from wavpool.codec.scales import factor


def layer(seed: int = 0, shape: tuple[int, int, int] = (32, 16, 9)) -> np.ndarray:
    """Coefficients whose rows, columns and taps differ in size, as a trained layer's."""
    rng = np.random.default_rng(seed)
    scales = [np.exp(rng.normal(0, 0.5, n)) for n in shape]
    return rng.laplace(size=shape) * scales[0][:, None, None] * scales[1][:, None] * scales[2]


def bits_a_value(q: np.ndarray) -> float:
    """Order-0 entropy."""
    share = np.unique(q, return_counts=True)[1] / q.size
    return float(-(share * np.log2(share)).sum())


@settings(deadline=None)
@given(st.floats(0.01, 5), st.sampled_from([0.5, 0.4, 0.25, 0.0]), st.integers(0, 99))
def test_uniform_errs_by_less_than_its_intervals(step: float, offset: float, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=200) * 10
    q = uniform(values, step, offset)
    error = (np.abs(values) - np.abs(q) * step) / step
    assert (error >= -offset - 1e-9).all()
    assert (error < 1 - offset + 1e-9).all()
    assert (q * values >= 0).all()
    assert np.array_equal(uniform(-values, step, offset), -q)


def test_uniform_refuses_what_it_cannot_hold() -> None:
    for value in (np.nan, np.inf, 2.0**31):
        with pytest.raises(ValueError, match="take a larger step"):
            uniform(np.array([value]), 1.0)
    with pytest.raises(ValueError, match="offset must be"):
        uniform(np.zeros(1), 1.0, 0.6)


def test_steps_multiply() -> None:
    row, col, tap = np.array([-16, 3]), np.array([1, 0, -4]), np.array([0, 8])
    expected = 2.0 ** (row[:, None, None] / 16 + col[:, None] / 4 + tap / 4)
    np.testing.assert_allclose(steps(row, col, tap), expected, rtol=1e-15)
    assert steps(row).shape == (2, 1, 1)


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("per", ["layer", "channel"])
def test_fixed_bits_take_the_best_step(bits: int, per: str) -> None:
    values = layer()
    fixed = fixed_bits(values, bits, per)
    limit = 2 ** (bits - 1) - 1
    assert np.abs(fixed.q).max() <= limit
    assert fixed.row.shape == ((32,) if per == "channel" else (1,))
    error = ((values - fixed.q * steps(fixed.row)) ** 2).sum()
    for change in (-8, -2, -1, 1, 2, 8):
        step = factor(fixed.row + change, 16)[:, None, None]
        other = np.clip(np.rint(values / step), -limit, limit)
        assert error <= ((values - other * step) ** 2).sum()


def test_fixed_bits_of_zeros_are_zeros() -> None:
    fixed = fixed_bits(np.zeros((3, 2, 1)), 4, "channel")
    assert not fixed.q.any()
    for bits, per in ((1, "layer"), (9, "layer"), (4, "tensor")):
        with pytest.raises(ValueError, match="must be"):
            fixed_bits(np.zeros((3, 2, 1)), bits, per)


@pytest.mark.parametrize(("k", "count", "excess"), [(2, 2000, 0), (5, 2000, 0), (64, 2000, 0), (16, 20000, 1e-3)])
@pytest.mark.parametrize("kind", ["normal", "laplace", "lumps"])
def test_clusters_are_as_tight_as_those_of_scikit_learn(k: int, count: int, excess: float, kind: str) -> None:
    rng = np.random.default_rng(1)
    values = {
        "normal": rng.normal(size=count),
        "laplace": rng.laplace(size=count),
        "lumps": rng.choice([-7.0, -1.0, 0.0, 0.5, 3.0], count) + 0.05 * rng.normal(size=count),
    }[kind]
    theirs = KMeans(k, n_init=3, random_state=0).fit(values[:, None]).inertia_
    book = codebook(values[:, None, None], k, dtype=np.float32)
    decoded = book.codebook[book.q + book.zero] * factor(book.row, 16)
    assert ((decoded[:, 0, 0] - values) ** 2).sum() <= (1 + 1e-6 + excess) * theirs


@pytest.mark.parametrize("per", ["layer", "channel"])
@pytest.mark.parametrize("pin_zero", [False, True])
def test_every_value_goes_to_the_nearest_entry(per: str, pin_zero: bool) -> None:
    values = layer() * 1e-6
    book = codebook(values, 8, per=per, pin_zero=pin_zero)
    entries = book.codebook.astype(np.float64) * factor(book.row, 16)
    entries = np.broadcast_to(entries, (32, 8))
    assert (np.diff(entries) >= 0).all()
    chosen = np.take_along_axis(entries, (book.q + book.zero).reshape(32, -1), axis=1)
    nearest = np.abs(values.reshape(32, -1, 1) - entries[:, None]).min(axis=2)
    np.testing.assert_allclose(np.abs(values.reshape(32, -1) - chosen), nearest, atol=1e-15)
    if pin_zero:
        assert (np.abs(entries).min(axis=1) == 0).all()
    if per == "channel":
        whole = codebook(values, 8, pin_zero=pin_zero)
        coarse = whole.codebook.astype(np.float64)[whole.q + whole.zero] * factor(whole.row, 16)
        assert (nearest**2).sum() < ((values - coarse) ** 2).sum()


def test_clusters_heed_weights() -> None:
    values = np.array([0.0, 0.25, 4.0, 6.0]).reshape(4, 1, 1)
    weights = np.array([1.0, 3.0, 0.0, 1.0]).reshape(4, 1, 1)
    book = codebook(values, 2, weights=weights)
    assert (book.codebook * factor(book.row, 16)).tolist() == [0.1875, 6.0]


def test_clusters_of_fewer_values_than_entries_are_exact() -> None:
    values = np.array([1.0, -2.0, 1.0]).reshape(3, 1, 1)
    book = codebook(values, 16)
    assert np.array_equal(book.codebook[book.q + book.zero] * factor(book.row, 16), values)
    zeros = codebook(np.zeros((2, 2, 1)), 4)
    assert not zeros.codebook[zeros.q + zeros.zero].any()


def test_clusters_refuse_what_has_none() -> None:
    for values, k, per in ((np.zeros((0, 1, 1)), 2, "layer"), (np.full((1, 1, 1), np.nan), 2, "layer")):
        with pytest.raises(ValueError, match="finite"):
            codebook(values, k, per=per)
    for k, per in ((1, "layer"), (2, "row")):
        with pytest.raises(ValueError, match="must be"):
            codebook(np.zeros((1, 1, 1)), k, per=per)


@settings(deadline=None)
@given(st.lists(st.integers(-5, 5), max_size=60))
def test_quantisers_follow_the_states(integers: list[int]) -> None:
    state, expected = START, []
    for q in integers:
        expected.append(state & 1)
        state = NEXT[state, q & 1]
    assert trellis.quantisers(np.array(integers, dtype=np.int32)).tolist() == expected


def test_trellis_packs_a_decibel_more_than_rounding() -> None:
    values = np.random.default_rng(0).uniform(-50, 50, (50, 40, 9))
    q = trellis.quantize(values, 1.0)
    error = ((values - trellis.levels(q)) ** 2).mean()
    assert 10 * np.log10(4 / 12 / error) > 1.0  # rounding to the even multiples costs the same bits
    assert abs(bits_a_value(q) - np.log2(50)) < 0.05


def test_trellis_finds_the_cheapest_path() -> None:
    """Against all 11**4 paths of four integers."""
    rng = np.random.default_rng(3)
    values, weights = rng.normal(size=4) * 2, rng.uniform(0.5, 2, 4)
    paths = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 4), axis=-1).reshape(-1, 4).astype(np.int32)
    costs = [float((weights * (values - trellis.levels(path)) ** 2).sum()) for path in paths]
    q = trellis.quantize(values.reshape(4, 1, 1), 1.0, weights=weights.reshape(4, 1, 1)).reshape(-1)
    assert np.array_equal(q, paths[np.argmin(costs)])


def test_feedback_of_independent_inputs_is_no_feedback() -> None:
    values = layer(1, (6, 5, 9))
    row, column = np.full(6, 0.5), np.ones((5, 9))
    q = trellis.quantize_with_feedback(values, row, column, np.eye(45)[None], mu=0.2)
    assert np.array_equal(q, trellis.quantize(values, 0.5, mu=0.2))


def test_feedback_lowers_the_error_of_outputs() -> None:
    rng = np.random.default_rng(2)
    values = layer(1, (16, 8, 9))
    inputs = rng.normal(size=(400, 72)) @ np.exp(rng.normal(size=(72, 72)) / 4)
    moment = inputs.T @ inputs / 400 + 0.01 * np.eye(72)
    column = 2.0 ** np.rint(-np.log2(np.diag(moment)) / 2).reshape(8, 9)
    row = np.full(16, 0.05)
    factor_ = np.linalg.cholesky(np.linalg.inv(moment)).T
    errors = []
    for q in (
        trellis.quantize(values, row[:, None, None] * column),
        trellis.quantize_with_feedback(values, row, column, factor_[None]),
    ):
        difference = (values - trellis.levels(q) * row[:, None, None] * column).reshape(16, -1)
        errors.append(float(((difference @ moment) * difference).sum()))
    assert errors[1] < 0.5 * errors[0]


def test_groups_have_their_own_feedback() -> None:
    values = layer(1, (6, 5, 9))
    row, column = np.full(6, 0.1), np.ones((5, 9))
    coupled = np.eye(45) + np.triu(np.full((45, 45), 0.5), 1)
    mixed, plain = (
        trellis.quantize_with_feedback(values, row, column, np.stack([np.eye(45), other]))
        for other in (coupled, np.eye(45))
    )
    alone = trellis.quantize_with_feedback(values[:3], row[:3], column, np.eye(45)[None])
    assert (mixed[:3] != alone).mean() < 0.02  # but for the end of the path
    assert (mixed[3:] != plain[3:]).mean() > 0.2


def test_rows_of_more_weight_get_more_bits() -> None:
    values = np.random.default_rng(0).laplace(size=(40, 8, 9))
    weights = np.repeat([0.2, 1.8], 20)
    q = trellis.quantize_with_feedback(
        values, np.ones(40), np.ones((8, 9)), np.eye(72)[None], mu=0.3, row_weights=weights
    )
    errors = ((values - trellis.levels(q)) ** 2).mean(axis=(1, 2))
    assert errors[20:].mean() < 0.9 * errors[:20].mean()
    assert (q[20:] == 0).mean() < (q[:20] == 0).mean()


def test_trellis_refuses_what_it_cannot_hold() -> None:
    with pytest.raises(ValueError, match="larger step"):
        trellis.quantize(np.full((1, 1, 1), np.inf), 1.0)
