"""`wavpool.inspect`: counts, unreachable parameters, FLOPs."""

from typing import Any

import pytest
import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import wavpool
from wavpool.layers import WavPool


@pytest.mark.parametrize(
    ("name", "size", "total", "unreachable", "dead_percent"),
    [
        ("wavpool_paper_cifar10", 32, 201_672, 181_610, 91),
        ("wavpool_paper_fashion_mnist", 28, 186_722, 61_344, 34),
        ("wavpool_paper_mnist", 28, 186_722, 61_344, 34),
    ],
)
def test_paper_models(name: str, size: int, total: int, unreachable: int, dead_percent: int) -> None:
    """The figures of the specification: of the tuned CIFAR-10 model's 201,672 parameters 91 % are dead."""
    torch.manual_seed(0)
    report = wavpool.inspect(timm.create_model(name), (1, size, size))
    assert report.total == total
    assert sum(part.unreachable for part in report.parts) == unreachable
    assert report.confirmed
    assert round(100 * report.dead / report.total) == dead_percent
    assert f"({dead_percent}%) are dead" in str(report)


@pytest.mark.parametrize("name", ["wavpool_dense_tiny", "wavpool_dense_small", "wavpool_dense_base"])
def test_our_models_are_live(name: str) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=10, in_chans=1)
    report = wavpool.inspect(model, (1, 32, 32))
    assert report.unreachable == {}
    assert report.live == report.total == sum(parameter.numel() for parameter in model.parameters())


def test_parts_by_level_and_band() -> None:
    block = WavPool(8, hidden=[3, 5], levels=[1, 2], kernel_size=1)
    report = wavpool.inspect(block, (1, 8, 8), probes=64)
    found = [(part.layer, part.band, part.size, part.parameters, part.flops) for part in report.parts]
    bands = ("horizontal", "vertical", "diagonal")
    coarse = [("levels.0", band, (2, 2), 3 * 5, 2 * 4 * 3) for band in bands]
    fine = [("levels.1", band, (4, 4), 5 * 17, 2 * 16 * 5) for band in bands]
    assert found == coarse + fine


def test_detached_parameters_are_unreachable_and_the_model_stays_as_it_was() -> None:
    class Partial(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.used(x)

    model = Partial().eval()
    report = wavpool.inspect(model, (4,), probes=8)
    assert set(report.unreachable) == {"unused.weight", "unused.bias"}
    assert (report.total, report.live) == (20, 10)
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_wrong_declarations_are_not_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    block = WavPool(8, hidden=4)
    lie = {"levels.0.bias": torch.ones(12, dtype=torch.bool)}
    monkeypatch.setattr(WavPool, "unreachable", lambda self: lie)
    report = wavpool.inspect(block, (1, 8, 8), probes=64)
    assert not report.confirmed
    assert "NOT confirmed" in str(report)


def test_tied_weights_count_once() -> None:
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    assert wavpool.inspect(model, (3,), probes=8).total == 9


@pytest.mark.parametrize("probes", [3, 64, 65, 66, 129])
def test_any_number_of_images_will_do(probes: int) -> None:
    """BatchNorm takes no single image."""
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.BatchNorm1d(4), nn.Linear(4, 2))
    found = wavpool.inspect(model, (4,), probes=probes)
    assert (found.probes, found.dead) == (probes, 0)


def test_functional_dropout_is_off() -> None:
    """timm's networks drop by `F.dropout(training=self.training)`: probes must not depend on it."""
    model = timm.create_model("resnet10t", drop_rate=0.5, num_classes=4)
    images = torch.randn(4, 3, 32, 32)
    counts = []
    for seed in range(2):
        torch.manual_seed(seed)
        counts.append([part.dead for part in wavpool.inspect(model, (3, 32, 32), images).parts])
    assert counts[0] == counts[1]


class Scaled(nn.Module):
    """A parameter of its own beside a child's."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.fc = nn.Linear(100, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * self.fc(x)


@pytest.mark.parametrize(
    ("model", "size"),
    [
        (Scaled(), (100,)),
        (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (5, 8)),
        (timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=4), (3, 32, 32)),
        (timm.create_model("densenet121", num_classes=4), (3, 32, 32)),
    ],
    ids=["scaled", "transformer", "vit", "densenet"],
)
def test_flops_are_those_of_the_whole(model: nn.Module, size: tuple[int, ...]) -> None:
    found = wavpool.inspect(model, size, probes=2)
    with FlopCounterMode(display=False) as counter:
        model.eval()(torch.zeros(1, *size))
    assert found.flops == counter.get_total_flops() > 0
    assert {part.layer: part.flops for part in found.parts}.get("fc", 2000) == 2000
    lines = str(found).splitlines()[:-1]
    assert len({len(line) for line in lines}) == 1
    assert all(len(line.split()) >= 4 for line in lines), "columns stand apart"


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (nn.ReLU(), {"input_size": (3,)}, "ReLU has no parameters to inspect"),
        (nn.LSTM(3, 2), {"input_size": (3,)}, "must return one tensor, got tuple"),
        (nn.Linear(3, 2), {"input_size": 3}, "input_size must be a shape"),
        (nn.Linear(3, 2), {"input_size": (3,), "probes": 1}, "images to probe with at least 2"),
    ],
)
def test_what_cannot_be_inspected(model: nn.Module, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wavpool.inspect(model, **arguments)
