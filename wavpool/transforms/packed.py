"""Wavelet coefficients as one array, and back.

Two arrangements, both as PyWavelets': *ravelled*, all bands one after another in a vector, coarsest first, in which
nothing is padded; and the *array* (Mallat's), where the bands of a level stand around the approximation. Transformed
axes are the last ones, axes before them are a batch.

Source: S. Mallat, IEEE Trans. Pattern Anal. Mach. Intell. 11(7), 1989, fig. 7; PyWavelets' `ravel_coeffs` and
`coeffs_to_array`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .arguments import as_axes
from .extension import BOUNDARY, check_mode, coefficient_length
from .filters import Wavelet, resolve
from .levels import Details, detail_keys
from .multilevel import checked_level, entries

Shape = tuple[int, ...]
Slices = list[Any]  # of the approximation a tuple of slices, of every level a dictionary of such tuples

FORM = "[cA, details, ...] as wavedec, wavedec2 or wavedecn return them"


@dataclass(frozen=True)
class Band:
    """One band of a ravelled transform.

    Attributes:
        level: 1 for the finest.
        key: a letter for each axis as in `wavedecn`; `a` or `aa`... for the approximation.
        start: position of its first coefficient.
        shape: its lengths along the transformed axes.
    """

    level: int
    key: str
    start: int
    shape: tuple[int, ...]

    def slice(self) -> slice:
        """Where the band lies in the packed array."""
        return slice(self.start, self.start + math.prod(self.shape))


@dataclass(frozen=True)
class PackedLayout:
    """All bands in their order, coarsest first, and the number of coefficients."""

    bands: tuple[Band, ...]
    total: int


def packed_layout(
    size: int | Sequence[int], wavelet: Wavelet = "haar", mode: str = "symmetric", level: int | None = None
) -> PackedLayout:
    """Layout of the ravelled coefficients of a signal, without transforming one.

    Args:
        size: length, or lengths along the transformed axes.
        wavelet, mode, level: as `wavedecn` takes them.

    Raises:
        ValueError: an unknown wavelet or mode, an empty axis, or a level out of range.

    >>> [(band.key, band.start, band.shape) for band in packed_layout((4, 6), level=1).bands]
    [('aa', 0, (2, 3)), ('da', 6, (2, 3)), ('ad', 12, (2, 3)), ('dd', 18, (2, 3))]
    """
    return _in_order(*_band_shapes(size, wavelet, mode, level))


def array_slices(
    size: int | Sequence[int], wavelet: Wavelet = "haar", mode: str = "symmetric", level: int | None = None
) -> Slices:
    """Slices of the bands of a signal in Mallat's arrangement, as `coeffs_to_array` returns them.

    Arguments and errors are those of `packed_layout`.

    >>> array_slices(7, "haar", "boundary", 1)
    [(slice(None, 4, None),), {'d': (slice(4, 7, None),)}]
    """
    return _arranged(*_band_shapes(size, wavelet, mode, level))[0]


def _band_shapes(
    size: int | Sequence[int], wavelet: Wavelet, mode: str, level: int | None
) -> tuple[Shape, list[dict[str, Shape]]]:
    """Shape of the approximation, and of the details of every level, coarsest first."""
    check_mode(mode)
    size = as_axes(size, "size")
    if min(size, default=1) < 1:
        raise ValueError(f"every length must be at least 1, got {size}")
    filters = resolve(wavelet)
    level, length = checked_level(level, size, filters), filters.length
    shapes: list[dict[str, Shape]] = []  # finest first
    for _ in range(level):
        low = tuple(coefficient_length(n, length, mode) for n in size)
        high = tuple(n // 2 for n in size) if mode == BOUNDARY else low
        letters = {"a": low, "d": high}
        shapes.append(
            {key: tuple(letters[each][axis] for axis, each in enumerate(key)) for key in detail_keys(len(size))}
        )
        size = low
    return size, shapes[::-1]


def _in_order(approximation: Shape, details: Sequence[dict[str, Shape]]) -> PackedLayout:
    """Layout of bands of these shapes, coarsest first."""
    dims = len(approximation)
    shapes = [(len(details), "a" * dims, approximation)]
    for number, bands in enumerate(details):
        shapes += [(len(details) - number, key, bands[key]) for key in detail_keys(dims)]
    placed, start = [], 0
    for level, key, shape in shapes:
        placed.append(Band(level, key, start, shape))
        start += math.prod(shape)
    return PackedLayout(tuple(placed), start)


def ravel_coeffs(coefficients: Sequence[Any], dims: int | None = None) -> tuple[Tensor, PackedLayout]:
    """All coefficients in one vector a batch element.

    In the order of `wavedec2`'s tuples; `pywt.ravel_coeffs` has the details of a level in that of their sorted names
    (V, H, D).

    Args:
        coefficients: as `wavedec`, `wavedec2` or `wavedecn` return them for the last axes.
        dims: number of transformed axes; needed only where there are no details to tell it.

    Returns:
        `(..., N)`, and the place of every band in it; the details of a level in the order of `detail_keys`, which is
        cH, cV, cD in two dimensions.

    Raises:
        ValueError: another structure, or no details and no `dims`.

    >>> from wavpool.transforms import wavedec2
    >>> packed, layout = ravel_coeffs(wavedec2(torch.ones(8, 3, 4, 4)))
    >>> packed.shape, layout.bands[1]
    (torch.Size([8, 3, 16]), Band(level=2, key='da', start=1, shape=(1, 1)))
    """
    dims = _dims(coefficients, dims)
    approximation, details = entries(coefficients, dims, FORM)
    bands = [approximation, *(level[key] for level in details for key in detail_keys(dims))]
    shapes = [{key: tuple(band.shape[-dims:]) for key, band in level.items()} for level in details]
    packed = torch.cat([band.flatten(-dims) for band in bands], -1)
    return packed, _in_order(tuple(approximation.shape[-dims:]), shapes)


def unravel_coeffs(packed: Tensor, layout: PackedLayout, output_format: str | None = None) -> list[Any]:
    """Inverse of `ravel_coeffs`; the bands are views of `packed`.

    Args:
        packed: `(..., N)`.
        layout: of `ravel_coeffs` or `packed_layout`.
        output_format: `wavedec`, `wavedec2` or `wavedecn`; `None` takes the first that has the number of axes.

    Raises:
        ValueError: `packed` has another number of coefficients, or the format another number of axes.

    >>> [band.shape[-1] for band in unravel_coeffs(torch.arange(7.0), packed_layout(7, "haar", "boundary"))]
    [2, 2, 3]
    """
    if packed.ndim == 0 or packed.shape[-1] != layout.total:
        raise ValueError(f"packed must have shape (..., {layout.total}), got {tuple(packed.shape)}")
    parts = packed.split([math.prod(band.shape) for band in layout.bands], -1)
    bands = [part.unflatten(-1, band.shape) for part, band in zip(parts, layout.bands, strict=True)]
    dims = len(layout.bands[0].shape)
    keys = detail_keys(dims)
    details = [dict(zip(keys, bands[at : at + len(keys)], strict=True)) for at in range(1, len(bands), len(keys))]
    return [bands[0], *_structured(details, dims, output_format)]


def coeffs_to_array(
    coefficients: Sequence[Any], padding: float | None = 0.0, dims: int | None = None
) -> tuple[Tensor, Slices]:
    """The coefficients in Mallat's arrangement, as `pywt.coeffs_to_array`.

    Args:
        coefficients: as `wavedec`, `wavedec2` or `wavedecn` return them for the last axes.
        padding: fills what the bands of a transform that is not critically sampled leave; `None` refuses such gaps.
        dims: number of transformed axes; needed only where there are no details to tell it.

    Returns:
        `(..., *lengths)`, and a list with the slices of the approximation and for each level a dictionary of slices.

    Raises:
        ValueError: another structure, no details and no `dims`, or gaps where `padding` is `None`.

    >>> from wavpool.transforms import wavedec2
    >>> array, slices = coeffs_to_array(wavedec2(torch.ones(4, 4)))
    >>> array.shape, slices[1]["dd"]
    (torch.Size([4, 4]), (slice(1, 2, None), slice(1, 2, None)))
    """
    dims = _dims(coefficients, dims)
    approximation, details = entries(coefficients, dims, FORM)
    shapes = [{key: tuple(band.shape[-dims:]) for key, band in level.items()} for level in details]
    slices, lengths = _arranged(tuple(approximation.shape[-dims:]), shapes)
    bands = [(slices[0], approximation)]
    for places, level in zip(slices[1:], details, strict=True):
        bands += [(places[key], band) for key, band in level.items()]
    count = sum(band.shape[-dims:].numel() for _, band in bands)
    if padding is None and count != math.prod(lengths):
        raise ValueError(f"{count} coefficients leave gaps in an array of shape {lengths}; pass a padding")
    array = approximation.new_full((*approximation.shape[:-dims], *lengths), padding or 0.0)
    for place, band in bands:
        array[(..., *place)] = band
    return array, slices


def array_to_coeffs(array: Tensor, slices: Slices, output_format: str | None = None) -> list[Any]:
    """Inverse of `coeffs_to_array`; the bands are views of `array`.

    Args:
        array: `(..., *lengths)`.
        slices: as `coeffs_to_array` returns them.
        output_format: as for `unravel_coeffs`.

    Raises:
        ValueError: `array` has other lengths than the slices, or the format another number of axes.

    >>> from wavpool.transforms import wavedec, waverec
    >>> x = torch.arange(8.0)
    >>> torch.allclose(waverec(array_to_coeffs(*coeffs_to_array(wavedec(x)))), x, atol=1e-5)
    True
    """
    approximation, *places = slices
    bands = [approximation, *(place for level in places for place in level.values())]
    lengths = tuple(max(ends) for ends in zip(*([axis.stop for axis in band] for band in bands), strict=True))
    if array.shape[array.ndim - len(lengths) :] != lengths:
        raise ValueError(f"array must have shape (..., {', '.join(map(str, lengths))}), got {tuple(array.shape)}")
    details = [{key: array[(..., *place)] for key, place in level.items()} for level in places]
    return [array[(..., *approximation)], *_structured(details, len(approximation), output_format)]


def _arranged(approximation: Shape, details: Sequence[dict[str, Shape]]) -> tuple[Slices, Shape]:
    """Slices of bands of these shapes, and the lengths of the array around them."""
    corner = approximation
    slices: Slices = [tuple(slice(n) for n in corner)]
    for level in details:
        slices.append({key: _place(corner, key, shape) for key, shape in level.items()})
        corner = tuple(start + n for start, n in zip(corner, level["d" * len(corner)], strict=True))
    return slices, corner


def _place(corner: Sequence[int], key: str, shape: Sequence[int]) -> tuple[slice, ...]:
    """Slices of a band: from the corner of what is coarser along the axes of its letters `d`."""
    ends = zip(corner, key, shape, strict=True)
    return tuple(slice(start, start + n) if letter == "d" else slice(n) for start, letter, n in ends)


def _dims(coefficients: Sequence[Any], dims: int | None) -> int:
    if dims is not None:
        return dims
    if len(coefficients) < 2:
        raise ValueError("coefficients without details do not tell the number of transformed axes: pass dims")
    first = coefficients[1]
    return len(next(iter(first))) if isinstance(first, dict) and first else 1 if isinstance(first, Tensor) else 2


def _structured(details: list[Details], dims: int, output_format: str | None) -> list[Any]:
    """Details as the function named returns them."""
    wanted = {"wavedec": 1, "wavedec2": 2, "wavedecn": dims}
    if output_format is None:
        output_format = {1: "wavedec", 2: "wavedec2"}.get(dims, "wavedecn")
    if wanted.get(output_format) != dims:
        allowed = " or ".join(name for name, number in wanted.items() if number == dims)
        raise ValueError(f"output_format must be {allowed} for {dims} axes, got {output_format!r}")
    if output_format == "wavedecn":
        return details
    if output_format == "wavedec":
        return [level["d"] for level in details]
    return [(level["da"], level["ad"], level["dd"]) for level in details]
