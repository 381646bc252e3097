"""The strongest compression that keeps within a limit, in few trials, each of which may take minutes."""

import math
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from ..errors import UserError

T = TypeVar("T")

SLOPE = 2.5  # of the logarithm of what is limited over that of the strength, until two trials tell
STEEPEST, FLATTEST = 8.0, 0.25
LONGEST = 3.0  # factor between two strengths
TRIALS = 24


class Trial(NamedTuple, Generic[T]):
    """One strength, what it used of the limit (above 1 it is over), and the result."""

    strength: float
    used: float
    result: T


def strongest(
    attempt: Callable[[float], tuple[float, T]], start: float, tolerance: float, grows: bool = True
) -> Trial[T]:
    """The strongest trial that keeps within the limit.

    A secant in logarithms, held between the strongest that kept within and the weakest that did not.

    Args:
        attempt: from a strength to the share of the limit that is used, and a result.
        start: the first strength.
        tolerance: what may be left of the limit, in logarithms.
        grows: whether more strength uses more of the limit, as it does of a drop, and not less, as of bytes. In the
            latter case the weakest that keeps within is wanted.

    Raises:
        UserError: none of 24 trials keeps within.

    >>> round(strongest(lambda strength: (strength**2 / 9, None), 1.0, 0.01).strength, 1)
    3.0
    """
    good: Trial[T] | None = None
    bad: Trial[T] | None = None
    sign = 1.0 if grows else -1.0
    previous: tuple[float, float] | None = None
    slope, strength = SLOPE, start
    for _ in range(TRIALS):
        used, result = attempt(strength)
        x, y = math.log(strength), math.log(min(max(used, 1e-9), 1e9))
        if used <= 1:
            if good is None or sign * (strength - good.strength) > 0:
                good = Trial(strength, used, result)
            if -y <= tolerance:
                break
        elif bad is None or sign * (bad.strength - strength) > 0:
            bad = Trial(strength, used, result)
        if previous is not None and abs(x - previous[0]) > 1e-6:
            slope = min(max(sign * (y - previous[1]) / (x - previous[0]), FLATTEST), STEEPEST)
        previous = x, y
        step = sign * (-tolerance / 2 - y) / slope
        following = x + max(-math.log(LONGEST), min(step, math.log(LONGEST)))
        if good is not None and bad is not None:
            near, far = sorted((math.log(good.strength), math.log(bad.strength)))
            if far - near < tolerance / STEEPEST:
                break
            if not near < following < far:
                following = (near + far) / 2
        strength = math.exp(following)
    if good is None:
        raise UserError("even the weakest compression does not keep within the limit: allow more")
    return good
