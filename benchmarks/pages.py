"""Write the stored tables into README.md and docs: ``python -m benchmarks.pages``.

A page takes a table by ``<!-- results/.../table.md -->``, and ``<!-- end -->`` after it.
"""

import re
from pathlib import Path

from .__main__ import ROOT

_MARKED = re.compile(r"(?<=<!-- )(results/\S+\.md) -->\n.*?(?=<!-- end -->)", re.DOTALL)
_TABLE = re.compile(r"^\|", re.MULTILINE)


def pages(root: Path = ROOT) -> list[Path]:
    """The README and every page of docs."""
    return [root / "README.md", *sorted((root / "docs").glob("*.md"))]


def last_table(text: str) -> str:
    r"""Take the last table of a Markdown text, with what follows it.

    Raises:
        ValueError: there is no table.

    >>> last_table("# Results\n\n| a |\n| - |\n\n| b |\n| - |\n\nOne run.\n")
    '| b |\n| - |\n\nOne run.'
    """
    *_, table = re.split(r"\n(?=\|)(?<!\|\n)", "\n" + text)
    if not _TABLE.match(table):
        raise ValueError("the text has no table")
    return table.strip()


def filled(page: str, root: Path = ROOT) -> str:
    """The page with its tables as they are stored."""

    def table(match: re.Match[str]) -> str:
        stored = (root / match[1]).read_text(encoding="utf-8")
        return f"{match[1]} -->\n\n{last_table(stored)}\n\n"

    return _MARKED.sub(table, page)


def main() -> None:
    """Fill all pages."""
    for path in pages():
        page = path.read_text(encoding="utf-8")
        if (fresh := filled(page)) != page:
            path.write_text(fresh, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
