"""The options that several commands share, and how their values are read."""

import ast
import re
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UserError

_THOUSANDS = re.compile(r",(?=\d{3}(?:\D|$))")  # a comma elsewhere is some decimal point
_SIZES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


class Profile(StrEnum):
    """Coders of the integers."""

    small = "small"
    fast = "fast"
    huffman = "huffman"
    raw = "raw"


def size(text: str) -> int:
    """Bytes of a size such as `60000`, `60KB` (60,000) or `58.6KiB`.

    Raises:
        UserError: it is not a size.

    >>> size("60KB"), size("1.5 KiB"), size("60,000")
    (60000, 1536, 60000)
    """
    number = text.strip().lower().rstrip("bgikm ")
    unit = text.strip().lower()[len(number) :].strip()
    try:
        bytes_ = float(_THOUSANDS.sub("", number)) * _SIZES[unit]
    except (KeyError, ValueError):
        raise UserError(f"{text!r} is no size: write 60000, 60KB or 58.6KiB") from None
    if not 1 <= bytes_ < 2**63:
        raise UserError(f"a size is at least one byte, got {text!r}")
    return int(bytes_)


def settings(pairs: Sequence[str], option: str = "--model-kwargs") -> dict[str, Any]:
    """Keyword arguments of an option's `KEY=VALUE` words; a value is a Python literal, or else text.

    Raises:
        UserError: a word without a key or a value.

    >>> settings(["num_classes=10", "act_layer=gelu"])
    {'num_classes': 10, 'act_layer': 'gelu'}
    """
    found = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not key.isidentifier() or not equals:
            raise UserError(f"{option} takes KEY=VALUE, not {pair!r}")
        try:
            found[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            found[key] = text
    return found


def chosen_device(name: str) -> str:
    """The device of `--device`.

    Raises:
        UserError: torch does not have it here.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"torch has no device {name!r} here: give --device cpu") from error
    return name


def import_from(folder: Path) -> None:
    """Let `module:function` be found in a folder."""
    path = str(folder.resolve())
    if path not in sys.path:
        sys.path.insert(0, path)


MODEL = "The model"
DATA = "The data"
DATA_HELP = "a folder of images, a name of timm's create_dataset (torch/cifar10), or module:function"
SPLIT_HELP = "of a folder, the folder of this name in it, or else all of it"

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A model of timm or torchvision by name (torchvision:NAME for the latter's), a .safetensors or .pth file "
        "(wrappers are unpacked, prefixes module. are taken off), a checkpoint of timm's train.py (last.pth.tar), "
        "or module:function, which returns a torch.nn.Module or (module, transform of its images).",
        show_default=False,
    ),
]
Pretrained = Annotated[
    bool,
    typer.Option("--pretrained/--no-pretrained", help="Fetch the weights of a named model.", rich_help_panel=MODEL),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        metavar="FILE",
        help="Weights to put into the model; a checkpoint of timm's train.py also gives the model's arguments.",
        rich_help_panel=MODEL,
        show_default=False,
    ),
]
Ema = Annotated[
    bool,
    typer.Option("--ema/--no-ema", help="Take averaged weights of a file that has them.", rich_help_panel=MODEL),
]
ModelKwargs = Annotated[
    list[str] | None,
    typer.Option(
        "--model-kwargs",
        metavar="KEY=VALUE",
        help="Argument of the model's constructor; may be given again.",
        rich_help_panel=MODEL,
        show_default=False,
    ),
]
AppDir = Annotated[
    Path,
    typer.Option("--app-dir", metavar="DIR", help="Where module:function is looked for.", rich_help_panel=MODEL),
]
Device = Annotated[
    str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, ...", metavar="DEVICE", rich_help_panel=MODEL)
]
Split = Annotated[
    str,
    typer.Option(metavar="NAME", help=f"Split of the data that are measured on; {SPLIT_HELP}.", rich_help_panel=DATA),
]
CalibrationSplit = Annotated[
    str, typer.Option(metavar="NAME", help="Split of the calibration data.", rich_help_panel=DATA)
]
Seed = Annotated[int, typer.Option(min=0, help="Of every random choice.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Where a data set that is named (torch/cifar10) lies.",
        rich_help_panel=DATA,
        show_default=False,
    ),
]
Download = Annotated[bool, typer.Option("--download", help="Fetch a named data set.", rich_help_panel=DATA)]
BatchSize = Annotated[int, typer.Option("--batch-size", min=1, help="Samples a batch.", rich_help_panel=DATA)]
CalibrationLimit = Annotated[int, typer.Option(min=1, help="Samples to calibrate on.", rich_help_panel=DATA)]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        min=1,
        help="Samples to measure on, drawn by chance.",
        rich_help_panel=DATA,
        show_default="all",
    ),
]
LoaderWorkers = Annotated[
    int, typer.Option("--loader-workers", min=0, help="Processes that read samples.", rich_help_panel=DATA)
]
