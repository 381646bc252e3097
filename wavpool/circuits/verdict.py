"""What the comparison says: forms with the accuracy that they cost, and the answer in words that the numbers choose."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..errors import UserError
from .memory import Memory
from .storage import Form, Weights
from .wiring import PARALLEL, SERIAL

STORED = ("plain", "pruned", "Huffman", "codebook")
TOLERANCE = 0.001
LEVEL = 0.005  # relative difference below which two energies are called level


@dataclass(frozen=True, eq=False)
class Row:
    """A form, and the accuracy that its weights lose: 0.01 is one point, less than 0 is a gain."""

    form: Form
    loss: float


def measured(forms: Sequence[Form], accuracy: Callable[[Weights], float]) -> list[Row]:
    """Rows of forms; `accuracy` (0 to 1) is asked once for the weights as they are, and for every form that has others.

    >>> import numpy as np
    >>> from wavpool.circuits.comparison import compare
    >>> rows = measured(compare({"a": np.array([9, 1, 9, 1], np.int8)}, shares=[0.5]), lambda w: w["a"].sum() / 20.0)
    >>> [(row.form.name, round(row.loss, 3)) for row in rows[:2]]
    [('plain', 0.0), ('pruned 50 %', 0.1)]
    """
    exact = [form for form in forms if not form.squared_error]
    if not exact:
        raise UserError("a loss needs a form that loses nothing, such as plain, to count from")
    original = accuracy(exact[0].weights)
    return [Row(form, float(original - accuracy(form.weights)) if form.squared_error else 0.0) for form in forms]


def verdict(rows: Sequence[Row], memory: Memory, level: str, tolerance: float = TOLERANCE) -> str:
    """A few sentences: which form is cheapest, how the circuit stands against each, and what of it is wiring.

    Args:
        rows: of `measured`.
        memory: the table.
        level: its memory that weights are read from.
        tolerance: accuracy that may be lost, 0.001 is a tenth of a point.

    Raises:
        UserError: the table has no such memory, or plain weights are not among the rows.
    """
    per_byte = memory.per_byte(level)
    near = [row.form for row in rows if row.loss <= tolerance]
    best = {family: _cheapest(near, (family,), per_byte) for family in STORED}
    plain, stored = best["plain"], _cheapest(near, STORED, per_byte)
    if plain is None or stored is None:
        raise UserError("a verdict needs plain weights among its rows: compare() has them")
    text = (
        f"Read from {level}, losing at most {100 * tolerance:g} points of accuracy, the cheapest stored form is "
        f"{stored.name}: {_pj(stored.energy(per_byte))} a pass"
    )
    if stored is not plain:
        ratio = _times(plain.energy(per_byte), stored.energy(per_byte))
        text += f", {ratio} less than plain int8 ({_pj(plain.energy(per_byte))})"
    if missing := [f"no {family} form" for family, form in best.items() if form is None]:
        text += f"; {_listed(missing)} here loses so little"
    told = [text + "."]
    if circuits := [row for row in rows if row.form.family == "circuit"]:
        told += [_of_circuit(row.form, [form for form in best.values() if form], per_byte) for row in circuits]
        if (lost := circuits[0].loss) > tolerance:
            told.append(f"But its weights lose {100 * lost:.3g} points of accuracy, too much to count as a win.")
        wires = {row.form.setting: row.form for row in rows if row.form.family == "wired"}
        told += _of_wiring([row.form for row in circuits], wires, per_byte)
    return " ".join(told)


def _of_circuit(form: Form, others: Sequence[Form], per_byte: float) -> str:
    """How a circuit stands against each stored form."""
    energy = form.energy(per_byte)
    model = {
        PARALLEL: "With all weights at once, as its ancestor counts, the circuit",
        SERIAL: "With weights delivered one by one, it",
    }[form.setting]
    return f"{model} takes {_pj(energy)} and {_against(energy, others, per_byte)}."


def _against(energy: float, others: Sequence[Form], per_byte: float) -> str:
    """Against which forms an energy wins or loses, and by which factors."""
    won, lost, level = [], [], []
    for form in others:
        other = form.energy(per_byte)
        if _is_level(energy, other):
            level.append(form.name)
        elif energy < other:
            won.append(f"{form.name} ({_times(other, energy)})")
        else:
            lost.append(f"{form.name} ({_times(energy, other)})")
    told = [("wins against", won), ("loses against", lost), ("is level with", level)]
    return _listed([f"{words} {_listed(names)}" for words, names in told if names])


def _of_wiring(circuits: Sequence[Form], wires: Mapping[str, Form], per_byte: float) -> list[str]:
    """What of the circuit is weight sharing by wires, and what its logic is worth beside wires alone."""
    shared = circuits[0].sharing
    if shared is None:
        return []
    logic = min(form.logic_energy for form in circuits)
    end = f"its {shared.gates} gates take {_pj(logic)}" if logic else "its zero energy is nothing else"
    told = [
        f"Of the {shared.outputs:,} weights that it computes, {shared.wired:,} are wires from a stored value or a "
        f"constant, and all come from {shared.sources} different pins: that is weight sharing by wiring, and {end}."
    ]
    pairs = [(form, wires[form.setting]) for form in circuits if form.setting in wires]
    if pairs:
        costs = [
            f"{_pj(wire.energy(per_byte))} {wire.setting} "
            f"(the circuit takes {_beside(form.energy(per_byte), wire.energy(per_byte))})"
            for form, wire in pairs
        ]
        told.append(
            f"Wiring the bits of these weights to the supply, with no logic and no loss, takes {_listed(costs)}."
        )
    return told


def _beside(circuit: float, wire: float) -> str:
    if _is_level(circuit, wire):
        return "as much"
    if not wire:
        return "more without limit"
    return f"{circuit / wire:,.3g} times as much"


def _is_level(one: float, other: float) -> bool:
    return abs(one - other) <= LEVEL * max(one, other)


def _cheapest(forms: Sequence[Form], families: Sequence[str], per_byte: float) -> Form | None:
    found = [form for form in forms if form.family in families]
    return min(found, key=lambda form: form.energy(per_byte), default=None)


def _times(larger: float, smaller: float) -> str:
    """How many times larger, in words.

    >>> _times(6.0, 2.5), _times(1.0, 0.0)
    ('2.4 times', 'beyond measure')
    """
    if not smaller:
        return "beyond measure"
    ratio = larger / smaller
    return f"{ratio:,.0f} times" if ratio >= 100 else f"{ratio:.3g} times"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _pj(energy: float) -> str:
    """An energy in the unit in which it is short.

    >>> _pj(3.58), _pj(24380.0), _pj(0.0)
    ('3.58 pJ', '24.4 nJ', '0 pJ')
    """
    return f"{energy / 1000:,.3g} nJ" if energy >= 1000 else f"{energy:.3g} pJ"
