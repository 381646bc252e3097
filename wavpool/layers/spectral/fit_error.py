"""How far converted layers are from the weights that they were fitted to."""

import torch
from torch import Tensor, nn

from .conv import SpectralConv2d
from .linear import SpectralLinear


@torch.no_grad()
def fit_error(dense: nn.Module, converted: nn.Module) -> dict[str, float]:
    """Relative error of the weight of every spectral layer, by the layer's name.

    Args:
        dense: the network that `convert` was given; after `inplace=True` a copy made before.
        converted: what `convert` returned, or the same trained further.

    Returns:
        `||W' - W|| / ||W||`, Frobenius norms, of the weights `W` of `dense` and `W'` of `converted`: 0 where nothing is
        lost, 1 where no more is kept than by zeros; a least-squares fit keeps `1 - error^2` of the energy.

    Raises:
        ValueError: no spectral layer, one that is complex, or one without a weight of its shape in `dense`.

    >>> from wavpool.layers import convert
    >>> net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    >>> {name: round(error, 3) for name, error in fit_error(net, convert(net, "dct", keep=1.0)).items()}
    {'0': 0.0, '2': 0.0}
    """
    named = converted.named_modules()
    layers = {name: each for name, each in named if isinstance(each, SpectralLinear | SpectralConv2d)}
    if not layers:
        raise ValueError("the converted network has no spectral layers; pass the dense network first, then convert's")
    modules = dict(dense.named_modules())
    errors = {}
    for name, layer in layers.items():
        if layer.is_complex:
            raise ValueError(f"{name or 'the layer'} is complex and fits no real weight; compare real layers alone")
        weight, target = layer.weight.double(), getattr(modules.get(name), "weight", None)
        if target is None or target.shape != weight.shape:
            remedy = f"no weight of shape {tuple(weight.shape)} in the dense network; pass the one that was converted"
            raise ValueError(f"{name or 'the layer'} has {remedy}")
        errors[name] = _relative(weight, target.to(weight))
    return errors


def _relative(weight: Tensor, target: Tensor) -> float:
    distance = (weight - target).norm()
    return float(distance / target.norm()) if distance else 0.0  # also of a weight of zeros
