"""Image sizes and level choices, checked once."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..transforms import dwt_max_level
from ..transforms.arguments import as_axes, integer


def to_size(img_size: int | Sequence[int]) -> tuple[int, int]:
    """`(H, W)` of a side or a pair."""
    size = as_axes(img_size, "img_size")
    if not isinstance(img_size, Sequence):
        size *= 2
    if len(size) != 2:
        raise ValueError(f"img_size must be a side or (height, width), got {img_size}")
    return (int(size[0]), int(size[1]))


def check_image(x: Tensor, in_chans: int, size: tuple[int, int]) -> None:
    """Refuse images that are not `(B, in_chans, H, W)`: band by band they would often fit, and mean nothing."""
    if not torch.jit.is_scripting():  # noqa: SIM102, in one condition TorchScript would compile the call
        if type(x) is Tensor and not torch.jit.is_tracing() and x.shape[1:] == (in_chans, *size):
            return  # without a message that costs as much as the checks
    expected = f"images must be (B, {in_chans}, {size[0]}, {size[1]})"
    torch._assert(x.ndim == 4, f"{expected}, got {x.ndim} axes")
    torch._assert(x.shape[1] == in_chans, f"{expected}, got {x.shape[1]} channels")
    torch._assert(x.shape[2] == size[0], f"{expected}, got height {x.shape[2]}")
    torch._assert(x.shape[3] == size[1], f"{expected}, got width {x.shape[3]}")


def resolve_levels(size: tuple[int, int], levels: Sequence[int] | None) -> list[int]:
    """Decomposition levels, coarsest first, 1 = finest; negative ones count from the coarsest (-1), `None` takes all.

    Raises:
        ValueError: an image of `size` has no such level, or one is named twice.
        TypeError: a level is no integer.
    """
    deepest = dwt_max_level(size)
    if deepest == 0:
        raise ValueError(f"an image of {size[0]} x {size[1]} has no wavelet level; both sides must be at least 2")
    if levels is None:
        return list(range(deepest, 0, -1))
    if isinstance(levels, int):  # one level, or so many? it is asked
        raise TypeError(f"levels must be a list of levels such as [1, 2], got {levels}")
    levels = [integer(level, "each level") for level in levels]
    resolved = sorted((deepest + 1 + level if level < 0 else level for level in levels), reverse=True)
    if not resolved or len(set(resolved)) != len(resolved) or resolved[-1] < 1 or resolved[0] > deepest:
        raise ValueError(
            f"levels of an image of {size[0]} x {size[1]} are distinct numbers from 1 (finest) to {deepest} "
            f"(coarsest), or -1 (coarsest) to {-deepest} (finest), got {levels}"
        )
    return resolved
