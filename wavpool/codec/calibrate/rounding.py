"""One layer's weights to integers, given what their inputs are and how much their outputs matter.

A step that is right for every weight at once makes all errors cost the same: it falls with the square root of the
output's sensitivity and of the input's second moment, and one number, the same for all layers, scales all steps. For a
file the steps are separable, a factor a row, a column and a tap, in quarters of an octave.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..bases import Basis
from ..coded import Coded
from ..errors import TooFine
from ..layout import Layout
from ..scales import COLUMN_FRACTION, ROW_FRACTION, factor
from ..trellis import quantize_with_feedback
from .feedback import Array, Expected, feedback

RATE = 0.1  # squared steps a bit: the slope of a high-rate quantiser is 2 ln 2 / 12 = 0.116
DAMPING = 0.01  # of a second moment, relative to its mean diagonal: data are never enough
COARSE = ROW_FRACTION // COLUMN_FRACTION  # row steps are in quarters of an octave too: more would buy nothing
LEAST_SENSITIVITY = 1e-3  # of a row, relative to the layer's mean
FINER = 6  # sixteenths of an octave by which a trellis takes smaller steps
CHEAPER = 0.9  # of `RATE`, for a trellis; with `FINER` from a search on ResNet-20, flat around these values
MOST_PATHS = 2**30  # rows * columns**2 up to which a trellis is searched: about ten seconds


@dataclass(frozen=True)
class Moments:
    """Second moments of a layer's inputs, float64 (groups, d, d), d = cols * taps.

    Attributes:
        own: E[x x^T] of the inputs x in the compressed model.
        cross: E[y x^T] with the inputs y in the original model.
    """

    own: Tensor
    cross: Tensor


def corrected(weight: Tensor, moments: Moments, share: float) -> Tensor:
    """Weights (rows, d) whose outputs, from the compressed model's inputs, are nearest to the original's.

    Args:
        weight: (rows, d).
        moments: of the inputs.
        share: how far to go there from `weight`, 0 to 1.
    """
    groups, d, _ = moments.own.shape
    identity = _damping(moments.own)
    rows = weight.reshape(groups, -1, d)
    target = torch.linalg.solve(moments.own + identity, (rows @ (moments.cross + identity)).mT).mT
    moved: Tensor = rows + share * (target - rows)
    return moved.reshape(weight.shape)


@dataclass(frozen=True)
class Problem:
    """One layer's weights in a basis, ready to be rounded; made by `problem`.

    Attributes:
        coefficients: float64 (rows, d), what to come near to.
        moments: float64 (groups, d, d), of what they are multiplied with.
        sensitivity: float64 (rows,), of the outputs.
        step: the global step.
        row, col, tap: indices of the steps.
        layout, basis, dtype: as in `Coded`.
    """

    coefficients: Array
    moments: Tensor
    sensitivity: Array
    step: float
    row: NDArray[np.int32]
    col: NDArray[np.int32]
    tap: NDArray[np.int32]
    layout: Layout
    basis: Basis
    dtype: torch.dtype

    @property
    def columns(self) -> Array:
        """Steps (d,) of the columns."""
        return factor((self.col[:, None] + self.tap).reshape(-1), COLUMN_FRACTION)

    def coded(self, q: NDArray[np.int32], finer: int = 0) -> Coded:
        """The layer with these integers, those of a trellis if its steps are finer."""
        shaped = q.reshape(self.layout.size)
        row = (self.row - finer).astype(np.int32)
        return Coded(shaped, self.layout, row, self.col, self.tap, self.basis, self.dtype, trellis=finer > 0)


def problem(
    weight: Tensor, moments: Tensor, sensitivity: Tensor, step: float, layout: Layout, basis: Basis, dtype: torch.dtype
) -> Problem:
    """A layer's weights in a basis.

    Args:
        weight: float64 (rows, d), what to come near to.
        moments: float64 (groups, d, d), of the inputs that the rounded weights will see.
        sensitivity: float64 (rows,), of the outputs.
        step: the global step.
        layout: of the weight.
        basis: of the coefficients.
        dtype: of the decoded weight.
    """
    rows, d = weight.shape
    sensitivity = sensitivity.clamp_min(max(LEAST_SENSITIVITY * float(sensitivity.mean()), 1e-300))
    if basis.mixes_rows:
        sensitivity = sensitivity.mean().expand(rows)
    coefficients = basis.forward(weight.reshape(layout.size), layout).reshape(rows, d)
    moments = _in_basis(moments + _damping(moments), basis, layout)
    steps = _steps(moments, sensitivity, step, layout)
    return Problem(coefficients.numpy(), moments, sensitivity.numpy(), step, *steps, layout, basis, dtype)


def round_scalar(given: Problem) -> tuple[Coded, float]:
    """Round each weight by itself, with feedback.

    Returns:
        The layer, and its cost in squared steps: of the errors, and of the bits at `RATE`.
    """
    rows, d = given.coefficients.shape
    row_steps, columns = factor(given.row, ROW_FRACTION), given.columns
    if not np.all(np.abs(given.coefficients) < 2**30 * row_steps[:, None] * columns):
        raise TooFine("coefficients must be finite and below 2**30 steps: take a larger step")
    q = np.zeros((rows, d), dtype=np.int32)
    bits = error = 0.0
    expected = Expected(d)
    share = rows // len(given.moments)
    for group, moment in enumerate(given.moments):
        block = slice(group * share, (group + 1) * share)
        order = torch.argsort(moment.diagonal(), descending=True).numpy()
        target = given.coefficients[block]
        # Where groups differ, so do the orders of their columns: the expected sizes are then an estimate at best.
        part, need = feedback(
            target[:, order], _inverse_root(moment[order][:, order]), row_steps[block], columns[order], RATE, expected
        )
        q[block, order] = part
        bits += need
        difference = target - q[block] * row_steps[block, None] * columns
        error += float((given.sensitivity[block] * ((difference @ moment.numpy()) * difference).sum(1)).sum())
    return given.coded(q), error / given.step**2 + RATE * bits


def round_dependent(given: Problem) -> Coded | None:
    """Round by dependent quantisation with feedback, which saves about 7 % of the bytes at an equal loss.

    Returns:
        None for a layer that is too large to search.
    """
    rows, d = given.coefficients.shape
    if rows * d**2 > MOST_PATHS:
        return None
    row_steps, columns = factor(given.row - FINER, ROW_FRACTION), given.columns
    upper = np.stack([_inverse_root(moment) for moment in given.moments])
    # What an error of one step costs, by row: the price of a bit is in units of the mean of that.
    weights = given.sensitivity * row_steps**2 / given.step**2
    of_rows = weights.reshape(len(upper), -1).mean(1)
    of_columns = ((columns / np.diagonal(upper, axis1=1, axis2=2)) ** 2).mean(1)
    q = quantize_with_feedback(
        given.coefficients.reshape(given.layout.size), row_steps, columns.reshape(given.layout.size[1:]), upper,
        mu=CHEAPER * RATE / float((of_rows * of_columns).mean()), row_weights=weights,
    )  # fmt: skip
    return given.coded(q, FINER)


def _steps(
    moments: Tensor, sensitivity: Tensor, step: float, layout: Layout
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Indices of the row, column and tap steps that come nearest to step / sqrt(sensitivity * moment)."""
    logs = 0.5 * torch.log2(moments.diagonal(dim1=1, dim2=2)).reshape(len(moments), layout.cols, layout.taps)
    of_group = logs.mean((1, 2))
    logs = logs - of_group[:, None, None]
    of_column = logs.mean((0, 2))
    of_tap = (logs - of_column[:, None]).mean((0, 1))
    of_row = 0.5 * torch.log2(sensitivity) + of_group.repeat_interleave(layout.rows // len(moments)) - math.log2(step)
    row = COARSE * torch.round(-of_row * COLUMN_FRACTION)
    col, tap = (torch.round(-of * COLUMN_FRACTION) for of in (of_column, of_tap))
    return row.int().numpy(), col.int().numpy(), tap.int().numpy()


def _in_basis(moments: Tensor, basis: Basis, layout: Layout) -> Tensor:
    """Second moments of the coefficients that the transform makes of a patch."""
    if basis.is_identity:
        return moments
    _, right = basis.matrices(layout)
    groups, d, _ = moments.shape
    n = len(right)
    half = (moments.reshape(groups, d, d // n, n) @ right.mT).reshape(groups, d, d)
    return (half.mT.reshape(groups, d, d // n, n) @ right.mT).reshape(groups, d, d)


def _damping(moments: Tensor) -> Tensor:
    """A multiple of the identity for each group, (groups, d, d)."""
    level = DAMPING * moments.diagonal(dim1=1, dim2=2).mean(1) + 1e-12
    return level[:, None, None] * torch.eye(moments.shape[-1], dtype=moments.dtype)


def _inverse_root(moment: Tensor) -> Array:
    """Upper triangular U with U^T U the inverse."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(moment))
    root: Array = torch.linalg.cholesky(inverse, upper=True).numpy()
    return root
