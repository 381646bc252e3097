"""Several Haar levels of images in one Triton kernel, and their adjoint (the inverse) in another.

Every program takes some blocks of `2**LEVELS` rows and `WIDTH` columns, 16 bytes a thread and row, and keeps all that
lies between pixels and coefficients in registers: each pixel is read once, each coefficient written once. Sums down the
columns stay inside a thread, sums along a row too until a thread has one coefficient left. The rows of up to `AHEAD`
levels are read before the first result is written, so that enough reads are under way at a time.

A block is computed as a tree: one row of a level is made of two rows of the next finer one, down to the pixels. Triton
compiles the recursion once a level and inlines it.
"""
# Kernels are in Triton's language, whose types are not Python's.
# ruff: noqa: RET505 - Triton compiles what follows a return: only an `else` leaves it out
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls

import math
from collections.abc import Iterator
from typing import Any

import torch
import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]
from torch import Tensor

AHEAD = tl.constexpr(3)
DEEPEST = 5  # levels in a launch: deeper trees have too few threads, and the image is small by then
WARPS = 4


@triton.jit
def _blocks(count, block_rows, columns, BLOCKS: tl.constexpr):
    """Which of this program's blocks exist, their images, and their places: row and column, and how many there are."""
    block = tl.program_id(0).to(count.dtype) * BLOCKS + tl.arange(0, BLOCKS)[:, None]
    row = block // columns
    place = (row % block_rows).to(tl.int32), (block % columns).to(tl.int32), block_rows, columns
    return block < count, (row // block_rows).to(tl.int64), place


@triton.jit
def _at(
    image,
    place,
    BAND: tl.constexpr,
    LEVEL: tl.constexpr,
    ROW: tl.constexpr,
    LEVELS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Pointers to row `ROW` of every block, `(BLOCKS, WIDTH / 2**LEVEL)`, in one band of a level.

    Bands lie so that those of a level begin where a whole approximation of that level would end.
    """
    row, column, block_rows, columns = place
    rows_before = (BAND * block_rows + row) * 2 ** (LEVELS - LEVEL) + ROW
    width: tl.constexpr = WIDTH // 2**LEVEL
    return image + rows_before * (columns * width) + column * width + tl.arange(0, width)[None, :]


@triton.jit
def _widened(x):
    if x.dtype == tl.float64:
        return x
    else:
        return x.to(tl.float32)


@triton.jit
def _pixels(x, place, live, LEVEL: tl.constexpr, ROW: tl.constexpr, LEVELS: tl.constexpr, WIDTH: tl.constexpr):
    """Rows of pixels under row `ROW` of a level, as a tree of pairs."""
    if LEVEL == 0:
        return tl.load(_at(x, place, 0, 0, ROW, LEVELS, WIDTH), live)
    else:
        top = _pixels(x, place, live, LEVEL - 1, 2 * ROW, LEVELS, WIDTH)
        bottom = _pixels(x, place, live, LEVEL - 1, 2 * ROW + 1, LEVELS, WIDTH)
        return top, bottom


@triton.jit
def _step(
    top,
    bottom,
    packed,
    place,
    live,
    LEVEL: tl.constexpr,
    ROW: tl.constexpr,
    LEVELS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Two rows to one of the next level, whose details are written."""
    pairs: tl.constexpr = (top.shape[0], WIDTH // 2**LEVEL, 2)
    low_even, low_odd = tl.split(tl.reshape(top * 0.5 + bottom * 0.5, pairs))
    high_even, high_odd = tl.split(tl.reshape(top * 0.5 - bottom * 0.5, pairs))
    tl.store(_at(packed, place, 1, LEVEL, ROW, LEVELS, WIDTH), high_even + high_odd, live)
    tl.store(_at(packed, place, 2, LEVEL, ROW, LEVELS, WIDTH), low_even - low_odd, live)
    tl.store(_at(packed, place, 3, LEVEL, ROW, LEVELS, WIDTH), high_even - high_odd, live)
    return low_even + low_odd


@triton.jit
def _reduce(
    pixels, packed, place, live, LEVEL: tl.constexpr, ROW: tl.constexpr, LEVELS: tl.constexpr, WIDTH: tl.constexpr
):
    """Row `ROW` of a level's approximation from its tree of pixels."""
    if LEVEL == 0:
        return _widened(pixels)
    else:
        top = _reduce(pixels[0], packed, place, live, LEVEL - 1, 2 * ROW, LEVELS, WIDTH)
        bottom = _reduce(pixels[1], packed, place, live, LEVEL - 1, 2 * ROW + 1, LEVELS, WIDTH)
        return _step(top, bottom, packed, place, live, LEVEL, ROW, LEVELS, WIDTH)


@triton.jit
def _approximation(
    x, packed, place, live, LEVEL: tl.constexpr, ROW: tl.constexpr, LEVELS: tl.constexpr, WIDTH: tl.constexpr
):
    """Row `ROW` of a level's approximation; reads `AHEAD` levels at a time."""
    if LEVEL <= AHEAD:
        pixels = _pixels(x, place, live, LEVEL, ROW, LEVELS, WIDTH)
        return _reduce(pixels, packed, place, live, LEVEL, ROW, LEVELS, WIDTH)
    else:
        top = _approximation(x, packed, place, live, LEVEL - 1, 2 * ROW, LEVELS, WIDTH)
        bottom = _approximation(x, packed, place, live, LEVEL - 1, 2 * ROW + 1, LEVELS, WIDTH)
        return _step(top, bottom, packed, place, live, LEVEL, ROW, LEVELS, WIDTH)


@triton.jit(do_not_specialize=["count", "block_rows", "columns"])
def analysis_kernel(
    x,
    approximation,
    packed,
    pixels,
    coarse,
    coefficients,
    count,
    block_rows,
    columns,
    LEVELS: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    """Images `x` to `approximation` and the details in `packed`; then samples of an image in each of the three."""
    live, image, place = _blocks(count, block_rows, columns, BLOCKS)
    low = _approximation(x + image * pixels, packed + image * coefficients, place, live, LEVELS, 0, LEVELS, WIDTH)
    tl.store(_at(approximation + image * coarse, place, 0, LEVELS, 0, LEVELS, WIDTH), low, live)


@triton.jit
def _bands(packed, place, live, LEVEL: tl.constexpr, ROW: tl.constexpr, LEVELS: tl.constexpr, WIDTH: tl.constexpr):
    """The three details of a row."""
    horizontal = tl.load(_at(packed, place, 1, LEVEL, ROW, LEVELS, WIDTH), live)
    vertical = tl.load(_at(packed, place, 2, LEVEL, ROW, LEVELS, WIDTH), live)
    diagonal = tl.load(_at(packed, place, 3, LEVEL, ROW, LEVELS, WIDTH), live)
    return horizontal, vertical, diagonal


@triton.jit
def _details(packed, place, live, LEVEL: tl.constexpr, ROW: tl.constexpr, LEVELS: tl.constexpr, WIDTH: tl.constexpr):
    """All details from row `ROW` of a level down to the pixels, as a tree."""
    own = _bands(packed, place, live, LEVEL, ROW, LEVELS, WIDTH)
    if LEVEL == 1:
        return (own,)
    else:
        top = _details(packed, place, live, LEVEL - 1, 2 * ROW, LEVELS, WIDTH)
        bottom = _details(packed, place, live, LEVEL - 1, 2 * ROW + 1, LEVELS, WIDTH)
        return own, top, bottom


@triton.jit
def _inverse_step(low, bands):
    """A row and its details to the two rows of the next finer level."""
    a, h, v, d = low * 0.5, _widened(bands[0]) * 0.5, _widened(bands[1]) * 0.5, _widened(bands[2]) * 0.5
    finer: tl.constexpr = (low.shape[0], 2 * low.shape[1])
    lows = tl.reshape(tl.join(a + v, a - v), finer)
    highs = tl.reshape(tl.join(h + d, h - d), finer)
    return lows + highs, lows - highs


@triton.jit
def _expand(
    low, details, x, place, live, LEVEL: tl.constexpr, ROW: tl.constexpr, LEVELS: tl.constexpr, WIDTH: tl.constexpr
):
    """Write the pixels under row `ROW` of a level from that row and its tree of details."""
    top, bottom = _inverse_step(low, details[0])
    if LEVEL == 1:
        tl.store(_at(x, place, 0, 0, 2 * ROW, LEVELS, WIDTH), top, live)
        tl.store(_at(x, place, 0, 0, 2 * ROW + 1, LEVELS, WIDTH), bottom, live)
    else:
        _expand(top, details[1], x, place, live, LEVEL - 1, 2 * ROW, LEVELS, WIDTH)
        _expand(bottom, details[2], x, place, live, LEVEL - 1, 2 * ROW + 1, LEVELS, WIDTH)


@triton.jit
def _image(
    low, packed, x, place, live, LEVEL: tl.constexpr, ROW: tl.constexpr, LEVELS: tl.constexpr, WIDTH: tl.constexpr
):
    """As `_expand`, reading `AHEAD` levels at a time."""
    if LEVEL <= AHEAD:
        details = _details(packed, place, live, LEVEL, ROW, LEVELS, WIDTH)
        _expand(low, details, x, place, live, LEVEL, ROW, LEVELS, WIDTH)
    else:
        top, bottom = _inverse_step(low, _bands(packed, place, live, LEVEL, ROW, LEVELS, WIDTH))
        _image(top, packed, x, place, live, LEVEL - 1, 2 * ROW, LEVELS, WIDTH)
        _image(bottom, packed, x, place, live, LEVEL - 1, 2 * ROW + 1, LEVELS, WIDTH)


@triton.jit(do_not_specialize=["count", "block_rows", "columns"])
def adjoint_kernel(
    x,
    approximation,
    packed,
    pixels,
    coarse,
    coefficients,
    count,
    block_rows,
    columns,
    LEVELS: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    """`approximation` and the details in `packed` to images `x`; arguments as `analysis_kernel`'s."""
    live, image, place = _blocks(count, block_rows, columns, BLOCKS)
    low = tl.load(_at(approximation + image * coarse, place, 0, LEVELS, 0, LEVELS, WIDTH), live)
    _image(_widened(low), packed + image * coefficients, x + image * pixels, place, live, LEVELS, 0, LEVELS, WIDTH)


def analysis(x: Tensor, level: int) -> Tensor:
    """All `level >= 1` Haar levels of images for which `cuda.supports` holds.

    Args:
        x: `(..., H, W)`, float16, bfloat16, float32 or float64; half precisions are summed in float32.

    Returns:
        `(..., H W)`: the bands one after the other, `[A, coarsest (H, V, D), ..., finest (H, V, D)]`.
    """
    packed = x.new_empty((*x.shape[:-2], x.shape[-2] * x.shape[-1]))
    for stage in _stages(x.contiguous(), packed, level):
        _launch(analysis_kernel, *stage, packed)
    return packed


def adjoint(packed: Tensor, size: tuple[int, int], level: int) -> Tensor:
    """Adjoint of `analysis` and, being orthonormal, its inverse: `(..., H W)` to `(..., H, W)` with `size = (H, W)`."""
    x, packed = packed.new_empty((*packed.shape[:-1], *size)), packed.contiguous()
    for stage in reversed(_stages(x, packed, level)):
        _launch(adjoint_kernel, *stage, packed)
    return x


def _stages(x: Tensor, packed: Tensor, level: int) -> list[tuple[Tensor, Tensor, tuple[int, int], int]]:
    """Images, their approximation, their size and the levels between, of every launch, finest first.

    An approximation between two launches has the precision of the computation.
    """
    height, width = x.shape[-2:]
    images = math.prod(x.shape[:-2])
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    stages = []
    for levels in _shares(level):
        level -= levels
        size, height, width = (height, width), height >> levels, width >> levels
        coarse = x.new_empty((images, height * width), dtype=dtype) if level else packed
        stages.append((x, coarse, size, levels))
        x = coarse
    return stages


def _shares(level: int) -> Iterator[int]:
    """The levels of every launch: as few launches as can be, as even as can be."""
    launches = -(-level // DEEPEST)
    return (level // launches + (number < level % launches) for number in range(launches))


def block_shape(width: int, levels: int, itemsize: int) -> tuple[int, int]:
    """Columns of a block, as many as make a coefficient and 16 bytes where the width allows, and blocks of a program.

    >>> block_shape(512, 3, 4), block_shape(36, 1, 2)
    ((8, 64), (4, 128))
    """
    lanes = 16 // itemsize
    columns = min(max(2**levels, lanes), width & -width)
    return columns, 32 * WARPS * min(columns, lanes) // columns


def _launch(kernel: Any, x: Tensor, approximation: Tensor, size: tuple[int, int], levels: int, packed: Tensor) -> None:
    height, width = size
    block, blocks = block_shape(width, levels, x.element_size())
    count = x.numel() // (block << levels)
    if count == 0:
        return
    with torch.cuda.device_of(x):
        kernel[(-(-count // blocks),)](
            x,
            approximation,
            packed,
            height * width,
            approximation.shape[-1],
            packed.shape[-1],
            count,
            height >> levels,
            width // block,
            LEVELS=levels,
            WIDTH=block,
            BLOCKS=blocks,
            num_warps=WARPS,
            enable_fp_fusion=True,
        )
