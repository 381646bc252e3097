"""Digits: 1,797 handwritten digits, 8x8 gray, that come with scikit-learn (Alpaydin, Kaynak 1998; UCI). No download.

Both splits are the same here: 1,197 / 300 / 300 images drawn at random with a seed, each class with its share. (The
paper has no split of this set, and writers come in runs in the file, so file order would not be a fair one.)
"""

from __future__ import annotations

import numpy as np

from generators.data import Data, Limit, Options, to_split
from generators.errors import DataError
from generators.splits import stratified_parts

CLASS_NAMES = tuple(str(digit) for digit in range(10))
SIZES: Limit = (1_197, 300, 300)
LEVELS = 16


def load(options: Options) -> Data:
    """Load the digits; see :func:`generators.load_data`.

    Values 0..16 become round(255 v / 16), half up: 0 stays 0, 16 becomes 255, and the 17 levels stay apart.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError('the digits come with scikit-learn: pip install "wavpool[experiments]"') from error
    bunch = load_digits()
    values, labels = bunch.images.astype(np.int64), bunch.target.astype(np.int64)
    if values.shape != (sum(SIZES), 8, 8) or values.min() != 0 or values.max() != LEVELS:
        raise DataError(f"scikit-learn's digits are not the known 1,797 images ({values.shape}); reinstall it")
    images = ((values * 255 + LEVELS // 2) // LEVELS).astype(np.uint8)[:, None]
    parts = stratified_parts(labels, SIZES, options.limit, options.seed)
    return Data(
        name="digits",
        train=to_split(images[parts.train], labels[parts.train], options.color),
        validation=to_split(images[parts.validation], labels[parts.validation], options.color),
        test=to_split(images[parts.test], labels[parts.test], options.color),
        class_names=CLASS_NAMES,
        source="scikit-learn",
        options=options,
    )
