"""The energy of a pass's weight reads, form by form: plain, pruned, Huffman-coded, shared, computed, wired."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import UserError
from . import costs as cost_tables
from . import memory as memory_tables
from . import wiring
from .costs import Costs
from .memory import Memory
from .storage import Form, Weights, codebook, huffman, plain, pruned

SHARES = (0.25, 0.5, 0.75, 0.9)
BITS = (2, 3, 4, 5, 6)
WIDTHS = (8, 16, 32, 64, 128, 256, 512, 1024)


def compare(
    weights: Weights,
    memory: Memory | None = None,
    costs: Costs | None = None,
    circuits: Sequence[wiring.Computed] = (),
    *,
    shares: Sequence[float] = SHARES,
    bits: Sequence[int] = BITS,
    width: int = 8,
) -> list[Form]:
    """All forms of a network's or a layer's int8 weights.

    Args:
        weights: int8 arrays of any shape by layer.
        memory, costs: tables, or the shipped ones.
        circuits: that compute some of the weights; all together make one form, in parallel and one by one.
        shares: of weights to prune.
        bits: of codebooks; one that loses nothing is always there.
        width: bits that a selection tree delivers at once.

    Raises:
        UserError: no weights, other than int8, tables in other units, or arguments out of range.

    >>> forms = compare({"conv": np.array([3, 3, -7, 0], np.int8)})
    >>> forms[0].name, forms[0].energy(1.25)
    ('plain', 5.0)
    """
    _check(weights, width)
    memory, costs = memory or memory_tables.load(), costs or cost_tables.load()
    if (costs.units["energy"], costs.units["area"]) != ("pJ", "um^2"):
        raise UserError("energies of circuits are compared in pJ and um^2: convert the table of costs and its units")
    forms = [plain(weights)]
    forms += [pruned(weights, share, costs) for share in shares]
    forms.append(huffman(weights, memory, costs))
    forms.append(codebook(weights, None, memory))
    forms += [codebook(weights, each, memory) for each in bits]
    if circuits:
        forms += wiring.circuits(weights, circuits, width, memory, costs)
    return forms + wiring.wired(weights, circuits, width, memory, costs)


def records(forms: Sequence[Form], memory: Memory | None = None) -> list[dict[str, Any]]:
    """Rows of a table: bits, bytes, pJ of logic, error, and pJ a pass in every memory."""
    levels = (memory or memory_tables.load()).read
    return [
        {
            "form": form.name, "stored_bits": form.stored_bits, "read_bytes": form.read_bytes,
            "logic_pj": form.logic_energy, "squared_error": form.squared_error,
            **{f"{level}, pJ": form.energy(per_byte) for level, per_byte in levels.items()},
        }
        for form in forms
    ]  # fmt: skip


def _check(weights: Weights, width: int) -> None:
    if not weights:
        raise UserError("there are no weights to compare: give at least one layer")
    for name, layer in weights.items():
        if layer.dtype != np.int8 or not layer.size:
            raise UserError(f"weights of {name} must be int8 and not empty, got {layer.size} of {layer.dtype}")
    if width not in WIDTHS:
        raise UserError(f"a selection tree delivers {', '.join(map(str, WIDTHS))} bits at once, got {width}")
