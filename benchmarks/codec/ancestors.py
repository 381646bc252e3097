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
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wavpool.codec.points import Curve
from wavpool.codec.report import write_report
from wavpool.codec.sweep import STRENGTHS, sweep

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
    for path in (*figures, *run.glob("*.csv")):
        shutil.copyfile(path, output / path.name)
    print(f"{output}: tables and figures; the interactive page is {run / 'report.html'}")


if __name__ == "__main__":
    main()
