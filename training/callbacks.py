"""What happens at the end of an epoch: the history, the paper's early stopping, checkpoints, the progress bar."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint
from tqdm import tqdm

from training.files import atomic, write_csv
from training.module import Classifier

LAST = "last.ckpt"
_SHOWN = ("train_loss", "validation_loss", "validation_accuracy")


def paper_stops(validation_losses: Sequence[float], tolerance: int = 5, start: int = 5) -> bool:
    """Whether the paper's rule stops after these epochs: ``tolerance`` increases, from epoch ``start`` on.

    The increases need not be consecutive. Epochs count from 0: the first that counts is that from epoch 4 to epoch 5.
    """
    pairs = zip(validation_losses[start - 1 :], validation_losses[start:], strict=False)
    return sum(before < after for before, after in pairs) >= tolerance


class Recorder(Callback):
    """Keeps one row a finished epoch, the best weights where they are wanted, and stops by the paper's rule.

    Stands before a weight-averaging callback in the trainer's list, so that it sees the averaged weights.
    """

    def __init__(self, keep_best: bool, paper_stopping: bool) -> None:
        self.keep_best, self.paper_stopping = keep_best, paper_stopping
        self.history: list[dict[str, float]] = []
        self.best_epoch, self.best_accuracy = -1, -1.0
        self.best_weights: dict[str, torch.Tensor] = {}
        self._start = 0.0

    @property
    def diverged(self) -> bool:
        """Whether a loss was not finite."""
        return any(not math.isfinite(row["train_loss"] + row["validation_loss"]) for row in self.history[-1:])

    def on_train_epoch_start(self, trainer: pl.Trainer, module: Classifier) -> None:  # type: ignore[override]
        """Start the epoch's clock."""
        self._start = time.perf_counter()

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: Classifier) -> None:  # type: ignore[override]
        """Add the epoch's row, log it, and decide whether it is the best or the last."""
        metrics = module.validation_metrics.compute()
        module.validation_metrics.reset()
        train_loss, train_accuracy = module.training_means()
        row = {
            "epoch": trainer.current_epoch,
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            **{f"validation_{key}": metrics[key] for key in ("loss", "accuracy", "roc_auc", "f1_macro")},
            "seconds": time.perf_counter() - self._start,
            "lr": module.epoch_lr,
        }
        self.history.append(row)
        module.log_dict({key: value for key, value in row.items() if key != "epoch"}, batch_size=1)
        if metrics["accuracy"] > self.best_accuracy:
            self.best_epoch, self.best_accuracy = trainer.current_epoch, metrics["accuracy"]
            if self.keep_best:
                self.best_weights = {key: value.detach().clone() for key, value in module.model.state_dict().items()}
        losses = [past["validation_loss"] for past in self.history]
        if self.diverged or (self.paper_stopping and paper_stops(losses)):
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs."""
        return {key: getattr(self, key) for key in ("history", "best_epoch", "best_accuracy", "best_weights")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave."""
        for key, value in state_dict.items():
            setattr(self, key, value)


class TimedCheckpoint(Checkpoint):
    """Writes ``last.ckpt`` and ``history.csv`` at an epoch's end, at most every ``seconds`` and when training ends."""

    def __init__(self, folder: Path, seconds: float, recorder: Recorder) -> None:
        self.folder, self.seconds, self.recorder = folder, seconds, recorder
        self.stopped = False
        self._saved = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """A run that had stopped early stays stopped when it is resumed."""
        trainer.should_stop = self.stopped

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Save if it is time to."""
        self.stopped = trainer.should_stop
        last = self.stopped or trainer.current_epoch + 1 == trainer.max_epochs
        due = last or time.monotonic() - self._saved >= self.seconds
        if trainer.world_size > 1:
            due = trainer.strategy.broadcast(due)
        if due:
            self._saved = time.monotonic()
            self.save(trainer)

    def save(self, trainer: pl.Trainer) -> None:
        """Write both files; every process takes part, the first one writes."""
        if trainer.world_size > 1:  # a sharded strategy writes in place, from all processes
            trainer.save_checkpoint(self.folder / f".{LAST}")
            if trainer.is_global_zero:
                (self.folder / f".{LAST}").replace(self.folder / LAST)
        else:
            with atomic(self.folder / LAST) as temporary:
                trainer.save_checkpoint(temporary)
        if trainer.is_global_zero:
            write_csv(self.folder / "history.csv", self.recorder.history)

    def state_dict(self) -> dict[str, Any]:
        """Whether training had stopped."""
        return {"stopped": self.stopped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave."""
        self.stopped = state_dict["stopped"]


class EpochBar(Callback):
    """One progress bar over the epochs; shown on a terminal only."""

    def __init__(self, recorder: Recorder, label: str) -> None:
        self.recorder, self.label = recorder, label
        self._bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Show the bar."""
        if trainer.is_global_zero:
            self._bar = tqdm(
                total=trainer.max_epochs, initial=trainer.current_epoch, desc=self.label, unit="epoch", disable=None
            )

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Advance the bar."""
        if self._bar is not None and self.recorder.history:
            row = self.recorder.history[-1]
            self._bar.set_postfix({key: f"{row[key]:.4f}" for key in _SHOWN}, refresh=False)
            self._bar.update()

    def teardown(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
