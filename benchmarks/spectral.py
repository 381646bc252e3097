"""Spectral layers beside torch's dense ones and the ancestor's formulation: time and memory; writes a table and a CSV.

    python -m benchmarks.spectral [--threads N] [--seconds S] [--output FOLDER]

Times are medians of many calls, taken in turn. Memory is the peak of what the operators allocate in a call, by torch's
profiler, and the parameters.
"""

import argparse
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from training.allocator import keep_freed_memory
from training.files import write_csv, write_text
from training.tables import markdown_table
from wavpool.layers import SpectralConv2d, SpectralLinear

from .document import milliseconds
from .timing import block, interleaved

FOLDER = Path(__file__).parents[1] / "results" / "spectral"
SECONDS = 6.0  # an implementation in a case
DENSE, ANCESTOR = "dense", "ancestor"
FREQUENCIES, COEFFICIENTS = "wavpool, frequencies", "wavpool, 1/4 of coefficients"


class AncestorLinear(nn.Module):
    """LinearDCT of "cnn_compression" by its specification: a weight made anew in each call, and a bilinear product."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.frequency = nn.Parameter(torch.arange(out_features, dtype=torch.float32))
        self.bias = nn.Parameter(torch.randn(out_features) * 0.5)
        self.in_features = in_features

    def forward(self, x: Tensor) -> Tensor:
        weight = _cosines(self.frequency, self.in_features)
        return F.bilinear(torch.ones(len(x), 1), x, weight[:, None], self.bias)


class AncestorConv(nn.Module):
    """Conv2dDCT of "cnn_compression" with its axes in order: the whole kernel made anew in each call."""

    def __init__(self, in_channels: int, out_channels: int, size: int, padding: int) -> None:
        super().__init__()
        self.frequencies = nn.ParameterList([torch.arange(float(n)) for n in (out_channels, size, size)])
        self.delta = nn.Parameter(torch.randn(out_channels, size, size))
        self.in_channels, self.size, self.padding = in_channels, size, padding

    def forward(self, x: Tensor) -> Tensor:
        lengths = (self.in_channels, self.size, self.size)
        channels, height, width = (_cosines(each, n) for each, n in zip(self.frequencies, lengths, strict=True))
        basis = height[:, None, :, None] * width[None, :, None, :]
        patterns = (self.delta[:, :, :, None, None] * basis).mean((1, 2))
        return F.conv2d(x, channels[:, :, None, None] * patterns[:, None], padding=self.padding)


def _cosines(frequency: Tensor, n: int) -> Tensor:
    place = torch.arange(n, dtype=torch.float32)
    norm = torch.where(torch.arange(len(frequency)) == 0, 0.5, 1.0).div(2 * n).sqrt()
    return 2 * norm[:, None] * ((math.pi / 2) * (frequency / len(frequency))[:, None] * (2 * place + 1)).cos()


class Case(NamedTuple):
    """One layer and its input."""

    name: str
    shape: tuple[int, ...]
    layers: Mapping[str, Callable[[], nn.Module]]


def _linear(in_features: int, out_features: int, batch: int) -> Case:
    ours = partial(SpectralLinear, in_features, out_features, transform="dct")
    return Case(
        f"linear {in_features} to {out_features}, batch {batch}",
        (batch, in_features),
        {
            DENSE: partial(nn.Linear, in_features, out_features),
            ANCESTOR: partial(AncestorLinear, in_features, out_features),
            FREQUENCIES: partial(ours, parametrisation="frequencies"),
            COEFFICIENTS: partial(ours, keep=0.25),
        },
    )


def _conv(in_channels: int, out_channels: int, size: int, padding: int, side: int, batch: int) -> Case:
    ours = partial(SpectralConv2d, in_channels, out_channels, size, padding=padding, bias=False, transform="dct")
    return Case(
        f"conv {in_channels} to {out_channels}, {size}x{size} at {side}x{side}, batch {batch}",
        (batch, in_channels, side, side),
        {
            DENSE: partial(nn.Conv2d, in_channels, out_channels, size, padding=padding, bias=False),
            ANCESTOR: partial(AncestorConv, in_channels, out_channels, size, padding),
            FREQUENCIES: partial(ours, parametrisation="frequencies"),
            COEFFICIENTS: partial(ours, keep=0.25),
        },
    )


CASES = (
    _linear(9216, 4096, 32),
    _linear(1024, 1024, 32),
    _linear(120, 84, 64),
    _conv(256, 256, 3, 1, 14, 32),
    _conv(64, 64, 3, 1, 32, 32),
    _conv(6, 16, 5, 0, 14, 64),
    _conv(16, 120, 5, 0, 5, 64),
)


def measure(case: Case, seconds: float) -> Iterator[dict[str, Any]]:
    """Rows of a case: forward in eval mode, and forward with backward in training mode."""
    torch.manual_seed(0)
    x = torch.randn(case.shape)
    layers = {name: make() for name, make in case.layers.items()}
    for direction in ("forward", "forward+backward"):
        trains = direction != "forward"
        calls = {name: partial(_call, layer.train(trains), x, trains) for name, layer in layers.items()}
        timings = interleaved({name: block(call) for name, call in calls.items()}, seconds)
        floor = timings[DENSE].median_ms
        memory = {name: peak_memory(call) + _bytes(layers[name]) for name, call in calls.items()}
        for name, timing in timings.items():
            yield {
                "case": case.name,
                "direction": direction,
                "layer": name,
                "parameters": sum(each.numel() for each in layers[name].parameters()),
                "median_ms": f"{timing.median_ms:.5g}",
                "times_faster": f"{floor / timing.median_ms:.4g}",
                "memory_mib": f"{memory[name] / 2**20:.4g}",
                "memory_share": f"{memory[name] / memory[DENSE]:.4g}",
                "runs": timing.runs,
            }


def _call(layer: nn.Module, x: Tensor, trains: bool) -> None:
    if not trains:
        with torch.no_grad():
            layer(x)
        return
    x = x.detach().requires_grad_()
    y = layer(x)
    y.backward(torch.ones_like(y))
    layer.zero_grad()


def _bytes(layer: nn.Module) -> int:
    return sum(each.numel() * each.element_size() for each in (*layer.parameters(), *layer.buffers()))


def peak_memory(call: Callable[[], object]) -> int:
    """The most that a call holds at a time of what it has allocated, in bytes."""
    call()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    events: Any = profiler.profiler.kineto_results.events()
    held = peak = 0
    for event in sorted((each for each in events if each.name() == "[memory]"), key=lambda each: each.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as Markdown: one line a layer and direction."""
    head = ["case", "direction", "layer", "(parameters)", "(ms)", "(times faster)", "(MiB)", "(share of dense)"]
    lines = [
        [
            *(str(row[key]) for key in ("case", "direction", "layer")),
            f"{int(row['parameters']):,}",
            milliseconds(float(row["median_ms"])),
            f"{float(row['times_faster']):.3g}",
            f"{float(row['memory_mib']):.3g}",
            f"{float(row['memory_share']):.2g}",
        ]
        for row in rows
    ]
    return markdown_table(head, lines)


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a short Markdown table: one line a case and direction, ours by frequencies."""
    head = ["case", "direction", "(dense, ms)", "(ancestor, ms)", "(frequencies, ms)", "(times faster than dense)",
            "(share of its memory)"]  # fmt: skip
    cases: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        cases.setdefault((row["case"], row["direction"]), {})[row["layer"]] = row
    lines = [
        [
            *case,
            *(milliseconds(float(layers[layer]["median_ms"])) for layer in (DENSE, ANCESTOR, FREQUENCIES)),
            f"{float(layers[FREQUENCIES]['times_faster']):.3g}",
            f"{float(layers[FREQUENCIES]['memory_share']):.2g}",
        ]
        for case, layers in cases.items()
    ]
    return markdown_table(head, lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spectral", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="of torch [1]")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help=f"for each implementation in a case [{SECONDS:g}]"
    )
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder of layers.csv, layers.md and summary.md")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    rows: list[dict[str, Any]] = []
    for case in CASES:
        for row in measure(case, options.seconds):
            print(*row.values(), sep="  ", flush=True)
            rows.append(row)
    write_csv(options.output / "layers.csv", rows)
    write_text(options.output / "layers.md", table(rows))
    write_text(options.output / "summary.md", summary(rows))


if __name__ == "__main__":
    main()
