"""numba with a cache where one can be written, and free to run in threads; imported only by modules of kernels."""

from collections.abc import Callable
from typing import Any

try:
    import numba
except ImportError:
    raise ImportError("this needs numba: pip install 'wavpool[codec,circuits]'") from None


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile, and keep the machine code for the next process unless no folder for it can be written."""
    try:
        return _compiled(function, cache=True)
    except RuntimeError:  # "cannot cache function ...: no locator available"
        return _compiled(function)


def inline(function: Callable[..., Any]) -> Callable[..., Any]:
    """Part of a kernel: compiled into each that calls it."""
    return _compiled(function, forceinline=True)


def _compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    compiled: Callable[..., Any] = numba.njit(nogil=True, **options)(function)
    return compiled
