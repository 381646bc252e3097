"""One small finished experiment on the digits."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from training.comparison.command import Settings, run_experiment
from training.comparison.plan import Choice, Plan, build_plan, load_experiment

SMALL = Choice(models=["wavpool", "mlp"], seeds=[0, 1], training={"epochs": 3})


@pytest.fixture(autouse=True)
def _same_threads() -> Iterator[None]:
    """The experiments set torch's threads; give the other tests theirs back."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def small_plan() -> Plan:
    return build_plan("digits", load_experiment("digits"), SMALL)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output folder of the small experiment."""
    output = tmp_path_factory.mktemp("digits")
    run_experiment("digits", load_experiment("digits"), SMALL, Settings(output, workers=1, threads=1), {})
    return output
