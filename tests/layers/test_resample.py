"""Down- and upsampling by a wavelet level: the bands of dwt2 as blocks of channels, and back without loss."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wavpool.layers import WaveletDownsample, WaveletUpsample
from wavpool.transforms import dwt2, filter_bank, haar2d, ihaar2d

WAVELETS = ("haar", "db2", "sym4", "coif1", "bior1.3", "rbio2.2", "db7")


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(WAVELETS), st.integers(1, 20), st.integers(1, 20))
def test_bands_and_way_back(wavelet: str, height: int, width: int) -> None:
    x = torch.randn(2, 3, height, width, dtype=torch.float64)
    y = WaveletDownsample(wavelet)(x)
    approximation, details = dwt2(x, wavelet, "periodization")
    torch.testing.assert_close(y, torch.cat((approximation, *details), 1))
    torch.testing.assert_close(WaveletUpsample(wavelet)(y, (height, width)), x)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9))
def test_zeros_extend_odd_sides(height: int, width: int) -> None:
    x = torch.randn(2, 3, height, width, dtype=torch.float64)
    y = haar2d(x, repeat=False)
    approximation, details = dwt2(x, "haar", "zero")
    torch.testing.assert_close(y, torch.cat((approximation, *details), 1))
    torch.testing.assert_close(ihaar2d(y, (height, width)), x)


@pytest.mark.parametrize("wavelet", ["haar", "db2", "sym4"])
def test_orthogonal_wavelets_keep_the_norm(wavelet: str) -> None:
    x = torch.randn(2, 3, 8, 12)
    torch.testing.assert_close(WaveletDownsample(wavelet)(x).norm(), x.norm())


def test_takes_a_filter_bank() -> None:
    x = torch.randn(1, 2, 8, 8)
    assert torch.equal(WaveletDownsample(filter_bank("db2"))(x), WaveletDownsample("db2")(x))
    with pytest.raises(ValueError, match="no discrete wavelet"):
        WaveletUpsample("dbb2")
