"""The table of the spectral preset: ``python -m training.spectral_table runs/spectral``.

One row a transform and choice of layers: parameters, bytes of the file, latency, and test accuracy on each data set as
mean and standard deviation over the seeds, beside the single runs that the ancestor's author published.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from generators.errors import UserError
from training.config import ConfigError, TrainConfig, read_yaml
from training.engine import load
from training.files import write_csv, write_text
from training.networks import build_model, example, inference_ms
from training.report import read_metrics
from training.tables import markdown_table

OUTPUT = Path(__file__).parents[1] / "results" / "spectral"
PUBLISHED: Mapping[tuple[str | None, str], tuple[float | None, float | None]] = {
    (None, ""): (0.989, 0.577),
    ("dct", "linear"): (0.988, 0.616),
    ("dst", "linear"): (0.989, 0.644),
    ("dft", "linear"): (0.989, 0.645),
    ("shannon", "linear"): (0.989, 0.634),
    ("realshannon", "linear"): (0.987, 0.624),
    ("dct", "conv"): (0.637, 0.291),
    ("dst", "conv"): (0.690, 0.262),
    ("realshannon", "conv"): (0.966, 0.468),
    ("dct", "all"): (0.497, 0.274),
    ("dst", "all"): (0.296, 0.225),
    ("dft", "all"): (None, 0.390),
    ("shannon", "all"): (0.929, 0.363),
    ("realshannon", "all"): (0.922, 0.387),
}
"""Test accuracy of LeNet on MNIST and CIFAR-10 in "cnn_compression", commit 71aead3: one run each, 30 epochs."""

TITLES = {"mnist": "MNIST", "cifar10": "CIFAR-10"}

Key = tuple[str | None, str]


def collect(folder: Path) -> dict[Key, dict[str, list[tuple[TrainConfig, dict[str, Any]]]]]:
    """The finished runs below a folder, by transform and layers, then by data set.

    Raises:
        ConfigError: there is none.
    """
    found: dict[Key, dict[str, list[tuple[TrainConfig, dict[str, Any]]]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(folder.glob("*/*/metrics.json")):
        config = TrainConfig.checked(read_yaml(path.parent / "config.yaml"))
        key = (config.kernel, config.layers if config.kernel else "")
        found[key][config.data].append((config, read_metrics(path.parent)))
    if not found:
        raise ConfigError(f"{folder} holds no finished run; make them by run_experiments.py --preset spectral")
    return found


def rows(folder: Path) -> list[dict[str, Any]]:
    """One row a transform and choice of layers; the network is CIFAR-10's, of three channels, where it is there."""
    torch.set_num_threads(1)
    table = []
    for (kernel, layers), by_data in collect(folder).items():
        row: dict[str, Any] = {"transform": kernel or "dense", "layers": layers}
        config, metrics = by_data.get("cifar10", next(iter(by_data.values())))[0]
        model = build_model(config, data := load(config)).eval()
        row |= {"parameters": metrics["parameters"], "bytes": metrics["bytes"]}
        row["latency_ms"] = inference_ms(model, example(data, config.image_size), timings=300)
        published = dict(zip(TITLES, PUBLISHED.get((kernel, layers), (None, None)), strict=True))
        for name in TITLES:
            scores = [metrics["test"]["accuracy"] for _, metrics in by_data.get(name, [])]
            row[f"{name}_runs"] = len(scores)
            row[f"{name}_mean"] = statistics.mean(scores) if scores else None
            row[f"{name}_sd"] = statistics.stdev(scores) if len(scores) > 1 else None
            row[f"{name}_published"] = published[name]
        table.append(row)
    order = ["dense", "dct", "dst", "dft", "shannon", "realshannon"]
    choices = ["", "linear", "conv", "all"]
    place = {name: number for number, name in enumerate(order)}
    return sorted(table, key=lambda row: (choices.index(row["layers"]), place.get(row["transform"], 99)))


def document(table: Sequence[Mapping[str, Any]]) -> str:
    """The rows as Markdown; data sets without a run are left out."""
    measured = {name: title for name, title in TITLES.items() if any(row[f"{name}_runs"] for row in table)}
    head = ["transform", "layers", "(parameters)", "(bytes)", "(latency, ms)"]
    head += [cell for title in measured.values() for cell in (f"({title})", "(author's)")]
    lines = []
    for row in table:
        cells = [row["transform"], row["layers"] or "–", f"{row['parameters']:,}", f"{row['bytes']:,}"]
        cells.append(f"{row['latency_ms']:.2f}")
        for name in measured:
            mean, sd, published = (row[f"{name}_{part}"] for part in ("mean", "sd", "published"))
            spread = "" if sd is None else f" ± {sd:.4f}"
            cells += ["–" if mean is None else f"{mean:.4f}{spread}", "–" if published is None else f"{published:.3f}"]
        lines.append(cells)
    return markdown_table(head, lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.spectral_table", description=__doc__)
    parser.add_argument("runs", type=Path, help="output folder of run_experiments.py --preset spectral")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of lenet.csv and lenet.md")
    options = parser.parse_args(arguments)
    try:
        table = rows(options.runs)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    write_csv(options.output / "lenet.csv", table)
    write_text(options.output / "lenet.md", document(table))
    print(document(table), end="")


if __name__ == "__main__":
    main()
