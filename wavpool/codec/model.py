"""Models as integers, their files, and these opened again: `CompressedModel`, `load`."""

import contextlib
import copy
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from .. import __version__
from ..evaluation.metrics import Estimate
from ..files import write_with
from .coded import Coded, Method, Stream, decode, describe, encode, encode_lossless, read, reconstruct
from .container import Closing, Container, Entry, dumps
from .errors import WvpError
from .header import DEFAULT_MAX_BYTES
from .parts import Part, Parts, ties, zeros

S = TypeVar("S")
T = TypeVar("T")


class CompressedModel:
    """A model as integers.

    Attributes:
        attributes: what the file tells of itself: tool, method, strength, ...
        report: of each tensor a dictionary: `name`, `shape`, `dtype`, `weights` (their number), `original_bytes`,
            `bytes`, `method` (coded, raw, fill or alias), `basis`, `level`, `coder`, `bits_per_weight` and `zeros`
            (share of its integers; `None` where it is not coded).
        expected_drop: points of accuracy that `max_drop` foretells to be lost; `None` of other targets, and where
            `evaluate` is a function.
    """

    def __init__(
        self, state: Mapping[str, Tensor], parts: Parts, model: nn.Module | None, coder: str,
        attributes: Mapping[str, str], report: Callable[[str, int], None] = lambda name, nbytes: None,
    ) -> None:  # fmt: skip
        self.attributes = {"tool": f"wavpool {__version__}", **attributes}
        self._model = model
        self._parts = parts
        self._state = state
        tied = ties(state)
        self._tied = {name: owner for name, owner in tied.items() if name not in parts}
        owned = {name: parts.get(name, tensor) for name, tensor in state.items() if name not in self._tied}
        self._streams: dict[str, Stream] = {}
        total = 0
        with _in_threads(lambda part: _stream(part, coder), owned.values(), torch.get_num_threads()) as streams:
            for name in state:
                if name in owned:
                    self._streams[name] = next(streams)
                    total += len(self._streams[name].payload)
                report(name, total)
        self._data = dumps(self._entries(), self.attributes)
        self.report = [self._row(name) for name in state]
        self.expected_drop: Estimate | None = None

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
    def zeroed(self) -> list[str]:
        """Weights of two axes or more that came out zero throughout and were not."""
        gone = [row["name"] for row in self.report if row["zeros"] == 1 and len(row["shape"]) > 1]
        return [name for name in gone if bool(self._state[name].any())]

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
        """A copy of the model with the decoded tensors, in evaluation mode: BatchNorm is folded.

        Raises:
            ValueError: a state dict was compressed, and no model.
        """
        if self._model is None:
            raise ValueError("only a state dict was compressed: make the model and load state_dict() into it")
        model = copy.deepcopy(self._model)
        model.load_state_dict(self.state_dict())
        return model.eval()


class LoadedModel(Closing):
    """A `.wvp` file opened to read; tensors are decoded when they are asked for.

    Use it in a `with` statement, or `close` it.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._file = Container(source, max_bytes=max_bytes)
        self._max_bytes = max_bytes
        self.attributes = dict(self._file.attributes)

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
            ValueError: the file is closed.
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

    def state_dict(self, threads: int = 1) -> dict[str, Tensor]:
        """All tensors; tied ones share memory.

        Args:
            threads: tensors that are decoded at a time, each with memory of its own beside the result.

        Raises:
            ValueError: `threads` is below 1, or the file is closed.
            WvpError: the file is damaged.
        """
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        owners = {name: self._file.resolve(name).name for name in self.names}
        owned = dict.fromkeys(owners.values())
        with _in_threads(self.tensor, owned, threads) as tensors:
            found = dict(zip(owned, tensors, strict=True))
        return {name: found[owner] for name, owner in owners.items()}

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


@contextlib.contextmanager
def _in_threads(function: Callable[[S], T], items: Iterable[S], threads: int) -> Iterator[Iterator[T]]:
    """`map` in threads, for coders, which run without the interpreter's lock; an error drops what has not begun."""
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)


def _stream(part: Part, coder: str) -> Stream:
    return encode(part, coder) if isinstance(part, Coded) else encode_lossless(part)


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
