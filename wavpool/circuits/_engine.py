"""The search's inner loops, compiled: evaluation of the active gates, mutation in place, and generations.

A child is its parent's genome with some genes changed, and changed back after it is measured: what costs is the number
of mutations and of active gates, never the size of the grid. A child none of whose mutations reaches an active gate is
its parent. Arrays that only the engine works with are in `Scratch`; everything that a later run needs to go on as if
it had not been interrupted is in `Progress`.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compiled import inline, jit
from ._bits import highest_bit
from .grid import ARITY, GENES
from .operators import DEMUX, MUX

Int64 = NDArray[np.int64]

# Places in `Progress.counters`
GENERATION, UNCHANGED, ERROR, GATES = range(4)
# Why a stretch of generations ended
MORE, PATIENCE, REACHED, LOG_FULL, WANTED = range(5)
# What compares two solutions
WORSE, EQUAL, BETTER = -1, 0, 1
# Metrics of the error
SQUARED, ABSOLUTE, MEAN_SQUARED = range(3)

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX1, MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
S27, S30, S31, S32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)
NONE, ONE = np.uint64(0), np.uint64(1)


class Task(NamedTuple):
    """What does not change in a run."""

    inputs: Int64  # (cases, n)
    targets: Int64  # (cases, outputs)
    weights: Int64  # (cases, outputs), of the errors
    outputs: Int64  # (outputs,): the gene that says an output's pin, or -1 - pin where that is fixed
    columns: NDArray[np.int32]  # (gates,): each gate's column
    ranges: NDArray[np.int32]  # (columns + 2, 2): first value and how many; of a column's pins, outputs, operators
    locked: int  # gates from this one on keep their operator
    mutable: int  # genes from this one on never change
    shift: int  # log2 of a gate's outputs
    arity: NDArray[np.int32]  # inputs that an operator reads, and of multiplexers all
    table: NDArray[np.int8]  # see operators._linear_form
    coefficients: NDArray[np.int8]
    energy: NDArray[np.uint64]  # quantised
    delay: NDArray[np.uint64]
    area: NDArray[np.float64]
    logic: Int64  # 1 of operators that count as gates


class Rules(NamedTuple):
    """How to search; see `settings.Settings`."""

    children: int
    mutations: int  # a child has 0 .. mutations - 1, each number equally likely; 0: until one reaches an active gate
    threshold: int  # of the error, below which energy counts
    patience: int
    generations: int  # stop when so many are done
    drift: bool  # accept ties when energy counts
    enough_error: int  # stop when both are reached
    enough_energy: np.uint64  # quantised
    pause_error: int  # come back at every improvement to so small an error
    metric: int
    divisor: int  # of the error, for MEAN_SQUARED


class Progress(NamedTuple):
    """The state of a run."""

    genes: NDArray[np.int32]
    random: NDArray[np.uint64]  # (1,): SplitMix64's counter
    counters: Int64  # (4,): generation, generations without a change, error, gates
    costs: NDArray[np.uint64]  # (2,): quantised energy and delay


class Scratch(NamedTuple):
    """Memory that the engine works in."""

    values: NDArray[np.int8]  # (pins,)
    arrival: NDArray[np.uint64]  # (pins,)
    active: NDArray[np.uint64]  # (3 words,): bits of active nodes of the parent, the child, and the best child
    order: NDArray[np.int32]  # (gates,): active gates, the last first
    places: NDArray[np.int32]  # (2, room): genes that were mutated; of the child, of the best child
    new: NDArray[np.int32]  # (2, room)
    old: NDArray[np.int32]  # (2, room)
    log: Int64  # (rows, 3): generation, error, gates of improvements
    log_costs: NDArray[np.uint64]  # (rows, 2): quantised energy and delay
    log_area: NDArray[np.float64]  # (rows,)


@inline
def mixed(z: Any) -> Any:
    """64 random bits of a state: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    z = (z ^ (z >> S30)) * MIX1
    z = (z ^ (z >> S27)) * MIX2
    return z ^ (z >> S31)


@inline
def draw(random: Any) -> Any:
    """The next 64 random bits."""
    random[0] += GOLDEN
    return mixed(random[0])


@inline
def below(bits: Any, count: Any) -> Any:
    """Upper 32 of `bits` as a number below `count` (Lemire's multiplication)."""
    return np.int64(((bits >> S32) * np.uint64(count)) >> S32)


@inline
def pin_of(genes: Any, output: Any) -> Any:
    """Pin of an output, see `Task.outputs`."""
    return genes[output] if output >= 0 else -1 - output


@inline
def mark(task: Any, genes: Any, active: Any, row: Any, order: Any) -> Any:
    """Find the active gates: their bits, and their numbers in descending order; returns how many.

    Nodes are the primary inputs, then the gates: inputs are marked like gates, so that nothing asks which of both a pin
    is, and operands that an operator does not read are marked with a 0, so that nothing asks how many it reads.
    """
    inputs, shift, arity = task.inputs.shape[1], task.shift, task.arity
    words = active.size // 3
    base_word = row * words
    for word in range(base_word, base_word + words):
        active[word] = NONE
    for output in task.outputs:
        node = inputs + ((pin_of(genes, output) - inputs) >> shift)
        active[base_word + (node >> 6)] |= ONE << np.uint64(node & 63)
    count = 0
    for word in range(words - 1, (inputs >> 6) - 1, -1):
        todo = active[base_word + word]
        while todo != NONE:
            bit = highest_bit(todo)
            gate = (word << 6) + bit - inputs
            if gate < 0:
                break
            order[count] = gate
            count += 1
            base = gate * GENES
            reads = arity[genes[base + ARITY]]
            node = inputs + ((genes[base] - inputs) >> shift)
            active[base_word + (node >> 6)] |= np.uint64(reads > 0) << np.uint64(node & 63)
            node = inputs + ((genes[base + 1] - inputs) >> shift)
            active[base_word + (node >> 6)] |= np.uint64(reads > 1) << np.uint64(node & 63)
            todo = active[base_word + word] & ((ONE << np.uint64(bit)) - ONE)
    return count


@inline
def gate_value(task: Any, genes: Any, values: Any, base: Any) -> Any:
    """Value of a gate that is no (de)multiplexer, its bits above the eighth not yet dropped."""
    code = genes[base + ARITY]
    a = np.int64(values[genes[base]])
    b = np.int64(values[genes[base + 1]])
    c = task.coefficients
    return (
        np.int64(task.table[code, a & 255])
        + np.int64(c[code, 0]) * b
        + np.int64(c[code, 1]) * a * b
        + np.int64(c[code, 2]) * (a & b)
    )


@inline
def feed(task: Any, case: Any, values: Any) -> None:
    """Values of the primary inputs in one case."""
    for pin in range(task.inputs.shape[1]):
        values[pin] = np.int8(task.inputs[case, pin])


@inline
def evaluate(task: Any, genes: Any, order: Any, count: Any, case: Any, values: Any) -> None:
    """Values of all active gates' pins in one case, that of the primary inputs."""
    inputs = task.inputs.shape[1]
    if task.shift == 0 and task.inputs.shape[0] == 1:
        for index in range(count - 1, -1, -1):
            gate = order[index]
            values[inputs + gate] = np.int8(gate_value(task, genes, values, gate * GENES))
        return
    for index in range(count - 1, -1, -1):
        gate = order[index]
        base = gate * GENES
        code = genes[base + ARITY]
        value = np.int64(values[genes[base + case % ARITY]]) if code == MUX else gate_value(task, genes, values, base)
        pin = inputs + (gate << task.shift)
        values[pin] = np.int8(value)
        if task.shift == 1:
            values[pin + 1] = np.int8(value)
            if code == DEMUX:
                values[pin + 1 - case % 2] = np.int8(0)


@inline
def error_of(task: Any, rules: Any, genes: Any, order: Any, count: Any, values: Any) -> Any:
    """Sum of the weighted errors over outputs and cases."""
    error = np.int64(0)
    several = task.inputs.shape[0] > 1  # one case is fed once and for all
    for case in range(task.inputs.shape[0]):
        if several:
            feed(task, case, values)
        evaluate(task, genes, order, count, case, values)
        if rules.metric == ABSOLUTE:
            for index in range(task.outputs.size):
                difference = np.int64(values[pin_of(genes, task.outputs[index])]) - task.targets[case, index]
                error += task.weights[case, index] * abs(difference)
        else:
            for index in range(task.outputs.size):
                difference = np.int64(values[pin_of(genes, task.outputs[index])]) - task.targets[case, index]
                error += task.weights[case, index] * difference * difference
    return error // rules.divisor if rules.metric == MEAN_SQUARED else error


@inline
def total(costs: Any, genes: Any, order: Any, count: Any) -> Any:
    """Sum of the active gates' costs, by operator, in the costs' own type."""
    result = costs[0] - costs[0]
    for index in range(count):
        result += costs[genes[order[index] * GENES + ARITY]]
    return result


@jit
def delay_of(task: Any, genes: Any, order: Any, count: Any, arrival: Any) -> Any:
    """Quantised delay of the slowest path from an input or a constant to an output."""
    inputs = task.inputs.shape[1]
    for index in range(count - 1, -1, -1):
        gate = order[index]
        base = gate * GENES
        code = genes[base + ARITY]
        latest = np.uint64(0)
        for place in range(task.arity[code]):
            pin = genes[base + place]
            if pin >= inputs:
                latest = max(latest, arrival[(pin - inputs) >> task.shift])
        arrival[gate] = latest + task.delay[code]
    slowest = np.uint64(0)
    for output in task.outputs:
        gate = (pin_of(genes, output) - inputs) >> task.shift
        if gate >= 0:
            slowest = max(slowest, arrival[gate])
    return slowest


@inline
def mutate(
    task: Any, rules: Any, genes: Any, random: Any, active: Any, row: Any, places: Any, new: Any, old: Any, slot: Any
) -> Any:
    """Make a child in place, noting what changes; returns how many genes, and whether it may differ from its parent.

    Arrays are taken out of the tuples first: within a loop, numba counts references to what it reads from them.
    """
    columns, ranges, arity = task.columns, task.ranges, task.arity
    gates, locked, mutable, inputs = columns.size, task.locked, task.mutable, task.inputs.shape[1]
    base_word = row * (active.size // 3)
    count = places.shape[1] if rules.mutations == 0 else below(draw(random), rules.mutations)
    touched, state = False, random[0]
    for number in range(count):
        state += GOLDEN
        bits = mixed(state)
        place = below(bits, mutable)
        gate = place // GENES
        which = place - gate * GENES
        before = genes[place]
        column = columns[gate] if gate < gates else ranges.shape[0] - 2
        column = ranges.shape[0] - 1 if gate < gates and which == ARITY else column
        after = ranges[column, 0] + np.int32(below(bits << S32, ranges[column, 1]))
        after = before if which == ARITY and locked <= gate < gates else after
        places[slot, number], new[slot, number], old[slot, number] = place, after, before
        genes[place] = after
        if after != before and not touched:
            node = inputs + gate
            touched = gate >= gates or (
                (active[base_word + (node >> 6)] >> np.uint64(node & 63)) & ONE != NONE
                and (which == ARITY or which < arity[genes[gate * GENES + ARITY]])
            )
            if touched and rules.mutations == 0:
                count = number + 1
                break
    random[0] = state
    return count, touched


@inline
def undo(genes: Any, count: Any, places: Any, old: Any, slot: Any) -> None:
    """Take a child's mutations back."""
    for number in range(count - 1, -1, -1):
        genes[places[slot, number]] = old[slot, number]


@inline
def compare(threshold: Any, error: Any, energy: Any, delay: Any, gates: Any, others: Any, costs: Any) -> Any:
    """Two phases, lexicographic: the error until it is within the threshold; then energy, error, delay, gates."""
    if error > threshold or others[ERROR] > threshold:
        return BETTER if error < others[ERROR] else EQUAL if error == others[ERROR] else WORSE
    if energy != costs[0]:
        return BETTER if energy < costs[0] else WORSE
    if error != others[ERROR]:
        return BETTER if error < others[ERROR] else WORSE
    if delay != costs[1]:
        return BETTER if delay < costs[1] else WORSE
    return BETTER if gates < others[GATES] else EQUAL if gates == others[GATES] else WORSE


@jit
def measure(task: Any, rules: Any, progress: Any, scratch: Any) -> None:
    """Error and costs of the parent, and which of its gates are active."""
    genes, order = progress.genes, scratch.order
    count = mark(task, genes, scratch.active, 0, order)
    feed(task, 0, scratch.values)
    progress.counters[ERROR] = error_of(task, rules, genes, order, count, scratch.values)
    progress.counters[GATES] = total(task.logic, genes, order, count)
    progress.costs[0] = total(task.energy, genes, order, count)
    progress.costs[1] = delay_of(task, genes, order, count, scratch.arrival)


@jit
def evolve(task: Any, rules: Any, progress: Any, scratch: Any, stretch: Any) -> Any:
    """At most `stretch` generations of 1 + children; returns why it ended, and how many improvements it logged.

    While the error is above the threshold, costs are known of improvements only: nothing compares them.
    """
    genes, random, counters, costs = progress.genes, progress.random, progress.counters, progress.costs
    active, order, values = scratch.active, scratch.order, scratch.values
    places, new, old = scratch.places, scratch.new, scratch.old
    best, best_costs = counters.copy(), costs.copy()
    parent, child, kept = 0, 1, 2  # rows of scratch.active
    slot, kept_slot = 0, 1  # rows of the mutations
    logged, reason, area = 0, MORE, 0.0
    measure(task, rules, progress, scratch)
    for _ in range(stretch):
        if counters[GENERATION] >= rules.generations:
            break
        best[:], best_costs[:] = counters, costs
        improved, kept_count, kept_touched = False, -1, False
        for _ in range(rules.children):
            count, touched = mutate(task, rules, genes, random, active, parent, places, new, old, slot)
            error, energy, delay, gates = counters[ERROR], costs[0], costs[1], counters[GATES]
            if touched:
                marked = mark(task, genes, active, child, order)
                error = error_of(task, rules, genes, order, marked, values)
                if error <= rules.threshold or error < best[ERROR]:
                    energy = total(task.energy, genes, order, marked)
                    if energy <= best_costs[0] or error < best[ERROR]:
                        delay = delay_of(task, genes, order, marked, scratch.arrival)
                        gates = total(task.logic, genes, order, marked)
            result = compare(rules.threshold, error, energy, delay, gates, best, best_costs)
            if result == BETTER:
                area = total(task.area, genes, order, marked)
            undo(genes, count, places, old, slot)
            if result == BETTER:
                improved = True
                best[ERROR], best[GATES], best_costs[0], best_costs[1] = error, gates, energy, delay
            elif improved or result == WORSE or (error <= rules.threshold and not rules.drift):
                continue
            kept_count, kept_touched = count, touched
            slot, kept_slot = kept_slot, slot
            if touched:
                child, kept = kept, child
        for number in range(kept_count):
            genes[places[kept_slot, number]] = new[kept_slot, number]
        if kept_touched:
            parent, kept = kept, parent
        counters[ERROR], counters[GATES] = best[ERROR], best[GATES]
        costs[:] = best_costs
        counters[GENERATION] += 1
        counters[UNCHANGED] = 0 if improved else counters[UNCHANGED] + 1
        if improved:
            scratch.log[logged, 0] = counters[GENERATION]
            scratch.log[logged, 1], scratch.log[logged, 2] = counters[ERROR], counters[GATES]
            scratch.log_costs[logged], scratch.log_area[logged] = costs, area
            logged += 1
            if counters[ERROR] <= rules.enough_error and costs[0] <= rules.enough_energy:
                reason = REACHED
            elif counters[ERROR] <= rules.pause_error:
                reason = WANTED
            elif logged == scratch.log.shape[0]:
                reason = LOG_FULL
        if counters[UNCHANGED] > rules.patience:
            reason = PATIENCE
        if reason != MORE:
            break
    return reason, logged
