"""Find the files of a data set, download them where allowed, and check each by its digest before it is used.

Looked for in this order: the folder asked for, every folder of ``$WAVPOOL_DATA`` (separated as PATH is), then the cache
``$XDG_CACHE_HOME/wavpool`` (default ``~/.cache/wavpool``). Downloads go to the cache.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torchvision.datasets.utils import extract_archive

from generators.data import Options
from generators.download import Download, fetch, publish, staging
from generators.errors import DataError


@dataclass(frozen=True)
class DataFile:
    """A file name and its digest, ``algorithm:hex``."""

    name: str
    digest: str


@dataclass(frozen=True)
class Form:
    """One form in which a data set is handed around.

    Attributes:
        places: folders, relative to a searched one, that may hold the files; "" is the searched folder itself.
        files: what a file holds (the same keys in every form) -> the file.
        archive: a tar archive of ``places[0]``, if there is one.
        strangers: digests of files of the same names in other data sets; a folder that holds one is passed over.
    """

    places: tuple[str, ...]
    files: Mapping[str, DataFile]
    archive: DataFile | None = None
    strangers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Source:
    """A data set: its name for the user, the forms it comes in, and what to download where no folder has it."""

    title: str
    forms: tuple[Form, ...]
    downloads: tuple[Download, ...]


@dataclass(frozen=True)
class Found:
    """The form and the folder in which a data set was found."""

    form: Form
    folder: Path

    def read(self, key: str) -> tuple[str, bytes]:
        """The path and the checked content of one file."""
        path = self.folder / self.form.files[key].name
        return str(path), read_checked(path, self.form.files[key].digest)


def cache_folder() -> Path:
    """Where downloads and extracted archives go."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wavpool"


def search_folders(data_dir: str | os.PathLike[str] | None = None) -> list[Path]:
    """The folders to search, in order; DataError where ``data_dir`` is given and is no folder."""
    folders = []
    if data_dir is not None:
        folders.append(Path(data_dir).expanduser())
        if not folders[0].is_dir():
            raise DataError(f"the data folder {folders[0]} does not exist; create it or leave --data-dir out")
    folders += [Path(entry).expanduser() for entry in os.environ.get("WAVPOOL_DATA", "").split(os.pathsep) if entry]
    return [*folders, cache_folder()]


def find(source: Source, keys: Sequence[str], options: Options) -> Found:
    """Find (else download) the files named by ``keys``, all in one folder. They are checked when they are read.

    Raises:
        DataError: they are nowhere and cannot be downloaded, or a folder holds only some of them.
    """
    folders = search_folders(options.data_dir)
    found = _locate(source, keys, folders)
    if found is None:
        problem = "downloading is switched off"
        if options.download:
            problem = fetch(source.downloads, cache_folder())
            found = _locate(source, keys, [cache_folder()])
        if found is None:
            raise DataError(_absent(source, folders, problem))
    return found


def read_checked(path: Path, digest: str) -> bytes:
    """The content of a file whose digest, ``algorithm:hex``, is as expected; DataError naming the file if it is not."""
    algorithm, expected = digest.split(":")
    content = _read(path)
    if hashlib.new(algorithm, content, usedforsecurity=False).hexdigest() != expected:
        raise DataError(
            f"{path} is truncated or altered (its {algorithm.upper()} sum is not the official one); "
            "delete it or replace it by the official file"
        )
    return content


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check the file and its permissions") from error


def _is_file(path: Path) -> bool:
    """Whether a file is there; no in folders that must not be looked into."""
    try:
        return path.is_file()
    except PermissionError:
        return False


def _locate(source: Source, keys: Sequence[str], folders: Sequence[Path]) -> Found | None:
    incomplete = []
    for folder in folders:
        for form in source.forms:
            for place in form.places:
                found = Found(form, folder / place)
                missing = [name for key in keys if not _is_file(found.folder / (name := form.files[key].name))]
                if len(missing) == len(keys) or _is_stranger(found):
                    continue
                if not missing:
                    return found
                incomplete.append(f"{found.folder} lacks {', '.join(missing)}")
            if form.archive and _is_file(folder / form.archive.name):
                return Found(form, _extract(folder / form.archive.name, form))
    if incomplete:
        raise DataError(f"{source.title} is incomplete: {'; '.join(incomplete)}; add the missing files there")
    return None


def _is_stranger(found: Found) -> bool:
    """Whether the folder holds another data set under the same file names (told by its smallest file)."""
    if not found.form.strangers:
        return False
    present = [path for file in found.form.files.values() if _is_file(path := found.folder / file.name)]
    content = _read(min(present, key=lambda path: path.stat().st_size))
    algorithms = {digest.split(":")[0] for digest in found.form.strangers}
    sums = {f"{name}:{hashlib.new(name, content, usedforsecurity=False).hexdigest()}" for name in algorithms}
    return not sums.isdisjoint(found.form.strangers)


def _extract(archive: Path, form: Form) -> Path:
    """Extract a checked archive into the cache, or take what is there from an earlier time."""
    assert form.archive is not None
    target = cache_folder() / form.places[0]
    if all(_is_file(target / file.name) for file in form.files.values()):
        return target
    read_checked(archive, form.archive.digest)
    with staging(cache_folder()) as stage:
        extract_archive(str(archive), str(stage))
        publish(stage / form.places[0], target)
    return target


def _absent(source: Source, folders: Sequence[Path], problem: str) -> str:
    wanted = [f"{form.places[0]}/{next(iter(form.files.values())).name}" for form in source.forms]
    wanted += [form.archive.name for form in source.forms if form.archive]
    return (
        f"{source.title} is not on this machine: looked for {' or '.join(wanted)} in {', '.join(map(str, folders))}, "
        f"and {problem}; place the official files in one of these folders, or name their folder with --data-dir "
        "or $WAVPOOL_DATA"
    )
