"""What `wavpool compress` and `wavpool decompress` do."""

import math
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..codec.bench import state_bytes
from ..codec.compression import compress, zeroed_sentence
from ..codec.errors import CompressionWarning
from ..codec.model import load
from ..errors import UserError
from ..evaluation.sources import is_named_weights, names_network
from ..evaluation.specs import DataSpec, ModelSpec
from ..files import write_with
from .progress import compressing, say, warn


def compress_model(
    model: ModelSpec,
    output: Path,
    target: Mapping[str, float | None],
    *,
    calibration: DataSpec | None,
    validation: DataSpec | None,
    **settings: Any,
) -> None:
    """Compress a model into `output`, and say how small it became."""
    given: dict[str, Any] = {name: value for name, value in target.items() if value is not None}
    check_target(given)
    data = {"--calibration": calibration, "--validation": validation, "--max-drop": given.get("max_drop")}
    if asked := [name for name, value in data.items() if value is not None]:
        check_runs(model, asked[0])
    if "max_drop" in given and calibration is None and validation is None:
        raise UserError("--max-drop needs --calibration DATA, and best --validation DATA")
    if validation is not None and "max_drop" not in given:
        raise UserError("--validation goes with --max-drop")
    if settings.get("finetune") and calibration is None:
        raise UserError("--finetune needs --calibration DATA, best most of the training data (--calibration-limit)")
    _check_output(output, model)
    source = model.load()
    network = source.network if calibration is not None else source.module or source.state
    loader = None if calibration is None else calibration.load(source)
    if validation is not None:
        given["evaluate"] = validation.load(source)
    with compressing() as progress, warnings.catch_warnings():
        warnings.simplefilter("ignore", CompressionWarning)  # told below in the command's own way
        compressed = compress(network, calibration=loader, progress=progress, **given, **settings)
        written = compressed.save(output)
    before = state_bytes(source.state)
    say(f"{output}: {written:,} bytes, {before / written:.1f} times smaller than {before:,}")
    if (drop := compressed.expected_drop) is not None:
        say(f"foretold loss: {drop.value:.2f} points (other samples would have said {drop.low:.2f} to {drop.high:.2f})")
    if compressed.zeroed:
        warn(zeroed_sentence(compressed))


def _check_output(output: Path, model: ModelSpec) -> None:
    """Refuse to write over the weights that are read, or by a name that says something else than a .wvp file."""
    sources = [path for path in (model.checkpoint, Path(model.name)) if path is not None and path.is_file()]
    if output.is_file() and any(path.samefile(output) for path in sources):
        raise UserError(f"{output} holds the weights to be compressed: give the result another name, such as x.wvp")
    if is_named_weights(output.name):
        raise UserError(f"{output} has the name of plain weights: give it one such as {output.with_suffix('.wvp')}")
    check_file(output)


def check_target(given: Mapping[str, float]) -> None:
    """Refuse no target, several, or one that is not positive.

    Raises:
        UserError: as it says.
    """
    if len(given) != 1:
        raise UserError("give one of --max-drop, --max-bytes and --step")
    for name, value in given.items():
        if not (math.isfinite(value) and value > 0):
            raise UserError(f"--{name.replace('_', '-')} must be above 0, got {value:g}")


def check_runs(model: ModelSpec, option: str) -> None:
    """Refuse an option that needs a network where the model is a file that holds weights alone.

    Raises:
        UserError: it is that.
    """
    if not names_network(model.name):
        raise UserError(
            f"{option} needs a network, and {model.name} holds weights alone: name the network as MODEL "
            f"and give --checkpoint {model.name}"
        )


def decompress_file(file: Path, output: Path) -> None:
    """Write the state dict of a .wvp file."""
    if output.suffix not in (".safetensors", ".pth", ".pt"):
        raise UserError(f"{output} must end in .safetensors or .pth")
    check_file(output)
    state = load(file).state_dict(threads=torch.get_num_threads())
    if output.suffix == ".safetensors":
        save_state(state, output)
    else:
        write_with(output, lambda path: torch.save(dict(state), path))
    say(f"{output}: {len(state)} tensors, {state_bytes(state):,} bytes of weights")


def save_state(state: Mapping[str, Tensor], output: Path) -> None:
    """Write a safetensors file of a state dict."""
    from safetensors.torch import save_file

    whole = {name: tensor.contiguous().clone() for name, tensor in state.items()}  # tied weights share memory
    write_with(output, lambda path: save_file(whole, path, metadata={"format": "pt"}))


def check_file(output: Path) -> None:
    """Refuse a file that could not be written, before the work is done.

    Raises:
        UserError: its folder is absent or cannot be written to, or it is a folder.
    """
    if output.is_dir():
        raise UserError(f"{output} is a folder: give the name of a file")
    if not output.absolute().parent.is_dir():
        raise UserError(f"there is no folder {output.parent}: make it, or give another")
    check_folder(output.parent, output)


def check_folder(folder: Path, output: Path) -> None:
    """Refuse a folder, there or still to be made, that cannot be written to.

    Raises:
        UserError: so it is; the message names `output`.
    """
    folder = folder.absolute()
    there = next(each for each in (folder, *folder.parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror}; give another file or folder") from None
