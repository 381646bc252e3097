"""The circuit search: generations a second and errors against the ancestor's, and what each option buys.

    python -m benchmarks.circuits [--part speed|quality|options|workers] [--output results/circuits]

The ancestor's figures are those of its compiled C++ on one thread of an AMD EPYC, with 4 children; problems and figures
lie in the shared data (`circuits/` of $WAVPOOL_DATA). Times are of one thread, medians of rounds in turn.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from training.tables import markdown_table
from wavpool import files
from wavpool.circuits import Grid, Settings, read_problem
from wavpool.circuits.islands import advance_islands
from wavpool.circuits.search import Search

from .__main__ import describe_machine


class Setting(NamedTuple):
    """A problem as the ancestor ran it, and its generations a second."""

    problem: str
    grid: tuple[int, int, int]  # rows, columns, levels back
    mutation_rate: float
    is_lookup: bool
    ancestor: float
    target: float  # how many times faster is asked


SETTINGS = {
    "layer_bypass 256x31": Setting("layer_bypass", (256, 31, 31), 0.01, True, 1531, 10),
    "no_input 256x31": Setting("no_input", (256, 31, 32), 0.01, True, 1610, 10),
    "single_channel 100x10": Setting("single_channel", (100, 10, 10), 0.15, False, 10750, 4),
    "single_filter 5x5": Setting("single_filter", (5, 5, 5), 0.15, False, 364_000, 1.5),
}
MARKS = (100, 500, 1000, 2000, 4000, 8000)
ANCESTOR_ERRORS = {  # squared error after MARKS generations: least and greatest of its runs
    "layer_bypass 256x31": (
        (910e3, 1170e3), (520e3, 630e3), (351e3, 460e3), (205e3, 299e3), (107e3, 161e3), (40e3, 92e3),
    ),
    "no_input 256x31": (
        (3.0e6, 4.1e6), (2.1e6, 2.2e6), (1.8e6, 1.9e6), (1.4e6, 1.5e6), (1.1e6, 1.1e6), (0.69e6, 0.77e6),
    ),
}  # fmt: skip


def problems() -> Path:
    """Folder of the problems."""
    for folder in os.environ.get("WAVPOOL_DATA", "").split(os.pathsep):
        if folder and (Path(folder) / "circuits").is_dir():
            return Path(folder) / "circuits"
    raise SystemExit("error: no folder of $WAVPOOL_DATA holds circuits/")


def begin(setting: Setting, run: int = 0, **options: Any) -> Search:
    """A search of a setting; `options` are of `Settings`."""
    problem = read_problem(problems() / f"{setting.problem}.data")
    rows, columns, back = setting.grid
    grid = Grid(problem.inputs.shape[1], problem.targets.shape[1], rows, columns, back)
    given = {"mutation_rate": setting.mutation_rate, "patience": 2**60, "enough_error": 0, **options}
    return Search(problem, grid, Settings(**given), is_lookup=setting.is_lookup, run=run)


def speed(rounds: int = 7, seconds: float = 1.0) -> list[dict[str, Any]]:
    """Generations a second of every setting, the first 8,000 generations or a second, whichever is longer."""
    rates: dict[str, list[float]] = {name: [] for name in SETTINGS}
    begin(SETTINGS["single_filter 5x5"]).advance(generations=10)  # compiles
    for round_ in range(rounds):
        for name, setting in SETTINGS.items():
            search = begin(setting, run=round_)
            search.advance(generations=8000)
            search.advance(seconds=max(0.0, seconds - search.seconds))
            rates[name].append(search.standing.generation / search.seconds)
    return [
        {
            "setting": name,
            "ancestor": setting.ancestor,
            "generations_per_second": round(statistics.median(rates[name])),
            "ratio": round(statistics.median(rates[name]) / setting.ancestor, 2),
            "target": setting.target,
        }
        for name, setting in SETTINGS.items()
    ]


def quality(runs: int = 15) -> list[dict[str, Any]]:
    """Squared errors after equal generations, of some runs, beside the ancestor's least and greatest."""
    rows = []
    for name, spans in ANCESTOR_ERRORS.items():
        errors: dict[int, list[int]] = {mark: [] for mark in MARKS}
        for run in range(runs):
            search = begin(SETTINGS[name], run)
            for mark in MARKS:
                search.advance(generations=mark - search.standing.generation)
                errors[mark].append(search.standing.error)
        for mark, (least, greatest) in zip(MARKS, spans, strict=True):
            rows.append({
                "setting": name, "generations": mark, "ancestor_least": int(least), "ancestor_greatest": int(greatest),
                "least": min(errors[mark]), "median": int(statistics.median(errors[mark])),
                "greatest": max(errors[mark]), "runs": runs,
            })  # fmt: skip
    return rows


def variants(setting: Setting) -> Iterator[tuple[str, dict[str, Any], int]]:
    """Options to compare: their name, what they are, and islands."""
    rate = setting.mutation_rate
    yield "as it is", {}, 1
    yield "without drift in energy", {"drift": False}, 1
    yield "one active gene a child", {"mutation_rate": 0.0}, 1
    yield "a tenth of the mutations", {"mutation_rate": rate / 10}, 1
    yield "1 child", {"children": 1}, 1
    yield "16 children", {"children": 16}, 1
    yield "4 islands", {}, 4


def options(runs: int = 3, seconds: float = 3.0) -> list[dict[str, Any]]:
    """Error and energy after equal time, medians of some runs, by option."""
    rows = []
    for name, setting in SETTINGS.items():
        for label, given, count in variants(setting):
            found = []
            for run in range(runs):
                if count > 1:
                    islands = [begin(setting, run * count + place, **given) for place in range(count)]
                    found.append(advance_islands(islands, 1000, seconds).standing)
                else:
                    search = begin(setting, run, **given)
                    search.advance(seconds=seconds)
                    found.append(search.standing)
            rows.append({
                "setting": name, "option": label, "seconds": seconds, "runs": runs,
                "error": statistics.median(each.error for each in found),
                "energy": round(statistics.median(each.energy for each in found), 6),
                "generations": int(statistics.median(each.generation for each in found)),
            })  # fmt: skip
    return rows


def workers(rounds: int = 3, seconds: float = 5.0) -> list[dict[str, Any]]:
    """Generations a second of two processes at once against one alone, in turn."""
    alone, both = [], []
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(_rate, [0.1, 0.1]))
        for _ in range(rounds):
            alone.append(pool.submit(_rate, seconds).result())
            both.append(sum(pool.map(_rate, [seconds, seconds])))
    one, two = statistics.median(alone), statistics.median(both)
    return [{"setting": "layer_bypass 256x31", "one": round(one), "two": round(two), "ratio": round(two / one, 3)}]


def _rate(seconds: float) -> float:
    search = begin(SETTINGS["layer_bypass 256x31"])
    start = time.perf_counter()
    search.advance(seconds=seconds)
    return search.standing.generation / (time.perf_counter() - start)


PARTS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "speed": speed,
    "quality": quality,
    "options": options,
    "workers": workers,
}


def write(output: Path, part: str, rows: Sequence[dict[str, Any]]) -> None:
    """The rows as CSV and as a table in Markdown, and the machine beside them."""
    files.write_csv(output / f"{part}.csv", rows)
    head = [key if isinstance(value, str) else f"({key})" for key, value in rows[0].items()]
    cells = [[f"{value:,}" if isinstance(value, int) else str(value) for value in row.values()] for row in rows]
    files.write_text(output / f"{part}.md", markdown_table([name.replace("_", " ") for name in head], cells))
    files.write_json(output / f"{part}.machine.json", describe_machine())


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, nargs="*", default=list(PARTS))
    parser.add_argument("--output", type=Path, default=Path("results/circuits"))
    chosen = parser.parse_args(arguments)
    for part in chosen.part:
        rows = PARTS[part]()
        write(chosen.output, part, rows)
        for row in rows:
            print("  ".join(f"{key}={value}" for key, value in row.items()), flush=True)


if __name__ == "__main__":
    main()
