"""The fixed stem: its groups of bands, their invariance, and what compilers make of it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from wavpool.layers import WaveletDownsample, WaveletStem, WaveletUpsample
from wavpool.transforms import swt2


def undecimated(x: torch.Tensor) -> torch.Tensor:
    """The four Haar bands at every position, `(B, 4 C, H, W)`, of images extended by their last samples."""
    signs = torch.tensor([[[1, 1], [1, 1]], [[1, 1], [-1, -1]], [[1, -1], [1, -1]], [[1, -1], [-1, 1]]]) / 2
    chans = x.shape[1]
    kernel = signs.to(x).repeat_interleave(chans, 0)[:, None]
    return F.conv2d(F.pad(x, (0, 1, 0, 1), "replicate").repeat(1, 4, 1, 1), kernel, groups=4 * chans)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 17), st.integers(2, 17), st.integers(1, 3))
def test_rectified_bands_are_pooled_undecimated_ones(height: int, width: int, chans: int) -> None:
    x = torch.randn(2, chans, height, width, dtype=torch.float64)
    bands, positive, negative = WaveletStem()(x).chunk(3, 1)
    torch.testing.assert_close(bands, WaveletDownsample()(x))
    every = undecimated(x)
    torch.testing.assert_close(positive, F.max_pool2d(every.relu(), 2, ceil_mode=True))
    torch.testing.assert_close(negative, F.max_pool2d((-every).relu(), 2, ceil_mode=True))


@pytest.mark.parametrize("wavelet", ["haar", "db2", "bior2.2"])
@pytest.mark.parametrize("levels", [1, 2])
def test_nothing_is_lost(wavelet: str, levels: int) -> None:
    x = torch.randn(2, 3, 16, 24)
    stem = WaveletStem(levels, wavelet)
    y = stem(x)
    assert y.shape == (2, stem.out_chans(3), 16 // 2**levels, 24 // 2**levels)
    y = y[:, : stem.out_chans(3) // 3]
    for _ in range(levels):
        y = WaveletUpsample(wavelet)(y)
    torch.testing.assert_close(y, x, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [(16, 16), (17, 13)])
def test_without_levels_the_undecimated_bands_are_rectified(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    expected = undecimated(x)
    torch.testing.assert_close(WaveletStem(0)(x), torch.cat((expected, -expected), 1).relu())
    assert WaveletStem(0).out_chans(3) == 24
    if size == (16, 16):  # swt2 is periodic: the same but at the ends
        approximation, details = swt2(x, "haar", 1)[0]
        inside = torch.cat((approximation, *details), 1)
        torch.testing.assert_close(expected[..., :-1, :-1], inside[..., :-1, :-1])


def test_a_shift_by_one_pixel_moves_rectified_bands_less() -> None:
    """The reason for the shifts: of a critically sampled transform most coefficients change."""
    generator = torch.Generator().manual_seed(0)
    x = F.avg_pool2d(torch.randn(8, 1, 70, 70, generator=generator), 5, 1)
    change = WaveletStem()(x) - WaveletStem()(x.roll(1, -1))
    details = [slice(1, 4), slice(5, 8), slice(9, 12)]
    plain, *rectified = (change[:, part, 2:-2, 2:-2].norm() / WaveletStem()(x)[:, part].norm() for part in details)
    assert max(rectified) < 0.8 * plain


def test_layouts_precisions_and_compilers() -> None:
    stem = WaveletStem()
    x = torch.randn(2, 3, 20, 22)
    expected = stem(x)
    torch.testing.assert_close(torch.jit.script(stem)(x), expected)
    torch.testing.assert_close(torch.compile(stem, fullgraph=True)(x), expected)
    torch.testing.assert_close(stem(x.contiguous(memory_format=torch.channels_last)), expected)
    assert stem(x.bfloat16()).dtype == torch.bfloat16
    torch.testing.assert_close(stem(x.bfloat16()).float(), expected, atol=0.05, rtol=0.05)
    dims = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height", min=16), 3: torch.export.Dim("width", min=16)}
    exported = torch.export.export(stem.eval(), (x,), dynamic_shapes=(dims,)).module()
    other = torch.randn(3, 3, 27, 18)
    torch.testing.assert_close(exported(other), stem(other))


def test_gradients() -> None:
    x = torch.randn(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(WaveletStem(), (x,))


def test_refusals() -> None:
    with pytest.raises(ValueError, match="levels must be 0 or more, got -1"):
        WaveletStem(-1)
    with pytest.raises(ValueError, match="haa"):
        WaveletStem(1, "haa")
