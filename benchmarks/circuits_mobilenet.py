"""All weights of MobileNetV2's convolutions by a chain of circuits, from the first 96 weights of the first layer.

    python -m benchmarks.circuits_mobilenet [--folder runs/circuits_mobilenet] [--output results/circuits]

The network is torchvision's, quantised by calibration on 250 ImageNet samples of the shared data; accuracy is agreement
with labels on others of them, which the network was probably trained on: a check against the original network, no
validation accuracy. Runs the `wavpool circuits` commands that a user would type. Half an hour on two cores.
"""

import argparse
import csv
import os
from collections.abc import Sequence
from pathlib import Path

from training.tables import markdown_table
from wavpool import files

from .circuits import problems
from .circuits_lenet import SEARCH, command

MODEL = ["torchvision:mobilenet_v2"]
CALIBRATION, TEST = "benchmarks.codec.data:imagenet_calibration", "benchmarks.codec.data:imagenet_test"
GENERATIONS, RUNS, IMAGES = 1_000_000, 2, 250
COLUMNS = ("subexperiment", "error", "energy", "gates", "accuracy", "accuracy_low", "accuracy_high", "seconds")


def main(arguments: Sequence[str] | None = None) -> None:
    """Compute and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/circuits_mobilenet"))
    parser.add_argument("--output", type=Path, default=Path("results/circuits"))
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    floats = problems().parent / "weights" / "mobilenet_v2-b0353104.pth"
    weights, target = chosen.folder / "mobilenet_int8.pth", chosen.folder / "chain"
    if not weights.exists():
        command("quantize", *MODEL, CALIBRATION, "--checkpoint", str(floats), "-o", str(weights))
    command(
        "chain",
        "train",
        str(weights),
        "-o",
        str(target),
        "--runs",
        str(RUNS),
        "--generations",
        str(GENERATIONS),
        *SEARCH,
    )
    command(
        "chain", "model-metrics", str(target), *MODEL, TEST, "--weights", str(weights), "--top", "1",
        "--limit", str(IMAGES), "--batch-size", "50",
    )  # fmt: skip
    with (target / "model_metrics.csv").open(encoding="utf-8") as file:
        rows = [{key: row[key] for key in COLUMNS} for row in csv.DictReader(file)]
    files.write_csv(chosen.output / "mobilenet.csv", rows)
    shown = [row for row in rows if row["subexperiment"] in ("original", "whole network")]
    cells = [[_short(row[key]) for key in COLUMNS] for row in shown]
    files.write_text(chosen.output / "mobilenet.md", markdown_table([key.replace("_", " ") for key in COLUMNS], cells))


def _short(text: str) -> str:
    try:
        return f"{float(text):,.4g}"
    except ValueError:
        return text or "–"


if __name__ == "__main__":
    main()
