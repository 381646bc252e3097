"""Ours beside the rival: one table and one figure of accuracy against bytes.

    python -m benchmarks.codec.nncodec_rival resnet20 resnet56
    python -m benchmarks.codec.compare resnet20 resnet56

Ours is ``wavpool.codec.compress`` at rising strengths, calibrated on unlabelled images and without data, each point
compressed, written, read and evaluated on the test data by `wavpool sweep`; what was measured before is not measured
again. Written are results/codec/compare.csv, .md and .png. The rival's best points are chosen on the test data, which
favours it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from wavpool.codec.bench import Subject
from wavpool.codec.points import Curve, curve_of
from wavpool.codec.sweep import SweepEvent, sweep
from wavpool.evaluation.specs import DataSpec, ModelSpec
from wavpool.files import write_csv, write_text
from wavpool.pages import COLORS, save_png

from .cases import CASES
from .measure import bytes_at, smallest_within
from .nncodec_rival import RESULTS as RIVAL
from .nncodec_rival import Row, read_rows

ROOT = Path(__file__).parents[2]
RESULTS, RUNS = ROOT / "results" / "codec", ROOT / "runs" / "codec"
CALIBRATED, DATA_FREE = "wavpool, calibrated", "wavpool, no data"
NNCODEC = {"plain": "NNCodec", "folded": "NNCodec, folded", "recalibrated": "NNCodec, recalibrated"}
PEERS = (NNCODEC["folded"], NNCODEC["recalibrated"])
STRENGTHS, DATA_FREE_STRENGTHS = (0.3, 0.36, 0.43, 0.5, 0.6, 0.7), (0.3, 0.38, 0.46, 0.58, 0.7)
MAX_DROP, KL = 0.5, 0.05
COLUMNS = ("model", "coder", "setting", "bytes", "accuracy", "drop", "drop_low", "drop_high", "kl", "agreement")


def name_of(function: Callable[[], Any]) -> str:
    """A factory as the command line takes it: ``module:function``."""
    return f"{function.__module__}:{function.__name__}"


def subject(name: str, calibrated: bool = True) -> Subject:
    """A network of :data:`benchmarks.codec.cases.CASES` as `wavpool sweep` takes it, calibrated or not."""
    case = CASES[name]
    model, test, calibration = map(name_of, (case.network, case.test, case.calibration))
    return Subject(ModelSpec(model), DataSpec(test), DataSpec(calibration) if calibrated else None)


def ours(name: str, calibrated: Sequence[float], data_free: Sequence[float]) -> list[Row]:
    """Rows of our codec, in :data:`COLUMNS`, at these strengths with calibration and without data."""
    free, data = Curve("uniform"), Curve("calibrated")
    points = sweep(RUNS / f"{name}-no-data", subject(name, False), [free], data_free, cliff=False, progress=show)
    points += sweep(RUNS / name, subject(name), [data], calibrated, cliff=False, progress=show)
    coders = {free: DATA_FREE, data: CALIBRATED}
    return [
        {
            **{key: point[key] for key in COLUMNS if key in point},
            "model": name,
            "coder": coders[curve_of(point)],
            "setting": point["strength"],
            "accuracy": 100 * point["accuracy"],
            "agreement": 100 * point["agreement"],
        }
        for point in points
        if curve_of(point) in coders
    ]


def show(event: SweepEvent) -> None:
    """Say how far a sweep is."""
    print(f"{event.done} of {event.total}: {event.label}", flush=True)


def rivals(names: Sequence[str], path: Path) -> list[Row]:
    """Rows of the rival, in :data:`COLUMNS`."""
    rows = [row | {"coder": NNCODEC[row["variant"]], "setting": row["qp"]} for row in read_rows(path)]
    return [row for row in rows if row["model"] in names]


def table(rows: Sequence[Row]) -> str:
    """A Markdown table: bytes at half a point of accuracy and at a divergence, and their share of the rival's."""
    share = f"of {' / '.join(PEERS)}"
    lines = [
        f"| network | coder | bytes at drop <= {MAX_DROP} points | {share} | bytes at KL {KL} | {share} |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for model in dict.fromkeys(row["model"] for row in rows):
        groups = _groups([row for row in rows if row["model"] == model])
        found = {coder: _sizes(group) for coder, group in groups.items()}
        for coder, sizes in found.items():
            cells = []
            for position, size in enumerate(sizes):
                peers = [found[peer][position] if peer in found else None for peer in PEERS]
                cells += [_bytes(size), " / ".join(_share(size, peer) for peer in peers)]
            lines.append(f"| {model} | {coder} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _sizes(rows: Sequence[Row]) -> tuple[float | None, float | None]:
    drops, divergences = ([(row["bytes"], row[key]) for row in rows] for key in ("drop", "kl"))
    return smallest_within(drops, MAX_DROP), bytes_at(divergences, KL)


def _groups(rows: Sequence[Row]) -> dict[str, list[Row]]:
    present = {row["coder"] for row in rows}
    order = [*NNCODEC.values(), DATA_FREE, CALIBRATED]
    return {coder: [row for row in rows if row["coder"] == coder] for coder in order if coder in present}


def _bytes(size: float | None) -> str:
    return "outside the sweep" if size is None else f"{size:,.0f}"


def _share(size: float | None, peer: float | None) -> str:
    return "-" if size is None or peer is None else f"{size / peer:.0%}"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Accuracy against bytes, a panel each network; the band is half a point below the original."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    figure = Figure(figsize=(6.2 * len(models), 4.6), layout="constrained")
    for axes, model in zip(figure.subplots(1, len(models), squeeze=False)[0], models, strict=True):
        groups = _groups([row for row in rows if row["model"] == model])
        for color, (coder, group) in zip(COLORS, groups.items(), strict=False):
            points = sorted((row["bytes"], row["accuracy"]) for row in group)
            axes.plot(*zip(*points, strict=True), marker="o", markersize=4, color=color, label=coder)
        first = next(row for row in rows if row["model"] == model)
        original = first["accuracy"] + first["drop"]
        axes.axhspan(original - MAX_DROP, original, color="#999999", alpha=0.25, linewidth=0)
        axes.set(xscale="log", xlabel="bytes of the file", ylabel="top-1 on the test split, %", title=model)
        axes.set_ylim(original - 10 * MAX_DROP, original + MAX_DROP)
        axes.grid(alpha=0.3, which="both")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="lower right")
    save_png(figure, path)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.codec.compare", description=(__doc__ or "").split(":")[0])
    parser.add_argument("networks", nargs="+", choices=CASES, metavar="NETWORK", help=f"of {', '.join(CASES)}")
    parser.add_argument("--strengths", nargs="+", type=float, default=STRENGTHS, help=f"[{STRENGTHS}]")
    parser.add_argument(
        "--data-free-strengths", nargs="+", type=float, default=DATA_FREE_STRENGTHS, help=f"[{DATA_FREE_STRENGTHS}]"
    )
    parser.add_argument("--rival", type=Path, default=RIVAL, metavar="CSV", help=f"[{RIVAL}]")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FOLDER", help=f"[{RESULTS}]")
    given = parser.parse_args(arguments)
    rows = rivals(given.networks, given.rival)
    for name in given.networks:
        rows += ours(name, given.strengths, given.data_free_strengths)
    rows.sort(key=lambda row: given.networks.index(row["model"]))
    write_csv(given.output / "compare.csv", [{key: row[key] for key in COLUMNS} for row in rows])
    write_text(given.output / "compare.md", table(rows))
    draw(rows, given.output / "compare.png")
    print(table(rows))


if __name__ == "__main__":
    main()
