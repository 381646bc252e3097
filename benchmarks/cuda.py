"""Haar on a CUDA device: the Triton kernels beside a copy of the tensor; writes a table and a CSV.

    python -m benchmarks.cuda [--output FOLDER]

Times are medians by CUDA events, the device's cache emptied before each. With small inputs they are those of launches
from Python; so kernels and copies are timed in CUDA graphs, too, where launches cost little and the cache is as the
last call left it. `tests/transforms/test_triton_haar.py` checks the results.
"""

import argparse
import functools
import importlib.metadata
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
import triton  # type: ignore[import-untyped]
from torch import Tensor

from training.files import write_csv, write_text
from training.report import commit
from training.tables import markdown_table
from wavpool.transforms import native

ROOT = Path(__file__).parents[1]
SHAPES = [(4096, 1, 32, 32), (8192, 64, 56, 56), (64, 64, 224, 224), (512, 3, 512, 512)]
LEVELS = {32: (1, 3, 5), 56: (3,), 224: (3, 5), 512: (1, 3, 9)}
DTYPES = (torch.float32, torch.bfloat16)
TARGET = 1.5  # times a copy
CASE = ("input", "dtype", "levels", "direction")
COLUMNS = (*CASE, "copy_ms", "triton_ms", "ratio", "copy_graph_ms", "triton_graph_ms", "graph_ratio")


def _milliseconds(call: Callable[[], object]) -> tuple[float, float]:
    """Launched from Python, and in a graph."""
    launched = triton.testing.do_bench(call, warmup=50, rep=200, return_mode="median")
    return float(launched), float(triton.testing.do_bench_cudagraph(call, rep=50, return_mode="median"))


def measure() -> Iterator[dict[str, object]]:
    """One row a case."""
    for shape, dtype in itertools.product(SHAPES, DTYPES):
        x = torch.randn(shape, device="cuda", dtype=dtype)
        copy = _milliseconds(x.clone)
        for level in LEVELS[shape[-1]]:
            forward = functools.partial(native.analysis, x, "haar", "symmetric", 2, level)
            inverse = functools.partial(native.synthesis, forward(), "haar", "symmetric", shape[-2:], level)
            yield _row(shape, dtype, level, "forward", copy, forward)
            yield _row(shape, dtype, level, "inverse", copy, inverse)


def _row(
    shape: tuple[int, ...],
    dtype: torch.dtype,
    level: int,
    direction: str,
    copies: tuple[float, float],
    call: Callable[[], Tensor],
) -> dict[str, object]:
    times = [
        value for copy, ours in zip(copies, _milliseconds(call), strict=True) for value in (copy, ours, ours / copy)
    ]
    names = ("x".join(map(str, shape)), str(dtype).removeprefix("torch."), str(level), direction)
    return dict(zip(COLUMNS, (*names, *(f"{value:.4g}" for value in times)), strict=True))


def document(rows: Sequence[Mapping[str, object]]) -> str:
    """The rows as a page of Markdown."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "triton"))
    missed, missed_in_graphs = (
        sum(float(str(row[name])) > TARGET for row in rows) for name in ("ratio", "graph_ratio")
    )
    head = [name if name in CASE else f"({name})" for name in COLUMNS]
    return (
        "# Haar on a CUDA device\n\n"
        "Written by `python -m benchmarks.cuda`; do not edit. Medians in milliseconds; a ratio is the time over that\n"
        "of a copy of the input (`x.clone()`), which reads and writes every value once, as the transform must.\n\n"
        f"- device: {torch.cuda.get_device_name()}\n- versions: {versions}\n- commit: {commit() or 'unknown'}\n"
        f"- target: at most {TARGET} times a copy; missed in {missed} of {len(rows)} cases, in {missed_in_graphs} "
        "of them as CUDA graphs\n\n" + markdown_table(head, [[str(value) for value in row.values()] for row in rows])
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cuda", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT, help="folder in which docs/ and results/ lie")
    output: Path = parser.parse_args(arguments).output
    native.use_triton()
    rows = []
    for row in measure():
        print(*row.values(), flush=True)
        rows.append(row)
    write_csv(output / "results" / "benchmarks" / "cuda.csv", rows)
    write_text(output / "docs" / "benchmarks_cuda.md", document(rows))


if __name__ == "__main__":
    main()
