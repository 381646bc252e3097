"""Trained weights to a small file and back: transform, rounding, entropy coding.

`compress` takes any torch module and, best, some unlabelled inputs; `load` reads the file. See docs/codec.md.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import WvpError

if TYPE_CHECKING:
    from .compression import compress
    from .model import CompressedModel, LoadedModel, load

# Loaded at first use: the command line must start quickly, and the extra `codec` may be missing.
_LAZY = {"compress": ".compression"} | dict.fromkeys(("CompressedModel", "LoadedModel", "load"), ".model")

__all__ = ["CompressedModel", "LoadedModel", "WvpError", "compress", "load"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module 'wavpool.codec' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
