"""The data sets of the comparison: whole in memory as uint8, turned into float batches without per-image Python work.

    >>> from generators import BatchLoader, load_data
    >>> data = load_data("digits")
    >>> len(data.train), len(data.validation), len(data.test), data.in_chans, data.img_size
    (1197, 300, 300, 1, 8)
    >>> mean, std = data.train.mean_std()
    >>> loader = BatchLoader(data.train, batch_size=128, shuffle=True, mean=mean, std=std)

=================  ==========================================  ========================  ===========================
name               images                                      split="paper"             split="official"
=================  ==========================================  ========================  ===========================
``digits``         1,797 of 8x8 gray, in scikit-learn          1,197 / 300 / 300         the same
``mnist``          60,000 + 10,000 of 28x28 gray               10,000 / 4,000 / 4,000    55,000 / 5,000 / 10,000
``fashion_mnist``  60,000 + 10,000 of 28x28 gray               10,000 / 4,000 / 4,000    55,000 / 5,000 / 10,000
``cifar10``        50,000 + 10,000 of 32x32 colour             10,000 / 4,000 / 4,000    45,000 / 5,000 / 10,000
``cifar100``       50,000 + 10,000 of 32x32 colour             10,000 / 4,000 / 4,000    45,000 / 5,000 / 10,000
``svhn``           73,257 + 26,032 of 32x32 colour             10,000 / 4,000 / 4,000    68,257 / 5,000 / 26,032
=================  ==========================================  ========================  ===========================

The paper's split is consecutive runs of the official training split in file order; the official one holds out 5,000
training images, drawn with a seed, for validation. split="whole" is the official one but trains on the held-out images
too: for a final training, after all choices were made on split="official". Files are the official ones, checked by
digest each time they are read: see :mod:`generators.files` for where they are looked for, :mod:`generators.download`
for how they are fetched.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from generators import (
    cifar100_generator,
    cifar_generator,
    digits_generator,
    fashion_mnist_generator,
    mnist_generator,
    svhn_generator,
)
from generators.augment import AUGMENTS, Augment
from generators.batches import BatchLoader
from generators.data import COLORS, SPLITS, Data, Limit, Options, Split
from generators.errors import DataError, UserError

__all__ = [
    "AUGMENTS",
    "COLORS",
    "DATASETS",
    "SPLITS",
    "Augment",
    "BatchLoader",
    "Data",
    "DataError",
    "Options",
    "Split",
    "UserError",
    "load_data",
]

_LOADERS: dict[str, Callable[[Options], Data]] = {
    "digits": digits_generator.load,
    "mnist": mnist_generator.load,
    "fashion_mnist": fashion_mnist_generator.load,
    "cifar10": cifar_generator.load,
    "cifar100": cifar100_generator.load,
    "svhn": svhn_generator.load,
}
DATASETS = tuple(_LOADERS)


def load_data(
    name: str,
    split: str = "paper",
    color: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = True,
    limit: Limit | None = None,
    seed: int = 0,
) -> Data:
    """Load a data set into memory.

    Args:
        name: one of :data:`DATASETS`.
        split: "paper", "official" or "whole"; see the table above.
        color: "gray" (ITU-R 601, equal to Pillow's "L"), "rgb" (gray is repeated) or None for the data set's own.
        data_dir: a folder to search before those of ``$WAVPOOL_DATA`` and the cache.
        download: fetch what no folder has, into the cache.
        limit: sizes (train, validation, test) to cut the parts to. The paper's split stays consecutive: with
            (4000, 2000, 2000), its hyper-parameter search, the parts are the images 0-3,999, 4,000-5,999, 6,000-7,999.
            Otherwise the first images of each part are kept.
        seed: seed of the held-out part of the official split, and of the split of the digits. Leave it alone across the
            trials of an experiment: it is part of the data, not of the training.

    Raises:
        DataError: an unknown name or option, data that is absent, incomplete, truncated or altered, a limit too large.
    """
    if name not in _LOADERS:
        raise DataError(f"no data set is called {name!r}; choose one of {', '.join(DATASETS)}")
    return _LOADERS[name](Options(split, color, data_dir, download, limit, seed))
