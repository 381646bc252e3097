"""BatchNorm as a shift alone: its scale goes into the convolution before it, at no change of the function.

The state dict keeps its keys: a folded layer has weight 1, running mean 0 and a running variance of 1 - eps, which
cost nothing to store, and a bias. A BatchNorm without a layer before it keeps its scale as its weight.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...evaluation.batches import Inputs, forward
from .layers import Weighted, is_weighted

TOLERANCE = 1e-3  # relative change of the outputs above which a folding was none
Pairs = dict[str, str]  # the layer before each BatchNorm, by the latter's name


def reduce_batchnorm(model: nn.Module) -> None:
    """Reduce every BatchNorm of a model, in place, to a weight and a bias, whose function is the same."""
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.running_mean is not None and module.affine:
            _set_affine(module, *_affine(module))


def fold_batchnorm(model: nn.Module, inputs: Inputs) -> Pairs:
    """Reduce every BatchNorm of a model, in place, and move its weight into the layer before it.

    Args:
        model: in evaluation mode.
        inputs: a batch, from which is seen what feeds what.

    Returns:
        The layers whose scale was taken over, by the name of the BatchNorm; outputs change by rounding errors only.
    """
    reduce_batchnorm(model)
    pairs = _observed(model, inputs)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    reference = forward(model, inputs)
    for name, source in pairs.items():
        norm, layer = model.get_submodule(name), model.get_submodule(source)
        assert isinstance(norm, _BatchNorm)
        assert is_weighted(layer)
        _scale_rows(layer, norm.weight)
        _set_affine(norm, torch.ones_like(norm.weight), norm.bias)
    if not _close(forward(model, inputs), reference):
        model.load_state_dict(before)  # the output of a convolution is read elsewhere too
        return {}
    return pairs


def _affine(module: _BatchNorm) -> tuple[Tensor, Tensor]:
    """Scale and shift (channels,) of a BatchNorm in evaluation mode."""
    assert module.running_mean is not None
    assert module.running_var is not None
    scale = module.weight.double() / torch.sqrt(module.running_var.double() + module.eps)
    return scale, module.bias.double() - module.running_mean.double() * scale


@torch.no_grad()
def _set_affine(module: _BatchNorm, scale: Tensor, shift: Tensor) -> None:
    assert module.running_mean is not None
    assert module.running_var is not None
    module.weight.copy_(scale)
    module.bias.copy_(shift)
    module.running_mean.zero_()
    module.running_var.fill_(1 - module.eps)


@torch.no_grad()
def _scale_rows(module: Weighted, scale: Tensor) -> None:
    """Multiply the outputs of a convolution or linear layer."""
    module.weight.copy_(module.weight * scale.to(module.weight).reshape(-1, *[1] * (module.weight.ndim - 1)))
    if module.bias is not None:
        module.bias.copy_(module.bias * scale.to(module.bias))


def _observed(model: nn.Module, inputs: Inputs) -> Pairs:
    """Which layer's output each BatchNorm reads, seen while the model runs."""
    made: dict[int, tuple[str, Tensor]] = {}  # the tensor is kept so that its id stays its own
    uses: dict[str, int] = {}
    pairs: Pairs = {}
    hooks = []

    def leave(name: str, output: Tensor) -> None:
        made[id(output)] = name, output
        uses[name] = uses.get(name, 0) + 1

    def enter(name: str, inputs: tuple[Tensor, ...]) -> None:
        if inputs and id(inputs[0]) in made:
            pairs[name] = made[id(inputs[0])][0]
        uses[name] = uses.get(name, 0) + 1

    for name, module in model.named_modules():
        if is_weighted(module):
            hooks.append(module.register_forward_hook(lambda _m, _i, output, name=name: leave(name, output)))
        elif isinstance(module, _BatchNorm):
            hooks.append(module.register_forward_pre_hook(lambda _m, inputs, name=name: enter(name, inputs)))
    try:
        forward(model, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return _once({norm: layer for norm, layer in pairs.items() if uses[norm] == uses[layer] == 1})


def _once(pairs: Pairs) -> Pairs:
    """Pairs whose layer feeds one BatchNorm."""
    layers = list(pairs.values())
    return {norm: layer for norm, layer in pairs.items() if layers.count(layer) == 1}


def _close(outputs: Tensor, reference: Tensor) -> bool:
    return bool((outputs - reference).abs().max() <= TOLERANCE * reference.abs().max().clamp_min(1e-12))
