"""The strongest compression that keeps within a limit, in few trials, each of which may take minutes."""

import math
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from ..errors import UserError
from .errors import TooFine

T = TypeVar("T")

SLOPE = 2.5  # of the logarithm of what is limited over that of the strength, until two trials tell
STEEPEST, FLATTEST = 8.0, 0.25
FLATTEST_SIZE = 0.04  # of sizes, which an octave changes by a bit of some 24 at most
LONGEST = 3.0  # factor between two strengths
TRIALS = 24
SATURATED = 0.002  # change of the logarithm of a size below which a strength of `LONGEST` times changes no more


class NothingKeeps(UserError):
    """No trial keeps within the limit.

    Attributes:
        least: share of the limit that the best trial used; infinite where none was possible.
    """

    def __init__(self, least: float) -> None:
        super().__init__("no compression keeps within the limit: allow more")
        self.least = least


class Trial(NamedTuple, Generic[T]):
    """One strength, what it used of the limit (above 1 it is over), and the result."""

    strength: float
    used: float
    result: T


class _Bracket(Generic[T]):
    """The strongest trial that kept within the limit, the weakest that did not, and where to look next."""

    def __init__(self, tolerance: float, grows: bool) -> None:
        self.good: Trial[T] | None = None
        self.bad: Trial[T] | None = None
        self.least = math.inf
        self._tolerance, self._sign = tolerance, 1.0 if grows else -1.0
        self._slope = SLOPE
        self._previous: tuple[float, float] | None = None

    def add(self, trial: Trial[T]) -> float | None:
        """Take in a trial; the next strength, None where no other is worth a trial."""
        x, y = math.log(trial.strength), math.log(min(max(trial.used, 1e-9), 1e9))
        self.least = min(self.least, trial.used)
        if trial.used <= 1:
            if self.good is None or self._sign * (trial.strength - self.good.strength) > 0:
                self.good = trial
            if -y <= self._tolerance:
                return None
        elif self.bad is None or self._sign * (self.bad.strength - trial.strength) > 0:
            self.bad = trial
        return self._next(x, y)

    def _next(self, x: float, y: float) -> float | None:
        if self._previous is not None and abs(x - self._previous[0]) > 1e-6:
            across, up = x - self._previous[0], y - self._previous[1]
            if self._sign < 0 and abs(across) > 1 and abs(up) < SATURATED:
                return None
            flattest = FLATTEST if self._sign > 0 else FLATTEST_SIZE
            self._slope = min(max(self._sign * up / across, flattest), STEEPEST)
        self._previous = x, y
        step = self._sign * (-self._tolerance / 2 - y) / self._slope
        following = x + max(-math.log(LONGEST), min(step, math.log(LONGEST)))
        if self.good is not None and self.bad is not None:
            near, far = sorted((math.log(self.good.strength), math.log(self.bad.strength)))
            if far - near < self._tolerance / STEEPEST:
                return None
            if not near < following < far:
                following = (near + far) / 2
        return math.exp(following)


def strongest(
    attempt: Callable[[float], tuple[float, T]],
    start: float,
    tolerance: float,
    grows: bool = True,
    finest: float = 0.0,
) -> Trial[T]:
    """The strongest trial that keeps within the limit.

    A secant in logarithms, held between the strongest that kept within and the weakest that did not.

    Args:
        attempt: from a strength to the share of the limit that is used, and a result; it raises `TooFine` where the
            strength is too little for the integers to fit.
        start: the first strength.
        tolerance: what may be left of the limit, in logarithms.
        grows: whether more strength uses more of the limit, as it does of a drop, and not less, as of bytes. In the
            latter case the weakest that keeps within is wanted.
        finest: strength below which a result is no better.

    Raises:
        NothingKeeps: none of 24 trials keeps within, or those that are left can do no better.

    >>> round(strongest(lambda strength: (strength**2 / 9, None), 1.0, 0.01).strength, 1)
    3.0
    """
    bracket: _Bracket[T] = _Bracket(tolerance, grows)
    strength: float | None = start
    for _ in range(TRIALS):
        if strength is None:
            break
        strength = max(strength, finest)
        try:
            trial = Trial(strength, *attempt(strength))
        except TooFine:
            if bracket.good is not None or grows:
                break
            strength *= LONGEST
            continue
        following = bracket.add(trial)
        if strength <= finest and following is not None and following <= finest:
            break
        strength = following
    if bracket.good is None:
        raise NothingKeeps(bracket.least)
    return bracket.good
