"""CIFAR-100: 50,000 + 10,000 photographs in a hundred fine classes, 32x32 colour (Krizhevsky 2009), Python form."""

from __future__ import annotations

from torchvision.datasets import CIFAR100

from generators.assemble import Pair, assemble
from generators.cifar_formats import parse_python
from generators.data import Data, Options
from generators.download import Download
from generators.files import DataFile, Form, Found, Source, find
from generators.splits import HELD_OUT

# fmt: off
CLASS_NAMES = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
    "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
    "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish",
    "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion",
    "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange",
    "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine",
    "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk",
    "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank",
    "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
    "willow_tree", "wolf", "woman", "worm",
)
# fmt: on

TRAIN, TEST = "train", "test"
RECORDS = {TRAIN: 50_000, TEST: 10_000}

SOURCE = Source(
    title="CIFAR-100",
    forms=(
        Form(
            places=(CIFAR100.base_folder, f"cifar100/{CIFAR100.base_folder}", ""),
            files={key: DataFile(key, f"md5:{digest}") for key, digest in (*CIFAR100.train_list, *CIFAR100.test_list)},
            archive=DataFile(CIFAR100.filename, f"md5:{CIFAR100.tgz_md5}"),
        ),
    ),
    downloads=(Download(CIFAR100.base_folder, (CIFAR100.url,), CIFAR100.tgz_md5, extract=True),),
)


def load(
    options: Options, source: Source = SOURCE, records: dict[str, int] = RECORDS, held_out: int = HELD_OUT
) -> Data:
    """Load CIFAR-100 with its fine labels; see :func:`generators.load_data`.

    Args:
        options: the split, colour, folder and limits.
        source: the files and their digests.
        records: images in each file.
        held_out: the validation part of the official split.
    """
    found = find(source, [TRAIN] if options.split == "paper" else [TRAIN, TEST], options)
    return assemble(
        "cifar100",
        _read(found, TRAIN, records),
        lambda: _read(found, TEST, records),
        CLASS_NAMES,
        str(found.folder),
        options,
        held_out,
    )


def _read(found: Found, key: str, records: dict[str, int]) -> Pair:
    path, content = found.read(key)
    batch = parse_python(content, path, records[key], "fine_labels", len(CLASS_NAMES))
    return batch.images, batch.labels
