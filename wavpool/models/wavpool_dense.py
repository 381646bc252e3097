"""Dense WavPool networks: one layer per wavelet band, in which every parameter is live.

Every band of the Haar levels down to 4 x 4 or an odd side, the coarsest approximation included, goes through its own
dense layer; maxout over pairs of units pools the responses; one hidden layer and a classifier follow.

Paper: "WavPool: A New Block for Deep Neural Networks", McDermott, Voetberg, Nord, arXiv 2306.08734. Its own networks,
made of the same class, are in `wavpool_paper.py`.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from timm.layers import get_act_layer, get_norm_layer
from timm.models import checkpoint, register_model
from torch import Tensor, nn

from ..layers import WavPool
from ..layers.geometry import to_size
from ..transforms import dwt_max_level, level_sizes
from ._base import ZooModel, build, image_cfg
from ._blocks import Layer
from ._growth import grow
from ._weights import default_cfgs_with_weights

__all__ = ["WavPoolDense", "checkpoint_filter_fn", "refuse_dense"]


class WavPoolDense(ZooModel):
    """A WavPool block, optionally a hidden layer, and a classifier.

    Args:
        img_size: image side or `(H, W)`; at least 2 x 2.
        in_chans, num_classes, global_pool, drop_rate: as in timm; dropout acts before the classifier.
        drop_path_rate: rate at which training drops a whole level for an image, see `wavpool.layers.WavPool`.
        norm_layer, act_layer: of the hidden layer, classes or timm's names.
        hidden: units per band; one number, or one per level, coarsest first.
        hidden_scaling: narrow the coarser levels as the paper does.
        finest_ratio: factor on `hidden` for the finest level, which holds three quarters of all coefficients.
        levels: decomposition levels, 1 = finest; all by default.
        min_band: without `levels`, stop before bands smaller than this on a side, and before a level that would halve
            an odd side: repeating the last sample makes some of its coefficients zero for every image, and their
            weights dead. The finest level is always used.
        approximation: units for the coarsest approximation, 0 for none.
        kernel_size, pool_mode, ceil_mode: see `wavpool.layers.WavPool`.
        neck: width of the hidden layer after pooling (dense, norm, activation), 0 for none.

    Shape:
        `(B, in_chans, H, W)` to `(B, num_classes)`. The taps are 1 x 1 maps: the responses of the levels, coarsest
        first, `(B, 3 * hidden, 1, 1)`, the approximation's, the pooled responses, and the final features.

    >>> WavPoolDense(img_size=16, in_chans=1, num_classes=10, hidden=8)(torch.zeros(2, 1, 16, 16)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        img_size: int | Sequence[int] = 32,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        norm_layer: str | Layer = nn.BatchNorm2d,
        act_layer: str | Layer = nn.ReLU,
        hidden: int | Sequence[int] = 128,
        hidden_scaling: bool = False,
        finest_ratio: float = 1.0,
        levels: Sequence[int] | None = None,
        min_band: int | None = None,
        approximation: int = 0,
        kernel_size: int | Sequence[int] = (2, 1, 1),
        pool_mode: str = "max",
        ceil_mode: bool = True,
        neck: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_classes, in_chans, drop_rate)
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        self._make_block = partial(
            _make_block,
            hidden=hidden,
            finest_ratio=finest_ratio,
            levels=levels,
            min_band=min_band,
            in_chans=in_chans,
            hidden_scaling=hidden_scaling,
            approximation=approximation,
            kernel_size=kernel_size,
            pool_mode=pool_mode,
            ceil_mode=ceil_mode,
            drop_path=drop_path_rate,
        )
        self.block = self._make_block(to_size(img_size), **dd)
        self.neck: nn.Module = AsMap()
        self.first_dense = "neck.0" if neck else "head.fc"  # the layer on the pooled responses
        if neck:
            layers = {"0": nn.Linear(self.block.num_features, neck, bias=False, **dd), "map": AsMap()}
            layers |= {"1": get_norm_layer(norm_layer)(neck, **dd), "2": get_act_layer(act_layer)()}
            self.neck = nn.Sequential(OrderedDict(layers))
        self._set_taps(neck)
        self._set_head(global_pool, device, dtype)
        self.register_load_state_dict_pre_hook(_grow_hook)  # type: ignore[no-untyped-call]

    def _set_taps(self, neck: int) -> None:
        taps = [(3 * width, f"block.levels.{index}") for index, width in enumerate(self.block.pool.hidden)]
        if self.block.approximation is not None:
            taps.append((self.block.approximation.hidden, "block.approximation"))
        # timm adapts these layers to other in_chans; the default configuration names those of its image size.
        first = tuple(module for _, module in taps)
        self._traits = {**getattr(self, "_traits", {}), "first_conv": first, "img_size": self.block.sizes[0]}
        self.num_responses = len(taps)
        self.num_features = neck or self.block.num_features
        taps += [(self.block.num_features, "block"), (self.num_features, "neck")]
        reduction = max(self.block.sizes[0])
        self.feature_info = [{"num_chs": chs, "reduction": reduction, "module": module} for chs, module in taps]
        self.remaining = list(range(len(taps)))

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        # The levels lie side by side, so they are one depth for layer-wise decay.
        return {"stem": r"^block", "blocks": [(r"^neck", (0,))]}

    @torch.jit.ignore
    def set_input_size(self, img_size: int | Sequence[int] | None = None) -> None:
        """Change the image size to 2, 4, 8, ... times the present one, in place.

        The logits are then those of the image reduced to the former size by averaging.

        Args:
            img_size: new side or `(H, W)`; None keeps the present one.

        Raises:
            ValueError: another size, or a pruned model; nothing is changed.
        """
        size = self.block.sizes[0] if img_size is None else to_size(img_size)
        if size == self.block.sizes[0]:
            return
        if len(self.remaining) < self.num_responses + 2:
            raise ValueError(
                "set_input_size needs all levels, and some were pruned; create the model with this img_size"
            )
        reference = next(self.parameters())
        dd: dict[str, Any] = {"device": reference.device, "dtype": reference.dtype}
        block, old = self._make_block(size, **dd), self.get_submodule(self.first_dense)
        state = self.state_dict()
        new: nn.Module = nn.Identity()
        if isinstance(old, nn.Linear):  # not without a classifier and a hidden layer
            features = old.in_features // self.block.num_features * block.num_features
            new = nn.Linear(features, old.out_features, old.bias is not None, **dd)
        try:
            grow(state, block, f"{self.first_dense}.weight", getattr(new, "weight", None))
        except ValueError as error:
            present, given = (f"{height} x {width}" for height, width in (self.block.sizes[0], size))
            raise ValueError(
                f"networks whose levels are pooled one by one grow from {present} to 2, 4, 8, ... times that, "
                f"got {given}; create a new model for another size"
            ) from error
        self.block = block.train(self.training)
        if self.first_dense == "neck.0":
            self.set_submodule(self.first_dense, new)
            self._set_taps(self.num_features)
        else:
            self._set_taps(0)
            self._set_head(self.head.pool_type, **dd)
            self.head.train(self.training)
        self._model_args = {**getattr(self, "_model_args", {}), "img_size": size}  # timm recreates models from these
        self.load_state_dict(state)

    def forward_features(self, x: Tensor) -> Tensor:
        if self.num_taps <= self.num_responses:  # pruned to some of the responses
            return self._forward_taps(x, len(self.remaining))[-1]
        x = self._checkpoint_block(x) if self.grad_checkpointing and not torch.jit.is_scripting() else self.block(x)
        return self.neck(x)  # type: ignore[no-any-return]

    @torch.jit.unused
    def _checkpoint_block(self, x: Tensor) -> Tensor:
        return checkpoint(self.block, x)  # type: ignore[no-any-return]

    def _forward_taps(self, x: Tensor, count: int) -> list[Tensor]:
        responses = self.block.responses(x)
        taps = [response.flatten(1)[:, :, None, None] for response in responses]
        if count > len(responses):
            pooled = self.block.pool_responses(responses)
            taps += [pooled[:, :, None, None], self.neck(pooled)]
        return taps[:count]

    def _keep_taps(self, count: int) -> None:
        self.neck = AsMap()

    def _keep_only(self, wanted: list[int]) -> None:
        """The levels lie side by side, so those that no wanted tap needs are removed, whatever their place."""
        super()._keep_only(wanted)
        pooled = wanted[-1] >= self.num_responses
        needed = {*wanted, *(range(self.num_responses) if pooled else ())}
        needed -= set(range(self.block.pool.num_levels, len(self.block.pool.hidden))) - {*wanted}  # never pooled
        self.block.keep_responses(sorted(needed), pooled)
        self.remaining = [tap for tap in self.remaining if tap >= self.num_responses or tap in needed]


class AsMap(nn.Module):
    """`(B, C)` to `(B, C, 1, 1)`."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, None, None]


def _make_block(
    size: tuple[int, int],
    hidden: int | Sequence[int],
    finest_ratio: float,
    levels: Sequence[int] | None,
    min_band: int | None,
    hidden_scaling: bool,
    **kwargs: Any,
) -> WavPool:
    """The block of `WavPoolDense` for one image size; `kwargs` are further arguments of `WavPool`."""
    if levels is None:
        deepest = dwt_max_level(size)
        levels = range(1, 1 + (deepest if min_band is None else _live_levels(size, deepest, min_band)))
    if isinstance(hidden, int) and not hidden_scaling:
        hidden = [hidden] * (len(levels) - 1) + [int(hidden * finest_ratio)]
    return WavPool(size, hidden, hidden_scaling=hidden_scaling, levels=levels, **kwargs)


def _live_levels(size: tuple[int, int], deepest: int, min_band: int) -> int:
    """Number of levels before a band smaller than `min_band` or an odd side to halve; at least 1."""
    count = 1
    for height, width in level_sizes(size, deepest)[1:-1]:
        if height % 2 or width % 2 or min(height, width) // 2 < min_band:
            break
        count += 1
    return count


def checkpoint_filter_fn(state_dict: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Make a checkpoint of a smaller image size fit `model`; `load_state_dict` does the same on its own.

    The larger network's logits are then those of the smaller one on the image reduced by averaging. `model` may have
    2, 4, 8, ... times the image size, see `_growth.py`.

    Args:
        state_dict: of a `WavPoolDense`, unchanged by this.
        model: the `WavPoolDense` to load it into.

    Raises:
        ValueError: the checkpoint is of another image size.

    >>> small, large = WavPoolDense(16, 1, 10, hidden=8), WavPoolDense(32, 1, 10, hidden=8)
    >>> large.load_state_dict(checkpoint_filter_fn(small.state_dict(), large))
    <All keys matched successfully>
    >>> x = torch.randn(2, 1, 32, 32)
    >>> torch.allclose(large(x), small(nn.functional.avg_pool2d(x, 2)), atol=1e-5)
    True
    """
    state = dict(state_dict)
    _grow_hook(model, state, "")
    return state


def _grow_hook(model: nn.Module, state_dict: dict[str, Tensor], prefix: str, *_: Any) -> None:
    assert isinstance(model, WavPoolDense)
    if len(model.remaining) == model.num_responses + 2:  # a pruned model keeps to its own checkpoints
        fresh = getattr(model.get_submodule(model.first_dense), "weight", None)
        grow(state_dict, model.block, f"{model.first_dense}.weight", fresh, prefix)


_DENSE_HIDDEN = {64: "wavpool_dense_tiny", 128: "wavpool_dense_small", 384: "wavpool_dense_base"}


def refuse_dense(module: nn.Module, state_dict: Mapping[str, Tensor], prefix: str = "", *_: Any) -> None:
    """Refuse a checkpoint of a dense network: a load_state_dict pre-hook for models that took over its names.

    Raises:
        ValueError: the checkpoint is of a dense network; the message names the model that it belongs to.

    >>> model = nn.Linear(2, 2)
    >>> _ = model.register_load_state_dict_pre_hook(refuse_dense)
    >>> model.load_state_dict(WavPoolDense(8, hidden=4, approximation=4).state_dict())
    Traceback (most recent call last):
    ValueError: this is a checkpoint of the dense network of wavpool <= 0.10, now called wavpool_dense_*
    """
    weight = state_dict.get(f"{prefix}block.levels.0.weight")
    if weight is not None and f"{prefix}block.approximation.weight" in state_dict:
        name = _DENSE_HIDDEN.get(weight.shape[0] // 3, "wavpool_dense_*")
        raise ValueError(f"this is a checkpoint of the dense network of wavpool <= 0.10, now called {name}")


_CFG = image_cfg(
    (*(f"block.levels.{index}" for index in range(3)), "block.approximation"),
    min_input_size=(3, 2, 2),
    origin_url="",
    paper_ids="arXiv:2306.08734",
)

default_cfgs = default_cfgs_with_weights({f"{name}.untrained": dict(_CFG) for name in _DENSE_HIDDEN.values()})


def _create(variant: str, pretrained: bool, **kwargs: Any) -> WavPoolDense:
    return build(WavPoolDense, variant, pretrained, **{"min_band": 4, "finest_ratio": 0.5, **kwargs})


@register_model
def wavpool_dense_tiny(pretrained: bool = False, **kwargs: Any) -> WavPoolDense:
    """Smallest dense network."""
    sizes = {"hidden": 64, "approximation": 64, "neck": 48}
    return _create("wavpool_dense_tiny", pretrained, **{**sizes, **kwargs})


@register_model
def wavpool_dense_small(pretrained: bool = False, **kwargs: Any) -> WavPoolDense:
    """Within the paper's parameter count on its gray images of ten classes."""
    sizes = {"hidden": 128, "approximation": 128, "neck": 64}
    return _create("wavpool_dense_small", pretrained, **{**sizes, **kwargs})


@register_model
def wavpool_dense_base(pretrained: bool = False, **kwargs: Any) -> WavPoolDense:
    """About a million parameters on colour images of ten classes."""
    sizes = {"hidden": 384, "approximation": 384, "neck": 256}
    return _create("wavpool_dense_base", pretrained, **{**sizes, **kwargs})
