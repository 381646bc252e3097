"""Measure, and write a CSV, figures and docs/benchmarks.md.

    python -m benchmarks [transforms] [models] [imports] [--quick] [--resume] [--seconds S] [--output FOLDER]

Every case is written to the CSV as it is done. `benchmarks.training_time` (a whole training run) and
`benchmarks.allocator` are commands of their own.
"""

import argparse
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from training.files import write_json, write_text
from training.report import commit, processor

from . import imports, models, transforms
from .document import document, figure_name, summary, summary_table
from .figure import draw
from .records import TRANSFORM, Case, Record, read_records, write_records

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "results" / "benchmarks", ROOT / "docs" / "benchmarks.md"
BENCHMARKS = {"transforms": transforms, "models": models, "imports": imports}
SECONDS, QUICK_SECONDS = 0.3, 0.05  # an implementation in a case


def describe_machine() -> dict[str, str]:
    """What the times depend on."""
    versions = ("torch", "numpy", "PyWavelets", "timm")
    return {
        "processor": f"{processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in versions),
        "vector instructions": torch.backends.cpu.get_cpu_capability(),
        "commit": commit() or "unknown",
    }


def run(names: Sequence[str], folder: Path, page: Path, seconds: float, quick: bool, resume: bool) -> None:
    """Measure the named benchmarks; what the CSV has of the others stays, with `resume` what it has of these too."""
    path = folder / "benchmarks.csv"
    wanted = {name: BENCHMARKS[name].cases(quick) for name in names}
    fresh = {case for cases in wanted.values() for case in cases}
    records = [record for record in read_records(path) if resume or record.case not in fresh]
    done = {record.case for record in records}
    folder.mkdir(parents=True, exist_ok=True)
    if fresh - done:
        write_json(folder / "machine.json", describe_machine())
    for name, cases in wanted.items():
        left = [case for case in cases if case not in done]
        for case_records in _measure(name, left, seconds):
            print(_title(case_records[0].case), summary(case_records), sep="\n", flush=True)
            records += case_records
            write_records(path, records)
    publish(folder, page)


def _measure(name: str, cases: Sequence[Case], seconds: float) -> Iterator[list[Record]]:
    return BENCHMARKS[name].measure(cases, seconds) if cases else iter(())


def _title(case: Case) -> str:
    parts = [case.benchmark, case.input, case.wavelet, f"level {case.levels}" if case.levels else "", case.direction]
    return ", ".join(part for part in [*parts, f"{case.threads} thread(s)"] if part)


def publish(folder: Path, page: Path) -> None:
    """Write the figures and the page from the CSV."""
    records = read_records(folder / "benchmarks.csv")
    machine = json.loads((folder / "machine.json").read_text(encoding="utf-8"))
    for threads in (1, 2):
        chosen = [record for record in records if record.benchmark == TRANSFORM and record.threads == threads]
        if chosen:
            draw(chosen, folder / figure_name(threads))
    text = document(records, machine, Path(os.path.relpath(folder, page.parent)).as_posix())
    write_text(page, text)
    write_text(folder / "summary.md", summary_table(records))
    print(text[text.index("## Targets") :].split("## How")[0])


def main(arguments: list[str] | None = None) -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="a few cases, in under a minute, into runs/benchmarks")
    parser.add_argument("--resume", action="store_true", help="leave out the cases that the CSV has")
    parser.add_argument("--output", type=Path, help="folder of the CSV and the figures; the page goes there too")
    parser.add_argument(
        "--seconds", type=float, help=f"for an implementation in a case ({SECONDS}; quick {QUICK_SECONDS})"
    )
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(BENCHMARKS)}")
    folder, page = RESULTS, PAGE
    if options.output or options.quick:
        folder = options.output or ROOT / "runs" / "benchmarks"
        page = folder / "benchmarks.md"
    seconds = options.seconds or (QUICK_SECONDS if options.quick else SECONDS)
    run(options.names or list(BENCHMARKS), folder, page, seconds, options.quick, options.resume)


if __name__ == "__main__":
    main()
