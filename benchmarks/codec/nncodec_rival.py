"""The rival: NNCodec 2.1.3, ISO/IEC 15938-17, in a virtual environment of its own (it needs numpy < 2).

    python -m benchmarks.codec.nncodec_rival resnet20 resnet56 --qp -32 -14

Every variant takes NNCodec's default settings (DeepCABAC, dependent quantisation, one-dimensional tensors fine) and a
sweep of its ``qp``; its bytes are those of the whole bitstream. Variants:

* ``plain``: the state dict as it is.
* ``folded``: the four vectors of each BatchNorm folded to a scale and a shift first.
* ``recalibrated``: folded, after the statistics of each BatchNorm are estimated anew behind the quantised weights, on
  512 unlabelled training images.

Rows go to results/codec/nncodec.csv as they are measured; those that are there already are not measured again.
"""

from __future__ import annotations

import argparse
import copy
import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from benchmarks.fetch import Unavailable
from generators.files import cache_folder
from wavpool.evaluation.metrics import predict
from wavpool.files import write_csv

from .cases import CASES, Case
from .measure import bytes_at, quality, smallest_within

VERSION = "2.1.3"
VARIANTS = ("plain", "folded", "recalibrated")
RESULTS = Path(__file__).parents[2] / "results" / "codec" / "nncodec.csv"
RECALIBRATION_BATCHES = 4  # of 128 images
QPS = (-28, -12)
MAX_DROP, KL = 0.5, 0.05

Weights = dict[str, np.ndarray[Any, np.dtype[np.float32]]]
Row = dict[str, Any]


def interpreter() -> Path:
    """Python of the rival's virtual environment, made at the first call in a few minutes: the wheel is compiled.

    It sees torch and the like of this environment behind its own numpy, so that they are not installed twice.

    Raises:
        Unavailable: pip cannot get or build it.
    """
    folder = cache_folder() / f"nncodec-{VERSION}"
    python = folder / "bin" / "python"
    if (folder / "READY").exists():
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    own = next(folder.glob("lib/python*/site-packages"))
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    for packages in (("numpy<2", "h5py", "opencv-python<4.12", "ptflops", "pybind11", "setuptools", "wheel"), ()):
        wanted = packages or ("--no-build-isolation", f"nncodec=={VERSION}")
        result = subprocess.run([*install, *wanted], capture_output=True, text=True)
        if result.returncode != 0:
            reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise Unavailable(f"pip cannot install NNCodec {VERSION}: {reason}")
    (own / "zz_ours.pth").write_text(str(Path(np.__file__).parents[1]) + "\n")
    (folder / "READY").touch()
    return python


def code(weights: Weights, qps: Iterable[int], threads: int = 1) -> Iterator[tuple[Row, Weights]]:
    """Encode and decode with NNCodec in its environment, under short names: the bitstream holds them as they are.

    Args:
        weights: float32 arrays.
        qps: quantisation parameters; larger is coarser.
        threads: of its process.

    Yields:
        a row with qp, bytes, encode_s and decode_s, and the decoded weights.
    """
    with tempfile.TemporaryDirectory() as folder:
        short = {np.base_repr(number, 36): array for number, array in enumerate(weights.values())}
        np.savez(Path(folder) / "weights.npz", **short)  # type: ignore[arg-type]
        worker = Path(__file__).with_name("nncodec_worker.py")
        command = list(map(str, (interpreter(), worker, Path(folder) / "weights.npz", folder, *qps)))
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        if result.returncode != 0:
            raise RuntimeError(f"NNCodec failed: {result.stderr.strip().splitlines()[-1]}")
        for line in result.stdout.splitlines():
            row = json.loads(line)
            with np.load(Path(folder) / f"{row['qp']}.npz") as decoded:
                yield row, {key: decoded[number] for key, number in zip(weights, short, strict=True)}


def batch_norms(model: nn.Module) -> dict[str, _BatchNorm]:
    """The BatchNorm layers of a network by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, _BatchNorm)}


def plain(model: nn.Module) -> Weights:
    """The floating-point tensors of a state dict."""
    state = model.state_dict()
    return {key: tensor.numpy() for key, tensor in state.items() if torch.is_floating_point(tensor)}


def folded(model: nn.Module) -> Weights:
    """The same with a scale and a shift in place of the four vectors of each BatchNorm, as its weight and bias."""
    weights = plain(model)
    for name, norm in batch_norms(model).items():
        mean, variance = (weights.pop(f"{name}.running_{kind}") for kind in ("mean", "var"))
        scale = weights[f"{name}.weight"] / np.sqrt(variance + np.float32(norm.eps))
        weights[f"{name}.weight"] = scale
        weights[f"{name}.bias"] = weights[f"{name}.bias"] - mean * scale
    return weights


def restore(model: nn.Module, weights: Mapping[str, np.ndarray[Any, Any]]) -> nn.Module:
    """A copy of the network with decoded weights; folded BatchNorm gets mean 0 and variance 1."""
    restored = copy.deepcopy(model).eval()
    state: dict[str, Tensor] = {key: torch.from_numpy(array) for key, array in weights.items()}
    for name, norm in batch_norms(restored).items():
        if f"{name}.running_var" not in state:
            state[f"{name}.running_mean"] = torch.zeros(norm.num_features)
            state[f"{name}.running_var"] = torch.full((norm.num_features,), 1 - norm.eps)
    missing = restored.load_state_dict(state, strict=False).missing_keys
    assert not [key for key in missing if torch.is_floating_point(restored.state_dict()[key])], missing
    return restored


def recalibrate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> nn.Module:
    """Estimate the statistics of every BatchNorm anew, as the mean over the batches; the network is changed."""
    for norm in batch_norms(model).values():
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative mean
        norm.train()
    with torch.no_grad():
        for inputs, _ in batches:
            model(inputs)
    return model.eval()


def rebased(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> nn.Module:
    """A copy of the network that computes the same, with the statistics of these images in its BatchNorm layers.

    Statistics that training left behind may be those of augmented images: the shared ResNets' are those of crops with
    black borders, and estimating them anew on whole images costs ResNet-20 three points. What quantisation changed is
    seen against statistics of the same images.
    """
    copied = copy.deepcopy(model).eval()
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in batch_norms(copied)}

    def note(name: str, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        axes = [axis for axis in range(inputs[0].ndim) if axis != 1]
        seen[name].append((inputs[0].mean(axes), inputs[0].var(axes)))

    hooks = [norm.register_forward_pre_hook(partial(note, name)) for name, norm in batch_norms(copied).items()]
    with torch.no_grad():
        for inputs, _ in batches:
            copied(inputs)
        for name, norm in batch_norms(copied).items():
            mean, variance = (torch.stack(values).mean(0) for values in zip(*seen[name], strict=True))
            assert norm.running_mean is not None
            assert norm.running_var is not None
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            norm.bias.add_((mean - norm.running_mean) * scale)
            norm.weight.copy_(scale * torch.sqrt(variance + norm.eps))
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
    for hook in hooks:
        hook.remove()
    return copied


def _recalibrated(model: nn.Module, case: Case, qps: Sequence[int]) -> Iterator[tuple[Row, Weights]]:
    """Quantised weights behind the original BatchNorm, its statistics anew, folded, and coded as they will be sent."""
    images = list(islice(case.calibration(), RECALIBRATION_BATCHES))
    base, original = plain(rebased(model, images)), folded(model)
    own = {f"{name}.{key}" for name in batch_norms(model) for key in ("weight", "bias")}
    for row, decoded in code(original, qps):
        quantised = {key: array for key, array in decoded.items() if key not in own}
        vectors = folded(recalibrate(restore(model, {**base, **quantised}), images))
        yield from code({**original, **{key: vectors[key] for key in own}}, [row["qp"]])


def sweep(name: str, variant: str, qps: Sequence[int]) -> Iterator[Row]:
    """Code a network of :data:`benchmarks.codec.cases.CASES` at each qp and evaluate it on the test data."""
    case = CASES[name]
    model = case.network()
    if not qps or (variant != "plain" and not batch_norms(model)):
        return
    original = predict(model, case.test())
    if variant == "recalibrated":
        points = _recalibrated(model, case, qps)
    else:
        points = code(plain(model) if variant == "plain" else folded(model), qps)
    for row, weights in points:
        figures = quality(predict(restore(model, weights), case.test()), original)
        times = {key: round(row[key], 3) for key in ("encode_s", "decode_s")}
        yield {"model": name, "variant": variant, "qp": row["qp"], "bytes": row["bytes"], **figures, **times}


def read_rows(
    path: Path, texts: Sequence[str] = ("model", "variant"), whole: Sequence[str] = ("qp", "bytes")
) -> list[Row]:
    """The rows of a CSV file, numbers as numbers: columns of texts, of whole numbers, others; none without a file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows: list[Row] = list(csv.DictReader(file))
    return [{k: v if k in texts else int(v) if k in whole else float(v) for k, v in row.items()} for row in rows]


def table(rows: Sequence[Row]) -> str:
    """Bytes at half a point of drop and at KL 0.05, as a Markdown table, a line for each network and variant."""
    lines = [f"| network | variant | bytes at drop <= {MAX_DROP} | bytes at KL {KL} |", "|---|---|---|---|"]
    for name, variant in dict.fromkeys((row["model"], row["variant"]) for row in rows):
        chosen = [row for row in rows if (row["model"], row["variant"]) == (name, variant)]
        held = smallest_within([(row["bytes"], row["drop"]) for row in chosen], MAX_DROP)
        level = bytes_at([(row["bytes"], row["kl"]) for row in chosen], KL)
        cells = [f"{size:,.0f}" if size is not None else "outside the sweep" for size in (held, level)]
        lines.append(f"| {name} | {variant} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.codec.nncodec_rival", description=(__doc__ or "").split(":")[0]
    )
    parser.add_argument("networks", nargs="+", choices=CASES, metavar="NETWORK", help=f"of {', '.join(CASES)}")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS, metavar="VARIANT")
    parser.add_argument("--qp", nargs=2, type=int, default=QPS, metavar=("FIRST", "LAST"), help=f"[{QPS[0]} {QPS[1]}]")
    parser.add_argument("--step", type=int, default=1, help="from one qp to the next [1]")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="CSV", help=f"[{RESULTS}]")
    given = parser.parse_args(arguments)
    qps = range(given.qp[0], given.qp[1] + 1, given.step)
    rows = read_rows(given.output)
    for name in given.networks:
        for variant in given.variants:
            done = {row["qp"] for row in rows if (row["model"], row["variant"]) == (name, variant)}
            for row in sweep(name, variant, [qp for qp in qps if qp not in done]):
                print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
                rows.append(row)
                rows.sort(key=lambda row: (row["model"], VARIANTS.index(row["variant"]), row["qp"]))
                write_csv(given.output, rows)
    print(table(rows))


if __name__ == "__main__":
    main()
