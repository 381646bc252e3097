"""How LeNet-5's accuracy on MNIST falls when the same number is added to int8 weights: cores, rings, or all.

    python -m benchmarks.circuits_sensitivity [--folder runs/circuits] [--output results/circuits]

Runs the `wavpool circuits sensitivity` commands that a user would type, and prints each. Some minutes on one core,
after the training (`benchmarks.circuits_lenet` has the same network).
"""

import csv
from collections.abc import Sequence

from matplotlib.figure import Figure

from training.tables import markdown_table
from wavpool import files, pages

from .circuits_lenet import MODEL, TEST, command, parsed, quantized_network

OFFSETS = "-20:20:2"
PARTS = {"inner": "cores of 3 x 3", "outter": "rings around them", "all": "all weights"}
Point = tuple[int, float]


def figure(lines: dict[str, list[Point]]) -> Figure:
    """Accuracy against the offset, a line a part."""
    drawn = Figure(figsize=(7, 4), layout="constrained")
    axes = drawn.subplots()
    for color, (part, points) in zip(pages.COLORS, lines.items(), strict=False):
        axes.plot(*zip(*points, strict=True), marker="o", ms=4, color=color, label=PARTS[part])
    axes.set_xlabel("added to int8 weights")
    axes.set_ylabel("top-1 accuracy")
    axes.legend(frameon=False)
    pages.plain(axes, "x", "y")
    return drawn


def main(arguments: Sequence[str] | None = None) -> None:
    """Compute and write."""
    chosen = parsed(__doc__, arguments)
    weights = quantized_network(chosen.folder)
    rows = []
    for part in PARTS:
        path = chosen.folder / f"sensitivity.{part}.csv"
        command(
            "sensitivity", *MODEL, TEST, "--weights", weights, "--part", part, f"--offsets={OFFSETS}", "-o", str(path)
        )
        with path.open(encoding="utf-8") as file:
            rows += list(csv.DictReader(file))
    files.write_csv(chosen.output / "sensitivity.csv", rows)
    lines = {
        part: [(int(row["offset"]), float(row["accuracy"])) for row in rows if row["part"] == part] for part in PARTS
    }
    table = [
        [f"{same[0][0]:+d}", *(f"{accuracy:.4f}" for _, accuracy in same)] for same in zip(*lines.values(), strict=True)
    ]
    files.write_text(chosen.output / "sensitivity.md", markdown_table(["added", *PARTS.values()], table))
    pages.save_png(figure(lines), chosen.output / "sensitivity.png")


if __name__ == "__main__":
    main()
