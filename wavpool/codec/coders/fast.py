"""The `fast` coder: asymmetric numeral systems (constriction) with a static model for each scale of magnitude.

Every value has a level, in half octaves of its expected magnitude: the tensor's level plus one of its row, one of its
column and one of its tap. Values of a level share a table of probabilities, shaped by four numbers. Levels and shapes
are stored in front of the values, by the same tables.

Stream: the tensor's level and those that code the three lists of levels (4 bytes), then the 32-bit words of
constriction's `AnsCoder`, little endian, without the zero bytes at the end.
"""

from collections.abc import Iterator
from importlib import import_module
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WvpError
from . import _shapes
from ._shapes import DEFAULT, SHAPES, Shaping

Integers = NDArray[np.int32]
Shape = tuple[int, int, int]
LEVELS = 64
UNIT_LEVEL = 12  # of an expected magnitude of 1
WIDE_LEVEL = 18  # from here on the lowest bits are coded as they are
WINDOW = 63  # larger magnitudes are escaped
SHAPE_LEVEL = 10  # codes the shapes
PIECE = 2**17  # values to decode at a time
SMOOTHING = 16  # values of average magnitude added to each row, column and tap before its level is measured


def encode(values: Integers, trellis: bool) -> bytes:
    """(rows, cols, taps) int32 to bytes; `trellis` makes no difference."""
    if not values.size:
        return b""
    stream = _constriction().stream
    coder = stream.stack.AnsCoder()
    base, sides = _fit(values)
    levels = _levels(base, sides)
    order = np.argsort(levels, kind="stable")
    counts = np.bincount(levels).tolist()
    ends = list(accumulate(counts))
    grouped = values.reshape(-1)[order]
    groups = [
        (level, grouped[end - count : end])
        for level, (end, count) in enumerate(zip(ends, counts, strict=True))
        if count
    ]
    shapes = [_shapes.fit(np.abs(group) >> _shift(level), _table_level(level)) for level, group in groups]
    for (level, group), shape in zip(reversed(groups), reversed(shapes), strict=True):
        _push(stream, coder, group, level, shape)
    _push(stream, coder, np.array(shapes, np.int32).reshape(-1), SHAPE_LEVEL, DEFAULT)
    side_levels = [_level(float(np.abs(side).mean())) for side in sides]
    for side, level in zip(reversed(sides), reversed(side_levels), strict=True):
        _push(stream, coder, side, level, DEFAULT)
    words: bytes = coder.get_compressed().astype("<u4").tobytes()
    return bytes([base, *side_levels]) + words.rstrip(b"\0")


def decode(data: bytes, shape: Shape, trellis: bool) -> Integers:
    """Inverse of `encode`."""
    values = np.zeros(shape, np.int32)
    if not values.size and not data:
        return values
    if not values.size or len(data) < 4 or max(data[:4]) >= LEVELS or (len(data) > 4 and data[-1] == 0):
        raise WvpError("a stream of the fast coder has no valid beginning or end: the file is damaged")
    stream = _constriction().stream
    words = np.frombuffer(data[4:] + bytes(-len(data) % 4), "<u4").astype(np.uint32)
    coder = stream.stack.AnsCoder(words)
    sides = [_pop_all(stream, coder, n, level, DEFAULT) for n, level in zip(shape, data[1:4], strict=True)]
    levels = _levels(data[0], [side.clip(-LEVELS, LEVELS) for side in sides])
    pieces = (levels[start : start + PIECE] for start in range(0, levels.size, PIECE))
    used = np.flatnonzero(sum(np.bincount(piece, minlength=LEVELS) for piece in pieces)).tolist()
    shapes = _pop_all(stream, coder, SHAPES * len(used), SHAPE_LEVEL, DEFAULT).reshape(-1, SHAPES).tolist()
    for level, shaping in zip(used, shapes, strict=True):
        _pop(stream, coder, values.reshape(-1), levels, level, tuple(shaping))
    if not coder.is_empty():
        raise WvpError("a stream does not end where its tensor does: the file is damaged")
    return values


def _constriction() -> Any:
    try:
        return import_module("constriction")
    except ImportError:
        raise ImportError("the fast coder needs constriction: pip install 'wavpool[codec]'") from None


def _level(mean: float) -> int:
    """Level of an expected magnitude; the encoder's choice, so floats will do."""
    return int(np.clip(np.rint(UNIT_LEVEL + 2 * np.log2(max(mean, 2.0**-20))), 0, LEVELS - 1))


def _fit(values: Integers) -> tuple[int, list[Integers]]:
    """The tensor's level, and the levels of rows, columns and taps relative to it, as if magnitudes were products."""
    sizes = np.abs(values.astype(np.float32))
    mean = max(float(sizes.mean(dtype=np.float64)), 2.0**-20)
    marginals = [sizes.sum(axes, dtype=np.float32) for axes in ((1, 2), (0, 2), (0, 1))]
    sides = []
    for marginal in marginals:
        each = values.size / marginal.size
        ratio = (marginal + SMOOTHING * mean) / ((each + SMOOTHING) * mean)
        sides.append(np.rint(2 * np.log2(ratio)).astype(np.int32))
    return _level(mean), sides


def _levels(base: int, sides: list[Integers]) -> NDArray[np.uint8]:
    """Level of every value, flat."""
    rows, cols, taps = (side.astype(np.int16) for side in sides)
    levels = base + rows[:, None, None] + cols[:, None] + taps
    return levels.clip(0, LEVELS - 1, out=levels).astype(np.uint8).reshape(-1)


def _shift(level: int) -> int:
    return max(0, (level - WIDE_LEVEL) // 2)


def _table_level(level: int) -> int:
    return level - 2 * _shift(level)


def _model(stream: Any, level: int, shape: Shaping) -> Any:
    return stream.model.Categorical(
        _shapes.probabilities(_table_level(level), shape, WINDOW), perfect=False, lazy=False
    )


def _push(stream: Any, coder: Any, values: Integers, level: int, shape: Shaping) -> None:
    """Code values of a level; the coder is a stack, so what is read first comes last."""
    uniform, shift = stream.model.Uniform, _shift(level)
    symbols = (values >> shift) + WINDOW
    escaped = (symbols < 0) | (symbols > 2 * WINDOW)
    if escaped.any():
        symbols[escaped] = 2 * WINDOW + 1
        for half in (values[escaped] & 0xFFFF, values[escaped] >> 16 & 0xFFFF):
            coder.encode_reverse(half.astype(np.int32), uniform(1 << 16))
    if shift:
        coder.encode_reverse((values & ((1 << shift) - 1)).astype(np.int32), uniform(1 << shift))
    coder.encode_reverse(symbols.astype(np.int32), _model(stream, level, shape))


def _pop(stream: Any, coder: Any, values: Integers, levels: NDArray[np.uint8], level: int, shape: Shaping) -> None:
    """Inverse of `_push`: put the values of a level where they belong, some at a time to save memory."""
    uniform, shift = stream.model.Uniform, _shift(level)
    model = _model(stream, level, shape)
    number = 0
    for part, here, count in _parts(values, levels, level):
        part[here] = symbols = coder.decode(model, count) - WINDOW
        number += int(np.count_nonzero(symbols > WINDOW))
    if shift:
        for part, here, count in _parts(values, levels, level):
            part[here] = part[here] << shift | coder.decode(uniform(1 << shift), count)
    if number:
        high = coder.decode(uniform(1 << 16), number)
        numbers = high << 16 | coder.decode(uniform(1 << 16), number)
        for part, here, _ in _parts(values, levels, level):
            here &= part >> shift > WINDOW
            escapes = int(np.count_nonzero(here))
            part[here], numbers = numbers[:escapes], numbers[escapes:]


def _parts(
    values: Integers, levels: NDArray[np.uint8], level: int
) -> Iterator[tuple[Integers, NDArray[np.bool_], int]]:
    """Pieces of the values, where they have a level, and how many of them do."""
    for start in range(0, values.size, PIECE):
        here = levels[start : start + PIECE] == level
        if count := int(np.count_nonzero(here)):
            yield values[start : start + PIECE], here, count


def _pop_all(stream: Any, coder: Any, count: int, level: int, shape: Shaping) -> Integers:
    """Values that are all of one level."""
    values = np.zeros(count, np.int32)
    _pop(stream, coder, values, np.full(count, level, np.uint8), level, shape)
    return values
