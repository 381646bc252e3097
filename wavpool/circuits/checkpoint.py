"""The state of a search in a file, from which it goes on exactly as if it had not been interrupted."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import files
from ..errors import UserError
from .search import Search
from .statistics import Row

FORMAT = 1


def save(search: Search, path: str | Path, fingerprint: str) -> None:
    """Write the state, whole or not at all; `fingerprint` says of what search.

    Raises:
        OSError: it cannot be written.
    """
    notes = {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "run": search.run,
        "phase": search.phase,
        "seconds": search.seconds,
        "is_finished": search.is_finished,
        "threshold": search.rules.threshold,
        "rows": [list(vars(row).values()) for row in search.rows],
    }
    progress = search.progress

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(
                file, genes=progress.genes, random=progress.random, counters=progress.counters, costs=progress.costs,
                notes=np.frombuffer(json.dumps(notes).encode(), dtype=np.uint8),
            )  # fmt: skip

    files.write_with(path, write)


def restore(search: Search, path: str | Path, fingerprint: str) -> None:
    """Bring a search to the state in a file.

    Raises:
        UserError: it is no such file, or one of another search.
        OSError: it cannot be read.
    """
    remedy = f"remove {path} to begin anew"
    stored = io.BytesIO(Path(path).read_bytes())  # from memory, no damage shows as an error of the disk
    try:
        with np.load(stored, allow_pickle=False) as content:
            notes = json.loads(content["notes"].tobytes())
            arrays = [content[name] for name in search.progress._fields]
            if notes["format"] != FORMAT or notes["fingerprint"] != fingerprint or notes["run"] != search.run:
                raise UserError(
                    f"{path} is of another search (other weights, settings, costs or version): choose another folder, "
                    "or remove this one"
                )
            rows = [Row(*row) for row in notes["rows"]]
            own: list[NDArray[Any]] = [*search.progress]
            for ours, theirs in zip(own, arrays, strict=True):
                if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
                    raise UserError(f"{path} is of another grid: {remedy}")
                ours[...] = theirs
    except UserError:
        raise
    except Exception:  # whatever numpy, zipfile, zlib and json say of damage
        raise UserError(f"{path} is no checkpoint of a search: {remedy}") from None
    search.resume(int(notes["threshold"]), int(notes["phase"]), float(notes["seconds"]), rows, notes["is_finished"])
