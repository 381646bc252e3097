"""The measurements as a Markdown page."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from training.tables import markdown_table

from .implementations import HAAR
from .records import FLOOR, FORWARD, OURS, PEER, TRANSFORM, Case, Record, fastest
from .targets import TARGETS, Outcome, by_case, evaluate

HEAD = """# Benchmarks

Written by `make bench` from [benchmarks.csv]({folder}/benchmarks.csv); do not edit. Times are medians of many calls,
taken in turn, in milliseconds; the CSV has the interquartile ranges and the numbers of calls. Every process, the
original's too, keeps freed memory (`training.allocator`), since page faults would drown the rest.
"""
SUMMARISED = (HAAR, "db4")
SHOWN = 3  # misses of a target, worst first
NOTES = """## How the transforms are compared

- Input is float32. Every result was checked against PyWavelets' before it was timed; what differs is not timed.
- Libraries run in whichever of their boundary modes is fastest in the case (the CSV says which); ours run in
  PyWavelets' default, `symmetric`. PyWavelets has no backward.
- ptwt's 2-D and separable convolutions were both tried. WTConv's DWT, one strided grouped convolution a level with
  centred zero padding, is not on PyPI and was written from the paper (Finder et al., ECCV 2024).
- `plain` is ours in torch's operators, `fused` ours by the C kernel, the default; both under `torch.compile`
  too, for Haar. The clone is `x.clone()`, the floor; with backward it is run under autograd, which adds no copy.
"""


def document(records: Sequence[Record], machine: Mapping[str, Any], folder: str) -> str:
    """The page; `folder` is where it finds the CSV and the figures."""
    outcomes = [evaluate(target, records) for target in TARGETS]
    transforms = [record for record in records if record.benchmark == TRANSFORM]
    others = [record for record in records if record.benchmark != TRANSFORM]
    parts = [HEAD.format(folder=folder), _machine(machine), "## Targets\n", _targets(outcomes), _missed(outcomes)]
    if transforms:
        parts += [NOTES, *_transforms(transforms), _losses(transforms)]
        threads = sorted({record.threads for record in transforms})
        parts += [f"![{n} thread(s)]({folder}/{figure_name(n)})\n" for n in threads]
    if others:
        parts += ["## Models and import\n", markdown_table(_OTHER_HEAD, [_other_row(record) for record in others])]
    parts.append(_skipped(records))
    return "\n".join(part for part in parts if part)


def summary_table(records: Iterable[Record]) -> str:
    """The fastest library against ours on one thread, at the deepest level of Haar and db4: for docs/transforms.md."""
    groups = {case: group for case, group in by_case(records).items() if case.benchmark == TRANSFORM}
    deepest: dict[tuple[str, str], int] = {}
    for case in groups:
        key = case.input, case.wavelet
        deepest[key] = max(deepest.get(key, 0), int(case.levels))
    rows = []
    for case, group in groups.items():
        peer, ours = fastest(group, PEER), fastest(group, OURS)
        if case.threads == 1 and case.wavelet in SUMMARISED and int(case.levels) == deepest[case.input, case.wavelet]:
            cells = [f"{each.implementation}, {milliseconds(each.median_ms)} ms" for each in (peer, ours) if each]
            speedup = f"{ours.speedup:.1f}x" if ours and ours.speedup else "–"
            rows.append([case.input, f"{case.wavelet}, {case.levels} levels", case.direction, *cells, speedup])
    return markdown_table(["input", "wavelet", "direction", "fastest library", "ours", "(speed-up)"], rows)


def figure_name(threads: int) -> str:
    """File of the figure for a number of threads."""
    return f"transforms_{threads}.png"


def milliseconds(value: float | None) -> str:
    """Three significant digits.

    >>> milliseconds(0.01234), milliseconds(123.4), milliseconds(None)
    ('0.0123', '123', '–')
    """
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _machine(machine: Mapping[str, Any]) -> str:
    return "".join(f"- {name}: {value}\n" for name, value in machine.items())


def describe(record: Record) -> str:
    """The case and the implementation of a record."""
    parts = [record.input, record.wavelet, f"level {record.levels}" if record.levels else "", record.implementation]
    if record.benchmark != TRANSFORM:
        parts.insert(0, record.benchmark)
    return ", ".join(part for part in dict.fromkeys(parts) if part)


def _targets(outcomes: Sequence[Outcome]) -> str:
    rows = []
    for outcome in outcomes:
        target, values = outcome
        cells = []
        for threads in (1, 2):
            worst = next(((value, record) for value, record in values if record.threads == threads), None)
            cells.append(f"{worst[0]:.3g}{target.unit}: {describe(worst[1])}" if worst else "–")
        bound = f"{'≤' if target.upper else '≥'} {target.bound:g}{target.unit}"
        rows.append([target.text, bound, *cells, outcome.verdict])
    return markdown_table(["what", "target", "worst, 1 thread", "worst, 2 threads", "verdict"], rows)


def _missed(outcomes: Sequence[Outcome]) -> str:
    lines = []
    for target, values in outcomes:
        misses = [(value, record) for value, record in values if not target.keeps(value)]
        if misses:
            worst = "; ".join(
                f"{describe(record)}, {record.threads} thread(s): {value:.3g}{target.unit}"
                for value, record in misses[:SHOWN]
            )
            lines.append(f"- {target.text}: missed in {len(misses)} of {len(values)} cases; worst: {worst}.\n")
    return "### What was missed\n\n" + "".join(lines) if lines else ""


def _transforms(records: Sequence[Record]) -> list[str]:
    names = list(dict.fromkeys(record.implementation for record in records))
    head = ["wavelet", "levels", "direction", "(threads)", *(f"({name})" for name in names)]
    head += ["(plain, speed-up)", "(best, speed-up)"]
    parts = ["In bold the fastest library and our fastest; speed-up is over that library.\n"]
    for shape, group in groupby(sorted(records, key=_order), key=lambda record: record.input):
        rows = [_transform_row(case, found, names) for case, found in by_case(group).items()]
        parts += [f"### Input {shape}\n", markdown_table(head, rows)]
    return parts


def _order(record: Record) -> tuple[int, bool, str, int, bool, int]:
    """Smallest input first, Haar first, forward first."""
    case = record.case
    size, levels = math.prod(case.shape), int(case.levels)
    return size, case.wavelet != HAAR, case.wavelet, levels, case.direction != FORWARD, case.threads


def _transform_row(case: Case, group: Sequence[Record], names: Sequence[str]) -> list[str]:
    times = {record.implementation: record for record in group}
    best = {role: fastest(group, role) for role in (PEER, OURS)}
    bold = {record.implementation for record in best.values() if record}
    cells = []
    for name in names:
        text = milliseconds(times[name].median_ms) if name in times else "–"
        cells.append(f"**{text}**" if name in bold else text)
    chosen = [times.get("plain"), best[OURS]]
    speedups = [f"{record.speedup:.2f}x" if record and record.speedup else "–" for record in chosen]
    return [case.wavelet, case.levels, case.direction, str(case.threads), *cells, *speedups]


def _losses(records: Sequence[Record]) -> str:
    """Where ours are slower than a library."""
    lines = []
    for group in by_case(records).values():
        peer = fastest(group, PEER)
        for record in group:
            if peer and record.role == OURS and record.speedup is not None and record.speedup < 1:
                where = f"{describe(record)}, {record.direction}, {record.threads} thread(s)"
                lines.append(f"- {where}: {peer.implementation} is {1 / record.speedup:.2f}x faster\n")
    return "### Losses\n\n" + ("".join(lines) or "No library was faster than ours in any case.\n")


_OTHER_HEAD = ["what", "input", "run", "(threads)", "implementation", "(ms)", "(to the products)", "(over 0.1.3)"]


def _other_row(record: Record) -> list[str]:
    ratios = [record.ratio_to_floor, record.speedup]
    texts = [f"{ratio:.2f}x" if ratio is not None and record.role == OURS else "–" for ratio in ratios]
    return [
        record.benchmark, record.input, record.direction, str(record.threads), record.implementation,
        milliseconds(record.median_ms), *texts,
    ]  # fmt: skip


def _skipped(records: Sequence[Record]) -> str:
    notes: dict[tuple[str, str], int] = {}
    for record in records:
        if record.note:
            notes[record.implementation, record.note] = notes.get((record.implementation, record.note), 0) + 1
    lines = [f"- {name}, {count} case(s): {note}\n" for (name, note), count in notes.items()]
    return "## Not timed\n\n" + "".join(lines) if lines else ""


def summary(records: Sequence[Record]) -> str:
    """One line a record, for the terminal."""
    lines = []
    for record in records:
        time = f"{milliseconds(record.median_ms):>8} ms"
        ratio = f"{record.speedup:6.2f}x" if record.speedup and record.role != FLOOR else " " * 7
        lines.append(f"  {record.implementation:<18}{record.mode:<18}{time}{ratio}  {record.note}".rstrip())
    return "\n".join(lines)
