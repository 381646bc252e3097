"""Wavelet transforms: ours against the libraries, see `implementations`.

`python -m benchmarks transforms` runs this alone.

Every result is checked against PyWavelets' before it is timed. Each number of threads has a process of its own.
"""

import dataclasses
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import pywt
import torch
from torch import Tensor

from training.allocator import keep_freed_memory

from .fetch import Unavailable
from .implementations import IMPLEMENTATIONS, Implementation, Problem, Transform
from .records import BOTH, FORWARD, TRANSFORM, Case, Record, skipped, timed, with_ratios
from .timing import block, interleaved

INPUTS = ("64x1x32x32", "640x1x32x32", "8x64x56x56", "4x3x512x512")
WAVELETS = {"haar": INPUTS, "db4": INPUTS, "bior4.4": INPUTS[2:], "db8": INPUTS[2:]}
QUICK_INPUTS = ("64x1x32x32",)
TOLERANCE = 1e-5  # float32, relative to the largest coefficient
TRIAL = 0.02  # seconds a mode, to find a library's fastest


def cases(quick: bool = False) -> list[Case]:
    """All of them: every level that the size allows, and 3 of them; a process's together."""
    found = [
        Case(TRANSFORM, shape, wavelet, str(level), direction, threads)
        for threads, (wavelet, shapes) in product((1, 2), WAVELETS.items())
        for shape in shapes
        for level in _levels(shape, wavelet)
        for direction in (FORWARD, BOTH)
    ]
    if quick:
        return [case for case in found if case.input in QUICK_INPUTS and case.threads == 1]
    return found


def _levels(shape: str, wavelet: str) -> list[int]:
    side = min(map(int, shape.split("x")[-2:]))
    deepest = pywt.dwt_max_level(side, wavelet)
    return sorted({min(3, deepest), deepest})


def measure(wanted: Sequence[Case], seconds: float) -> Iterator[list[Record]]:
    """The records of one case after the other, `seconds` an implementation."""
    for threads in dict.fromkeys(case.threads for case in wanted):
        these = [dataclasses.asdict(case) for case in wanted if case.threads == threads]
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.transforms"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            with process.stdin:
                json.dump({"threads": threads, "seconds": seconds, "cases": these}, process.stdin)
            for line in process.stdout:
                yield [Record(**values) for values in json.loads(line)]
        if process.returncode != 0:
            raise subprocess.CalledProcessError(process.returncode, command)


def measure_case(
    case: Case, seconds: float, implementations: Sequence[Implementation] = IMPLEMENTATIONS
) -> list[Record]:
    """Check, choose each one's fastest mode, and time them in turn; in this process."""
    torch.manual_seed(0)
    x = torch.randn(case.shape)
    problem = Problem(case.wavelet, int(case.levels), x.shape[1])
    chosen: dict[str, Chosen] = {}
    for implementation in implementations:
        try:
            transforms = implementation.build(problem)
        except Unavailable as reason:
            chosen[implementation.name] = Chosen(notes=[str(reason)])
            continue
        if case.direction == BOTH:
            transforms = {mode: transform for mode, transform in transforms.items() if transform.differentiable}
        if transforms:
            chosen[implementation.name] = fastest_mode(transforms, x, case.direction)
    timings = interleaved({name: block(choice.call) for name, choice in chosen.items() if choice.call}, seconds)
    records = []
    for implementation in implementations:
        name, role = implementation.name, implementation.role
        if name in chosen:
            mode, _, notes = chosen[name]
            note = "; ".join(notes)
            records.append(
                timed(case, name, role, timings[name], mode, note)
                if name in timings
                else skipped(case, name, role, note)
            )
    return with_ratios(records)


class Chosen(NamedTuple):
    """The mode to time, and why others were not considered."""

    mode: str = ""
    call: Callable[[], object] | None = None
    notes: Sequence[str] = ()


def fastest_mode(transforms: Mapping[str, Transform], x: Tensor, direction: str) -> Chosen:
    """The fastest of the modes whose result is right."""
    calls: dict[str, Callable[[], object]] = {}
    notes = []
    for mode, transform in transforms.items():
        try:
            check(transform, x)
            calls[mode] = _forward(transform, x) if direction == FORWARD else _forward_and_backward(transform, x)
        except Exception as error:  # whatever a library raises, the others are still to be timed
            notes.append(f"mode {mode!r} was not timed: {type(error).__name__}: {str(error).splitlines()[0]}")
    if len(calls) < 2:
        mode, call = next(iter(calls.items()), ("", None))
        return Chosen(mode, call, notes)
    trial = interleaved({mode: block(call) for mode, call in calls.items()}, TRIAL, rounds=2)
    mode = min(trial, key=lambda name: trial[name].median_ms)
    return Chosen(mode, calls[mode], notes)


class WrongResult(RuntimeError):
    """A transform differs from PyWavelets'."""


def check(transform: Transform, x: Tensor) -> None:
    """Refuse a transform whose result is not PyWavelets'.

    Raises:
        WrongResult: it is not.
    """
    expected = transform.reference(x.double().numpy())
    found = [np.asarray(band) for band in transform.bands(transform.call(x))]
    scale = max(float(np.abs(band).max()) for band in expected)
    same = len(found) == len(expected) and all(
        ours.shape == theirs.shape and float(np.abs(ours - theirs).max()) <= TOLERANCE * scale
        for ours, theirs in zip(found, expected, strict=True)
    )
    if not same:
        raise WrongResult("it differs from PyWavelets")


def _forward(transform: Transform, x: Tensor) -> Callable[[], object]:
    return lambda: transform.call(x)


def _forward_and_backward(transform: Transform, x: Tensor) -> Callable[[], object]:
    x = x.clone().requires_grad_()
    gradients = [torch.randn(tensor.shape) for tensor in transform.tensors(transform.call(x))]
    return lambda: torch.autograd.grad(transform.tensors(transform.call(x)), x, gradients)


def main() -> None:
    """The process of one number of threads: cases as JSON on standard input, records as JSON on standard output."""
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # says that there is no GPU
    keep_freed_memory()
    order = json.load(sys.stdin)
    torch.set_num_threads(order["threads"])
    for values in order["cases"]:
        records = measure_case(Case(**values), order["seconds"])
        print(json.dumps([dataclasses.asdict(record) for record in records]), flush=True)


if __name__ == "__main__":
    main()
