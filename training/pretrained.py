"""Trained weights as the start of another training: those of the zoo, or a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
from safetensors import SafetensorError, safe_open

import wavpool  # noqa: F401  (registers its models in timm)
from training.config import ConfigError, nearest


def pretrained_kwargs(model: str, checkpoint: str | Path | None = None) -> dict[str, Any]:
    """Return the arguments with which ``timm.create_model`` makes ``model`` with trained weights and a new classifier.

    Args:
        model: a timm name, with the tag of its weights unless there is a checkpoint.
        checkpoint: a safetensors file of the model's weights, such as a run's ``model.safetensors``.

    Raises:
        ConfigError: the model is unknown or has no such weights, or the file does not fit the model.

    >>> pretrained_kwargs("resnet18.a1_in1k")
    {'pretrained': True, 'pretrained_cfg_overlay': {'num_classes': -1}}
    """
    check_model(model)
    # timm keeps a trained classifier if the number of classes agrees, even if the classes differ; -1 agrees with none
    overlay: dict[str, Any] = {"num_classes": -1}
    if checkpoint is not None:
        _check_file(model, checkpoint)
        overlay["file"] = str(checkpoint)
    else:
        weights = timm.get_pretrained_cfg(model, allow_unregistered=True)
        if weights is None or not weights.has_weights:
            known = timm.list_pretrained(f"{model.partition('.')[0]}*")
            names = f"name one of {', '.join(known)}, or " if known else ""
            raise ConfigError(f"model '{model}' has no pretrained weights; {names}give a --checkpoint")
    return {"pretrained": True, "pretrained_cfg_overlay": overlay}


def check_model(name: str) -> None:
    """Raise :class:`ConfigError` where timm has no model of that name, naming the nearest."""
    if not timm.is_model(name):
        raise ConfigError(
            f"unknown model '{name}'{nearest(name, timm.list_models())}; "
            'python -c "import timm, wavpool; print(timm.list_models())" lists them all'
        )


def _check_file(model: str, path: str | Path) -> None:
    """Refuse a file that lacks weights of the model; without its classifier, timm would load any file."""
    try:
        with safe_open(path, "pt") as file:
            stored = set(file.keys())
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"checkpoint {path} cannot be read as safetensors: {reason}") from None
    reference = timm.create_model(model, num_classes=0)
    if missing := sorted(set(reference.state_dict()) - stored):
        raise ConfigError(
            f"checkpoint {path} is not of model '{model}': it has no {missing[0]}; give the model it was saved from"
        )
