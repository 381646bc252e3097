"""Weights that logic computes from a few stored ones, and weights that are wires.

Two figures of each. The ancestor's (`in parallel`): a circuit is hardware of its own, at whose outputs all weights
stand at once, so that a pass costs the stored inputs' reads and every gate once; that each weight then needs a
multiplier of its own, and that wires and fan-out take energy, is left out. The other (`one by one`): weights are used
one after another, as those of a memory are, and a tree of multiplexers brings each from its wire to the one place.

In the ancestor's model any weight can be had for nothing: its bits are wired to the supply, as the constants of the
operators are. This form, `wired`, is the yardstick of what a circuit's logic is worth. (With inputs that never change,
a circuit's gates never switch either: a synthesis tool would fold it into such wires.)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from . import genome
from .circuit import Circuit
from .costs import Costs
from .grid import ARITY
from .memory import Memory
from .operators import BY_NAME, OPERATORS
from .storage import Form, Int8, Sharing, Weights, energy_of, squared_error

TOGGLING = 0.5  # bits that change from one weight to the next: half, as of independent ones
PARALLEL, SERIAL = "in parallel", "one by one"


@dataclass(frozen=True, eq=False)
class Computed:
    """A circuit in a network, which computes some of its weights.

    Attributes:
        circuit: which one.
        inputs: (cases, n) int8, the stored values.
        places: (cases, m) int64, which weight an output is, counted through all layers one after another (see
            `places_of`); -1 where nobody wants it.
        are_weights: the inputs are weights of the network that are stored and read anyway, so nothing is added.
    """

    circuit: Circuit
    inputs: Int8
    places: NDArray[np.int64]
    are_weights: bool = False


def places_of(weights: Weights, *layers: str) -> NDArray[np.int64]:
    """(1, m) places of all weights of these layers, in this order, for a circuit of one case.

    Raises:
        UserError: there is no such layer.

    >>> two = {"a": np.zeros((2, 2), np.int8), "b": np.zeros(3, np.int8)}
    >>> places_of(two, "b").tolist()
    [[4, 5, 6]]
    """
    if unknown := [name for name in layers if name not in weights]:
        raise UserError(f"there is no layer {unknown[0]!r}; there are {', '.join(weights)}")
    sizes = [layer.size for layer in weights.values()]
    begins = dict(zip(weights, np.cumsum([0, *sizes[:-1]]), strict=True))
    return np.concatenate([begins[name] + np.arange(weights[name].size) for name in layers])[None]


def circuits(weights: Weights, computed: Sequence[Computed], width: int, memory: Memory, costs: Costs) -> list[Form]:
    """The network with some weights from circuits and the others stored plain: in parallel, and one by one.

    Raises:
        UserError: places that are not the outputs' or not in the network, or a weight computed twice.
    """
    flat = np.concatenate([layer.ravel() for layer in weights.values()])
    all_places = [_checked(each, flat.size) for each in computed]
    together = np.concatenate(all_places)
    if np.unique(together).size != together.size:
        raise UserError("a weight is computed twice; give every weight one output of one circuit")
    stored, logic, delivering = flat.size - together.size, 0.0, 0.0
    for each, places in zip(computed, all_places, strict=True):
        price = each.circuit.price(costs)
        flat[places] = each.circuit.outputs(each.inputs)[each.places >= 0]
        stored += 0 if each.are_weights else each.inputs.size
        logic += price.energy * len(each.inputs)
        delivering += delivery(places.size, width, price.area, memory, costs)
    result = _split(flat, weights)
    error, shared = squared_error(weights, result), _together([sharing(each) for each in computed])
    return [
        Form("circuit", PARALLEL, 8 * stored, logic, error, result, shared),
        Form("circuit", SERIAL, 8 * stored, logic + delivering, error, result, shared),
    ]


def wired(weights: Weights, computed: Sequence[Computed], width: int, memory: Memory, costs: Costs) -> list[Form]:
    """The same weights as `circuits`, or without any circuit all, with their bits wired to the supply."""
    total = sum(layer.size for layer in weights.values())
    counts = [int((each.places >= 0).sum()) for each in computed] or [total]
    delivering = sum(delivery(count, width, 0.0, memory, costs) for count in counts)
    return [
        Form("wired", setting, 8 * (total - sum(counts)), energy, 0, dict(weights))
        for setting, energy in ((PARALLEL, 0.0), (SERIAL, delivering))
    ]


def delivery(count: int, width: int, area: float, memory: Memory, costs: Costs) -> float:
    """Energy (pJ) of bringing `count` int8 weights, `width` bits at a time, from their wires to one place.

    A tree of 2:1 multiplexers has a level for each bit of the address. Read in order, with the slowest bit of the
    address at the leaves, one multiplexer a level changes for each word; any other order costs more. The bits that
    change then cross the square that the tree and the circuit (`area`, in um^2) fill: an H-tree's way from a leaf to
    the root is a side long.
    """
    words, bytes_a_word = -(-8 * count // width), width / 8
    if words < 2:
        return 0.0
    switching = words * math.ceil(math.log2(words)) * bytes_a_word * energy_of(costs, "mux")
    square = area + (words - 1) * bytes_a_word * float(costs.area[BY_NAME["mux"]])
    side = math.sqrt(square) / 1000
    return switching + words * width * TOGGLING * side * memory.wire


def sharing(computed: Computed) -> Sharing:
    """How much of a circuit is mere wiring."""
    circuit = computed.circuit
    blocks, outputs = genome.parts(circuit.genes, circuit.grid)
    inputs, pins = circuit.grid.inputs, circuit.grid.gate_outputs
    free: dict[int, bool] = {}
    for gate in circuit.active():
        operator = OPERATORS[blocks[gate, ARITY]]
        read = [(pin - inputs) // pins for pin in blocks[gate, : operator.arity].tolist() if pin >= inputs]
        free[gate] = operator.is_wiring and all(free[each] for each in read)
    wanted = (computed.places >= 0).any(0)
    used = np.broadcast_to(outputs, computed.places.shape)[computed.places >= 0].tolist()
    wired = sum(pin < inputs or free[(pin - inputs) // pins] for pin in used)
    gates = circuit.price().gates
    return Sharing(len(used), wired, np.unique(outputs[wanted]).size, gates)


def _together(parts: Sequence[Sharing]) -> Sharing:
    return Sharing(*(sum(numbers) for numbers in zip(*parts, strict=True)))


def _checked(computed: Computed, size: int) -> NDArray[np.int64]:
    """Places (n,) of the outputs that are wanted."""
    wanted = (len(computed.inputs), computed.circuit.grid.outputs)
    if computed.places.shape != wanted:
        raise UserError(f"a circuit's places have shape (cases, outputs) = {wanted}, got {computed.places.shape}")
    places = computed.places[computed.places >= 0]
    if places.size and places.max() >= size:
        raise UserError(f"a circuit computes weight {places.max()} of a network that has {size}")
    return places


def _split(flat: Int8, weights: Weights) -> dict[str, Int8]:
    parts = np.split(flat, np.cumsum([layer.size for layer in weights.values()])[:-1])
    return {name: part.reshape(layer.shape) for (name, layer), part in zip(weights.items(), parts, strict=True)}
