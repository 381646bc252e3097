"""Keep freed memory in the process, which makes training on a CPU up to twice as fast."""

from __future__ import annotations

import ctypes

# Of glibc's <malloc.h>.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Tell glibc to keep large freed blocks instead of handing them back to the kernel.

    Every activation above 32 MB is otherwise mapped anew, page fault by page fault, at each step: a step of the
    paper's CNN at batch size 640 takes 1.8 times as long (``benchmarks/allocator.py``). What is kept is reused by
    later tensors.

    Returns:
        Whether there was a glibc to tell.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        mallopt = libc.mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 2**28))
    return all(mallopt(name, value) == 1 for name, value in settings)
