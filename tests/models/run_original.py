"""Run the original package 0.1.x and store what it computes; `run_original.py ORIGINAL OUTPUT` in a process of its own.

ORIGINAL is the folder with its `wavpool` package, whose name is ours too.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

# Constructor, keywords, image side. The original says `in_channels` for the side.
CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "tuned CIFAR-10": (
        "WavPool",
        {"hidden_size": 224.2195, "pooling_size": 2.2, "pooling_mode": "max", "hidden_layer_scaling": True},
        32,
    ),
    "tuned MNIST": (
        "WavPool",
        {"hidden_size": 268.3038, "pooling_size": 2.56, "pooling_mode": "max", "hidden_layer_scaling": True},
        28,
    ),
    "average": ("WavPool", {"hidden_size": 40, "pooling_size": 2}, 32),
    "average scaled": ("WavPool", {"hidden_size": 41, "pooling_size": 3, "hidden_layer_scaling": True}, 28),
    "unscaled max": ("WavPool", {"hidden_size": 30, "pooling_size": 3, "pooling_mode": "max"}, 32),
    "no pooling": (
        "WavPool",
        {"hidden_size": 12, "pooling_size": 1, "pooling_mode": "max", "hidden_layer_scaling": True},
        16,
    ),
    "hidden and level pooling": (
        "WavPool",
        {"hidden_size": 30, "hidden_pooling": 4, "level_pooling": 2, "pooling_mode": "max"},
        32,
    ),
    "hidden pooling alone": (
        "WavPool",
        {"hidden_size": 31, "hidden_pooling": 3, "level_pooling": 1, "hidden_layer_scaling": True},
        28,
    ),
    "level pooling alone": (
        "WavPool",
        {"hidden_size": 10, "hidden_pooling": 1, "level_pooling": 4, "pooling_mode": "max"},
        28,
    ),
    "a width a level": ("WavPool", {"hidden_size": [20, 7, 13, 9], "pooling_size": 2, "pooling_mode": "max"}, 28),
    "odd side": ("WavPool", {"hidden_size": 16, "pooling_size": 2, "pooling_mode": "max"}, 27),
    "WavMLP": ("WavMLP", {"hidden_size": 267, "level": 2}, 32),
    "WavMLP 28": ("WavMLP", {"hidden_size": 25.5, "level": 4}, 28),
    "VanillaMLP": ("VanillaMLP", {"hidden_size": 208.27}, 32),
    "VanillaCNN": ("VanillaCNN", {"kernel_size": 3.73, "hidden_channels_1": 19.76, "hidden_channels_2": 12.89}, 32),
    "VanillaCNN Fashion": (
        "VanillaCNN",
        {"kernel_size": 2.19, "hidden_channels_1": 15.09, "hidden_channels_2": 17.58},
        28,
    ),
}


def run(model: nn.Module, x: torch.Tensor) -> dict[str, Any]:
    """Weights, logits, and the gradients of a loss on them, in training mode."""
    state = {key: value.clone() for key, value in model.state_dict().items()}
    logits = model(x[:, 0] if type(model).__name__.startswith("Wav") else x)
    logits.square().sum().backward()
    gradients = {
        key: torch.zeros_like(value) if value.grad is None else value.grad for key, value in model.named_parameters()
    }
    return {"state": state, "x": x, "logits": logits.detach(), "gradients": gradients}


def main(original: str, output: str) -> None:
    sys.path.insert(0, original)
    import wavpool.models as models

    assert Path(models.__file__).is_relative_to(original), models.__file__
    results: dict[str, Any] = {}
    for number, (case, (kind, keywords, side)) in enumerate(CASES.items()):
        torch.manual_seed(number)
        arguments = {key: list(value) if isinstance(value, list) else value for key, value in keywords.items()}
        model = getattr(models, kind)(in_channels=side, out_channels=10, **arguments)
        results[case] = {"kind": kind, "keywords": keywords, "side": side, **run(model, torch.rand(8, 1, side, side))}
    torch.save(results, output)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
