"""BatchNorm as a shift alone: its scale goes into the convolution before it, at no change of the function.

The state dict keeps its keys: a folded layer has weight 1, running mean 0 and a running variance of 1 - eps, which
cost nothing to store, and a bias. A BatchNorm without a convolution before it keeps its scale as its weight.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..batches import Inputs, forward
from .layers import Weighted, is_weighted

TOLERANCE = 1e-3  # relative change of the outputs above which a folding was none
Pairs = dict[str, str]  # the layer before each BatchNorm, by the latter's name


def fold_batchnorm(model: nn.Module, inputs: Inputs | None) -> Pairs:
    """Fold every BatchNorm of a model in place.

    Args:
        model: in evaluation mode.
        inputs: a batch, from which is seen what feeds what; without one the model is traced by `torch.fx`, and where
            that fails nothing is folded.

    Returns:
        The layers whose scale was taken over, by the name of the BatchNorm; outputs change by rounding errors only.
    """
    pairs = _traced(model) if inputs is None else _observed(model, inputs)
    modules = dict(model.named_modules())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    reference = None if inputs is None else forward(model, inputs)
    for name, module in modules.items():
        if isinstance(module, _BatchNorm) and module.running_mean is not None and module.affine:
            scale, shift = _affine(module)
            source = modules[pairs[name]] if name in pairs else None
            _set_affine(module, torch.ones_like(scale) if source is not None else scale, shift)
            if is_weighted(source):
                _scale_rows(source, scale)
    if inputs is not None and not _close(forward(model, inputs), reference):
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


def _traced(model: nn.Module) -> Pairs:
    """As `_observed`, from the graph of `torch.fx`, where an output must have one reader."""

    class Tracer(torch.fx.Tracer):
        def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
            return (
                is_weighted(module) or isinstance(module, _BatchNorm) or super().is_leaf_module(module, qualified_name)
            )

    modules = dict(model.named_modules())
    try:
        graph = Tracer().trace(model)
    except Exception:  # whatever a model's code does that symbols cannot
        return {}
    pairs: Pairs = {}
    for node in graph.nodes:
        source = node.args[0] if node.op == "call_module" and node.args else None
        if isinstance(source, torch.fx.Node) and source.op == "call_module" and len(source.users) == 1:
            norm, layer = str(node.target), str(source.target)
            if isinstance(modules[norm], _BatchNorm) and is_weighted(modules[layer]):
                pairs[norm] = layer
    return _once(pairs)


def _once(pairs: Pairs) -> Pairs:
    """Pairs whose layer feeds one BatchNorm."""
    layers = list(pairs.values())
    return {norm: layer for norm, layer in pairs.items() if layers.count(layer) == 1}


def _close(outputs: Tensor, reference: Tensor | None) -> bool:
    assert reference is not None
    return bool((outputs - reference).abs().max() <= TOLERANCE * reference.abs().max().clamp_min(1e-12))
