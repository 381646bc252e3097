"""Rounding with error feedback: each column's rounding error is made up for by the columns that are still to come.

For inputs of second moment H, an error E in the weights of an output costs E H E^T. With U upper triangular and
H^-1 = U^T U, rounding column j and adding -error / U[j, j] * U[j, k] to every later column k is the best that can be
done once j is fixed (optimal brain surgeon; "GPTQ", arXiv 2210.17323), and the cost is the sum over columns of
(error / U[j, j])**2. Rounding minimises that cost, in squared steps, plus `rate` times the bits that a coder will need.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BLOCK = 128  # columns between two updates of all later ones by a matrix product
ROW_MEMORY, COLUMN_MEMORY, START_MEMORY = 0.07, 0.15, 0.3  # weight of the newest value in the running means
FIRST_MEAN = 0.6  # expected size of an integer before any was seen
LEAST_MEAN = 0.02


class Expected:
    """Running means of the integers' sizes, a column and a row, from which the bits of the next one are estimated."""

    def __init__(self, columns: int) -> None:
        self.columns = np.full(columns, FIRST_MEAN)
        self.start = np.full(1, FIRST_MEAN)


def feedback(
    weights: Array, upper: Array, row: Array, column: Array, rate: float, expected: Expected
) -> tuple[NDArray[np.int32], float]:
    """Integers near weights divided by their steps.

    Args:
        weights: (rows, d), in the order in which columns are rounded.
        upper: (d, d), U of the module's text.
        row, column: steps (rows,) and (d,), whose product is the step of a weight.
        rate: squared steps that a bit is worth.
        expected: of the rows before, changed to hold those after; its columns in the order of `weights`.

    Returns:
        int32 (rows, d), and the estimate of their bits.
    """
    rows, d = weights.shape
    left = weights.copy()
    q = np.zeros((rows, d), dtype=np.int32)
    means = np.full(rows, -1.0)
    bits = 0.0
    for start in range(0, d, BLOCK):
        stop = min(start + BLOCK, d)
        block = np.ascontiguousarray(left[:, start:stop])
        errors = np.zeros_like(block)
        bits += _kernel()(
            block, np.ascontiguousarray(upper[start:stop, start:stop]), row, column[start:stop], rate,
            expected.columns[start:stop], means, expected.start, q[:, start:stop], errors,
        )  # fmt: skip
        if stop < d:
            left[:, stop:] -= errors @ upper[start:stop, stop:]
    expected.start[0] += START_MEMORY * (np.abs(q[-8:]).mean() - expected.start[0])
    return q, bits


@functools.cache
def _kernel() -> Callable[..., Any]:
    from ...compiled import jit

    return jit(_block)


def _block(
    w: Array, upper: Array, row: Array, column: Array, rate: float,
    column_means: Array, row_means: Array, start: Array, q: NDArray[np.int32], errors: Array,
) -> float:  # fmt: skip
    """One block of columns: `w`, `q` and `errors` (rows, b) are changed in place, as are the means; returns bits."""
    total = 0.0
    rows, columns = w.shape
    first = start[0]
    for r in range(rows):
        fresh = row_means[r] < 0
        mean = first if fresh else row_means[r]
        size = 0.0
        for j in range(columns):
            step = row[r] * column[j]
            value = w[r, j] / step
            m = max(0.5 * column_means[j] + 0.5 * mean, LEAST_MEAN)
            more = np.log2((1.0 + m) / m)  # bits of each further unit of a geometric distribution of mean m
            zero = np.log2(1.0 + m)
            low = np.floor(value)
            best, cost, bits = 0.0, value * value + rate * zero, zero
            for trial in range(2):
                candidate = low + trial
                if candidate != 0.0:
                    need = zero + 1.0 + more * abs(candidate)
                    price = (value - candidate) ** 2 + rate * need
                    if price < cost:
                        best, cost, bits = candidate, price, need
            total += bits
            q[r, j] = int(best)
            error = (w[r, j] - best * step) / upper[j, j]
            errors[r, j] = error
            if error != 0.0:
                for k in range(j + 1, columns):
                    w[r, k] -= error * upper[j, k]
            mean += ROW_MEMORY * (abs(best) - mean)
            column_means[j] += COLUMN_MEMORY * (abs(best) - column_means[j])
            size += abs(best)
        row_means[r] = mean
        if fresh:
            first += START_MEMORY * (size / columns - first)
    return total
