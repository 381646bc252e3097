"""Package the weights of finished runs: ``python -m training.package_weights runs/wavpool_femto-cifar10-0 ...``.

Each run's weights become a file ``<model>.<tag>.safetensors`` and an entry of ``weights.json`` in
``wavpool/models/weights``. The file is evaluated on all official test images, as users load it, before it is kept.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from generators import Data, load_data
from training.cli import run_command
from training.config import CONFIGS, PLACE_KEYS, ConfigError, TrainConfig, load_config, read_yaml
from training.engine import load, loader_options
from training.evaluation import macs_and_activations, parameter_count, view_scores
from training.files import atomic, read_json, write_json
from training.report import read_metrics
from wavpool.models._weights import FOLDER, INDEX, pretrained_settings, weights_path

LIMIT = 8_000_000
"""Bytes that all packaged weights may take together."""
HALF_FROM = 200_000
"""Bytes from which the filters and matrices of a network are stored in float16."""

_EPILOG = f"""A run of the same model and tag replaces the packaged one. All weights together take at most
{LIMIT:,} bytes. Networks above {HALF_FROM:,} bytes are stored in float16, but for biases and normalisation."""


def read_run(folder: Path) -> tuple[TrainConfig, dict[str, Any]]:
    """The config and the metrics of a finished run.

    Raises:
        ConfigError: the folder holds no finished run.
    """
    if missing := [
        name for name in ("config.yaml", "metrics.json", "model.safetensors") if not (folder / name).exists()
    ]:
        raise ConfigError(f"{folder} holds no finished run: it lacks {', '.join(missing)}; give the --output of a run")
    return TrainConfig.checked(read_yaml(folder / "config.yaml")), read_metrics(folder)


def run_entry(folder: Path) -> dict[str, Any]:
    """The metadata of a run's weights that are known before they are stored and evaluated."""
    config, metrics = read_run(folder)
    data = load(config)
    statistics = {"mean": (0.0,) * data.in_chans, "std": (1.0,) * data.in_chans} | loader_options(config, data)
    return {
        "data": config.data,
        "split": config.split,
        "color": config.color,
        "class_names": list(data.class_names),
        "input_size": list(data.train.images.shape[1:]),
        "mean": list(statistics["mean"]),
        "std": list(statistics["std"]),
        "license": "mit",
        "epochs": metrics["epochs"],
        "seed": config.seed,
        "commit": metrics["provenance"]["commit"],
        "recipe": {
            "command": command_of(config),
            "config": {
                "model": config.model,
                "data": config.data,
                **config.model_dump(mode="json", exclude_defaults=True),
            },
        },
    }


def command_of(config: TrainConfig) -> str:
    """The shortest command that trains by ``config``, from the nearest file of ``training/configs``."""
    wanted = {key: value for key, value in config.model_dump(mode="json").items() if key not in PLACE_KEYS}
    chosen = {key: wanted[key] for key in ("model", "data", "seed")}

    def changes(path: Path) -> dict[str, Any]:
        given = load_config(path, chosen).model_dump(mode="json")
        return {key: value for key, value in wanted.items() if given[key] != value}

    path, settings = min(
        ((path, changes(path)) for path in sorted(CONFIGS.glob("*.yaml"))), key=lambda item: len(item[1])
    )
    flags = [part for key, value in (chosen | settings).items() for part in _flag(key, value)]
    return shlex.join(["python", "-m", "training.train_model", "--config", f"training/configs/{path.name}", *flags])


def _flag(key: str, value: Any) -> list[str]:
    name = key.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{'' if value else 'no-'}{name}"]
    if isinstance(value, dict):
        return [f"--{name}", *(f"{each}={json.dumps(setting)}" for each, setting in value.items())]
    values = value if isinstance(value, list) else ["none" if value is None else value]
    return [f"--{name}", *map(str, values)]


def stored(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they are packaged: filters and matrices in float16 where the network is large.

    Raises:
        ConfigError: a weight is not finite, or too large for float16.
    """
    size = sum(value.numel() * value.element_size() for value in weights.values())
    half = size >= HALF_FROM
    packed = {
        name: value.half() if half and value.dtype == torch.float32 and value.ndim > 1 else value
        for name, value in weights.items()
    }
    if bad := [name for name, value in packed.items() if not value.isfinite().all()]:
        raise ConfigError(f"the weights {bad[0]} are not finite as they would be stored; train the network again")
    return {name: value.contiguous() for name, value in packed.items()}


def packaged_model(name: str, entry: dict[str, Any], path: Path) -> nn.Module:
    """The network of a name with the weights of a file, as timm makes it for users.

    Raises:
        ConfigError: the weights do not fit the network as timm makes it.
    """
    try:
        model: nn.Module = timm.create_model(
            name.partition(".")[0], pretrained=True, pretrained_cfg_overlay=pretrained_settings(entry, path)
        )
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"the weights of {name} do not fit the model of that name ({reason}); train it again"
        ) from error
    return model.eval()


def official_data(entry: dict[str, Any], data_dir: str | None = None, download: bool = False) -> Data:
    """The data set of an entry, with the official test images."""
    split = "official" if entry["data"] != "digits" else "paper"
    return load_data(entry["data"], split, color=entry["color"], data_dir=data_dir, download=download)


def measured(name: str, entry: dict[str, Any], path: Path, data: Data) -> dict[str, Any]:
    """Scores and costs of the weights in a file: what an entry says of them."""
    model = packaged_model(name, {**entry, "accuracy": 0.0}, path)
    return {
        **view_scores(model, data.test, entry["data"], entry["mean"], entry["std"]),
        "test_images": len(data.test),
        "parameters": parameter_count(model),
        "macs": macs_and_activations(model, entry["input_size"])[0],
    }


def file_entry(content: bytes) -> dict[str, Any]:
    """Size and digest of a file."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def package(run: Path, folder: Path, tag: str | None = None) -> tuple[str, dict[str, Any]]:
    """Write the weights of a run and their entry; returns name and entry.

    Args:
        run: folder of the finished run.
        folder: of the packaged weights.
        tag: of the name; by default the data set.

    Raises:
        ConfigError: no finished run, weights that do not fit, or too many bytes together; nothing is changed.
    """
    config, _ = read_run(run)
    name = f"{config.model}.{tag or config.data}"
    try:
        content = save(stored(load_file(run / "model.safetensors")))
    except SafetensorError as error:
        raise ConfigError(f"{run / 'model.safetensors'} cannot be read ({error}); train the network again") from error
    index: dict[str, Any] = read_json(folder / INDEX) if (folder / INDEX).exists() else {}
    _check_total(name, len(content), index)
    entry = file_entry(content) | run_entry(run)
    with atomic(weights_path(name, folder)) as temporary:
        temporary.write_bytes(content)
        entry |= measured(name, entry, temporary, official_data(entry, config.data_dir, config.download))
    write_json(folder / INDEX, dict(sorted((index | {name: entry}).items())))
    return name, entry


def _check_total(name: str, size: int, index: dict[str, Any]) -> None:
    total = size + sum(entry["bytes"] for each, entry in index.items() if each != name)
    if total > LIMIT:
        raise ConfigError(
            f"with {name} ({size:,} bytes) the packaged weights would take {total:,} bytes, at most {LIMIT:,} are "
            "allowed; remove others first, file and entry"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; exits 0, or 2 after a user's mistake."""
    parser = argparse.ArgumentParser(prog="python -m training.package_weights", description=__doc__, epilog=_EPILOG)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument("--tag", help="tag of the weights' names [the data set]")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to write [wavpool/models/weights]")
    options = parser.parse_args(arguments)

    def command() -> None:
        for run in options.runs:
            name, entry = package(run, options.folder, options.tag)
            mirrored = entry["accuracy_mirrored"]
            views = "" if mirrored is None else f", with mirrored views {mirrored:.4f}"
            print(f"{name}: accuracy {entry['accuracy']:.4f}{views}, {entry['bytes']:,} bytes", flush=True)

    run_command(command, lambda: "run the command again")


if __name__ == "__main__":
    main()
