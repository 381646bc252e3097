"""The WavPool block: shapes, its definition written out, and which parameters learn."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from wavpool.layers import BandLinear, MicroWav, WavPool
from wavpool.layers.wavpool import scale_hidden
from wavpool.transforms import wavedec2


def by_definition(block: WavPool, x: Tensor) -> Tensor:
    """Transform, dense layer a band, activation, pool: every level, whether it reaches the output or not."""
    depth = block.level_numbers[0]
    approximation, *details = wavedec2(x, level=depth)
    responses = []
    for linear, number in zip(block.levels, block.level_numbers, strict=True):
        responses.append(block.act(linear(torch.stack(details[depth - number], dim=2))))
    out = block.pool(responses)
    if block.approximation is not None:
        assert block.approximation_pool is not None
        last = block.act(block.approximation(approximation.unsqueeze(2)))
        out = torch.cat((out, block.approximation_pool([last])), dim=1)
    return out  # type: ignore[no-any-return]


configurations = st.fixed_dictionaries(
    {
        "img_size": st.one_of(st.integers(2, 24), st.tuples(st.integers(2, 24), st.integers(2, 24))),
        "hidden": st.integers(1, 8),
        "in_chans": st.integers(1, 3),
        "approximation": st.integers(0, 5),
        "kernel_size": st.one_of(st.integers(1, 3), st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))),
    }
)


def image(configuration: dict[str, Any], batch: int = 3) -> Tensor:
    size = configuration["img_size"]
    height, width = (size, size) if isinstance(size, int) else size
    generator = torch.Generator().manual_seed(height + width)
    return torch.randn(batch, configuration["in_chans"], height, width, generator=generator, dtype=torch.float64)


def structurally_zero(block: WavPool, index: int) -> Tensor:
    """Coefficients `(3, h, w)` of a level that are zero for every image.

    An odd length repeats its last sample (PyWavelets' `symmetric`), and the difference of a sample and itself is zero.
    """
    number = block.level_numbers[index]
    height, width = block.sizes[number - 1]
    zero = torch.zeros(3, *block.sizes[number], dtype=torch.bool)
    if height % 2 == 1:
        zero[[0, 2], -1, :] = True
    if width % 2 == 1:
        zero[[1, 2], :, -1] = True
    return zero


@settings(max_examples=100, deadline=None)
@given(configurations, st.sampled_from(["max", "average"]), st.sampled_from([None, nn.ReLU, nn.Tanh]))
def test_definition(configuration: dict[str, Any], mode: str, act_layer: type[nn.Module] | None) -> None:
    torch.manual_seed(0)
    block = WavPool(**configuration, pool_mode=mode, act_layer=act_layer, dtype=torch.float64)
    x = image(configuration)
    out = block(x)
    assert out.shape == (3, block.num_features)
    torch.testing.assert_close(out, by_definition(block, x), rtol=0, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(configurations)
def test_every_parameter_is_live(configuration: dict[str, Any]) -> None:
    """With average pooling a parameter's gradient is zero only if the coefficient it multiplies is."""
    torch.manual_seed(0)
    block = WavPool(**configuration, pool_mode="average", dtype=torch.float64)
    out = block(image(configuration))
    (out * torch.rand_like(out)).sum().backward()
    for index, linear in enumerate(block.levels):
        assert isinstance(linear, BandLinear)
        assert linear.weight.grad is not None
        live = linear.weight.grad.unflatten(0, (3, linear.hidden)) != 0  # (3, hidden, in_chans, h, w)
        expected = ~structurally_zero(block, index)[:, None, None].expand_as(live)
        assert torch.equal(live, expected)
        assert linear.bias is not None
        assert linear.bias.grad is not None
        assert linear.bias.grad.all()
    if block.approximation is not None:
        for parameter in block.approximation.parameters():
            assert parameter.grad is not None
            assert parameter.grad.all()


@pytest.mark.parametrize("size", [32, 28, (13, 24)])
@pytest.mark.parametrize("mode", ["max", "average"])
def test_floor_mode_gives_dead_parameters_zero_gradients(size: Any, mode: str) -> None:
    torch.manual_seed(0)
    arguments: dict[str, Any] = {"img_size": size, "hidden": 21, "hidden_scaling": True, "kernel_size": 2}
    block = WavPool(**arguments, pool_mode=mode, ceil_mode=False, dtype=torch.float64)
    x = image({"img_size": size, "in_chans": 1}, batch=64)
    block(x).square().sum().backward()
    for index, linear in enumerate(block.levels):
        bands, hidden = block.pool.kept(index)
        assert linear.bias.grad is not None, "a dead parameter gets a zero gradient, not none"
        assert linear.weight.grad is not None
        live = linear.bias.grad.unflatten(0, (3, linear.hidden)) != 0
        assert not live[bands:].any()
        assert not live[:, hidden:].any()
        if mode == "average":
            assert live[:bands, :hidden].all()
    torch.testing.assert_close(block.eval()(x), by_definition(block, x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("levels", "expected"), [(None, [4, 3, 2, 1]), ([1], [1]), ([-1], [4]), ([2, -1], [4, 2]), ([-4, -3], [2, 1])]
)
def test_level_subsets(levels: list[int] | None, expected: list[int]) -> None:
    block = WavPool((16, 28), 5, levels=levels, approximation=3, dtype=torch.float64)
    assert block.level_numbers == expected
    x = image({"img_size": (16, 28), "in_chans": 1})
    torch.testing.assert_close(block(x), by_definition(block, x), rtol=0, atol=1e-12)
    assert block.approximation is not None
    assert block.approximation.kernel_size == block.sizes[expected[0]]


def test_blind_to_the_mean_without_the_approximation() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 1, 32, 32, dtype=torch.float64)
    blind = WavPool(32, 8, dtype=torch.float64)
    torch.testing.assert_close(blind(x + 5), blind(x), rtol=0, atol=1e-9)
    seeing = WavPool(32, 8, approximation=4, dtype=torch.float64)
    assert (seeing(x + 5) - seeing(x)).abs().max() > 0.1


def test_hidden_scaling() -> None:
    assert scale_hidden(224, 5) == [44, 56, 74, 112, 224]
    assert [linear.hidden for linear in WavPool(32, 224, hidden_scaling=True).levels] == [44, 56, 74, 112, 224]
    assert [linear.hidden for linear in WavPool(32, [5, 4, 3, 2, 1]).levels] == [5, 4, 3, 2, 1]


def test_gradient_reaches_the_image() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(WavPool(8, 3, in_chans=3, approximation=2, dtype=torch.float64), (x,))


def test_torchscript_and_compile() -> None:
    block = WavPool((13, 10), 6, in_chans=2, approximation=3)
    x = torch.randn(4, 2, 13, 10)
    torch.testing.assert_close(torch.jit.script(block)(x), block(x))
    torch.compiler.reset()
    torch.testing.assert_close(torch.compile(block, fullgraph=True, backend="aot_eager")(x), block(x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"img_size": 1, "hidden": 4}, "an image of 1 x 1 has no wavelet level; both sides must be at least 2"),
        ({"img_size": 16, "hidden": 4, "levels": [5]}, "levels of an image of 16 x 16 are distinct numbers from 1"),
        ({"img_size": 16, "hidden": 4, "levels": [1, -4]}, "are distinct numbers"),
        ({"img_size": 16, "hidden": 4, "levels": []}, "are distinct numbers"),
        ({"img_size": 16, "hidden": [4, 4]}, "at least one unit to each of 4 levels"),
        ({"img_size": 16, "hidden": 3, "hidden_scaling": True}, "at least one unit to each of 4 levels"),
        ({"img_size": 16, "hidden": [1, 2, 3, 4], "hidden_scaling": True}, "needs one number for hidden"),
    ],
)
def test_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WavPool(**arguments)


def test_a_level_of_a_wrong_type() -> None:
    with pytest.raises(TypeError, match=r"each level must be an integer, got 2\.5"):
        MicroWav(28, level=2.5, hidden=16)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 3, 48, 32), r"images must be \(B, 3, 32, 48\), got height 48"),
        ((2, 3, 32, 40), r"images must be \(B, 3, 32, 48\), got width 40"),
        ((2, 1, 32, 48), r"images must be \(B, 3, 32, 48\), got 1 channels"),
        ((3, 32, 48), r"images must be \(B, 3, 32, 48\), got 3 axes"),
    ],
)
@pytest.mark.parametrize("layer", [WavPool((32, 48), 4, in_chans=3), MicroWav((32, 48), 2, 4, in_chans=3)])
def test_images_of_another_shape_are_refused(layer: torch.nn.Module, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        layer(torch.zeros(shape))
