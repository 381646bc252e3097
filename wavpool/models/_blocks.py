"""Parts that several families share."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ._base import Device

Layer = Callable[..., nn.Module]


def conv_norm_act(
    in_chs: int,
    out_chs: int,
    norm_layer: Layer,
    act_layer: Layer,
    device: Device = None,
    dtype: torch.dtype | None = None,
) -> nn.Sequential:
    """A 3 x 3 convolution without bias, normalisation and activation: modules `conv`, `bn`, `act`."""
    dd: dict[str, Any] = {"device": device, "dtype": dtype}
    conv = nn.Conv2d(in_chs, out_chs, 3, padding=1, bias=False, **dd)
    return nn.Sequential(OrderedDict(conv=conv, bn=norm_layer(out_chs, **dd), act=act_layer()))


def dense_stage(
    linear: nn.Linear, act_layer: Layer = nn.ReLU, drop_rate: float = 0.0, pool: nn.Module | None = None
) -> nn.Sequential:
    """A dense layer on all positions of a map, `(B, C, H, W)` to `(B, out_features, 1, 1)`: module `fc`.

    `pool` brings the map to the size that the layer takes; dropout comes before the layer, an activation after it.
    """
    return nn.Sequential(
        OrderedDict(
            pool=pool or nn.Identity(),
            flatten=nn.Flatten(1),
            drop=nn.Dropout(drop_rate),
            fc=linear,
            act=act_layer(),
            map=nn.Unflatten(1, (linear.out_features, 1, 1)),
        )
    )


def conv_mlp(
    channels: int,
    ratio: float,
    act_layer: Layer,
    drop_rate: float = 0.0,
    device: Device = None,
    dtype: torch.dtype | None = None,
) -> nn.Sequential:
    """Two 1 x 1 convolutions, `ratio * channels` wide between them: modules `fc1`, `act`, `drop`, `fc2`."""
    dd: dict[str, Any] = {"device": device, "dtype": dtype}
    hidden = int(ratio * channels)
    fc1, fc2 = nn.Conv2d(channels, hidden, 1, **dd), nn.Conv2d(hidden, channels, 1, **dd)
    return nn.Sequential(OrderedDict(fc1=fc1, act=act_layer(), drop=nn.Dropout(drop_rate), fc2=fc2))


def drop_path_rates(rate: float, depth: int) -> list[float]:
    """Rates of stochastic depth for `depth` residual blocks, rising linearly from 0 to `rate`."""
    return [rate * block / max(depth - 1, 1) for block in range(depth)]
