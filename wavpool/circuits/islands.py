"""Several searches side by side in one process: after every stretch, the worst begins anew where the best stands.

It buys nothing: in equal time, one search has less error, or where that is 0, less energy (docs/circuits.md, by
`python -m benchmarks.circuits`).
"""

from collections.abc import Sequence

import numpy as np

from .search import Search


def advance_islands(islands: Sequence[Search], interval: int, seconds: float) -> Search:
    """Advance all for about `seconds` together, and return the best.

    Args:
        islands: searches of one problem, with different runs.
        interval: generations of each between two migrations.
        seconds: of all together.
    """
    spent = sum(island.seconds for island in islands)
    while sum(island.seconds for island in islands) - spent < seconds and not all(each.is_finished for each in islands):
        for island in islands:
            island.advance(generations=interval)
        ranked = sorted(islands, key=lambda island: (island.phase != 1, *island.standing[1:3]))
        best, worst = ranked[0], ranked[-1]
        if best.phase == worst.phase and not worst.is_finished:
            np.copyto(worst.progress.genes, best.progress.genes)
    return min(islands, key=lambda island: island.standing[1:3])
