"""The searches of `trellis`, compiled; imported at their first use, since they need numba.

A path costs the sum of its weighted squared errors in steps and of `rates`, a table of (class, quantiser, size) of the
integers. Both searches keep the cheapest path into each state.
"""

import math
from typing import Any

import numpy as np

from ..compiled import inline, jit
from .coders.states import NEXT, START

STATES = len(NEXT)


@inline
def _options(size: float, weight: float, rates: Any, mu: float, costs: Any, integers: Any) -> None:
    """For each quantiser and parity, the cheapest integer for a value of a size, and its cost: both (2, 2).

    Only three can be cheapest: the nearest, the next one nearer to zero, and zero.
    """
    table = rates.shape[1]
    for quantiser in range(2):
        for parity in range(2):
            nearest = max(parity, 2 * math.floor((0.5 * (size + quantiser) - parity) * 0.5 + 0.5) + parity)
            costs[quantiser, parity] = np.inf
            for q in (nearest, nearest - 2, 0):
                if q < 0 or (q ^ parity) & 1:
                    continue
                error = size - (2 * q - quantiser if q else 0)
                cost = weight * error * error + rates[quantiser, min(q, table - 1)]
                if q >= table:
                    cost += 2.0 * mu * math.log2(q - table + 2)
                if cost < costs[quantiser, parity]:
                    costs[quantiser, parity], integers[quantiser, parity] = cost, q


@inline
def _extend(cost: Any, costs: Any, integers: Any, updated: Any, came_from: Any, chosen: Any) -> None:
    """The cheapest path into each state, by one step; all (STATES,), and `costs` and `integers` (STATES, 2)."""
    updated[:] = np.inf
    for state in range(STATES):
        for parity in range(2):
            into = NEXT[state, parity]
            trial = cost[state] + costs[state, parity]
            if trial < updated[into]:
                updated[into] = trial
                came_from[into], chosen[into] = state, integers[state, parity]


@inline
def _trace(cost: Any, came_from: Any, chosen: Any, path: Any) -> None:
    """The integers of the cheapest path."""
    state = int(np.argmin(cost))
    for t in range(len(path) - 1, -1, -1):
        path[t] = chosen[t, state]
        state = came_from[t, state]


@jit
def search(u: Any, weight: Any, classes: Any, rates: Any, mu: float) -> Any:
    """The cheapest path for values `u` in steps, `(n,)`: int32 `(n,)`."""
    n = len(u)
    cost, updated = np.full(STATES, np.inf), np.empty(STATES)
    cost[START] = 0.0
    came_from, chosen = np.empty((n, STATES), dtype=np.int8), np.empty((n, STATES), dtype=np.int32)
    costs, integers = np.empty((2, 2)), np.empty((2, 2), dtype=np.int32)
    by_state, integer = np.empty((STATES, 2)), np.empty((STATES, 2), dtype=np.int32)
    for t in range(n):
        _options(abs(u[t]), weight[t], rates[classes[t]], mu, costs, integers)
        sign = 1 if u[t] >= 0 else -1
        for state in range(STATES):
            for parity in range(2):
                by_state[state, parity] = costs[state & 1, parity]
                integer[state, parity] = sign * integers[state & 1, parity]
        _extend(cost, by_state, integer, updated, came_from[t], chosen[t])
        cost[:] = updated
    path = np.empty(n, dtype=np.int32)
    _trace(cost, came_from, chosen, path)
    return path


@jit
def search_with_feedback(u: Any, feedback: Any, weight: Any, classes: Any, rates: Any, mu: float) -> Any:
    """As `search` for values `(rows, n)`, but each path moves the later values of a row by its own errors.

    Args:
        u: values in steps, (rows, n).
        feedback: (groups, n, n), for as many rows each; an error e at i moves the value at j > i of its row by
            -e * feedback[group, i, j].
        weight: of squared errors, (rows, n).
        classes: (rows, n).
    """
    rows, n = u.shape
    share = rows // len(feedback)
    cost, updated = np.full(STATES, np.inf), np.empty(STATES)
    cost[START] = 0.0
    came_from, chosen = np.empty((rows * n, STATES), dtype=np.int8), np.empty((rows * n, STATES), dtype=np.int32)
    costs, integers = np.empty((2, 2)), np.empty((2, 2), dtype=np.int32)
    by_state, integer = np.empty((STATES, 2)), np.empty((STATES, 2), dtype=np.int32)
    values, moved = np.empty((STATES, n)), np.empty((STATES, n))
    for t in range(rows * n):
        r, j = t // n, t % n
        if j == 0:
            values[:] = u[r]
        for state in range(STATES):
            value = values[state, j]
            _options(abs(value), weight[r, j], rates[classes[r, j]], mu, costs, integers)
            for parity in range(2):
                by_state[state, parity] = costs[state & 1, parity]
                integer[state, parity] = integers[state & 1, parity] if value >= 0 else -integers[state & 1, parity]
        _extend(cost, by_state, integer, updated, came_from[t], chosen[t])
        cost[:] = updated
        for state in range(STATES):
            before, q = came_from[t, state], chosen[t, state]
            if cost[state] < np.inf:
                error = values[before, j] - (2 * q - (before & 1) * np.sign(q))
                moved[state, j + 1 :] = values[before, j + 1 :] - error * feedback[r // share, j, j + 1 :]
        values, moved = moved, values
    path = np.empty(rows * n, dtype=np.int32)
    _trace(cost, came_from, chosen, path)
    return path
