"""Files that are either wholly there or not there at all: the package's, and YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from wavpool.files import atomic, read_json, write_csv, write_json, write_text, write_with

__all__ = ["atomic", "read_json", "write_csv", "write_json", "write_text", "write_with", "write_yaml"]


def write_yaml(path: str | Path, content: Mapping[str, Any], comment: str = "") -> None:
    """Write ``content`` as YAML in its own key order, below an optional one-line ``comment``."""
    head = f"# {comment}\n" if comment else ""
    write_text(path, head + yaml.safe_dump(dict(content), sort_keys=False))
