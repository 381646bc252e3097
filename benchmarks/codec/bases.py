"""What each basis gives at equal quality, by kind of layer: bytes, and accuracy after most coefficients are dropped.

    python -m benchmarks.codec.bases

Only the layers of one kind are rounded, all others stay as they are, so that the bytes are those of this kind. The
bytes are where the divergence of the network's outputs from the original's reaches 0.05, by `uniform` rounding without
data. The dropped coefficients are the smallest of all these layers; no other rounding is done to the rest. Written are
results/codec/bases.csv, .md and .png; rows of kinds that are not named stay.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from wavpool.codec import methods, prune
from wavpool.codec.bases import basis_for
from wavpool.codec.cliff import bisect
from wavpool.codec.coded import Coded, encode, reconstruct
from wavpool.codec.data_free import Weight, Weights
from wavpool.codec.layout import Layout
from wavpool.codec.parts import Parts
from wavpool.codec.quantize import steps, uniform
from wavpool.codec.scales import ROW_FRACTION, nearest_index
from wavpool.evaluation.batches import Batches
from wavpool.evaluation.metrics import predict
from wavpool.files import write_csv, write_text
from wavpool.pages import COLORS, save_png

from .cases import CASES
from .compare import RESULTS
from .measure import bytes_at, quality
from .nncodec_rival import read_rows

KL = 0.05
TEXTS, WHOLE = ("layers", "rule", "basis"), ("weights", "bytes")  # columns; the others are numbers
Row = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A kind of layer, the network it is measured in, and the bases that it is measured in.

    Attributes:
        title: for people.
        case: of :data:`benchmarks.codec.cases.CASES`.
        chosen: whether a layer is of this kind.
        bases: as :func:`wavpool.codec.bases.basis_for` takes them, the identity first.
        rules: methods of rounding.
        dropped: share of the coefficients that are set to zero.
        samples: of the test data.
    """

    title: str
    case: str
    chosen: Callable[[Layout], bool]
    bases: tuple[str, ...]
    rules: tuple[str, ...]
    dropped: float
    samples: int


def _over(names: str, side: str) -> tuple[str, ...]:
    return tuple(f"{name}@{side}" for name in names.split())


KINDS = {
    "kernels": Kind(
        "3x3 convolutions of ResNet-20",
        "resnet20",
        lambda layout: layout.kernel == (3, 3),
        ("none", *_over("dct dst1 dst2 dft haar", "taps"), *_over("dct haar db2", "row"), "haar@matrix"),
        ("uniform",),
        0.5,
        2_000,
    ),
    "pointwise": Kind(
        "1x1 convolutions of MobileNetV2",
        "mobilenet_v2",
        lambda layout: layout.kernel == (1, 1),
        ("none", *_over("dct dst2 dft haar db2", "row"), "haar@matrix"),
        ("uniform",),
        0.5,
        250,
    ),
    "images": Kind(
        "first layer of an MLP on images",
        "image_mlp",
        lambda layout: layout.cols == 784,
        ("none", *_over("dct dst2 dft haar db2 sym4", "map:1x28x28"), "haar@row", "haar@matrix"),
        ("uniform",),
        0.9,
        10_000,
    ),
}


class Trial:
    """The layers of a kind in their network, to be put into any basis."""

    def __init__(self, kind: Kind) -> None:
        case = CASES[kind.case]
        self.model = case.network()
        self.data = Batches(case.test(), kind.samples)
        self.original = predict(self.model, self.data)
        self.inputs = [inputs for inputs, _ in Batches(case.calibration())]
        self.weights = Weights(self.model, "none")
        self.chosen = [weight for weight in self.weights.weights if kind.chosen(weight.layout)]

    def uniform(self, basis: str) -> Callable[[float], Row]:
        """Function from a strength to bytes and quality, rounding without data."""
        self._put(basis)

        def at(strength: float) -> Row:
            row = nearest_index([strength * self.weights.scale], ROW_FRACTION)
            step = steps(row)
            parts: Parts = {w.name: w.coded(uniform(w.coefficients, step, methods.DEAD_ZONE), row) for w in self.chosen}
            return self._measure(self.weights.state, parts)

        return at

    def calibrated(self, basis: str) -> Callable[[float], Row]:
        """The same by calibration, which rounds all layers; the bytes are those of the chosen ones."""
        prepared = methods.prepare("calibrated", self.model, methods.Settings(basis, inputs=self.inputs))
        return lambda strength: self._measure(prepared.state, prepared.at(strength))

    def dropped(self, basis: str, share: float) -> Row:
        """Quality after a share of the coefficients, the smallest, is set to zero."""
        self._put(basis)
        coefficients = {weight.name: weight.coefficients for weight in self.chosen}
        count = sum(array.size for array in coefficients.values())
        masks = prune.largest_of(coefficients, prune.kept(count, share))
        state = dict(self.weights.state)
        for weight in self.chosen:
            kept = torch.from_numpy(np.where(masks[weight.name], coefficients[weight.name], 0.0))
            state[weight.name] = weight.basis.inverse(kept, weight.layout).reshape(state[weight.name].shape)
        return self._quality(state)

    def _put(self, basis: str) -> None:
        for weight in self.chosen:
            weight.basis = basis_for(basis, weight.layout)

    def _measure(self, state: Mapping[str, torch.Tensor], parts: Parts) -> Row:
        decoded = {n: reconstruct(part) if isinstance(part, Coded) else part for n, part in parts.items()}
        size = sum(_nbytes(weight, parts) for weight in self.chosen)
        return {"bytes": size, **self._quality({**state, **decoded})}

    def _quality(self, state: Mapping[str, torch.Tensor]) -> Row:
        model = copy.deepcopy(self.weights.model)
        assert model is not None
        model.load_state_dict(state)
        return quality(predict(model, self.data), self.original)


def _nbytes(weight: Weight, parts: Parts) -> int:
    part = parts[weight.name]
    assert isinstance(part, Coded)
    stream = encode(part, "small")
    return len(stream.meta) + len(stream.payload)


def measure(kind: Kind) -> list[Row]:
    """A row for each basis and rule: bytes at the divergence :data:`KL`, and quality after dropping coefficients."""
    trial = Trial(kind)
    count = sum(weight.values.numel() for weight in trial.chosen)
    rows: list[Row] = []
    for basis in kind.bases:
        after = trial.dropped(basis, kind.dropped)
        for rule in kind.rules:
            at = trial.uniform(basis) if rule == "uniform" else trial.calibrated(basis)
            tried = bisect(at, lambda row: bool(row["kl"] <= KL), factor=1.5, precision=0.3).tried.values()
            size = bytes_at([(row["bytes"], row["kl"]) for row in tried], KL)
            assert size is not None  # the search ends with a point on either side
            row = {"layers": kind.title, "weights": count, "rule": rule, "basis": basis, "bytes": round(size)}
            row["of_none"] = round(size / rows[len(rows) % len(kind.rules)]["bytes"], 4) if rows else 1.0
            row |= {"bits_per_weight": round(8 * size / count, 3), "dropped": kind.dropped}
            row |= {"dropped_accuracy": round(after["accuracy"], 2), "dropped_kl": after["kl"]}
            print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            rows.append(row)
    return rows


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown."""
    lines = [f"| layers | rule | basis | bytes at KL {KL} | of no basis | accuracy, coefficients dropped |"]
    lines.append("|---|---|---|---:|---:|---:|")
    for row in rows:
        after = f"{row['dropped_accuracy']:.1f} %, {row['dropped']:.0%} dropped"
        cells = (row["layers"], row["rule"], row["basis"], f"{row['bytes']:,}", f"{row['of_none']:.1%}", after)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Bytes of each basis as a share of those of none, a panel each kind and rule."""
    panels = list(dict.fromkeys((row["layers"], row["rule"]) for row in rows))
    figure = Figure(figsize=(4.6 * len(panels), 4), layout="constrained")
    for axes, (layers, rule) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        chosen = [row for row in rows if (row["layers"], row["rule"]) == (layers, rule)]
        shares = [100 * row["of_none"] for row in chosen]
        bars = axes.barh([row["basis"] for row in chosen], shares, color=COLORS[0])
        axes.bar_label(bars, fmt="%.0f %%", padding=3)
        axes.axvline(100, color="#555555", linewidth=1)
        axes.set(xlabel="bytes at equal divergence, % of no basis", title=f"{layers}\n{rule}")
        axes.set_xlim(0, 1.15 * max(shares))
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
    save_png(figure, path)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.codec.bases", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)} [all]")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FOLDER", help=f"[{RESULTS}]")
    given = parser.parse_args(arguments)
    path = given.output / "bases.csv"
    titles = [kind.title for kind in KINDS.values()]
    for name in given.kinds or KINDS:
        rows = [row for row in read_rows(path, TEXTS, WHOLE) if row["layers"] != KINDS[name].title]
        rows = sorted(rows + measure(KINDS[name]), key=lambda row: titles.index(row["layers"]))
        write_csv(path, rows)
        write_text(given.output / "bases.md", table(rows))
        draw(rows, given.output / "bases.png")
    print((given.output / "bases.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
