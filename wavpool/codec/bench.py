"""Measuring one compressed model after the other on the same data."""

import contextlib
import dataclasses
import functools
import hashlib
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import __version__
from ..errors import UserError
from ..evaluation.batches import Batches, batch_size
from ..evaluation.metrics import Estimate, as_row, chance, evaluate, inference_seconds, predict
from ..evaluation.specs import DataSpec, ModelSpec
from . import methods
from .cliff import TARGETS, NothingHolds, Point, bisect, critical_size, knee
from .model import CompressedModel, load
from .points import ORIGINAL, Curve, Row, check_settings, claim, curve_of, read_point, read_points, write_point

SATURATED = 0.001  # growth of a file below which a weaker compression is no other


@dataclass(frozen=True)
class Subject:
    """What is swept: the same for all points of a folder.

    Attributes:
        model: the network.
        data: with labels or without, what the compressed models are measured on.
        calibration: what they are calibrated on, if at all.
        profile: coder of the integers; see `compress`.
    """

    model: ModelSpec
    data: DataSpec
    calibration: DataSpec | None = None
    profile: str = "small"


class Bench:
    """A loaded subject and the folder of its points.

    Raises:
        UserError: the folder holds a sweep of another subject, or the subject cannot be loaded.
    """

    def __init__(self, folder: Path, subject: Subject) -> None:
        self.folder = folder
        self.subject = subject
        self.source = subject.model.load()
        self.network = self.source.network
        settings = {key: _plain(value) for key, value in dataclasses.asdict(subject).items()}
        self._settings = settings | {"weights": digest(self.source.state), "wavpool": __version__}
        check_settings(folder, self._settings)
        self.data = subject.data.load(self.source)
        calibration = () if subject.calibration is None else subject.calibration.load(self.source)
        self.inputs = [inputs for inputs, _ in calibration]
        if subject.calibration is not None and not any(map(batch_size, self.inputs)):
            raise UserError(f"there are no samples to calibrate on in {subject.calibration.name}: give more data")
        self.original = predict(self.network, self.data)
        self.original_bytes = state_bytes(self.source.state)
        self._curve: Curve | None = None
        self._seconds = 0.0

    def claim(self, curves: Iterable[Curve], strengths: Iterable[float], cliff: bool) -> None:
        """Make the folder this subject's, once it is known that these can be measured.

        Raises:
            UserError: a curve, a strength or the search for the cliff that cannot be.
        """
        for strength in strengths:
            if not (math.isfinite(strength) and strength > 0):
                raise UserError(f"strengths must be finite numbers above 0, got {strength:g}")
        if cliff:
            self._check_labels()
        for method, basis in sorted({(curve.method, curve.basis) for curve in curves}):
            methods.check(method, self.network, basis, self.inputs)
        claim(self.folder, self._settings)

    def _check_labels(self) -> None:
        if self.original.labels is None:
            raise UserError(f"the cliff needs labels, which {self.subject.data.name} has not: give --no-cliff")

    def measure_original(self) -> Row:
        """Evaluate the model itself, unless that was done before."""
        file = f"{ORIGINAL}.json"
        if point := read_point(self.folder, file):
            return point[0]
        row = {"method": ORIGINAL, "basis": "none", "strength": 0.0, "seed": 0, "bytes": self.original_bytes}
        return self._write(file, row | zeros(self.source.state, []) | self._figures(self.network), [])

    def measure(self, curve: Curve, strength: float) -> Row:
        """Compress, write, read and evaluate the model at one strength, unless that was done before."""
        file = curve.file(strength)
        if point := read_point(self.folder, file):
            return point[0]
        path = self.folder / "points" / f".{file}.wvp"
        path.parent.mkdir(exist_ok=True)
        try:
            start = time.perf_counter()
            earlier, compressed = self._compress(curve, strength)
            size = compressed.save(path)
            encoded = time.perf_counter()
            with load(path) as loaded:
                state = loaded.state_dict()
            decoded = time.perf_counter()
        finally:
            path.unlink(missing_ok=True)
        layers = list(compressed.report)
        row = {**curve._asdict(), "strength": float(strength), "bytes": size}
        row |= {"encode_seconds": earlier + encoded - start, "decode_seconds": decoded - encoded}
        return self._write(file, row | zeros(state, layers) | self._figures(compressed.to_model()), layers)

    def _compress(self, curve: Curve, strength: float) -> tuple[float, CompressedModel]:
        """Compress as `compress` does; seconds that the preparation took at an earlier point of the curve."""
        earlier = 0.0 if curve != self._curve else self._seconds
        if curve != self._curve:
            start = time.perf_counter()
            settings = methods.Settings(curve.basis, curve.seed, self.inputs)
            self._prepared = methods.prepare(curve.method, self.network, settings)
            self._curve, self._seconds = curve, time.perf_counter() - start
        about = {"method": curve.method, "strength": f"{strength:.6g}"}
        parts = self._prepared.at(strength)
        return earlier, CompressedModel(self._prepared.state, parts, self.network, self.subject.profile, about)

    def search(self, curve: Curve) -> list[Row]:
        """Find the critical sizes of a curve, measuring what is needed; rows of `points.CLIFF_COLUMNS`.

        Raises:
            UserError: the data have no labels, so that there is no accuracy to lose.
        """
        self._check_labels()
        original = evaluate(self.original, self.original)
        assert self.original.labels is not None
        collapse = 50 * (original["accuracy"].value - chance(self.original.labels))
        known = {row["strength"]: row for row, _ in read_points(self.folder) if curve_of(row) == curve}
        count = -1
        while count < len(known):  # what one target measures may be where another begins
            count = len(known)
            for target in TARGETS:
                self._approach(curve, "drop", target, 1 / 8, known)
                self._approach(curve, "drop_low", target, 1 / 2, known)
                if target > original["drop"].high:  # else no compressed model is known to keep it
                    self._approach(curve, "drop_high", target, 1 / 2, known)
            if collapse > 0:
                self._approach(curve, "drop", collapse, 1 / 2, known)
        points = [
            Point(row["bytes"], Estimate(row["drop"], row["drop_low"], row["drop_high"])) for row in known.values()
        ]
        found = {f"{target:g}": critical_size(points, target) for target in TARGETS}
        found["knee"] = knee(points, self.original_bytes, collapse)
        return [
            {**curve._asdict(), "critical": name, "bytes": round(size.value), "bytes_low": size.low}
            | {"bytes_high": size.high, "ratio": self.original_bytes / size.value}
            for name, size in found.items()
            if size is not None
        ]

    def _approach(self, curve: Curve, figure: str, target: float, precision: float, known: dict[float, Row]) -> None:
        """Measure both sides of where a figure crosses its target; nothing where it does not."""

        def holds(row: Row) -> bool:
            weaker = [each["bytes"] for each in known.values() if each["strength"] < row["strength"]]
            return bool(row[figure] <= target) and row["bytes"] < min(weaker, default=math.inf)

        def measure(strength: float) -> Row:
            row = self.measure(curve, strength)
            largest = max((each["bytes"] for each in known.values()), default=0)
            if strength < min(known, default=0.0) and row["bytes"] < (1 + SATURATED) * largest:
                known[strength] = row
                raise NothingHolds("less compression gives no larger file")
            return row

        with contextlib.suppress(NothingHolds):
            distinct = functools.partial(methods.distinct, curve.method)
            bisect(measure, holds, precision=precision, known=known, distinct=distinct)

    def _figures(self, model: nn.Module) -> Row:
        figures = evaluate(predict(model, self.data), self.original)
        sample, _ = next(iter(Batches(self.data, limit=1)))
        return as_row(figures | {"inference_seconds": inference_seconds(model, sample)})

    def _write(self, file: str, row: Row, layers: Sequence[Mapping[str, Any]]) -> Row:
        row |= {"original_bytes": self.original_bytes, "ratio": self.original_bytes / row["bytes"]}
        row["samples"] = len(self.original.logits)
        write_point(self.folder, file, row, layers)
        return row


def zeros(state: Mapping[str, Tensor], layers: Iterable[Mapping[str, Any]]) -> Row:
    """Shares of zeros among all floating-point weights, and among the coefficients that are stored for them.

    Args:
        state: the decoded tensors.
        layers: the report of the compressed model. Of a tensor that it does not have, the weights are the coefficients.
    """
    weights = {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}
    count = sum(tensor.numel() for tensor in weights.values())
    zero = {name: int((tensor == 0).sum()) for name, tensor in weights.items()}
    shares = {layer["name"]: layer["zeros"] for layer in layers if layer.get("zeros") is not None}
    stored = sum(shares[name] * weights[name].numel() if name in shares else zero[name] for name in weights)
    return {"zero_weights": sum(zero.values()) / max(count, 1), "zero_coefficients": stored / max(count, 1)}


def state_bytes(state: Mapping[str, Tensor]) -> int:
    """Bytes of the tensors as they are, tied ones once."""
    return sum({(tensor.data_ptr(), tensor.shape): tensor.nbytes for tensor in state.values()}.values())


def digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, dtypes, shapes and values."""
    total = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _plain(value: Any) -> Any:
    """`value` as JSON gives it back."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
