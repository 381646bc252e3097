"""What reading a compressed model can fail with."""


class WvpError(ValueError):
    """A `.wvp` file, or a stream in one, that cannot be read; the message is one sentence for the user."""
