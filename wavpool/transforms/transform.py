"""One interface to every transform that keeps the shape: for layers, and for a codec that stores its name in a file.

A `Transform` is an invertible, critically sampled linear map of any axis or axes of a tensor. There are two kinds:

* `Separable`: one orthogonal matrix a length, applied to one axis after the other: the identity, the trigonometric
  transforms, Walsh-Hadamard's and Shannon's;
* `WaveletTransform`: several levels in Mallat's arrangement. One axis is transformed as a signal. Two or more are
  halved together, level by level, and the coarser levels stand in the first corner (`coeffs_to_array`); for the other
  arrangement, all levels along one axis and then along the next, call `forward` once an axis.
"""

import difflib
import functools
import math
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from . import hadamard, octaves, trigonometric
from .arguments import as_axes, check_floating, checked_dtype, fixed, integer, normal_axes
from .boundary import is_orthonormal
from .extension import BOUNDARY
from .filters import RECONSTRUCTION_TOLERANCE, FilterBank, filter_bank, from_key, wavelist
from .multilevel import dwt_max_level, wavedecn, waverecn
from .packed import array_slices, array_to_coeffs, coeffs_to_array
from .tracing import constant_result

if TYPE_CHECKING:
    import pywt

Axes = int | Sequence[int]

MAX_TAPS = 1024  # of a filter that a name spells out: names come from files


class Transform(ABC):
    """An invertible linear map of any axes of a tensor that keeps their lengths; hashable and comparable.

    Attributes:
        name: a text from which `get_transform` makes an equal transform in any process.
        is_orthonormal: whether the inverse is the transpose, so that sums of squares stay.
    """

    name: str
    is_orthonormal: bool

    def forward(self, x: Tensor, axes: Axes = -1) -> Tensor:
        """Coefficients, in the shape, dtype and order of the axes of `x`.

        Args:
            x: floating point, any device. Half precisions are computed in float32, and autocast changes nothing.
            axes: the axis, or a sequence of axes, to transform.

        Raises:
            TypeError: `x` is not a floating-point tensor.
            ValueError: no axis, a missing, repeated or empty one, or lengths that the transform does not take.

        >>> get_transform("haar").forward(torch.ones(4)).round()
        tensor([2., 0., 0., 0.])
        """
        if has_torch_function_unary(x):
            return handle_torch_function(_forward, (x,), x, self.name, axes)
        return self._forward(x, _checked_axes(x, axes))

    def inverse(self, y: Tensor, axes: Axes = -1) -> Tensor:
        """Inverse of `forward` with the same axes.

        >>> get_transform("db2").inverse(get_transform("db2").forward(torch.ones(7)))
        tensor([1.0000, 1.0000, 1.0000, 1.0000, 1.0000, 1.0000, 1.0000])
        """
        if has_torch_function_unary(y):
            return handle_torch_function(_inverse, (y,), y, self.name, axes)
        return self._inverse(y, _checked_axes(y, axes))

    def matrix(self, *size: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Tensor:
        """The map as a matrix `(N, N)`, N the product of the lengths.

        For a tensor of shape `size` and all its axes, `forward(x, axes).flatten()` is `matrix @ x.flatten()`.

        Args:
            size: lengths along the transformed axes.
            dtype: floating point; `None` takes torch's default. Entries are computed in float64 and rounded once.
            device: `None` takes torch's default.

        Raises:
            TypeError: `dtype` is not a floating-point dtype.
            ValueError: as `level`.

        >>> get_transform("haar").matrix(2)
        tensor([[ 0.7071,  0.7071],
                [ 0.7071, -0.7071]])
        """
        dtype = checked_dtype(dtype)
        self.level(*size)
        total = math.prod(size)
        columns = torch.eye(total, dtype=torch.float64, device="cpu").reshape(total, *size)
        images = self.forward(columns, range(1, 1 + len(size))).reshape(total, total)
        return images.mT.to(torch.empty(0, device=device).device, dtype).contiguous()

    @abstractmethod
    def level(self, *size: int) -> int:
        """Number of levels that `forward` computes for axes of these lengths; 0 for a transform without levels.

        A wavelet transform of level 0 is the identity.

        Raises:
            ValueError: no length, one below 1, or lengths that the transform does not take; the message tells which
                it does.

        >>> get_transform("db4").level(64), get_transform("db4").level(3, 3), get_transform("dct").level(64)
        (3, 0, 0)
        """

    @abstractmethod
    def _forward(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        """`forward` of checked arguments."""

    @abstractmethod
    def _inverse(self, y: Tensor, axes: tuple[int, ...]) -> Tensor:
        """`inverse` of checked arguments."""


class _Kind(NamedTuple):
    """A separable transform: its two functions, and a check of a length."""

    forward: Callable[..., Tensor]
    inverse: Callable[..., Tensor]
    check: Callable[[int], None]


def _same(x: Tensor, axis: Axes = -1) -> Tensor:
    return x


def _any_length(n: int) -> None:
    pass


def _typed(name: str, forward: Callable[..., Tensor], inverse: Callable[..., Tensor]) -> dict[str, _Kind]:
    """The four types of a cosine or sine transform."""
    return {
        f"{name}{number}": _Kind(
            functools.partial(forward, type=number),
            functools.partial(inverse, type=number),
            functools.partial(trigonometric.check_length, f"{name}{number}"),
        )
        for number in (1, 2, 3, 4)
    }


SEPARABLE = {
    "identity": _Kind(_same, _same, _any_length),
    **_typed("dct", trigonometric.dct, trigonometric.idct),
    **_typed("dst", trigonometric.dst, trigonometric.idst),
    "dht": _Kind(trigonometric.dht, trigonometric.dht, _any_length),
    "rdft": _Kind(trigonometric.rdft, trigonometric.irdft, _any_length),
    "wht": _Kind(hadamard.wht, hadamard.wht, hadamard.check_length),
    "bwht": _Kind(hadamard.bwht, hadamard.ibwht, _any_length),
    "shannon": _Kind(octaves.shannon, octaves.ishannon, _any_length),
    "real_shannon": _Kind(octaves.real_shannon, octaves.ireal_shannon, _any_length),
}
ALIASES = {
    "none": "identity",
    "dct": "dct2",
    "dst": "dst2",
    "dft": "rdft",
    "hadamard": "wht",
    "realshannon": "real_shannon",
}


@dataclass(frozen=True)
class Separable(Transform):
    """One orthogonal matrix a length, along one axis after the other; `identity` returns its argument itself.

    Args:
        name: a key of `SEPARABLE`.

    >>> Separable("dct2").forward(torch.ones(2, 2), axes=(0, 1))
    tensor([[2.0000, 0.0000],
            [0.0000, 0.0000]])
    """

    name: str
    is_orthonormal: bool = field(default=True, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.name not in SEPARABLE:
            raise ValueError(f"name must be one of {', '.join(SEPARABLE)}, got {reprlib.repr(self.name)}")

    def level(self, *size: int) -> int:
        _check_size(size)
        for n in size:
            SEPARABLE[self.name].check(n)
        return 0

    def _forward(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        return SEPARABLE[self.name].forward(x, axis=axes)

    def _inverse(self, y: Tensor, axes: tuple[int, ...]) -> Tensor:
        return SEPARABLE[self.name].inverse(y, axis=axes)


@dataclass(frozen=True)
class WaveletTransform(Transform):
    """Several levels of a wavelet, as many coefficients as samples, in one array (Mallat's arrangement).

    Orthonormal filters are applied in mode `boundary` to any lengths. Biorthogonal ones are applied in mode
    `periodization` to lengths that 2**level divides.

    Args:
        bank: the filters, which reconstruct perfectly. Those that are not PyWavelets' are renamed `custom`, since the
            name of the transform holds their taps alone.
        levels: how many; `None` takes as many as the lengths allow, which may be 0 and is what `level` reports.

    Raises:
        ValueError: levels below 0, filters of more than 1024 taps, or `dmey`, of which PyWavelets holds an
            approximation that misses perfect reconstruction by 4e-3.
        TypeError: levels that are no integer.

    >>> transform = WaveletTransform(filter_bank("db2"), 2)
    >>> transform.name, transform.level(12, 13), transform.forward(torch.zeros(12, 13), (0, 1)).shape
    ('db2:2', 2, torch.Size([12, 13]))
    """

    bank: FilterBank
    levels: int | None = None
    name: str = field(init=False, repr=False, compare=False)
    is_orthonormal: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        bank = _bank(self.bank.key)
        if self.levels is not None and integer(self.levels, "levels") < 0:
            raise ValueError(f"levels must be at least 0, or None for as many as the lengths allow, got {self.levels}")
        object.__setattr__(self, "bank", bank)
        object.__setattr__(self, "name", bank.key if self.levels is None else f"{bank.key}:{self.levels}")
        object.__setattr__(self, "is_orthonormal", is_orthonormal(bank))

    def level(self, *size: int) -> int:
        _check_size(size)
        deepest = dwt_max_level(size, self.bank)
        remedy = ""
        if not self.is_orthonormal:
            deepest = min(deepest, *((n & -n).bit_length() - 1 for n in size))
            remedy = "; filters that are not orthonormal need lengths that 2**level divides"
        if self.levels is None:
            return deepest
        if self.levels > deepest:
            shape = " x ".join(str(n) for n in size)
            raise ValueError(
                f"level must be 0 to {deepest} for {shape} and filters of length {self.bank.length}, got {self.levels}"
                + remedy
            )
        return self.levels

    def _mode(self, size: tuple[int, ...], level: int) -> str:
        # Two taps do not reach over the ends of even lengths, where the modes agree and the fused kernel is faster.
        even = self.bank.length == 2 and all(n % 2**level == 0 for n in size)
        return BOUNDARY if self.is_orthonormal and not even else "periodization"

    def _forward(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        size = fixed(x.shape[axis] for axis in axes)
        level = self.level(*size)
        if level == 0:
            return x
        end = tuple(range(-len(axes), 0))
        bands = wavedecn(x.movedim(axes, end), self.bank, self._mode(size, level), level, end)
        return coeffs_to_array(bands, padding=None)[0].movedim(end, axes)

    def _inverse(self, y: Tensor, axes: tuple[int, ...]) -> Tensor:
        size = fixed(y.shape[axis] for axis in axes)
        level = self.level(*size)
        if level == 0:
            return y
        end = tuple(range(-len(axes), 0))
        mode = self._mode(size, level)
        bands = array_to_coeffs(y.movedim(axes, end), array_slices(size, self.bank, mode, level), "wavedecn")
        return waverecn(bands, self.bank, mode, end, size=size).movedim(end, axes)


def get_transform(transform: "str | Transform | FilterBank | pywt.Wavelet") -> Transform:
    """The transform of a name.

    Args:
        transform: one of `transform_names()`, one of their other names `none`, `dct`, `dst`, `dft` and `hadamard`, or
            the `name` of any transform. After a wavelet a colon and a number of levels may follow: `db4:2`. Filters
            stand for their `WaveletTransform` of all levels, and a transform for itself.

    Raises:
        ValueError: an unknown name (the message tells close ones), or filters that do not reconstruct perfectly.
        TypeError: none of these types.

    >>> get_transform("dct"), get_transform("bior2.2:1").is_orthonormal, get_transform("haar").matrix(3).shape
    (Separable(name='dct2'), False, torch.Size([3, 3]))
    """
    if isinstance(transform, Transform):
        return transform
    if isinstance(transform, str):
        return _new(transform) if torch.compiler.is_compiling() else _named(transform)
    if isinstance(transform, FilterBank) or hasattr(transform, "filter_bank"):
        return WaveletTransform(filter_bank(transform))
    raise TypeError(
        f"transform must be a name, a Transform, a FilterBank or a pywt.Wavelet, got {type(transform).__name__}"
    )


def transform_names() -> tuple[str, ...]:
    """Names of all transforms: the separable ones, and every discrete wavelet of PyWavelets but `dmey`.

    >>> transform_names()[:3], len(transform_names())
    (('identity', 'dct1', 'dct2'), 120)
    """
    return (*SEPARABLE, *(name for name in wavelist() if name != "dmey"))


def _new(name: str) -> Transform:
    base, colon, levels = name.strip().lower().partition(":")
    base = ALIASES.get(base, base)
    if base in SEPARABLE:
        if colon:
            raise ValueError(f"{base} has no levels, got {reprlib.repr(name)}")
        return Separable(base)
    if colon and not (levels.isascii() and levels.isdecimal() and len(levels) <= 3):
        raise ValueError(f"a number of levels must follow the colon, as in 'db4:2', got {reprlib.repr(name)}")
    return WaveletTransform(_bank(base), int(levels) if colon else None)


_named = functools.lru_cache(maxsize=256)(_new)


@constant_result
def _bank(key: str) -> FilterBank:
    """The filters of a `FilterBank.key`, bounded before anything is computed."""
    if " " not in key:
        if key not in wavelist():
            close = difflib.get_close_matches(key[:40], (*transform_names(), *ALIASES), n=4)
            close = close or ["dct", "haar", "db4", "bior4.4"]
            raise ValueError(
                f"no transform {reprlib.repr(key)}; close: {', '.join(close)}; all: "
                "wavpool.transforms.transform_names()"
            )
        bank = filter_bank(key)
        if not bank.reconstruction_error <= RECONSTRUCTION_TOLERANCE:
            raise ValueError(
                f"{key} misses perfect reconstruction by {bank.reconstruction_error:.2g} and cannot be inverted; take "
                "another wavelet, such as sym8"
            )
        return bank
    if key.count(" ") >= 4 * MAX_TAPS:
        raise ValueError(f"filters may have at most {MAX_TAPS} taps")
    try:
        return from_key(key)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{reprlib.repr(key)} does not spell the taps of four filters: {error}") from None


def _forward(x: Tensor, name: str, axes: Axes) -> Tensor:
    """`Transform.forward` with arguments that a graph can hold."""
    return get_transform(name).forward(x, axes)


def _inverse(y: Tensor, name: str, axes: Axes) -> Tensor:
    return get_transform(name).inverse(y, axes)


def _checked_axes(x: Tensor, axes: Axes) -> tuple[int, ...]:
    check_floating(x)
    axes = as_axes(axes)
    if not axes:
        raise ValueError("axes must name at least one axis")
    return normal_axes(x, axes)


def _check_size(size: tuple[int, ...]) -> None:
    if not size or min(integer(n, "each length") for n in size) < 1:
        raise ValueError(f"size must be one or more lengths of at least 1, got {size}")
