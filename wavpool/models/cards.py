"""Model cards of the packaged weights: what they are, how well they do, and how to train them again."""

from pathlib import Path
from typing import Any

import timm.models
from timm.models._hub import generate_readme
from torch import nn

from ._weights import Entry, entries, weights_path

CITATION = """@article{mcdermott2023wavpool,
  title = {WavPool: A New Block for Deep Neural Networks},
  author = {McDermott, Samuel D. and Voetberg, M. and Nord, Brian},
  journal = {arXiv preprint arXiv:2306.08734},
  year = {2023}
}"""


def model_card(name: str) -> dict[str, Any]:
    """Describe packaged weights as timm's `push_to_hf_hub(model, ..., model_card=...)` takes it.

    Args:
        name: of the weights, with or without its tag; `timm.list_pretrained` lists them.

    Raises:
        ValueError: the package has no weights of this name.

    >>> model_card("wavpool_paper_mnist.mnist")["details"]["Dataset"]
    'mnist'
    """
    name = _tagged(name)
    entry = entries()[name]
    accuracy = {"one view": _percent(entry["accuracy"])}
    if entry["accuracy_mirrored"] is not None:
        accuracy["mean over the image and its mirror image"] = _percent(entry["accuracy_mirrored"])
    return {
        "license": entry["license"],
        "tags": ["image-classification", "timm", "wavelet"],
        "description": f"`{name}` of the Python package wavpool (0.11 or newer): an image classifier trained on "
        f"{entry['data']}.",
        "details": {
            "Model type": "image classification, feature backbone",
            "Dataset": entry["data"],
            f"Accuracy on the {entry['test_images']:,} test images": accuracy,
            "Parameters": f"{entry['parameters']:,}",
            "Multiply-adds": f"{entry['macs']:,}",
            "Image size (channels, height, width)": " x ".join(map(str, entry["input_size"])),
            "Training images": _training_images(entry),
            "Recipe": f"`{entry['recipe']['command']}`",
            "Seed, epochs, commit": f"{entry['seed']}, {entry['epochs']}, {entry['commit']}",
        },
        "usage": _USAGE.format(name=name),
        "citation": CITATION,
    }


_USAGE = """```python
import timm
import wavpool

model = timm.create_model("{name}", pretrained=True).eval()
```"""


def save_for_hf(model: nn.Module, folder: str | Path, card: dict[str, Any] | None = None, **kwargs: Any) -> None:
    """Save a model as timm's `save_for_hf` does, with a model card in `README.md`.

    Args:
        model: of this package, made by timm.
        folder: to write to; it is made if it does not exist.
        card: as timm's `push_to_hf_hub` takes it; by default that of the packaged weights in `model`.
        **kwargs: further arguments of timm's `save_for_hf`.

    Raises:
        ValueError: there is no `card`, and the weights of `model` are not packaged ones; nothing is written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_for_hf(timm.create_model("wavpool_paper_mnist.mnist", pretrained=True), folder)
    ...     "mnist" in (Path(folder) / "README.md").read_text()
    True
    """
    cfg: dict[str, Any] = getattr(model, "pretrained_cfg", {})
    name = f"{cfg.get('architecture')}.{cfg.get('tag')}"
    if card is None:
        if name not in entries() or not _holds(model, name):
            raise ValueError(
                f"the weights of this {type(model).__name__} are not packaged ones, so that no metrics are known; "
                "give card={...} with the metrics of yours"
            )
        card = model_card(name)
    timm.models.save_for_hf(model, str(folder), **{"safe_serialization": True, **kwargs})
    (Path(folder) / "README.md").write_text(generate_readme(card, name), encoding="utf-8")


def _tagged(name: str) -> str:
    if name in entries():
        return name
    cfg = timm.get_pretrained_cfg(name, allow_unregistered=True)
    tagged = f"{name}.{cfg.tag}" if cfg is not None else name
    if tagged not in entries():
        raise ValueError(f"wavpool has no weights called {name!r}; choose from {', '.join(entries())}")
    return tagged


def _holds(model: nn.Module, name: str) -> bool:
    """Whether a model has exactly the packaged weights of a name."""
    packaged = timm.models.load_state_dict(str(weights_path(name)))
    own = model.state_dict()
    return own.keys() == packaged.keys() and all(
        own[key].shape == value.shape and bool((own[key].cpu() == value).all()) for key, value in packaged.items()
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _training_images(entry: Entry) -> str:
    return {
        "paper": "10,000 of the training images (the protocol of arXiv 2306.08734)",
        "official": "all training images but 5,000",
        "whole": "all training images",
    }[entry["split"]]
