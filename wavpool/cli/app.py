"""The commands; each imports what it needs when it runs, so that `wavpool --help` is quick."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from .. import __version__
from . import circuits, options

app = typer.Typer(
    name="wavpool",
    help="Trained networks in small files, and how much of them one can take away.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


app.add_typer(circuits.app)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"wavpool {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


@app.command(
    help="Write a trained model to a small file.\n\n"
    "How small is said by one of --max-drop, --max-bytes and --step. With --calibration, some thousand inputs of the "
    "kind that the model will see (labels are not looked at), files are about half as large.",
    epilog="[bold]Examples[/bold]\n\n"
    "wavpool compress resnet18 -o resnet18.wvp --step 1\n\n"
    "wavpool compress weights.safetensors -o small.wvp --max-bytes 60KB\n\n"
    "wavpool compress nets:resnet20 -o resnet20.wvp --max-drop 0.5 --calibration nets:cifar_train "
    "[dim](nets.py: see docs/codec.md)[/dim]",
)
def compress(
    model: options.Model,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The .wvp file to write.")],
    max_drop: Annotated[
        float | None,
        typer.Option(metavar="POINTS", help="Points of accuracy that may be lost, above 0.", show_default=False),
    ] = None,
    max_bytes: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Bytes that the file may have: 60000, 60KB, ...", show_default=False),
    ] = None,
    step: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="Strength, above 0; a larger one gives a smaller file. 0.3 to 0.7 is usual with calibration; "
            "1 is strong.",
            show_default=False,
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(metavar="DATA", help=f"What to calibrate on: {options.DATA_HELP}.", show_default=False),
    ] = None,
    validation: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="What --max-drop is kept on, with labels or without.",
            show_default="the calibration data, without labels",
        ),
    ] = None,
    basis: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="auto (measured layer by layer), none, dct, dst, dft, haar, db2, ...; "
            "@map:CxHxW is for networks whose every layer it fits.",
        ),
    ] = "auto",
    levels: Annotated[
        int | None, typer.Option(min=0, help="Levels of a wavelet basis.", show_default="as many as fit")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="How weights are quantised.", show_default="calibrated with data, else uniform"
        ),
    ] = None,
    finetune: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="EPOCHS",
            help="Train the integers on the calibration data, unlabelled, at every strength that is tried; "
            "it pays with most of the training data (--calibration-limit).",
        ),
    ] = 0,
    profile: Annotated[
        options.Profile, typer.Option(help="small: fewest bytes; fast: quicker; huffman and raw: to compare with.")
    ] = options.Profile.small,
    seed: options.Seed = 0,
    pretrained: options.Pretrained = True,
    checkpoint: options.Checkpoint = None,
    ema: options.Ema = True,
    model_kwargs: options.ModelKwargs = None,
    app_dir: options.AppDir = Path(),
    device: options.Device = "auto",
    calibration_split: options.CalibrationSplit = "train",
    split: options.Split = "validation",
    data_dir: options.DataDir = None,
    download: options.Download = False,
    batch_size: options.BatchSize = 64,
    calibration_limit: options.CalibrationLimit = 1024,
    limit: options.Limit = None,
    loader_workers: options.LoaderWorkers = 0,
) -> None:
    """Write a trained model to a small file."""
    from ..evaluation.specs import DataSpec, ModelSpec
    from .commands import compress_model

    options.import_from(app_dir)
    kwargs = options.settings(model_kwargs or ())
    named = ModelSpec(model, pretrained, checkpoint, kwargs, options.chosen_device(device), seed, ema)
    data = DataSpec("", calibration_split, data_dir, download, batch_size, calibration_limit, loader_workers)
    compress_model(
        named,
        output,
        {"max_drop": max_drop, "max_bytes": None if max_bytes is None else options.size(max_bytes), "step": step},
        calibration=None if calibration is None else replace(data, name=calibration),
        validation=None if validation is None else replace(data, name=validation, split=split, limit=limit),
        method=method,
        finetune=finetune,
        basis=basis,
        levels=levels,
        profile=profile.value,
        seed=seed,
    )


File = Annotated[Path, typer.Argument(metavar="FILE", help="A .wvp file.", show_default=False)]


@app.command(epilog="[bold]Example[/bold]\n\nwavpool decompress resnet18.wvp -o resnet18.safetensors")
def decompress(
    file: File,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The state dict to write: .safetensors or .pth.")
    ],
) -> None:
    """Write the weights of a .wvp file as an ordinary state dict.

    BatchNorm is folded: call .eval() on the model that they are put into, and do not put it in training mode.
    """
    from .commands import decompress_file

    decompress_file(file, output)


@app.command(
    epilog="[bold]Examples[/bold]\n\nwavpool info resnet18.wvp\n\nwavpool info resnet18.wvp --json | jq .totals"
)
def info(
    file: File, as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False
) -> None:
    """Show what is in a .wvp file: of each tensor its shape, basis, level, bits a weight, zeros and bytes."""
    from .info import show

    show(file, as_json)


@app.command(
    epilog="[bold]Examples[/bold]\n\n"
    "wavpool sweep resnet18 photos/ -o sweeps/resnet18 [dim](photos/: a folder of images for each class)[/dim]\n\n"
    "wavpool sweep nets:resnet20 nets:cifar_test --calibration nets:cifar_train "
    "--methods calibrated,uniform,magnitude,kmeans --workers 2 -o sweeps/resnet20 "
    "[dim](nets.py: see docs/codec.md)[/dim]",
)
def sweep(
    model: options.Model,
    data: Annotated[
        str, typer.Argument(metavar="DATA", help=f"What to measure on: {options.DATA_HELP}.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder of the results.")],
    methods: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Methods, by commas.", show_default="all that the data allow")
    ] = None,
    strengths: Annotated[
        str, typer.Option(metavar="NUMBERS", help="Strengths, by commas; larger ones give smaller files.")
    ] = "0.25,0.5,1,2,4",
    bases: Annotated[
        str, typer.Option("--basis", metavar="NAMES", help="Bases, by commas: auto, none, dct, haar, ...")
    ] = "auto",
    seeds: Annotated[str, typer.Option("--seed", metavar="NUMBERS", help="Seeds, by commas.")] = "0",
    calibration: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="What to calibrate on; not what is measured on.", show_default=False),
    ] = None,
    cliff: Annotated[
        bool, typer.Option(help="Search each method for the smallest files within 0.5, 1 and 5 points, and the knee.")
    ] = True,
    workers: Annotated[int, typer.Option(min=1, help="Processes; timings are fair only with one.")] = 1,
    profile: Annotated[
        options.Profile, typer.Option(help="small: fewest bytes; fast: quicker; huffman and raw: to compare with.")
    ] = options.Profile.small,
    pretrained: options.Pretrained = True,
    checkpoint: options.Checkpoint = None,
    ema: options.Ema = True,
    model_kwargs: options.ModelKwargs = None,
    app_dir: options.AppDir = Path(),
    device: options.Device = "auto",
    split: options.Split = "validation",
    calibration_split: options.CalibrationSplit = "train",
    calibration_limit: options.CalibrationLimit = 1024,
    data_dir: options.DataDir = None,
    download: options.Download = False,
    batch_size: options.BatchSize = 64,
    limit: options.Limit = None,
    loader_workers: options.LoaderWorkers = 0,
) -> None:
    """Measure methods and strengths on a model and a data set, and find where each breaks.

    What is finished stays: started again, the command measures only what is missing. The compressed files are deleted
    once they are measured; make the one you want with wavpool compress --step STRENGTH and the same options.
    """
    from ..evaluation.specs import DataSpec, ModelSpec
    from .sweeping import Choice, run_sweep

    options.import_from(app_dir)
    kwargs = options.settings(model_kwargs or ())
    measured = DataSpec(data, split, data_dir, download, batch_size, limit, loader_workers)
    run_sweep(
        output,
        ModelSpec(model, pretrained, checkpoint, kwargs, options.chosen_device(device), ema=ema),
        measured,
        None if calibration is None
        else replace(measured, name=calibration, split=calibration_split, limit=calibration_limit),
        Choice(methods, bases, seeds, strengths),
        profile.value,
        cliff=cliff,
        workers=workers,
    )  # fmt: skip


@app.command(epilog="[bold]Example[/bold]\n\nwavpool report sweeps/resnet20")
def report(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of a sweep.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FOLDER", help="Where to write.", show_default="FOLDER")
    ] = None,
) -> None:
    """Draw a sweep: accuracy and loss against size, and each layer's bytes, as PNG and one interactive HTML page."""
    from ..codec.report import write_report
    from .commands import check_folder
    from .progress import say

    if output is not None:
        check_folder(output, output)
    for path in write_report(folder, output or folder):
        say(str(path))
