"""Train one model by a config, resumably, and write down all that came of it."""

from __future__ import annotations

import importlib.util
import logging
import resource
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from torch import Tensor, nn

from generators import Augment, BatchLoader, Data, Split, load_data
from generators.augment import named_augment
from training import tracking
from training.allocator import keep_freed_memory
from training.callbacks import LAST, EpochBar, Recorder, TimedCheckpoint
from training.config import PLACE_KEYS, ConfigError, TrainConfig, read_yaml
from training.files import write_yaml
from training.module import Classifier, EpochBatches
from training.networks import build_model, build_optimizer, check_names
from training.report import read_metrics, write_report

_NOISE = (
    r".*does not have many workers.*",
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated.*",
    r".*Checkpoint directory .* exists and is not empty.*",
    r".*Experiment logs directory .* exists and is not empty.*",
    r".*you defined a `validation_step` but have no.*",
    r".*available but not used.*",
    r".*`srun` command is available.*",
    r".*`lr_scheduler\.step\(\)` before `optimizer\.step\(\)`.*",
    r".*The epoch parameter in `scheduler\.step\(\)`.*",
    r".*resource_tracker.*",
)


@dataclass
class Outcome:
    """What training gave: the model with the selected weights, and its history."""

    model: nn.Module
    recorder: Recorder
    trainer: pl.Trainer

    @property
    def history(self) -> list[dict[str, float]]:
        """One row an epoch, with the columns of ``history.csv``."""
        return self.recorder.history


def load(config: TrainConfig) -> Data:
    """Check the names of ``config`` and load its data; raises ConfigError or DataError."""
    check_names(config)
    options = {key: getattr(config, key) for key in ("split", "color", "data_dir", "download", "limit")}
    return load_data(config.data, **options, seed=config.split_seed)


def loader_options(config: TrainConfig, data: Data) -> dict[str, Any]:
    """Normalisation and size of the images, which training and evaluation share."""
    options: dict[str, Any] = {"image_size": config.image_size}
    if config.normalize:
        options["mean"], options["std"] = data.train.mean_std()
    return options


def _augment(config: TrainConfig, data: Data) -> Augment | None:
    if config.augment is None:
        return None
    augment = named_augment(config.augment, data.img_size)
    return augment if config.augment_pad is None or not augment.pad else replace(augment, pad=config.augment_pad)


def train(
    config: TrainConfig,
    data: Data,
    output: Path | None = None,
    resume: bool = False,
    progress: bool | pl.Callback = False,
) -> Outcome:
    """Train, with checkpoints and logs in ``output`` where it is given.

    Args:
        config: the run.
        data: its data, from :func:`load`.
        output: folder of ``last.ckpt``, ``history.csv`` and logs; None writes nothing.
        resume: go on from ``output/last.ckpt`` where that exists.
        progress: show a bar over the epochs on a terminal, or a callback that shows something else.

    Raises:
        ConfigError: where model, optimiser, devices or strategy cannot be set up.
        KeyboardInterrupt: on Ctrl-C.
    """
    keep_freed_memory()
    model = build_model(config, data)
    build_optimizer(config, model)  # a bad setting is found here, before any work
    if config.compile:
        model.compile()
    recorder = Recorder(config.select == "best", config.early_stopping == "paper")
    callbacks: list[pl.Callback] = [recorder]
    if config.early_stopping == "patience":
        callbacks.append(EarlyStopping("validation_loss", patience=config.patience, check_finite=False))
    if config.ema is not None:
        callbacks.append(EMAWeightAveraging(decay=config.ema))
    if progress:
        callbacks.append(EpochBar(recorder, config.name) if progress is True else progress)
    if output is not None:
        callbacks.append(TimedCheckpoint(output, config.checkpoint_seconds, recorder))
    with _quiet():
        trainer = _trainer(config, callbacks, output)
        if config.batch_size % trainer.world_size:
            raise ConfigError(
                f"batch_size {config.batch_size} must be a multiple of the {trainer.world_size} processes"
            )
        module = Classifier(model, config, data.num_classes)
        if output is not None and trainer.is_global_zero:
            _begin(output, config, resume)
        _fit(trainer, module, config, data, output / LAST if output is not None and resume else None)
    if recorder.best_weights:
        model.load_state_dict(recorder.best_weights)
    return Outcome(model.eval(), recorder, trainer)


def _fit(trainer: pl.Trainer, module: Classifier, config: TrainConfig, data: Data, checkpoint: Path | None) -> None:
    shared = loader_options(config, data)
    processes = trainer.world_size

    def training(device: torch.device) -> BatchLoader:
        return BatchLoader(
            data.train,
            config.batch_size // processes,
            shuffle=config.shuffle,
            seed=config.seed,
            augment=_augment(config, data),
            device=device,
            num_replicas=processes,
            rank=trainer.global_rank,
            **shared,
        )

    def validation(device: torch.device) -> BatchLoader:
        # cut here, not by the loader, which would repeat images to give all processes equally many
        part = slice(trainer.global_rank, None, processes)
        split = Split(data.validation.images[part], data.validation.labels[part])
        return BatchLoader(split, config.eval_batch_size, device=device, **shared)

    with _interruptible(trainer), _single_images_told(config):
        trainer.fit(
            module,
            EpochBatches(trainer, training, config.seed),
            EpochBatches(trainer, validation),
            ckpt_path=checkpoint if checkpoint is not None and checkpoint.exists() else None,
            weights_only=True,
        )


def _trainer(config: TrainConfig, callbacks: list[pl.Callback], output: Path | None) -> pl.Trainer:
    loggers: list[Logger] = []
    if output is not None:
        loggers.append(CSVLogger(output, name="logs", flush_logs_every_n_steps=1))
        if importlib.util.find_spec("tensorboard"):
            loggers.append(TensorBoardLogger(str(output), name="tensorboard"))
    if config.mlflow is not None:
        loggers.append(tracking.logger(config))
    try:
        return pl.Trainer(
            max_epochs=config.epochs,
            accelerator=config.accelerator,
            devices=config.devices,
            strategy=config.strategy,
            num_nodes=config.num_nodes,
            precision=config.precision,
            gradient_clip_val=config.grad_clip,
            deterministic=config.deterministic,
            callbacks=callbacks,
            logger=loggers,
            log_every_n_steps=1,
            num_sanity_val_steps=0,
            enable_checkpointing=output is not None,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (MisconfigurationException, ValueError, RuntimeError, ImportError) as error:
        raise ConfigError(f"devices cannot be set up: {str(error).splitlines()[0]}") from error


@contextmanager
def _interruptible(trainer: pl.Trainer) -> Iterator[None]:
    """Turn Lightning's exit after Ctrl-C back into the KeyboardInterrupt that it was, and hear the next one again."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        if trainer.interrupted:
            raise KeyboardInterrupt from None
        raise
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


@contextmanager
def _single_images_told(config: TrainConfig) -> Iterator[None]:
    """Name the setting where batch normalisation meets a batch of one image."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ConfigError(
            f"batch_size {config.batch_size} makes a batch of a single image, on which model '{config.model}' with its "
            "batch normalisation cannot train; choose another batch_size"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Lightning's remarks on devices and on things that are meant."""
    logger = logging.getLogger("lightning.pytorch")
    rank_zero = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    levels = logger.level, rank_zero.level
    with warnings.catch_warnings():
        for message in _NOISE:
            warnings.filterwarnings("ignore", message=message)
        logger.setLevel(logging.WARNING)
        rank_zero.setLevel(logging.WARNING)
        try:
            yield
        finally:
            logger.setLevel(levels[0])
            rank_zero.setLevel(levels[1])


@torch.inference_mode()
def predict(model: nn.Module, split: Split, batch_size: int, **options: Any) -> tuple[Tensor, Tensor]:
    """Logits ``(N, num_classes)`` float32 and labels ``(N,)`` of a split, on the CPU; the model is put in eval mode."""
    device = next(model.parameters()).device
    dtype = next(model.parameters()).dtype
    model.eval()
    batches = BatchLoader(split, batch_size, device=device, **options)
    logits = [model(images.to(dtype)).float().cpu() for images, _ in batches]
    return torch.cat(logits), split.labels.cpu()


def fit(
    config: TrainConfig,
    output: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool | pl.Callback = True,
) -> dict[str, Any]:
    """Train by ``config``; write ``model.safetensors``, ``metrics.json``, ``history.csv``, ``config.yaml``, figures.

    Args:
        config: the run.
        output: its folder.
        resume: go on from the last checkpoint, or return the stored metrics of a finished run.
        overwrite: start afresh in a folder that holds a run.
        progress: show a bar over the epochs on a terminal, or a callback that shows something else.

    Returns:
        The content of ``metrics.json``.

    Raises:
        ConfigError: a bad name or setting, or a folder that holds another run.
        generators.DataError: absent or broken data.
        KeyboardInterrupt: on Ctrl-C; what is in ``output`` can be resumed.
    """
    clock = time.perf_counter(), _cpu_seconds()
    folder = Path(output)
    data = load(config)
    finished = finished_run(folder, config, resume, overwrite)
    if finished is not None:
        return finished
    outcome = train(config, data, folder, resume, progress)
    if not outcome.trainer.is_global_zero:
        return {}
    if outcome.recorder.diverged:
        print(
            f"warning: the loss is not finite after epoch {len(outcome.history)}; a lower lr may help",
            file=sys.stderr,
        )
    options = loader_options(config, data)
    images, _ = next(iter(BatchLoader(data.train, 512, **options)))
    predictions = {
        name: predict(outcome.model, getattr(data, name), config.eval_batch_size, **options)
        for name in ("train", "validation", "test")
    }
    cost = {"wall_seconds": time.perf_counter() - clock[0], "cpu_seconds": _cpu_seconds() - clock[1]}
    metrics = write_report(folder, config, data, outcome.model, outcome.recorder, images, predictions, cost)
    tracking.finish(outcome.trainer, metrics, folder)
    return metrics


def finished_run(folder: Path, config: TrainConfig, resume: bool, overwrite: bool) -> dict[str, Any] | None:
    """The metrics of a finished run that is resumed, else None; writes nothing.

    Raises:
        ConfigError: where the folder holds a run and neither flag was given, or a run of another config is resumed.
    """
    if overwrite or not any((folder / name).exists() for name in (LAST, "metrics.json")):
        return None
    if not resume:
        raise ConfigError(f"{folder} already holds a run; add --resume to go on, --overwrite, or another --output")
    old, new = TrainConfig.checked(read_yaml(folder / "config.yaml")).model_dump(), config.model_dump()
    if changed := [key for key in new if old[key] != new[key] and key not in PLACE_KEYS]:
        raise ConfigError(
            f"{folder} holds a run with other settings ({', '.join(changed)}), which cannot be resumed; "
            "use another --output, or --overwrite to start afresh"
        )
    return read_metrics(folder) if (folder / "metrics.json").exists() else None


def _begin(folder: Path, config: TrainConfig, resume: bool) -> None:
    if not resume:
        for name in (LAST, "metrics.json", "model.safetensors", "history.csv"):
            (folder / name).unlink(missing_ok=True)
    write_yaml(folder / "config.yaml", config.model_dump(mode="json"))


def _cpu_seconds() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in usage)
