"""Tables in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose columns in brackets are right-aligned.

    >>> print(markdown_table(["name", "(ms)"], [["a", "1"]]), end="")
    | name | ms |
    | --- | --: |
    | a | 1 |
    """
    lines = [[name.strip("()") for name in head], ["--:" if name.startswith("(") else "---" for name in head], *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def mean_and_sd(values: Sequence[float]) -> str:
    """Mean and sample standard deviation with four decimals; the mean alone of a single value.

    >>> mean_and_sd([0.5, 0.7]), mean_and_sd([0.5])
    ('0.6000 ± 0.1414', '0.5000')
    """
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{spread}"
