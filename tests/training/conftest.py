"""Small real runs: scikit-learn's digits, one thread."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from training.config import TrainConfig

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_config() -> Callable[..., TrainConfig]:
    """Function from overrides to a run of a second or less."""

    def make(**overrides: Any) -> TrainConfig:
        values = {"data": "digits", "model": "mlp_paper", "epochs": 3, "batch_size": 128, "optimizer": "sgd", "lr": 0.1}
        return TrainConfig.checked(values | {"accelerator": "cpu"} | overrides)

    return make


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Function that starts ``python -m <module> <arguments>`` in the checkout; what still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def begin(module: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()
