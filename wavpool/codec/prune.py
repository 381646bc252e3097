"""Which coefficients to keep: by size, by share, or at random, each counted exactly.

Methods are compared at equal numbers of stored non-zeros, so everything but a threshold takes the number to keep.
Arrays may be weights or coefficients of any basis and any shape; a mask is true where an element is kept.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def hard(coefficients: Array, threshold: float) -> Array:
    """Zero what is smaller than `threshold` in size, keep the rest.

    >>> hard(np.array([-2.0, -1.0, 0.5]), 1.0)
    array([-2., -1.,  0.])
    """
    return np.where(np.abs(coefficients) >= threshold, coefficients, 0.0)


def soft(coefficients: Array, threshold: float) -> Array:
    """Move everything towards zero by `threshold`, at most to zero.

    >>> soft(np.array([-2.0, -1.0, 0.5]), 0.75)
    array([-1.25, -0.25,  0.  ])
    """
    return np.copysign(np.maximum(np.abs(coefficients) - threshold, 0.0), coefficients) + 0.0


def kept(size: int, share: float) -> int:
    """How many of `size` elements stay when a share, 0 to 1, is pruned.

    Raises:
        ValueError: `share` is not 0 to 1; a percentage must be divided by 100.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the share to prune is a number from 0 to 1, got {share}")
    return size - round(share * size)


def largest(coefficients: Array, count: int) -> Mask:
    """Keep the `count` elements that are largest in size; of equal ones, the first.

    Raises:
        ValueError: a count that is negative or beyond the number of elements, or NaN among the elements.

    >>> largest(np.array([3.0, -1.0, 1.0, 1.0]), 2)
    array([ True,  True, False, False])
    """
    return largest_of({"": coefficients}, count)[""]


def largest_of(layers: Mapping[str, Array], count: int) -> dict[str, Mask]:
    """Keep the `count` elements that are largest in size over all layers; of equal ones, the first."""
    sizes = np.concatenate([np.abs(layer).reshape(-1) for layer in layers.values()] or [np.zeros(0)])
    _check_count(count, len(sizes))
    if np.isnan(sizes).any():
        raise ValueError("elements to prune must not be NaN")
    mask = np.zeros(len(sizes), dtype=np.bool_)
    if count:
        smallest = np.partition(sizes, len(sizes) - count)[len(sizes) - count]
        mask = sizes > smallest
        mask[np.flatnonzero(sizes == smallest)[: count - int(mask.sum())]] = True
    return _split(mask, layers)


def random(coefficients: Array, count: int, seed: int) -> Mask:
    """Keep `count` elements at random; errors as `largest`."""
    return random_of({"": coefficients}, count, seed)[""]


def random_of(layers: Mapping[str, Array], count: int, seed: int) -> dict[str, Mask]:
    """Keep `count` elements at random, all elements of all layers alike."""
    total = sum(layer.size for layer in layers.values())
    _check_count(count, total)
    mask = np.zeros(total, dtype=np.bool_)
    mask[np.random.default_rng(seed).permutation(total)[:count]] = True
    return _split(mask, layers)


def _check_count(count: int, total: int) -> None:
    if not 0 <= count <= total:
        raise ValueError(f"the number of elements to keep must be 0 to {total}, got {count}")


def _split(mask: Mask, layers: Mapping[str, Array]) -> dict[str, Mask]:
    parts = np.split(mask, np.cumsum([layer.size for layer in layers.values()])[:-1])
    return {name: part.reshape(layer.shape) for (name, layer), part in zip(layers.items(), parts, strict=False)}
