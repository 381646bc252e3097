"""Wavelet layers beside a copy of their input, and WTConv2d beside the published code; writes tables and CSVs.

    python -m benchmarks.layers [--published FOLDER] [--seconds S] [--output FOLDER]

One thread. Times are processor time of the thread, medians of many calls taken in turn, so that other programs on the
machine count little. FOLDER holds the published package `wtconv` (github.com/BGU-CS-VIL/WTConv).
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from training.allocator import keep_freed_memory
from training.files import write_csv, write_text
from training.tables import markdown_table
from wavpool.layers import WaveletDownsample, WaveletPool2d, WaveletUpsample, WTConv2d

FOLDER = Path(__file__).parents[1] / "results" / "layers"
SHAPES = ((128, 64, 32, 32), (8, 64, 56, 56), (4, 3, 512, 512))
WTCONV_SHAPES = ((8, 64, 56, 56), (8, 256, 14, 14))
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
DTYPES = (torch.float32, torch.bfloat16)
DIRECTIONS = ("forward", "forward+backward")
Call = Callable[[], object]


def in_turn(calls: Mapping[str, Call], seconds: float) -> dict[str, float]:
    """Median milliseconds of processor time of each call, taken in turn for `seconds`, 5 times at least."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[next(iter(times))]) < 5:
        for name, call in calls.items():
            start = time.thread_time()
            call()
            times[name].append(1e3 * (time.thread_time() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def call_of(layer: nn.Module, x: Tensor, direction: str) -> Call:
    """A call of a layer, with the gradients of its input and parameters where the direction says so."""
    if direction == "forward":
        return torch.no_grad()(partial(layer, x))
    inputs = [x.detach().clone().requires_grad_(), *(each for each in layer.parameters() if each.requires_grad)]
    grad = torch.randn_like(layer(inputs[0]))
    return lambda: torch.autograd.grad(layer(inputs[0]), inputs, grad)


def against_clone(seconds: float) -> Iterator[dict[str, Any]]:
    """Rows of the layers that halve and double maps; a copy is of the full-size map."""
    for shape in SHAPES:
        for dtype in DTYPES:
            for name, memory_format in FORMATS.items():
                x = torch.randn(shape).to(dtype, memory_format=memory_format)
                layers: dict[str, tuple[nn.Module, Tensor]] = {
                    "WaveletDownsample": (WaveletDownsample(), x),
                    "WaveletUpsample": (WaveletUpsample(), WaveletDownsample()(x)),
                    "WaveletPool2d max": (WaveletPool2d(), x),
                    "WaveletPool2d average": (WaveletPool2d("average"), x),
                    "WaveletPool2d moduli": (WaveletPool2d("moduli", shape[1], dtype=dtype), x),
                }
                calls: dict[str, Call] = {"clone": x.clone}
                for layer, (module, given) in layers.items():
                    calls |= {f"{layer}, {direction}": call_of(module, given, direction) for direction in DIRECTIONS}
                times = in_turn(calls, seconds)
                case = {"shape": shape_text(shape), "dtype": str(dtype).removeprefix("torch."), "memory_format": name}
                for layer in layers:
                    forward, both = (times[f"{layer}, {direction}"] for direction in DIRECTIONS)
                    yield {
                        **case,
                        "layer": layer,
                        "clone_ms": f"{times['clone']:.4g}",
                        "forward_ms": f"{forward:.4g}",
                        "both_ms": f"{both:.4g}",
                        "forward_per_clone": f"{forward / times['clone']:.3g}",
                        "backward_per_clone": f"{(both - forward) / times['clone']:.3g}",
                    }


def against_published(seconds: float, published: Path) -> Iterator[dict[str, Any]]:
    """Rows of WTConv2d; both layers have the same weights, and the results are compared first."""
    sys.path.insert(0, str(published))
    from wtconv.wtconv2d import WTConv2d as Published  # type: ignore[import-not-found]

    for shape in WTCONV_SHAPES:
        for name, memory_format in FORMATS.items():
            for levels in (1, 3):
                x = torch.randn(shape).contiguous(memory_format=memory_format)
                theirs, ours = Published(shape[1], shape[1], wt_levels=levels), WTConv2d(shape[1], levels=levels)
                ours.load_published(theirs.state_dict())
                torch.testing.assert_close(ours(x), theirs(x), atol=1e-4, rtol=1e-4)
                for direction in DIRECTIONS:
                    layers = {"published": theirs, "ours": ours}
                    calls = {key: call_of(layer, x, direction) for key, layer in layers.items()}
                    times = in_turn(calls, seconds)
                    yield {
                        "shape": shape_text(shape),
                        "memory_format": name,
                        "levels": levels,
                        "direction": direction,
                        "published_ms": f"{times['published']:.4g}",
                        "ours_ms": f"{times['ours']:.4g}",
                        "times_faster": f"{times['published'] / times['ours']:.3g}",
                    }


def shape_text(shape: Sequence[int]) -> str:
    """Sizes with crosses between them.

    >>> shape_text((2, 3))
    '2x3'
    """
    return "x".join(map(str, shape))


def copies_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line per input: forward and backward of each layer, in copies of the map."""
    lines: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        cells = lines.setdefault((row["shape"], row["dtype"], row["memory_format"]), [])
        cells.append(f"{float(row['forward_per_clone']):.1f} / {float(row['backward_per_clone']):.1f}")
    layers = [f"({name.removeprefix('Wavelet')})" for name in dict.fromkeys(row["layer"] for row in rows)]
    return markdown_table(
        ["shape", "dtype", "memory format", *layers], [[*case, *cells] for case, cells in lines.items()]
    )


def wtconv_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line per measurement."""
    head = ["shape", "memory format", "(levels)", "direction", "(published, ms)", "(ours, ms)", "(times faster)"]
    return markdown_table(head, [[str(value) for value in row.values()] for row in rows])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--published", type=Path, help="folder that holds the published package wtconv")
    parser.add_argument("--seconds", type=float, default=10.0, help="wall-clock time per case (default %(default)s)")
    parser.add_argument("--output", type=Path, default=FOLDER, help="where the tables go (default %(default)s)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    keep_freed_memory()
    options.output.mkdir(parents=True, exist_ok=True)
    copies = list(against_clone(options.seconds))
    write_csv(options.output / "copies.csv", copies)
    write_text(options.output / "copies.md", copies_table(copies))
    if options.published:
        rows = list(against_published(options.seconds, options.published))
        write_csv(options.output / "wtconv.csv", rows)
        write_text(options.output / "wtconv.md", wtconv_table(rows))


if __name__ == "__main__":
    main()
