"""Batches of inputs and labels, from whatever a data set is given as, and what a model makes of them."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from ..errors import UserError, is_message

Inputs = Tensor | Mapping[str, Tensor]
"""What a model is called with: a tensor, or the keyword arguments of a transformer."""

Batch = tuple[Inputs, Tensor | None]

KEPT_BYTES = 2**30  # of inputs that stay in memory between two passes
_LABELS = ("labels", "label")


class Batches:
    """Batches of `(inputs, labels)` as often as they are asked for; labels are None where the data have none.

    The inputs of the first pass stay in memory if they are not too many, so that a search that runs the same data
    through many models decodes them once.

    Args:
        source: iterable of `(inputs, labels)`, of inputs, or of mappings whose key `labels` is taken out.
        limit: samples to give, all with None.

    >>> [(tuple(x.shape), y) for x, y in Batches([torch.zeros(3, 2), torch.zeros(3, 2)], limit=4)]
    [((3, 2), None), ((1, 2), None)]
    """

    def __init__(self, source: Iterable[Any], limit: int | None = None) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"the limit of samples must be at least 1, got {limit}")
        self._limit = limit
        self._kept: list[Batch] | None = None
        self._source = source
        if iter(source) is source:  # a generator: there is no second pass over it
            self._kept = list(self._read())

    def __iter__(self) -> Iterator[Batch]:
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[Batch] = []
        size = 0
        for batch in self._read():
            size += _nbytes(batch[0])
            if size <= KEPT_BYTES:
                kept.append(batch)
            yield batch
        if size <= KEPT_BYTES:
            self._kept = kept

    def _read(self) -> Iterator[Batch]:
        left = self._limit
        for item in self._source:
            inputs, labels = split_batch(item)
            if left is not None:
                inputs, labels = _first(inputs, labels, left)
                left -= batch_size(inputs)
            yield inputs, labels
            if left == 0:
                return


def as_batches(data: Any, batch_size: int = 64, limit: int | None = None, workers: int = 0, seed: int = 0) -> Batches:
    """Batches of a DataLoader, a Dataset, a tensor, a pair of tensors, or an iterable of batches.

    Args:
        data: what to read. Only a Dataset and tensors are put into batches here.
        batch_size: samples a batch.
        limit: samples to give. Of a Dataset and of tensors they are drawn by chance, since many are sorted by class;
            of anything else they are the first.
        workers: processes that read a Dataset.
        seed: of the draw.

    Raises:
        TypeError: `data` is none of these.
        ValueError: a pair of unequal lengths.
    """
    if isinstance(data, Tensor):
        data = TensorDataset(data)
    elif isinstance(data, tuple) and len(data) == 2 and all(isinstance(each, Tensor) for each in data):
        if len(data[0]) != len(data[1]):
            raise ValueError(f"a pair of tensors needs a label for each input, got {len(data[0])} and {len(data[1])}")
        data = TensorDataset(*data)
    if isinstance(data, Dataset):
        if not isinstance(data, IterableDataset):
            count = len(data)  # type: ignore[arg-type]
            if limit is not None and limit < count:
                drawn = torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:limit]
                data = Subset(data, drawn.sort().values.tolist())
        data = DataLoader(data, batch_size=batch_size, num_workers=workers)
    if not isinstance(data, Iterable):
        raise TypeError(f"data must be a DataLoader, a Dataset or an iterable of batches, got a {type(data).__name__}")
    return Batches(data, limit)


def split_batch(batch: Any) -> Batch:
    """Inputs and labels of what a loader gives.

    Raises:
        ValueError: neither a tensor, a mapping, nor a pair of inputs and labels.
    """
    inputs, labels = batch, None
    if isinstance(batch, Mapping):
        name = next((name for name in _LABELS if name in batch), None)
        labels = None if name is None else batch[name]
        inputs = {key: value for key, value in batch.items() if key != name}
    elif isinstance(batch, list | tuple) and len(batch) in (1, 2):
        inputs, labels = batch if len(batch) == 2 else (batch[0], None)
    if not isinstance(inputs, Tensor | Mapping):
        raise ValueError(
            "a batch must be a tensor, a mapping of tensors, or a pair of these and labels, "
            f"got {'a pair with ' if inputs is not batch else ''}a {type(inputs).__name__}"
        )
    return inputs, None if labels is None else torch.as_tensor(labels)


def split_samples(batches: Iterable[Batch], share: float) -> tuple[list[Batch], list[Batch]]:
    """Each batch cut in two, of which the first has a share of the samples, rounded up.

    Of batches too small to be cut some whole ones go to the second part.

    >>> [len(part[0][0]) for part in split_samples([(torch.zeros(10, 2), None)], 0.8)]
    [8, 2]
    """
    first: list[Batch] = []
    second: list[Batch] = []
    seen = taken = 0
    for inputs, labels in batches:
        count, size = math.ceil(share * batch_size(inputs)), batch_size(inputs)
        seen += size
        if count == size:
            count = max(0, min(size, math.ceil(share * seen) - taken))
        taken += count
        for parts, where in ((first, slice(count)), (second, slice(count, None))):
            some = rows_of(inputs, where)
            if batch_size(some):
                parts.append((some, None if labels is None else labels[where]))
    return first, second


def batch_size(inputs: Inputs) -> int:
    """Samples in a batch."""
    return len(inputs if isinstance(inputs, Tensor) else next(iter(inputs.values())))


def rows_of(inputs: Inputs, rows: slice | Tensor) -> Inputs:
    """Some samples of a batch."""
    return inputs[rows] if isinstance(inputs, Tensor) else {name: value[rows] for name, value in inputs.items()}


def joined(batches: Sequence[Inputs]) -> Inputs:
    """All batches as one; sequences that an attention mask belongs to are filled up with zeros.

    Raises:
        ValueError: samples of different shapes.
    """
    first = batches[0]
    if isinstance(first, Tensor):
        return _concatenated([batch for batch in batches if isinstance(batch, Tensor)])
    maps = [batch for batch in batches if not isinstance(batch, Tensor)]
    columns = {name: [batch[name] for batch in maps] for name in first}
    if (mask := columns.get("attention_mask")) is not None:
        length = max(part.shape[1] for part in mask)
        same = {part.shape for part in mask}
        for name, parts in columns.items():
            if {part.shape for part in parts} == same:
                columns[name] = [nn.functional.pad(part, (0, length - part.shape[1])) for part in parts]
    return {name: _concatenated(parts) for name, parts in columns.items()}


def _concatenated(parts: Sequence[Tensor]) -> Tensor:
    shapes = {tuple(part.shape[1:]) for part in parts}
    if len(shapes) > 1:
        raise ValueError(f"calibration inputs must be of one shape, got {sorted(shapes)}: resize or pad them")
    return torch.cat(list(parts))


def forward(model: nn.Module, inputs: Inputs) -> Tensor:
    """What the model gives for a batch: its tensor, the `logits` of a result, or the first of a tuple or list.

    The inputs are moved to the device of the model's first parameter or buffer.

    Raises:
        UserError: the model gives something else.
    """
    at = next((tensor.device for tensors in (model.parameters(), model.buffers()) for tensor in tensors), None)
    if isinstance(inputs, Tensor):
        result = model(inputs.to(at))
    else:
        result = model(**{name: value.to(at) for name, value in inputs.items()})
    if isinstance(result, Mapping) and "logits" in result:
        result = result["logits"]
    result = getattr(result, "logits", result)
    if isinstance(result, tuple | list) and result:
        result = result[0]
    if not isinstance(result, Tensor):
        raise UserError(
            "a model must give a tensor, a result with logits, or a tuple or list whose first is a tensor, "
            f"got a {type(result).__name__}: wrap the network"
        )
    return result


def checked_forward(model: nn.Module, inputs: Inputs) -> Tensor:
    """As `forward`, where it is not known yet whether the model takes these inputs.

    Raises:
        UserError: it does not.
    """
    try:
        return forward(model, inputs)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, TypeError, IndexError, KeyError, ValueError, AssertionError) as error:
        if is_message(error):
            raise
        reason = str(error).strip().partition("\n")[0].rstrip(".")[:160]
        raise UserError(
            f"the network does not take {described(inputs)} ({reason}): give data like those it was made for"
        ) from error


def described(inputs: Inputs) -> str:
    """Shape and dtype of inputs, for people.

    >>> described(torch.zeros(2, 3))
    'float32 of shape (2, 3)'
    """
    if isinstance(inputs, Tensor):
        return f"{str(inputs.dtype).removeprefix('torch.')} of shape {tuple(inputs.shape)}"
    return ", ".join(f"{name} {described(value)}" for name, value in inputs.items())


def _first(inputs: Inputs, labels: Tensor | None, count: int) -> Batch:
    return rows_of(inputs, slice(count)), None if labels is None else labels[:count]


def _nbytes(inputs: Inputs) -> int:
    return sum(each.nbytes for each in ([inputs] if isinstance(inputs, Tensor) else inputs.values()))
