"""Download official files through torchvision's helpers (progress bar, MD5) into the cache, all or nothing."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from torchvision.datasets import utils

from generators.errors import DataError

# Without a limit a firewall that drops packets holds a program for minutes at each mirror.
TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Download:
    """One file to fetch.

    Attributes:
        folder: the folder of the cache that the download fills.
        urls: the addresses of the file, tried in turn.
        md5: its sum.
        extract: whether it is an archive that itself holds ``folder``; it is removed once extracted.
    """

    folder: str
    urls: tuple[str, ...]
    md5: str
    extract: bool = False


def fetch(downloads: Sequence[Download], cache: Path) -> str:
    """Fetch every download into ``cache``. A folder appears there when all of its files are complete and checked.

    Returns:
        What is to be said where the files are still missing: why the download failed, or that it lacks them.

    Raises:
        DataError: the cache cannot be written.
    """
    with staging(cache) as stage, _timeout(TIMEOUT_SECONDS):
        for download in downloads:
            problem = _fetch_one(download, stage)
            if problem:
                return problem
        for folder in dict.fromkeys(download.folder for download in downloads):
            publish(stage / folder, cache / folder)
    return "the download does not hold them"


def _fetch_one(download: Download, stage: Path) -> str:
    """Try the addresses in turn; the empty string on success, else the reason that the last one failed for."""
    problem = "there is nothing to download"
    for url in download.urls:
        try:
            if download.extract:
                utils.download_and_extract_archive(url, str(stage), md5=download.md5, remove_finished=True)
            else:
                utils.download_url(url, str(stage / download.folder), md5=download.md5)
            return ""
        except (OSError, HTTPException, RuntimeError) as error:
            problem = f"the download from {url} failed ({error})"
    return problem


@contextmanager
def staging(cache: Path) -> Iterator[Path]:
    """A temporary folder in the cache, removed afterwards: what is finished is renamed out of it."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".staging-", dir=cache))
    except OSError as error:
        raise DataError(f"the cache {cache} cannot be written ({error.strerror}); set XDG_CACHE_HOME") from error
    try:
        yield stage
    except OSError as error:
        raise DataError(f"the cache {cache} cannot be filled ({error}); make it writable or free some space") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def publish(stage: Path, target: Path) -> None:
    """Rename a finished folder into place; where another process was first, its folder stays."""
    for path in stage.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        stage.rename(target)
    except OSError:
        if not target.is_dir():
            raise


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
