"""WTConv: equal to the layer of its paper for Haar, and of the right shape for all others."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from wavpool.layers import WTConv1d, WTConv2d, WTConv3d

# Of a 2 x 2 block, as the published code orders them: LL, then high along the height, along the width, along both.
HAAR = torch.tensor([[[1, 1], [1, 1]], [[1, 1], [-1, -1]], [[1, -1], [1, -1]], [[1, -1], [-1, 1]]])[:, None] / 2


def published_state(channels: int, kernel_size: int, levels: int) -> dict[str, Tensor]:
    """A state dict with the published names and shapes, of random numbers."""
    state = {
        "base_conv.weight": torch.randn(channels, 1, kernel_size, kernel_size),
        "base_conv.bias": torch.randn(channels),
        "base_scale.weight": torch.randn(1, channels, 1, 1),
        "wt_filter": HAAR.repeat(channels, 1, 1, 1),
    }
    for level in range(levels):
        state[f"wavelet_convs.{level}.weight"] = torch.randn(4 * channels, 1, kernel_size, kernel_size)
        state[f"wavelet_scale.{level}.weight"] = torch.randn(1, 4 * channels, 1, 1)
    return state


def paper(x: Tensor, state: dict[str, Tensor], levels: int) -> Tensor:
    """Section 3 of the paper by strided and transposed convolutions; the four bands of a channel side by side."""
    channels = x.shape[1]
    haar = HAAR.repeat(channels, 1, 1, 1)

    def depthwise(maps: Tensor, conv: str, scale: str) -> Tensor:
        bias = state.get(f"{conv}.bias")
        y = F.conv2d(maps, state[f"{conv}.weight"], bias, padding="same", groups=maps.shape[1])
        return y * state[f"{scale}.weight"]

    low, stack = x, []
    for level in range(levels):
        padded = F.pad(low, (0, low.shape[3] % 2, 0, low.shape[2] % 2))
        bands = F.conv2d(padded, haar, stride=2, groups=channels)
        stack.append((depthwise(bands, f"wavelet_convs.{level}", f"wavelet_scale.{level}"), low.shape[2:]))
        low = bands[:, ::4]
    coarser = torch.zeros_like(low)
    for bands, (height, width) in reversed(stack):
        bands = bands.clone()
        bands[:, ::4] += coarser
        coarser = F.conv_transpose2d(bands, haar, stride=2, groups=channels)[..., :height, :width]
    return depthwise(x, "base_conv", "base_scale") + coarser


@pytest.mark.parametrize("size", [(16, 16), (13, 22), (3, 5)])
@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("kernel_size", [3, 4])
def test_is_the_published_layer(size: tuple[int, int], levels: int, kernel_size: int) -> None:
    torch.manual_seed(0)
    state = published_state(3, kernel_size, levels)
    layer = WTConv2d(3, kernel_size, levels)
    layer.load_published(state)
    x = torch.randn(2, 3, *size)
    torch.testing.assert_close(layer(x), paper(x, state, levels), rtol=1e-4, atol=1e-4)


def test_starts_as_published() -> None:
    layer = WTConv2d(8, levels=2)
    assert all((level.scale == 0.1).all() for level in layer.levels)
    assert (layer.base.scale == 1).all()
    assert sum(p.numel() for p in layer.parameters()) == 8 * (25 + 1 + 1) + 2 * 4 * 8 * (25 + 1)


def test_stride_keeps_every_second_place() -> None:
    layer, x = WTConv2d(4, stride=2), torch.randn(1, 4, 9, 12)
    dense = WTConv2d(4)
    dense.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(x), dense(x)[..., ::2, ::2])


@pytest.mark.parametrize("wavelet", ["haar", "db2", "bior2.2"])
@pytest.mark.parametrize(("make", "size"), [(WTConv1d, (21,)), (WTConv2d, (9, 14)), (WTConv3d, (5, 6, 9))])
def test_identity_on_all_bands_is_the_identity(make: type[WTConv2d], size: tuple[int, ...], wavelet: str) -> None:
    layer = make(2, kernel_size=3, levels=2, wavelet=wavelet, bias=False).double()
    with torch.no_grad():
        for conv in layer.levels:
            conv.weight.zero_().flatten(2)[..., 3 ** len(size) // 2] = 1
            conv.scale.fill_(1)
        layer.base.weight.zero_()
        # The approximation of the first level is added once as such, once from the second level.
        layer.levels[1].scale.zero_()
    x = torch.randn(2, 2, *size, dtype=torch.float64)
    torch.testing.assert_close(layer(x), x)
    assert layer(x.requires_grad_()).sum().backward() is None


def test_bfloat16_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        y = WTConv2d(4, levels=2)(torch.randn(2, 4, 9, 8))
    assert y.dtype == torch.bfloat16


@pytest.mark.parametrize("arguments", [{"channels": 0}, {"channels": 4, "levels": 0}, {"channels": 4, "stride": 0}])
def test_refuses(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        WTConv2d(**arguments)
