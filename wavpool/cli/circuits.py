"""`wavpool circuits`: int8 networks, and experiments that search circuits for their weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from . import circuit_options as own
from . import options
from .circuit_options import Data, Folder, Int8

app = typer.Typer(
    name="circuits",
    help="Search for logic that computes the weights of int8 networks instead of storing them.\n\n"
    "Train or take a network, make it int8 (quantize), and run one of the experiments on its weights.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command("train-model", epilog=(
    "[bold]Example[/bold]\n\nwavpool circuits train-model lenet5 torch/mnist --data-dir data --download "
    "--model-kwargs img_size=28 --model-kwargs in_chans=1 --model-kwargs num_classes=10 -o lenet.safetensors"
))  # fmt: skip
def train_model(
    model: options.Model,
    data: Data,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The .safetensors file to write.")],
    epochs: Annotated[int, typer.Option(min=1)] = 15,
    learning_rate: Annotated[float, typer.Option(min=0)] = 0.01,
    seed: options.Seed = 0,
    model_kwargs: options.ModelKwargs = None,
    checkpoint: options.Checkpoint = None,
    ema: options.Ema = True,
    app_dir: options.AppDir = Path(),
    split: options.Split = "train",
    data_dir: options.DataDir = None,
    download: options.Download = False,
    batch_size: options.BatchSize = 32,
    limit: options.Limit = None,
    loader_workers: options.LoaderWorkers = 0,
) -> None:
    """Train a classifier: SGD of momentum 0.9, its rate falling along a cosine."""
    from ..evaluation.specs import DataSpec, ModelSpec
    from .circuit_models import train

    options.import_from(app_dir)
    chosen = ModelSpec(model, False, checkpoint, options.settings(model_kwargs or ()), ema=ema)
    train(chosen, DataSpec(data, split, data_dir, download, batch_size, limit, loader_workers), output, epochs,
          learning_rate, seed)  # fmt: skip


@app.command(epilog=(
    "[bold]Example[/bold]\n\nwavpool circuits quantize lenet5 torch/mnist --data-dir data --checkpoint "
    "lenet.safetensors --model-kwargs img_size=28 --model-kwargs in_chans=1 --model-kwargs num_classes=10 "
    "--qat 3 -o lenet_int8.pth"
))  # fmt: skip
def quantize(
    model: options.Model,
    data: Data,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The .pth file to write.")],
    qat: Annotated[
        int, typer.Option(min=0, metavar="EPOCHS", help="Train with rounded weights; 0: calibrate alone (PTQ).")
    ] = 0,
    learning_rate: Annotated[float | None, typer.Option(min=0, help="Of that training.", show_default="0.001")] = None,
    seed: options.Seed = 0,
    model_kwargs: options.ModelKwargs = None,
    checkpoint: options.Checkpoint = None,
    ema: options.Ema = True,
    pretrained: options.Pretrained = True,
    app_dir: options.AppDir = Path(),
    split: options.Split = "train",
    data_dir: options.DataDir = None,
    download: options.Download = False,
    batch_size: options.BatchSize = 32,
    limit: options.Limit = None,
    loader_workers: options.LoaderWorkers = 0,
) -> None:
    """Make a trained network int8, a scale an output channel, by torch's own tools."""
    from ..evaluation.specs import DataSpec, ModelSpec
    from .circuit_models import quantize

    options.import_from(app_dir)
    chosen = ModelSpec(model, pretrained, checkpoint, options.settings(model_kwargs or ()), ema=ema)
    data_spec = DataSpec(data, split, data_dir, download, batch_size, limit, loader_workers)
    quantize(chosen, data_spec, output, qat, learning_rate, seed)


@app.command()
def evaluate(
    model: options.Model,
    data: Data,
    weights: Int8,
    model_kwargs: options.ModelKwargs = None,
    app_dir: options.AppDir = Path(),
    split: options.Split = "validation",
    data_dir: options.DataDir = None,
    download: options.Download = False,
    batch_size: options.BatchSize = 250,
    limit: options.Limit = None,
    loader_workers: options.LoaderWorkers = 0,
) -> None:
    """Accuracy, top-5 and loss of an int8 network."""
    from ..evaluation.specs import DataSpec, ModelSpec
    from .circuit_models import evaluate

    options.import_from(app_dir)
    chosen = ModelSpec(model, False, None, options.settings(model_kwargs or ()))
    evaluate(chosen, DataSpec(data, split, data_dir, download, batch_size, limit, loader_workers), weights)


@app.command()
def sensitivity(
    model: options.Model,
    data: Data,
    weights: Int8,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The CSV file to write.")],
    part: Annotated[str, typer.Option(help="inner (cores of 3 x 3), outter (their rings), or all.")] = "all",
    layers: Annotated[str, typer.Option(metavar="NAMES", help="Layers, by commas.", show_default="convolutions")] = "",
    offsets: Annotated[str, typer.Option(metavar="FROM:TO:STEP", help="What to add to weights.")] = "-20:20:2",
    model_kwargs: options.ModelKwargs = None,
    app_dir: options.AppDir = Path(),
    split: options.Split = "validation",
    data_dir: options.DataDir = None,
    download: options.Download = False,
    batch_size: options.BatchSize = 250,
    limit: options.Limit = None,
    loader_workers: options.LoaderWorkers = 0,
) -> None:
    """How accuracy falls when the same number is added to int8 weights."""
    from ..evaluation.specs import DataSpec, ModelSpec
    from .circuit_models import sweep_offsets

    options.import_from(app_dir)
    chosen = ModelSpec(model, False, None, options.settings(model_kwargs or ()))
    data_spec = DataSpec(data, split, data_dir, download, batch_size, limit, loader_workers)
    sweep_offsets(chosen, data_spec, weights, output, part, layers, offsets)


@app.command(epilog=(
    "[bold]Example[/bold]\n\nwavpool circuits compare runs/le_selector lenet5 torch/mnist --data-dir data "
    "--model-kwargs img_size=28 --model-kwargs in_chans=1 --model-kwargs num_classes=10 --weights lenet_int8.pth"
))  # fmt: skip
def compare(
    folder: Folder,
    model: options.Model,
    data: Data,
    weights: Int8,
    gate_parameters: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Table of operators' costs.", show_default="45 nm")
    ] = None,
    memory: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Table of memories' energies.", show_default="45 nm")
    ] = None,
    level: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Memory whose verdict is printed; the file has all.",
            show_default="SRAM 8 KB, or the table's first",
        ),
    ] = None,
    model_kwargs: options.ModelKwargs = None,
    app_dir: options.AppDir = Path(),
    split: options.Split = "validation",
    data_dir: options.DataDir = None,
    download: options.Download = False,
    batch_size: options.BatchSize = 250,
    limit: options.Limit = None,
    loader_workers: options.LoaderWorkers = 0,
) -> None:
    """What a pass's weight reads cost: plain, pruned, Huffman-coded or shared weights in memory, or circuits.

    Writes energy.csv, energy.png and verdict.txt into FOLDER, which holds an experiment.
    """
    from ..evaluation.specs import DataSpec, ModelSpec
    from .circuit_models import compare_energy

    options.import_from(app_dir)
    chosen = ModelSpec(model, False, None, options.settings(model_kwargs or ()))
    data_spec = DataSpec(data, split, data_dir, download, batch_size, limit, loader_workers)
    compare_energy(folder, chosen, data_spec, weights, gate_parameters, memory, level)


@app.command(epilog=(
    "[bold]Example[/bold]\n\nwavpool circuits export runs/le_selector/mse_0_256_31/result.0.json -o conv.v"
))  # fmt: skip
def export(
    circuit: Annotated[
        Path,
        typer.Argument(metavar="CIRCUIT", help="A run's result.N.json, or a chromosome's text.", show_default=False),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="What to write: .v, .c, .svg or .txt (chromosome).")
    ],
) -> None:
    """Write a circuit as Verilog, C, a drawing or a chromosome."""
    from .circuit_runs import export_circuit

    export_circuit(circuit, output)


@app.command()
def status(
    folder: Folder,
    runs: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Runs of each sub-experiment.", show_default="as FOLDER was begun"),
    ] = None,
) -> None:
    """Which runs of an experiment are finished, and which are not; `resume` computes or submits these."""
    from .circuit_runs import show_status
    from .progress import say

    if show_status(folder, runs):
        say(f"to go on: wavpool circuits resume {folder}" + (f" --runs {runs}" if runs else ""))


@app.command()
def merge(folder: Folder) -> None:
    """Move the runs of batches (--batches), finished or not, together; `resume` does this, too."""
    from .circuit_runs import merge_batches

    merge_batches(folder)


@app.command(epilog=(
    "[bold]Example[/bold]\n\nwavpool circuits resume runs/le_selector --cluster slurm --workers 30"
))  # fmt: skip
def resume(
    folder: Folder,
    runs: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Runs of each sub-experiment.", show_default="as FOLDER was begun"),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="int8 state.", show_default="as FOLDER was begun")
    ] = None,
    gate_parameters: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Table of costs.", show_default="as FOLDER was begun")
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=own.CLUSTER,
            show_default="as FOLDER was begun",
            help="processes of this machine, dask, pbs or slurm.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, rich_help_panel=own.CLUSTER, show_default="as FOLDER was begun", help="Runs at a time."
        ),
    ] = None,
    cluster_option: own.ClusterOption = None,
    scheduler: own.Address = None,
    dry_run: own.DryRun = False,
) -> None:
    """Merge the batches of a folder, find its unfinished runs, and compute or submit these: all in one.

    What is not told is as `train` or `submit` began it. Nothing else may compute in the folder meanwhile.
    """
    from .circuit_runs import place_of, resume_experiment, show_script

    place = place_of(cluster, workers, scheduler, cluster_option, folder)
    if dry_run:
        show_script(place)
        return
    resume_experiment(folder, runs, weights, gate_parameters, place)


def _search_command(name: str, cluster_by_default: str) -> Callable[..., None]:
    """The `train` or `submit` command of an experiment; help shows only options that it takes."""

    def run(
        experiment_env: own.Env,
        weights: own.Weights = None,
        rows: own.Rows = None,
        cols: own.Cols = None,
        mse_thresholds: own.Errors = "",
        multiplex: own.Multiplex = None,
        layers: own.Layers = "",
        input_layers: own.Reads = "",
        output_layers: own.Computes = "",
        count: own.Count = None,
        sizes: own.Sizes = "",
        runs: own.Runs = None,
        children: own.Children = None,
        population_max: own.Population = None,
        mutation_max: own.Mutation = None,
        patience: own.Patience = None,
        generations: own.Generations = None,
        e_fitness: own.Metric = "se",
        drift: own.Drift = True,
        gate_parameters: own.Costs = None,
        seed: options.Seed = 0,
        cluster: own.Cluster = cluster_by_default,
        workers: own.Workers = None,
        cluster_option: own.ClusterOption = None,
        scheduler: own.Address = None,
        dry_run: own.DryRun = False,
        batches: own.BatchCount = 1,
        batch: own.Batch = None,
    ) -> None:
        from .circuit_runs import Choice, place_of, run_experiment, show_job

        choice = Choice(
            rows, cols, mse_thresholds, multiplex, layers, input_layers, output_layers, count, sizes,
            children, population_max, mutation_max, patience, generations, e_fitness, drift, seed,
        )  # fmt: skip
        chosen = choice.options(name, weights)
        place = place_of(cluster, workers, scheduler, cluster_option)
        if dry_run:
            show_job(name, weights, chosen, place)
            return
        run_experiment(name, weights, experiment_env, chosen, runs, gate_parameters, place, (batches, batch))

    for option in own.OWN.keys() - own.takes(name):
        run.__annotations__[option] = own.hidden(run.__annotations__[option])
    return run


def _metrics_command(
    folder: Folder,
    model: options.Model,
    data: Data,
    weights: Int8,
    top: Annotated[int | None, typer.Option(min=1, help="Only the best so many runs.", show_default="all")] = None,
    model_kwargs: options.ModelKwargs = None,
    app_dir: options.AppDir = Path(),
    split: options.Split = "validation",
    data_dir: options.DataDir = None,
    download: options.Download = False,
    batch_size: options.BatchSize = 250,
    limit: options.Limit = None,
    loader_workers: options.LoaderWorkers = 0,
) -> None:
    """Put the weights of every run into the network, and measure it."""
    from ..evaluation.specs import DataSpec, ModelSpec
    from .circuit_models import measure_runs

    options.import_from(app_dir)
    chosen = ModelSpec(model, False, None, options.settings(model_kwargs or ()))
    data_spec = DataSpec(data, split, data_dir, download, batch_size, limit, loader_workers)
    measure_runs(folder, chosen, data_spec, weights, top)


_SEARCH = {"token_normalize_func": own.normal}

for _name, (_help, _own) in own.EXPERIMENTS.items():
    _experiment = typer.Typer(name=_name, help=_help, no_args_is_help=True)
    _experiment.command("train", help="Search here; started again, it goes on.", context_settings=_SEARCH)(
        _search_command(_name, "processes")
    )
    _experiment.command(
        "submit",
        help="Search on a Dask cluster, or by batch jobs of PBS or Slurm; started again, it submits what is missing.",
        context_settings=_SEARCH,
    )(_search_command(_name, "dask"))
    _experiment.command("model-metrics", hidden="weights" not in own.takes(_name))(_metrics_command)
    app.add_typer(_experiment, rich_help_panel="Experiments")
