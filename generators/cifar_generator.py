"""CIFAR-10: 50,000 + 10,000 photographs in ten classes, 32x32 colour (Krizhevsky 2009), binary or Python form."""

from __future__ import annotations

from typing import Any

import numpy as np
from torchvision.datasets import CIFAR10

from generators.cifar_formats import Batch, parse_binary, parse_python
from generators.data import Data, Options, Split, to_split
from generators.digests import CIFAR10_BINARY_SHA1
from generators.download import Download
from generators.files import DataFile, Form, Found, Source, find
from generators.splits import HELD_OUT, official_parts, paper_parts

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST = "test_batch"
RECORDS = 10_000

BINARY = Form(
    places=("cifar-10-batches-bin", "cifar10/cifar-10-batches-bin", ""),
    files={key: DataFile(f"{key}.bin", f"sha1:{digest}") for key, digest in CIFAR10_BINARY_SHA1.items()},
    archive=DataFile("cifar-10-binary.tar.gz", "md5:c32a1d4ab5d03f1284b67883e8d87530"),
)
PYTHON = Form(
    places=(CIFAR10.base_folder, f"cifar10/{CIFAR10.base_folder}", ""),
    files={key: DataFile(key, f"md5:{digest}") for key, digest in (*CIFAR10.train_list, *CIFAR10.test_list)},
    archive=DataFile(CIFAR10.filename, f"md5:{CIFAR10.tgz_md5}"),
)
SOURCE = Source(
    title="CIFAR-10",
    forms=(BINARY, PYTHON),
    downloads=(Download(CIFAR10.base_folder, (CIFAR10.url,), CIFAR10.tgz_md5, extract=True),),
)


def load(options: Options, source: Source = SOURCE, records: int = RECORDS, held_out: int = HELD_OUT) -> Data:
    """Load CIFAR-10, reading only the batch files that the split needs; see :func:`generators.load_data`.

    Args:
        options: the split, colour, folder and limits.
        source: the files and their digests.
        records: images in a batch file.
        held_out: the validation part of the official split.
    """
    if options.split == "paper":
        parts = paper_parts(len(TRAIN) * records, options.limit)
    else:
        whole = options.split == "whole"
        parts = official_parts(len(TRAIN) * records, records, options.limit, options.seed, held_out, whole)
    used = np.concatenate([parts.train, parts.validation] + ([] if parts.official_test else [parts.test]))
    numbers = [int(number) for number in np.unique(used // records)]
    keys = [TRAIN[number] for number in numbers] + ([TEST] if parts.official_test else [])
    found = find(source, keys, options)
    batches = {number: _read(found, TRAIN[number], records) for number in numbers}
    test = {0: _read(found, TEST, records)} if parts.official_test else batches
    return Data(
        name="cifar10",
        train=_take(batches, parts.train, records, options.color),
        validation=_take(batches, parts.validation, records, options.color),
        test=_take(test, parts.test, records, options.color),
        class_names=CLASS_NAMES,
        source=str(found.folder),
        options=options,
    )


def _read(found: Found, key: str, records: int) -> Batch:
    path, content = found.read(key)
    return (parse_binary if path.endswith(".bin") else parse_python)(content, path, records)


def _take(batches: dict[int, Batch], indices: np.ndarray[Any, Any], records: int, color: str | None) -> Split:
    """The images of a part, which is in file order, batch file by batch file."""
    chosen = [(batch, indices[indices // records == number] % records) for number, batch in batches.items()]
    images = np.concatenate([batch.images[rows] for batch, rows in chosen])
    return to_split(images, np.concatenate([batch.labels[rows] for batch, rows in chosen]), color)
