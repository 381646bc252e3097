"""A short training loop: for the networks whose weights circuits are to compute."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn, optim

from ..errors import UserError
from ..evaluation.batches import Batch, forward, joined, rows_of


class Shuffled:
    """Labelled data in batches of `size`, in another order at every pass, all of it in memory.

    Raises:
        UserError: data without labels.
    """

    def __init__(self, batches: Iterable[Batch], size: int, seed: int = 0) -> None:
        kept = list(batches)
        labels = [each for _, each in kept if each is not None]
        if not kept or len(labels) != len(kept):
            raise UserError("training needs labelled data")
        self._inputs, self._labels = joined([inputs for inputs, _ in kept]), torch.cat(labels)
        self._size, self._generator = size, torch.Generator().manual_seed(seed)

    def __iter__(self) -> Iterator[Batch]:
        order: Tensor = torch.randperm(len(self._labels), generator=self._generator)
        for rows in order.split(self._size):
            yield rows_of(self._inputs, rows), self._labels[rows]


def fit(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    epochs: int,
    learning_rate: float,
    tell: Callable[[str], None] | None = None,
) -> None:
    """Train a classifier in place: SGD of momentum 0.9 under cross-entropy, the rate falling to 0 along a cosine.

    Args:
        model: maps inputs to logits.
        batches: labelled, run through once an epoch, in their order.
        epochs: passes.
        learning_rate: of the first step.
        tell: is told the mean loss of every epoch.

    Raises:
        UserError: batches without labels, or a loss that is not finite.
    """
    model.train()
    optimizer = optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, epochs))
    for epoch in range(1, epochs + 1):
        total, count = 0.0, 0
        for inputs, labels in batches:
            if labels is None:
                raise UserError("training needs labelled data")
            loss = nn.functional.cross_entropy(forward(model, inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total, count = total + loss.item() * len(labels), count + len(labels)
        schedule.step()
        if not total < float("inf"):
            raise UserError("the loss is no longer finite: give a smaller learning rate")
        if tell is not None:
            tell(f"epoch {epoch} of {epochs}: loss {total / max(1, count):.4f}")
    model.eval()
