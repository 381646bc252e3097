"""The original and the compressed model in one forward pass, in which layers are compressed as the data reach them.

A batch is doubled: its first half runs through the original, its second through the compressed model. When a layer is
called, both kinds of its input are there, so it is rounded for the inputs that it will really see, and everything after
it sees the outcome. One pass compresses a whole model of any structure.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ...evaluation.batches import Inputs, forward
from .layers import channel_axis, is_weighted

Visit = Callable[[str, nn.Module, Tensor, Tensor], None]
"""Called once a layer, before it runs, with its name, the layer, and its inputs in the original and in the twin.

It may call `Twins.replace` to say what the twin has in place of parameters of the layer.
"""
After = Callable[[str, Tensor, Tensor, Tensor], Tensor]
"""Called after a layer with a bias has run, with its name, its bias and both outputs.

Returns what is added, (channels,), to the outputs of the twin.
"""


class Twins:
    """A model and its compressed twin.

    Args:
        model: the original, in evaluation mode; it is left as it is.
        layers: its modules to visit, by name.
    """

    def __init__(self, model: nn.Module, layers: Mapping[str, nn.Module]) -> None:
        self.model = model
        self.layers = layers
        self.replaced: dict[str, Tensor] = {}  # by the name in the state dict
        self._owners: dict[str, dict[str, Tensor]] = {}

    def replace(self, layer: str, parameter: str, value: Tensor) -> None:
        """Let the compressed model have `value` for a parameter of a layer."""
        original = getattr(self.layers[layer], parameter)
        value = value.to(original)
        self.replaced[f"{layer}.{parameter}" if layer else parameter] = value
        self._owners.setdefault(layer, {})[parameter] = value

    @torch.no_grad()
    def run(self, inputs: Inputs, visit: Visit, after: After) -> tuple[Tensor, Tensor]:
        """Run both models on the same inputs.

        Args:
            inputs: a batch.
            visit: called before a layer is first run.
            after: called after a layer with a bias was.

        Returns:
            The outputs of the original and of the compressed model.
        """
        samples = len(inputs if isinstance(inputs, Tensor) else next(iter(inputs.values())))
        with self._visited(samples, visit, after), _without_fast_path():
            outputs = forward(self.model, _doubled(inputs))
        return outputs[:samples], outputs[samples:]

    @contextmanager
    def _visited(self, samples: int, visit: Visit, after: After) -> Iterator[None]:
        """Let the layers split their inputs; a layer whose input is no batch runs as in the original."""
        visited: set[str] = set()

        def split(name: str, module: nn.Module, run: Callable[..., Tensor], x: Tensor, *rest: Any, **kw: Any) -> Tensor:
            if len(x) != 2 * samples:
                return run(x, *rest, **kw)
            original, compressed = x[:samples], x[samples:]
            first = name not in visited
            visited.add(name)
            if first:
                visit(name, module, original, compressed)
            y = run(original, *rest, **kw)
            z = self._as_twin(name, run, compressed, *rest, **kw)
            if first and is_weighted(module) and module.bias is not None:
                shift = after(name, module.bias, y, z)
                z = z + shift.to(z).reshape(-1, *[1] * (z.ndim - 1 - channel_axis(module, z)))
            return torch.cat([y, z])

        before = {name: module.__dict__.get("forward") for name, module in self.layers.items()}
        try:
            for name, module in self.layers.items():
                run = module.forward
                module.forward = lambda x, *rest, name=name, module=module, run=run, **kw: split(
                    name, module, run, x, *rest, **kw
                )
            yield
        finally:
            for name, module in self.layers.items():
                del module.forward
                if (own := before[name]) is not None:
                    module.forward = own

    def _as_twin(self, name: str, run: Callable[..., Tensor], x: Tensor, *rest: Any, **kw: Any) -> Tensor:
        """Run a layer with the parameters of the compressed model."""
        module, own = self.layers[name], {}
        for parameter, value in self._owners.get(name, {}).items():
            own[parameter] = getattr(module, parameter)
            setattr(module, parameter, nn.Parameter(value, requires_grad=False))
        try:
            return run(x, *rest, **kw)
        finally:
            for parameter, value in own.items():
                setattr(module, parameter, value)


@contextmanager
def _without_fast_path() -> Iterator[None]:
    """Have torch's transformer layers call their parts, instead of one kernel that reads all their weights."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


def _doubled(inputs: Inputs) -> Inputs:
    if isinstance(inputs, Tensor):
        return torch.cat([inputs, inputs])
    return {name: torch.cat([value, value]) for name, value in inputs.items()}
