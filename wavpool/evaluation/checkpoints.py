"""Files of weights: plain state dicts, and checkpoints of timm's `train.py` and other training programs.

Files are data: safetensors, or `torch.load(weights_only=True)`, which runs no code of a file. The `argparse.Namespace`
in timm's checkpoints is read as a table of values.
"""

import inspect
import pickle
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import SourceError

_PLAIN_KEYS = ("state_dict", "model", "model_state_dict")
_EMA_KEYS = ("state_dict_ema", "model_ema")
_PREFIXES = ("module.", "_orig_mod.")  # of DistributedDataParallel and AveragedModel, and of torch.compile
_IMAGE_KEYS = ("in_chans", "input_size", "img_size", "interpolation", "mean", "std", "crop_pct", "crop_mode")
_DEEPEST = 4  # checkpoints in checkpoints; a hostile one may hold itself
_LARGEST = 2**16  # of an integer that a file may ask for; ImageNet-21k has 21,843 classes


@dataclass(frozen=True)
class Checkpoint:
    """What a file of weights holds.

    Attributes:
        state: all tensors by name, on the CPU.
        arch: name of the network in timm; empty where the file does not say.
        settings: arguments of `timm.create_model` that the network was trained with.
        images: how its images were prepared, in the words of `timm.data.resolve_data_config`.
    """

    state: dict[str, Tensor] = field(repr=False)
    arch: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    images: Mapping[str, Any] = field(default_factory=dict)


def read_checkpoint(path: str | Path, ema: bool = True) -> Checkpoint:
    """Read the weights of a file, and what timm's `train.py` says of their network.

    Args:
        path: a safetensors file, or one of `torch.save`.
        ema: take the averaged weights of a checkpoint that holds both, as timm does.

    Raises:
        SourceError: the file is absent, cannot be read, or holds no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise SourceError(f"there is no file {path}: give a .safetensors or .pth file, or a model's name")
    if path.suffix == ".wvp":
        raise SourceError(
            f"{path} is a .wvp file: decompress it first (wavpool decompress {path} -o weights.safetensors)"
        )
    content = load_plain(path)
    state = _state(content, ema)
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise SourceError(f"{path} holds more than a state dict: save model.state_dict() alone")
    arguments = _training_arguments(content)
    arch = content.get("arch", "") if arguments else ""
    if not isinstance(arch, str) or not arch:
        return Checkpoint(_without_prefixes(state))
    return Checkpoint(_without_prefixes(state), arch, _settings(path, arguments), _images(path, arguments))


def load_plain(path: Path) -> Any:
    """Load what `torch.save` or safetensors wrote, without running code of the file.

    Raises:
        SourceError: the file is damaged, or holds objects other than tensors and plain values.
        OSError: it cannot be opened.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with torch.serialization.safe_globals([Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a damaged or hostile file may raise anything
        what = "it holds objects that could run code" if isinstance(error, pickle.UnpicklingError) else "it is damaged"
        raise SourceError(
            f"{path} cannot be read as weights ({what}): save model.state_dict() with torch or safetensors"
        ) from error


def _state(content: Any, ema: bool) -> Any:
    """The innermost state dict of a checkpoint."""
    keys = (*_EMA_KEYS, *_PLAIN_KEYS) if ema else (*_PLAIN_KEYS, *_EMA_KEYS)
    for _ in range(_DEEPEST):
        inner = [content[key] for key in keys if isinstance(content, Mapping) and isinstance(content.get(key), Mapping)]
        if not inner:
            break
        content = inner[0]
    return content


def _without_prefixes(state: Mapping[Any, Tensor]) -> dict[str, Tensor]:
    """Take off what wrappers of a network put before every name."""
    named = {str(key): value for key, value in state.items()}
    while prefix := next((each for each in _PREFIXES if _wrapped(named, each)), None):
        named = {key.removeprefix(prefix): value for key, value in named.items() if key.startswith(prefix)}
    return named


def _wrapped(state: Mapping[str, Tensor], prefix: str) -> bool:
    names = state.keys() - {"n_averaged"}  # the counter of torch.optim.swa_utils.AveragedModel
    return bool(names) and all(name.startswith(prefix) for name in names)


def _training_arguments(content: Any) -> dict[str, Any]:
    arguments = content.get("args") if isinstance(content, Mapping) else None
    if isinstance(arguments, Namespace):
        return vars(arguments)
    return {}


def _settings(path: Path, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the network: those that `train.py` passes on and that still matter to predictions."""
    size = arguments.get("input_size")
    channels = size[0] if arguments.get("in_chans") is None and isinstance(size, list | tuple) and size else None
    named = {
        "num_classes": arguments.get("num_classes"),
        "in_chans": arguments.get("in_chans") if channels is None else channels,
        "global_pool": arguments.get("gp"),
        "bn_eps": arguments.get("bn_eps"),
    }
    extra = arguments.get("model_kwargs")
    found = {key: value for key, value in named.items() if value is not None}
    found |= {str(key): value for key, value in extra.items()} if isinstance(extra, Mapping) else {}
    _check_plain(path, found)
    return found


def _images(path: Path, arguments: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: arguments[key] for key in _IMAGE_KEYS if arguments.get(key) not in (None, "")}
    _check_plain(path, found)
    return found


def _check_plain(path: Path, settings: Mapping[str, Any]) -> None:
    """Refuse what no training writes: a file must not make us allocate without bounds, or read other files.

    Raises:
        SourceError: as it says.
    """
    import timm

    reserved = inspect.signature(timm.create_model).parameters
    for key, value in settings.items():
        parts = value if isinstance(value, list | tuple) else [value]
        numbers = [part for part in parts if isinstance(part, int | float)]
        plain = len(parts) <= 64 and all(part is None or isinstance(part, int | float | str) for part in parts)
        if key in reserved or not plain or any(not -_LARGEST <= number <= _LARGEST for number in numbers):
            raise SourceError(
                f"{path} asks for a network with an unusual {key}: save its state_dict alone, and name the network "
                "as MODEL with --model-kwargs"
            )
