"""Pruning: exact counts, ties and all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wavpool.codec.prune import hard, kept, largest, largest_of, random, random_of, soft

VALUES = hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, max_side=6), elements=st.integers(-3, 3).map(float))


@settings(deadline=None)
@given(VALUES, st.data())
def test_exactly_the_largest_are_kept(values: np.ndarray, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, values.size))
    mask = largest(values, count)
    assert mask.shape == values.shape
    assert mask.sum() == count
    if 0 < count < values.size:
        assert np.abs(values[mask]).min() >= np.abs(values[~mask]).max()
        smallest = np.abs(values[mask]).min()
        ties = mask.reshape(-1)[(np.abs(values) == smallest).reshape(-1)]
        assert np.array_equal(ties, np.sort(ties)[::-1])  # the first of equal ones


@settings(deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=4), st.data())
def test_layers_share_one_budget(arrays: list[np.ndarray], data: st.DataObject) -> None:
    layers = {f"layer{k}": array for k, array in enumerate(arrays)}
    count = data.draw(st.integers(0, sum(array.size for array in arrays)))
    masks = largest_of(layers, count)
    whole = largest(np.concatenate([array.reshape(-1) for array in arrays]), count)
    assert np.array_equal(np.concatenate([masks[name].reshape(-1) for name in layers]), whole)
    assert all(masks[name].shape == layers[name].shape for name in layers)
    chosen = random_of(layers, count, seed=1)
    assert sum(int(mask.sum()) for mask in chosen.values()) == count


def test_random_depends_on_the_seed_alone() -> None:
    values = np.zeros((40, 30))
    assert np.array_equal(random(values, 500, 3), random(values + 1, 500, 3))
    assert not np.array_equal(random(values, 500, 3), random(values, 500, 4))
    share = np.mean([random(values, 300, seed) for seed in range(400)], axis=0)
    assert np.abs(share - 0.25).max() < 0.12


@settings(deadline=None)
@given(VALUES, st.floats(0, 4))
def test_thresholds(values: np.ndarray, threshold: float) -> None:
    kept_values, shrunk = hard(values, threshold), soft(values, threshold)
    assert np.array_equal(kept_values[kept_values != 0], values[(np.abs(values) >= threshold) & (values != 0)])
    np.testing.assert_allclose(np.abs(values) - np.abs(shrunk), np.minimum(np.abs(values), threshold), atol=1e-15)
    assert (shrunk * values >= 0).all()
    assert not np.signbit(shrunk[shrunk == 0]).any()


def test_shares_are_counts() -> None:
    assert [kept(10, share) for share in (0, 0.24, 0.26, 0.9, 1)] == [10, 8, 7, 1, 0]
    with pytest.raises(ValueError, match="from 0 to 1"):
        kept(10, 50)


@pytest.mark.parametrize("count", [-1, 5])
def test_counts_beyond_the_elements_are_refused(count: int) -> None:
    for mask in (lambda: largest(np.zeros(4), count), lambda: random(np.zeros(4), count, 0)):
        with pytest.raises(ValueError, match="must be 0 to 4"):
            mask()


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        largest(np.array([np.nan, 1.0]), 1)
