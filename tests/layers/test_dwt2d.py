"""DWT2d and IDWT2d: PyWavelets' coefficients, and the way back."""

import numpy as np
import pytest
import pywt
import torch

from wavpool.layers import DWT2d, IDWT2d
from wavpool.transforms import MODES


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wavelet", ["haar", "db3", "bior2.2"])
def test_is_pywavelets_and_back(wavelet: str, mode: str) -> None:
    x = torch.randn(2, 3, 25, 32, dtype=torch.float64)
    low, details = DWT2d(wavelet, mode, level=2)(x)
    expected_low, *expected = pywt.wavedec2(x.numpy(), wavelet, mode, level=2)
    np.testing.assert_allclose(low.numpy(), expected_low, atol=1e-10)
    for found, bands in zip(details, reversed(expected), strict=True):
        np.testing.assert_allclose(found.numpy(), np.stack(bands, 2), atol=1e-10)
    torch.testing.assert_close(IDWT2d(wavelet, mode)(low, details, (25, 32)), x)


def test_gradients_and_compiler() -> None:
    x = torch.randn(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    forward, inverse = DWT2d("db2", level=2), IDWT2d("db2")
    assert torch.autograd.gradcheck(lambda image: forward(image)[0], x)
    assert torch.autograd.gradcheck(lambda image: inverse(*forward(image), (5, 6)), x)
    compiled = torch.compile(forward, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), forward(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dtype_is_kept(dtype: torch.dtype) -> None:
    x = torch.randn(1, 2, 8, 6).to(dtype, memory_format=torch.channels_last)
    low, details = DWT2d("sym4")(x)
    assert {low.dtype, details[0].dtype, IDWT2d("sym4")(low, details).dtype} == {dtype}


def test_refuses() -> None:
    with pytest.raises(ValueError, match="mode must be one of"):
        DWT2d(mode="mirror")
    with pytest.raises(ValueError, match="at least 1"):
        DWT2d(level=0)
