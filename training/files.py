"""Files that are either wholly there or not there at all."""

from __future__ import annotations

import csv
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in ``path``'s folder; on success fsync it and rename it to ``path``, else remove it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_with(path: str | Path, write: Callable[[Path], Any]) -> None:
    """Call ``write(temporary_path)`` and put the file it makes in place atomically."""
    with atomic(path) as temporary:
        write(temporary)


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` as UTF-8."""
    write_with(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: str | Path, content: Any) -> None:
    """Write ``content`` as JSON; a number that is not finite becomes null, since JSON has no word for it."""
    write_text(path, json.dumps(_finite(content), indent=1, allow_nan=False) + "\n")


def write_yaml(path: str | Path, content: Mapping[str, Any], comment: str = "") -> None:
    """Write ``content`` as YAML in its own key order, below an optional one-line ``comment``."""
    head = f"# {comment}\n" if comment else ""
    write_text(path, head + yaml.safe_dump(dict(content), sort_keys=False))


def write_csv(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write ``rows`` (one mapping a row, all with the keys of the first) as CSV with a header."""

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else [])
            writer.writeheader()
            writer.writerows(rows)

    write_with(path, write)


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
