"""A run in MLflow, where one is asked for: its settings, every epoch, and what came of it."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import MLFlowLogger

from training.config import ConfigError, TrainConfig

TIMEOUT = 10.0  # seconds for a server to answer


def logger(config: TrainConfig) -> MLFlowLogger:
    """The logger of a run, named as its folder, in an experiment named as the data set.

    Raises:
        ConfigError: MLflow is not installed, or the server cannot be reached.
    """
    _reach(str(config.mlflow))
    try:
        made = MLFlowLogger(experiment_name=config.data, run_name=config.name, **_store(str(config.mlflow)))
        made.log_hyperparams(config.model_dump(mode="json"))
    except ModuleNotFoundError as error:
        raise ConfigError("--mlflow needs MLflow; pip install mlflow") from error
    except Exception as error:  # MLflow raises whatever its transport does
        raise ConfigError(f"MLflow at {config.mlflow} cannot be used: {str(error).splitlines()[0]}") from error
    return made


def _store(place: str) -> dict[str, Any]:
    """Where MLflow keeps runs: at a URI, or in a folder as a data base and files, since plain folders it refuses."""
    if ":" in place:
        return {"tracking_uri": place}
    folder = Path(place).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return {"tracking_uri": f"sqlite:///{folder / 'mlflow.db'}", "artifact_location": (folder / "artifacts").as_uri()}


def _reach(uri: str) -> None:
    """See that a server answers at all: MLflow itself would try again for minutes."""
    if not uri.startswith(("http://", "https://")):
        return
    try:
        urllib.request.urlopen(uri, timeout=TIMEOUT).close()
    except urllib.error.HTTPError:  # an answer, if only that one has to log in
        pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise ConfigError(
            f"MLflow at {uri} cannot be reached: {reason}; start the server, or mend the address"
        ) from None


def finish(trainer: pl.Trainer, metrics: Mapping[str, Any], folder: Path) -> None:
    """Log the numbers of the finished run, and its files."""
    for each in trainer.loggers:
        if isinstance(each, MLFlowLogger):
            numbers = {key: float(value) for key, value in metrics.items() if isinstance(value, int | float)}
            for split in ("train", "validation", "test"):
                scores = {key: value for key, value in metrics[split].items() if isinstance(value, int | float)}
                numbers |= {f"{split}_{key}": float(value) for key, value in scores.items()}
            each.log_metrics(numbers)
            for name in ("config.yaml", "metrics.json", "history.csv", "model.safetensors"):
                each.experiment.log_artifact(each.run_id, str(folder / name))
