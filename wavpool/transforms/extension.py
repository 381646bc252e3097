"""Signal extension: which sample stands at a position beyond the ends, and how many coefficients a length gives.

One level of analysis of a length n by filters of length L is

    out[i] = sum_j taps[j] x[index[2 i + j]],    i = 0..m-1,    taps = the filter reversed,

with `m = coefficient_length(n, L, mode)` and `index = extension_index(n, L, mode)`. Modes are PyWavelets':

    zero            0 0 0 0 | a b c d | 0 0 0 0
    constant        a a a a | a b c d | d d d d
    symmetric       d c b a | a b c d | d c b a
    reflect         c d c b | a b c d | c b a b
    periodic        a b c d | a b c d | a b c d     with about L / 2 coefficients more a band than needed
    periodization   a b c d | a b c d | a b c d     with ceil(n / 2); an odd length repeats its last sample first

Source: PyWavelets, "Signal extension modes".
"""

import functools
from collections.abc import Sequence

import torch

MODES = ("zero", "constant", "symmetric", "reflect", "periodic", "periodization")
BOUNDARY = "boundary"  # the orthonormal form of boundary.py, which extends nothing
ALL_MODES = (*MODES, BOUNDARY)


def check_mode(mode: str, allowed: tuple[str, ...] = ALL_MODES) -> None:
    """Raise ValueError, which names the modes allowed, for any other."""
    if mode not in allowed:
        raise ValueError(f"mode must be one of {', '.join(allowed)}, got {mode!r}")


def coefficient_length(n: int, length: int, mode: str) -> int:
    """Number of low-pass coefficients of `n` samples under filters of `length` taps, as `pywt.dwt_coeff_len`.

    >>> coefficient_length(32, 8, "symmetric"), coefficient_length(33, 8, "periodization")
    (19, 17)
    """
    return (n + 1) // 2 if mode in ("periodization", BOUNDARY) else (n + length - 1) // 2


def longest_length(count: int, length: int, mode: str) -> int:
    """The longer, even one of the two signal lengths that give `count` low-pass coefficients.

    >>> longest_length(19, 8, "symmetric"), longest_length(17, 8, "periodization")
    (32, 34)
    """
    return 2 * count if mode in ("periodization", BOUNDARY) else 2 * count - length + 2


def first_position(length: int, mode: str) -> int:
    """Position in the signal, at most 0, under the first tap of the first coefficient."""
    return 1 - length // 2 if mode == "periodization" else 2 - length


def source(position: int, n: int, mode: str) -> int:
    """Sample of a signal of length `n` that stands at `position`, -1 for a zero.

    >>> [source(position, 4, "reflect") for position in range(-4, 0)]
    [2, 3, 2, 1]
    """
    if 0 <= position < n:
        return position
    if mode == "zero":
        return -1
    if mode == "constant" or n == 1:
        return 0 if position < 0 else n - 1
    if mode == "periodic":
        return position % n
    if mode == "periodization":
        return min(position % (n + n % 2), n - 1)
    last = 2 * n - 1 if mode == "symmetric" else 2 * n - 2
    period = 2 * n if mode == "symmetric" else 2 * n - 2
    return min(position % period, last - position % period)


@functools.lru_cache(maxsize=4096)
def extension_index(n: int, length: int, mode: str) -> tuple[int, ...]:
    """Sample at each of the `2 (m - 1) + length` positions that the filters see, -1 for a zero.

    >>> extension_index(4, 4, "symmetric")
    (1, 0, 0, 1, 2, 3, 3, 2)
    """
    first = first_position(length, mode)
    count = 2 * (coefficient_length(n, length, mode) - 1) + length
    return tuple(source(first + position, n, mode) for position in range(count))


def runs(start: int, stop: int, n: int, mode: str) -> tuple[tuple[int, int, int], ...]:
    """The samples at positions `start` to `stop - 1` as runs `(first sample, count, step)` of step 1, 0 or -1.

    >>> runs(-6, 0, 4, "symmetric"), runs(-3, 0, 4, "zero")
    (((2, 2, 1), (3, 4, -1)), ((-1, 3, 0),))
    """
    return _runs(start, stop, n, mode) if torch.compiler.is_compiling() else _kept_runs(start, stop, n, mode)


def _runs(start: int, stop: int, n: int, mode: str) -> tuple[tuple[int, int, int], ...]:
    found: list[tuple[int, int, int]] = []
    for position in range(start, stop):
        sample = source(position, n, mode)
        if found and (sample < 0 if found[-1][0] < 0 else sample >= 0):  # no == of symbols' comparisons: torch 2.11
            first, count, step = found[-1]
            if count == 1:
                step = sample - first
            if abs(step) <= 1 and sample == first + count * step:
                found[-1] = (first, count + 1, step)
                continue
        found.append((sample, 1, 1))
    return tuple(found)


_kept_runs = functools.lru_cache(maxsize=4096)(_runs)


def band_sizes(size: Sequence[int], length: int, mode: str, level: int) -> list[tuple[int, ...]]:
    """Sizes of a signal (of any number of axes) and of its bands at levels 1..`level`: `level + 1`, finest first.

    >>> band_sizes((32, 28), 8, "symmetric", 2)
    [(32, 28), (19, 17), (13, 12)]
    """
    sizes = [tuple(size)]
    for _ in range(level):
        sizes.append(tuple(coefficient_length(n, length, mode) for n in sizes[-1]))
    return sizes
