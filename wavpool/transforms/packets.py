"""Wavelet packets: the transform applied again to every band, details too, in one or two dimensions.

A node of the tree is named by its path from the root, as in PyWavelets: `a` and `d` along one axis; `a`, `h`, `v`, `d`
(approximation, horizontal, vertical, diagonal detail) along two. The leaves of a complete tree, of one depth or of
several, are a basis, and a transform is a dictionary of them.

Source: R. R. Coifman, M. V. Wickerhauser, Entropy-based algorithms for best basis selection, IEEE Trans. Inf. Theory
38(2), 1992; orders as `pywt.WaveletPacket.get_level` and `pywt.WaveletPacket2D.get_level` have them.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise, product

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

from .arguments import as_axes, check_floating, ints, normal_axes, two, widened
from .extension import BOUNDARY, check_mode, coefficient_length
from .filters import Filters, Wavelet, resolve
from .levels import analysis_step, check_level, detail_keys, synthesis_step
from .multilevel import checked_level

LETTERS = {1: "ad", 2: "ahvd"}  # bands of a node, in the order of `levels.analysis_step`
FREQUENCIES = {"ll": "a", "hl": "h", "lh": "v", "hh": "d"}  # vertical and horizontal half of a two-dimensional band


def wpdec(
    x: Tensor,
    wavelet: Wavelet = "haar",
    mode: str = "symmetric",
    level: int | None = None,
    axis: int = -1,
    order: str = "natural",
    basis: Sequence[str] | None = None,
) -> dict[str, Tensor]:
    """Wavelet packet transform along one axis.

    Args:
        x: `(..., n, ...)`, floating point, any device; the result keeps its dtype.
        wavelet, mode: as `dwt` takes them.
        level: depth of all leaves, 0 (identity) to `dwt_max_level(n, wavelet)`; `None` takes the deepest.
        axis: the axis of length n.
        order: of the leaves, `natural` (by path) or `freq` (by rising frequency).
        basis: paths of the leaves wanted, in place of `level` and `order`; they must be a complete tree.

    Returns:
        leaves by path, in order, each as `pywt.WaveletPacket(x, wavelet, mode)[path].data`.

    Raises:
        TypeError: `x` is not a floating-point tensor.
        ValueError: no such axis, an empty one, an unknown wavelet, mode or order, a level out of range or a basis that
            is no complete tree.

    >>> [*wpdec(torch.zeros(8), "haar", level=2, order="freq")], [*wpdec(torch.zeros(8), basis=["a", "da", "dd"])]
    (['aa', 'ad', 'dd', 'da'], ['a', 'da', 'dd'])
    """
    if has_torch_function((x,)):
        return handle_torch_function(wpdec, (x,), x, wavelet, mode, level, axis, order, basis)
    return _decompose(x, wavelet, mode, level, (axis,), order, basis)


def wprec(
    leaves: Mapping[str, Tensor],
    wavelet: Wavelet = "haar",
    mode: str = "symmetric",
    axis: int = -1,
    length: int | None = None,
) -> Tensor:
    """Inverse of `wpdec`.

    Args:
        leaves: a complete tree of tensors, as `wpdec` returns it, in any order.
        wavelet, mode, axis: as given to `wpdec`.
        length: n of the original; `None` takes the longer, even one at every node, so an odd one has to be told.

    Returns:
        `(..., length, ...)`.

    Raises:
        TypeError: the leaves are not floating-point tensors.
        ValueError: they are no complete tree, or their shapes do not belong to one transform of this length.

    >>> x = torch.arange(9.0)
    >>> torch.allclose(wprec(wpdec(x, "db2"), "db2", length=9), x, atol=1e-5)
    True
    """
    tensors = tuple(leaves.values())
    if has_torch_function(tensors):
        return handle_torch_function(wprec, tensors, leaves, wavelet, mode, axis, length)
    return _recompose(leaves, wavelet, mode, (axis,), None if length is None else (length,))


def wpdec2(
    x: Tensor,
    wavelet: Wavelet = "haar",
    mode: str = "symmetric",
    level: int | None = None,
    axes: tuple[int, int] = (-2, -1),
    order: str = "natural",
    basis: Sequence[str] | None = None,
) -> dict[str, Tensor]:
    """Wavelet packet transform along two axes, `(..., H, W)`; all else as `wpdec`.

    In order `freq` the leaves run through a square of 2**level rows of rising vertical frequency, row by row, each of
    rising horizontal frequency: PyWavelets' list of lists, flattened.

    >>> [*wpdec2(torch.zeros(4, 4), level=1, order="freq")]
    ['a', 'v', 'h', 'd']
    """
    if has_torch_function((x,)):
        return handle_torch_function(wpdec2, (x,), x, wavelet, mode, level, axes, order, basis)
    return _decompose(x, wavelet, mode, level, two(axes), order, basis)


def wprec2(
    leaves: Mapping[str, Tensor],
    wavelet: Wavelet = "haar",
    mode: str = "symmetric",
    axes: tuple[int, int] = (-2, -1),
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Inverse of `wpdec2`, to `(..., H, W)` with `size = (H, W)`; all else as `wprec`.

    >>> wprec2(wpdec2(torch.ones(5, 6)), size=(5, 6)).shape
    torch.Size([5, 6])
    """
    tensors = tuple(leaves.values())
    if has_torch_function(tensors):
        return handle_torch_function(wprec2, tensors, leaves, wavelet, mode, axes, size)
    return _recompose(leaves, wavelet, mode, two(axes), size)


def packet_paths(level: int, dims: int = 1, order: str = "natural") -> list[str]:
    """Paths of all nodes at one depth, `natural` (by path) or `freq` (by rising frequency), for 1 or 2 dimensions.

    Raises:
        ValueError: another order or number of dimensions, or a negative level.

    >>> packet_paths(2), packet_paths(2, order="freq")
    (['aa', 'ad', 'da', 'dd'], ['aa', 'ad', 'dd', 'da'])
    """
    if dims not in LETTERS or order not in ("natural", "freq") or level < 0:
        raise ValueError(
            f"level must be at least 0, dims 1 or 2, order 'natural' or 'freq', got {level}, {dims}, {order!r}"
        )
    if order == "natural":
        return ["".join(letters) for letters in product(LETTERS[dims], repeat=level)]
    if dims == 1:
        return _gray("ad", level)
    halves = _gray("lh", level)
    return [
        "".join(FREQUENCIES[vertical + horizontal] for vertical, horizontal in zip(row, column, strict=True))
        for row, column in product(halves, halves)
    ]


def entropy(coefficients: Tensor) -> Tensor:
    """Shannon entropy of the energies, sum of -c^2 ln c^2: additive over bands, least for the sparsest basis."""
    total: Tensor = torch.special.entr(coefficients.square()).sum()
    return total


def best_basis(
    x: Tensor,
    wavelet: Wavelet = "haar",
    mode: str = "symmetric",
    level: int | None = None,
    axes: int | tuple[int, int] = -1,
    cost: Callable[[Tensor], Tensor] = entropy,
) -> list[str]:
    """Paths of the leaves that cost least together, among all trees to a depth; for `basis` of `wpdec` and `wpdec2`.

    Args:
        x, wavelet, mode, level: as `wpdec` takes them. Leading axes share the basis.
        axes: one axis or two.
        cost: of a band, a scalar tensor; additive over bands. It sees `x` scaled to unit energy.

    >>> best_basis(torch.tensor([1.0, -1.0] * 4))
    ['a', 'daa', 'dad', 'dd']
    """
    chosen = as_axes(axes)
    filters, normal, depth = _checked(x, wavelet, mode, level, chosen if len(chosen) == 1 else two(chosen))

    def search(path: str, node: Tensor) -> tuple[float, list[str]]:
        own = float(cost(node))
        if len(path) == depth:
            return own, [path]
        found = [search(path + letter, band) for letter, band in _split(node, filters, mode, normal).items()]
        total = sum(price for price, _ in found)
        return (total, [leaf for _, paths in found for leaf in paths]) if total < own else (own, [path])

    x = widened(x.detach())
    return search("", x / x.norm().clamp_min(torch.finfo(x.dtype).tiny))[1]


def _decompose(
    x: Tensor,
    wavelet: Wavelet,
    mode: str,
    level: int | None,
    axes: Sequence[int],
    order: str,
    basis: Sequence[str] | None,
) -> dict[str, Tensor]:
    if basis is not None:
        _check_tree(basis, len(axes))
        level = max(len(path) for path in basis)
    filters, axes, level = _checked(x, wavelet, mode, level, axes)
    if basis is None:
        basis = packet_paths(level, len(axes), order)
    leaves = dict.fromkeys(basis, x)

    def descend(path: str, node: Tensor) -> None:
        if path in leaves:
            leaves[path] = node.to(x.dtype)
        else:
            for letter, band in _split(node, filters, mode, axes).items():
                descend(path + letter, band)

    descend("", widened(x))
    return leaves


def _recompose(
    leaves: Mapping[str, Tensor], wavelet: Wavelet, mode: str, axes: Sequence[int], size: Sequence[int] | None
) -> Tensor:
    _check_tree([*leaves], len(axes))
    filters = resolve(wavelet)
    check_mode(mode)
    for leaf in leaves.values():
        check_floating(leaf)
    first = next(iter(leaves.values()))
    normal = normal_axes(first, axes)
    if size is not None and len(size) != len(axes):
        raise ValueError(f"size must have {len(axes)} lengths, got {tuple(size)}")

    def ascend(path: str, size: Sequence[int | None]) -> Tensor:
        if path in leaves:
            return widened(leaves[path])
        free = mode == BOUNDARY or None in size  # children tell their sizes themselves
        below = [None if n is None or free else coefficient_length(n, filters.length, mode) for n in size]
        children = [ascend(path + letter, below) for letter in LETTERS[len(axes)]]
        if free and mode != BOUNDARY:
            children = _cropped(children, normal)
        details = dict(zip(detail_keys(len(axes)), children[1:], strict=True))
        check_level(children[0], details, mode, normal)
        return synthesis_step(children[0], details, filters, mode, normal, size)

    x = ascend("", size or (None,) * len(axes))
    found = ints(x.shape[axis] for axis in normal)
    if size is not None and ints(size) != found:
        raise ValueError(f"these leaves belong to size {found}, not {tuple(size)}")
    return x.to(first.dtype)


def _cropped(bands: list[Tensor], axes: Sequence[int]) -> list[Tensor]:
    """Siblings at their common size: one restored from below may have a sample too many."""
    for axis in axes:
        shortest = min(band.shape[axis] for band in bands)
        bands = [band.narrow(axis, 0, shortest) for band in bands]
    return bands


def _split(node: Tensor, filters: Filters, mode: str, axes: Sequence[int]) -> dict[str, Tensor]:
    """Children of a node by letter."""
    approximation, details = analysis_step(node, filters, mode, axes)
    return dict(zip(LETTERS[len(axes)], (approximation, *details.values()), strict=True))


def _checked(
    x: Tensor, wavelet: Wavelet, mode: str, level: int | None, axes: Sequence[int]
) -> tuple[Filters, tuple[int, ...], int]:
    """Filters, axes counted from the front and level of valid arguments."""
    filters = resolve(wavelet)
    check_mode(mode)
    check_floating(x)
    axes = normal_axes(x, axes)
    return filters, axes, checked_level(level, ints(x.shape[axis] for axis in axes), filters)


def _check_tree(paths: Sequence[str], dims: int) -> None:
    """Raise ValueError unless the paths are the leaves of a complete tree: none leads through another, none lacks."""
    letters = LETTERS[dims]
    for path in paths:
        if not set(path) <= set(letters):
            raise ValueError(f"a path consists of the letters {', '.join(letters)}, got {path!r}")
    for shorter, longer in pairwise(sorted(paths)):
        if longer.startswith(shorter):
            raise ValueError(f"the leaves are no complete tree: {longer!r} lies under {shorter!r}")
    depth = max([0, *(len(path) for path in paths)])
    if sum(len(letters) ** (depth - len(path)) for path in paths) != len(letters) ** depth:
        raise ValueError(
            f"the leaves are no complete tree: some are missing among {', '.join(sorted(paths)) or 'none'}"
        )


def _gray(letters: str, level: int) -> list[str]:
    """Paths by rising frequency: a high-pass filter turns the frequencies of its half around."""
    paths = [""]
    for _ in range(level):
        paths = [letters[0] + path for path in paths] + [letters[1] + path for path in reversed(paths)]
    return paths
