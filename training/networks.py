"""Models and optimisers by name, built for a data set."""

from __future__ import annotations

import statistics
import time
from typing import Any

import timm
import timm.optim
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, OneCycleLR, SequentialLR

import wavpool  # noqa: F401  (registers its models in timm)
from generators import AUGMENTS, DATASETS, Data
from generators.batches import resized
from training.config import ConfigError, TrainConfig, nearest, unknown_name
from wavpool.layers import convert

ALIASES = {"lenet": "lenet5"}


def check_names(config: TrainConfig) -> None:
    """Raise :class:`ConfigError` where the model, data set or optimiser is unknown, naming the nearest known ones."""
    if config.data not in DATASETS:
        raise unknown_name("data set", config.data, DATASETS)
    if config.model not in ALIASES and not timm.is_model(config.model):
        raise ConfigError(
            f"unknown model '{config.model}'{nearest(config.model, timm.list_models())}; "
            'python -c "import timm, wavpool; print(timm.list_models())" lists them all'
        )
    if config.augment is not None and config.augment not in AUGMENTS:
        raise unknown_name("augment", config.augment, [*AUGMENTS, "none"])
    optimizers = [str(name) for name in timm.optim.list_optimizers()]
    if config.optimizer not in optimizers:
        raise ConfigError(f"unknown optimizer '{config.optimizer}'{nearest(config.optimizer, optimizers)}")


def build_model(config: TrainConfig, data: Data) -> nn.Module:
    """Build ``config.model`` with the data's classes, channels and image size, and weights drawn from ``config.seed``.

    Raises:
        ConfigError: where the model does not take its arguments or the data's images.
    """
    torch.manual_seed(config.seed)
    try:
        model = untrained(config, data.num_classes, data.in_chans, data.img_size)
        with torch.inference_mode():
            shape = model.eval()(example(data, config.image_size)).shape
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"model '{config.model}' does not work with {data.name} images: {reason}") from error
    if shape != (1, data.num_classes):
        raise ConfigError(f"model '{config.model}' gives outputs of shape {tuple(shape)}, not (1, {data.num_classes})")
    if config.channels_last:  # the images need no conversion: a convolution takes the order of its weights
        model = model.to(memory_format=torch.channels_last)
    return model.train()


def untrained(config: TrainConfig, num_classes: int, in_chans: int, img_size: int | tuple[int, int]) -> nn.Module:
    """The model of ``config`` for images of that kind, with its spectral layers."""
    sizes: dict[str, Any] = {"num_classes": num_classes, "in_chans": in_chans} | config.model_kwargs
    name = ALIASES.get(config.model, config.model)
    default = timm.get_pretrained_cfg(name, allow_unregistered=True)
    if default is not None and default.fixed_input_size:  # a model that fits any size has no such argument
        sizes.setdefault("img_size", config.image_size or img_size)
    return _spectral(timm.create_model(name, **sizes), config)


def _spectral(model: nn.Module, config: TrainConfig) -> nn.Module:
    """The model with the spectral layers and without the normalisation that ``config`` asks to replace."""
    if not config.batch_norm:
        _remove_batch_norm(model)
    if config.kernel is None:
        return model
    return convert(
        model,
        config.kernel,
        config.layers,
        config.spectral_parametrisation,
        config.keep if config.spectral_parametrisation == "coefficients" else None,
        from_trained=False,
        complex=config.complex_features,
        inplace=True,
        **config.spectral_kwargs,
    )


def _remove_batch_norm(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, getattr(child, "act", nn.Identity()))  # timm's norms may hold the activation
        else:
            _remove_batch_norm(child)


def example(data: Data, image_size: int | None = None) -> Tensor:
    """The first training image as a batch ``(1, C, H, W)``, float32 in [0, 1]."""
    return resized(data.train.images[:1].float().div_(255), image_size)


def build_optimizer(config: TrainConfig, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of ``config`` for ``model``, by timm; ``sgd`` is the plain one, ``nesterov`` is Nesterov's.

    Raises:
        ConfigError: where the optimiser does not take its arguments or its library is absent.
    """
    name = "momentum" if config.optimizer == "sgd" else config.optimizer  # timm's own "sgd" is Nesterov's
    try:
        optimizer: torch.optim.Optimizer = timm.optim.create_optimizer_v2(
            _groups(config, model), name, config.lr, config.weight_decay, config.momentum, **config.optimizer_kwargs
        )
    except (TypeError, ValueError, RuntimeError, AssertionError, ImportError) as error:
        raise ConfigError(f"optimizer '{config.optimizer}' cannot be built: {error}") from error
    return optimizer


def _groups(config: TrainConfig, model: nn.Module) -> nn.Module | list[dict[str, Any]]:
    """The model, or its parameters with a learning rate of their own for frequencies, which are no weights to decay."""
    frequencies = [p for name, p in model.named_parameters() if name.rpartition(".")[2] == "frequency"]
    if not frequencies:
        return model
    chosen = {id(p) for p in frequencies}
    decayed = [p for p in model.parameters() if p.ndim > 1 and id(p) not in chosen]
    rest = [p for p in model.parameters() if p.ndim <= 1 and id(p) not in chosen]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": rest, "weight_decay": 0.0},
        {"params": frequencies, "weight_decay": 0.0, "lr": config.lr * config.frequency_lr},
    ]
    return [group for group in groups if group["params"]]


def build_schedule(config: TrainConfig, optimizer: torch.optim.Optimizer, steps: int) -> LRScheduler | None:
    """The learning rate schedule over ``steps`` optimiser steps, advanced after each; None where it is constant."""
    if config.schedule == "onecycle":
        highest = [group["lr"] for group in optimizer.param_groups]
        return OneCycleLR(optimizer, highest, total_steps=steps, cycle_momentum=False)  # momentum stays as configured
    warmup = round(steps * config.warmup_epochs / config.epochs)
    parts: list[LRScheduler] = []
    if warmup:
        parts.append(LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup))
    if config.schedule == "cosine":
        parts.append(CosineAnnealingLR(optimizer, T_max=max(steps - warmup, 1)))
    elif config.schedule == "linear":
        parts.append(LinearLR(optimizer, start_factor=1, end_factor=0, total_iters=max(steps - warmup, 1)))
    elif warmup:
        return parts[0]
    return SequentialLR(optimizer, parts, milestones=[warmup]) if len(parts) == 2 else next(iter(parts), None)


@torch.inference_mode()
def inference_ms(model: nn.Module, images: Tensor, timings: int = 50) -> float:
    """Median milliseconds of ``timings`` forward passes of ``images``, a batch on the model's device, once warm."""
    seconds = []
    for _ in range(timings + 10):
        start = time.perf_counter()
        model(images)
        if images.is_cuda:
            torch.cuda.synchronize(images.device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[10:]) * 1e3
