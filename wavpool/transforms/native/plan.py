"""What the kernel needs to know of a transform: sizes, offsets, taps and index maps, laid out as `dwt.c` has them."""

import ctypes
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..extension import band_sizes, coefficient_length, extension_index, first_position
from ..filters import FilterBank, from_key


class _Axis(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("samples", "coefficients", "begin", "extended")]
    _fields_ += [("index", ctypes.c_void_p)]


class _Level(ctypes.Structure):
    _fields_ = [("rows", _Axis), ("columns", _Axis), ("details", ctypes.c_int64)]


class _Plan(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("details", "levels", "taps")] + [("haar", ctypes.c_double)]
    _fields_ += [(name, ctypes.c_void_p) for name in ("low", "high", "level")] + [("total", ctypes.c_int64)]


class Plan:
    """One transform of one size: `address` of the C structure, `area` samples in, `total` coefficients out."""

    def __init__(self, bank: FilterBank, mode: str, dual: bool, size: tuple[int, ...], level: int) -> None:
        taps = (bank.rec_lo, bank.rec_hi) if dual else (bank.dec_lo[::-1], bank.dec_hi[::-1])
        low, high = (np.array(values, dtype=np.float64) for values in taps)
        haar = 0.0
        if bank.length == 2 and low[0] == low[1] == high[0] == -high[1]:  # one half, not the rounded square of its root
            haar = round(low[0] ** 2, 15) if len(size) == 2 else 1.0
        self._kept: list[Any] = [low, high]  # what the structure points to
        levels = (_Level * level)()
        sizes = band_sizes(size, bank.length, mode, level)
        bands = 2 ** len(size) - 1
        offset = math.prod(sizes[-1])
        for number in reversed(range(level)):
            axes = [self._axis(n, bank.length, mode, dual) for n in sizes[number]]
            levels[number] = _Level(axes[0] if len(axes) == 2 else _Axis(), axes[-1], offset)
            offset += bands * math.prod(sizes[number + 1])
        self.area, self.total = math.prod(size), offset
        areas = [math.prod(band) for band in (sizes[-1], *(band for band in sizes[:0:-1] for _ in range(bands)))]
        self.offsets = np.cumsum([0, *areas[:-1]], dtype=np.int64)  # of every band among the packed coefficients
        self.strides = np.full(len(areas), offset, dtype=np.int64)
        self.areas = np.array(areas, dtype=np.int64)
        pointers = (low.ctypes.data, high.ctypes.data, ctypes.addressof(levels))
        structure = _Plan(bands, level, bank.length, haar, *pointers, offset)
        self._kept += [levels, structure]
        self.address = ctypes.addressof(structure)

    def _axis(self, n: int, length: int, mode: str, dual: bool) -> _Axis:
        positions = _crop_index(n, length, mode) if dual else extension_index(n, length, mode)
        index = np.array(positions, dtype=np.int32)
        self._kept.append(index)
        first = first_position(length, mode)
        return _Axis(n, coefficient_length(n, length, mode), -first, len(index), index.ctypes.data)


def _crop_index(n: int, length: int, mode: str) -> list[int]:
    """As `extension_index`, for synthesis: positions outside the signal are dropped, or wrap under `periodization`."""
    first, count = first_position(length, mode), 2 * (coefficient_length(n, length, mode) - 1) + length
    period = n + n % 2 if mode == "periodization" else n + count
    positions = [position % period for position in range(first, first + count)]
    return [position if position < n else -1 for position in positions]


@functools.lru_cache(maxsize=1024)
def plan(wavelet: str, mode: str, dual: bool, size: tuple[int, ...], level: int) -> Plan:
    """The plan of one transform, kept; arguments are those of the operators."""
    return Plan(from_key(wavelet), mode, dual, size, level)


def packed_length(size: Sequence[int], length: int, mode: str, level: int) -> int:
    """Number of coefficients of one image; `size` may be symbolic."""
    areas = [math.prod(band) for band in band_sizes(size, length, mode, level)[1:]]
    return areas[-1] + int(2 ** len(size) - 1) * sum(areas)
