"""The record of a run: weights, metrics with their provenance, history and figures."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import wavpool
from generators import Data
from training import plots
from training.callbacks import Recorder
from training.config import TrainConfig
from training.files import read_json, write_csv, write_json, write_with
from training.metrics import classification_metrics
from training.networks import inference_ms

_PACKAGES = ("torch", "torchvision", "timm", "lightning", "torchmetrics", "numpy", "wavpool")


def write_report(
    folder: Path,
    config: TrainConfig,
    data: Data,
    model: nn.Module,
    recorder: Recorder,
    images: Tensor,
    predictions: Mapping[str, tuple[Tensor, Tensor]],
    cost: Mapping[str, float],
) -> dict[str, Any]:
    """Write the files of a finished run to ``folder``, ``metrics.json`` last, and return its content.

    Args:
        folder: of the run.
        config: of the run.
        data: it was trained on.
        model: with the selected weights, in eval mode.
        recorder: its history and best epoch.
        images: ``(N, C, H, W)`` training images as the model takes them, to find its live parameters with and to time.
        predictions: logits and labels of ``train``, ``validation`` and ``test``.
        cost: what the run took so far, for the provenance.
    """
    history = recorder.history
    first = next(model.parameters())
    report = wavpool.inspect(model, images.shape[1:], images)
    metrics: dict[str, Any] = {name: classification_metrics(*each) for name, each in predictions.items()}
    metrics |= {
        "best_epoch": recorder.best_epoch,
        "best_validation_accuracy": recorder.best_accuracy,
        "last_validation_accuracy": history[-1]["validation_accuracy"],
        "select": config.select,
        "epochs": len(history),
        "stopped_early": len(history) < config.epochs,
        "diverged": recorder.diverged,
        "train_seconds": sum(row["seconds"] for row in history),
        "inference_ms": inference_ms(model, images[:1].to(first.device, first.dtype)),
        "flops": report.flops,
        "parameters": report.total,
        "live_parameters": report.live,
        "unreachable_parameters": sum(part.unreachable for part in report.parts),
        "class_names": list(data.class_names),
        "provenance": provenance(config, cost),
    }
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    header = {"model": config.model, "data": config.data, "config": config.model_dump_json()}
    write_with(folder / "model.safetensors", lambda path: save_file(weights, path, header))
    metrics["bytes"] = (folder / "model.safetensors").stat().st_size
    write_csv(folder / "history.csv", history)
    plots.history(history, folder / "history.png", title=f"{config.model} on {data.name}")
    test_logits, test_labels = predictions["test"]
    plots.confusion(metrics["test"]["confusion"], data.class_names, folder / "confusion.png")
    plots.roc(test_logits, test_labels, data.class_names, folder / "roc.png")
    write_json(folder / "metrics.json", metrics)
    return read_metrics(folder)


def read_metrics(folder: str | Path) -> dict[str, Any]:
    """The content of a finished run's ``metrics.json``."""
    content: dict[str, Any] = read_json(Path(folder) / "metrics.json")
    return content


def provenance(config: TrainConfig, cost: Mapping[str, float]) -> dict[str, Any]:
    """Commit, versions, seed, config, machine and cost of a run."""
    scale = 1024 if sys.platform != "darwin" else 1024**2  # ru_maxrss is KiB on Linux, bytes on macOS
    return {
        **origin(),
        "seed": config.seed,
        "config_hash": config.hash,
        "config": config.model_dump(mode="json"),
        "cost": {**cost, **_gpu_memory(), "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale},
    }


def origin() -> dict[str, Any]:
    """Commit, time, versions and machine of a result."""
    return {
        "commit": commit(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in _PACKAGES},
        "machine": {
            "platform": platform.platform(),
            "processor": processor(),
            "cpus": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
    }


def _gpu_memory() -> dict[str, float]:
    return {"peak_gpu_mb": torch.cuda.max_memory_allocated() / 2**20} if torch.cuda.is_available() else {}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """The checkout's commit, with ``+changes`` where files differ from it; None outside a repository."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = subprocess.run(
            [*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+changes" if changes else "")


def processor() -> str:
    """Name of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
