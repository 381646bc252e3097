"""Whether `max_drop` keeps its promise: compressed on calibration images alone, measured once on the test data.

    python -m benchmarks.codec.promise resnet20 resnet56 mobilenet_v2 vgg

Written are results/codec/promise.csv and .md: bytes, what was promised, what was lost with its 95 % interval, and what
it cost, a row a network; rows of networks that are not named stay.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from wavpool.codec import compress, load
from wavpool.codec.bench import state_bytes
from wavpool.evaluation.metrics import predict
from wavpool.files import write_csv, write_text

from .cases import CASES
from .compare import RESULTS
from .measure import quality

COLUMNS = (
    "model", "promised", "bytes", "ratio", "accuracy", "drop", "drop_low", "drop_high", "kl", "agreement",
    "calibration_seconds", "decode_seconds",
)  # fmt: skip


def measure(name: str, max_drop: float) -> dict[str, object]:
    """Compress a network within a promise, write the file, read it, and evaluate that."""
    case = CASES[name]
    model = case.network().eval()
    start = time.perf_counter()
    compressed = compress(model, calibration=case.calibration(), max_drop=max_drop)
    calibrated = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.wvp"
        size = compressed.save(path)
        begun = time.perf_counter()
        with load(path) as loaded:
            state = loaded.state_dict()
        decoded = time.perf_counter() - begun
    test = list(case.test())
    original = predict(model, test)
    smaller = compressed.to_model()
    smaller.load_state_dict(state)
    return {
        "model": name, "promised": max_drop, "bytes": size, "ratio": round(state_bytes(model.state_dict()) / size, 2),
        **quality(predict(smaller, test), original),
        "calibration_seconds": round(calibrated - start, 1), "decode_seconds": round(decoded, 3),
    }  # fmt: skip


def table(rows: Sequence[dict[str, object]]) -> str:
    """A Markdown table."""
    lines = ["| network | promised | bytes | times smaller | lost on the test split | agreement | calibration, s |"]
    lines.append("|---|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        lost = (
            f"{float(str(row['drop'])):.2f} ({float(str(row['drop_low'])):.2f} to {float(str(row['drop_high'])):.2f})"
        )
        lines.append(
            f"| {row['model']} | {row['promised']} | {int(str(row['bytes'])):,} | {row['ratio']} | {lost} | "
            f"{float(str(row['agreement'])):.2f} % | {row['calibration_seconds']} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.codec.promise", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("networks", nargs="+", choices=CASES, metavar="NETWORK", help=f"of {', '.join(CASES)}")
    parser.add_argument("--max-drop", type=float, default=0.5, metavar="POINTS", help="what is promised [0.5]")
    parser.add_argument("--threads", type=int, default=2, help="of torch [2]")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FOLDER", help=f"[{RESULTS}]")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    path = given.output / "promise.csv"
    rows: list[dict[str, object]] = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            rows = [dict(row) for row in csv.DictReader(file)]
    for name in given.networks:
        fresh = measure(name, given.max_drop)
        rows = [row for row in rows if (row["model"], float(str(row["promised"]))) != (name, given.max_drop)] + [fresh]
        write_csv(path, [{key: row[key] for key in COLUMNS} for row in rows])
        write_text(given.output / "promise.md", table(rows))
        print(table([fresh]), flush=True)


if __name__ == "__main__":
    main()
