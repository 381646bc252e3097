"""Time of one tuned CIFAR-10 training run of the paper's protocol: the original 0.1.3 against ours.

    python -m benchmarks.training_time [--epochs 120] [--threads 2] [--output FILE]

Both load the data (the original through torchvision and PIL), train WavPool with the paper's tuned settings on 10,000
images and validate on 4,000 after every epoch, for all the epochs (no early stopping). CIFAR-10 is looked for as
everywhere, see `generators`. Each runs in a process of its own; imports are not counted.
"""

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from generators import load_data
from training.files import write_json, write_text

from . import original

ORIGINAL = """
import json, sys, time
import torch
from torchvision.datasets import CIFAR10
torch.set_num_threads(int(sys.argv[2]))
CIFAR10._check_integrity = lambda self: True  # the files are written anew, so their digests differ
CIFAR10._load_meta = lambda self: None
from wavpool.data_generators.cifar_generator import CIFARGenerator
from wavpool.models.wavpool import WavPool
from wavpool.training.train_model import TrainingLoop
start = time.perf_counter()
loop = TrainingLoop(
    WavPool, json.loads(sys.argv[3]),
    CIFARGenerator, dict(sample_size=[10000, 4000, 4000], batch_size=640),
    torch.optim.SGD, dict(lr=0.72962), torch.nn.CrossEntropyLoss,
    epochs=int(sys.argv[1]), early_stopping_tolerence=10**9,
)
loop()
print(json.dumps({"seconds": time.perf_counter() - start, "accuracy": max(map(float, loop.history["val_accuracy"]))}))
"""

OURS = """
import json, sys, time
import torch
torch.set_num_threads(int(sys.argv[2]))
from training.config import CONFIGS, load_config
from training.engine import load, train
run = {"model": "wavpool_paper_cifar10", "data": "cifar10", "epochs": int(sys.argv[1]), "early_stopping": "none"}
config = load_config(CONFIGS / "paper.yaml", run)
start = time.perf_counter()
outcome = train(config, load(config))
accuracy = max(row["validation_accuracy"] for row in outcome.history)
print(json.dumps({"seconds": time.perf_counter() - start, "accuracy": accuracy}))
"""


def write_python_form(folder: Path) -> None:
    """Write the 18,000 training images the protocol uses where and as the original looks for them."""
    data = load_data("cifar10", split="paper", color="rgb")
    parts = (data.train, data.validation, data.test)
    images = torch.cat([part.images for part in parts]).flatten(1).numpy()
    labels = torch.cat([part.labels for part in parts]).tolist()
    target = folder / "wavNN" / "data" / "cifar10" / "cifar-10-batches-py"
    target.mkdir(parents=True)
    size = len(images) // 5
    for number in range(5):
        rows = slice(number * size, (number + 1) * size)
        batch = {"data": images[rows], "labels": labels[rows]}
        (target / f"data_batch_{number + 1}").write_bytes(pickle.dumps(batch))


def measure(epochs: int, threads: int) -> dict[str, dict[str, float]]:
    """Seconds and best validation accuracy of one run of each."""
    arguments = (str(epochs), str(threads))
    with tempfile.TemporaryDirectory() as folder:
        write_python_form(Path(folder))
        theirs = original.run(ORIGINAL, *arguments, json.dumps(original.TUNED), cwd=Path(folder), threads=threads)
    command = [sys.executable, "-W", "ignore", "-c", OURS, *arguments]
    ours = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {"original": json.loads(theirs.splitlines()[-1]), "wavpool": json.loads(ours.splitlines()[-1])}


def markdown(content: dict[str, Any]) -> str:
    """The figures as a table."""
    rows = [
        "| code | seconds | best validation accuracy |",
        "| --- | --: | --: |",
        *(
            f"| {name} | {content[name]['seconds']:.1f} | {content[name]['accuracy']:.4f} |"
            for name in ("original", "wavpool")
        ),
    ]
    settings = f"{content['epochs']} epochs, {content['threads']} thread(s), torch {content['torch']}"
    return "\n".join(rows) + f"\n\n{settings}; original / wavpool = {content['ratio']:.1f}\n"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--output", type=Path, help="write the figures to this JSON file, and a table beside it as Markdown"
    )
    options = parser.parse_args()
    result = measure(options.epochs, options.threads)
    ratio = result["original"]["seconds"] / result["wavpool"]["seconds"]
    print(f"{options.epochs} epochs, {options.threads} threads, torch {torch.__version__}")
    for name, row in result.items():
        print(f"{name:<10}{row['seconds']:9.1f} s   best validation accuracy {row['accuracy']:.4f}")
    print(f"original / wavpool = {ratio:.1f}")
    if options.output:
        settings = {"epochs": options.epochs, "threads": options.threads, "torch": torch.__version__, "ratio": ratio}
        write_json(options.output, {**settings, **result})
        write_text(options.output.with_suffix(".md"), markdown({**settings, **result}))


if __name__ == "__main__":
    main()
