"""Train any timm model: ``python -m training.train_model --model wavpool_dense_small --data cifar10``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.libraries import told_if_missing

with told_if_missing():
    from training.cli import Parser, add_fields, counted, field_values, interpreter, run_command
    from training.config import TrainConfig, load_config

_EPILOG = """examples:
  python -m training.train_model --model wavpool_dense_small --data cifar10 --epochs 5
  python -m training.train_model --config training/configs/paper.yaml --model wavpool_paper_mnist --data mnist
  python -m training.train_model --model=alexnet --kernel=dct --layers=linear --dataset=cifar10
  torchrun --nproc-per-node 4 -m training.train_model --model wavpool_dense_base --data mnist --devices 4 --strategy ddp

--dataset, --max_epochs, --nodes and flags with underscores are understood, too; --rep is --seed 87 --deterministic.

The output folder receives model.safetensors, metrics.json, history.csv, config.yaml, history.png, confusion.png,
roc.png, logs and last.ckpt, from which --resume goes on."""


_ALIASES = {"--dataset": "--data", "--max-epochs": "--epochs", "--nodes": "--num-nodes"}
_REP_SEED = "87"


def _renamed(arguments: Sequence[str]) -> list[str]:
    """Flags of the spectral layers' ancestor by the names that they have here; ``--rep`` is a seed and determinism."""
    found: list[str] = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if not flag.startswith("--"):
            found.append(argument)
        elif flag == "--rep" and value.lower() not in ("false", "0", "no"):
            found += ["--seed", _REP_SEED, "--deterministic"]
        elif flag != "--rep":
            flag = flag.replace("_", "-")
            found.append(_ALIASES.get(flag, flag) + equals + value)
    return found


def _parser() -> Parser:
    parser = Parser("python -m training.train_model", "Train any timm model on any of the data sets.", _EPILOG)
    parser.add_argument("--config", metavar="FILE", help="YAML file of settings; flags go over it")
    parser.add_argument(
        "--output", metavar="FOLDER", type=Path, help="folder of the run [runs/<model>-<data>-<seed>-<hash>]"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint of the output folder")
    parser.add_argument("--overwrite", action="store_true", help="start afresh in a folder that holds a run")
    add_fields(parser, TrainConfig, "settings")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; exits 0, 2 after a user's mistake, 130 after Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)

    def command() -> None:
        namespace = _parser().parse(_renamed(given))
        config = load_config(namespace.config, field_values(namespace, TrainConfig))
        from training.engine import fit  # torch and Lightning take seconds to import: not for --help or a bad flag

        output = namespace.output or Path("runs") / config.name
        metrics = fit(config, output, resume=namespace.resume, overwrite=namespace.overwrite)
        if metrics:
            print(_summary(metrics, output))

    run_command(
        command, lambda: f"go on with: {interpreter()} -m training.train_model {shlex.join(_with_resume(given))}"
    )


def _with_resume(arguments: Sequence[str]) -> list[str]:
    kept = [each for each in arguments if each not in ("--overwrite", "--resume")]
    return [*kept, "--resume"]


def _summary(metrics: dict[str, Any], output: Path) -> str:
    lines = [f"{'':10}  accuracy  f1_macro   roc_auc      loss"]
    for split in ("train", "validation", "test"):
        values = [metrics[split][key] for key in ("accuracy", "f1_macro", "roc_auc", "loss")]
        cells = "".join(f"{'-' if value is None else format(value, '.4f'):>10}" for value in values)
        lines.append(f"{split:10}{cells}")
    best = f"best validation accuracy {metrics['best_validation_accuracy']:.4f} at epoch {metrics['best_epoch'] + 1}"
    lines.append(
        f"{best}; {counted(metrics['epochs'], 'epoch')} in {metrics['train_seconds']:.1f} s; written to {output}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
