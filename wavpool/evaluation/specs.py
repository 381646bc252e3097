"""A model and a data set as they were asked for: what a command was given, and what a worker process loads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from .batches import Batches
from .sources import Source, load_data, load_model


@dataclass(frozen=True)
class ModelSpec:
    """Which model; see `sources.load_model`. Weights that are drawn, and not read, are drawn with `seed`."""

    name: str
    pretrained: bool = True
    checkpoint: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    seed: int = 0
    ema: bool = True

    def load(self) -> Source:
        """The model, on its device."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            source = load_model(self.name, self.pretrained, self.checkpoint, self.settings, self.ema)
        if source.module is not None:
            source.module.to(self.device)
        return source


@dataclass(frozen=True)
class DataSpec:
    """Which data; see `sources.load_data`."""

    name: str
    split: str = "validation"
    data_dir: Path | None = None
    download: bool = False
    batch_size: int = 64
    limit: int | None = None
    workers: int = 0

    def load(self, source: Source) -> Batches:
        """The data, prepared for a model."""
        return load_data(
            self.name,
            source.prepare,
            split=self.split,
            data_dir=self.data_dir,
            download=self.download,
            batch_size=self.batch_size,
            limit=self.limit,
            workers=self.workers,
        )
