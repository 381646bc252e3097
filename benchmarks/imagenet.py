"""Size, cost and speed of networks on ImageNet's images: parameters, MACs, feature maps, images per second, memory.

    python -m benchmarks.imagenet [--models NAME ...] [--size 224] [--batch-size 16] [--threads N] [--output FOLDER]

Takes any model of timm. Each is measured in a process of its own, with random weights and inputs: training needs
ImageNet itself (docs/timm.md has the command). Models that the CSV holds already stay in the table.

MACs are those of matrix products and convolutions, per image. Memory is the peak of the process above what it took
before the network was made: weights, gradients, optimiser state and activations.
"""

import argparse
import csv
import multiprocessing
import os
import resource
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import wavpool  # noqa: F401, timm finds our models through it
from training.allocator import keep_freed_memory
from training.files import write_csv, write_text
from training.tables import markdown_table

from .__main__ import describe_machine
from .timing import block, summarize

RESULTS = Path(__file__).parents[1] / "results" / "imagenet"
RIVALS = ("resnet50", "convnext_tiny")
CLASSES = 1000
COLUMNS = {
    "model": "model",
    "param_count": "(parameters, M)",
    "infer_gmacs": "(GMACs)",
    "feature_maps": "feature maps",
    "infer_samples_per_sec": "(images/s, inference)",
    "train_samples_per_sec": "(images/s, training)",
    "infer_memory_mb": "(MB, inference)",
    "train_memory_mb": "(MB, training)",
}
"""Columns of the table; the names in the CSV are timm's where it has them."""

Row = dict[str, Any]


def measure(name: str, size: int, batch: int, threads: int, seconds: float) -> Row:
    """Measure a model in this process, which should be a fresh one: memory is a peak of the whole process."""
    keep_freed_memory()
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    training_step(create("lenet5", 32), torch.rand(1, 3, 32, 32), torch.zeros(1, dtype=torch.long))()  # loads libraries
    before = _resident_bytes()
    model = create(name, size)
    images, labels = torch.rand(batch, 3, size, size), torch.randint(CLASSES, (batch,))
    inference = _per_second(torch.inference_mode()(lambda: model.eval()(images)), batch, seconds)
    inference_peak = _peak_bytes() - before
    training = _per_second(training_step(model.train(), images, labels), batch, seconds)
    training_peak = _peak_bytes() - before
    image = torch.rand(1, 3, size, size)
    return {
        "model": name,
        "infer_samples_per_sec": round(inference, 2),
        "train_samples_per_sec": round(training, 2),
        "infer_memory_mb": round(inference_peak / 1e6, 1),
        "train_memory_mb": round(training_peak / 1e6, 1),
        "param_count": round(sum(each.numel() for each in model.parameters()) / 1e6, 3),
        "infer_gmacs": round(count_macs(model.eval(), image) / 1e9, 4),
        "feature_maps": feature_maps(name, image),
        "img_size": size,
        "batch_size": batch,
        "threads": threads,
    }


def create(name: str, size: int, **settings: Any) -> nn.Module:
    """The network for ImageNet; one of a fixed image size is made for `size`."""
    config = timm.get_pretrained_cfg(name)
    if config is not None and config.fixed_input_size:
        settings["img_size"] = size
    model: nn.Module = timm.create_model(name, num_classes=CLASSES, in_chans=3, **settings)
    return model


def count_macs(model: nn.Module, image: Tensor) -> int:
    """Multiply-accumulates of matrix products and convolutions.

    >>> count_macs(nn.Conv2d(3, 8, 3), torch.zeros(1, 3, 4, 4))
    864
    """
    with FlopCounterMode(display=False) as counter:
        model(image)
    return int(counter.get_total_flops()) // 2


def feature_maps(name: str, image: Tensor) -> str:
    """Shapes of the maps of `features_only`; empty for a network without any."""
    try:
        model = create(name, image.shape[-1], features_only=True).eval()
    except (AttributeError, RuntimeError, TypeError):  # what timm raises for networks without such maps
        return ""
    with torch.inference_mode():
        return " ".join("x".join(map(str, each.shape[1:])) for each in model(image))


def training_step(model: nn.Module, images: Tensor, labels: Tensor) -> Callable[[], None]:
    """One step of SGD with momentum."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def call() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()

    return call


def _per_second(call: Callable[[], object], batch: int, seconds: float) -> float:
    return 1e3 * batch / summarize(block(call)(seconds)).median_ms


def _peak_bytes() -> int:
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def _resident_bytes() -> int:
    """Memory of this process now, on Linux; elsewhere its peak."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return _peak_bytes()
    return int(statm.read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def markdown(rows: Sequence[Row]) -> str:
    """The table, with what it depends on."""
    body = [[str(row[key]) for key in COLUMNS] for row in rows]
    settings = sorted(
        {f"{row['img_size']} pixels, batch {row['batch_size']}, {row['threads']} threads" for row in rows}
    )
    machine = "\n".join(f"- {name}: {value}" for name, value in describe_machine().items())
    return f"{markdown_table(list(COLUMNS.values()), body)}\n- {'; '.join(sorted(settings))}\n{machine}\n"


def run(models: Sequence[str], output: Path, size: int, batch: int, threads: int, seconds: float) -> None:
    """Measure the models one after the other, and write `imagenet.csv` and `imagenet.md` after each."""
    path = output / "imagenet.csv"
    rows: list[Row] = []
    if path.exists():
        with path.open(encoding="utf-8") as file:
            rows = [dict(row) for row in csv.DictReader(file) if row["model"] not in models]
    for name in models:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            rows.append(process.submit(measure, name, size, batch, threads, seconds).result())
        print(" ".join(f"{key}={value}" for key, value in rows[-1].items()), flush=True)
        write_csv(path, rows)
        write_text(output / "imagenet.md", markdown(rows))


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.imagenet", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", metavar="NAME", default=list(RIVALS), help="models of timm")
    parser.add_argument("--size", type=int, default=224, help="side of the images")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=10.0, help="for each of inference and training")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the CSV and the table")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.models if not timm.is_model(name)]:
        parser.error(f"timm has no model {unknown[0]!r}: timm.list_models() lists them")
    run(options.models, options.output, options.size, options.batch_size, options.threads, options.seconds)


if __name__ == "__main__":
    main()
