"""Forms in which int8 weights can be stored: bits, the logic that makes weights of them, and what that changes.

Every stored bit is read once a pass of the network, as when each weight is fetched once and kept while it is used;
weights that are fetched more often cost so many times more in every form. Energies of logic are estimates:

* a weight that was pruned: a multiplexer chooses between zero and the next stored value; run-lengths are counted down,
  a decrement a weight.
* a bit of a Huffman code: a canonical decoder's comparison of 16 bits (two subtractions) and an addition; a weight:
  one byte of the symbols' table, from a register file.
* a weight from a codebook: one byte of a register file.

Sources: Han, Mao and Dally, Deep Compression, ICLR 2016 (pruning with run-lengths, weight sharing, Huffman codes).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..codec import coders, kmeans, prune
from ..codec.scales import ROW_FRACTION
from ..errors import UserError
from .costs import Costs
from .memory import REGISTERS, Memory
from .operators import BY_NAME

Int8 = NDArray[np.int8]
Weights = Mapping[str, Int8]
LONGEST_RUN = 8  # bits of a run-length


class Sharing(NamedTuple):
    """How much of a circuit is mere wiring.

    Attributes:
        outputs: weights that it computes.
        wired: those of them that come from a stored value or a constant over wires alone.
        sources: different pins that outputs are wired to.
        gates: active gates with logic.
    """

    outputs: int
    wired: int
    sources: int
    gates: int


@dataclass(frozen=True, eq=False)
class Form:
    """Weights in one form.

    Attributes:
        family: which form: `plain`, `pruned`, ...
        setting: of the form, in words, or nothing.
        stored_bits: in the memory, tables included; all are read once a pass.
        logic_energy: pJ a pass of what makes weights of the bits and brings them to where they are used.
        squared_error: sum over the weights of squared differences of the ints.
        weights: that come out, by layer.
        sharing: of a form with circuits.
    """

    family: str
    setting: str
    stored_bits: int
    logic_energy: float
    squared_error: int
    weights: Weights
    sharing: Sharing | None = None

    @property
    def name(self) -> str:
        """Family and setting."""
        return f"{self.family} {self.setting}".rstrip()

    @property
    def read_bytes(self) -> int:
        """Bytes read a pass."""
        return -(-self.stored_bits // 8)

    def energy(self, per_byte: float) -> float:
        """Energy of a pass in pJ, from a memory of so many pJ a byte."""
        return self.read_bytes * per_byte + self.logic_energy


class Layer(NamedTuple):
    """One layer in a form: bits, pJ of logic, and the weights (n,) that come out."""

    bits: int
    logic: float
    weights: Int8


def form_of(family: str, setting: str, weights: Weights, store: Callable[[Int8], Layer]) -> Form:
    """The form of a network, of what `store` makes of each layer's weights (n,)."""
    layers = {name: store(layer.ravel()) for name, layer in weights.items()}
    result = {name: layer.weights.reshape(weights[name].shape) for name, layer in layers.items()}
    bits, logic = (sum(layer[place] for layer in layers.values()) for place in (0, 1))
    return Form(family, setting, int(bits), float(logic), squared_error(weights, result), result)


def squared_error(weights: Weights, others: Weights) -> int:
    """Sum of squared differences over all layers."""
    return sum(int(((others[name].astype(np.int64) - layer) ** 2).sum()) for name, layer in weights.items())


def energy_of(costs: Costs, *operators: str) -> float:
    """Energy of these operators together, pJ."""
    return float(sum(costs.energy[BY_NAME[name]] for name in operators))


def plain(weights: Weights) -> Form:
    """A byte a weight."""
    return form_of("plain", "", weights, lambda layer: Layer(8 * layer.size, 0.0, layer))


def pruned(weights: Weights, share: float, costs: Costs) -> Form:
    """A share of every layer's weights set to zero, the smallest ones, and the others stored with where they are.

    That is a bit a weight that tells whether it is stored, or a run of 1 to 8 bits with every stored value (see
    `run_entries`): for each layer whichever is smaller.

    Raises:
        UserError: the share is not 0 to 1.
    """
    if not 0 <= share <= 1:
        raise UserError(f"the share to prune is a number from 0 to 1, got {share}")

    def store(layer: Int8) -> Layer:
        mask = prune.largest(layer.astype(np.float64), prune.kept(layer.size, share))
        left = np.where(mask, layer, 0).astype(np.int8)
        places = np.flatnonzero(left)
        bitmap = Layer(layer.size + 8 * places.size, layer.size * energy_of(costs, "mux"), left)
        bits = min(run_entries(places, width) * (width + 8) for width in range(1, LONGEST_RUN + 1))
        runs = Layer(bits, layer.size * energy_of(costs, "mux", "bit_dec"), left)
        return min(bitmap, runs, key=lambda form: form.bits)

    return form_of("pruned", f"{100 * share:g} %", weights, store)


def run_entries(places: NDArray[np.intp], width: int) -> int:
    """Entries of run-lengths: zeros before a value, 0 to 2^width - 1, and the value; zeros stand in for longer runs.

    >>> run_entries(np.array([2, 3, 12]), 2)  # two zeros, none, and eight: twice 3 zeros and a stored zero, then none
    5
    """
    gaps = np.diff(places, prepend=-1) - 1
    return int(places.size + (gaps >> width).sum())


def huffman(weights: Weights, memory: Memory, costs: Costs) -> Form:
    """Canonical Huffman codes with their tables, one for each layer or one for all: whichever is smaller."""
    layers = sum(_huffman_bits(layer.ravel()) for layer in weights.values())
    bits = min(layers, _huffman_bits(np.concatenate([layer.ravel() for layer in weights.values()])))
    count = sum(layer.size for layer in weights.values())
    logic = bits * energy_of(costs, "sub", "sub", "add") + count * memory.read[REGISTERS]
    return Form("Huffman", "", bits, logic, 0, dict(weights))


def _huffman_bits(values: Int8) -> int:
    return 8 * len(coders.encode(values.astype(np.int32).reshape(1, 1, -1), "huffman"))


def codebook(weights: Weights, bits: int | None, memory: Memory) -> Form:
    """Weight sharing: 2^bits values a layer, found by k-means, and for every weight which of them it is.

    Without `bits`, as many as all different values need, so that nothing is lost.

    Raises:
        UserError: bits are not 1 to 8.
    """
    if bits is not None and not 1 <= bits <= 8:
        raise UserError(f"a codebook of int8 weights has 1 to 8 bits, got {bits}")

    def store(layer: Int8) -> Layer:
        entries = np.unique(layer)
        if bits is not None and entries.size > 2**bits:
            entries = centres(layer, 2**bits)
        width = math.ceil(math.log2(entries.size)) if bits is None else bits
        middles = (entries[1:].astype(np.int64) + entries[:-1]) / 2
        shared = entries[np.searchsorted(middles, layer)]
        return Layer(layer.size * width + 8 * entries.size, layer.size * memory.read[REGISTERS], shared)

    return form_of("codebook", "lossless" if bits is None else f"{bits} bit{'s' * (bits > 1)}", weights, store)


def centres(values: Int8, count: int) -> Int8:
    """At most `count` ascending int8 values that stand for `values` (n,) with about the least squared error."""
    found = kmeans.codebook(values.astype(np.float64).reshape(1, 1, -1), count, dtype=np.float32)
    scale = 2.0 ** (int(found.row[0]) // ROW_FRACTION)
    return np.unique(np.rint(found.codebook * scale)).clip(-128, 127).astype(np.int8)
