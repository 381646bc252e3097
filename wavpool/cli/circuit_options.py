"""The experiments of `wavpool circuits`, and the options of their commands."""

from copy import copy
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from . import options

SEARCH, GRID, CLUSTER = "The search", "The problem", "Where to compute"
EXPERIMENTS = {  # experiment -> what it does, and which of OWN it takes; the catalogue has the functions
    "layer_bypass": (
        "All weights of a convolution from those of the one before.", "weights rows cols input_layers output_layers"
    ),
    "le_selector": ("All weights of some convolutions from constants alone.", "weights rows cols layers"),
    "all_layers": (
        "The ring of every kernel of two layers from its core, one circuit for both.", "weights rows cols layers"
    ),
    "mobilenet": (
        "All weights of a layer from its first 96; layer by layer.",
        "weights rows cols layers input_layers output_layers count",
    ),
    "single_channel": ("The rings of all kernels of a channel from their cores.", "weights rows cols layers count"),
    "single_filter": ("The ring of one kernel from its core.", "weights rows cols layers count"),
    "single_filter_zero_outter": (
        "A ring of zeros from the core, with and without a zero in the core.", "weights rows cols layers count"
    ),
    "reversed_single_filter": (
        "The core of a kernel from its ring, over grid sizes.", "weights layers count sizes"
    ),
    "grid_size": ("The ring of a kernel from its core, over grid sizes.", "weights layers count sizes"),
    "chain": (
        "Every convolution from the first weights of the one before: a whole network from stored seeds.",
        "weights rows cols layers count",
    ),
    "worst_case": ("All 256 values from 0 to 63: no network.", "rows cols"),
}  # fmt: skip
OWN = {  # options that not all experiments take -> what to give instead, where the experiment takes it
    "weights": (), "rows": ("sizes",), "cols": ("sizes",), "layers": ("input_layers", "output_layers"),
    "input_layers": ("layers",), "output_layers": ("layers",), "count": (), "sizes": ("rows", "cols"),
}  # fmt: skip
ANCESTORS = {  # its words -> ours, which help shows
    "row-count": "rows", "col-count": "cols", "number-of-runs": "runs", "generation-count": "generations",
    "input-layer-names": "input-layers", "output-layer-names": "output-layers",
}  # fmt: skip


def takes(experiment: str) -> set[str]:
    """Which of OWN an experiment takes."""
    return set(EXPERIMENTS[experiment][1].split())


def normal(word: str) -> str:
    """An option's name, the ancestor's word translated."""
    return ANCESTORS.get(word, word)


def hidden(annotation: Any) -> Any:
    """The type of an option that its command's help does not show."""
    kind, option = get_args(annotation)
    option = copy(option)
    option.hidden = True
    return Annotated[kind, option]


Data = Annotated[str, typer.Argument(metavar="DATA", help=f"Labelled data: {options.DATA_HELP}.", show_default=False)]
Int8 = Annotated[
    Path,
    typer.Option("--weights", metavar="FILE", help="The network's int8 state, by `wavpool circuits quantize`."),
]
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of an experiment.", show_default=False)]
Weights = Annotated[
    Path | None,
    typer.Argument(metavar="WEIGHTS", help="int8 state of a network, by `wavpool circuits quantize`.",
                   show_default=False),
]  # fmt: skip
Env = Annotated[
    Path, typer.Option("-o", "--experiment-env", metavar="FOLDER", help="Folder of the results.", show_default=False)
]
Rows = Annotated[
    int | None,
    typer.Option(
        "--rows", metavar="N", min=1, rich_help_panel=GRID, help="Of the grid.", show_default="the experiment's"
    ),
]
Cols = Annotated[
    int | None,
    typer.Option(
        "--cols", metavar="N", min=1, rich_help_panel=GRID, help="Of the grid.", show_default="the experiment's"
    ),
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
    str, typer.Option("--input-layers", metavar="NAMES", rich_help_panel=GRID, show_default="the experiment's",
                      help="Layers whose weights are stored.")
]  # fmt: skip
Computes = Annotated[
    str, typer.Option("--output-layers", metavar="NAMES", rich_help_panel=GRID, show_default="the experiment's",
                      help="Layers whose weights are computed.")
]  # fmt: skip
Count = Annotated[
    int | None, typer.Option("-n", "--count", metavar="N", min=1, rich_help_panel=GRID, show_default="the experiment's",
                             help="Kernels, or of mobilenet and chain stored weights, to take.")
]  # fmt: skip
Sizes = Annotated[
    str, typer.Option("--sizes", metavar="RxC", rich_help_panel=GRID, show_default="2x2,3x3,5x5,10x10",
                      help="Grids, by commas.")
]  # fmt: skip
Runs = Annotated[
    int | None, typer.Option("--runs", metavar="N", min=1, help="Runs of each sub-experiment.",
                             show_default="30, or as FOLDER was begun")
]  # fmt: skip
Children = Annotated[
    int | None,
    typer.Option(
        "--children", metavar="N", min=1, rich_help_panel=SEARCH, show_default="1", help="Children a generation."
    ),
]
Population = Annotated[
    int | None, typer.Option("--population-max", metavar="N", min=2, rich_help_panel=SEARCH, show_default=False,
                             help="The ancestor's word: twice the children.")
]  # fmt: skip
Mutation = Annotated[
    float | None, typer.Option("--mutation-max", metavar="SHARE", min=0, max=1, rich_help_panel=SEARCH,
                               show_default="0",
                               help="Largest share of genes mutated in a child; 0: until an active gene is.")
]  # fmt: skip
Patience = Annotated[
    int | None, typer.Option("--patience", metavar="N", min=0, rich_help_panel=SEARCH, show_default="the experiment's",
                             help="Generations without an improvement that end a phase.")
]  # fmt: skip
Generations = Annotated[
    int | None, typer.Option("--generations", metavar="N", min=1, rich_help_panel=SEARCH,
                             show_default="unlimited", help="At most so many.")
]  # fmt: skip
Metric = Annotated[str, typer.Option("--e-fitness", metavar="NAME", rich_help_panel=SEARCH, help="se, mse or ae.")]
Drift = Annotated[bool, typer.Option("--drift/--no-drift", rich_help_panel=SEARCH, help="Accept ties in energy.")]
Costs = Annotated[
    Path | None, typer.Option("--gate-parameters", metavar="FILE", rich_help_panel=SEARCH, show_default="45 nm",
                              help="Table of operators' costs, JSON or five columns.")
]  # fmt: skip
Workers = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", min=1, rich_help_panel=CLUSTER, show_default="1", help="Runs at a time."),
]
BatchCount = Annotated[
    int,
    typer.Option(
        "-b",
        "--batches",
        metavar="N",
        min=1,
        rich_help_panel=CLUSTER,
        help="Folders that runs are split over; `resume` joins them.",
    ),
]
Batch = Annotated[
    int | None,
    typer.Option("--batch", metavar="N", min=0, rich_help_panel=CLUSTER, show_default="all", help="Only this batch."),
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
