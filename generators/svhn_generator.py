"""Street View House Numbers: 73,257 + 26,032 cropped digits, 32x32 colour (Netzer et al. 2011), MATLAB 5 files."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from scipy.io import loadmat
from torchvision.datasets import SVHN

from generators.assemble import Pair, assemble
from generators.data import Data, Options
from generators.download import Download
from generators.errors import DataError
from generators.files import DataFile, Form, Found, Source, find
from generators.splits import HELD_OUT

CLASS_NAMES = tuple(str(digit) for digit in range(10))

TRAIN, TEST = "train", "test"
SOURCE = Source(
    title="SVHN",
    forms=(
        Form(
            places=("svhn", "SVHN", ""),
            files={key: DataFile(SVHN.split_list[key][1], f"md5:{SVHN.split_list[key][2]}") for key in (TRAIN, TEST)},
        ),
    ),
    downloads=tuple(Download("svhn", (SVHN.split_list[key][0],), SVHN.split_list[key][2]) for key in (TRAIN, TEST)),
)


def load(options: Options, source: Source = SOURCE, held_out: int = HELD_OUT) -> Data:
    """Load SVHN's cropped digits without the extra training images; see :func:`generators.load_data`.

    Args:
        options: the split, colour, folder and limits.
        source: the files and their digests.
        held_out: the validation part of the official split.
    """
    found = find(source, [TRAIN] if options.split == "paper" else [TRAIN, TEST], options)
    return assemble(
        "svhn", _read(found, TRAIN), lambda: _read(found, TEST), CLASS_NAMES, str(found.folder), options, held_out
    )


def _read(found: Found, key: str) -> Pair:
    path, content = found.read(key)
    return parse_svhn(content, path)


def parse_svhn(content: bytes, name: str) -> Pair:
    """Images ``(N, 3, 32, 32)`` and labels ``(N,)``, uint8, of a MATLAB file with "X" (32, 32, 3, N) and "y" (N, 1).

    The file's label 10 is the digit 0.

    Raises:
        DataError: it is no such file.
    """
    try:
        arrays: dict[str, Any] = loadmat(io.BytesIO(content), variable_names=["X", "y"])
        images, labels = arrays["X"], arrays["y"].flatten()
    # A damaged file may raise anything at all.
    except Exception as error:
        raise DataError(f"{name} is not a MATLAB file of SVHN ({error}); replace it by the official file") from error
    if images.dtype != np.uint8 or images.shape != (32, 32, 3, len(labels)) or not np.isin(labels, range(1, 11)).all():
        raise DataError(
            f"{name} holds {images.dtype} images {images.shape} and {len(labels):,} labels where uint8 (32, 32, 3, N) "
            "and N of 1 to 10 are expected; replace it by the official file"
        )
    return images.transpose(3, 2, 0, 1), (labels % 10).astype(np.uint8)
