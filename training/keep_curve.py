"""How few coefficients a trained network needs: ``python -m training.keep_curve RUN``.

Projects the weights of a finished dense run onto fewer and fewer coefficients of each transform, tests each network,
and once more after some epochs of fine-tuning; writes a CSV, a table and a figure.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from generators import BatchLoader, Data
from generators.errors import UserError
from training.config import ConfigError, TrainConfig, read_yaml
from training.engine import load, loader_options, predict
from training.files import write_csv, write_text, write_with
from training.networks import build_model
from training.tables import markdown_table
from wavpool.layers import convert

OUTPUT = Path(__file__).parents[1] / "results" / "spectral"
KEEPS = (1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125)
KERNELS = ("identity", "dct", "haar")
RATE = 1e-3


def curve(run: Path, kernels: Sequence[str], select: str, epochs: int) -> Iterator[dict[str, Any]]:
    """Rows of all transforms and shares.

    Args:
        run: folder of a finished dense run.
        kernels: transforms; ``identity`` keeps weights themselves.
        select: which coefficients, see :class:`wavpool.layers.SpectralLinear`.
        epochs: of fine-tuning; 0 for none.

    Raises:
        ConfigError: the folder holds no finished run, or one of spectral layers.
    """
    config = TrainConfig.checked(read_yaml(run / "config.yaml"))
    if config.kernel is not None or not (run / "model.safetensors").exists():
        raise ConfigError(f"{run} holds no finished run of a dense network; train one without --kernel")
    data = load(config)
    dense = build_model(config, data)
    dense.load_state_dict(load_file(run / "model.safetensors"))
    options = loader_options(config, data)  # counts all training pixels, so once
    for kernel in kernels:
        for keep in KEEPS:
            model = convert(dense, kernel, keep=keep, select=select)
            row = {"model": config.model, "data": config.data, "transform": kernel, "select": select, "keep": keep}
            row["parameters"] = sum(parameter.numel() for parameter in model.parameters())
            row["projected"] = _accuracy(model, config, data, options)
            if epochs:
                _finetune(model, config, data, options, epochs)
            row["finetuned"] = _accuracy(model, config, data, options) if epochs else None
            yield row


def _accuracy(model: nn.Module, config: TrainConfig, data: Data, options: dict[str, Any]) -> float:
    logits, labels = predict(model, data.test, config.eval_batch_size, **options)
    return float((logits.argmax(1) == labels).double().mean())


def _finetune(model: nn.Module, config: TrainConfig, data: Data, options: dict[str, Any], epochs: int) -> None:
    torch.manual_seed(config.seed)
    loader = BatchLoader(data.train, config.batch_size, shuffle=True, seed=config.seed, drop_last=True, **options)
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader))
    model.train()
    for epoch in range(epochs):
        loader.set_epoch(epoch)
        for images, labels in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()
            schedule.step()


def document(rows: Sequence[dict[str, Any]]) -> str:
    """One line a share, two columns a transform: projected, and fine-tuned."""
    kernels = list(dict.fromkeys(row["transform"] for row in rows))
    cells = {(row["transform"], row["keep"]): row for row in rows}
    head = ["keep", "(parameters)"]
    for kernel in kernels:
        head += [f"({kernel})", "(fine-tuned)"]
    lines = []
    for keep in dict.fromkeys(row["keep"] for row in rows):
        line = [f"{keep:g}", f"{cells[kernels[0], keep]['parameters']:,}"]
        for kernel in kernels:
            values = (cells[kernel, keep][part] for part in ("projected", "finetuned"))
            line += ["–" if value is None else f"{value:.4f}" for value in values]
        lines.append(line)
    return markdown_table(head, lines)


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Accuracy against the share kept: dashed as projected, solid once fine-tuned."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for color, kernel in enumerate(dict.fromkeys(row["transform"] for row in rows)):
        own = [row for row in rows if row["transform"] == kernel]
        for part, style in (("projected", "--"), ("finetuned", "-")):
            if own[0][part] is not None:
                label = f"{kernel}, {'projected' if part == 'projected' else 'fine-tuned'}"
                values = [row[part] for row in own]
                axes.plot([row["keep"] for row in own], values, style, color=f"C{color}", marker="o", label=label)
    axes.set_xscale("log", base=2)
    axes.set_xlabel("share of the coefficients kept")
    axes.set_ylabel("test accuracy")
    axes.set_title(f"{rows[0]['model']} on {rows[0]['data']}: {rows[0]['select']} coefficients of trained weights")
    axes.grid(alpha=0.3)
    axes.legend()
    write_with(path, lambda temporary: figure.savefig(temporary, format="png", dpi=150))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.keep_curve", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished dense run of training.train_model")
    parser.add_argument("--kernels", nargs="+", default=list(KERNELS), help=f"transforms [{' '.join(KERNELS)}]")
    parser.add_argument("--select", default="largest", choices=["low", "largest", "learned"], help="[largest]")
    parser.add_argument("--epochs", type=int, default=1, help="of fine-tuning [1]")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of keep.csv, keep.md and keep.png")
    options = parser.parse_args(arguments)
    rows = []
    try:
        for row in curve(options.run, options.kernels, options.select, options.epochs):
            print(*row.values(), flush=True)
            rows.append(row)
    except (UserError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    write_csv(options.output / "keep.csv", rows)
    write_text(options.output / "keep.md", document(rows))
    draw(rows, options.output / "keep.png")


if __name__ == "__main__":
    main()
