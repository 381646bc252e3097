"""What the screen shows while runs are computed: a bar on a terminal, one line a finished run everywhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

from tqdm import tqdm

from training.cli import counted
from training.comparison.plan import Plan


class Progress:
    """Counts the epochs of all pending runs, also those that early stopping saves, and tells how long is left."""

    def __init__(self, plan: Plan, pending: Sequence[int]) -> None:
        self.plan = plan
        self._left = {index: plan.runs[index].config.epochs for index in pending}
        self._done = 0
        self._start = time.monotonic()
        count, total = len(plan.runs) - len(pending), len(plan.runs)
        if count:
            print(f"{count} of {total} runs are finished already", flush=True)
        self._bar: tqdm[Any] = tqdm(
            total=sum(self._left.values()), bar_format="{desc} {bar} {n_fmt}/{total_fmt} epochs{postfix}",
            disable=None if pending else True, leave=False, dynamic_ncols=True,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def epoch(self, index: int, epoch: int, accuracy: float) -> None:
        """Take note of a finished epoch (counted from 1) of the run at ``index`` of the plan."""
        left = self.plan.runs[index].config.epochs - epoch
        skipped = self._left[index] - left - 1  # epochs that the checkpoint already held
        self._left[index] = left
        self._done += 1
        self._bar.set_description_str(self._head(index), refresh=False)
        self._bar.set_postfix_str(f"accuracy {accuracy:.4f}, {self.time_left()} left", refresh=False)
        self._bar.update(skipped + 1)

    def finish(self, index: int, metrics: Mapping[str, Any]) -> None:
        """Take note of a finished run."""
        self._bar.update(self._left[index])
        self._left[index] = 0
        validation, test = (metrics[split]["accuracy"] for split in ("validation", "test"))
        line = (
            f"{self._head(index)}: validation {validation:.4f}, test {test:.4f}, "
            f"{counted(metrics['epochs'], 'epoch')} in {metrics['train_seconds']:.1f} s"
        )
        rest = f"; about {self.time_left()} left" if any(self._left.values()) else ""
        tqdm.write(line + rest)

    def time_left(self) -> str:
        """Time of the pending epochs at the mean pace so far, as ``m:ss``; the bar's own pace forgets too fast."""
        seconds = (time.monotonic() - self._start) / max(self._done, 1) * sum(self._left.values())
        return clock(seconds)

    def _head(self, index: int) -> str:
        return f"run {index + 1}/{len(self.plan.runs)} {self.plan.runs[index].words}"


def clock(seconds: float) -> str:
    """``m:ss`` or ``h:mm:ss``."""
    return (
        tqdm.format_interval(seconds).lstrip("0") if seconds >= 600 else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
    )
