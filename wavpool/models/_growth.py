"""Make a dense network's weights fit images of 2, 4, 8, ... times the size, without changing what it computes.

The Haar levels of an image, from the second on, are twice those of the image whose pixels are the means of its 2 x 2
blocks. So every stored level keeps its place counted from the coarsest, its weights take a factor of 1/2 for each
doubling, and the new finest levels start at zero. Two things move:

* The level that was the finest may be wider now. Its new units are zero. Only those that fill up a pooling window that
  was incomplete are the mean of the window's units, which changes neither its maximum nor its average.
* The first dense layer after the pooling has more columns. The stored ones move to the features that they belong to;
  the others, whose features are zero, keep the values that the larger network was created with.
"""

from collections.abc import MutableMapping

import torch
from torch import Tensor

from ..layers import WavPool


def grow(
    state: MutableMapping[str, Tensor], block: WavPool, columns: str, fresh: Tensor | None, prefix: str = ""
) -> None:
    """Change a state dict of a smaller image size, in place, to fit `block`; leave one of the same size alone.

    Other differences, such as a number of units or of channels, are left to `load_state_dict`, which names them.

    Args:
        state: state dict of a network whose block has the name `{prefix}block`.
        block: block for larger images.
        columns: name of the weight `(out, features)` of the first dense layer after the block; it may be absent.
        fresh: weight of that layer in the larger network.
        prefix: what names of this network begin with.

    Raises:
        ValueError: `block` is not that of 2, 4, 8, ... times the image size.
    """
    root = f"{prefix}block"
    stored: list[Tensor] = []
    while f"{root}.levels.{len(stored)}.weight" in state:
        stored.append(state[f"{root}.levels.{len(stored)}.weight"])
    have, want = [tuple(weight.shape[2:]) for weight in stored], _band_sizes(block)
    if not stored or have == want:
        return
    grows = _grows(block)
    if not grows or want[: len(have)] != have:
        sizes = [", ".join(f"{height} x {width}" for height, width in bands) for bands in (have, want)]
        allowed = "a model of the checkpoint's img_size" + (" or of 2, 4, 8, ... times that" if grows else "")
        raise ValueError(
            f"the checkpoint has wavelet bands of {sizes[0]}, this model of {sizes[1]} (coarsest first); "
            f"load it into {allowed}"
        )
    units = [weight.shape[0] // 3 for weight in stored]
    if any(old > new for old, new in zip(units, block.pool.hidden, strict=False)):
        return
    if f"{prefix}{columns}" in state and fresh is not None:
        state[f"{prefix}{columns}"] = _move_columns(state[f"{prefix}{columns}"], fresh, block, units)
    factor = 0.5 ** (len(want) - len(have))
    for index, linear in enumerate(block.levels):
        for part, scale in (("weight", factor), ("bias", 1.0)):
            name = f"{root}.levels.{index}.{part}"
            if index < len(stored):
                state[name] = _widen(state[name] * scale, block.pool.hidden[index], block.pool.hidden_kernel)
            else:
                state[name] = torch.zeros_like(getattr(linear, part), dtype=stored[0].dtype, device=stored[0].device)
    if f"{root}.approximation.weight" in state:
        state[f"{root}.approximation.weight"] = state[f"{root}.approximation.weight"] * factor


def _band_sizes(block: WavPool) -> list[tuple[int, int]]:
    """Coarsest first, as the levels are."""
    return [block.sizes[number] for number in block.level_numbers]


def _grows(block: WavPool) -> bool:
    """Whether levels are pooled one by one, and all levels from the finest on are used."""
    numbers = block.level_numbers
    return block.pool.level_kernel == 1 and block.pool.ceil_mode and numbers == list(range(len(numbers), 0, -1))


def _widen(stored: Tensor, units: int, kernel: int) -> Tensor:
    """`(3 * old, ...)` to `(3 * units, ...)`."""
    old: Tensor = stored.unflatten(0, (3, -1))
    count = old.shape[1]
    new = old.new_zeros(3, units, *old.shape[2:])
    new[:, :count] = old
    if rest := count % kernel:  # of the old units, in the incomplete window
        new[:, count : count - rest + kernel] = old[:, -rest:].mean(1, keepdim=True)
    return new.flatten(0, 1)


def _move_columns(stored: Tensor, fresh: Tensor, block: WavPool, units: list[int]) -> Tensor:
    """Columns of the stored features to their places in the larger block; unchanged if they are of another layout."""
    pool = block.pool
    band_windows = -(-pool.bands // pool.band_kernel)
    places: list[Tensor] = []
    start = 0
    for index, width in enumerate(pool.hidden):
        windows = -(-width // pool.hidden_kernel)
        if index < len(units):
            grid = torch.arange(start, start + band_windows * windows).view(band_windows, windows)
            places.append(grid[:, : -(-units[index] // pool.hidden_kernel)].flatten())
        start += band_windows * windows
    places.append(torch.arange(start, block.num_features))  # of the approximation
    place = torch.cat(places)
    if stored.shape[0] != fresh.shape[0] or stored.shape[1] * block.num_features != fresh.shape[1] * len(place):
        return stored
    new: Tensor = (
        fresh.detach().to(stored, copy=True).unflatten(1, (-1, block.num_features))
    )  # global pooling may repeat all
    new[:, :, place] = stored.unflatten(1, (-1, len(place)))
    return new.flatten(1)
