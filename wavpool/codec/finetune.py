"""Fine-tuning under an entropy penalty: integers move to where they take fewer bits and the outputs stay.

Integers of a pass are trained as what they will be in the file: forward they are rounded, backward the rounding is
passed over ("straight through"). Without labels, what is minimised is

    KL(original || compressed) + PRICE * RATE * step**2 / 2 * bits

with the divergence at the temperature of the sensitivities, so that `step**2 / 2` is what a squared error of one step
costs, `RATE` is the price of a bit that rounding itself pays, and bits are those that it expects.

Source: Y. Bengio et al., Estimating or propagating gradients through stochastic neurons, arXiv 1308.3432; the penalty
as in D. Oktay et al., Scalable model compression by entropy penalized reparameterization, arXiv 1906.06624, without
its learnt probabilities.
"""

import copy
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..errors import UserError
from ..evaluation.batches import Inputs, batch_size, forward, joined, rows_of
from .calibrate.feedback import LEAST_MEAN
from .calibrate.rounding import RATE
from .calibrate.sensitivity import TEMPERATURE
from .coded import Coded
from .parts import Parts
from .scales import COLUMN_FRACTION, ROW_FRACTION, factor

PRICE = 3.0  # of `RATE`: training finds room for cheaper integers that rounding does not see
BATCH = 64  # samples
LEARNING_RATE = 0.01  # of Adam, at first, in units of the integers
LARGEST = 2**12  # integers of larger size hold numbers exactly and are left alone


class _Integers(nn.Module):
    """The integers of a weight as parameters, float32 (rows, cols, taps)."""

    def __init__(self, part: Coded, like: Tensor) -> None:
        super().__init__()
        row, col, tap = (
            torch.from_numpy(factor(index, fraction)).to(like.device, torch.float32)
            for index, fraction in ((part.row, ROW_FRACTION), (part.col, COLUMN_FRACTION), (part.tap, COLUMN_FRACTION))
        )
        self._unit = row[:, None, None] * col[:, None] * tap
        self._part, self._dtype = part, like.dtype
        self.latent = nn.Parameter(torch.from_numpy(part.q).to(self._unit))

    def forward(self) -> tuple[Tensor, Tensor]:
        """The weight, and the bits of its integers, both differentiable."""
        q = self.latent + (self.latent.round() - self.latent).detach()
        value = self._part.basis.inverse(q * self._unit, self._part.layout)
        size = q.abs()
        mean = 0.5 * (size.mean((1, 2), keepdim=True) + size.mean(0, keepdim=True)).detach().clamp_min(2 * LEAST_MEAN)
        bits = torch.log2((1 + mean) / mean) * size + size.clamp_max(1) + torch.log2(1 + mean)
        return self._part.layout.restore(value).to(self._dtype), bits.sum()

    def part(self) -> Coded:
        """The weight with the integers as they have become."""
        if not bool(self.latent.isfinite().all()):
            raise UserError("fine-tuning diverged: check that the model's outputs are finite, or leave it out")
        return dataclasses.replace(self._part, q=self.latent.detach().round().int().cpu().numpy())


class _Student(nn.Module):
    """A model some of whose parameters are made of integers."""

    def __init__(self, model: nn.Module, parts: Parts) -> None:
        super().__init__()
        self._model = model
        parameters = dict(model.named_parameters())
        self._integers = {
            name: _Integers(part, parameters[name])
            for name, part in parts.items()
            if isinstance(part, Coded) and not part.trellis and name in parameters and abs(part.q).max() <= LARGEST
        }
        self.latents = nn.ParameterList(each.latent for each in self._integers.values())
        self.bits = torch.zeros(())  # of the last forward pass

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        made = {name: integers() for name, integers in self._integers.items()}
        self.bits = torch.stack([bits for _, bits in made.values()]).sum()
        return functional_call(self._model, {name: value for name, (value, _) in made.items()}, args, kwargs)

    def parts(self) -> Parts:
        """What the integers have become."""
        return {name: integers.part() for name, integers in self._integers.items()}


def fine_tune(
    model: nn.Module,
    batches: Sequence[Inputs],
    parts: Parts,
    step: float,
    epochs: int,
    seed: int = 0,
    report: Callable[[str], None] = lambda what: None,
) -> Parts:
    """Parts whose integers have been trained for a model's own outputs.

    Args:
        model: the original with BatchNorm folded; it is left as it is. Its output is (batch, classes).
        batches: unlabelled inputs, all of one shape but for the number of samples.
        parts: of a pass over the model. Dependently quantised ones stay as they are: what such an integer stands for
            hangs on all before it.
        step: the global step of that pass.
        epochs: passes over the inputs.
        seed: of the order of the samples.
        report: called with the epoch before each batch.

    Raises:
        UserError: the training diverged.
    """
    teacher = copy.deepcopy(model).eval().requires_grad_(False)
    student = _Student(teacher, parts)
    price = PRICE * RATE * step**2 / 2
    inputs = joined(batches)
    count = batch_size(inputs)
    optimizer = torch.optim.Adam(student.latents, LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps_of(count))
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(epochs):
        for rows in torch.randperm(count, generator=generator).split(BATCH):
            report(f"epoch {epoch + 1}")
            some = rows_of(inputs, rows)
            with torch.no_grad():
                truth = _log_probabilities(teacher, some)
            with torch.enable_grad():
                found = _log_probabilities(student, some)
                loss = nn.functional.kl_div(found, truth, reduction="batchmean", log_target=True)
                optimizer.zero_grad()
                torch.autograd.backward(loss + price * student.bits)
            optimizer.step()
            schedule.step()
    return {**parts, **student.parts()}


def steps_of(samples: int) -> int:
    """Batches in an epoch."""
    return -(-samples // BATCH)


def _log_probabilities(model: nn.Module, inputs: Inputs) -> Tensor:
    return (forward(model, inputs).float() / TEMPERATURE).log_softmax(1)
