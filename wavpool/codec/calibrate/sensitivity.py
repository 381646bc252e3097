"""How much the outputs of a layer matter: the diagonal of the Fisher information, from unlabelled data.

With labels drawn from the model's own prediction at temperature `TEMPERATURE`, the expected square of the loss's
gradient in an output is the loss's curvature there (the Fisher information), so that an error e costs about F e**2 / 2.
The temperature makes up for training images, of which the model is surer than of any others.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from ..batches import Inputs, forward
from .layers import channel_axis

TEMPERATURE = 4.0
DRAWS = 4  # of labels, each a backward pass


def output_sensitivity(
    model: nn.Module, batches: Iterable[Inputs], layers: Mapping[str, nn.Module], seed: int = 0
) -> dict[str, Tensor]:
    """Fisher information of every output channel of some layers.

    Args:
        model: in evaluation mode; its output is (batch, classes).
        batches: inputs of the model.
        layers: modules of the model by name.
        seed: of the labels.

    Returns:
        For each layer that was called float64 (channels,): the mean over samples of the sum over positions.
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
    total: dict[str, Tensor] = {}
    samples = 0
    try:
        model.requires_grad_(True)
        for inputs in batches:
            outputs.clear()
            with torch.enable_grad():
                logits = forward(model, inputs).float() / TEMPERATURE
            samples += len(logits)
            for _ in range(DRAWS):
                for name, gradient in _gradients(logits, outputs, generator).items():
                    axis = channel_axis(layers[name], gradient)
                    square = gradient.double().square().transpose(0, axis).flatten(1).sum(1).cpu()
                    total[name] = total.get(name, torch.zeros(())) + square / DRAWS
    finally:
        for hook in hooks:
            hook.remove()
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(wanted[name])
    return {name: value / max(samples, 1) for name, value in total.items()}


def _gradients(logits: Tensor, outputs: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    labels = torch.multinomial(logits.detach().softmax(1).cpu(), 1, generator=generator)[:, 0].to(logits.device)
    loss = nn.functional.cross_entropy(logits, labels, reduction="sum")
    differentiable = {name: output for name, output in outputs.items() if output.requires_grad}
    found = torch.autograd.grad(loss, list(differentiable.values()), retain_graph=True, allow_unused=True)
    return {name: gradient for name, gradient in zip(differentiable, found, strict=True) if gradient is not None}  # type: ignore[redundant-expr]
