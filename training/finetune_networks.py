"""Search hyper-parameters: ``python -m training.finetune_networks --model wavpool_paper --data cifar10``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from training.libraries import told_if_missing

with told_if_missing():
    from training.cli import Parser, add_fields, field_values, interpreter, run_command
    from training.config import TrainConfig

_EPILOG = """examples:
  python -m training.finetune_networks --model wavpool_paper --data cifar10
  python -m training.finetune_networks --model mlp_paper --data digits --epochs 5 --limit 500 200 200 --trials 12
  python -m training.train_model --config runs/search-wavpool_paper-cifar10/best.yaml

The study is stored as it goes; the same command goes on with it after an interruption. Without --config the search
space is that of training/configs/search for the model, the paper's for the paper's models."""
_SEARCH_FLAGS = ("objective", "epoch", "trials", "startup_trials", "workers", "storage", "study")


def _parser() -> Parser:
    from training.search import SearchConfig

    parser = Parser(
        "python -m training.finetune_networks", description="Search the hyper-parameters of a model.", epilog=_EPILOG
    )
    parser.add_argument("--config", metavar="FILE", help="YAML file of the search; flags go over it")
    parser.add_argument(
        "--output", metavar="FOLDER", type=Path, help="folder of the study [runs/search-<model>-<data>]"
    )
    add_fields(parser, SearchConfig, "the search", _SEARCH_FLAGS)
    add_fields(parser, TrainConfig, "every trial's training")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; exits 0, 2 after a user's mistake, 130 after Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)

    def command() -> None:
        from training.search import SearchConfig, load_search, run_search

        namespace = _parser().parse(given)
        search = load_search(
            namespace.config, field_values(namespace, SearchConfig), field_values(namespace, TrainConfig)
        )
        run = search.check()
        best = run_search(search, namespace.output or Path("runs") / f"search-{run.model}-{run.data}".replace("/", "_"))
        print(f"\nbest settings, written to {best}:\n{best.read_text(encoding='utf-8')}", end="")

    run_command(command, lambda: f"go on with: {interpreter()} -m training.finetune_networks {shlex.join(given)}")


if __name__ == "__main__":
    main()
