"""What an experiment consists of: sub-experiments, each a problem made of a network's weights, and how to search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ..grid import Grid
from ..problem import Problem
from ..selection import Selection
from ..settings import Settings, threshold_of

Weights = Mapping[str, NDArray[np.int8]]
Case = tuple[Sequence[Selection], Sequence[Selection]]
"""What one use of the circuit reads, and what it computes."""


@dataclass(frozen=True)
class Options:
    """What the user chose; None and () stand for the experiment's own choice.

    Attributes:
        rows, columns: of the grid.
        errors: errors a weight that are good enough, one sub-experiment each (of squares: root mean square).
        is_lookup: look-up mode.
        input_layers, output_layers: of `layer_bypass` and `mobilenet`; names, or numbers of convolutions.
        layers: the convolutions that an experiment is about; names, or numbers.
        count: kernels or stored weights to take, where an experiment takes some.
        sizes: grids of `grid_size` and `reversed_single_filter`, (rows, columns) each.
        settings: how to search; the threshold comes from `errors`.
    """

    rows: int | None = None
    columns: int | None = None
    errors: tuple[float, ...] = ()
    is_lookup: bool | None = None
    input_layers: tuple[str, ...] = ()
    output_layers: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    count: int | None = None
    sizes: tuple[tuple[int, int], ...] = ()
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True, eq=False)
class Subexperiment:
    """One search problem on a network's weights.

    Attributes:
        name: of its folder.
        cases: uses of the circuit, each with weights of its own.
        grid, settings, is_lookup: how to search.
    """

    name: str
    cases: Sequence[Case]
    grid: Grid
    settings: Settings
    is_lookup: bool

    def problem(self, weights: Weights) -> Problem:
        """The problem, given the network's int8 weights."""
        return Problem.of(
            [[value for part in reads for value in part.of(weights)] for reads, _ in self.cases],
            [[value for part in computes for value in part.of(weights)] for _, computes in self.cases],
        )

    def injected(self, weights: Weights, outputs: NDArray[np.int8]) -> dict[str, NDArray[np.int8]]:
        """The changed layers, with a circuit's outputs (cases, m) at their places."""
        changed: dict[str, NDArray[np.int8]] = {}
        for case, (_, computes) in enumerate(self.cases):
            place = 0
            for part in computes:
                if part.layer:
                    layer = changed.setdefault(part.layer, weights[part.layer].copy())
                    layer.reshape(-1)[part.positions] = outputs[case, place : place + len(part)]
                place += len(part)
        return changed


@dataclass(frozen=True)
class Shape:
    """Sizes of a sub-experiment's search, before the user's choices."""

    rows: int
    columns: int
    is_lookup: bool = False
    reaches_inputs: bool = True  # whether outputs may be wired to primary inputs: levels back are one more
    gate_outputs: int = 1


def subexperiments(
    name: str, cases: Sequence[Case], shape: Shape, options: Options, errors: Sequence[float]
) -> list[Subexperiment]:
    """One sub-experiment an error that is good enough."""
    rows, columns = options.rows or shape.rows, options.columns or shape.columns
    inputs = max(sum(map(len, reads)) for reads, _ in cases)
    outputs = max(sum(map(len, computes)) for _, computes in cases)
    grid = Grid(inputs, outputs, rows, columns, columns + shape.reaches_inputs, shape.gate_outputs)
    total = sum(len(part) for _, computes in cases for part in computes)
    is_lookup = shape.is_lookup if options.is_lookup is None else options.is_lookup
    result = []
    for error in options.errors or tuple(errors):
        threshold = threshold_of(error, total, options.settings.metric)
        settings = replace(options.settings, threshold=threshold)
        label = f"mse_{error:g}_{rows}_{columns}"
        result.append(Subexperiment(f"{name}_{label}" if name else label, cases, grid, settings, is_lookup))
    return result


def chosen_layer(name: str, weights: Weights) -> str:
    """A layer by name, or by its number among the convolutions.

    Raises:
        UserError: there is none.
    """
    layers = [layer for layer, values in weights.items() if values.ndim == 4]
    if name in weights:
        return name
    if name.isdigit() and int(name) < len(layers):
        return layers[int(name)]
    raise UserError(f"there is no convolution {name!r}: choose of 0 to {len(layers) - 1}, or of {', '.join(layers)}")
