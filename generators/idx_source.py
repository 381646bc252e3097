"""A data set in four idx files (MNIST, Fashion-MNIST), gzipped or not: where they are and how they become splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torchvision.datasets import MNIST, FashionMNIST

from generators.assemble import assemble
from generators.data import Data, Options
from generators.digests import FASHION_MNIST_SHA256, MNIST_SHA256
from generators.download import Download
from generators.errors import DataError
from generators.files import DataFile, Form, Found, Source, find
from generators.idx import gunzip, parse_idx
from generators.splits import HELD_OUT

Resources = Sequence[tuple[str, str]]
TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
# The data sets share their file names, so a folder that holds the files directly is told apart by their sums.
KNOWN = frozenset(f"md5:{md5}" for _, md5 in (*MNIST.resources, *FashionMNIST.resources)) | frozenset(
    f"sha256:{sha256}" for sha256 in (*MNIST_SHA256.values(), *FASHION_MNIST_SHA256.values())
)


def idx_source(
    title: str, places: tuple[str, ...], mirrors: Sequence[str], resources: Resources, sha256: Mapping[str, str]
) -> Source:
    """Describe such a data set: as .gz with the MD5 sums of ``resources``, and as plain files with ``sha256`` sums."""
    md5 = {name.removesuffix(".gz"): digest for name, digest in resources}
    places = (*places, "")
    plain_files = {stem: DataFile(stem, f"sha256:{digest}") for stem, digest in sha256.items()}
    packed_files = {stem: DataFile(f"{stem}.gz", f"md5:{digest}") for stem, digest in md5.items()}
    strangers = KNOWN - {file.digest for file in (*plain_files.values(), *packed_files.values())}
    forms = tuple(Form(places, files, strangers=strangers) for files in (plain_files, packed_files))
    downloads = tuple(
        Download(places[0], tuple(f"{mirror}{name}" for mirror in mirrors), digest) for name, digest in resources
    )
    return Source(title, forms, downloads)


def load_idx(
    name: str, source: Source, class_names: tuple[str, ...], options: Options, held_out: int = HELD_OUT
) -> Data:
    """Load, check and split a data set of idx files; ``held_out`` is the validation part of the official split."""
    keys = TRAIN if options.split == "paper" else TRAIN + TEST
    found = find(source, keys, options)
    return assemble(
        name,
        _read_pair(found, TRAIN, len(class_names)),
        lambda: _read_pair(found, TEST, len(class_names)),
        class_names,
        str(found.folder),
        options,
        held_out,
    )


def _read_pair(
    found: Found, stems: tuple[str, str], num_classes: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Images (N, 1, H, W) and labels (N,) of one split, both uint8."""
    images, labels = (_read(found, stem) for stem in stems)
    path = found.folder / found.form.files[stems[0]].name
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise DataError(f"{path} holds images {images.shape} for labels {labels.shape}; replace both by official files")
    if labels.max(initial=0) >= num_classes:
        raise DataError(f"the labels of {path} go up to {labels.max()} of {num_classes} classes; replace both files")
    return images[:, None], labels


def _read(found: Found, stem: str) -> np.ndarray[Any, Any]:
    path, content = found.read(stem)
    return parse_idx(gunzip(content, path) if path.endswith(".gz") else content, path)
