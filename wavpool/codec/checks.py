"""What calibration and `max_drop` ask of a network and its data, looked at before the work is done."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..evaluation.batches import Inputs, batch_size, checked_forward
from ..evaluation.metrics import Predictions


def check_inputs(model: nn.Module, batches: Sequence[Inputs]) -> Tensor:
    """Run the first batch to see whether a model takes calibration data; returns its outputs.

    Raises:
        UserError: it does not, or there is NaN.
    """
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            outputs = checked_forward(model, batches[0])
    finally:
        model.train(training)
    tensors = [each for batch in batches for each in ([batch] if isinstance(batch, Tensor) else batch.values())]
    if any(bool(each.isnan().any()) for each in tensors) or not bool(
        outputs.isfinite().all()
    ):  # a mask may be infinite
        raise UserError(
            "calibration needs finite inputs and outputs, but there is NaN or infinity: check weights and data"
        )
    return outputs


def check_classifier(model: nn.Module, batches: Sequence[Inputs]) -> None:
    """As `check_inputs`, for what also needs the outputs of a classifier.

    Raises:
        UserError: outputs that are not (batch, classes) of two classes or more.
    """
    outputs, inputs = check_inputs(model, batches), batches[0]
    if outputs.ndim != 2 or len(outputs) != batch_size(inputs) or outputs.shape[1] < 2:
        raise UserError(
            f"calibration needs outputs (batch, classes) of 2 or more classes, got {tuple(outputs.shape)}: "
            "wrap the network, or take the method uniform"
        )
    if not outputs.is_floating_point():
        raise UserError(f"calibration needs logits, got outputs of {outputs.dtype}: wrap the network")


def check_comparable(original: Predictions) -> None:
    """Refuse outputs from which no loss of accuracy can be foretold.

    Raises:
        UserError: fewer than two classes, or logits that are not finite.
    """
    if original.logits.shape[1] < 2:
        raise UserError(
            "max_drop needs outputs (batch, classes) of 2 or more classes, "
            f"got {tuple(original.logits.shape)}: wrap the network, or give max_bytes or step"
        )
    if not bool(original.logits.isfinite().all()):
        raise UserError("max_drop needs finite outputs, got NaN or infinity: check the weights and the data")
