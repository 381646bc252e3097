"""The `wavpool` command: `wavpool --help` lists what it does."""

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 2 with one sentence for a user's mistake, 130 after Ctrl-C.

    Args:
        arguments: of the command line, those of this process by default.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # huge pages: half of what calibrating on large images takes
    try:
        import rich  # noqa: F401  # which the commands import later

        from .run import run
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        print("error: the wavpool command needs typer and rich: pip install 'wavpool[codec]'", file=sys.stderr)
        sys.exit(2)
    sys.exit(run(arguments))
