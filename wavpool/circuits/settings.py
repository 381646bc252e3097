"""How to search: the numbers of a run, checked."""

import math
from dataclasses import dataclass

from ..errors import UserError

METRICS = ("se", "ae", "mse")
UNLIMITED = 2**62


@dataclass(frozen=True)
class Settings:
    """A (1 + `children`) evolution strategy.

    Args:
        children: lambda, children a generation.
        mutation_rate: a child has 0 to about this share of the genes mutated, each number equally likely; 0 means
            that genes are mutated until one of an active gate or of an output changes (single active gene mutation,
            Goldman and Punch, EuroGP 2013).
        metric: `se`, the sum of squared errors; `ae`, of absolute ones; `mse`, the squared sum by the number of
            outputs, rounded down.
        threshold: error that is good enough, in the metric; at or below it, energy counts first.
        patience: generations without an improvement after which a phase ends.
        generations: at most so many, both phases together.
        drift: accept a child that ties in everything while energy is minimised, as while the error is.
        enough_error, enough_energy: stop when both are reached; energy in the unit of the costs.
        seed: of the first run; run r of several draws from a stream of its own.

    Raises:
        UserError: a number out of range.
    """

    children: int = 4
    mutation_rate: float = 0.01
    metric: str = "se"
    threshold: float = 0.0
    patience: int = 125_000
    generations: int = UNLIMITED
    drift: bool = True
    enough_error: float = 0.0
    enough_energy: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise UserError(f"metric must be one of {', '.join(METRICS)}, got {self.metric!r}")
        if not 0 <= self.mutation_rate <= 1:
            raise UserError(f"mutation_rate must be 0 to 1, got {self.mutation_rate}")
        for name in ("children", "generations"):
            if not 1 <= getattr(self, name) <= UNLIMITED:
                raise UserError(f"{name} must be 1 or more, got {getattr(self, name)}")
        for name in ("threshold", "patience", "enough_error", "enough_energy", "seed"):
            if not 0 <= getattr(self, name) <= UNLIMITED:
                raise UserError(f"{name} must be 0 or more, got {getattr(self, name)}")


def threshold_of(error: float, outputs: int, metric: str = "se") -> float:
    """Threshold of a run from `error` a weight: of squares the root mean square (the ancestor's "MSE threshold").

    >>> threshold_of(2, 96), threshold_of(2, 96, "ae"), threshold_of(2, 96, "mse")
    (384, 192, 4)
    """
    return error * outputs if metric == "ae" else error**2 * (1 if metric == "mse" else outputs)


def most_mutations(genes: int, rate: float, lookup: bool) -> int:
    """One more than a child's largest number of mutations; 0 for a rate of 0.

    >>> most_mutations(23808, 0.01, lookup=True), most_mutations(91, 0.15, lookup=False)
    (239, 15)
    """
    if rate == 0:
        return 0
    share = genes * rate
    return 1 + (math.floor(share) if lookup else math.ceil(share))
