"""Draw the picture of the block: `python docs/block.py` writes docs/block.png."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pywt
import torch
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Rectangle

from wavpool.transforms import wavedec2

INK, BAND, UNITS, HIDDEN = "#1f2933", "#2a6f97", "#e07a1f", "#5a8f3c"
LEVELS = 3


def pyramid(image: torch.Tensor) -> np.ndarray:
    """The coefficients in the usual layout, each band scaled to its own range."""
    coefficients = wavedec2(image, level=LEVELS)
    canvas = _scaled(coefficients[0], 0.0)
    for horizontal, vertical, diagonal in coefficients[1:]:
        top = np.hstack([canvas, _scaled(vertical)])
        canvas = np.vstack([top, np.hstack([_scaled(horizontal), _scaled(diagonal)])])
    return canvas


def _scaled(band: torch.Tensor | tuple, middle: float | None = None) -> np.ndarray:
    values = band.numpy()
    if middle is not None:
        return (values - values.min()) / np.ptp(values)
    limit = np.quantile(np.abs(values), 0.98)
    return np.clip(values / limit, -1, 1) / 2 + 0.5


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, color="#8a949e", lw=0.9))


def _title(axes: Axes, x: float, head: str, tail: str) -> None:
    axes.text(x, 1.17, head, ha="center", va="bottom", fontsize=11.5, fontweight="bold", color=INK)
    axes.text(x, 1.155, tail, ha="center", va="top", fontsize=9, color="#52606d", linespacing=1.25)


def main() -> None:
    """Draw and write."""
    image = torch.from_numpy(pywt.data.camera().astype(np.float64))
    image = image.unflatten(0, (256, 2)).unflatten(-1, (256, 2)).mean((1, 3))
    figure = plt.figure(figsize=(11, 3.5), dpi=170)
    axes = figure.add_axes((0.01, 0.01, 0.98, 0.98), xlim=(-0.1, 5.35), ylim=(-0.12, 1.42))
    axes.axis("off")
    axes.imshow(image, extent=(0, 1, 0, 1), cmap="gray", aspect="auto", zorder=2)
    axes.imshow(pyramid(image), extent=(1.35, 2.35, 0, 1), cmap="gray", aspect="auto", zorder=2)
    for level in range(LEVELS):
        side = 0.5**level
        box = {"fill": False, "ec": BAND, "lw": 1.2, "zorder": 3}
        axes.add_patch(Rectangle((1.35, 1 - side), side, side, **box))
        axes.plot([1.35 + side / 2] * 2, [1 - side, 1], color=BAND, lw=1.2, zorder=3)
        axes.plot([1.35, 1.35 + side], [1 - side / 2] * 2, color=BAND, lw=1.2, zorder=3)
    rows = 3 * LEVELS + 1
    for row in range(rows):
        y = 1 - (row + 0.5) / rows
        count, height = 12, 0.052
        _arrow(axes, (2.4, y), (2.78, y))
        for unit in range(count):
            axes.add_patch(Rectangle((2.82 + unit * 0.045, y - height / 2), 0.034, height, fc=UNITS, alpha=0.85))
        _arrow(axes, (3.38, y), (3.57, y))
        for unit in range(count // 2):
            axes.add_patch(Rectangle((3.6 + unit * 0.045, y - height / 2), 0.034, height, fc=BAND))
        axes.plot([3.9, 4.42], [y, 0.5], color="#c5ccd3", lw=0.7, zorder=1)
    for unit in range(8):
        axes.add_patch(Rectangle((4.42, 0.27 + unit * 0.058), 0.06, 0.046, fc=HIDDEN))
    _arrow(axes, (4.52, 0.5), (4.78, 0.5))
    axes.text(4.83, 0.5, "airplane\nautomobile\nbird\n$\\vdots$\ntruck", va="center", fontsize=9.5, color=INK)
    _arrow(axes, (1.04, 0.5), (1.31, 0.5))
    _title(axes, 0.5, "image", "any size, any channels")
    _title(axes, 1.85, "Haar pyramid", "fixed, orthonormal,\nall levels in one pass")
    _title(axes, 3.08, "MicroWav", "one dense layer\na band")
    _title(axes, 3.74, "WavPool", "maxout over\npairs of units")
    _title(axes, 4.45, "head", "one hidden\nlayer")
    target = Path(__file__).parent / "block.png"
    figure.savefig(target, facecolor="white")
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
