"""The experiments: what each reads, what it computes, and on which grid.

Each is the ancestor's of this name (the specification's section 2.3), but `chain`, which never ran there: here it
computes every convolution of a network from the one before, beginning with a few stored weights.
"""

import itertools
import random
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from ...errors import UserError
from ..problem import HIGHEST, LOWEST
from ..selection import Selection, constants, core, every, first, ring
from .plan import Options, Shape, Subexperiment, Weights, chosen_layer, subexperiments

WIDE = Shape(256, 31, is_lookup=True)
STORED = 96  # weights of a layer that `mobilenet` and `chain` store


class Experiment(NamedTuple):
    """An experiment.

    Attributes:
        plan: its sub-experiments for a network's int8 weights.
        patience: unless the user says otherwise.
    """

    plan: Callable[[Weights, Options], list[Subexperiment]]
    patience: int


def layer_bypass(weights: Weights, options: Options) -> list[Subexperiment]:
    """All weights of a convolution from those of the one before it."""
    reads = [chosen_layer(name, weights) for name in options.input_layers or ("0",)]
    computes = [chosen_layer(name, weights) for name in options.output_layers or ("1",)]
    case = [every(name, weights[name].shape) for name in reads], [every(name, weights[name].shape) for name in computes]
    return subexperiments("", [case], replace(WIDE, reaches_inputs=False), options, (0,))


def le_selector(weights: Weights, options: Options) -> list[Subexperiment]:
    """All weights of some convolutions from constants alone ("no input"); the first two by default."""
    layers = [chosen_layer(name, weights) for name in options.layers or ("0", "1")]
    cases = [([constants([0])], [every(name, weights[name].shape) for name in layers])]
    return subexperiments("", cases, WIDE, options, (0,))


def all_layers(weights: Weights, options: Options) -> list[Subexperiment]:
    """The outer ring of every kernel from its core: one circuit for two layers, which multiplexers tell apart."""
    layers = [chosen_layer(name, weights) for name in options.layers or ("0", "1")]
    cases = [([core(name, weights[name].shape, 3)], [ring(name, weights[name].shape, 3)]) for name in layers]
    return subexperiments("", cases, replace(WIDE, gate_outputs=2), options, (1,))


def mobilenet(weights: Weights, options: Options) -> list[Subexperiment]:
    """All weights of a layer from its first 96; of the layers that are named, or of all convolutions."""
    if options.output_layers and options.layers:
        raise UserError("mobilenet computes --output-layers, or else --layers: give one of the two")
    if options.input_layers[1:]:
        raise UserError("mobilenet reads from one layer: give one name to --input-layers")
    names = options.output_layers or options.layers or tuple(name for name in weights if weights[name].ndim == 4)
    found = []
    for name in [chosen_layer(name, weights) for name in names]:
        source = chosen_layer(options.input_layers[0], weights) if options.input_layers else name
        reads = first(source, weights[source].shape, options.count or STORED)
        cases = [([reads], [every(name, weights[name].shape)])]
        found += subexperiments(f"{source}_to_{name}", cases, WIDE, options, (0, 1, 5, 11))
    return found


def single_channel(weights: Weights, options: Options) -> list[Subexperiment]:
    """The rings of all kernels of a channel from their cores; the first channel of the first convolution."""
    if options.layers[1:]:
        raise UserError("single_channel is about one layer: give one name to --layers")
    name = chosen_layer(options.layers[0] if options.layers else "0", weights)
    filters = range(options.count) if options.count else None
    shape = weights[name].shape
    cases = [([core(name, shape, 3, filters, [0])], [ring(name, shape, 3, filters, [0])])]
    rows = 5 * (options.count or shape[0])
    return subexperiments("", cases, Shape(rows, 7), options, (0,))


def single_filter(weights: Weights, options: Options) -> list[Subexperiment]:
    """The ring of one kernel from its core."""
    return [
        each
        for name, filter, channel in _kernels(weights, options, 1)
        for each in subexperiments(
            f"{name}_{filter}_{channel}", [_kernel(weights, name, filter, channel)], Shape(5, 5), options, (0,)
        )
    ]


def reversed_single_filter(weights: Weights, options: Options) -> list[Subexperiment]:
    """The core of a kernel from its ring, over grid sizes."""
    return _sized(weights, options, is_reversed=True)


def grid_size(weights: Weights, options: Options) -> list[Subexperiment]:
    """The ring of a kernel from its core, over grid sizes."""
    return _sized(weights, options, is_reversed=False)


def single_filter_zero_outter(weights: Weights, options: Options) -> list[Subexperiment]:
    """A ring of zeros from the core: of kernels whose core holds a 0, and of as many whose core does not."""
    kernels = _kernels(weights, options, None)
    with_zero = [each for each in kernels if 0 in _kernel(weights, *each)[0][0].of(weights)]
    without = [each for each in kernels if each not in with_zero]
    count = min(options.count or 3, max(1, len(with_zero)))
    found = []
    for label, chosen in (("zero", with_zero[:count]), ("nonzero", without[:count])):
        for name, filter, channel in chosen:
            reads, (outer,) = _kernel(weights, name, filter, channel)
            cases = [(reads, [replace(outer, constants=[0] * len(outer))])]
            folder = f"{label}_{name}_{filter}_{channel}"
            found += subexperiments(folder, cases, Shape(5, 5), options, (0,))
    return found


def chain(weights: Weights, options: Options) -> list[Subexperiment]:
    """Every convolution from the first weights of the one before; the first one from its own first weights.

    In this order, since what one circuit computes the next one reads.
    """
    names = [chosen_layer(name, weights) for name in options.layers or [n for n in weights if weights[n].ndim == 4]]
    stored = options.count or STORED
    found = []
    for number, (source, name) in enumerate(zip([names[0], *names], names, strict=False)):
        cases = [([first(source, weights[source].shape, stored)], [every(name, weights[name].shape)])]
        found += subexperiments(f"{number:02d}_{source}_to_{name}", cases, WIDE, options, (0,))
    return found


def worst_case(weights: Weights, options: Options) -> list[Subexperiment]:
    """All 256 values from 0 to 63: no network, the hardest table there is."""
    cases = [([constants(range(64))], [constants(range(LOWEST, HIGHEST + 1))])]
    return subexperiments("", cases, WIDE, options, (0,))


def _sized(weights: Weights, options: Options, is_reversed: bool) -> list[Subexperiment]:
    found = []
    for rows, columns in options.sizes or ((2, 2), (3, 3), (5, 5), (10, 10)):
        for name, filter, channel in _kernels(weights, options, 3):
            reads, computes = _kernel(weights, name, filter, channel)
            cases = [(computes, reads) if is_reversed else (reads, computes)]
            folder = f"{name}_{filter}_{channel}"
            found += subexperiments(folder, cases, Shape(rows, columns), options, (0,))
    return found


def _kernel(weights: Weights, name: str, filter: int, channel: int) -> tuple[list[Selection], list[Selection]]:
    """Core and ring of one kernel."""
    shape = weights[name].shape
    return [core(name, shape, 3, [filter], [channel])], [ring(name, shape, 3, [filter], [channel])]


def _kernels(weights: Weights, options: Options, count: int | None) -> list[tuple[str, int, int]]:
    """Kernels (layer, filter, channel): so many of a seeded shuffle, the very first for 1, or all."""
    layers = [chosen_layer(name, weights) for name in options.layers or ("0", "1")]
    found = [
        (name, filter, channel)
        for name in layers
        for filter, channel in itertools.product(*map(range, weights[name].shape[:2]))
    ]
    count = options.count or count
    if count == 1 and options.layers[1:]:
        raise UserError("one kernel is taken, the first of one layer: give one name to --layers, or a greater --count")
    if count is None or count == 1:
        return found if count is None else found[:1]
    random.Random(options.settings.seed).shuffle(found)
    return found[:count]


EXPERIMENTS = {
    "layer_bypass": Experiment(layer_bypass, 2_000_000),
    "le_selector": Experiment(le_selector, 2_000_000),
    "all_layers": Experiment(all_layers, 2_000_000),
    "mobilenet": Experiment(mobilenet, 2_000_000),
    "single_channel": Experiment(single_channel, 2_000_000),
    "single_filter": Experiment(single_filter, 400_000),
    "single_filter_zero_outter": Experiment(single_filter_zero_outter, 125_000),
    "reversed_single_filter": Experiment(reversed_single_filter, 400_000),
    "grid_size": Experiment(grid_size, 400_000),
    "chain": Experiment(chain, 2_000_000),
    "worst_case": Experiment(worst_case, 2_000_000),
}


def experiment(name: str) -> Experiment:
    """An experiment by name.

    Raises:
        UserError: there is none.
    """
    if name not in EXPERIMENTS:
        raise UserError(f"there is no experiment {name!r}: choose of {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]
