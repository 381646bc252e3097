"""One level of the transform along several axes, as dictionaries of bands: a letter an axis, `a` for low, `d` for high.

Every axis is transformed once for all bands, which lie side by side as `[low | high]` until the end.
"""

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

from .arguments import check_floating, ints, leaves, normal_axes, two, widened
from .dwt import analysis, halves, is_haar, synthesis
from .extension import BOUNDARY, check_mode
from .filters import Filters, Wavelet, resolve
from .haar import haar_step, haar_synthesis_step

Detail = tuple[Tensor, Tensor, Tensor]
Details = dict[str, Tensor]

REPEATING = ("symmetric", "constant", "periodization")  # modes that extend a Haar step by its last sample


def dwt2(
    x: Tensor, wavelet: Wavelet, mode: str = "symmetric", axes: tuple[int, int] = (-2, -1)
) -> tuple[Tensor, Detail]:
    """One level of analysis along two axes, of any lengths, as `pywt.dwt2`.

    Args:
        x: `(..., H, W)`, floating point, any device; the result keeps its dtype.
        wavelet, mode: as `dwt` takes them.
        axes: the axes of lengths H and W.

    Returns:
        `cA, (cH, cV, cD)`.

    Raises:
        TypeError: `x` is not a floating-point tensor.
        ValueError: missing or equal axes, an empty one, an unknown wavelet or mode.

    >>> approximation, (horizontal, vertical, diagonal) = dwt2(torch.zeros(3, 16, 15), "db2")
    >>> diagonal.shape
    torch.Size([3, 9, 9])
    """
    if has_torch_function((x,)):
        return handle_torch_function(dwt2, (x,), x, wavelet, mode, axes)
    filters = resolve(wavelet)
    check_mode(mode)
    check_floating(x)
    approximation, bands = analysis_step(widened(x), filters, mode, normal_axes(x, two(axes, x)))
    horizontal, vertical, diagonal = (bands[key].to(x.dtype) for key in ("da", "ad", "dd"))
    return approximation.to(x.dtype), (horizontal, vertical, diagonal)


def idwt2(
    coefficients: tuple[Tensor, Detail],
    wavelet: Wavelet,
    mode: str = "symmetric",
    axes: tuple[int, int] = (-2, -1),
    *,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Inverse of `dwt2`, as `pywt.idwt2`.

    Args:
        coefficients: `cA, (cH, cV, cD)`.
        wavelet, mode, axes: as given to `dwt2`.
        size: `(H, W)` of the original; `None` takes the longer, even lengths.

    Returns:
        `(..., H, W)`.

    Raises:
        TypeError: the coefficients are not floating-point tensors.
        ValueError: as `dwt2`; the shapes differ, or do not belong to `size`.

    >>> idwt2(dwt2(torch.zeros(3, 16, 15), "db2"), "db2", size=(16, 15)).shape
    torch.Size([3, 16, 15])
    """
    tensors = leaves(coefficients)
    if has_torch_function(tensors):
        return handle_torch_function(idwt2, tensors, coefficients, wavelet, mode, axes, size=size)
    if [len(leaves(entry)) for entry in coefficients] != [1, 3]:
        raise ValueError("coefficients must be (cA, (cH, cV, cD)) as dwt2 returns them")
    approximation, details = coefficients
    filters = resolve(wavelet)
    check_mode(mode)
    for band in tensors:
        check_floating(band)
    bands = {key: widened(band) for key, band in zip(("da", "ad", "dd"), details, strict=True)}
    x = widened(approximation)
    normal = normal_axes(x, two(axes))
    check_level(x, bands, mode, normal)
    lengths = (None, None) if size is None else ints(two(size, name="size"))
    return synthesis_step(x, bands, filters, mode, normal, lengths).to(approximation.dtype)


def detail_keys(dims: int) -> tuple[str, ...]:
    """Names of the details of a level in the order of `wavedec2`'s tuples: the first axis varies fastest.

    >>> detail_keys(2)
    ('da', 'ad', 'dd')
    """
    return tuple("".join(reversed(letters)) for letters in product("ad", repeat=dims))[1:]


def analysis_step(x: Tensor, filters: Filters, mode: str, axes: Sequence[int]) -> tuple[Tensor, Details]:
    """One level of checked arguments: the approximation and the details, of `axes` counted from the front."""
    shape = ints(x.shape)
    size = [shape[axis] for axis in axes]
    if _is_haar_image(filters, mode, x.ndim, axes, size):
        approximation, horizontal, vertical, diagonal = haar_step(x, (size[0], size[1]))
        return approximation, {"da": horizontal, "ad": vertical, "dd": diagonal}
    for axis in axes:
        x = analysis(x, filters, mode, axis)
    bands = {"": x}
    for axis in axes:
        bands = {
            key + letter: half
            for key, band in bands.items()
            for letter, half in zip("ad", halves(band, axis), strict=True)
        }
    return bands["a" * len(axes)], {key: bands[key] for key in detail_keys(len(axes))}


def synthesis_step(
    approximation: Tensor,
    details: Details,
    filters: Filters,
    mode: str,
    axes: Sequence[int],
    size: Sequence[int | None],
) -> Tensor:
    """Inverse of `analysis_step` to the lengths `size` of `axes`; `None` takes the longer one."""
    shape = ints(approximation.shape)
    counts = [shape[axis] for axis in axes]
    lengths = [2 * count if n is None else n for count, n in zip(counts, size, strict=True)]
    if _is_haar_image(filters, mode, approximation.ndim, axes, lengths) and counts == [(n + 1) // 2 for n in lengths]:
        horizontal, vertical, diagonal = details["da"], details["ad"], details["dd"]
        return haar_synthesis_step(approximation, horizontal, vertical, diagonal, (lengths[0], lengths[1]))
    bands = {"a" * len(axes): approximation, **details}
    for axis in reversed(axes):
        prefixes = dict.fromkeys(key[:-1] for key in bands)
        bands = {key: torch.cat((bands[key + "a"], bands[key + "d"]), axis) for key in prefixes}
    x = bands[""]
    for axis, length in zip(axes, size, strict=True):
        x = synthesis(x, filters, mode, axis, length)
    return x


def check_level(approximation: Tensor, details: Details, mode: str, axes: Sequence[int]) -> None:
    """Raise ValueError unless the bands of one level have the shapes and the dtype that belong together."""
    highest = details["d" * len(axes)]
    for key, band in details.items():
        expected = list(ints(approximation.shape))
        if mode == BOUNDARY:  # has fewer high coefficients of an odd length
            for axis, letter in zip(axes, key, strict=True):
                expected[axis] = highest.shape[axis] if letter == "d" else expected[axis]
        if list(ints(band.shape)) != expected or band.dtype != approximation.dtype:
            raise ValueError(
                f"detail {key} must be {approximation.dtype} of shape {tuple(expected)} to belong to the "
                f"approximation, got {band.dtype} of shape {tuple(band.shape)}"
            )


def _is_haar_image(filters: Filters, mode: str, ndim: int, axes: Sequence[int], size: Sequence[int]) -> bool:
    """Whether `haar.py` computes the level in two passes: the last two axes, odd ones repeated."""
    if not is_haar(filters) or tuple(axes) != (ndim - 2, ndim - 1) or mode == BOUNDARY:
        return False
    return mode in REPEATING or all(length % 2 == 0 for length in size)
