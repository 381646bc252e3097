"""One-dimensional k-means: a codebook for a layer, or one for each of its rows.

In one dimension a cluster is a run of sorted values, so that dynamic programming finds the global optimum: exactly for
up to 2048 different values, and on 2048 bins beyond, after which Lloyd's algorithm runs on all values. A round of that
costs k binary searches and k differences of cumulative sums however many values there are. Nothing is random.

Source: H. Wang, M. Song, Ckmeans.1d.dp, The R Journal 3(2), 2011; the best ends of clusters are monotone, and found by
halving (X. Wu, Optimal quantization by matrix searching, J. Algorithms 12, 1991).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .scales import ROW_FRACTION

Array = NDArray[np.float64]

BINS = 2048  # of the exact search
ROUNDS = 300  # of Lloyd's algorithm at most


class Codebook(NamedTuple):
    """Fields of `wavpool.codec.coded.Coded`.

    Attributes:
        q: int32 (rows, cols, taps), entries counted from `zero`.
        codebook: float16 or float32, ascending: (k,) or (rows, k).
        zero: the entry that is nearest to zero (of most rows).
        row: int32 (1,), index of the step that the codebook is a multiple of: a power of two.
    """

    q: NDArray[np.int32]
    codebook: NDArray[Any]
    zero: int
    row: NDArray[np.int32]


def codebook(
    values: Array,
    k: int,
    *,
    per: str = "layer",
    weights: Array | None = None,
    pin_zero: bool = False,
    dtype: type[np.floating[Any]] = np.float16,
) -> Codebook:
    """The k values that stand for all values with the least squared error, and which of them stands for which.

    Args:
        values: (rows, cols, taps), finite.
        k: number of values, 2 to 256.
        per: `layer`, or `channel` for a codebook each row.
        weights: of the squared errors, like `values` and not negative.
        pin_zero: keep one value at exactly 0.
        dtype: that the codebook is stored in, float16 or float32.

    Raises:
        ValueError: values that are not finite, no values, or arguments out of range.
        ImportError: numba is not installed.

    >>> codebook(np.array([[[0.0], [1.0], [1.5], [8.0]]]), 3).codebook * 16
    array([0.  , 1.25, 8.  ], dtype=float16)
    """
    if not 2 <= k <= 256:
        raise ValueError(f"k must be 2 to 256, got {k}")
    if per not in ("layer", "channel"):
        raise ValueError(f"per must be layer or channel, got {per!r}")
    if not values.size or not np.isfinite(values).all():
        raise ValueError("k-means needs at least one value, and finite ones")
    octave = int(np.frexp(np.abs(values).max())[1])
    groups = values.reshape(1 if per == "layer" else len(values), -1) * 2.0**-octave
    shares = np.ones_like(groups) if weights is None else np.asarray(weights, np.float64).reshape(groups.shape)
    centres = np.stack([_centres(x, w, k, pin_zero) for x, w in zip(groups, shares, strict=True)]).astype(dtype)
    exact = centres.astype(np.float64)
    entry = np.stack([np.searchsorted(_middles(c), x) for c, x in zip(exact, groups, strict=True)])
    zero = int(np.median(np.abs(exact).argmin(axis=1)))
    q = (entry - zero).astype(np.int32).reshape(values.shape)
    return Codebook(q, centres if per == "channel" else centres[0], zero, np.array([octave * ROW_FRACTION], np.int32))


def _centres(x: Array, weights: Array, k: int, pin_zero: bool) -> Array:
    """The k ascending centres of the values x `(n,)`."""
    order = np.argsort(x, kind="stable")
    x, w = x[order], weights[order]
    w = w if w.sum() > 0 else np.ones_like(w)
    sums = np.concatenate([np.zeros((3, 1)), np.cumsum([w, w * x, w * x * x], axis=1)], axis=1)
    edges = _bins(x)
    ends = edges[_search()(sums[:, edges], min(k, len(edges) - 1))]
    mass, first = np.diff(sums[:2, ends], axis=1)
    centres = np.where(mass > 0, first / np.where(mass > 0, mass, 1.0), x[ends[:-1]])
    centres = np.concatenate([centres, np.full(k - len(centres), centres[-1])])
    return _lloyd(x, sums[:2], centres, pin_zero)


def _bins(x: Array) -> NDArray[np.int64]:
    """Where at most `BINS` runs of sorted values begin and end: of equal values, else of equal counts and ranges."""
    begin = np.concatenate([[0], np.flatnonzero(np.diff(x)) + 1])
    if len(begin) > BINS:
        counts = np.linspace(0, len(x), BINS // 2, endpoint=False).astype(np.int64)
        ranges = np.searchsorted(x, np.linspace(x[0], x[-1], BINS // 2, endpoint=False))
        begin = begin[np.unique(np.searchsorted(begin, np.concatenate([counts, ranges])).clip(0, len(begin) - 1))]
    edges: NDArray[np.int64] = np.append(begin, len(x))
    return edges


def _lloyd(x: Array, sums: Array, centres: Array, pin_zero: bool) -> Array:
    """Centres that are the means of what is nearest to them; one without any stays where it is."""
    for _ in range(ROUNDS):
        edges = np.concatenate([[0], np.searchsorted(x, _middles(centres)), [len(x)]])
        mass, first = np.diff(sums[:, edges], axis=1)
        means = np.where(mass > 0, first / np.where(mass > 0, mass, 1.0), centres)
        if pin_zero:
            means[np.abs(means).argmin()] = 0.0
        if np.array_equal(means, centres):
            break
        centres = means
    return centres


def _middles(centres: Array) -> Array:
    return (centres[1:] + centres[:-1]) / 2


@functools.cache
def _search() -> Callable[[Array, int], NDArray[np.int64]]:
    """`_optimal_ends`, compiled at its first use."""
    from ..compiled import jit

    return jit(_optimal_ends)


def _optimal_ends(sums: Any, k: int) -> Any:
    """The k + 1 ends of the runs of bins that have the least squared error about their means.

    Args:
        sums: (3, bins + 1), cumulative weight, and weight times value and its square.
        k: number of runs, at most the number of bins.
    """
    n = sums.shape[1] - 1
    best = np.full(n + 1, np.inf)  # error of the first j bins in the runs so far
    best[0] = 0.0
    last = np.zeros((k, n + 1), dtype=np.int32)  # where the last of the runs begins
    stack = np.empty((64, 4), dtype=np.int64)
    for run in range(k):
        updated = np.full(n + 1, np.inf)
        stack[0] = (run + 1, n, run, n - 1)
        depth = 1
        while depth:
            depth -= 1
            low, high, first, final = stack[depth]
            if low > high:
                continue
            end = (low + high) // 2
            begin = first
            for trial in range(first, min(final, end - 1) + 1):
                mass = sums[0, end] - sums[0, trial]
                moment = sums[1, end] - sums[1, trial]
                error = best[trial] + sums[2, end] - sums[2, trial]
                if mass > 0:
                    error -= moment * moment / mass
                if error < updated[end]:
                    updated[end] = error
                    begin = trial
            last[run, end] = begin
            stack[depth] = (low, end - 1, first, begin)
            stack[depth + 1] = (end + 1, high, begin, final)
            depth += 2
        best = updated
    ends = np.empty(k + 1, dtype=np.int64)
    ends[k] = n
    for run in range(k - 1, -1, -1):
        ends[run] = last[run, ends[run + 1]]
    return ends
