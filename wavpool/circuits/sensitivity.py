"""How much a network's accuracy minds when the same number is added to its int8 weights."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from .. import files
from ..errors import UserError
from ..evaluation.batches import Batch
from ..evaluation.metrics import as_row, evaluate, predict
from .quantized import convolutions_of, weights_of, with_weights
from .selection import Positions, core, every, ring

PARTS = ("inner", "outter", "all")


def sensitivity(
    model: nn.Module,
    batches: Iterable[Batch],
    offsets: Sequence[int],
    *,
    part: str = "all",
    layers: Sequence[str] = (),
    output: str | Path | None = None,
    tell: Callable[[int, int], Any] | None = None,
) -> list[dict[str, Any]]:
    """Add every offset in turn, and measure.

    Args:
        model: a quantised network.
        batches: labelled data to measure on.
        offsets: what to add; sums beyond int8 stay at its ends.
        part: of kernels: their core of 3 x 3 ("inner"), what surrounds it ("outter", the ancestor's word), or "all".
        layers: convolutions; all by default.
        output: CSV file to write.
        tell: is told how many offsets of how many are done.

    Returns:
        A row an offset: accuracy, top-5, loss and drop, with 95 % intervals.

    Raises:
        UserError: a part or layer that is not there.
    """
    if part not in PARTS:
        raise UserError(f"part must be one of {', '.join(PARTS)}, got {part!r}")
    weights = weights_of(model)
    chosen = list(layers) or convolutions_of(model)
    if unknown := [name for name in chosen if name not in weights]:
        raise UserError(f"there is no int8 layer {unknown[0]!r}: choose of {', '.join(weights)}")
    places = {name: _positions(name, weights[name].shape, part) for name in chosen}
    original, rows = predict(model, batches), []
    for number, offset in enumerate(offsets, 1):
        changed = {}
        for name, positions in places.items():
            values = weights[name].astype(np.int64).reshape(-1)
            values[positions] += offset
            changed[name] = values.clip(-128, 127).astype(np.int8).reshape(weights[name].shape)
        rows.append({
            "part": part, "offset": offset,
            **as_row(evaluate(predict(with_weights(model, changed), batches), original)),
        })  # fmt: skip
        if tell is not None:
            tell(number, len(offsets))
    if output is not None:
        files.write_csv(output, rows)
    return rows


def _positions(name: str, shape: Sequence[int], part: str) -> Positions:
    if part == "all":
        return every(name, shape).positions
    return (core if part == "inner" else ring)(name, shape, 3).positions
