"""Searches for a strength: generous limits, limits that cannot be met, and how many trials they take."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from wavpool.codec import compress
from wavpool.codec.compression import _Job
from wavpool.codec.errors import TooFine
from wavpool.codec.search import NothingKeeps, strongest
from wavpool.errors import UserError

INPUTS = torch.randn(100, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The strengths that are tried."""
    found: list[float] = []
    plain = _Job._plain
    monkeypatch.setattr(_Job, "_plain", lambda self, strength: found.append(strength) or plain(self, strength))
    return found


@pytest.mark.parametrize("limit", [4_000, 10**6])  # of 4,904 bytes
@pytest.mark.parametrize("method", ["calibrated", "uniform", "trellis", "kmeans"])
def test_a_generous_limit_gives_what_float32_can_tell(
    network: nn.Module, trials: list[float], method: str, limit: int
) -> None:
    given = {"calibration": INPUTS} if method == "calibrated" else {"method": method}
    compressed = compress(network, max_bytes=limit, **given)
    assert compressed.nbytes <= limit
    assert len(trials) <= 18
    if method in ("uniform", "trellis", "calibrated"):
        assert torch.allclose(compressed.to_model()(INPUTS), network(INPUTS), atol=1e-3)


@pytest.mark.parametrize("method", ["uniform", "fixed", "magnitude"])
def test_a_limit_below_everything_names_the_least(network: nn.Module, trials: list[float], method: str) -> None:
    with pytest.raises(UserError, match=r"even the strongest compression takes [\d,]+ bytes.* max_bytes=100$") as told:
        compress(network, max_bytes=100, method=method)
    assert len(trials) < 8
    least = int(str(told.value).split("takes ")[1].split(" ")[0].replace(",", ""))
    assert compress(network, max_bytes=round(1.05 * least), method=method).nbytes <= 1.05 * least


def test_a_drop_below_everything_names_the_least(network: nn.Module) -> None:
    with pytest.raises(UserError, match=r"even the weakest compression is expected to lose [\d.]+ points"):
        compress(network, calibration=INPUTS, max_drop=1e-9, method="fixed")


def too_fine_below(strength: float) -> Callable[[float], tuple[float, float]]:
    """A size that falls with the root of the strength, 1 at 1."""

    def attempt(tried: float) -> tuple[float, float]:
        if tried < strength:
            raise TooFine("too fine")
        return tried**-0.5, tried

    return attempt


def test_too_fine_a_step_ends_a_search() -> None:
    assert 1 <= strongest(too_fine_below(2.0), 1.0, 0.01, grows=False).strength < 9  # it begins too fine
    attempt = too_fine_below(0.5)
    found = strongest(lambda strength: (attempt(strength)[0] / 100, strength), 1.0, 0.01, grows=False)
    assert found.strength == 1.0
    with pytest.raises(NothingKeeps):
        strongest(lambda strength: (attempt(strength)[0] + 1, strength), 1.0, 0.01)
