"""What timm asks of every model, written once.

A model of this zoo maps an image to a list of feature maps ("taps"), the last of which goes to a head. `ZooModel`
turns that into timm's contract; `ChainModel` is the usual case, one `nn.Sequential` whose taps are outputs of some of
its modules.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from timm.layers import SelectAdaptivePool2d
from timm.models import build_model_with_cfg, checkpoint
from timm.models._features import feature_take_indices
from torch import Tensor, nn

from ..layers.geometry import check_image

Device = torch.device | str | None
Model = TypeVar("Model", bound=nn.Module)


class Head(nn.Module):
    """Pool a feature map `(B, C, H, W)`, drop out, classify: `(B, num_classes)`.

    `pool` is one of timm's pooling names, `flatten` (keep every position), or empty (no pooling: the map itself, for
    `num_classes=0`). `map_size` is None where maps may have any size; `flatten` then raises ValueError.
    """

    def __init__(
        self,
        num_features: int,
        map_size: tuple[int, int] | None,
        num_classes: int,
        pool: str,
        drop_rate: float = 0.0,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.pool_type = pool
        self.global_pool: nn.Module = nn.Identity()
        multiplier = 1
        if pool == "flatten":
            if map_size is None:
                raise ValueError(
                    "global_pool='flatten' needs images of one size, and this model takes any size; "
                    "use 'avg', 'max', 'avgmax' or 'catavgmax'"
                )
            self.global_pool = nn.Flatten(1)
            multiplier = map_size[0] * map_size[1]
        elif pool:
            self.global_pool = SelectAdaptivePool2d(pool_type=pool, flatten=True)
            multiplier = self.global_pool.feat_mult()
            if (
                map_size is not None and tuple(map_size) == (1, 1) and multiplier == 1
            ):  # average and maximum of one value are that value
                self.global_pool = nn.Flatten(1)
        self.num_features = num_features * multiplier
        self.drop = nn.Dropout(drop_rate) if drop_rate > 0 else nn.Identity()
        self.fc: nn.Module = nn.Identity()
        if num_classes > 0:
            self.fc = nn.Linear(self.num_features, num_classes, device=device, dtype=dtype)

    def forward(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        x = self.drop(self.global_pool(x))
        return x if pre_logits else self.fc(x)


class ZooModel(nn.Module, ABC):
    """The model API of timm. A subclass sets `feature_info`, calls `_set_head`, and defines the methods after it."""

    def __init__(self, num_classes: int, in_chans: int, drop_rate: float) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.in_chans = in_chans
        self.drop_rate = drop_rate
        self.grad_checkpointing = False
        self.feature_info: list[dict[str, Any]] = []
        self.remaining: list[int] = []  # indices of the taps that pruning left
        self.pruned = False  # whether the model ends at an earlier tap than it was made with
        self.map_size: tuple[int, int] | None = (1, 1)
        self.num_features = 0
        self.head_hidden_size = 0

    def _set_head(self, pool: str, device: Device, dtype: torch.dtype | None) -> None:
        self.num_taps = len(self.feature_info)  # TorchScript cannot read feature_info
        self.remaining = self.remaining or list(range(self.num_taps))
        self.head = Head(self.num_features, self.map_size, self.num_classes, pool, self.drop_rate, device, dtype)
        self.head_hidden_size = self.head.num_features

    # What a subclass defines.

    @abstractmethod
    def forward_features(self, x: Tensor) -> Tensor:
        """Image `(B, in_chans, H, W)` to final features `(B, num_features, h, w)`."""

    @abstractmethod
    def _forward_taps(self, x: Tensor, count: int) -> list[Tensor]:
        """The maps of the first `count` remaining taps, each `(B, C, h, w)`; the last of all are the final features."""

    @abstractmethod
    def _keep_taps(self, count: int) -> None:
        """Remove what only taps after the first `count` need; the last kept tap becomes the final features."""

    # What a subclass may refine.

    def _keep_only(self, wanted: list[int]) -> None:
        """Remove what the taps at the ascending indices `wanted` do not need, and update `remaining`."""
        if wanted[-1] < self.num_taps - 1:
            self._keep_taps(wanted[-1] + 1)
        self.remaining = [index for index in self.remaining if index <= wanted[-1]]

    def _tap(self, x: Tensor, position: int) -> Tensor:
        """What users get as the tap at `position` of a map."""
        return x

    # What timm calls.

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        return self.head(x, pre_logits=pre_logits)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    @torch.jit.ignore
    def get_classifier(self) -> nn.Module:
        return self.head.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier; `num_classes=0` removes it, `global_pool=''` then leaves the feature map."""
        reference = next(self.parameters())
        self.num_classes = num_classes
        pool = self.head.pool_type if global_pool is None else global_pool
        training = self.training
        self._set_head(pool, reference.device, reference.dtype)
        self.head.train(training)

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        self.grad_checkpointing = enable

    @torch.jit.ignore
    def no_weight_decay(self) -> set[str]:
        return set()

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Features and intermediate feature maps, as timm's models give them.

        Args:
            x: `(B, in_chans, H, W)`.
            indices: the last n taps if an int, all if None, else these.
            norm: accepted for timm; there is no norm apart from the taps.
            stop_early: compute no tap after the last wanted one.
            output_fmt: `NCHW`.
            intermediates_only: return the list alone.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt must be 'NCHW', got {output_fmt!r}")
        positions = [self.remaining.index(index) for index in self._take(indices)]
        maps = self._forward_taps(x, max(positions) + 1 if stop_early else len(self.remaining))
        intermediates = [self._tap(maps[position], self.remaining[position]) for position in positions]
        if intermediates_only:
            return intermediates
        return self._tap(maps[-1], self.remaining[len(maps) - 1]) if self.pruned else maps[-1], intermediates

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Remove what the taps at `indices` do not need, and the head.

        Indices of the taps that remain do not change. Every parameter that remains gets a gradient from these taps.

        Args:
            indices: the last n taps if an int, else these.
            prune_norm: accepted for timm; there is no norm apart from the taps.
            prune_head: remove the head also where the last tap stays.

        Returns:
            The indices, counted from 0.
        """
        taken = self._take(indices)
        last = max(taken)
        ends = last < self.num_taps - 1
        self._keep_only(sorted(taken))
        if ends:
            self.pruned = True
            self.feature_info = self.feature_info[: last + 1]
            self.num_features = self.feature_info[last]["num_chs"]
        if prune_head or ends:
            self.reset_classifier(0, "")
        return taken

    def _take(self, indices: int | Sequence[int] | None) -> list[int]:
        """Indices of the wanted taps, counted from 0; None and an int select among the remaining taps."""
        if indices is None or isinstance(indices, int):
            return [self.remaining[position] for position in feature_take_indices(len(self.remaining), indices)[0]]
        taken: list[int] = feature_take_indices(self.num_taps, list(indices))[0]
        if gone := sorted(set(taken) - set(self.remaining)):
            raise ValueError(f"the taps at {gone} were pruned; choose from {self.remaining}, or create the model again")
        return taken


class ChainModel(ZooModel):
    """A chain of named modules, each of which is a tap."""

    image_size: tuple[int, int] | None

    def _set_stages(
        self, stages: Sequence[tuple[str, nn.Module, int, int]], image_size: tuple[int, int] | None = None
    ) -> None:
        """`stages`: (name, module, channels, spatial reduction), in order; images not of `image_size` are refused."""
        self.stages = nn.Sequential()
        self.image_size = image_size
        self.margins = [0] * len(stages)  # rows and columns by which a stage's map exceeds the image
        for name, module, channels, reduction in stages:
            self.stages.add_module(name, module)
            self.feature_info.append({"num_chs": channels, "reduction": reduction, "module": f"stages.{name}"})
        self.num_features = stages[-1][2]

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        stages = [(r"^stages\.[a-z]+(\d+)", None)]  # stages are named conv1, bn1, ...
        blocks = [] if coarse else [(r"^stages\.[a-z]+(\d+)\.(\d+)", None)]  # blocks of a stage are named 0, 1, ...
        return {"stem": r"^stages\.stem", "blocks": blocks + stages}

    def _check(self, x: Tensor) -> None:
        size = self.image_size
        if size is not None:
            check_image(x, self.in_chans, size)

    def forward_features(self, x: Tensor) -> Tensor:
        self._check(x)
        for module in self.stages:
            x = self._run(module, x) if self.grad_checkpointing and not torch.jit.is_scripting() else module(x)
        return self._tap(x, self.num_taps - 1) if self.pruned else x

    def _tap(self, x: Tensor, position: int) -> Tensor:
        """The map, cropped in the middle to the size of the image where padding made it larger."""
        margin = self.margins[position]
        if margin <= 0:
            return x
        start, end = margin // 2, (margin + 1) // 2
        return x[:, :, start:-end, start:-end]

    @torch.jit.unused
    def _run(self, module: nn.Module, x: Tensor) -> Tensor:
        return checkpoint(module, x)  # type: ignore[no-any-return]

    def _forward_taps(self, x: Tensor, count: int) -> list[Tensor]:
        self._check(x)
        taps: list[Tensor] = []
        for position, module in enumerate(self.stages):
            if position < count:
                x = self._run(module, x) if self.grad_checkpointing and not torch.jit.is_scripting() else module(x)
                taps.append(x)
        return taps

    def _keep_taps(self, count: int) -> None:
        self.stages = self.stages[:count]


def image_cfg(first_conv: str | tuple[str, ...], **kwargs: Any) -> dict[str, Any]:
    """The timm `default_cfg` of a zoo model: colour, 32 x 32, 1000 classes."""
    return {
        "url": "",
        "num_classes": 1000,
        "input_size": (3, 32, 32),
        "pool_size": (1, 1),
        "fixed_input_size": True,
        "crop_pct": 1.0,
        "interpolation": "bilinear",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.25, 0.25, 0.25),
        "first_conv": first_conv,
        "classifier": "head.fc",
        "license": "mit",
        **kwargs,
    }


def paper_cfg(first_conv: str | tuple[str, ...], side: int, **kwargs: Any) -> dict[str, Any]:
    """default_cfg of a model of arXiv 2306.08734: one channel in [0, 1], ten classes."""
    return image_cfg(
        first_conv,
        num_classes=10,
        input_size=(1, side, side),
        interpolation="nearest",
        mean=(0.0,),
        std=(1.0,),
        paper_ids="arXiv:2306.08734",
        paper_name="WavPool: A New Block for Deep Neural Networks",
        **kwargs,
    )


# timm's default number of taps for `features_only=True`, counted from the last: no model here has fewer.
FEATURE_CFG: dict[str, Any] = {"out_indices": 3, "feature_cls": "getter"}


def build(model_cls: Callable[..., Model], variant: str, pretrained: bool, **kwargs: Any) -> Model:
    """Create a zoo model as timm's `build_model_with_cfg` does; `bn_momentum` and `bn_eps` go to its BatchNorms.

    Raises:
        ValueError: `bn_momentum` or `bn_eps` is given, and the model has no BatchNorm.
    """
    arguments = {"momentum": kwargs.pop("bn_momentum", None), "eps": kwargs.pop("bn_eps", None)}
    model = build_model_with_cfg(model_cls, variant, pretrained, **{"feature_cfg": dict(FEATURE_CFG), **kwargs})
    given = {name: value for name, value in arguments.items() if value is not None}
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if given and not norms:
        flags = " and ".join(f"bn_{name}" for name in given)
        raise ValueError(f"{variant} has no BatchNorm that {flags} could act on; leave {flags} out")
    for norm in norms:
        for name, value in given.items():
            setattr(norm, name, value)
    return model
