"""What the command line tells in one sentence, without a traceback."""

import traceback
from pathlib import Path

_PACKAGE = Path(__file__).parent


class UserError(ValueError):
    """A mistake or a missing thing that the user can put right; the message says how."""


def is_message(error: BaseException) -> bool:
    """Whether an error's text is meant for the user: a `UserError`, or a `ValueError` that this package itself raised.

    A `ValueError` from within a library is a defect of ours, and its traceback is needed.
    """
    if isinstance(error, UserError):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, ValueError) and bool(frames) and Path(frames[-1].filename).is_relative_to(_PACKAGE)
