"""The ancestors' experiments: take more and more away from a trained network until it breaks.

    python -m benchmarks.codec.ancestors mnist

* ``mnist``: the MLP 784-128-10. The ancestors zeroed Haar coefficients of its two matrices below an absolute threshold.
* ``image``: MobileNetV2 on ImageNet images, which stands in for ResNet-18 where ImageNet is not at hand. Where it is:
  ``wavpool sweep resnet18 imagenet --split validation``.
* ``text``: a BERT encoder, MiniLM, with a head for SST-2.

Each is a sweep (see `wavpool sweep`) of the ancestors' ways and of ours, with its critical sizes and a report; what an
interrupted one has measured is not measured again. Tables and figures go to results/codec/NAME.
"""

from __future__ import annotations

import argparse
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.tables import markdown_table
from wavpool.codec.points import Curve, Row, curve_of, read_cliffs
from wavpool.codec.report import write_report
from wavpool.codec.report_figures import CRITICAL
from wavpool.codec.sweep import STRENGTHS, sweep
from wavpool.files import write_text

from .compare import RESULTS, RUNS, show, subject


@dataclass(frozen=True)
class Experiment:
    """What is swept: a network of :data:`benchmarks.codec.cases.CASES` and the curves."""

    network: str
    curves: tuple[Curve, ...]


_PRUNING = (Curve("magnitude", "none"), Curve("random", "none"))
_ROUNDING = (Curve("kmeans", "none"), Curve("fixed", "none"), Curve("uniform"), Curve("calibrated"))
EXPERIMENTS = {
    "mnist": Experiment("mnist_mlp", (Curve("hard", "haar@matrix"), Curve("hard", "none"), *_PRUNING, *_ROUNDING)),
    "image": Experiment("mobilenet_v2", (Curve("percentile", "haar@taps"), *_PRUNING, *_ROUNDING)),
    "text": Experiment("minilm_sst2", (*_PRUNING, *_ROUNDING)),
}


def cliffs(rows: Sequence[Row]) -> str:
    """Critical sizes in bytes with their intervals as Markdown, the smallest first: from rows of `cliffs.csv`."""
    found = {(curve_of(row), row["critical"]): row for row in rows}
    ordered = sorted(
        {curve for curve, _ in found}, key=lambda curve: found.get((curve, "1"), {}).get("bytes", math.inf)
    )
    lines = [[curve.label, *(_bytes(found.get((curve, critical))) for critical in CRITICAL)] for curve in ordered]
    return markdown_table(["method", *(f"({text})" for text in CRITICAL.values())], lines)


def _bytes(row: Row | None) -> str:
    if row is None:
        return "–"
    high = f"to {row['bytes_high']:,.0f}" if math.isfinite(row["bytes_high"]) else "or more"
    return f"{row['bytes']:,} ({row['bytes_low']:,.0f} {high})"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.codec.ancestors", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("name", choices=EXPERIMENTS, help="which experiment")
    parser.add_argument("--strengths", nargs="+", type=float, default=STRENGTHS, help=f"[{STRENGTHS}]")
    parser.add_argument("--methods", nargs="+", metavar="METHOD", help="only these of the experiment's methods [all]")
    parser.add_argument("--no-cliff", action="store_true", help="leave out the search for the critical sizes")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help=f"[{RESULTS}/NAME]")
    given = parser.parse_args(arguments)
    experiment = EXPERIMENTS[given.name]
    curves = [curve for curve in experiment.curves if not given.methods or curve.method in given.methods]
    run, output = RUNS / f"ancestors-{given.name}", given.output or RESULTS / given.name
    sweep(run, subject(experiment.network), curves, given.strengths, cliff=not given.no_cliff, progress=show)
    figures = [path for path in write_report(run) if path.suffix == ".png"]
    output.mkdir(parents=True, exist_ok=True)
    write_text(output / "cliffs.md", cliffs(read_cliffs(run)))
    for path in (*figures, *run.glob("*.csv")):
        shutil.copyfile(path, output / path.name)
    print(f"{output}: tables and figures; the interactive page is {run / 'report.html'}")


if __name__ == "__main__":
    main()
