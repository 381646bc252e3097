"""Where weights are found, and where those that are trained here are kept."""

from __future__ import annotations

import hashlib
from pathlib import Path

from generators.errors import DataError
from generators.files import cache_folder, search_folders


def locate(relative: str) -> Path:
    """The path of a file or folder in the first of the folders of ``$WAVPOOL_DATA`` (then the cache) that has it.

    Raises:
        DataError: none has it.
    """
    folders = search_folders()
    for folder in folders:
        if (folder / relative).exists():
            return folder / relative
    raise DataError(f"{relative} is in none of {', '.join(map(str, folders))}; name its folder in $WAVPOOL_DATA")


def kept(name: str) -> Path:
    """Where weights (or other results) that took long to make are kept, in the user's cache."""
    return cache_folder() / "codec" / name


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
