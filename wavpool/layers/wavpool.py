"""The WavPool block: every wavelet level through MicroWav's dense layers, then one pooling over all of them."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..transforms import level_sizes
from .band_linear import BandLinear
from .bands import haar_bands
from .geometry import check_image, resolve_levels, to_size
from .pool import MultiResolutionPool


def scale_hidden(hidden: int, num_levels: int) -> list[int]:
    """The paper's hidden scaling, coarsest first: `int(hidden / (k + 1))`, the finest level (k = 0) the widest."""
    return [int(hidden / (k + 1)) for k in reversed(range(num_levels))]


class WavPool(nn.Module):
    """Haar-transform an image once, send every band through its own dense layer, and pool the responses.

    Levels are ordered from the coarsest to the finest, as in PyWavelets' coefficient lists.

    Args:
        img_size: image side or `(H, W)`.
        hidden: units a band: one number for all levels, or one a level, coarsest first.
        in_chans: channels of the image.
        hidden_scaling: with one number, narrow the coarser levels as the paper does, see `scale_hidden`.
        levels: decomposition levels to use, as in PyWavelets (1 = finest), or counted from the coarsest (-1); all by
            default.
        approximation: units for the approximation at the coarsest level used (0: leave it out, as the paper does).
            Without it the block is blind to whatever that approximation holds: the mean, when all levels are used.
        act_layer: activation module class between the dense layers and the pooling; none by default, as in the paper.
        kernel_size, pool_mode, ceil_mode: see `MultiResolutionPool`; `ceil_mode=False` is the paper's layout. The
            approximation's units are pooled over the hidden axis only.
        drop_path: rate at which training drops a whole level for an image, before pooling (stochastic depth).

    Shape:
        input `(B, in_chans, H, W)`, output `(B, num_features)`.

    Source: arXiv 2306.08734, section 3.

    >>> block = WavPool(img_size=32, hidden=64, in_chans=3)
    >>> block(torch.zeros(2, 3, 32, 32)).shape == (2, block.num_features)
    True
    """

    def __init__(
        self,
        img_size: int | tuple[int, int],
        hidden: int | Sequence[int],
        in_chans: int = 1,
        hidden_scaling: bool = False,
        levels: Sequence[int] | None = None,
        approximation: int = 0,
        act_layer: type[nn.Module] | None = None,
        kernel_size: int | Sequence[int] = (2, 1, 1),
        pool_mode: str = "max",
        ceil_mode: bool = True,
        drop_path: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        size = to_size(img_size)
        if approximation < 0:
            raise ValueError(f"approximation is a number of units, 0 for none, got {approximation}")
        if not 0 <= drop_path < 1:
            raise ValueError(f"drop_path must be at least 0 and below 1, got {drop_path}")
        self.in_chans = in_chans
        self.drop_path = drop_path
        self.level_numbers = resolve_levels(size, levels)
        self.sizes = level_sizes(size, self.level_numbers[0])
        widths = _widths(hidden, len(self.level_numbers), hidden_scaling)
        self.levels = nn.ModuleList(
            BandLinear(in_chans, self.sizes[level], width, 3, device, dtype)
            for level, width in zip(self.level_numbers, widths, strict=True)
        )
        self.act = act_layer() if act_layer is not None else nn.Identity()
        self.pool = MultiResolutionPool(widths, 3, kernel_size, pool_mode, ceil_mode)
        self.kept_bands = [self.pool.kept(index)[0] for index in range(len(widths))]
        self.pooled = True  # whether pruning left the pooling
        self._set_unused()
        self.num_features = self.pool.num_features
        self.approximation: BandLinear | None = None
        self.approximation_pool: MultiResolutionPool | None = None
        if approximation > 0:
            self.approximation = BandLinear(in_chans, self.sizes[-1], approximation, 1, device, dtype)
            kernel = (self.pool.hidden_kernel, 1, 1)
            self.approximation_pool = MultiResolutionPool([approximation], 1, kernel, pool_mode, ceil_mode)
            self.num_features += self.approximation_pool.num_features

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool_responses(self.responses(x, pooled_only=True))
        if self.training:
            # The weights of a level that the pooling drops get the zero gradients they would get if it were computed.
            for index, linear in enumerate(self.levels):
                if self.kept_bands[index] == 0:
                    x = x + linear.zero()  # type: ignore[operator]
        return x

    def responses(self, x: Tensor, pooled_only: bool = False) -> list[Tensor]:
        """Hidden responses `(B, 3, hidden)` a level, coarsest first, then the approximation's `(B, 1, hidden)`, if any.

        With `pooled_only`, bands that the pooling drops are not computed, and levels that it drops are left out.
        """
        check_image(x, self.in_chans, self.sizes[0])
        skipped = self.unused_pooled if pooled_only else self.unused
        approximation, details = haar_bands(x, self.sizes, skipped)
        responses: list[Tensor] = []
        for index, linear in enumerate(self.levels):
            count = self.kept_bands[index] if pooled_only else 3
            if count > 0:
                bands = details[self.level_numbers[index] - 1 - skipped]
                responses.append(self._drop(self.act(linear(bands, count))))
        if self.approximation is not None:
            responses.append(self._drop(self.act(self.approximation(approximation.unsqueeze(2)))))
        return responses

    def _drop(self, response: Tensor) -> Tensor:
        """Zero the response of some images, and scale the others so that the mean stays."""
        if self.drop_path == 0.0 or not self.training:
            return response
        return response * F.dropout(response.new_ones((response.shape[0], 1, 1)), self.drop_path)

    def pool_responses(self, responses: list[Tensor]) -> Tensor:
        """Pool what `responses` returns: `(B, num_features)`."""
        x = self.pool(responses)
        if self.approximation_pool is not None:
            x = torch.cat((x, self.approximation_pool(responses[-1:])), dim=1)
        return x  # type: ignore[no-any-return]

    def unreachable(self) -> dict[str, Tensor]:
        """Boolean masks, by parameter name, of the weights that the pooling cuts off from the output."""
        masks: dict[str, Tensor] = {}
        for name, linear in self.levels.named_children() if self.pooled else ():
            bands, units = self.pool.kept(int(name))
            lost = torch.ones(3, self.pool.hidden[int(name)], dtype=torch.bool)
            lost[:bands, :units] = False
            for key, parameter in linear.named_parameters():
                shape = (-1,) + (1,) * (parameter.ndim - 1)
                masks[f"levels.{name}.{key}"] = lost.flatten().view(shape).expand(parameter.shape)
        return masks

    def keep_responses(self, kept: Sequence[int], pooled: bool = False) -> None:
        """Remove the dense layers of all responses but those at `kept`; parameter names stay.

        Args:
            kept: levels, 0 = coarsest, and the number of levels for the approximation.
            pooled: keep the pooling too, so that `forward` works; `kept` then holds all levels that it takes.
        """
        levels = nn.ModuleList()
        places = [place for place, (name, _) in enumerate(self.levels.named_children()) if int(name) in kept]
        for name, linear in self.levels.named_children():
            if int(name) in kept:
                levels.add_module(name, linear)
        self.levels = levels
        self.level_numbers = [self.level_numbers[place] for place in places]
        self.kept_bands = [self.kept_bands[place] if pooled else 3 for place in places]
        self.pooled = pooled
        if len(self.pool.hidden) not in kept:
            self.approximation = None
            self.approximation_pool = None
            self.sizes = self.sizes[: max(self.level_numbers) + 1]
        self._set_unused()

    def _set_unused(self) -> None:
        """Count the finest levels of which `responses` needs no detail, and no detail that is pooled."""
        depth = len(self.sizes) - 1
        pooled = [number for number, kept in zip(self.level_numbers, self.kept_bands, strict=True) if kept]
        self.unused = min(self.level_numbers, default=depth) - 1
        self.unused_pooled = min(pooled, default=depth) - 1


def _widths(hidden: int | Sequence[int], num_levels: int, hidden_scaling: bool) -> list[int]:
    if isinstance(hidden, int):
        widths = scale_hidden(hidden, num_levels) if hidden_scaling else [hidden] * num_levels
    elif hidden_scaling:
        raise ValueError("hidden_scaling needs one number for hidden, not one a level")
    else:
        widths = [int(width) for width in hidden]
    if len(widths) != num_levels or min(widths) < 1:
        raise ValueError(f"hidden must give at least one unit to each of {num_levels} levels, got {hidden}")
    return widths
