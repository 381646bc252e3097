"""What is read off measured points of (bytes, quality), for ours and the rival alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from wavpool.evaluation.metrics import Predictions, divergence, paired_drop, wilson


def quality(predictions: Predictions, original: Predictions) -> dict[str, float]:
    """Figures of a compressed network against the original, on labelled data.

    Returns:
        ``accuracy`` and ``agreement`` with the original in percent, ``drop`` in points of accuracy with the ends
        ``drop_low`` and ``drop_high`` of its paired 95 % interval, ``kl`` = KL(original || compressed) in nats.
    """
    assert predictions.labels is not None
    right, before = (each.classes == predictions.labels for each in (predictions, original))
    drop = paired_drop(before, right)
    figures = {
        "accuracy": 100 * wilson(int(right.sum()), len(right)).value,
        "drop": drop.value,
        "drop_low": drop.low,
        "drop_high": drop.high,
        "kl": float(divergence(original.logits, predictions.logits).mean()),
        "agreement": 100 * float((predictions.classes == original.classes).double().mean()),
    }
    return {name: round(value, 5) for name, value in figures.items()}


def smallest_within(points: Sequence[tuple[int, float]], max_drop: float) -> int | None:
    """The fewest bytes of the points (bytes, drop) whose drop is within ``max_drop``; None where none is."""
    return min((size for size, drop in points if drop <= max_drop), default=None)


def bytes_at(points: Sequence[tuple[int, float]], kl: float) -> float | None:
    """Bytes at a divergence, interpolated between the two points (bytes, KL) around it, both in logarithms.

    None where no two points lie around it.
    """
    for (large, low), (small, high) in pairwise(sorted(points, reverse=True)):
        if low <= kl < high:
            share = math.log(kl / low) / math.log(high / low)
            return math.exp((1 - share) * math.log(large) + share * math.log(small))
    return None
