"""The registry of the zoo, and packages and scripts that tests fetch."""

import os
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

import wavpool.models

PACKAGE = f"{wavpool.models.__name__}."
MODULES = {name: timm.models.model_entrypoint(name).__module__ for name in timm.list_models()}
NAMES = sorted(name for name, module in MODULES.items() if module.startswith(PACKAGE))
FAMILIES = sorted({MODULES[name].removeprefix(PACKAGE) for name in NAMES})
# The tuned variants differ from their base in sizes alone: what takes seconds a model runs on them when slow tests do.
TUNED = ("_cifar10", "_fashion_mnist", "_mnist")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wavpool" / "tests"
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
def families() -> list[str]:
    """The modules in which the models are registered, as timm names them."""
    return FAMILIES


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

    def download(requirement: str, pattern: str, *options: str) -> Path:
        if found := sorted(CACHE.glob(pattern)):
            return found[0]
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
            result = subprocess.run(
                [*command, "--dest", folder, *options, requirement], capture_output=True, text=True, check=False
            )
            if result.returncode != 0:
                pytest.skip(f"{requirement} cannot be downloaded: {result.stderr.strip().splitlines()[-1:]}")
            (archive,) = Path(folder).glob(pattern)
            return archive.replace(CACHE / archive.name)

    return download


@pytest.fixture(scope="session")
def timm_scripts() -> Path:
    """Folder of timm's scripts: $TIMM_SCRIPTS, or those of the installed version from GitHub; skips if offline."""
    if given := os.environ.get("TIMM_SCRIPTS"):
        return Path(given)
    name = f"pytorch-image-models-{version('timm')}"
    if not (CACHE / name).is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        url = f"https://github.com/huggingface/pytorch-image-models/archive/refs/tags/v{version('timm')}.tar.gz"
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            try:
                with (
                    urllib.request.urlopen(url, timeout=20) as answer,
                    tarfile.open(fileobj=answer, mode="r|gz") as tar,
                ):
                    tar.extractall(folder, filter="data")
            except OSError as error:
                pytest.skip(f"timm's scripts are not in $TIMM_SCRIPTS and cannot be downloaded: {error}")
            (Path(folder) / name).replace(CACHE / name)
    return CACHE / name
