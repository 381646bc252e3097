"""Transfer of trained weights: ``python -m training.transfer --model wavpool_pico.cifar10 --data fashion_mnist``."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.libraries import told_if_missing

with told_if_missing():
    from training.cli import Parser, add_fields, field_values, interpreter, run_command
    from training.config import CONFIGS, TrainConfig, load_config, unknown_name

if TYPE_CHECKING:
    from torch import nn

    from generators import Data

MODES = {
    "probe": "logistic regression on pooled features, all weights frozen",
    "random_probe": "the same on features of random weights, for comparison",
    "finetune": "train all weights, from the trained ones",
    "scratch": "train all weights, from random ones",
}
RECIPE = CONFIGS / "transfer.yaml"

_MODES_HELP = "\n".join(f"  {name:14}{text}" for name, text in MODES.items())
_EPILOG = f"""modes:
{_MODES_HELP}

examples:
  python -m training.transfer --model wavpool_pico.cifar10 --data fashion_mnist
  python -m training.transfer --model wavpool_femto --checkpoint runs/femto/model.safetensors --data fashion_mnist
  python -m training.transfer --model wavpool_atto.fashion_mnist --data cifar10 --color gray --limit 5000 5000 10000

The last line trains on 10 % of CIFAR-10, with weights that have not seen its images. The output folder receives one run
per mode and seed, transfer.csv and transfer.md (the table). The same command continues an interrupted comparison."""


def transfer(config: TrainConfig, mode: str, output: Path, checkpoint: str | None = None) -> dict[str, Any]:
    """Train in one mode, or read the finished run that ``output`` holds.

    Args:
        config: the run; its model names the weights by timm's tag, unless there is a checkpoint.
        mode: one of :data:`MODES`.
        output: folder of the run.
        checkpoint: safetensors file of the model's weights.

    Returns:
        The row of the table.

    Raises:
        ConfigError: a bad name or setting, weights that are absent or of another model, a folder of another run.
        generators.DataError: absent or broken data.
    """
    from training.engine import fit
    from training.pretrained import pretrained_kwargs

    if mode not in MODES:
        raise unknown_name("mode", mode, MODES)
    trained = mode in ("probe", "finetune")
    if trained:
        kwargs = pretrained_kwargs(config.model, checkpoint)
        config = config.model_copy(update={"model_kwargs": config.model_kwargs | kwargs})
    probed = mode.endswith("probe")
    metrics = probe(config, output) if probed else fit(config, output, resume=True)
    return {
        "model": config.model,
        "mode": mode,
        "weights": _weights(config.model, checkpoint) if trained else "random",
        "data": config.data,
        "images": sum(map(sum, metrics["train"]["confusion"])),
        "epochs": None if probed else metrics["epochs"],
        "seed": config.seed,
        "test_accuracy": metrics["test"]["accuracy"],
    }


def _weights(model: str, checkpoint: str | None) -> str:
    """The checkpoint, or the tag of the weights that timm takes."""
    import timm

    weights: Any = timm.get_pretrained_cfg(model)
    return checkpoint or str(weights.tag)


def probe(config: TrainConfig, output: Path) -> dict[str, Any]:
    """Fit a logistic regression on the model's pooled features; write ``config.yaml`` and ``metrics.json``.

    Args:
        config: data, model and seed; settings of the optimisation have no effect.
        output: folder of the run; the metrics of a finished one are returned as they are.
    """
    from training.engine import finished_run, load
    from training.files import write_json, write_yaml
    from training.networks import build_model
    from training.report import provenance, read_metrics

    if (finished := finished_run(output, config, resume=True, overwrite=False)) is not None:
        return finished
    start = time.perf_counter()
    data = load(config)
    model = build_model(config, data)
    model.reset_classifier(0)  # type: ignore[operator]
    metrics: dict[str, Any] = fit_probe(model, config, data)
    metrics["provenance"] = provenance(config, {"wall_seconds": time.perf_counter() - start})
    write_yaml(output / "config.yaml", config.model_dump(mode="json"))
    write_json(output / "metrics.json", metrics)
    return read_metrics(output)


def fit_probe(features: nn.Module, config: TrainConfig, data: Data) -> dict[str, Any]:
    """Fit a logistic regression on standardised features of the training images and measure it on every part.

    Args:
        features: maps images to ``(B, num_features)``.
        config: normalisation, image size and batch size.
        data: the images.

    Returns:
        For ``train``, ``validation`` and ``test``, the metrics of :func:`training.metrics.classification_metrics`.
    """
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from training.engine import loader_options, predict
    from training.metrics import classification_metrics

    options = loader_options(config, data)
    parts = {
        name: predict(features, getattr(data, name), config.eval_batch_size, **options)
        for name in ("train", "validation", "test")
    }
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    classifier.fit(*(each.numpy() for each in parts["train"]))
    return {
        name: classification_metrics(torch.from_numpy(classifier.decision_function(values.numpy())), labels)
        for name, (values, labels) in parts.items()
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """One line per mode, in Markdown: mean and standard deviation of the test accuracy over the seeds."""
    from training.tables import markdown_table, mean_and_sd

    columns = ("model", "mode", "weights", "data", "images", "epochs")
    head = ["model", "mode", "weights", "data", "(training images)", "(epochs)", "(seeds)", "(test accuracy)"]
    lines = []
    for key in dict.fromkeys(tuple(row[column] for column in columns) for row in rows):
        scores = [row["test_accuracy"] for row in rows if tuple(row[column] for column in columns) == key]
        model, mode, weights, data, images, epochs = key
        cells = [model, mode, weights, data, f"{images:,}", "–" if epochs is None else str(epochs)]
        lines.append([*cells, str(len(scores)), mean_and_sd(scores)])
    return markdown_table(head, lines)


def _parser() -> Parser:
    parser = Parser(
        "python -m training.transfer", "Compare transfer of trained weights with training from scratch.", _EPILOG
    )
    parser.add_argument("--config", metavar="FILE", default=RECIPE, help=f"YAML file of settings [{RECIPE.name}]")
    parser.add_argument("--mode", metavar="MODE", nargs="+", default=list(MODES), help=f"[{' '.join(MODES)}]")
    parser.add_argument("--seeds", metavar="N", nargs="+", default=["0"], help="seeds, one run each per mode [0]")
    parser.add_argument("--checkpoint", metavar="FILE", help="safetensors file of the model's weights")
    parser.add_argument("--output", metavar="FOLDER", type=Path, help="[runs/transfer-<model>-<data>]")
    parser.add_argument("--table", metavar="NAME", type=Path, help="write the table as NAME.csv and NAME.md, too")
    add_fields(parser, TrainConfig, "settings", [name for name in TrainConfig.model_fields if name != "seed"])
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; exits 0, 2 after a user's mistake, 130 after Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)

    def command() -> None:
        namespace = _parser().parse(given)
        settings = field_values(namespace, TrainConfig)
        configs = [load_config(namespace.config, settings | {"seed": seed}) for seed in namespace.seeds]
        if bad := next((mode for mode in namespace.mode if mode not in MODES), None):
            raise unknown_name("mode", bad, MODES)
        from training.files import write_csv, write_text

        output = namespace.output or Path("runs") / f"transfer-{configs[0].model}-{configs[0].data}"
        rows: list[dict[str, Any]] = []
        for mode in namespace.mode:
            for config in configs:
                rows.append(transfer(config, mode, output / f"{mode}-{config.seed}", namespace.checkpoint))
                print(f"{mode}, seed {config.seed}: test accuracy {rows[-1]['test_accuracy']:.4f}", flush=True)
        for name in (output / "transfer", *([namespace.table] if namespace.table else [])):
            write_csv(name.parent / f"{name.name}.csv", rows)
            write_text(name.parent / f"{name.name}.md", table(rows))
        print(f"\n{table(rows)}\nwritten to {output}")

    run_command(command, lambda: f"go on with: {interpreter()} -m training.transfer {shlex.join(given)}")


if __name__ == "__main__":
    main()
