"""Tables in Markdown."""

from __future__ import annotations

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
