"""How a command ends: its exit code, and one line where it failed."""

import contextlib
import errno
import os
import sys
from collections.abc import Sequence
from typing import Any

import typer

from ..errors import is_message
from .app import app
from .progress import Stopped

_CLICK_ERROR: Any = typer.BadParameter.__mro__[2]  # ClickException, which typer carries under a name of its own


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    try:
        code = app(args=None if arguments is None else list(arguments), prog_name="wavpool", standalone_mode=False) or 0
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except Stopped as stopped:
        print(f"interrupted: {stopped}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `wavpool info model.wvp | head`
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if (sentence := _sentence(error)) is None:
            raise
        if sentence:
            print(f"error: {sentence}", file=sys.stderr)
        return 2
    if code == 130:
        print("interrupted: no file is half-written", file=sys.stderr)
    return int(code)


def _sentence(error: Exception) -> str | None:
    """What to tell the user; None where the error is none of theirs, but a defect that needs its traceback.

    Empty where the help has been shown instead.
    """
    if isinstance(error, _CLICK_ERROR):
        message = error.format_message().rstrip(".").replace("Value error, ", "")
        command = error.ctx.command_path if getattr(error, "ctx", None) else "wavpool"
        return f"{message} (see {command} --help)" if message else ""
    if isinstance(error, OSError) and error.filename is not None:
        remedy = "free some space" if error.errno == errno.ENOSPC else "give another file or folder"
        return f"cannot use {error.filename}: {error.strerror}; {remedy}"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{error.strerror}: free some space"
    if isinstance(error, ImportError) and "pip install" in str(error):
        return str(error)
    return str(error).replace("Value error, ", "") if is_message(error) else None
