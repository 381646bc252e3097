"""Train and compare models on data sets; write a table, figures and a report: ``python run_experiments.py --help``."""

from __future__ import annotations

import shlex
import sys
from argparse import BooleanOptionalAction, Namespace
from collections.abc import Sequence
from pathlib import Path

from training.libraries import told_if_missing

with told_if_missing():
    from training.cli import Parser, interpreter, run_command
    from training.comparison.plan import Choice, load_experiment, presets
    from training.config import ConfigError

_EPILOG = """presets:
  digits   WavPool of the paper and ours, MLP and CNN on scikit-learn's 8x8 digits: no download, a minute (the default)
  paper    the paper's protocol with its tuned settings, beside its stored values
  search   search the settings as the paper did, then train with those found
  modern   the paper's images, one modern recipe and one parameter budget for all models
  full     the full official splits in colour, one modern recipe, test accuracy
  spectral LeNet-5 on MNIST and CIFAR-10 with spectral layers in place of its own

examples:
  python run_experiments.py
  python run_experiments.py --preset paper --data mnist cifar10
  python run_experiments.py --preset modern --models wavpool_dense_small cnn --seeds 0 1 --dry-run
  python run_experiments.py --preset search --data digits --trials 6 --search-epochs 5 --search-limit 1000 200 200

The output folder receives results.md, results.csv, runs.csv, figures as PNG, report.html, and a folder a run. The same
command goes on after any interruption and repeats no finished run. Table and report cover what the command asks for and
all other finished runs of the preset in the folder, of other models, data sets and seeds, so a narrower command takes
nothing away. Runs of other --epochs or search settings are never mixed: they make a table of their own, which takes the
place of the former one unless it goes to another --output. Files of data are looked for in --data-dir, in the
folders of $WAVPOOL_DATA and in a cache, else downloaded."""

_SEARCH = ("trials", "search_epochs", "search_limit")


def parser() -> Parser:
    """The command line."""
    made = Parser(
        "python run_experiments.py", "Train and compare models on data sets; write table, figures and report.", _EPILOG
    )
    made.usage = "%(prog)s [--preset NAME] [--data NAME ...] [--models NAME ...] [options]"
    made.add_argument("--preset", default="digits", help=f"{', '.join(presets())}, or a YAML file of your own [digits]")
    made.add_argument(
        "--data",
        nargs="+",
        metavar="NAME",
        help="data sets: digits, mnist, fashion_mnist, cifar10, cifar100, svhn [the preset's]",
    )
    made.add_argument("--models", nargs="+", metavar="NAME", help="models of the preset, by their keys [all]")
    made.add_argument("--seeds", nargs="+", type=int, metavar="SEED", help="one trial a seed [the preset's: 0 1 2]")
    made.add_argument("--epochs", type=int, metavar="N", help="epochs of every run [the preset's]")
    made.add_argument("--output", type=Path, metavar="FOLDER", help="where runs and results go [runs/<preset>]")
    made.add_argument("--data-dir", metavar="FOLDER", help="folder of the data files")
    made.add_argument("--download", action=BooleanOptionalAction, help="download files that no folder has [yes]")
    made.add_argument("--accelerator", metavar="KIND", help="auto, cpu or gpu [auto]")
    made.add_argument("--workers", type=int, default=1, metavar="N", help="runs at a time, each in a process; they "
                      "share the machine, so compare times of --workers 1 only [1]")  # fmt: skip
    made.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="torch threads of each worker [the preset's, else as torch has it, shared out]",
    )
    made.add_argument("--trials", type=int, metavar="N", help="preset search: trials of each search [the space's: 35]")
    made.add_argument(
        "--search-epochs", type=int, metavar="N", help="preset search: epochs of a trial [the space's: 20]"
    )
    made.add_argument("--search-limit", nargs=3, type=int, metavar="N", help="preset search: training, validation and "
                      "test images [the space's: 4000 2000 2000]")  # fmt: skip
    made.add_argument("--dry-run", action="store_true", help="print the plan and what of it is finished, and stop")
    return made


def choice_of(given: Namespace) -> Choice:
    """What the flags select; a flag that is not given selects nothing."""
    settings = {key: getattr(given, key) for key in ("epochs", "data_dir", "download", "accelerator")}
    training = {key: value for key, value in settings.items() if value is not None}
    return Choice(given.data, given.models, given.seeds, training)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits 0, 2 after a user's mistake, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)

    def command() -> None:
        given = parser().parse(words)
        experiment = load_experiment(given.preset)
        budget = {"trials": given.trials, "epochs": given.search_epochs, "limit": given.search_limit}
        flag = next((name for name in _SEARCH if getattr(given, name) is not None), None)
        if flag and not experiment.search:
            raise ConfigError(f"--{flag.replace('_', '-')} is for presets that search, and {given.preset} does not")
        # torch and Lightning take seconds to import: not for --help or a misspelt preset
        from training.comparison.command import Settings, run_experiment

        output = given.output or Path("runs") / Path(given.preset).stem
        settings = Settings.checked(
            output, given.workers, experiment.threads if given.threads is None else given.threads, given.dry_run
        )
        run_experiment(given.preset, experiment, choice_of(given), settings, budget)

    run_command(command, lambda: f"go on with: {interpreter()} run_experiments.py {shlex.join(words)}".rstrip())


if __name__ == "__main__":
    main()
