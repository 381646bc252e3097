"""The `small` coder: context mixing, see `_mixing`.

Stream: one byte, 1 + the level of the mean magnitude in quarter octaves, plus 128 if signs are predicted from the
neighbours' (0: all values are zero, and there is no more), then the bytes of the arithmetic coder.
"""

import math
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WvpError
from . import _tables

Integers = NDArray[np.int32]
Shape = tuple[int, int, int]
HEADERS = 80  # of means, x 256: 1 ... 2^19.75
PRIOR_COUNT = 3  # how many values the initial probabilities are worth
PRIOR_WEIGHT = 5600  # of a slot, x 65536
CORRELATED = 0.04  # signs are predicted from here on


def encode(values: Integers, trellis: bool) -> bytes:
    """(rows, cols, taps) int32 to bytes."""
    if not values.any():
        return b"\0" if values.size else b""
    sizes = np.abs(values.astype(np.int64))
    mean = int(sizes.sum()) * 256 // values.size
    header = min(range(1, HEADERS + 1), key=lambda level: abs(_mean(level) - mean))
    signs = _correlated(values)
    room = 64 + 2 * values.size
    while True:
        data = np.empty(room, np.uint8)
        coder, size = _run(values.copy(), data, False, trellis, signs, header)
        if size <= room:
            return bytes([header + 128 * signs]) + data[:size].tobytes() + _tail(*coder[:2])
        room = size


def decode(data: bytes, shape: Shape, trellis: bool) -> Integers:
    """Inverse of `encode`."""
    values = np.zeros(shape, np.int32)
    if not values.size and not data:
        return values
    header, signs = (data[0] & 127, data[0] > 127) if data else (0, False)
    if not values.size or header > HEADERS or (header == 0 and data != b"\0"):
        raise WvpError("a stream of the small coder begins with what no tensor has: the file is damaged")
    if header:
        body = np.frombuffer(data, np.uint8)[1:].copy()
        coder, size = _run(values, body, True, trellis, signs, header)
        if size - 6 > body.size or body[size - 6 :].tobytes() != _tail(*coder[:2]):
            raise WvpError("a stream of the small coder does not end where its tensor does: the file is damaged")
    return values


def _run(
    values: Integers, data: NDArray[np.uint8], decode: bool, trellis: bool, signs: bool, header: int
) -> tuple[list[int], int]:
    """(registers of the arithmetic coder, bytes) after coding."""
    kernel: Any = import_module("._mixing", __package__)
    _, cols, taps = values.shape
    mean = _mean(header)
    model = _model(kernel, trellis)
    if decode:
        model.coder[kernel.CODE] = int.from_bytes(data[:6].tobytes().ljust(6, b"\0"), "big")
        model.coder[kernel.POSITION] = 6
    field = kernel.Field(
        cols=np.full(cols * taps, mean, np.int64),
        chans=np.full(cols, mean, np.int64),
        taps=np.full(taps, mean, np.int64),
        means=np.array([mean, mean, mean, 256]),
        lines=np.zeros((2, 2 * taps + 1 + cols * taps), np.int64),
    )
    side = math.isqrt(taps)
    width = side if side * side == taps else taps  # a kernel is taken for square if it can be
    size = kernel.run(values, width, data, decode, trellis, signs, model, field)
    return model.coder.tolist(), int(size)


def _mean(header: int) -> int:
    """Mean magnitude x 256 of a header."""
    octave, quarter = divmod(header - 1, 4)
    return ((16, 19, 23, 27)[quarter] << octave) >> 4


def _correlated(values: Integers) -> bool:
    """Whether neighbours tell something of each other's signs: in a kernel, a row or a column."""
    clipped = np.clip(values, -255, 255).astype(np.float32)
    taps = values.shape[2]
    side = math.isqrt(taps)
    pairs = [(clipped[1:], clipped[:-1]), (clipped[:, 1:], clipped[:, :-1]), (clipped[:, :, 1:], clipped[:, :, :-1])]
    if side * side == taps:
        pairs.append((clipped[:, :, side:], clipped[:, :, :-side]))
    power = float(np.vdot(clipped, clipped))
    threshold = max(CORRELATED, 3 / math.sqrt(values.size))
    return any(abs(float(np.vdot(a, b))) > threshold * power for a, b in pairs)


def _tail(low: int, high: int) -> bytes:
    """The fewest bytes that name a number between the registers, of 48 bits."""
    count = next(n for n in range(7) if -(-low >> (48 - 8 * n)) << (48 - 8 * n) <= high)
    return (-(-low >> (48 - 8 * count))).to_bytes(count, "big")


def _model(kernel: Any, trellis: bool) -> Any:
    """A model that has seen nothing."""
    slots, kinds = kernel.SLOTS, kernel.KINDS
    knots = np.minimum(np.arange(kernel.STEPS + 1) * 4096 // kernel.STEPS, 4095)
    return kernel.Model(
        probs=np.tile(_probabilities(), 1 + trellis),
        weights=np.full(kinds * slots, PRIOR_WEIGHT, np.int64),
        last=np.tile(kernel.SQUASH[knots].astype(np.int64), kernel.DETAILS * kinds),
        plain=np.full(64, 1 << 15, np.int64),
        filter=np.zeros(kernel.NEIGHBOURS, np.int64),
        coder=np.array([0, kernel.MASK, 0, 0], np.int64),
        ctx=np.zeros(slots, np.int64),
        logits=np.zeros(slots, np.int64),
        near=np.zeros(kernel.NEIGHBOURS, np.int64),
    )


@cache
def _probabilities() -> Integers:
    """(slots * contexts * kinds,) what each slot holds at first: by the level that its context stands for."""
    kernel: Any = import_module("._mixing", __package__)
    ctx = np.arange(kernel.CONTEXTS)
    low, high, half, pair = 2 * (ctx & 31) + 1, 2 * (ctx >> 5) + 1, 2 * (ctx >> 4) + 1, (ctx >> 5) + (ctx & 31) + 1
    # In quarter octaves; the last slot knows a ratio of magnitudes only.
    levels = [ctx, half, low, 4 * (ctx & 15) + 2, low, half, high, half, pair, pair, pair, 8 + (ctx & 31)]
    priors = _tables.priors()[np.minimum(np.stack(levels), 70)]  # (slots, contexts, 2)
    probs = np.repeat(priors[:, :, 1:], kernel.KINDS, axis=2)
    probs[:, :, 0] = priors[:, :, 0]
    probs[:, :, kernel.SIGN] = 1 << 21
    return (probs << 8 | PRIOR_COUNT).astype(np.int32).reshape(-1)
