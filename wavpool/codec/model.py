"""Models to files and back: `compress`, `CompressedModel`, `load`."""

import contextlib
import copy
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from .. import __version__
from ..files import write_with
from . import methods
from .batches import Batch, Inputs, as_batches, split_samples
from .coded import Coded, Method, Stream, decode, describe, encode, encode_lossless, read, reconstruct
from .container import Container, Entry, dumps
from .drop import expected_drop
from .errors import WvpError
from .evaluate import predict
from .header import DEFAULT_MAX_BYTES
from .parts import Parts, ties, zeros
from .search import strongest

START = {"calibrated": 0.5}  # the first strength that a search tries; 1 of other methods
FITTED = 0.8  # share of the calibration data that weights are fitted to where a drop is to be measured on them
TOLERANCE = {"max_drop": 0.08, "max_bytes": 0.02}  # of a search, in logarithms
CODERS = ("small", "fast", "huffman", "raw")


class Event(NamedTuple):
    """How far `compress` is.

    Attributes:
        stage: what it is doing.
        layer: the tensor at hand.
        done, total: tensors of this stage.
        nbytes: size of the file, as far as it is known: of the last trial, or of the streams so far.
    """

    stage: str
    layer: str
    done: int
    total: int
    nbytes: int


Progress = Callable[[Event], Any]


class CompressedModel:
    """A model as integers.

    Attributes:
        attributes: what the file tells of itself: tool, method, strength, ...
        report: of each tensor a dictionary: `name`, `shape`, `dtype`, `weights` (their number), `original_bytes`,
            `bytes`, `method` (coded, raw, fill or alias), `basis`, `level`, `coder`, `bits_per_weight` and `zeros`
            (share of its integers; `None` where it is not coded).
    """

    def __init__(
        self, state: Mapping[str, Tensor], parts: Parts, model: nn.Module | None, coder: str,
        attributes: Mapping[str, str], report: Callable[[str, int], None] = lambda name, nbytes: None,
    ) -> None:  # fmt: skip
        self.attributes = dict(attributes)
        self._model = model
        self._parts = parts
        self._state = state
        tied = ties(state)
        self._streams: dict[str, Stream] = {}
        self._tied = {name: owner for name, owner in tied.items() if name not in parts}
        total = 0
        for name, tensor in state.items():
            if name not in self._tied:
                part = parts.get(name, tensor)
                self._streams[name] = encode(part, coder) if isinstance(part, Coded) else encode_lossless(part)
                total += len(self._streams[name].payload)
            report(name, total)
        self._data = dumps(self._entries(), self.attributes)
        self.report = [self._row(name) for name in state]

    def _entries(self) -> Iterator[Entry]:
        for name, tensor in self._state.items():
            about: dict[str, Any] = {"name": name, "dtype": _dtype_name(tensor), "shape": tuple(tensor.shape)}
            if name in self._tied:
                yield Entry(**about, alias=self._tied[name])
            else:
                stream = self._streams[name]
                yield Entry(**about, method=int(stream.method), meta=stream.meta, payload=stream.payload)

    def _row(self, name: str) -> dict[str, Any]:
        tensor = self._state[name]
        if name in self._tied:
            return _row(name, tensor.shape, _dtype_name(tensor), tensor.element_size(), None, None)
        part = self._parts.get(name)
        share = zeros(part.q) if isinstance(part, Coded) else None
        return _row(name, tensor.shape, _dtype_name(tensor), tensor.element_size(), self._streams[name], share)

    @property
    def nbytes(self) -> int:
        """Size of the file in bytes."""
        return len(self._data)

    def save(self, path: str | os.PathLike[str]) -> int:
        """Write the `.wvp` file, wholly or not at all; returns its size in bytes."""
        write_with(Path(path), lambda temporary: temporary.write_bytes(self._data))
        return self.nbytes

    def state_dict(self) -> dict[str, Tensor]:
        """The tensors that `load` reads from the file, bit for bit."""
        found: dict[str, Tensor] = {}
        for name, tensor in self._state.items():
            part = self._parts.get(name)
            if name in self._tied:
                found[name] = found[self._tied[name]]
            else:
                found[name] = reconstruct(part) if isinstance(part, Coded) else tensor.detach().cpu()
        return found

    def to_model(self) -> nn.Module:
        """A copy of the model with the decoded tensors.

        Raises:
            ValueError: a state dict was compressed, and no model.
        """
        if self._model is None:
            raise ValueError("only a state dict was compressed: make the model and load state_dict() into it")
        model = copy.deepcopy(self._model)
        model.load_state_dict(self.state_dict())
        return model


class LoadedModel:
    """A `.wvp` file opened to read; tensors are decoded when they are asked for.

    Use it in a `with` statement, or `close` it.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._file = Container(source, max_bytes=max_bytes)
        self._max_bytes = max_bytes
        self.attributes = dict(self._file.attributes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tensors, in order."""
        return self._file.names

    @property
    def nbytes(self) -> int:
        """Size of the file in bytes."""
        return self._file.nbytes

    def tensor(self, name: str) -> Tensor:
        """One tensor; no other is read.

        Raises:
            KeyError: no such tensor.
            WvpError: the file is damaged.
        """
        record = self._file.resolve(name)
        stream = Stream(record.method, record.meta, self._file.payload(name))
        with self._naming(name):
            return decode(*stream, record.shape, getattr(torch, record.dtype), max_bytes=self._max_bytes)

    @contextlib.contextmanager
    def _naming(self, name: str) -> Iterator[None]:
        """Let an error say which tensor of which file it is about."""
        try:
            yield
        except WvpError as error:
            raise WvpError(f"{self._file.label}: the tensor {name!a}: {error}") from None

    def state_dict(self) -> dict[str, Tensor]:
        """All tensors; tied ones share memory."""
        found: dict[str, Tensor] = {}
        for name in self.names:
            alias = self._file.records[name].alias
            found[name] = self.tensor(name) if alias is None else found[alias]
        return found

    @property
    def report(self) -> list[dict[str, Any]]:
        """Of each tensor what `CompressedModel.report` tells."""
        return [self._row(name) for name in self.names]

    def _row(self, name: str) -> dict[str, Any]:
        record = self._file.records[name]
        size = getattr(torch, record.dtype).itemsize
        if record.alias is not None:
            return _row(name, record.shape, record.dtype, size, None, None)
        stream = Stream(record.method, record.meta, self._file.payload(name))
        share = None
        with self._naming(name):
            if record.method == Method.CODED:
                q = read(*stream, record.shape, getattr(torch, record.dtype), max_bytes=self._max_bytes).q
                share = zeros(q)
            return _row(name, record.shape, record.dtype, size, stream, share)


def load(source: str | os.PathLike[str] | bytes, max_bytes: int = DEFAULT_MAX_BYTES) -> LoadedModel:
    """Open a `.wvp` file, or the bytes of one.

    Args:
        source: a path, or the bytes of a file.
        max_bytes: refuse a file whose tensors take more, decoded: a few bytes may ask for a lot of memory.

    Raises:
        WvpError: it is none, or damaged; the message is one sentence.
        OSError: it cannot be opened.
    """
    return LoadedModel(source, max_bytes)


def compress(
    model: nn.Module | Mapping[str, Tensor],
    *,
    calibration: Any = None,
    max_drop: float | None = None,
    max_bytes: int | None = None,
    step: float | None = None,
    evaluate: Any = None,
    basis: str = "auto",
    levels: int | None = None,
    profile: str = "small",
    method: str | None = None,
    progress: Progress | None = None,
    seed: int = 0,
) -> CompressedModel:
    """Compress a trained model.

    Exactly one of `max_drop`, `max_bytes` and `step` says how far.

    Args:
        model: any module, or a state dict alone (which `calibrated` cannot take). It is left as it is.
        calibration: inputs, of which labels are ignored unless they serve `max_drop`: a DataLoader, a Dataset, a
            tensor, or an iterable of batches. Some 1,000 samples do; all are held in memory.
        max_drop: points of accuracy that may be lost.
        max_bytes: size of the file at most.
        step: strength of the compression, whose meaning is the method's; 1 is moderate.
        evaluate: what `max_drop` is measured on: data as `calibration`, labelled or not, or a function from a model to
            its accuracy (0 to 1). Without it a fifth of `calibration`, whose labels are not looked at, is held out for
            that. See `expected_drop`.
        basis: `auto`, `none`, or a transform: `dct`, `haar`, `db2`, ..., perhaps with `@` and what it acts over.
        levels: of a wavelet.
        profile: `small` (context mixing), `fast` (asymmetric numeral systems), `huffman` or `raw`.
        method: one of `methods.names()`; by default `calibrated` with calibration data, else `uniform`.
        progress: called with an `Event`.
        seed: of all draws.

    Raises:
        ValueError: arguments that do not go together, or a target that cannot be met.

    >>> compressed = compress(nn.Linear(64, 64), step=1.0)
    >>> compressed.nbytes < 64 * 65 * 4, compressed.to_model()(torch.zeros(1, 64)).shape
    (True, torch.Size([1, 64]))
    """
    targets = {"max_drop": max_drop, "max_bytes": max_bytes, "step": step}
    if sum(target is not None for target in targets.values()) != 1:
        raise ValueError(f"give exactly one of {', '.join(targets)}")
    for name, target in targets.items():
        if target is not None and not (math.isfinite(target) and target > 0):
            raise ValueError(f"{name} must be a positive number, got {target}")
    if profile not in CODERS:
        raise ValueError(f"profile must be one of {', '.join(CODERS)}, got {profile!r}")
    basis = _with_levels(basis, levels)
    job = _Job(model, calibration, evaluate, basis, profile, method, progress, seed, held_out=max_drop is not None)
    if step is not None:
        return job.at(step)
    if max_bytes is not None:
        return job.search("max_bytes", max_bytes, lambda candidate: candidate.nbytes)
    assert max_drop is not None
    return job.search("max_drop", max_drop, job.drop())


@dataclass
class _Job:
    """One call of `compress`."""

    model: nn.Module | Mapping[str, Tensor]
    calibration: Any
    evaluate: Any
    basis: str
    coder: str
    method: str | None
    progress: Progress | None
    seed: int
    held_out: bool = False

    def __post_init__(self) -> None:
        self._batches: list[Batch] = [] if self.calibration is None else list(as_batches(self.calibration))
        self._held: list[Batch] = []
        if self.held_out and self.evaluate is None:  # what the weights were fitted to flatters them
            self._batches, self._held = split_samples(self._batches, FITTED)
        inputs: Sequence[Inputs] = [batch for batch, _ in self._batches]
        self.method = self.method or ("calibrated" if inputs else "uniform")
        self._stage, self._done, self._nbytes = "measuring", 0, 0
        self._total = len(self.model.state_dict() if isinstance(self.model, nn.Module) else self.model)
        settings = methods.Settings(self.basis, self.seed, inputs, self._tell)
        self._tell("")
        self._prepared = methods.prepare(self.method, self.model, settings)

    def _tell(self, layer: str, nbytes: int | None = None) -> None:
        self._nbytes = self._nbytes if nbytes is None else nbytes
        if self.progress is not None:
            self.progress(Event(self._stage, layer, self._done, self._total, self._nbytes))
        self._done += 1

    def at(self, strength: float) -> CompressedModel:
        """The model at a strength of the method."""
        self._stage, self._done = "rounding", 0
        parts = self._prepared.at(strength)
        self._stage, self._done = "coding", 0
        attributes = {"tool": f"wavpool {__version__}", "method": str(self.method), "strength": f"{strength:.6g}"}
        model = self.model if isinstance(self.model, nn.Module) else None
        return CompressedModel(self._prepared.state, parts, model, self.coder, attributes, self._tell)

    def search(self, target: str, limit: float, measure: Callable[[CompressedModel], float]) -> CompressedModel:
        """The smallest file that loses no more than `max_drop`, or the best that takes no more than `max_bytes`."""

        def attempt(strength: float) -> tuple[float, CompressedModel]:
            candidate = self.at(strength)
            return measure(candidate) / limit, candidate

        start = START.get(str(self.method), 1.0)
        return strongest(attempt, start, TOLERANCE[target], grows=target == "max_drop").result

    def drop(self) -> Callable[[CompressedModel], float]:
        """Function from a compressed model to the points of accuracy that it loses."""
        if not isinstance(self.model, nn.Module):
            raise ValueError("max_drop needs a model that can be run, not a state dict alone: give max_bytes or step")
        if callable(self.evaluate) and not hasattr(self.evaluate, "__iter__"):
            measure = self.evaluate
            before = float(measure(self.model))
            return lambda candidate: 100 * (before - float(measure(candidate.to_model())))
        data = self._held if self.evaluate is None else list(as_batches(self.evaluate))
        if not data:
            raise ValueError("max_drop needs calibration data, or evaluate, to measure accuracy on")
        original = predict(self.model, data)
        return lambda candidate: expected_drop(predict(candidate.to_model(), data), original, self.evaluate is not None)


def _with_levels(basis: str, levels: int | None) -> str:
    """A basis with a number of levels put in: `haar@row` and 2 are `haar:2@row`."""
    if levels is None:
        return basis
    name, at, over = basis.partition("@")
    if basis in ("auto", "none"):
        raise ValueError(f"levels go with a wavelet, not with the basis {basis}")
    return f"{name}:{levels}{at}{over}" if levels else "none"


def _row(
    name: str, shape: Sequence[int], dtype: str, itemsize: int, stream: Stream | None, share: float | None
) -> dict[str, Any]:
    """A row of a report; a stream of `None` is that of a tied tensor."""
    weights = math.prod(shape)
    nbytes = 0 if stream is None else len(stream.meta) + len(stream.payload)
    about = {"method": "alias"} if stream is None else describe(stream.method, stream.meta, shape)
    row = {"name": name, "shape": list(shape), "dtype": dtype, "weights": weights}
    row |= {"original_bytes": 0 if stream is None else weights * itemsize, "bytes": nbytes}
    row |= {"method": about["method"], "basis": about.get("basis"), "level": about.get("level")}
    row |= {"coder": about.get("coder"), "bits_per_weight": 8 * nbytes / max(weights, 1), "zeros": share}
    return row


def _dtype_name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
