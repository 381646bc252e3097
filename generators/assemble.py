"""Two arrays of images, the official training and test splits, as a data set in three parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from generators.data import Data, Options, to_split
from generators.splits import HELD_OUT, official_parts, paper_parts

Pair = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


def assemble(
    name: str,
    train: Pair,
    read_test: Callable[[], Pair],
    class_names: tuple[str, ...],
    source: str,
    options: Options,
    held_out: int = HELD_OUT,
) -> Data:
    """Choose the parts by ``options.split``.

    Args:
        name: of the data set.
        train: images ``(N, C, H, W)`` uint8 and labels ``(N,)``.
        read_test: reads the same of the test split; called only where the split needs it.
        class_names: in the order of the labels.
        source: where the files are.
        options: the split, colour, limits and seed.
        held_out: the validation part of the official split.
    """
    images, labels = train
    test_images, test_labels = train
    if options.split == "paper":
        parts = paper_parts(len(images), options.limit)
    else:
        test_images, test_labels = read_test()
        whole = options.split == "whole"
        parts = official_parts(len(images), len(test_images), options.limit, options.seed, held_out, whole)
    return Data(
        name=name,
        train=to_split(images[parts.train], labels[parts.train], options.color),
        validation=to_split(images[parts.validation], labels[parts.validation], options.color),
        test=to_split(test_images[parts.test], test_labels[parts.test], options.color),
        class_names=class_names,
        source=source,
        options=options,
    )
