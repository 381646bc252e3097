"""wavpool: fixed transforms inside neural networks."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import _timm_hook

if TYPE_CHECKING:
    from . import circuits, codec, evaluation, inspection, layers, models, transforms
    from .inspection import inspect
    from .models import load_wavpool_0_1

__version__ = "0.11.0"

_timm_hook.install()

# Loaded at first use, so that importing wavpool costs little and needs only torch, numpy and PyWavelets.
_LAZY = {"load_wavpool_0_1": "wavpool.models", "inspect": "wavpool.inspection"}
_SUBMODULES = ("circuits", "codec", "evaluation", "inspection", "layers", "models", "transforms")

__all__ = [
    "__version__",
    "circuits",
    "codec",
    "evaluation",
    "inspect",
    "inspection",
    "layers",
    "load_wavpool_0_1",
    "models",
    "transforms",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name in _SUBMODULES:
        return import_module(f"wavpool.{name}")
    raise AttributeError(f"module 'wavpool' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
