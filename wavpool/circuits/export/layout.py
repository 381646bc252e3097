"""Where the nodes of a layered drawing stand: an order in every column with few crossings, then heights.

Source: Sugiyama, Tagawa and Toda, Methods for visual understanding of hierarchical system structures, IEEE Transactions
on Systems, Man, and Cybernetics 11 (2), 1981: sweeps that order a column by the mean place of what it is linked with.
"""

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

SWEEPS = 16
GAP = 10.0  # between boxes, in pixels
HOLE = 24.0  # the highest band of the page without a node
LANE = 7.0  # between wires that pass through a column


@dataclass(eq=False)
class Node:
    """A box, or with no height the bend of a wire on its way through a column; `y` is its middle, found by `arrange`.

    Links lead to one column on only.
    """

    column: int
    height: float = 0.0
    y: float = 0.0
    before: list["Link"] = field(default_factory=list)
    after: list["Link"] = field(default_factory=list)


@dataclass(eq=False)
class Link:
    """A wire from one column to the next; `leaves` and `enters` are its ends, below the nodes' middles."""

    start: Node
    end: Node
    leaves: float = 0.0
    enters: float = 0.0

    def __post_init__(self) -> None:
        self.start.after.append(self)
        self.end.before.append(self)


def arrange(columns: list[list[Node]]) -> None:
    """Order the nodes of every column, in place, and set their heights on the page."""
    best, fewest = [list(column) for column in columns], crossings(columns)
    for sweep in range(SWEEPS):
        _sweep(columns, is_forward=sweep % 2 == 0)
        if (count := crossings(columns)) < fewest:
            best, fewest = [list(column) for column in columns], count
    columns[:] = best
    _settle(columns)
    _close([node for column in columns for node in column])


def crossings(columns: Sequence[Sequence[Node]]) -> int:
    """How many pairs of links cross, all columns together."""
    total = 0
    for left, right in itertools.pairwise(columns):
        place = {id(node): number for number, node in enumerate(right)}
        seen: list[tuple[int, float]] = []
        for node in left:
            ends = sorted((place[id(link.end)], link.enters) for link in node.after)
            for end in ends:
                total += len(seen) - bisect.bisect_right(seen, end)
            for end in ends:
                bisect.insort(seen, end)
    return total


def _sweep(columns: Sequence[list[Node]], is_forward: bool) -> None:
    """Order every column by the mean place of the neighbours that were ordered before it."""
    place: dict[int, float] = {}
    for column in columns if is_forward else reversed(columns):
        wishes: dict[int, float] = {}
        for number, node in enumerate(column):
            if is_forward:
                near = [place[id(link.start)] + link.leaves * 1e-6 for link in node.before]
            else:
                near = [place[id(link.end)] + link.enters * 1e-6 for link in node.after]
            wishes[id(node)] = sum(near) / len(near) if near else number / len(column)
        column.sort(key=lambda node: wishes[id(node)])
        place |= {id(node): number / len(column) for number, node in enumerate(column)}


def _settle(columns: Sequence[Sequence[Node]]) -> None:
    """Heights that straighten wires: every node as near as its column allows to the middle of its links' other ends."""
    for column in columns:
        y = 0.0
        for upper, node in zip([None, *column], column, strict=False):
            y += _distance(upper, node) if upper else 0.0
            node.y = y
        for node in column:
            node.y -= y / 2
    for sweep in range(SWEEPS):
        is_forward = sweep % 2 == 0
        for column in columns if is_forward else reversed(columns):
            _spread(column, [_wish(node, is_forward, is_last=sweep >= SWEEPS - 2) for node in column])


def _wish(node: Node, is_forward: bool, is_last: bool) -> float:
    before = [link.start.y + link.leaves - link.enters for link in node.before]
    after = [link.end.y + link.enters - link.leaves for link in node.after]
    near = before + after if is_last else before if is_forward else after
    return sum(near) / len(near) if near else node.y


def _spread(column: Sequence[Node], wishes: Sequence[float]) -> None:
    """Set heights that keep the order and the distances, with the least sum of squared differences from the wishes.

    Without distances this is monotone regression, which pooling adjacent violators solves; bends weigh more than boxes.
    """
    offset, pools = 0.0, list[tuple[float, float, int]]()  # mean, weight and number of the nodes that moved together
    offsets = []
    for upper, node, wish in zip([None, *column], column, wishes, strict=False):
        offset += _distance(upper, node) if upper else 0.0
        offsets.append(offset)
        mean, weight, count = wish - offset, 1.0 if node.height else 8.0, 1
        while pools and pools[-1][0] > mean:
            other, more, nodes = pools.pop()
            mean, weight, count = (mean * weight + other * more) / (weight + more), weight + more, count + nodes
        pools.append((mean, weight, count))
    means = [mean for mean, _, count in pools for _ in range(count)]
    for node, mean, offset in zip(column, means, offsets, strict=True):
        node.y = mean + offset


def _close(nodes: list[Node]) -> None:
    """Move up what stands below a band that no column needs."""
    nodes.sort(key=lambda node: node.y - node.height / 2)
    reach, lift = nodes[0].y, 0.0
    for node in nodes:
        top, bottom = node.y - node.height / 2, node.y + node.height / 2
        hole = max(0.0, top - reach - HOLE)
        lift, reach = lift + hole, max(reach, bottom)
        node.y -= lift


def _distance(upper: Node, lower: Node) -> float:
    """Between the middles of two neighbours in a column."""
    return (upper.height + lower.height) / 2 + (GAP if upper.height and lower.height else LANE)
