"""Compile a C source with the machine's own compiler, once, into a cache folder.

The library is keyed by sources, compiler, flags and processor, so that a home folder shared by different machines holds
one for each. Where anything is missing torch's own operators are used; `status()` says why.

Environment: `WAVPOOL_NATIVE=0` forbids kernels, `CC` names the compiler, `XDG_CACHE_HOME` moves the cache.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

Sources = tuple[Path, ...]  # the file to compile, then those that it includes
HERE = Path(__file__).parent
DWT: Sources = (HERE / "dwt.c", HERE / "dwt_real.h")
BLOCKS: Sources = (HERE / "blocks.h", HERE / "block_real.h")
HAAR2D: Sources = (HERE / "haar2d.c", HERE / "haar2d_real.h", *BLOCKS)

FORBIDDEN = os.environ.get("WAVPOOL_NATIVE") == "0"
BASE = ("-O3", "-std=gnu11", "-ffp-contract=fast", "-fno-math-errno", "-fPIC")
# Tuned and parallel, then less of either: not every compiler knows OpenMP or the processor's name.
# Of x86's vectors those of 32 bytes leave the shortest rest of a short row; other processors refuse the flag.
VARIANTS = (
    ("-march=native", "-mprefer-vector-width=256", "-fopenmp"),
    ("-march=native", "-fopenmp"),
    ("-march=native",),
    ("-mcpu=native",),
    (),
)
LINK = ("-shared", *(("-Wl,-undefined,dynamic_lookup",) if platform.system() == "Darwin" else ()))


class Unavailable(RuntimeError):
    """There is no kernel here; the message says why."""


@functools.cache
def _load(sources: Sources) -> ctypes.CDLL | Unavailable:
    try:
        return _compiled(sources)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:  # RuntimeError: no home folder, too
        return Unavailable(str(error))


def library(sources: Sources = DWT) -> ctypes.CDLL | None:
    """The compiled kernel, `None` where there is none."""
    loaded = _load(sources)
    return loaded if isinstance(loaded, ctypes.CDLL) else None


def status(sources: Sources = DWT) -> str:
    """Path of the compiled kernel, or why there is none.

    >>> isinstance(status(), str)
    True
    """
    loaded = _load(sources)
    return loaded._name if isinstance(loaded, ctypes.CDLL) else str(loaded)


def _compiled(sources: Sources) -> ctypes.CDLL:
    if FORBIDDEN:
        raise Unavailable("switched off by WAVPOOL_NATIVE=0")
    if os.name != "posix":
        raise Unavailable("built on Linux and macOS only")
    compiler = shutil.which(os.environ.get("CC") or "cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise Unavailable("no C compiler found; install gcc or clang, or set CC")
    reasons = []
    for flags in VARIANTS:
        try:
            return ctypes.CDLL(str(_build(sources, compiler, (*BASE, *flags))))
        except (OSError, subprocess.SubprocessError) as error:  # flags the compiler or the loader does not take
            reasons.append(_last_line(error))
    raise Unavailable(f"{compiler} cannot build it: {reasons[-1]}")


def _build(sources: Sources, compiler: str, flags: tuple[str, ...]) -> Path:
    digest = hashlib.sha256(repr((compiler, flags, LINK, _processor())).encode())
    for source in sources:
        digest.update(source.read_bytes())
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wavpool" / "native"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = folder / f"{sources[0].stem}-{digest.hexdigest()[:20]}.so"
    if target.exists() and target.stat().st_uid == os.getuid():  # never load what another user put there
        return target
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        built = Path(temporary) / target.name
        # In two steps: linking without -fopenmp leaves OpenMP's symbols to torch's own runtime, so that there is one
        # pool of threads and not two that wait for each other.
        objects = Path(temporary) / "objects.o"
        _run([compiler, *flags, "-c", str(sources[0]), "-o", str(objects)])
        _run([compiler, *LINK, str(objects), "-o", str(built)])
        built.replace(target)
    return target


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)


def _last_line(error: Exception) -> str:
    text = getattr(error, "stderr", None) or str(error)
    return (str(text).strip().splitlines() or ["no reason given"])[-1]


def _processor() -> str:
    """What `-march=native` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        return f"{platform.machine()} {platform.processor()}"
