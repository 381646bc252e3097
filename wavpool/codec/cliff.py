"""Where compression breaks a model: a search over one global strength, and the critical sizes with their uncertainty.

Nothing here knows of networks: `bisect` searches any measurement of a strength, and the rest works on `Point`s, which
are a size in bytes and a drop in accuracy with its interval.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from ..evaluation.metrics import Estimate, Z

Floats = NDArray[np.float64]
T = TypeVar("T")

TARGETS = (0.5, 1.0, 5.0)  # points of accuracy
LARGEST = 2.0**12  # strengths beyond it, and below its inverse, are not searched
KNEE_DRAWS = 400


class NothingHolds(UserError):
    """Even the weakest compression loses too much."""


class Point(NamedTuple):
    """A compressed model: its size in bytes and the points of accuracy that it lost, with their 95 % interval."""

    size: float
    drop: Estimate


@dataclass(frozen=True)
class Found(Generic[T]):
    """What `bisect` found.

    Attributes:
        strength: the largest that holds.
        result: what was measured there.
        tried: everything that was measured, by strength.
    """

    strength: float
    result: T
    tried: dict[float, T]


def bisect(
    measure: Callable[[float], T],
    holds: Callable[[T], bool],
    start: float = 1.0,
    *,
    factor: float = 2.0,
    precision: float = 1 / 16,
    known: dict[float, T] | None = None,
    distinct: Callable[[float], float] = float,
) -> Found[T]:
    """The largest strength whose measurement holds, on a logarithmic scale.

    The bracket grows from `start`, or from the largest known strength that holds, by `factor` until one end holds and
    the other does not, and is halved until it is `precision` octaves wide. The measurement should hold below some
    strength and fail above it; where noise breaks that, the result is one of the crossings, and what is returned did
    hold when it was measured.

    Args:
        measure: from a strength to anything.
        holds: whether a measurement is good enough.
        start: strength to begin with where none is known, greater than 0.
        factor: by which the bracket grows, greater than 1.
        precision: octaves between the result and a strength that fails.
        known: measurements that need not be repeated; what is measured is added to it.
        distinct: from a strength to the one that stands for all that measure the same; only such are measured.

    Raises:
        NothingHolds: no strength down to 2**-12 holds.

    >>> round(bisect(lambda strength: strength, lambda value: value <= 10).strength, 2)
    9.93
    """
    tried = {} if known is None else known

    def good(strength: float) -> bool:
        if strength not in tried:
            tried[strength] = measure(strength)
        return holds(tried[strength])

    if not tried:
        good(distinct(start))
    low = max((strength for strength, result in tried.items() if holds(result)), default=None)
    high = min((strength for strength in tried if low is None or strength > low), default=None)
    while low is None and high is not None:
        weaker = distinct(high / factor)
        if high < 1 / LARGEST or weaker >= high:
            raise NothingHolds("even the weakest compression does not keep the promise: allow more")
        low, high = (weaker, high) if good(weaker) else (None, weaker)
    while high is None and low is not None and low < LARGEST:
        stronger = distinct(low * factor)
        if stronger <= low:
            break
        low, high = (stronger, None) if good(stronger) else (low, stronger)
    assert low is not None
    while high is not None and math.log2(high / low) > precision:
        middle = distinct(math.sqrt(low * high))
        if not low < middle < high:
            break
        low, high = (middle, high) if good(middle) else (low, middle)
    return Found(low, tried[low], tried)


def critical_size(points: Iterable[Point], target: float) -> Estimate | None:
    """Bytes of the smallest file that loses at most `target` points, by interpolation between measured ones.

    The drops are made monotone in size (isotonic least squares) and interpolated along the logarithm of the size. The
    interval lies between the sizes where the lower and the upper ends of the drops' intervals cross the target; an
    end that is not crossed is the smallest size measured, or infinite.

    Returns:
        None where the drops do not cross `target`.

    >>> round(critical_size([Point(1000, Estimate(9, 8, 10)), Point(4000, Estimate(0, 0, 0.5))], 4.5).value)
    2000
    """
    ordered = sorted(points, key=lambda point: point.size)
    if not ordered:
        return None
    sizes = np.log([point.size for point in ordered])
    drops = np.array([point.drop for point in ordered], dtype=np.float64)
    crossings = [_crossing(sizes, monotone(drops[:, end]), target) for end in (0, 1, 2)]
    if crossings[0] is None or math.isinf(crossings[0]):
        return None
    value = math.exp(crossings[0])
    low = float(ordered[0].size) if crossings[1] is None else math.exp(crossings[1])
    high = math.inf if crossings[2] is None else math.exp(crossings[2])
    return Estimate(value, min(low, value), max(high, value))


def knee(points: Iterable[Point], original_size: float, collapse: float, seed: int = 0) -> Estimate | None:
    """Bytes at the knee of accuracy against the logarithm of size: below, each byte saved costs the most.

    The knee is that of Satopää et al. (2011): with size and accuracy both scaled to [0, 1], the point farthest above
    the diagonal. The scale goes from the size at which `collapse` points are lost to the original's own size and
    accuracy, so that the knee does not depend on which strengths were swept beyond these. The interval is that of 400
    draws of all drops from their own intervals.

    Args:
        points: measured.
        original_size: bytes of the original.
        collapse: points of accuracy, such as half of what the original is above chance, that the points must reach.
        seed: of the draws.

    Returns:
        None where the points do not reach that far, or `collapse` is nothing.
    """
    if collapse <= 0:
        return None
    ordered = sorted((point for point in points if point.size < original_size), key=lambda point: point.size)
    sizes = np.log([*(point.size for point in ordered), original_size])
    drops = np.array([*(point.drop.value for point in ordered), 0.0])
    errors = np.array([*((point.drop.high - point.drop.low) / (2 * Z) for point in ordered), 0.0])
    value = _knee(sizes, drops, collapse)
    if value is None:
        return None
    noise = np.random.default_rng(seed).standard_normal((KNEE_DRAWS, len(drops)))
    drawn = [_knee(sizes, drops + errors * each, collapse) for each in noise]
    low, high = np.exp(np.quantile([each for each in drawn if each is not None] or [value], [0.025, 0.975]))
    return Estimate(math.exp(value), min(float(low), math.exp(value)), max(float(high), math.exp(value)))


def monotone(values: Sequence[float] | Floats) -> Floats:
    """The closest non-increasing sequence in least squares (pool adjacent violators).

    >>> monotone([3.0, 1.0, 2.0, 0.0])
    array([3. , 1.5, 1.5, 0. ])
    """
    means: list[float] = []
    counts: list[int] = []
    for value in values:
        means.append(float(value))
        counts.append(1)
        while len(means) > 1 and means[-2] < means[-1]:
            total = counts[-2] + counts[-1]
            means[-2:] = [(means[-2] * counts[-2] + means[-1] * counts[-1]) / total]
            counts[-2:] = [total]
    return np.repeat(means, counts)


def _crossing(positions: Floats, drops: Floats, target: float) -> float | None:
    """Where non-increasing drops come down to the target; infinite where they never do, None where all hold."""
    held = drops <= target
    if held.all():
        return None
    if not held.any():
        return math.inf
    after = int(held.argmax())
    above, below = drops[after - 1], drops[after]
    if math.isinf(above):
        return float(positions[after])
    share = (above - target) / (above - below)
    return float(positions[after - 1] + share * (positions[after] - positions[after - 1]))


def _knee(sizes: Floats, drops: Floats, collapse: float) -> float | None:
    smooth = monotone(drops)
    left = _crossing(sizes, smooth, collapse)
    if left is None or math.isinf(left):
        return None
    inside = sizes > left
    across = (sizes[inside] - left) / (sizes[-1] - left)
    up = 1 - smooth[inside] / collapse
    return float(sizes[inside][int(np.argmax(up - across))])
