"""How well a network does on test images, and what it costs: the columns of the zoo's tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from generators import Split
from training.engine import predict

UNMIRRORED = frozenset({"digits", "mnist", "svhn"})
"""Data sets whose images change their meaning when they are mirrored."""


def view_scores(
    model: nn.Module, split: Split, data: str, mean: Sequence[float], std: Sequence[float], batch_size: int = 500
) -> dict[str, float | None]:
    """Score a model on all images of a split.

    Args:
        model: is put into evaluation mode.
        split: the images and labels.
        data: name of the data set.
        mean, std: of the normalisation, one number per channel.
        batch_size: images per batch.

    Returns:
        ``accuracy`` and ``top5`` with one view of each image, and ``accuracy_mirrored`` of the mean logits of the image
        and its mirror image, None for data sets that have no mirror images; shares of 1.
    """
    options = {"mean": tuple(mean), "std": tuple(std)}
    logits, labels = predict(model, split, batch_size, **options)
    scores: dict[str, float | None] = {
        "accuracy": _share(logits, labels, 1),
        "top5": _share(logits, labels, 5),
        "accuracy_mirrored": None,
    }
    if data not in UNMIRRORED:
        mirrored, _ = predict(model, Split(split.images.flip(-1), split.labels), batch_size, **options)
        scores["accuracy_mirrored"] = _share(logits + mirrored, labels, 1)
    return scores


def _share(logits: Tensor, labels: Tensor, count: int) -> float:
    """Share of images whose label is among the ``count`` largest logits."""
    hits = (logits.topk(min(count, logits.shape[1])).indices == labels[:, None]).any(1)
    return int(hits.sum()) / len(labels)


def parameter_count(model: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


class _Activations(TorchDispatchMode):
    """Counts the outputs of matrix products and convolutions."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket in flop_registry:
            self.count += result.numel()
        return result


def macs_and_activations(model: nn.Module, input_size: Sequence[int]) -> tuple[int, int]:
    """Count multiply-adds, and outputs, of the matrix products and convolutions for one image.

    Args:
        model: is put into evaluation mode.
        input_size: ``(C, H, W)``.

    >>> macs_and_activations(nn.Conv2d(3, 8, 1), (3, 4, 4))
    (384, 128)
    """
    image = torch.zeros(1, *input_size)
    with torch.no_grad(), FlopCounterMode(display=False) as flops, _Activations() as activations:
        model.eval()(image)
    return flops.get_total_flops() // 2, activations.count
