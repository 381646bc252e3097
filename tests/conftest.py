"""Fixtures for the whole suite: where the real data sets are."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def find_data() -> Callable[[str], Path]:
    """Function from a relative path to it in the first folder of $WAVPOOL_DATA that has it, else it skips the test."""
    folders = [Path(folder) for folder in os.environ.get("WAVPOOL_DATA", "").split(os.pathsep) if folder]

    def find(relative: str) -> Path:
        for folder in folders:
            if (folder / relative).exists():
                return folder / relative
        pytest.skip(f"{relative} is in no folder of $WAVPOOL_DATA")

    return find


@pytest.fixture(scope="session")
def mnist_dir(find_data: Callable[[str], Path]) -> Path:
    """Folder of the four official MNIST idx files."""
    return find_data("mnist/train-images-idx3-ubyte.gz").parent


@pytest.fixture(scope="session")
def fashion_mnist_dir(find_data: Callable[[str], Path]) -> Path:
    """Folder of the four official Fashion-MNIST idx files."""
    return find_data("fashion-mnist/train-images-idx3-ubyte.gz").parent


@pytest.fixture(scope="session")
def cifar10_dir(find_data: Callable[[str], Path]) -> Path:
    """Folder of CIFAR-10's binary batches."""
    return find_data("cifar-10-batches-bin/test_batch.bin").parent
