"""What the pooling kernel needs to know of the levels, laid out as `pool.c` has it."""

import ctypes
import functools
from typing import NamedTuple

import torch
from torch import Tensor

WINDOW_MOST = 254  # a byte an output says which response won
WIDTH_MOST = 1 << 14  # the kernel keeps a row of outputs on the stack


class Geometry(NamedTuple):
    """A pooling of levels that are `hidden` wide behind zeros up to `widths`; all are levels that reach an output."""

    hidden: tuple[int, ...]
    widths: tuple[int, ...]
    bands: int
    kernel: tuple[int, int, int]
    ceil_mode: bool

    def windows(self, length: int, kernel: int) -> int:
        """Outputs of `length` responses."""
        return -(-length // kernel) if self.ceil_mode else length // kernel


class _Level(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("hidden", "used", "front", "windows")]


class _Plan(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("levels", "bands", "features")]
    _fields_ += [(name, ctypes.c_int64) for name in ("kernel", "band_kernel", "level_kernel")]
    _fields_ += [("level", ctypes.c_void_p)]


class Plan:
    """`address` of the C structure, `features` an image, and `places`, the type that says where all levels lie."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        kernel, band_kernel, level_kernel = geometry.kernel
        levels = (_Level * len(geometry.hidden))()
        for number, (hidden, width) in enumerate(zip(geometry.hidden, geometry.widths, strict=True)):
            front = width - hidden
            used = hidden if geometry.ceil_mode else max(0, width // kernel * kernel - front)
            levels[number] = _Level(hidden, used, front, geometry.windows(width, kernel))
        windows = [levels[start].windows for start in range(0, len(levels), level_kernel)]
        groups = geometry.windows(geometry.bands, band_kernel)
        self.features = sum(windows) * groups
        self.fits = kernel * band_kernel * level_kernel <= WINDOW_MOST and max(windows) <= WIDTH_MOST
        self._kept = levels
        self._structure = _Plan(len(levels), geometry.bands, self.features, *geometry.kernel, ctypes.addressof(levels))
        self.address = ctypes.addressof(self._structure)
        self.places = ctypes.c_int64 * (3 * len(levels))
        starts = [sum(windows[:group]) * groups for group in range(len(windows))]
        self.starts = [starts[level // level_kernel] for level in range(len(levels))]

    def winners(self, level: int, given: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Of all responses `(given, hidden)` of a level: the output they may reach, and the byte if they won."""
        kernel, band_kernel, level_kernel = self.geometry.kernel
        here = self._kept[level]
        band = torch.arange(given, device=device)[:, None]
        unit = torch.arange(here.hidden, device=device) + here.front
        output = self.starts[level] + band // band_kernel * here.windows + unit // kernel
        code = 1 + (band % band_kernel * level_kernel + level % level_kernel) * kernel + unit % kernel
        reached = (band < self.geometry.bands) & (unit // kernel < here.windows)
        return output.where(reached, 0), code.where(reached, -1)


@functools.lru_cache(maxsize=1024)
def plan(
    hidden: tuple[int, ...], widths: tuple[int, ...], bands: int, kernel: tuple[int, int, int], ceil_mode: bool
) -> Plan:
    """The plan of one `Geometry`, kept."""
    return Plan(Geometry(hidden, widths, bands, kernel, ceil_mode))
