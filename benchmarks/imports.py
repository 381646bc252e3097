"""What `import wavpool` costs beyond torch, each time in a process of its own.

python -m benchmarks imports
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence

from .records import IMPORT, OURS, Case, Record, timed
from .timing import Block, interleaved

SCRIPT = """
import sys, time
import torch
start = time.perf_counter()
__import__(sys.argv[1])
print(1e3 * (time.perf_counter() - start))
"""
MODULES = ("wavpool", "wavpool.transforms", "wavpool.models")


def cases(quick: bool = False) -> list[Case]:
    """The package, and what it loads at first use."""
    return [Case(IMPORT, module, "", "", IMPORT, 1) for module in (MODULES[:1] if quick else MODULES)]


def measure(wanted: Sequence[Case], seconds: float, rounds: int = 5) -> Iterator[list[Record]]:
    """The records of one module after the other: `rounds` processes each, however long they take."""
    blocks = {case.input: _import(case.input) for case in wanted}
    if blocks:
        timings = interleaved(blocks, seconds, rounds)
        for case in wanted:
            yield [timed(case, "wavpool", OURS, timings[case.input])]


def _import(module: str) -> Block:
    def measure(seconds: float) -> list[float]:
        command = [sys.executable, "-W", "ignore", "-c", SCRIPT, module]
        return [float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)]

    return measure
