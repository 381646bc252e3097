"""What making and reading a compressed model can fail with."""

from ..errors import UserError


class WvpError(ValueError):
    """A `.wvp` file, or a stream in one, that cannot be read; the message is one sentence for the user."""


class TooFine(UserError):
    """A step so small that the integers would not fit: any finer one is of no use."""


class CompressionWarning(UserWarning):
    """A compressed model that is likely not what was wanted."""
