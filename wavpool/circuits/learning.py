"""A short training loop: for the networks whose weights circuits are to compute."""

from collections.abc import Callable, Iterable

from torch import nn, optim

from ..codec.batches import Batch, forward
from ..errors import UserError


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
            total, count = total + float(loss) * len(labels), count + len(labels)
        schedule.step()
        if not total < float("inf"):
            raise UserError("the loss is no longer finite: give a smaller learning rate")
        if tell is not None:
            tell(f"epoch {epoch} of {epochs}: loss {total / max(1, count):.4f}")
    model.eval()
