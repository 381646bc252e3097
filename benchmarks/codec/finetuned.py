"""What fine-tuning under an entropy penalty is worth: files of one size with it and without, on the test data.

    python -m benchmarks.codec.finetuned resnet8 --epochs 2 --samples 25000 --max-bytes 6000 8000

Both are calibrated on unlabelled training images, of which fine-tuning takes `--samples`. Written are
results/codec/finetuned.csv and .md; rows of networks that are not named stay.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from wavpool.codec import compress
from wavpool.evaluation.batches import as_batches
from wavpool.evaluation.metrics import predict
from wavpool.files import write_csv, write_text

from .cases import CASES
from .compare import RESULTS
from .measure import quality
from .nncodec_rival import Row, read_rows

COLUMNS = (
    "model", "max_bytes", "epochs", "samples", "bytes", "accuracy", "drop", "drop_low", "drop_high", "kl", "agreement",
    "seconds",
)  # fmt: skip
WHOLE = ("max_bytes", "epochs", "samples", "bytes")
NETWORKS = tuple(name for name, case in CASES.items() if case.train is not None)


def measure(name: str, max_bytes: int, epochs: int, samples: int) -> list[Row]:
    """The rows of a network without fine-tuning and with it; the latter's epochs are 0 where it did not pay."""
    case = CASES[name]
    assert case.train is not None
    model, test = case.network(), list(case.test())
    original = predict(model, test)
    rows = []
    for finetune, data in ((0, case.calibration()), (epochs, as_batches(case.train(), limit=samples))):
        start = time.perf_counter()
        compressed = compress(model, calibration=data, max_bytes=max_bytes, finetune=finetune)
        row = {"model": name, "max_bytes": max_bytes, "epochs": int(compressed.attributes.get("finetune", 0))}
        row |= {"samples": samples if finetune else 0, "bytes": compressed.nbytes}
        row |= {**quality(predict(compressed.to_model(), test), original)}
        rows.append(row | {"seconds": round(time.perf_counter() - start, 1)})
        print(", ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    return rows


def table(rows: Sequence[Row]) -> str:
    """A Markdown table."""
    lines = ["| network | epochs | samples | bytes | KL, nats | points of accuracy lost | seconds |"]
    lines.append("|---|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        lost = f"{row['drop']:.2f} ({row['drop_low']:.2f} to {row['drop_high']:.2f})"
        cells = (row["model"], row["epochs"], f"{row['samples']:,}", f"{row['bytes']:,}", f"{row['kl']:.4f}", lost)
        lines.append(f"| {' | '.join(map(str, cells))} | {row['seconds']:.0f} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.codec.finetuned", description=(__doc__ or "").split(":")[0])
    parser.add_argument("network", choices=NETWORKS, metavar="NETWORK", help=f"of {', '.join(NETWORKS)}")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--samples", type=int, required=True, help="training images that fine-tuning takes")
    parser.add_argument("--max-bytes", type=int, nargs="+", required=True, metavar="BYTES", help="sizes to compare at")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FOLDER", help=f"[{RESULTS}]")
    given = parser.parse_args(arguments)
    path = given.output / "finetuned.csv"
    rows = [row for row in read_rows(path, ("model",), WHOLE) if row["model"] != given.network]
    for size in given.max_bytes:
        rows += measure(given.network, size, given.epochs, given.samples)
        write_csv(path, [{key: row[key] for key in COLUMNS} for row in rows])
        write_text(given.output / "finetuned.md", table(rows))
    print(table(rows))


if __name__ == "__main__":
    main()
