"""What a circuit is to compute: in every case, some int8 inputs and the int8 outputs wanted for them.

The text of a problem has two lines a case: the inputs, then the targets. A trailing `x` stands for a value that is
missing: an input of 0, an output about which nobody cares.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import files
from ..errors import UserError

LOWEST, HIGHEST = -128, 127


@dataclass(frozen=True, eq=False)
class Problem:
    """Inputs (cases, n), targets (cases, m) and weights (cases, m) of the targets' errors, all int64.

    A weight of 0 is "do not care".
    """

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]
    weights: NDArray[np.int64]

    @property
    def cases(self) -> int:
        """How many times the circuit is used, each with inputs of its own."""
        return len(self.inputs)

    @classmethod
    def of(cls, inputs: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> "Problem":
        """A problem of one sequence of inputs and one of targets a case; shorter ones are filled up as `x` is.

        Raises:
            UserError: no case, an empty one, or a value that is no int8.
        """
        if not len(inputs) or len(inputs) != len(targets):
            raise UserError("a problem has one line of inputs and one of targets a case")
        values, _ = _filled("input", inputs)
        wanted, known = _filled("target", targets)
        return cls(values, wanted, known.astype(np.int64))


def _filled(what: str, lines: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Lines as an array of the longest's width, 0 where they end before; and where they do not."""
    width = max(map(len, lines))
    values, known = np.zeros((len(lines), width), dtype=np.int64), np.zeros((len(lines), width), dtype=np.bool_)
    for case, line in enumerate(lines):
        if not len(line):
            raise UserError(f"case {case} has no {what}")
        for value in line:
            if value != int(value) or not LOWEST <= value <= HIGHEST:
                raise UserError(f"{what} {value} of case {case} is no int8 ({LOWEST} to {HIGHEST})")
        values[case, : len(line)] = line
        known[case, : len(line)] = True
    return values, known


def parse(text: str) -> Problem:
    """The problem that a text holds.

    Raises:
        UserError: it is no problem.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if not lines or len(lines) % 2:
        raise UserError("a problem has two lines a case: inputs, then targets")
    numbers = [_numbers(number, line) for number, line in enumerate(lines, 1)]
    return Problem.of(numbers[::2], numbers[1::2])


def _numbers(number: int, words: list[str]) -> list[int]:
    known = words[: words.index("x")] if "x" in words else words
    if set(words[len(known) :]) - {"x"}:
        raise UserError(f"line {number} has numbers after an x")
    try:
        return [int(word) for word in known]
    except ValueError:
        raise UserError(f"line {number} holds something that is no whole number and no x") from None


def read(path: str | Path) -> Problem:
    """`parse` of a file.

    Raises:
        UserError: it holds no problem.
        OSError: it cannot be read.
    """
    try:
        return parse(Path(path).read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text") from None
    except UserError as error:
        raise UserError(f"{path} holds no problem: {error}") from None


def write(path: str | Path, problem: Problem) -> None:
    """Write a problem as text that `read` takes."""
    known = problem.weights > 0
    lines = []
    for case in range(problem.cases):
        lines.append(" ".join(map(str, problem.inputs[case].tolist())))
        wanted = problem.targets[case].tolist()
        pairs = zip(wanted, known[case], strict=True)
        lines.append(" ".join(str(value) if is_known else "x" for value, is_known in pairs))
    files.write_text(path, "\n".join(lines) + "\n")
