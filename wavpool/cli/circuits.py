"""`wavpool circuits`: int8 networks, and experiments that search circuits for their weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from . import options

app = typer.Typer(
    name="circuits",
    help="Search for logic that computes the weights of int8 networks instead of storing them.\n\n"
    "Train or take a network, make it int8 (quantize), and run one of the experiments on its weights.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

SEARCH, GRID, CLUSTER = "The search", "The problem", "Where to compute"
EXPERIMENTS = {  # experiment -> what it does; the functions are in wavpool.circuits.experiments.catalogue
    "layer_bypass": "All weights of a convolution from those of the one before.",
    "le_selector": "All weights of some convolutions from constants alone.",
    "all_layers": "The ring of every kernel of two layers from its core, one circuit for both.",
    "mobilenet": "All weights of a layer from its first 96; layer by layer.",
    "single_channel": "The rings of all kernels of a channel from their cores.",
    "single_filter": "The ring of one kernel from its core.",
    "single_filter_zero_outter": "A ring of zeros from the core, with and without a zero in the core.",
    "reversed_single_filter": "The core of a kernel from its ring, over grid sizes.",
    "grid_size": "The ring of a kernel from its core, over grid sizes.",
    "chain": "Every convolution from the first weights of the one before: a whole network from stored seeds.",
    "worst_case": "All 256 values from 0 to 63: no network.",
}

Data = Annotated[str, typer.Argument(metavar="DATA", help=f"Labelled data: {options.DATA_HELP}.", show_default=False)]
Int8 = Annotated[
    Path,
    typer.Option("--weights", metavar="FILE", help="The network's int8 state, by `wavpool circuits quantize`."),
]
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of an experiment.", show_default=False)]


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
    chosen = ModelSpec(model, False, checkpoint, options.settings(model_kwargs or ()))
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
    learning_rate: Annotated[float, typer.Option(min=0, help="Of that training.")] = 0.001,
    seed: options.Seed = 0,
    model_kwargs: options.ModelKwargs = None,
    checkpoint: options.Checkpoint = None,
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
    chosen = ModelSpec(model, pretrained, checkpoint, options.settings(model_kwargs or ()))
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
        str, typer.Option(metavar="NAME", help="Memory whose verdict is printed; the file has all.")
    ] = "SRAM 8 KB",
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
def status(folder: Folder, runs: Annotated[int, typer.Option(min=1, help="Runs of each sub-experiment.")] = 30) -> None:
    """Which runs of an experiment are finished, and which are not; to go on, repeat `train` or `submit`."""
    from .circuit_runs import show_status

    show_status(folder, runs)


@app.command()
def merge(folder: Folder) -> None:
    """Move the runs of batches (--batches) together."""
    from .circuit_runs import merge_batches

    merge_batches(folder)


Weights = Annotated[
    Path | None,
    typer.Argument(metavar="WEIGHTS", help="int8 state of a network, by `wavpool circuits quantize`.",
                   show_default="none, which worst_case does not need"),
]  # fmt: skip
Env = Annotated[
    Path, typer.Option("-o", "--experiment-env", metavar="FOLDER", help="Folder of the results.", show_default=False)
]
Rows = Annotated[
    int | None, typer.Option("--rows", "--row-count", min=1, rich_help_panel=GRID, show_default="the experiment's")
]
Cols = Annotated[
    int | None, typer.Option("--cols", "--col-count", min=1, rich_help_panel=GRID, show_default="the experiment's")
]
Errors = Annotated[
    str,
    typer.Option("-e", "--mse-thresholds", metavar="NUMBERS", rich_help_panel=GRID, show_default="the experiment's",
                 help="Errors a weight that are good enough (root mean square), by commas; one sub-experiment each."),
]  # fmt: skip
Multiplex = Annotated[
    bool | None,
    typer.Option("--multiplex/--no-multiplex", rich_help_panel=GRID, show_default="the experiment's",
                 help="Look-up mode: one output a value instead of one a weight."),
]  # fmt: skip
Layers = Annotated[
    str, typer.Option("--layers", metavar="NAMES", rich_help_panel=GRID, show_default="the experiment's",
                      help="Convolutions, by commas: names, or numbers from 0.")
]  # fmt: skip
Reads = Annotated[
    str, typer.Option("--input-layer-names", metavar="NAMES", rich_help_panel=GRID, show_default="the experiment's",
                      help="Of layer_bypass and mobilenet: layers whose weights are stored.")
]  # fmt: skip
Computes = Annotated[
    str, typer.Option("--output-layer-names", metavar="NAMES", rich_help_panel=GRID, show_default="the experiment's",
                      help="Of layer_bypass and mobilenet: layers whose weights are computed.")
]  # fmt: skip
Count = Annotated[
    int | None, typer.Option("-n", "--count", min=1, rich_help_panel=GRID, show_default="the experiment's",
                             help="Kernels, or of mobilenet and chain stored weights, to take.")
]  # fmt: skip
Sizes = Annotated[
    str, typer.Option("--sizes", metavar="RxC", rich_help_panel=GRID, show_default="2x2,3x3,5x5,10x10",
                      help="Grids of grid_size and reversed_single_filter, by commas.")
]  # fmt: skip
Runs = Annotated[int, typer.Option("--runs", "--number-of-runs", min=1, help="Runs of each sub-experiment.")]
Children = Annotated[
    int | None,
    typer.Option("--children", min=1, rich_help_panel=SEARCH, show_default="1", help="Children a generation."),
]
Population = Annotated[
    int | None, typer.Option("--population-max", min=2, rich_help_panel=SEARCH, show_default=False,
                             help="The ancestor's word: twice the children.")
]  # fmt: skip
Mutation = Annotated[
    float | None, typer.Option("--mutation-max", min=0, max=1, rich_help_panel=SEARCH, show_default="0",
                               help="Largest share of genes mutated in a child; 0: until an active gene is.")
]  # fmt: skip
Patience = Annotated[
    int | None, typer.Option("--patience", min=0, rich_help_panel=SEARCH, show_default="the experiment's",
                             help="Generations without an improvement that end a phase.")
]  # fmt: skip
Generations = Annotated[
    int | None, typer.Option("--generations", "--generation-count", min=1, rich_help_panel=SEARCH,
                             show_default="unlimited", help="At most so many.")
]  # fmt: skip
Metric = Annotated[str, typer.Option("--e-fitness", metavar="NAME", rich_help_panel=SEARCH, help="se, mse or ae.")]
Drift = Annotated[bool, typer.Option("--drift/--no-drift", rich_help_panel=SEARCH, help="Accept ties in energy.")]
Costs = Annotated[
    Path | None, typer.Option("--gate-parameters", metavar="FILE", rich_help_panel=SEARCH, show_default="45 nm",
                              help="Table of operators' costs, JSON or five columns.")
]  # fmt: skip
Workers = Annotated[int, typer.Option(min=1, rich_help_panel=CLUSTER, help="Runs at a time.")]
BatchCount = Annotated[
    int, typer.Option("-b", "--batches", min=1, rich_help_panel=CLUSTER, help="Folders that runs are split over.")
]
Batch = Annotated[
    int | None, typer.Option("--batch", min=0, rich_help_panel=CLUSTER, show_default="all", help="Only this batch.")
]


Cluster = Annotated[str, typer.Option(rich_help_panel=CLUSTER, help="processes of this machine, dask, pbs or slurm.")]
ClusterOption = Annotated[
    list[str] | None,
    typer.Option("--cluster-option", metavar="KEY=VALUE", rich_help_panel=CLUSTER, show_default=False,
                 help="Of dask-jobqueue: queue, account, cores, memory, walltime, ...; may be given again."),
]  # fmt: skip
Address = Annotated[
    str | None, typer.Option("--scheduler", metavar="ADDRESS", rich_help_panel=CLUSTER, show_default=False,
                             help="A Dask scheduler that is there: tcp://host:port.")
]  # fmt: skip
DryRun = Annotated[
    bool, typer.Option("--dry-run", rich_help_panel=CLUSTER, help="Show the job script, and compute nothing.")
]


def _search_command(name: str, cluster_by_default: str) -> Callable[..., None]:
    """The `train` or `submit` command of an experiment."""

    def run(
        experiment_env: Env,
        weights: Weights = None,
        rows: Rows = None,
        cols: Cols = None,
        mse_thresholds: Errors = "",
        multiplex: Multiplex = None,
        layers: Layers = "",
        input_layer_names: Reads = "",
        output_layer_names: Computes = "",
        count: Count = None,
        sizes: Sizes = "",
        runs: Runs = 30,
        children: Children = None,
        population_max: Population = None,
        mutation_max: Mutation = None,
        patience: Patience = None,
        generations: Generations = None,
        e_fitness: Metric = "se",
        drift: Drift = True,
        gate_parameters: Costs = None,
        seed: options.Seed = 0,
        cluster: Cluster = cluster_by_default,
        workers: Workers = 1,
        cluster_option: ClusterOption = None,
        scheduler: Address = None,
        dry_run: DryRun = False,
        batches: BatchCount = 1,
        batch: Batch = None,
    ) -> None:
        from ..parallel import Place
        from .circuit_runs import Choice, run_experiment, show_script

        place = Place(cluster, workers, scheduler, options.settings(cluster_option or (), "--cluster-option"))
        if dry_run:
            show_script(place)
            return
        choice = Choice(
            rows, cols, mse_thresholds, multiplex, layers, input_layer_names, output_layer_names, count, sizes,
            children, population_max, mutation_max, patience, generations, e_fitness, drift, seed,
        )  # fmt: skip
        run_experiment(name, weights, experiment_env, choice, runs, gate_parameters, place, (batches, batch))

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


for _name, _help in EXPERIMENTS.items():
    _experiment = typer.Typer(name=_name, help=_help, no_args_is_help=True)
    _experiment.command("train", help="Search here; started again, it goes on.")(_search_command(_name, "processes"))
    _experiment.command(
        "submit", help="Search on a Dask cluster, or by batch jobs of PBS or Slurm; started again, it goes on."
    )(_search_command(_name, "dask"))
    _experiment.command("model-metrics")(_metrics_command)
    app.add_typer(_experiment, rich_help_panel="Experiments")
