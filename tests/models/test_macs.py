"""Multiply-adds as the usual counters give them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from wavpool.layers import BandLinear

Create = Callable[..., Any]
Images = Callable[..., Tensor]
DENSE = ("wavpool_dense_tiny", "wavpool_dense_base", "wavpool_paper_cifar10", "wavmlp_paper", "mlp_paper")


def products(model: nn.Module) -> int:
    """Multiply-adds of one image: each weight that reaches the output is used once."""
    count = 0
    lost = model.block.unreachable() if hasattr(model, "block") else {}
    for name, module in model.named_modules():
        if isinstance(module, BandLinear | nn.Linear):
            mask = lost.get(f"{name}.weight".removeprefix("block."))
            bands = module.groups if isinstance(module, BandLinear) else 1
            live = bands if mask is None else sum(not bool(band.all()) for band in mask.chunk(bands))
            count += module.weight.numel() // bands * live
    return count


@pytest.mark.parametrize("dense", DENSE)
@pytest.mark.parametrize("batch", [1, 3])
def test_torchs_counter(dense: str, batch: int, create: Create, images: Images) -> None:
    model = create(dense)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(images(model, batch))
    assert counter.get_total_flops() == 2 * batch * products(model)


@pytest.mark.parametrize("dense", DENSE)
def test_fvcores_counter(dense: str, create: Create, images: Images) -> None:
    """timm's benchmark.py reports these as `infer_gmacs`."""
    fvcore = pytest.importorskip("fvcore.nn", reason="fvcore is not installed")
    model = create(dense)
    analysis = fvcore.FlopCountAnalysis(model, images(model, 1)).unsupported_ops_warnings(False)
    counts = analysis.by_operator()
    assert sum(counts[operator] for operator in ("bmm", "linear", "matmul", "addmm", "conv")) == products(model)
