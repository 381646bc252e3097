"""The codec's coders and DeepCABAC (NNCodec, ISO/IEC 15938-17) on identical integers.

    python -m benchmarks.codec_coders [--rounds 3] [--integers FOLDER] [--output results/codec/coders.csv]

The integers are every convolution and linear weight of the CIFAR-10 ResNets of ``$WAVPOOL_DATA``, rounded to multiples
of a step, with no dead zone and nothing folded; FOLDER may hold more as `.npz` files of (rows, cols, taps) int32
arrays, one a layer. Every layer is a stream of its own, in ours as in DeepCABAC's. "searched" gives DeepCABAC each
layer's best of its scan orders, unary lengths and optimisations of context models, which a user of NNCodec cannot set
a layer.

DeepCABAC is NNCodec's compiled extension, called without its container (`codec_coders_peer`) in a virtual environment,
since it needs numpy < 2. `benchmarks.codec.nncodec_rival` makes one at the first call; by hand:

    python3 -m venv VENV && VENV/bin/pip install "numpy<2" nncodec==2.1.3     # and --python VENV/bin/python

Speeds are in MB of fp32 weights, one thread, medians of processor time over the rounds; compilation is not in them.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from benchmarks.codec.places import locate
from wavpool.codec.coders import CODERS, decode, encode
from wavpool.files import write_csv

Layers = dict[str, NDArray[np.int32]]
STEPS = (0.0262, 0.0495, 0.083)  # about 120, 90 and 66 KB of DeepCABAC for ResNet-20
NETWORKS = ("resnet20", "resnet56")
PEER = Path(__file__).with_name("codec_coders_peer.py")


class Measurement(NamedTuple):
    """One coder on one set of integers."""

    integers: str
    weights: int
    coder: str
    bytes: int
    encode_mb_s: float
    decode_mb_s: float


def rounded(network: str, step: float) -> Layers:
    """The weights of a ResNet of the shared data as multiples of a step, (rows, cols, taps)."""
    tensors = load_file(locate(f"weights/{network}_cifar10.safetensors"))
    weights = {name: tensor for name, tensor in tensors.items() if tensor.ndim > 1}
    return {
        name: np.rint(tensor.reshape(*tensor.shape[:2], -1) / step).astype(np.int32) for name, tensor in weights.items()
    }


def stored(path: Path) -> Layers:
    """The layers of an `.npz` file."""
    with np.load(path) as archive:
        return {name: archive[name].astype(np.int32) for name in archive.files}


def sets(folder: Path | None) -> Iterator[tuple[str, Layers]]:
    """(name, layers) of everything that is measured."""
    for network in NETWORKS:
        for step in STEPS:
            yield f"{network} step {step:g}", rounded(network, step)
    for path in sorted(folder.glob("*.npz")) if folder else ():
        yield path.stem, stored(path)


def ours(name: str, layers: Layers, coder: str, rounds: int) -> Measurement:
    """Bytes and speed of a coder of this package."""
    weights = sum(values.size for values in layers.values())
    encoding, decoding, size = [], [], 0
    for _ in range(rounds + 1):  # the first compiles
        start = time.process_time()
        streams = [encode(values, coder) for values in layers.values()]
        middle = time.process_time()
        pairs = zip(streams, layers.values(), strict=True)
        decoded = [decode(stream, values.shape, coder) for stream, values in pairs]
        decoding.append(time.process_time() - middle)
        encoding.append(middle - start)
        size = sum(map(len, streams))
        if not all(map(np.array_equal, decoded, layers.values())):
            raise SystemExit(f"{coder} returned other integers for {name}")
    return Measurement(name, weights, coder, size, *(_speed(weights, times[1:]) for times in (encoding, decoding)))


def deepcabac(name: str, layers: Layers, python: Path, rounds: int, search: bool) -> Measurement:
    """Bytes and speed of DeepCABAC, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        given, result = Path(folder, "layers.npz"), Path(folder, "result.json")
        np.savez(given, **layers)  # type: ignore[arg-type]
        command = [str(python), str(PEER), str(given), str(result), "--rounds", str(rounds)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run([*command, "--search"] if search else command, check=True, env=environment)
        measured = json.loads(result.read_text())
    weights = sum(values.size for values in layers.values())
    speeds = (_speed(weights, measured[f"{what}_seconds"]) for what in ("encode", "decode"))
    return Measurement(name, weights, f"DeepCABAC{' searched' if search else ''}", measured["bytes"], *speeds)


def _speed(weights: int, seconds: Sequence[float]) -> float:
    return round(4e-6 * weights / statistics.median(seconds), 1)


def _interpreter(path: Path | None) -> Path:
    if path is None:
        from benchmarks.codec.nncodec_rival import interpreter

        return interpreter()
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--integers", type=Path, help="folder of more integers, .npz")
    parser.add_argument("--output", type=Path, help="CSV to write")
    parser.add_argument("--python", type=Path, help="Python of a virtual environment that has nncodec==2.1.3")
    options = parser.parse_args(arguments)
    python = _interpreter(options.python)
    measured: list[Measurement] = []
    heads = f"{'bytes':>9}{'vs DeepCABAC':>14}{'bits/weight':>13}{'MB/s enc':>10}{'MB/s dec':>10}"
    print(f"{'integers':24}{'coder':20}{heads}")
    for name, layers in sets(options.integers):
        rivals = [deepcabac(name, layers, python, options.rounds, search) for search in (False, True)]
        for row in (*rivals, *(ours(name, layers, coder, options.rounds) for coder in reversed(CODERS))):
            change, rate = row.bytes / rivals[0].bytes - 1, 8 * row.bytes / row.weights
            print(
                f"{name:24}{row.coder:20}{row.bytes:9,}{change:14.1%}{rate:13.3f}"
                f"{row.encode_mb_s:10.1f}{row.decode_mb_s:10.1f}",
                flush=True,
            )
            measured.append(row)
    if options.output:
        write_csv(options.output, [row._asdict() for row in measured])


if __name__ == "__main__":
    main()
