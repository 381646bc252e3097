"""Wall-clock times of several calls, taken in turn, in this process or in others.

Imports nothing of this package, because the original's process imports it.
"""

import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

Block = Callable[[float], list[float]]  # seconds to spend -> milliseconds of every call


class Timing(NamedTuple):
    """Median and interquartile range of `runs` calls, in milliseconds."""

    median_ms: float
    iqr_ms: float
    runs: int


def summarize(milliseconds: Sequence[float]) -> Timing:
    """Timing of a list of calls.

    >>> summarize([1.0, 2.0, 3.0, 4.0, 9.0])
    Timing(median_ms=3.0, iqr_ms=2.0, runs=5)
    """
    if len(milliseconds) == 1:
        return Timing(milliseconds[0], 0.0, 1)
    quartiles = statistics.quantiles(milliseconds, n=4, method="inclusive")
    return Timing(quartiles[1], quartiles[2] - quartiles[0], len(milliseconds))


def block(call: Callable[[], object]) -> Block:
    """What times `call` for some seconds.

    The first call of a block, which another one's turn left cold, counts only where it takes all of the time; the very
    first never does.
    """
    warm = False

    def once() -> float:
        start = time.perf_counter()
        call()
        return 1e3 * (time.perf_counter() - start)

    def measure(seconds: float) -> list[float]:
        nonlocal warm
        enabled = gc.isenabled()
        gc.disable()
        try:
            first = once()
            if warm and first >= 1e3 * seconds:
                return [first]
            warm = True
            end = time.perf_counter() + seconds
            times = [once()]
            while time.perf_counter() < end:
                times.append(once())
        finally:
            if enabled:
                gc.enable()
        return times

    return measure


def interleaved(blocks: Mapping[str, Block], seconds: float, rounds: int = 6) -> dict[str, Timing]:
    """Time each for about `seconds`, in `rounds` rounds; every round begins with another one, so that none is first."""
    names = list(blocks)
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            times[name] += blocks[name](seconds / rounds)
    return {name: summarize(values) for name, values in times.items()}


def serve(makers: Mapping[str, Callable[[], Callable[[], object]]]) -> None:
    """Time the calls that `remote_blocks` asks for on standard input, until it ends; answers on standard output.

    A call is made, by its maker, when it is first asked for.
    """
    blocks: dict[str, Block] = {}
    print(json.dumps(list(makers)), flush=True)
    for line in sys.stdin:
        name, seconds = json.loads(line)
        if name not in blocks:
            blocks[name] = block(makers[name]())
        print(json.dumps(blocks[name](seconds)), flush=True)


@contextmanager
def remote_blocks(
    command: Sequence[str], cwd: str | Path | None = None, env: Mapping[str, str] | None = None
) -> Iterator[dict[str, Block]]:
    """Start a process that calls `serve`; yields its blocks by name.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    process = subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def answer() -> Any:
        line = stdout.readline()
        if not line:
            raise subprocess.CalledProcessError(process.wait(), command)
        return json.loads(line)

    def ask(name: str, seconds: float) -> list[float]:
        stdin.write(json.dumps([name, seconds]) + "\n")
        stdin.flush()
        times: list[float] = answer()
        return times

    with process:
        try:
            yield {name: partial(ask, name) for name in answer()}
        finally:
            stdin.close()
