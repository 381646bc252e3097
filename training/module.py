"""One classifier as a LightningModule, and its batches, the same for any number of processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms import v2

from generators import BatchLoader
from training.config import TrainConfig
from training.metrics import ClassificationMetrics
from training.networks import build_optimizer, build_schedule

Batch = tuple[Tensor, Tensor]


class EpochBatches:
    """Batches of one pass, the same in a resumed run as in one that was never interrupted.

    A training pass begins by seeding torch with the run's seed, the epoch and the process, which fixes dropout and
    mixing without any generator state in the checkpoint.

    Args:
        trainer: gives epoch, device and process, all known only once it runs.
        build: makes this process's loader, given a device.
        seed: seed of a training pass; None for evaluation, which leaves torch's generator alone.
    """

    def __init__(
        self, trainer: pl.Trainer, build: Callable[[torch.device], BatchLoader], seed: int | None = None
    ) -> None:
        self.trainer, self.build, self.seed = trainer, build, seed
        self._loader: BatchLoader | None = None

    @property
    def loader(self) -> BatchLoader:
        """The loader on the trainer's device, made at its first use."""
        if self._loader is None:
            self._loader = self.build(self.trainer.strategy.root_device)
        return self._loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        if self.seed is not None:
            epoch = self.trainer.current_epoch
            torch.manual_seed((self.seed * 100_003 + epoch) * 1009 + self.trainer.global_rank)
            self.loader.set_epoch(epoch)
        yield from self.loader


class Classifier(pl.LightningModule):
    """Trains ``model`` by ``config``; sums its training metrics on the device, as a log call a step would be slow."""

    def __init__(self, model: nn.Module, config: TrainConfig, num_classes: int) -> None:
        super().__init__()
        self.model, self.config = model, config
        self.validation_metrics = ClassificationMetrics()
        self.epoch_lr = config.lr
        self._sums = torch.zeros(3)
        mixers = [(v2.MixUp, config.mixup), (v2.CutMix, config.cutmix)]
        self._mixers = [mixer(alpha=alpha, num_classes=num_classes) for mixer, alpha in mixers if alpha]

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, num_classes)`` of images ``(B, C, H, W)``."""
        logits: Tensor = self.model(images)
        return logits

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Leave the batch where it is: its loader makes it on the device."""
        return batch

    def on_train_epoch_start(self) -> None:
        """Clear the sums and note the learning rate that the epoch starts with."""
        self._sums = torch.zeros(3, device=self.device)
        self.epoch_lr = self.optimizers(use_pl_optimizer=False).param_groups[0]["lr"]  # type: ignore[union-attr]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of one batch; with MixUp or CutMix the accuracy is that of the heavier label."""
        images, labels = batch
        targets = labels
        if self._mixers:
            mixer = self._mixers[int(torch.randint(len(self._mixers), ()))]
            images, targets = mixer(images, labels)
            labels = targets.argmax(1)
        logits = self.model(images)
        loss = F.cross_entropy(logits, targets, label_smoothing=self.config.label_smoothing)
        with torch.no_grad():
            hits = (logits.argmax(1) == labels).sum()
            self._sums += torch.stack([loss.detach() * len(labels), hits, torch.full_like(hits, len(labels))])
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect the logits of one batch."""
        images, labels = batch
        self.validation_metrics.update(self.model(images).float(), labels)

    def training_means(self) -> tuple[float, float]:
        """Mean loss and accuracy over the training images of the epoch, of all processes."""
        sums: Any = self.all_gather(self._sums) if self.trainer.world_size > 1 else self._sums[None]
        loss, hits, count = sums.sum(0).tolist()
        return loss / count, hits / count

    def configure_optimizers(self) -> Any:
        """Optimiser and schedule, advanced every step."""
        optimizer = build_optimizer(self.config, self.model)
        schedule = build_schedule(self.config, optimizer, int(self.trainer.estimated_stepping_batches))
        if schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
