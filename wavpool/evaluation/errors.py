"""The error of a model, a checkpoint or a data set that cannot be had."""

from ..errors import UserError


class SourceError(UserError):
    """A MODEL or DATA that cannot be had; the message is one sentence with the remedy."""
