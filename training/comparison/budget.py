"""Equal parameter budgets: the widths that give one model the parameter count of another."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import cache

import torch

from training.config import ConfigError, TrainConfig
from training.networks import untrained

# (channels, side) of the images and the classes, known without loading 170 MB of CIFAR-10.
IMAGES = {"digits": (1, 8), "mnist": (1, 28), "fashion_mnist": (1, 28)} | dict.fromkeys(
    ("cifar10", "cifar100", "svhn"), (3, 32)
)
CLASSES = {"cifar100": 100}


def image_shape(config: TrainConfig) -> tuple[int, int, int]:
    """``(C, H, W)`` of the images of a run."""
    channels, side = IMAGES[config.data]
    return {"gray": 1, "rgb": 3, None: channels}[config.color], side, side


def count_parameters(config: TrainConfig) -> int:
    """Parameters of the model of ``config``, built without memory for them.

    Raises:
        ConfigError: where there is no such model or it does not take its arguments.
    """
    channels, side, _ = image_shape(config)
    try:
        with torch.device("meta"):
            model = untrained(config, CLASSES.get(config.data, 10), channels, side)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"model '{config.model}' cannot be built for {config.data}: {reason}") from error
    return sum(parameter.numel() for parameter in model.parameters())


def matched_widths(config: TrainConfig, argument: str, ratios: Sequence[float], other: TrainConfig) -> list[int]:
    """Widths in the given proportions with which ``config`` has, as nearly as can be, the parameter count of ``other``.

    Args:
        config: the run whose ``model_kwargs[argument]`` is wanted.
        argument: a list of widths, such as ``channels`` or ``hidden``.
        ratios: proportions of the widths.
        other: the run whose parameter count is the budget.
    """
    budget = count_parameters(other)
    return list(_matched(config.model_copy(update={"seed": 0}).model_dump_json(), argument, tuple(ratios), budget))


@cache
def _matched(content: str, argument: str, ratios: tuple[float, ...], budget: int) -> tuple[int, ...]:
    config = TrainConfig.model_validate_json(content)
    steps = 16  # of a scale of 1: each width is rounded by itself, so the count grows in small steps

    def widths(scale: int) -> tuple[int, ...]:
        return tuple(max(1, round(scale / steps * ratio)) for ratio in ratios)

    def count(scale: int) -> int:
        return count_parameters(
            config.model_copy(update={"model_kwargs": config.model_kwargs | {argument: widths(scale)}})
        )

    above = bisect_left(range(1, 2**14 * steps), budget, key=count) + 1
    best = min((scale for scale in (above - 1, above) if scale), key=lambda scale: abs(count(scale) - budget))
    return widths(best)
