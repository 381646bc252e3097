"""Weights of the original package, wavpool 0.1.x."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ..layers import MultiResolutionPool
from ..transforms import dwt_max_level, level_sizes
from .wavpool_dense import WavPoolDense


def load_wavpool_0_1(
    state_dict: Mapping[str, Tensor],
    img_size: int,
    pooling_size: float | None = None,
    pooling_mode: str = "average",
    hidden_pooling: float | None = None,
    level_pooling: float | None = None,
) -> WavPoolDense:
    """Build the model of an original WavPool state dict; the same input gives the same logits.

    Args:
        state_dict: `models.{i}.channel_{1,2,3}_mlp.{weight,bias}` (i = 0 coarsest) and `output.{weight,bias}`. Hidden
            sizes are read off the weights.
        img_size: side of the (square, one-channel) images.
        pooling_size, pooling_mode, hidden_pooling, level_pooling: as given to the original's constructor: a cube of
            `int(pooling_size)`, or the window `(int(hidden_pooling), 1, int(level_pooling))`; `average` or `max`.

    Raises:
        ValueError: the state dict is not an original's, or does not belong to such images or such a pooling.
    """
    if not isinstance(img_size, int):
        raise ValueError(f"img_size must be one side: the original takes square images only, got {img_size}")
    sizes = level_sizes((img_size, img_size), dwt_max_level(img_size))[:0:-1]  # coarsest first
    _check_names(set(state_dict), len(sizes), img_size)
    output = state_dict["output.weight"]
    model = WavPoolDense(
        img_size,
        in_chans=1,
        num_classes=output.shape[0],
        hidden=[state_dict[f"models.{index}.channel_1_mlp.weight"].shape[0] for index in range(len(sizes))],
        kernel_size=_window(pooling_size, hidden_pooling, level_pooling),
        pool_mode=pooling_mode,
        ceil_mode=False,
        dtype=output.dtype,
    )
    converted = {"head.fc.weight": _head_weight(output, model.block.pool), "head.fc.bias": state_dict["output.bias"]}
    for index, (height, width) in enumerate(sizes):
        parts = [f"models.{index}.channel_{band}_mlp" for band in (1, 2, 3)]
        weight = torch.cat([state_dict[f"{part}.weight"] for part in parts])
        if weight.shape[1] != height * width:
            raise ValueError(
                f"models.{index} takes {weight.shape[1]} coefficients, but a side of {img_size} gives that level "
                f"{height * width}; check img_size"
            )
        converted[f"block.levels.{index}.weight"] = weight.unflatten(1, (1, height, width))
        converted[f"block.levels.{index}.bias"] = torch.cat([state_dict[f"{part}.bias"] for part in parts])
    model.load_state_dict(converted)
    return model


def _check_names(names: set[str], num_levels: int, img_size: int) -> None:
    modules = ["output", *(f"models.{index}.channel_{band}_mlp" for index in range(num_levels) for band in (1, 2, 3))]
    expected = {f"{module}.{part}" for module in modules for part in ("weight", "bias")}
    if names != expected:
        missing, unknown = sorted(expected - names), sorted(names - expected)
        raise ValueError(
            f"not the state dict of an original WavPool with the {num_levels} levels of a side of {img_size}: "
            f"missing {missing[:3] or 'nothing'}, unknown {unknown[:3] or 'nothing'}; check img_size"
        )


def _window(pooling_size: float | None, hidden_pooling: float | None, level_pooling: float | None) -> tuple[int, ...]:
    if hidden_pooling is not None and level_pooling is not None:
        return (int(hidden_pooling), 1, int(level_pooling))
    if hidden_pooling is None and pooling_size is not None:
        return (int(pooling_size),) * 3
    raise ValueError("give pooling_size, or both hidden_pooling and level_pooling")


def _head_weight(output: Tensor, pool: MultiResolutionPool) -> Tensor:
    """The original flattens (hidden, band, level); here it is (level, band, hidden)."""
    if output.shape[1] != pool.num_features:
        raise ValueError(f"output.weight takes {output.shape[1]} features, this pooling gives {pool.num_features}")
    windows = (pool.num_bands // pool.band_kernel, pool.num_levels // pool.level_kernel)
    weight: Tensor = output.unflatten(1, (-1, *windows))
    return weight.permute(0, 3, 2, 1).flatten(1)
