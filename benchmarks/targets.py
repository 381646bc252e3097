"""What issue 3 asks for, held against the measurements."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from .implementations import HAAR
from .models import LIVE_MODELS, PAPER_MODEL
from .records import BOTH, FORWARD, IMPORT, INFERENCE, OURS, STEP, TRANSFORM, Case, Record, fastest

LARGE = "4x3x512x512"

Choose = Callable[[list[Record]], Record | None]  # of the records of one case, the one that a target looks at
Measure = Callable[[Record], float | None]


@dataclass(frozen=True)
class Target:
    """A bound that every case it applies to has to keep: at least it, or with `upper` at most it."""

    text: str
    bound: float
    applies: Callable[[Case], bool]
    choose: Choose
    measure: Measure
    upper: bool = False
    unit: str = "x"

    def keeps(self, value: float) -> bool:
        """Whether a measured value is within the bound."""
        return value <= self.bound if self.upper else value >= self.bound


class Outcome(NamedTuple):
    """Every value a target was measured by, worst first."""

    target: Target
    values: list[tuple[float, Record]]

    @property
    def verdict(self) -> str:
        if not self.values:
            return "not measured"
        return "reached" if self.target.keeps(self.values[0][0]) else "missed"


def by_case(records: Iterable[Record]) -> dict[Case, list[Record]]:
    """Records grouped, in their order."""
    groups: dict[Case, list[Record]] = {}
    for record in records:
        groups.setdefault(record.case, []).append(record)
    return groups


def evaluate(target: Target, records: Iterable[Record]) -> Outcome:
    """Look a target up in the measurements."""
    values = []
    for case, group in by_case(records).items():
        chosen = target.choose(group) if target.applies(case) else None
        value = target.measure(chosen) if chosen else None
        if chosen and value is not None:
            values.append((value, chosen))
    values.sort(key=lambda pair: pair[0], reverse=target.upper)
    return Outcome(target, values)


def _named(name: str) -> Choose:
    return lambda group: next((record for record in group if record.implementation == name), None)


def _best(group: list[Record]) -> Record | None:
    return fastest(group, OURS)


def _best_compiled(group: list[Record]) -> Record | None:
    return fastest([record for record in group if record.implementation.startswith("compiled")], OURS)


def _transform(haar: bool, direction: str, shape: str | None = None) -> Callable[[Case], bool]:
    return lambda case: (
        case.benchmark == TRANSFORM
        and (case.wavelet == HAAR) == haar
        and case.direction == direction
        and shape in (None, case.input)
    )


def _model(names: Iterable[str], direction: str) -> Callable[[Case], bool]:
    return lambda case: case.benchmark in names and case.direction == direction


def _speedup(record: Record) -> float | None:
    return record.speedup


def _to_floor(record: Record) -> float | None:
    return record.ratio_to_floor


def _seconds(record: Record) -> float | None:
    return None if record.median_ms is None else record.median_ms / 1e3


_PAPER = (PAPER_MODEL,)

TARGETS = (
    Target("Haar, eager: forward, over the fastest library", 2.5, _transform(True, FORWARD), _named("fused"), _speedup),
    Target("Haar, eager: forward+backward, likewise", 3.5, _transform(True, BOTH), _named("fused"), _speedup),
    Target("the same without a C compiler (`plain`): forward", 2.5,
           _transform(True, FORWARD), _named("plain"), _speedup),
    Target("the same without a C compiler (`plain`): forward+backward", 3.5,
           _transform(True, BOTH), _named("plain"), _speedup),
    Target("Haar, our fastest path: forward, likewise", 5, _transform(True, FORWARD), _best, _speedup),
    Target("Haar, our fastest path: forward+backward, likewise", 5, _transform(True, BOTH), _best, _speedup),
    Target(
        f"Haar, our fastest path: forward of {LARGE}, against a clone",
        2.5, _transform(True, FORWARD, LARGE), _best, _to_floor, upper=True,
    ),
    Target("other filters, our fastest path: forward, over the fastest library",
           1.5, _transform(False, FORWARD), _best, _speedup),
    Target("other filters, our fastest path: forward+backward, likewise",
           1.5, _transform(False, BOTH), _best, _speedup),
    Target("paper's model: training step, eager, over 0.1.3", 3, _model(_PAPER, STEP), _named("eager"), _speedup),
    Target("paper's model: training step, compiled, likewise", 10, _model(_PAPER, STEP), _named("compiled"), _speedup),
    Target("paper's model: one image, eager, likewise", 6, _model(_PAPER, INFERENCE), _named("eager"), _speedup),
    Target("paper's model: one image, compiled, likewise", 15, _model(_PAPER, INFERENCE), _best_compiled, _speedup),
    Target(
        "live-band models: training step, compiled, against the matrix products",
        2, _model(LIVE_MODELS, STEP), _named("compiled"), _to_floor, upper=True,
    ),
    Target(
        "`import wavpool`, beyond torch", 0.3, lambda case: (case.benchmark, case.input) == (IMPORT, "wavpool"),
        _best, _seconds, upper=True, unit=" s",
    ),
)  # fmt: skip
