"""The original package, wavpool 0.1.3, run as it was published.

Its module has the name of ours, so it is unpacked into a folder and run in a process of its own, with a stand-in for
kymatio, which it imports and does not use for wavelets.
"""

import os
import subprocess
import sys
from pathlib import Path

from .fetch import Unavailable, fetch

__all__ = ["TUNED", "Unavailable", "command", "environment", "run", "unpack"]

PACKAGES = ("wavpool==0.1.3", "torcheval==0.0.7")
# The paper's tuned CIFAR-10 model; `in_channels` is the side of the image.
TUNED = {
    "in_channels": 32,
    "hidden_size": 224.2195,
    "out_channels": 10,
    "pooling_size": 2.2,
    "pooling_mode": "max",
    "hidden_layer_scaling": True,
}
STAND_INS = {"kymatio/__init__.py": "", "kymatio/torch.py": "class Scattering2D: pass\n"}


def unpack(folder: Path | None = None) -> Path:
    """Download the original with pip and unpack it; returns the folder to put first on `sys.path`.

    Raises:
        Unavailable: pip cannot get it.
    """
    return fetch("wavpool-0.1.3", PACKAGES, STAND_INS, folder)


def command(script: str, *arguments: str) -> list[str]:
    """The command that runs a script; `environment` makes it find the original, outside this checkout's folder."""
    return [sys.executable, "-W", "ignore", "-c", script, *arguments]


def environment(threads: int) -> dict[str, str]:
    """Environment in which `import wavpool` is the original.

    Raises:
        Unavailable: pip cannot get the original.
    """
    return {**os.environ, "PYTHONPATH": str(unpack()), "OMP_NUM_THREADS": str(threads)}


def run(script: str, *arguments: str, cwd: Path, threads: int = 2) -> str:
    """Run a script with the original on `sys.path`; returns what it printed.

    Raises:
        Unavailable: pip cannot get the original.
        subprocess.CalledProcessError: the script failed.
    """
    result = subprocess.run(
        command(script, *arguments), cwd=cwd, env=environment(threads), check=True, capture_output=True, text=True
    )
    return result.stdout
