"""Circuits for LeNet-5's convolutions on MNIST, from training to the table beside the ancestor's.

    python -m benchmarks.circuits_lenet [--folder runs/circuits] [--output results/circuits]

Runs the `wavpool circuits` commands that a user would type, and prints each. What is there already is not done again:
stopped, it goes on. About an hour on two cores.
"""

import argparse
import csv
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.tables import markdown_table
from wavpool import files

MODEL = [
    "lenet5", "--model-kwargs", "img_size=28", "--model-kwargs", "in_chans=1", "--model-kwargs", "num_classes=10",
]  # fmt: skip
TRAIN, TEST = "benchmarks.codec.data:mnist_train", "benchmarks.codec.data:mnist_test"
SEARCH = ["--children", "1", "--mutation-max", "0", "--patience", "10000000", "--workers", "2"]
EXPERIMENTS = {  # name -> what is computed, runs, generations
    "le_selector": ("conv1 and conv2 from constants", 4, 40_000_000),
    "layer_bypass": ("conv2 from conv1", 4, 40_000_000),
    "chain": ("all convolutions from 96 stored weights", 2, 10_000_000),
}
ANCESTOR = {  # experiment -> energy in pJ, gates, top-1, error (of all weights), runs and seconds of its author's
    "le_selector": ("1.71 (1.01 to 2.52)", "298 of all kinds", "0.9915", "11 (0 to 47)", "30", "32,681"),
    "layer_bypass": ("about 0.4 at e = 0", "about 220 of all kinds", "0.9915", "0", "29", "79,000"),
}


def command(*words: str) -> None:
    """Run and print a `wavpool circuits` command."""
    print("$ wavpool circuits", *words, flush=True)
    subprocess.run([sys.executable, "-W", "ignore", "-m", "wavpool.cli", "circuits", *words], check=True)


def quantized_network(folder: Path) -> str:
    """The file of the int8 state, which is made where it is not there yet."""
    floats, weights = str(folder / "lenet.safetensors"), str(folder / "lenet_int8.pth")
    if not Path(floats).exists():
        command("train-model", *MODEL, TRAIN, "--epochs", "12", "-o", floats)
    if not Path(weights).exists():
        command("quantize", *MODEL, TRAIN, "--checkpoint", floats, "--qat", "2", "-o", weights)
    return weights


def compute(folder: Path) -> None:
    """All that is not there yet."""
    weights = quantized_network(folder)
    command("evaluate", *MODEL, TEST, "--weights", weights)
    for name, (_, runs, generations) in EXPERIMENTS.items():
        target = str(folder / name)
        command(name, "train", weights, "-o", target, "--runs", str(runs), "--generations", str(generations), *SEARCH)
        command(name, "model-metrics", target, *MODEL, TEST, "--weights", weights)
        command("compare", target, *MODEL, TEST, "--weights", weights)


def table(folder: Path) -> list[dict[str, Any]]:
    """A row an experiment of our runs, and one of the ancestor's."""
    rows = []
    for name, (what, _, _) in EXPERIMENTS.items():
        with (folder / name / "model_metrics.csv").open(encoding="utf-8") as file:
            found = list(csv.DictReader(file))
        original = float(found[0]["accuracy"])
        runs = [row for row in found[1:] if row["subexperiment"] != "whole network"]
        whole = [row for row in found if row["subexperiment"] == "whole network"]
        shown = whole or runs
        rows.append({
            "experiment": name, "what": what, "by": "wavpool",
            "runs": len(runs), "error": _span([float(row["error"]) for row in shown], "{:.0f}"),
            "energy, pJ": _span([float(row["energy"]) for row in shown], "{:.2g}"),
            "gates": _span([float(row["gates"]) for row in shown], "{:.0f}"),
            "top-1": _span([float(row["accuracy"]) for row in shown], "{:.4f}"), "int8 top-1": f"{original:.4f}",
            "seconds a run": _span([float(row["seconds"]) for row in runs], "{:.0f}"),
        })  # fmt: skip
        if name in ANCESTOR:
            energy, gates, accuracy, error, count, seconds = ANCESTOR[name]
            rows.append({
                "experiment": name, "what": what, "by": "ancestor", "runs": count, "error": error,
                "energy, pJ": energy, "gates": gates, "top-1": accuracy, "int8 top-1": "0.9916",
                "seconds a run": seconds,
            })  # fmt: skip
    return rows


def _span(values: Sequence[float], form: str) -> str:
    """Median, and least to greatest where there are several."""
    middle = form.format(statistics.median(values))
    if len(values) == 1 or min(values) == max(values):
        return middle
    return f"{middle} ({form.format(min(values))} to {form.format(max(values))})"


def parsed(description: str | None, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The folders of the command line; what is computed in them uses one thread."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/circuits"))
    parser.add_argument("--output", type=Path, default=Path("results/circuits"))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Compute and write."""
    chosen = parsed(__doc__, arguments)
    compute(chosen.folder)
    rows = table(chosen.folder)
    files.write_csv(chosen.output / "lenet.csv", rows)
    head = list(rows[0])
    files.write_text(
        chosen.output / "lenet.md", markdown_table(head, [[str(row[key]) for key in head] for row in rows])
    )
    for name in EXPERIMENTS:
        for file in ("energy.csv", "energy.png", "verdict.txt"):
            shutil.copyfile(chosen.folder / name / file, chosen.output / f"{name}.{file}")


if __name__ == "__main__":
    main()
