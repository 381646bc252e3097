"""The registry of the zoo, and packages that tests fetch from PyPI."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

import wavpool.models

NAMES = sorted(
    name
    for name in timm.list_models()
    if timm.models.model_entrypoint(name).__module__.startswith(f"{wavpool.models.__name__}.")
)
# The tuned variants differ from their base in sizes alone: what takes seconds a model runs on them when slow tests do.
TUNED = ("_cifar10", "_fashion_mnist", "_mnist")
# Baselines that are large or differ from a smaller one in sizes alone: slow tests run all on them, others some.
LARGE = ("alexnet", "resnet32", "resnet44", "resnet56", "wavemix_lite_8_10", "wavemix_lite_64_6")


def _slow(endings: tuple[str, ...]) -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.slow) if name.endswith(endings) else name for name in NAMES]


@pytest.fixture(params=_slow(LARGE))
def name(request: pytest.FixtureRequest) -> str:
    """Every registered model in turn."""
    return str(request.param)


@pytest.fixture(params=_slow((*TUNED, *LARGE, "resnet20", "wavemix_lite_32_7")))
def costly_name(request: pytest.FixtureRequest) -> str:
    """Every registered model in turn, the tuned variants among the slow tests."""
    return str(request.param)


@pytest.fixture
def names() -> list[str]:
    """All registered models."""
    return NAMES


@pytest.fixture
def large_names() -> list[str]:
    """The models that slow tests alone run all on."""
    return [name for name in NAMES if name.endswith(LARGE)]


@pytest.fixture
def create() -> Callable[..., nn.Module]:
    """timm.create_model with seeded weights, in eval mode."""

    def build(name: str, train: bool = False, **kwargs: Any) -> nn.Module:
        torch.manual_seed(0)
        model: nn.Module = timm.create_model(name, **kwargs)
        return model.train(train)

    return build


@pytest.fixture
def images() -> Callable[..., Tensor]:
    """Seeded noise of the size a model takes."""

    def make(model: Any, batch: int = 2) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        return torch.randn(batch, *model.pretrained_cfg["input_size"], generator=generator)

    return make


@pytest.fixture(scope="session")
def fetch() -> Callable[..., Path]:
    """Function from a requirement and pip's options to the archive, kept in the user's cache; skips if offline."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wavpool" / "tests"

    def download(requirement: str, pattern: str, *options: str) -> Path:
        if found := sorted(cache.glob(pattern)):
            return found[0]
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
            result = subprocess.run(
                [*command, "--dest", folder, *options, requirement], capture_output=True, text=True, check=False
            )
            if result.returncode != 0:
                pytest.skip(f"{requirement} cannot be downloaded: {result.stderr.strip().splitlines()[-1:]}")
            (archive,) = Path(folder).glob(pattern)
            return archive.replace(cache / archive.name)

    return download
