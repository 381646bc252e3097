"""What a command says where a library is not installed; needs nothing but Python."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_OWN = {"benchmarks", "generators", "training", "wavpool"}


def missing_library(error: ModuleNotFoundError) -> str | None:
    """One sentence with the remedy; None where ``error`` is about a module of this project."""
    library = (error.name or "").partition(".")[0]
    if not library or library in _OWN:
        return None
    return (
        f"the library '{library}' is not installed for {sys.executable}: run `make setup` and use .venv/bin/python, "
        "or pip install -e '.[experiments]'"
    )


@contextmanager
def told_if_missing() -> Iterator[None]:
    """Around the imports of a command: exit with code 2 and one sentence where a library is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (sentence := missing_library(error)) is None:
            raise
        print(f"error: {sentence}", file=sys.stderr)
        sys.exit(2)
