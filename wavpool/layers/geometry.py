"""Image sizes and level choices, checked once."""

from collections.abc import Sequence

from ..transforms import dwt_max_level


def to_size(img_size: int | Sequence[int]) -> tuple[int, int]:
    """`(H, W)` of a side or a pair."""
    if isinstance(img_size, int):
        return (img_size, img_size)
    height, width = img_size
    return (int(height), int(width))


def resolve_levels(size: tuple[int, int], levels: Sequence[int] | None) -> list[int]:
    """Decomposition levels, coarsest first, 1 = finest; negative ones count from the coarsest (-1), `None` takes all.

    Raises:
        ValueError: an image of `size` has no such level, or one is named twice.
    """
    deepest = dwt_max_level(size)
    if deepest == 0:
        raise ValueError(f"an image of {size[0]} x {size[1]} has no wavelet level; both sides must be at least 2")
    if levels is None:
        return list(range(deepest, 0, -1))
    resolved = sorted((deepest + 1 + level if level < 0 else level for level in levels), reverse=True)
    if not resolved or len(set(resolved)) != len(resolved) or resolved[-1] < 1 or resolved[0] > deepest:
        raise ValueError(
            f"levels of an image of {size[0]} x {size[1]} are distinct numbers from 1 (finest) to {deepest} "
            f"(coarsest), or -1 (coarsest) to {-deepest} (finest), got {list(levels)}"
        )
    return resolved
