"""LearnableWavelet: where it starts, what training keeps, what it refuses."""

import math

import pytest
import pywt
import torch

from wavpool.layers.learnable_wavelet import LearnableWavelet
from wavpool.transforms.filters import FilterBank, filter_bank
from wavpool.transforms.learnable import LIFTING_STEPS
from wavpool.transforms.multilevel import wavedec, waverec


def as_bank(wavelet: LearnableWavelet) -> FilterBank:
    return FilterBank("trained", *(tuple(taps.tolist()) for taps in wavelet()))


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        *((name, "lattice") for name in ("haar", "db2", "db8", "sym5", "coif3")),
        *((n, "lifting") for n in LIFTING_STEPS),
    ],
)
def test_starts_at_the_named_wavelet(name: str, scheme: str) -> None:
    filters = LearnableWavelet(name, scheme, dtype=torch.float64)()
    for ours, taps in zip(filters, pywt.Wavelet(name).filter_bank, strict=True):
        torch.testing.assert_close(ours, torch.tensor(taps, dtype=torch.float64), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("start", "scheme"), [("sym3", "lattice"), ("bior2.2", "lifting")])
def test_training_lowers_the_loss_and_keeps_reconstruction(start: str, scheme: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(16, 64, dtype=torch.float64, generator=generator).cumsum(-1)
    wavelet = LearnableWavelet(start, scheme, dtype=torch.float64)
    with torch.no_grad():
        for parameter in wavelet.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, dtype=torch.float64, generator=generator))
    target = wavedec(x, start, "periodization", level=2)
    optimizer = torch.optim.Adam(wavelet.parameters(), lr=0.02)
    losses = []
    for _ in range(150):
        found = wavedec(x, wavelet(), "periodization", level=2)
        loss = torch.stack([(a - b).square().mean() for a, b in zip(found, target, strict=True)]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.05 * losses[0]
    assert as_bank(wavelet).reconstruction_error < 1e-12
    filters = wavelet()
    restored = waverec(wavedec(x, filters, "periodization", level=2), filters, "periodization")
    torch.testing.assert_close(restored, x, rtol=0, atol=1e-10)


def test_lowpass_keeps_the_sums() -> None:
    wavelet = LearnableWavelet("db3", dtype=torch.float64)
    with torch.no_grad():
        wavelet.angles.add_(torch.randn(3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
        filters = wavelet()
    assert math.isclose(float(filters.dec_lo.sum()), math.sqrt(2), rel_tol=1e-12)
    assert abs(float(filters.dec_hi.sum())) < 1e-12
    wavelet.lowpass = False
    assert abs(wavelet().dec_hi.sum().item()) > 0.1


def test_state_dict_and_dtype() -> None:
    wavelet = LearnableWavelet("bior2.2", "lifting")
    assert {*wavelet.state_dict()} == {"steps.0", "steps.1", "scale"}
    assert wavelet().dec_lo.dtype == torch.float32
    other = LearnableWavelet("bior2.2", "lifting", device="meta")
    assert other().dec_lo.device.type == "meta"
    other.load_state_dict(wavelet.state_dict(), assign=True)
    torch.testing.assert_close(other().dec_lo, torch.tensor(filter_bank("bior2.2").dec_lo))


def test_refuses() -> None:
    with pytest.raises(ValueError, match="scheme must be one of lattice, lifting, got 'free'"):
        LearnableWavelet("db2", "free")
    with pytest.raises(ValueError, match=r"lifting starts from one of haar, .*bior4.4, got 'db2'"):
        LearnableWavelet("db2", "lifting")
    with pytest.raises(ValueError, match=r"bior2.2 is not orthogonal"):
        LearnableWavelet("bior2.2")
