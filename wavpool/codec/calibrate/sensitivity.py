"""How much the outputs of layers, and other weights, matter: the diagonal of the Fisher information, without labels.

With labels drawn from the model's own prediction at temperature `TEMPERATURE`, the expected square of the loss's
gradient is the loss's curvature (the Fisher information), so that an error e costs about F e**2 / 2. Draws of different
samples are independent, so that the square of a batch's gradient is on average the sum of its samples' squares. The
temperature makes up for training images, of which the model is surer than of any others.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...evaluation.batches import Inputs, forward
from .layers import channel_axis

TEMPERATURE = 4.0
DRAWS = 4  # of labels, each a backward pass


class Sensitivity(NamedTuple):
    """Fisher information a sample, float64 on the CPU; without what the output does not depend on.

    Attributes:
        outputs: by layer (channels,), the sum over positions.
        weights: by name, of the shape of the weight.
    """

    outputs: dict[str, Tensor]
    weights: dict[str, Tensor]


def sensitivity(
    model: nn.Module,
    batches: Iterable[Inputs],
    layers: Mapping[str, nn.Module],
    weights: Mapping[str, Tensor],
    seed: int = 0,
) -> Sensitivity:
    """Fisher information of every output channel of some layers, and of the elements of some weights.

    Args:
        model: in evaluation mode; its output is (batch, classes).
        batches: inputs of the model.
        layers: modules of the model by name.
        weights: parameters of the model by name.
        seed: of the labels.
    """
    generator = torch.Generator().manual_seed(seed)
    outputs: dict[str, Tensor] = {}

    def keep(name: str, output: Tensor) -> Tensor:
        outputs[name] = output
        return output.clone()  # what follows may change it in place

    hooks = [
        module.register_forward_hook(lambda _m, _i, output, name=name: keep(name, output))
        for name, module in layers.items()
    ]
    wanted = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    total = Sensitivity({}, {})
    samples = 0
    try:
        model.requires_grad_(True)
        for inputs in batches:
            outputs.clear()
            with torch.enable_grad():
                logits = forward(model, inputs).float() / TEMPERATURE
            samples += len(logits)
            for _ in range(DRAWS):
                found = _gradients(logits, [outputs, weights], generator)
                for name, gradient in found[0].items():
                    axis = channel_axis(layers[name], gradient)
                    _add(total.outputs, name, gradient.double().square().transpose(0, axis).flatten(1).sum(1))
                for name, gradient in found[1].items():
                    _add(total.weights, name, gradient.double().square())
    finally:
        for hook in hooks:
            hook.remove()
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(wanted[name])
    return Sensitivity(  # without dead units' layers, whose gradient is zero throughout
        *({name: value / max(samples, 1) for name, value in each.items() if value.any()} for each in total)
    )


def _add(total: dict[str, Tensor], name: str, square: Tensor) -> None:
    total[name] = total.get(name, torch.zeros(())) + square.cpu() / DRAWS


def _gradients(
    logits: Tensor, wanted: Sequence[Mapping[str, Tensor]], generator: torch.Generator
) -> list[dict[str, Tensor]]:
    """Gradients of the loss in tensors, for labels drawn from the prediction."""
    labels = torch.multinomial(logits.detach().softmax(1).cpu(), 1, generator=generator)[:, 0].to(logits.device)
    loss = nn.functional.cross_entropy(logits, labels, reduction="sum")
    named = [
        (each, name, tensor)
        for each, tensors in enumerate(wanted)
        for name, tensor in tensors.items()
        if tensor.requires_grad
    ]
    found = torch.autograd.grad(loss, [tensor for *_, tensor in named], retain_graph=True, allow_unused=True)
    gradients: list[dict[str, Tensor]] = [{} for _ in wanted]
    for (each, name, _), gradient in zip(named, found, strict=True):
        if gradient is not None:
            gradients[each][name] = gradient
    return gradients
