"""Weights that lie in the package: files in `weights/`, and one entry for each in `weights/weights.json`.

`python -m training.package_weights` writes both. An entry makes a tag of its model in timm; nothing else names it.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from timm.models import generate_default_cfgs

from ..files import read_json

FOLDER = Path(__file__).parent / "weights"
INDEX = "weights.json"
DEFAULT_TAG = "cifar10"  # of a model with several weights

Entry = Mapping[str, Any]


@cache
def entries() -> dict[str, Entry]:
    """Metadata of the packaged weights by name, `<model>.<tag>`; those with the default tag come first."""
    found: dict[str, Entry] = read_json(FOLDER / INDEX)
    return dict(sorted(found.items(), key=lambda item: (not item[0].endswith(f".{DEFAULT_TAG}"), item[0])))


def weights_path(name: str, folder: Path = FOLDER) -> Path:
    """File of the weights of a name."""
    return folder / f"{name}.safetensors"


def pretrained_settings(entry: Entry, path: Path) -> dict[str, Any]:
    """What timm's `pretrained_cfg` says of weights: the file, and how images and classes are given to the model.

    Args:
        entry: metadata of the weights.
        path: their file.
    """
    return {
        "file": str(path),
        "input_size": tuple(entry["input_size"]),
        "mean": tuple(entry["mean"]),
        "std": tuple(entry["std"]),
        "num_classes": len(entry["class_names"]),
        "label_names": tuple(entry["class_names"]),
        "license": entry["license"],
        "description": f"{100 * entry['accuracy']:.2f} % of the test images of {entry['data']}.",
    }


def default_cfgs_with_weights(cfgs: Mapping[str, Mapping[str, Any]]) -> Any:
    """Make timm's default configurations of a family, with a tag for each of its packaged weights.

    A model's first tag is its `.cifar10`, else another one with weights, else the one of `cfgs`.

    Args:
        cfgs: configurations without weights by name, `<model>.untrained`.
    """
    tagged: dict[str, Any] = {name: dict(cfg) for name, cfg in cfgs.items()}
    for name, entry in entries().items():
        base = cfgs.get(f"{name.partition('.')[0]}.untrained")
        if base is not None:
            tagged[name] = {**base, **pretrained_settings(entry, weights_path(name))}
    return generate_default_cfgs(tagged)
