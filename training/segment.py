"""Segment scenes with a feature pyramid on a timm backbone: ``python -m training.segment --backbone wavpool_femto``."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, PositiveInt

from training.libraries import told_if_missing

with told_if_missing():
    from training.cli import Parser, add_fields, field_values, interpreter, run_command
    from training.config import ConfigError, StrictModel

if TYPE_CHECKING:
    from training.pyramid import Pyramid
    from training.scenes import Scenes

_EPILOG = """examples:
  python -m training.segment --backbone wavpool_femto
  python -m training.segment --backbone wavpool_femto vanilla_cnn --seeds 0 1 2 --output results/segment
  python -m training.segment --backbone wavpool_pico --checkpoint runs/pico/model.safetensors --color rgb

The output folder receives segment.csv and segment.md (the table), metrics.json (every run and its provenance) and one
picture per backbone: scene, truth, prediction. Runs that the folder already holds are kept, not repeated."""


class SegmentConfig(StrictModel):
    """One segmentation. Every field but ``backbone`` is a flag of ``training.segment``."""

    backbone: str = Field(description="timm model with feature maps")
    pretrained: bool = Field(False, description="start from the backbone's pretrained weights")
    checkpoint: str | None = Field(None, description="safetensors file of the backbone's weights to start from")
    finest: PositiveInt = Field(2, description="reduction of the finest feature map in the pyramid")
    channels: PositiveInt = Field(32, description="channels of the pyramid")
    data: str = Field("fashion_mnist", description="data set whose images are composed: fashion_mnist, mnist or digits")
    data_dir: str | None = Field(None, description="folder of the data files, before $WAVPOOL_DATA and the cache")
    download: bool = Field(True, description="download the files where they are absent")
    color: str | None = Field(None, description="colour of the scenes: gray, rgb, or none for the data set's own")
    size: PositiveInt = Field(64, description="side of a scene in pixels")
    objects: PositiveInt = Field(4, description="images in a scene")
    train_scenes: PositiveInt = Field(1000, description="scenes to train on, of training images")
    test_scenes: PositiveInt = Field(500, description="scenes to test on, of test images, the same for every seed")
    epochs: PositiveInt = Field(6, description="passes over the training scenes")
    batch_size: PositiveInt = Field(32, description="scenes a step")
    lr: float = Field(3e-3, gt=0, description="highest learning rate of AdamW's one-cycle schedule")
    weight_decay: float = Field(0.05, ge=0, description="weight decay, not applied to biases and norms")
    seed: int = Field(0, ge=0, lt=2**31, description="seed of weights, training scenes and their order")


_VARIED = {"backbone", "pretrained", "checkpoint", "finest", "seed", "data_dir", "download"}
"""Settings in which the runs of one table may differ."""
_COMMON = [name for name in SegmentConfig.model_fields if name not in ("backbone", "seed")]


def segment(config: SegmentConfig) -> tuple[dict[str, Any], Pyramid, Scenes]:
    """Train on scenes and measure the foreground's IoU on others.

    Returns:
        The row of the table, the trained model in eval mode, and the test scenes.

    Raises:
        ConfigError: the backbone is unknown or has no feature maps for these scenes.
        DataError: absent or broken data, or scenes smaller than their objects.
    """
    import torch

    from generators import load_data
    from training.pyramid import build_pyramid, fit_pyramid, foreground_iou, macs
    from training.scenes import make_scenes

    options = {key: getattr(config, key) for key in ("color", "data_dir", "download")}
    data = load_data(config.data, split="official", **options)
    train = make_scenes(data.train, config.train_scenes, config.size, config.objects, config.seed)
    test = make_scenes(data.test, config.test_scenes, config.size, config.objects)
    torch.manual_seed(config.seed)
    model = build_pyramid(config, train)
    start = time.perf_counter()
    losses = fit_pyramid(model, train, config)
    seconds = time.perf_counter() - start
    row = {
        "backbone": config.backbone,
        "weights": config.checkpoint or ("pretrained" if config.pretrained else "none"),
        "seed": config.seed,
        "reductions": " ".join(map(str, model.backbone.feature_info.reduction())),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "backbone_parameters": sum(parameter.numel() for parameter in model.backbone.parameters()),
        "mmacs": macs(model, test.images[:1].float()) / 1e6,
        "train_seconds": seconds,
        "train_loss": losses[-1],
        "iou": foreground_iou(model, test, config.batch_size),
    }
    return row, model, test


def table(rows: Sequence[dict[str, Any]]) -> str:
    """One line per backbone, in Markdown: mean and standard deviation of the IoU over the seeds."""
    from training.tables import markdown_table, mean_and_sd

    head = ["backbone", "weights", "taps", "(parameters)", "(backbone's)", "(M MACs)", "(seeds)", "(IoU)"]
    lines = []
    for key in dict.fromkeys((row["backbone"], row["weights"], row["reductions"]) for row in rows):
        runs = [row for row in rows if (row["backbone"], row["weights"], row["reductions"]) == key]
        scores = [row["iou"] for row in runs]
        cells = [*key, f"{runs[0]['parameters']:,}", f"{runs[0]['backbone_parameters']:,}", f"{runs[0]['mmacs']:.1f}"]
        lines.append([*cells, str(len(runs)), mean_and_sd(scores)])
    return markdown_table(head, lines)


def run(configs: Sequence[SegmentConfig], output: Path) -> list[dict[str, Any]]:
    """Run every config that ``output`` does not hold yet; after each, write the table of all runs, metrics and picture.

    Raises:
        ConfigError: the folder holds runs with other settings, which one table must not mix.
    """
    from training.files import read_json, write_csv, write_json, write_text
    from training.pyramid import draw
    from training.report import origin

    stored = output / "metrics.json"
    runs: list[dict[str, Any]] = read_json(stored)["runs"] if stored.exists() else []
    for config in configs:
        settings = config.model_dump(mode="json")
        changed = {
            key for each in runs for key in settings if key not in _VARIED and each["config"][key] != settings[key]
        }
        if changed:
            told = ", ".join(sorted(changed))
            raise ConfigError(f"{output} holds runs with other settings ({told}); give another --output")
        done = next((each for each in runs if each["config"] == settings), None)
        if done is None:
            row, model, test = segment(config)
            draw(model, test, output / f"{config.backbone}.png", f"{config.backbone}: IoU {row['iou']:.3f}")
            done = {"result": row, "config": settings, "provenance": origin()}
            runs.append(done)
            write_json(stored, {"runs": runs})
        rows = [each["result"] for each in runs]
        print(f"{config.backbone}, seed {config.seed}: IoU {done['result']['iou']:.4f}", flush=True)
        write_csv(output / "segment.csv", rows)
        write_text(output / "segment.md", table(rows))
    return rows


def _parser() -> Parser:
    parser = Parser("python -m training.segment", "Segment scenes of real images by a feature pyramid.", _EPILOG)
    parser.add_argument("--backbone", metavar="NAME", nargs="+", required=True, help="timm models, one run each")
    parser.add_argument("--seeds", metavar="N", nargs="+", default=["0"], help="seeds, one run each [0]")
    parser.add_argument("--output", metavar="FOLDER", type=Path, default=Path("runs/segment"), help="[runs/segment]")
    add_fields(parser, SegmentConfig, "settings", _COMMON)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; exits 0, 2 after a user's mistake, 130 after Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)

    def command() -> None:
        namespace = _parser().parse(given)
        values = field_values(namespace, SegmentConfig)
        configs = [
            SegmentConfig.checked({**values, "backbone": name, "seed": seed})
            for name in namespace.backbone
            for seed in namespace.seeds
        ]
        print(f"\n{table(run(configs, namespace.output))}\nwritten to {namespace.output}")

    run_command(command, lambda: f"go on with: {interpreter()} -m training.segment {shlex.join(given)}")


if __name__ == "__main__":
    main()
