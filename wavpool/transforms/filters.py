"""Two-channel filter banks: the discrete wavelets of PyWavelets, custom ones, and filters held in tensors.

Filters are named and ordered as in PyWavelets: `dec_lo`, `dec_hi` analyse and `rec_lo`, `rec_hi` synthesise, all of one
even length L. A bank reconstructs perfectly when analysis followed by synthesis is a delay of L - 1 samples, that is

    dec_lo * rec_lo + dec_hi * rec_hi = 2 delta[L - 1]    and the same sum with dec_x[k] (-1)^k vanishes.

Source: M. Vetterli, C. Herley, Wavelets and filter banks, IEEE Trans. Signal Process. 40(9), 1992, eq. 2.7-2.8.
"""

import difflib
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from torch import Tensor, nn

from .arguments import ints
from .tracing import constant_result

if TYPE_CHECKING:  # importing pywt takes 0.1 s and few programs need it
    import pywt

RECONSTRUCTION_TOLERANCE = 1e-8


@dataclass(frozen=True)
class FilterBank:
    """Four filters of one even length that reconstruct perfectly, and a name; hashable, to be a key of caches.

    Attributes:
        length: number of taps L of every filter.
        orthogonal: whether synthesis is the transpose of analysis: every `rec` filter is its `dec` filter reversed.
        key: a text that `from_key` turns back into the filters in any process: PyWavelets' name, or else the taps.

    Raises:
        ValueError: the lengths differ or are odd, or the filters miss perfect reconstruction by more than 1e-8.

    >>> FilterBank("mine", dec_lo=(0.5, 0.5), dec_hi=(-0.5, 0.5), rec_lo=(1, 1), rec_hi=(1, -1)).orthogonal
    False
    """

    name: str
    dec_lo: tuple[float, ...]
    dec_hi: tuple[float, ...]
    rec_lo: tuple[float, ...]
    rec_hi: tuple[float, ...]
    length: int = field(init=False, compare=False, repr=False)  # fields, since the compiler reads no property of a
    orthogonal: bool = field(init=False, compare=False, repr=False)  # frozen dataclass
    key: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("dec_lo", "dec_hi", "rec_lo", "rec_hi"):
            object.__setattr__(self, name, tuple(float(tap) for tap in getattr(self, name)))
        lengths = [len(self.dec_lo), len(self.dec_hi), len(self.rec_lo), len(self.rec_hi)]
        if len(set(lengths)) != 1 or lengths[0] == 0 or lengths[0] % 2 == 1:
            raise ValueError(f"the four filters must have one even length (pad them with zeros), got {lengths}")
        analysis = (*reversed(self.dec_lo), *reversed(self.dec_hi))
        object.__setattr__(self, "length", lengths[0])
        object.__setattr__(
            self, "orthogonal", bool(np.allclose(analysis, self.rec_lo + self.rec_hi, rtol=0, atol=1e-12))
        )
        known = _is_known(self)
        taps = self.dec_lo + self.dec_hi + self.rec_lo + self.rec_hi
        object.__setattr__(self, "key", self.name if known else " ".join(tap.hex() for tap in taps))
        error = self.reconstruction_error
        if not error <= RECONSTRUCTION_TOLERANCE and not known:
            raise ValueError(
                f"the filter bank {self.name!r} misses perfect reconstruction by {error:.2g}, "
                f"more than the {RECONSTRUCTION_TOLERANCE:g} allowed"
            )

    @property
    def reconstruction_error(self) -> float:
        """Largest deviation from the two conditions of perfect reconstruction; 0 for a perfect bank.

        >>> filter_bank("db2").reconstruction_error < 1e-12
        True
        """
        signs = (-1.0) ** np.arange(self.length)
        low, high = np.array(self.dec_lo), np.array(self.dec_hi)
        transfer = np.convolve(low, self.rec_lo) + np.convolve(high, self.rec_hi)
        transfer[self.length - 1] -= 2.0
        alias = np.convolve(low * signs, self.rec_lo) + np.convolve(high * signs, self.rec_hi)
        return float(np.abs([transfer, alias]).max())


class FilterTensors(NamedTuple):
    """The four filters as tensors `(L,)` of one even length L, for filters with gradients.

    Whoever makes them answers for perfect reconstruction: nothing here reads their values.
    """

    dec_lo: Tensor
    dec_hi: Tensor
    rec_lo: Tensor
    rec_hi: Tensor

    @property
    def length(self) -> int:
        """Number of taps L of every filter."""
        return ints(self.dec_lo.shape)[-1]


Filters = FilterBank | FilterTensors
Wavelet: TypeAlias = "str | pywt.Wavelet | FilterBank | FilterTensors"


def filter_bank(wavelet: "str | pywt.Wavelet | FilterBank") -> FilterBank:
    """Filters of a wavelet.

    Args:
        wavelet: a name of `wavelist()`, a `pywt.Wavelet` or a bank of one's own.

    Returns:
        the four filters; those of `wavelet` itself where it is a `FilterBank`.

    Raises:
        ValueError: an unknown name, or a custom `pywt.Wavelet` that does not reconstruct perfectly.
        TypeError: neither a name nor a filter bank.

    >>> filter_bank("db4").length, filter_bank("haar").orthogonal, filter_bank("bior2.2").orthogonal
    (8, True, False)
    """
    if isinstance(wavelet, FilterBank):
        return wavelet
    if isinstance(wavelet, str):
        return _named(wavelet)
    filters: Sequence[Sequence[float]] | None = getattr(wavelet, "filter_bank", None)
    if filters is None:
        remedy = "; call it: wavelet()" if isinstance(wavelet, nn.Module) else ""
        raise TypeError(f"wavelet must be a name, a pywt.Wavelet or a FilterBank, got {type(wavelet).__name__}{remedy}")
    return FilterBank(wavelet.name, *(tuple(taps) for taps in filters))


def resolve(wavelet: Wavelet) -> Filters:
    """`filter_bank(wavelet)`, and filters in tensors as they are."""
    if isinstance(wavelet, FilterTensors):
        if len({ints(taps.shape) for taps in wavelet}) != 1 or wavelet.dec_lo.ndim != 1 or wavelet.length % 2 == 1:
            raise ValueError(
                f"the four filters must be tensors of one even length, got {[tuple(taps.shape) for taps in wavelet]}"
            )
        return wavelet
    return filter_bank(wavelet)


@functools.cache
def wavelist() -> tuple[str, ...]:
    """Names of all wavelets that `filter_bank` knows: the discrete ones of PyWavelets.

    >>> wavelist()[:3]
    ('bior1.1', 'bior1.3', 'bior1.5')
    """
    import pywt

    return tuple(pywt.wavelist(kind="discrete"))


@functools.cache
def _known(name: str) -> FilterBank:
    import pywt

    if name.lower() not in wavelist():
        close = difflib.get_close_matches(name.lower(), wavelist(), n=4) or ["haar", "db2", "sym4", "bior4.4"]
        raise ValueError(f"no discrete wavelet {name!r}; close: {', '.join(close)}; all: wavpool.transforms.wavelist()")
    wavelet = pywt.Wavelet(name.lower())
    return FilterBank(wavelet.name, *(tuple(taps) for taps in wavelet.filter_bank))


@constant_result
def _named(name: str) -> FilterBank:
    return _known(name)


@functools.lru_cache(maxsize=256)
def from_key(key: str) -> FilterBank:
    """The bank of a `FilterBank.key`; one that is not PyWavelets' is named `custom`.

    >>> from_key("db2") == filter_bank("db2")
    True
    """
    if " " not in key:
        return filter_bank(key)
    taps = [float.fromhex(tap) for tap in key.split()]
    length = len(taps) // 4
    return FilterBank("custom", *(tuple(taps[start : start + length]) for start in range(0, len(taps), length)))


def _is_known(bank: FilterBank) -> bool:
    """Whether the bank is one of PyWavelets': its `dmey`, cut off at 62 taps, is 4e-3 off."""
    import pywt

    if bank.name not in wavelist():
        return False
    taps = pywt.Wavelet(bank.name).filter_bank
    return (bank.dec_lo, bank.dec_hi, bank.rec_lo, bank.rec_hi) == tuple(map(tuple, taps))
