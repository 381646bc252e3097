"""Networks that are trained here, once, in minutes on one core, and kept in the user's cache.

python -m benchmarks.codec.trained [NAME ...] trains them (all by default) and prints their test accuracy.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from wavpool.evaluation.metrics import evaluate, predict
from wavpool.files import write_with

from .places import kept

Batches = Iterable[tuple[Tensor, Tensor]]
Module = TypeVar("Module", bound=nn.Module)
WARM_UP = 0.15  # share of the steps over which the learning rate rises


def trained(name: str, build: Callable[[], Module], train: Callable[[Module], None], seed: int = 0) -> Module:
    """A network with the weights kept under ``name``, trained first where there are none.

    Args:
        name: of the file in the cache; it changes with the recipe.
        build: makes the network.
        train: trains it in place.
        seed: seed of the initial weights, and of all that ``train`` draws from torch.

    Returns:
        the network in evaluation mode.
    """
    path = kept(f"{name}.safetensors")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build()
        if not path.exists():
            train(model.train())
            weights = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
            write_with(path, lambda temporary: save_file(weights, temporary))
    model.load_state_dict(load_file(path))
    return model.eval()


def fit(
    model: nn.Module,
    batches: Callable[[int], Batches],
    steps: int,
    optimizer: torch.optim.Optimizer,
    epochs: int,
    autocast: bool = True,
) -> None:
    """Minimise the cross-entropy; the learning rate rises, then falls to 0.

    Args:
        model: in training mode, changed in place.
        batches: function from the epoch to its batches (inputs, labels).
        steps: batches in an epoch.
        optimizer: with the highest learning rate of each group.
        epochs: passes over the data.
        autocast: compute in bfloat16 where torch holds it safe.
    """
    total = steps * epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step / total))
    for epoch in range(epochs):
        for inputs, labels in batches(epoch):
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                logits = model(inputs)
            optimizer.zero_grad()
            F.cross_entropy(logits.float(), labels).backward()
            optimizer.step()
            schedule.step()


def _rate(progress: float) -> float:
    rise = progress / WARM_UP
    return rise if rise < 1 else (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))) / 2


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    from . import networks

    parser = argparse.ArgumentParser("python -m benchmarks.codec.trained", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(networks.TRAINED)} [all]")
    for name in parser.parse_args(arguments).names or networks.TRAINED:
        result = predict(getattr(networks, name)(), networks.TRAINED[name]())
        print(f"{name}: {evaluate(result)['accuracy'].value:.2%}", flush=True)


if __name__ == "__main__":
    main()
