"""What `training.allocator` buys: a training step of the paper's CNN with and without it.

    python -m benchmarks.allocator [--threads 1] [--rounds 5]

Each round times both in turn, each in a process of its own (the setting cannot be taken back).
"""

import argparse
import statistics
import subprocess
import sys

STEP = """
import statistics, sys, time
import timm, torch
import wavpool
from training.allocator import keep_freed_memory
torch.set_num_threads(int(sys.argv[1]))
if sys.argv[2] == "kept":
    keep_freed_memory()
model = timm.create_model("cnn_paper_mnist").to(memory_format=torch.channels_last)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
images, labels = torch.rand(640, 1, 28, 28), torch.randint(10, (640,))
seconds = []
for _ in range(12):
    start = time.perf_counter()
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(images), labels).backward()
    optimizer.step()
    seconds.append(time.perf_counter() - start)
print(1000 * statistics.median(seconds[2:]))
"""


def measure(threads: int, rounds: int) -> dict[str, float]:
    """Median milliseconds of a step, by setting."""
    times: dict[str, list[float]] = {"returned": [], "kept": []}
    for _ in range(rounds):
        for name, values in times.items():
            command = [sys.executable, "-W", "ignore", "-c", STEP, str(threads), name]
            values.append(float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))
    return {name: statistics.median(values) for name, values in times.items()}


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    result = measure(options.threads, options.rounds)
    print(f"training step of cnn_paper_mnist, batch 640; threads: {options.threads}, processes: {options.rounds} each")
    for name, milliseconds in result.items():
        print(f"freed memory {name:<9}{milliseconds:9.1f} ms")
    print(f"returned / kept = {result['returned'] / result['kept']:.2f}")


if __name__ == "__main__":
    main()
