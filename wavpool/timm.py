"""Run one of timm's scripts with this package's models registered: `python -m wavpool.timm SCRIPT ARGS...`.

timm has no plug-in discovery, so `train.py` and its siblings do not know our names by themselves. They are not in
timm's wheel either: users have them from a clone of pytorch-image-models.
"""

import os
import runpy
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .errors import UserError

FOLDER = "TIMM_SCRIPTS"
"""Environment variable with the folder of timm's scripts."""

_REPOSITORY = "https://github.com/huggingface/pytorch-image-models"
_USAGE = f"""\
usage: python -m wavpool.timm SCRIPT [ARGS ...]

Run a script of timm (train, validate, inference, benchmark, onnx_export, onnx_validate, bulk_runner, ...) that knows
the models of wavpool. Processes that the script starts know them too.

SCRIPT  a path, or a name that is looked for in this folder and in $TIMM_SCRIPTS; ".py" may be left out
ARGS    the script's own arguments; python -m wavpool.timm SCRIPT --help lists them

examples:
  python -m wavpool.timm train --data-dir photos --model vanilla_cnn --num-classes 10
  torchrun --nproc-per-node 2 -m wavpool.timm train --data-dir photos --model vanilla_cnn --num-classes 10
  python -m wavpool.timm bulk_runner --model-list 'vanilla*' $TIMM_SCRIPTS/benchmark.py --device cpu

timm's wheel does not hold the scripts. Get them once:
  {{clone}}
  export {FOLDER}=$PWD/pytorch-image-models
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a script as Python would run it; exit with 2 and one sentence if there is no such script.

    Args:
        arguments: the script and its arguments, those of this process by default.

    >>> main(["--help"])  # doctest: +ELLIPSIS
    usage: python -m wavpool.timm SCRIPT [ARGS ...]
    ...
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in ("-h", "--help"):
        print(_USAGE.format(clone=_clone()), end="")
        return
    try:
        if not given:
            raise UserError("no script is named: give one such as train (see python -m wavpool.timm --help)")
        script = find_script(given[0])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    run_script(script, given[1:])


def find_script(name: str) -> Path:
    """Find a script by its path, or by its name in the current folder and then in $TIMM_SCRIPTS.

    Raises:
        UserError: it is in neither.
    """
    folder = os.environ.get(FOLDER)
    for place in (Path(), *([Path(folder)] if folder else [])):
        for path in (place / name, place / f"{name}.py"):
            if path.is_file():
                return path
    places = f"this folder or {folder} ({FOLDER})" if folder else f"this folder, and {FOLDER} is not set"
    raise UserError(
        f"there is no script {name!r} in {places}: get timm's scripts ({_clone()}) and set {FOLDER} to their folder"
    )


def run_script(script: Path, arguments: Sequence[str]) -> None:
    """Run a script as `__main__`, with its folder first on the module path, as `python SCRIPT` has it.

    The module path, `sys.argv` and $PYTHONPATH are changed for good: a script may leave threads and processes behind.
    """
    import wavpool  # noqa: F401  # registers the models as soon as the script imports timm

    children = str(Path(__file__).with_name("_timm_children"))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [children, os.environ.get("PYTHONPATH")]))
    sys.path.insert(0, str(script.resolve().parent))
    sys.argv = [str(script), *arguments]
    runpy.run_path(str(script), run_name="__main__")


def _clone() -> str:
    """Command that gets the scripts of the installed timm."""
    try:
        branch = f" --branch v{version('timm')}"
    except PackageNotFoundError:
        branch = ""
    return f"git clone --depth 1{branch} {_REPOSITORY}"


if __name__ == "__main__":
    main()
