"""Results of the zoo: accuracy, size and speed of our networks and of their rivals.

    python -m benchmarks.zoo [RUN ...] [--output FOLDER] [--seconds S]

Writes results.csv and benchmark.csv in timm's columns, machine.json, zoo.png and zoo.md. Accuracies are those of the
packaged weights, of the reference ResNets where $WAVPOOL_DATA has them, and of the finished training runs that are
given, all on the official test images; results.csv keeps what earlier calls found for other models. Speed is measured
on one thread, all networks in turn, in the faster of the two memory formats. published.csv holds what others report.
"""

from __future__ import annotations

import argparse
import copy
import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from generators import DataError, load_data
from training.allocator import keep_freed_memory
from training.cli import run_command
from training.evaluation import macs_and_activations, parameter_count, view_scores
from training.files import write_csv, write_json, write_text
from training.package_weights import official_data, packaged_model, read_run, run_entry
from training.tables import markdown_table
from wavpool.models import wavpool_net
from wavpool.models._weights import entries

from .__main__ import ROOT, describe_machine
from .codec import networks
from .document import milliseconds
from .timing import block, interleaved
from .zoo_figure import Point, draw

Row = dict[str, Any]
FOLDER = ROOT / "results" / "zoo"
BATCHES = (1, 64)
FORMATS = (torch.contiguous_format, torch.channels_last)
RIVALS = (
    "resnet8",
    "resnet20",
    "resnet56",
    "wavemix_lite_32_7",
    "wavemix_lite_64_6",
    "wtconvnext_pico",
    "vanilla_cnn",
)
"""Networks that are timed on colour images of 32 x 32 whether or not there are weights; so are all of ours."""
CIFAR10 = (3, 32, 32)


# Accuracy.


def result(name: str, entry: Mapping[str, Any], data: str) -> Row:
    """A row of results.csv from scores, as shares of 1, and parameters."""
    cfg = timm.get_pretrained_cfg(name.partition(".")[0])
    in_chans, height, _ = entry["input_size"]
    mirrored = entry["accuracy_mirrored"]
    return {
        "model": name,
        "top1": round(100 * entry["accuracy"], 3),
        "top1_err": round(100 - 100 * entry["accuracy"], 3),
        "top5": round(100 * entry["top5"], 3),
        "top5_err": round(100 - 100 * entry["top5"], 3),
        "param_count": entry["parameters"] / 1e6,
        "img_size": height,
        "crop_pct": cfg.crop_pct if cfg else 1.0,
        "interpolation": cfg.interpolation if cfg else "bilinear",
        "data": data,
        "tta": "" if mirrored is None else round(100 * mirrored, 3),
        "in_chans": in_chans,
    }


def packaged_results() -> Iterator[Row]:
    """Rows of the packaged weights; a test holds their metadata to what the files do."""
    for name, entry in entries().items():
        yield result(name, entry, entry["data"])


def reference_results() -> Iterator[Row]:
    """Rows of the reference ResNets, where their weights and CIFAR-10 are at hand."""
    for name, make in {"resnet20": networks.resnet20, "resnet56": networks.resnet56}.items():
        try:
            model, data = make(), load_data("cifar10", "official", download=False)
        except DataError as error:
            print(f"no {name} here: {error}")
            continue
        scores = view_scores(model, data.test, "cifar10", IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
        entry = {**scores, "parameters": parameter_count(timm.create_model(name)), "input_size": CIFAR10}
        yield result(f"{name}.cifar10", entry, "cifar10")


def run_result(folder: Path) -> Row:
    """The row of a finished training run.

    Raises:
        training.config.ConfigError: the folder holds none.
    """
    config, _ = read_run(folder)
    name, entry = f"{config.model}.{config.data}", {**run_entry(folder), "accuracy": 0.0}
    model = packaged_model(name, entry, folder / "model.safetensors")
    data = official_data(entry, config.data_dir)
    scores = view_scores(model, data.test, config.data, entry["mean"], entry["std"])
    return result(name, {**entry, **scores, "parameters": parameter_count(model)}, config.data)


# Speed.

Shape = tuple[str, int, int]  # architecture, channels, side of the images


def shapes(results: Iterable[Row]) -> list[Shape]:
    """What is timed: every network of the results, on images of their size, and the rivals."""
    found = [(row["model"].partition(".")[0], int(row["in_chans"]), int(row["img_size"])) for row in results]
    colour = [*RIVALS, *(name for name in wavpool_net.default_cfgs if not name.endswith("_224"))]
    return list(dict.fromkeys([*found, *((name, *CIFAR10[:2]) for name in colour)]))


def speed_rows(wanted: Sequence[Shape], seconds: float) -> list[Row]:
    """Rows of benchmark.csv, `seconds` for each network, batch size and memory format."""
    keep_freed_memory()
    torch.set_num_threads(1)
    models = {shape: _model(shape).eval() for shape in wanted}
    costs = {shape: macs_and_activations(model, _size(shape)) for shape, model in models.items()}
    rows = []
    for batch in BATCHES:
        calls = {
            f"{shape} {layout}": block(_inference(model, torch.rand(batch, *_size(shape)), layout))
            for shape, model in models.items()
            for layout in FORMATS
        }
        timings = interleaved(calls, seconds)
        for shape, model in models.items():
            name, in_chans, side = shape
            step = min(timings[f"{shape} {layout}"].median_ms for layout in FORMATS)
            macs, activations = costs[shape]
            rows.append(
                {
                    "model": name,
                    "infer_samples_per_sec": round(1e3 * batch / step, 2),
                    "infer_step_time": round(step, 3),
                    "infer_batch_size": batch,
                    "infer_img_size": side,
                    "infer_gmacs": macs / 1e9,
                    "infer_macts": activations / 1e6,
                    "param_count": parameter_count(model) / 1e6,
                    "in_chans": in_chans,
                }
            )
    return sorted(rows, key=lambda row: (row["infer_batch_size"], row["infer_step_time"]))


def _size(shape: Shape) -> tuple[int, int, int]:
    return shape[1], shape[2], shape[2]


def _model(shape: Shape) -> torch.nn.Module:
    overlay = {"input_size": _size(shape), "num_classes": 10}
    model: torch.nn.Module = timm.create_model(shape[0], pretrained_cfg_overlay=overlay)
    return model


def _inference(model: torch.nn.Module, images: torch.Tensor, layout: torch.memory_format) -> Callable[[], object]:
    model, images = copy.deepcopy(model).to(memory_format=layout), images.to(memory_format=layout)
    return torch.inference_mode()(lambda: model(images))


# Documents.


def figure_points(results: Sequence[Row], speed: Sequence[Row], published: Sequence[Row]) -> list[Point]:
    """The networks that classify colour images of CIFAR-10."""
    fast = {row["model"]: row for row in speed if row["infer_batch_size"] == 1 and row["in_chans"] == 3}
    points = []
    for row in results:
        name = row["model"].partition(".")[0]
        if (row["data"], row["in_chans"]) == ("cifar10", 3):
            kind = "ours" if name.startswith("wavpool") else "rival"
            cost = fast.get(name, {})
            macs = cost["infer_gmacs"] * 1e9 if cost else None
            points.append(Point(name, kind, row["top1"], row["param_count"] * 1e6, macs, cost.get("infer_step_time")))
    for row in published:
        if row["data"] == "cifar10":
            points.append(Point(row["model"], "published", row["top1"], row["parameters"], row["macs"] or None, None))
    return points


def table(results: Sequence[Row], speed: Sequence[Row]) -> str:
    """The results as Markdown, by data set and size."""
    costs = {(row["model"], row["in_chans"], row["infer_img_size"], row["infer_batch_size"]): row for row in speed}
    lines = []
    for row in sorted(results, key=lambda row: (row["data"], row["param_count"], row["model"])):
        shape = row["model"].partition(".")[0], row["in_chans"], row["img_size"]
        one, many = (costs.get((*shape, batch)) for batch in BATCHES)
        tta = f"{row['tta']:.2f}" if row["tta"] != "" else "–"
        cells = [f"{1e6 * row['param_count']:,.0f}", f"{1e3 * one['infer_gmacs']:.2f}" if one else "–"]
        cells += [f"{row['top1']:.2f}", tta, milliseconds(one["infer_step_time"] if one else None)]
        cells += [f"{many['infer_samples_per_sec']:,.0f}" if many else "–"]
        lines.append([f"`{row['model']}`", *cells])
    head = ["model", "(parameters)", "(M multiply-adds)", "(top-1, %)", "(mirrored, %)", "(ms, batch 1)"]
    return markdown_table([*head, "(images/s, batch 64)"], lines)


def read_rows(path: Path) -> list[Row]:
    """The rows of a CSV file, numbers as numbers; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: _number(value) for key, value in row.items()} for row in csv.DictReader(file)]


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def publish(folder: Path) -> None:
    """Write the figure and the table from the CSV files."""
    results, speed = read_rows(folder / "results.csv"), read_rows(folder / "benchmark.csv")
    draw(figure_points(results, speed, read_rows(FOLDER / "published.csv")), folder / "zoo.png")
    write_text(folder / "zoo.md", table(results, speed))


def run(runs: Sequence[Path], folder: Path, seconds: float) -> None:
    """Evaluate, measure and publish."""
    before = {row["model"]: row for row in read_rows(folder / "results.csv")}
    fresh = [*packaged_results(), *reference_results(), *map(run_result, runs)]
    rows = list((before | {row["model"]: row for row in fresh}).values())
    rows.sort(key=lambda row: (row["data"], -row["top1"]))
    write_csv(folder / "results.csv", rows)
    if seconds:
        write_csv(folder / "benchmark.csv", speed_rows(shapes(rows), seconds))
        write_json(folder / "machine.json", describe_machine())
    publish(folder)
    print((folder / "zoo.md").read_text(encoding="utf-8"))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; exits 0, or 2 after a user's mistake."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.zoo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="folder of a finished training run")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder to write to [results/zoo]")
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="for a network, batch size and memory format; 0: time nothing [2]"
    )
    options = parser.parse_args(arguments)
    run_command(lambda: run(options.runs, options.output, options.seconds), lambda: "run the command again")


if __name__ == "__main__":
    main()
