"""Which images make up the training, validation and test parts. All functions return indices in file order.

Permutations come from ``numpy.random.RandomState``, whose streams are frozen for good, so that a seed means the same
images under every later version.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from generators.data import Limit, check_sizes
from generators.errors import DataError

PAPER_SIZES: Limit = (10_000, 4_000, 4_000)
HELD_OUT = 5_000

Indices = np.ndarray[Any, np.dtype[np.int64]]


class Parts(NamedTuple):
    """Indices of the three parts. ``test`` counts within the official test split where ``official_test`` is true."""

    train: Indices
    validation: Indices
    test: Indices
    official_test: bool


def paper_parts(num_train: int, limit: Limit | None = None) -> Parts:
    """The split of arXiv 2306.08734: consecutive runs of the official training split, in file order.

    The sizes are 10,000 / 4,000 / 4,000. With a ``limit`` the runs are shorter but still consecutive, as in the paper's
    hyper-parameter search: 4,000 / 2,000 / 2,000 are the images 0-3,999, 4,000-5,999 and 6,000-7,999.
    """
    sizes = limit or PAPER_SIZES
    check_sizes(sizes, PAPER_SIZES, "the paper's split")
    if sum(sizes) > num_train:
        raise DataError(f"the split takes {sum(sizes):,} training images, but there are {num_train:,}; lower the limit")
    first, second, third = (int(end) for end in np.cumsum(sizes))
    return Parts(np.arange(first), np.arange(first, second), np.arange(second, third), official_test=False)


def official_parts(
    num_train: int,
    num_test: int,
    limit: Limit | None = None,
    seed: int = 0,
    held_out: int = HELD_OUT,
    whole: bool = False,
) -> Parts:
    """The official splits, with ``held_out`` training images, drawn with ``seed``, set apart for validation.

    With ``whole`` they stay among the training images too: for a final training, whose settings were chosen before.
    A ``limit`` keeps the first images of each part, in file order.
    """
    order = np.random.RandomState(seed).permutation(num_train)
    train, validation = np.sort(order[0 if whole else held_out :]), np.sort(order[:held_out])
    sizes = (len(train), len(validation), num_test)
    if limit is not None:
        check_sizes(limit, sizes, "the official split")
        sizes = limit
    return Parts(train[: sizes[0]], validation[: sizes[1]], np.arange(sizes[2]), official_test=True)


def stratified_parts(labels: Indices, sizes: Limit, limit: Limit | None = None, seed: int = 0) -> Parts:
    """Three random parts of the given sizes in which every class has its share. A ``limit`` keeps the first of each."""
    from sklearn.model_selection import train_test_split

    everything = np.arange(len(labels))
    rest, test = train_test_split(everything, test_size=sizes[2], stratify=labels, random_state=seed)
    train, validation = train_test_split(rest, test_size=sizes[1], stratify=labels[rest], random_state=seed)
    if limit is not None:
        check_sizes(limit, sizes, "the split")
        sizes = limit
    return Parts(train[: sizes[0]], validation[: sizes[1]], test[: sizes[2]], official_test=False)
