"""What property tests of circuits draw from."""

import numpy as np
from hypothesis import strategies as st

from wavpool.circuits import Circuit, Grid, genome, operators


@st.composite
def circuits(draw: st.DrawFn) -> tuple[Circuit, list[list[int]]]:
    """A circuit of any operators, and inputs for each of its cases."""
    columns = draw(st.integers(1, 6))
    cases = draw(st.integers(1, 3))
    grid = Grid(
        inputs=draw(st.integers(1, 5)),
        outputs=draw(st.integers(1, 6)),
        rows=draw(st.integers(1, 6)),
        columns=columns,
        levels_back=draw(st.integers(1, columns + 1)),
        gate_outputs=draw(st.integers(1, 2)),
    )
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    genes = genome.random_genes(grid, generator, range(len(operators.OPERATORS)))
    inputs = generator.integers(-128, 128, (cases, grid.inputs)).tolist()
    return Circuit(genes, grid, cases), inputs
