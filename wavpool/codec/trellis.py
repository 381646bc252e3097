"""Dependent quantisation: two interleaved quantisers, and the parities of all integers so far say which is in force.

With a step s, quantiser 0 has the even multiples of s and quantiser 1 the odd ones and zero. Every integer drives a
machine of eight states (`coders.states`), whose last bit is the quantiser of the next coefficient, in row-major order
of (rows, cols, taps). A decoder follows in one pass; an encoder looks for the path with the least

    sum(weights * (coefficients / step - levels)**2 + mu * bits)

by Viterbi's algorithm. It packs space more densely than rounding can: up to 1.5 dB (256 states), about 1 dB with eight.

Source: H. Schwarz et al., Quantization and entropy coding in the Versatile Video Coding standard, IEEE Trans. Circuits
Syst. Video Technol. 31(10), 2021; with the states of ISO/IEC 15938-17.
"""

import importlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import TooFine

Array = NDArray[np.float64]
Indices = NDArray[np.int32]

CLASSES = 16  # of expected magnitude, half an octave each, with a table of rates each
TABLE = 32  # integers whose rates are estimated; beyond, an integer costs two more bits an octave
ROUNDS = 3  # of choosing a path and estimating rates from it


def levels(q: Indices, odd: NDArray[np.int8] | None = None) -> Indices:
    """Multiples of the step that dependently quantised integers stand for: 2 q - sign(q) [odd state].

    Args:
        q: int32 of any shape, within 2**30 of zero.
        odd: four zeros, and from call to call the state, where a sequence is taken in pieces of a multiple of four.

    >>> levels(np.array([1, 1, 1, -1, 0, 1], dtype=np.int32))
    array([ 2,  2,  1, -2,  0,  2], dtype=int32)
    """
    flat = np.ascontiguousarray(q).reshape(-1)
    return (2 * flat - quantisers(flat, odd) * np.sign(flat)).reshape(q.shape)


def quantisers(q: Indices, state: NDArray[np.int8] | None = None) -> NDArray[np.int8]:
    """The quantiser, 0 or 1, that is in force at each of the integers `(n,)`; `state` as `odd` of `levels`.

    The machine is linear over parities and forgets an odd integer in steps of period four: the last bit of its state at
    position t is the parity of how many odd integers stand at positions i < t with (t - i) mod 4 of 2 or 3.
    """
    odd = np.zeros((-(-len(q) // 4) + 1, 4), dtype=np.int8)  # what came before stands before the first four
    if state is not None:
        odd[0] = state
    odd[1:].reshape(-1)[: len(q)] = q & 1
    total = np.bitwise_xor.accumulate(odd, axis=0)
    if state is not None:
        state[:] = total[-1]
    before, until = total[:-1], total[1:]
    second = np.empty_like(until)
    second[:, 0] = before[:, 1] ^ before[:, 2]
    second[:, 1] = before[:, 2] ^ before[:, 3]
    second[:, 2] = before[:, 3] ^ until[:, 0]
    second[:, 3] = until[:, 0] ^ until[:, 1]
    return second.reshape(-1)[: len(q)]


def quantize(coefficients: Array, step: ArrayLike, *, mu: float = 0.0, weights: ArrayLike | None = None) -> Indices:
    """Dependently quantised integers of the least weighted cost of error and bits.

    Args:
        coefficients: (rows, cols, taps), finite.
        step: positive, broadcasts to the coefficients. About 0.6 of the step of `quantize.uniform` for the same error.
        mu: price of a bit, in units of step squared: 0 for the least error, 0.2 to 0.5 where bytes count.
        weights: of the squared errors in units of the step, not negative, broadcast to the coefficients.

    Raises:
        ValueError: coefficients that are not finite or are beyond 2**30 steps.
        ImportError: numba is not installed.
    """
    scaled = _scaled(coefficients, step)
    weight = np.broadcast_to(np.asarray(1.0 if weights is None else weights, np.float64), scaled.shape)
    return _quantize(scaled, weight, mu)[0]


def quantize_with_feedback(
    coefficients: Array,
    row_step: Array,
    column_step: Array,
    factor: Array,
    *,
    mu: float = 0.0,
    row_weights: Array | None = None,
) -> Indices:
    """Dependent quantisation with error feedback (GPTQ): the paths of a trellis each carry their own errors along.

    With H the second moments of a layer's inputs in the basis of the coefficients, and `factor` the upper triangular U
    of its inverse, H^-1 = U.T @ U, the cost of a row is sum_j (error_j / U_jj)**2 for errors against values that all
    earlier errors of the row have moved. It is normalised to a mean weight of 1 for an error of one step.

    Args:
        coefficients: (rows, cols, taps), finite.
        row_step, column_step: the step is `row_step[:, None, None] * column_step`, (rows,) and (cols, taps), positive.
        factor: (groups, cols * taps, cols * taps), upper triangular, each for rows / groups consecutive rows.
        mu: price of a bit, as in `quantize`.
        row_weights: of the squared errors of each row, in its row steps, (rows,); `None` for equal ones.

    Raises:
        ValueError, ImportError: as `quantize`.

    Source: E. Frantar et al., GPTQ, ICLR 2023; per-survivor processing: R. Raheli et al., IEEE Trans. Commun. 43, 1995.
    """
    scaled = _scaled(coefficients, row_step[:, None, None] * column_step)
    rows, n = len(scaled), column_step.size
    diagonal, column = np.diagonal(factor, axis1=1, axis2=2), column_step.reshape(-1)
    weights = ((column / diagonal) ** 2).repeat(rows // len(factor), axis=0)
    weights *= np.ones((rows, 1)) if row_weights is None else row_weights[:, None]
    weights /= weights.mean()
    rates = _quantize(scaled, weights.reshape(scaled.shape), mu)[1]
    feedback = factor / diagonal[..., None] * (column[:, None] / column)
    classes = _classes(scaled).reshape(rows, n)
    path = _compiled().search_with_feedback(scaled.reshape(rows, n), feedback, weights, classes, rates, mu)
    return np.asarray(path).reshape(scaled.shape)


def _scaled(coefficients: Array, step: ArrayLike) -> Array:
    """Coefficients in steps."""
    scaled: Array = np.asarray(coefficients, np.float64) / np.asarray(step, np.float64)
    if not np.all(np.abs(scaled) < 2**30):
        raise TooFine("coefficients must be finite and below 2**30 steps: take a larger step")
    return scaled


def _quantize(scaled: Array, weight: Array, mu: float) -> tuple[Indices, Array]:
    """Integers, and the rates in units of `mu` bits that they were chosen by."""
    u, weight, classes = scaled.reshape(-1), weight.reshape(-1), _classes(scaled).reshape(-1)
    rates = np.zeros((CLASSES, 2, TABLE))
    q = _compiled().search(u, weight, classes, rates, mu)
    for _ in range(ROUNDS if mu > 0 else 0):
        rates = mu * _rates(q, classes)
        q = _compiled().search(u, weight, classes, rates, mu)
    return q.reshape(scaled.shape), rates


def _compiled() -> Any:
    """The searches; they need numba."""
    return importlib.import_module("._viterbi", __package__)


def _classes(scaled: Array) -> NDArray[np.int64]:
    """The class of every coefficient's expected magnitude: its row's times its column's times its tap's."""
    size = np.abs(scaled)
    mean = max(float(size.mean()), 1e-30)
    expected = mean
    for axes in ((1, 2), (0, 2), (0, 1)):
        expected = expected * (size.mean(axis=axes, keepdims=True) / mean)
    octave = np.rint(2 * np.log2(np.maximum(expected, 1e-30))) + CLASSES // 2
    classes: NDArray[np.int64] = np.clip(octave, 0, CLASSES - 1).astype(np.int64)
    return classes


def _rates(q: Indices, classes: NDArray[np.int64]) -> Array:
    """Bits of the sizes 0 to TABLE - 1, signs included, by class and quantiser, as they occur in q `(n,)`."""
    counts = np.zeros((CLASSES, 2, TABLE))
    np.add.at(counts, (classes, quantisers(q), np.minimum(np.abs(q), TABLE - 1)), 1.0)
    overall = counts.sum(axis=0) + 2.0 ** -np.arange(TABLE)
    counts += 8 * overall / overall.sum(axis=1, keepdims=True)
    bits: Array = np.log2(counts.sum(axis=2, keepdims=True)) - np.log2(counts)
    bits[..., 1:] += 1.0
    return bits
