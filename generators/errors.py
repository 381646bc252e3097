"""Errors whose message is one sentence for the user, shown by the command lines without a traceback (exit code 2)."""


class UserError(Exception):
    """A mistake or a missing thing that the user can put right; the message says how."""

    exit_code = 2


class DataError(UserError):
    """Data that is absent, truncated, altered or asked for in a way it does not come in."""
