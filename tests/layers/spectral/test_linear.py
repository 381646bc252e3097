"""The dense layer whose weight lives in a transform domain."""

import copy
import pickle
from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from wavpool.layers import SpectralConv2d, SpectralLinear
from wavpool.layers.spectral import linear
from wavpool.layers.spectral.coefficients import KeptCoefficients, block_shape
from wavpool.transforms import get_transform

FREQUENCIES = ("dct", "dst", "dft", "shannon", "real_shannon")
TRANSFORMS = (*FREQUENCIES, "hadamard", "haar", "db2", "bior2.2:1", "identity")


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("transform", "complex"), [*((name, False) for name in FREQUENCIES), ("dft", True)])
def test_frequencies_have_the_ancestors_parameter_count(transform: str, complex: bool) -> None:
    layer = SpectralLinear(9216, 4096, transform=transform, parametrisation="frequencies", complex=complex)
    assert parameters(layer) == 4096 * (3 if complex else 2)


@pytest.mark.parametrize("transform", FREQUENCIES)
@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5)])
def test_output_is_that_of_the_weight(transform: str, shape: tuple[int, ...]) -> None:
    """The ancestor took two dimensions only."""
    layer = SpectralLinear(12, 7, transform=transform, parametrisation="frequencies", dtype=torch.float64)
    x = torch.randn(*shape[:-1], 12, dtype=torch.float64)
    torch.testing.assert_close(layer(x), nn.functional.linear(x, layer.weight, layer.bias))


@pytest.mark.parametrize("options", [{}, {"axes": (0, 1)}, {"select": "largest"}, {"select": "learned"}])
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("is_large", [False, True])
def test_coefficients_give_the_same_by_every_way(
    transform: str, options: dict, is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "FAST_SIZE", 1 if is_large else 2**20)
    layer = SpectralLinear(12, 12, transform=transform, keep=0.4, dtype=torch.float64, **options)
    x = torch.randn(3, 12, dtype=torch.float64)
    expected = nn.functional.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer.eval()(x), expected)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), expected)
        torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("transform", FREQUENCIES)
def test_large_frequencies_give_the_same(transform: str, is_large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "FAST_SIZE", 1 if is_large else 2**20)
    layer = SpectralLinear(50, 30, transform=transform, parametrisation="frequencies", dtype=torch.float64)
    x = torch.randn(2, 3, 50, dtype=torch.float64, requires_grad=True)
    grads = torch.autograd.grad(layer(x).square().sum(), [x, *layer.parameters()])
    y = nn.functional.linear(x, layer.weight, layer.bias)
    for found, expected in zip(grads, torch.autograd.grad(y.square().sum(), [x, *layer.parameters()]), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("is_large", [False, True])
def test_complex_input_is_not_ignored(is_large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "FAST_SIZE", 1 if is_large else 2**20)
    options = {"transform": "dft", "parametrisation": "frequencies", "complex": True, "dtype": torch.float64}
    layer = SpectralLinear(9, 4, **options)
    z = torch.randn(3, 9, dtype=torch.complex128)
    expected = z @ layer.weight.T + torch.view_as_complex(layer.bias)
    torch.testing.assert_close(layer(z), expected)
    torch.testing.assert_close(layer(z.real), z.real.to(z.dtype) @ layer.weight.T + torch.view_as_complex(layer.bias))
    assert (layer(z) - layer(z.real.to(z.dtype))).abs().max() > 0.1
    two = torch.randn(3, 2, dtype=torch.float64)  # a real input of two features is not a complex one
    assert SpectralLinear(2, 4, **options)(two).shape == (3, 4)


@given(
    size=st.tuples(st.integers(1, 17), st.integers(1, 17)),
    transform=st.sampled_from([name for name in TRANSFORMS if "bior" not in name]),
    select=st.sampled_from(["low", "largest", "learned"]),
    both=st.booleans(),
)
def test_keeping_all_is_the_dense_layer(size: tuple[int, int], transform: str, select: str, both: bool) -> None:
    weight = torch.randn(size, dtype=torch.float64)
    axes = (0, 1) if both else (1,)
    kept = KeptCoefficients(size, transform, axes, 1.0, select, dtype=torch.float64)
    kept.project(weight)
    torch.testing.assert_close(kept(), weight)
    assert parameters(kept) == weight.numel()


@pytest.mark.parametrize("select", ["low", "largest"])
@pytest.mark.parametrize("transform", ["dct", "haar", "bior2.2:1", "bior4.4:1"])
def test_projection_is_least_squares(transform: str, select: str) -> None:
    weight = torch.randn(6, 32, dtype=torch.float64)
    kept = KeptCoefficients((6, 32), transform, (1,), 0.25, select, dtype=torch.float64)
    kept.project(weight)
    residual = (kept() - weight).detach()
    gradient = torch.autograd.grad((kept() * residual).sum(), kept.values)[0]
    assert gradient.abs().max() < 1e-6  # nothing of the residual is in the span of the kept coefficients
    assert parameters(kept) == 48


def test_largest_keeps_the_most_energy() -> None:
    weight = torch.randn(8, 16, dtype=torch.float64)
    losses = []
    for select in ("low", "largest"):
        kept = KeptCoefficients((8, 16), "dct", (0, 1), 0.25, select, dtype=torch.float64)
        kept.project(weight)
        losses.append((kept() - weight).square().sum())
    coefficients = get_transform("dct").forward(weight, (0, 1)).flatten().abs().sort(descending=True).values
    torch.testing.assert_close(losses[1], coefficients[32:].square().sum())
    assert losses[1] < losses[0]


def test_a_learned_choice_moves_and_can_be_frozen() -> None:
    kept = KeptCoefficients((4, 8), "dct", (1,), 0.25, "learned")
    before = kept.coefficients() != 0
    assert before.sum() == 8
    weight = torch.randn(4, 8)
    optimizer = torch.optim.SGD(kept.parameters(), 0.5)
    for _ in range(50):
        optimizer.zero_grad()
        (kept() - weight).square().sum().backward()
        optimizer.step()
    assert not torch.equal(kept.coefficients() != 0, before)
    frozen = kept.freeze()
    torch.testing.assert_close(frozen(), kept())
    assert parameters(frozen) == 8
    with pytest.raises(ValueError, match="only select='learned' has a choice"):
        frozen.freeze()


@pytest.mark.parametrize(
    "options", [{"parametrisation": "frequencies"}, {}, {"select": "largest", "transform": "haar"}]
)
def test_initial_gain_is_the_dense_layers(options: dict) -> None:
    """The ancestor's was 4 to 8 times too small, or its biases ten times too large."""
    torch.manual_seed(0)
    x, dense = torch.randn(512, 256), nn.Linear(256, 128)
    layer = SpectralLinear(256, 128, **options)
    assert layer(x).std().item() == pytest.approx(dense(x).std().item(), rel=0.15)
    assert layer.bias.abs().max() <= 1 / 16


def test_the_weight_is_kept_in_eval_mode_until_something_changes() -> None:
    layer = SpectralLinear(12, 8, parametrisation="frequencies").eval()
    x = torch.randn(2, 12)
    with torch.no_grad():
        layer(x)
        kept = layer._kept
        layer(x)
        assert layer._kept is kept
        layer.spectrum.frequency.add_(0.5)
        torch.testing.assert_close(layer(x), nn.functional.linear(x, layer.weight, layer.bias))
        assert layer._kept is not kept
        layer.load_state_dict(SpectralLinear(12, 8, parametrisation="frequencies", gain=2.0).state_dict())
        torch.testing.assert_close(layer(x), nn.functional.linear(x, layer.weight, layer.bias))
        assert layer.double()(x.double()).dtype == torch.float64
        for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert other._kept is None
            torch.testing.assert_close(other(x.double()), layer(x.double()))
    layer(x.double()).sum().backward()  # no weight without a graph where gradients are asked for
    assert layer.spectrum.frequency.grad is not None
    with torch.inference_mode():
        layer(x.double())
    layer(x.double()).sum().backward()


@pytest.mark.parametrize("parametrisation", ["frequencies", "coefficients"])
def test_compiles_and_exports(parametrisation: str) -> None:
    layer = SpectralLinear(12, 8, parametrisation=parametrisation).eval()
    x = torch.randn(2, 12)
    expected = layer(x)
    torch.testing.assert_close(torch.compile(layer, backend="aot_eager", fullgraph=True)(x), expected)
    torch.testing.assert_close(torch.export.export(layer, (x,)).module()(x), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("parametrisation", ["frequencies", "coefficients"])
@pytest.mark.parametrize("is_large", [False, True])
def test_dtypes(dtype: torch.dtype, parametrisation: str, is_large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "FAST_SIZE", 1 if is_large else 2**20)
    layer = SpectralLinear(16, 8, parametrisation=parametrisation)
    x = torch.randn(3, 16)
    expected = layer(x)
    found = layer.to(dtype)(x.to(dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_frequencies_stay_precise(dtype: torch.dtype) -> None:
    """Rounded to bfloat16, frequencies near 1,000 are multiples of 4."""
    layer = SpectralLinear(1024, 1024, parametrisation="frequencies")
    with torch.no_grad():
        layer.spectrum.frequency.add_(torch.rand(1024) * 0.3)
    x = torch.randn(4, 1024)
    expected = layer(x)
    expected.sum().backward()
    layer.to(dtype)
    found = layer(x.to(dtype))
    assert found.dtype == dtype
    assert (found.float() - expected).norm() < 0.01 * expected.norm()
    assert layer.spectrum.frequency.grad.dtype == layer.spectrum.frequency.dtype == torch.float32
    assert layer.double().spectrum.frequency.dtype == torch.float64
    assert SpectralLinear(8, 4, parametrisation="frequencies", dtype=dtype).spectrum.frequency.dtype == torch.float32


@pytest.mark.parametrize("size", [8, 1024])
def test_complex_rows_in_half_precision_are_refused(size: int) -> None:
    layer = SpectralLinear(size, size, transform="dft", parametrisation="frequencies", complex=True).bfloat16()
    with pytest.raises(ValueError, match=r"complex rows need float32 or float64, .*bfloat16: call \.float\(\)"):
        layer(torch.randn(2, size, dtype=torch.bfloat16))


def test_autocast_and_meta() -> None:
    layer = SpectralLinear(16, 8, parametrisation="frequencies")
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(3, 16)).dtype == torch.bfloat16
    with torch.device("meta"):
        for parametrisation in ("frequencies", "coefficients"):
            meta = SpectralLinear(16, 8, parametrisation=parametrisation)
            assert meta(torch.empty(3, 16)).shape == (3, 8)


def test_block_shapes() -> None:
    assert block_shape((84, 120), (1,), 0.25) == (84, 30)
    assert block_shape((3, 3), (0, 1), 0.01) == (1, 1)
    for keep in (0.1, 0.3, 0.5, 0.9, 1.0):
        block = block_shape((64, 32, 3, 3), (1, 2, 3), keep)
        assert block[1] * block[2] * block[3] / (32 * 9) == pytest.approx(keep, abs=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": 0}, "keep must be above 0 and at most 1, got 0"),
        ({"keep": 1.1}, "keep must be above 0 and at most 1"),
        ({"axes": (7,)}, r"axes must be among the 2 of the weight, got \(7,\)"),
        ({"parametrisation": "frequencies", "select": "largest"}, "select belongs to parametrisation="),
        ({"parametrisation": "frequencies", "keep": 0.25}, "keep belongs to parametrisation='coefficients'"),
        ({"parametrisation": "frequencies", "axes": (0, 1), "keep": 0.5}, "keep and axes belong to parametrisation="),
        ({"axes": (1, -1)}, r"axes must differ, got \(1, -1\)"),
        ({"select": "best"}, "select must be 'low', 'largest' or 'learned', got 'best'"),
        ({"transform": "cosine"}, "no transform 'cosine'"),
        ({"parametrisation": "waves"}, "must be 'frequencies' or 'coefficients', got 'waves'"),
        ({"complex": True}, "complex belongs to parametrisation='frequencies'"),
        ({"spacing": "in"}, "spacing belongs to parametrisation='frequencies'"),
        (
            {"parametrisation": "frequencies", "transform": "db2"},
            "parametrisation='coefficients' takes every transform",
        ),
        (
            {"parametrisation": "frequencies", "transform": "hadamard"},
            "parametrisation='coefficients' takes every transform",
        ),
        (
            {"parametrisation": "frequencies", "transform": get_transform("haar")},
            "takes the name of a transform; 'coefficients' takes every transform",
        ),
    ],
)
def test_refusals(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpectralLinear(8, 4, **options)


@pytest.mark.parametrize("layer", [partial(SpectralLinear, 8, 4), partial(SpectralConv2d, 8, 4, 3)])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": "0.25"}, "keep must be a number, got '0.25'"),
        ({"keep": "half"}, "keep must be a number, got 'half'"),
        ({"axes": (1.0,)}, "each axis must be an integer, got 1.0"),
        ({"axes": "01"}, "axis must be an integer, got '01'"),
        ({"gain": "2"}, "gain must be a number, got '2'"),
        ({"gain": "2", "parametrisation": "frequencies"}, "gain must be a number, got '2'"),
        ({"transform": 3}, "transform must be a name, a Transform, a FilterBank or a pywt.Wavelet, got int"),
    ],
)
def test_wrong_types_are_told_by_name(layer: Callable[..., nn.Module], options: dict, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        layer(**options)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: SpectralLinear(0, 4), ValueError, "in_features must be at least 1, got 0"),
        (lambda: SpectralLinear(4, -1), ValueError, "out_features must be at least 1, got -1"),
        (lambda: SpectralLinear(4, 5.0), TypeError, "out_features must be an integer, got 5.0"),
        (lambda: SpectralConv2d(6, 6, 0), ValueError, "kernel_size must be at least 1, got a weight of"),
    ],
)
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_sizes_that_no_weight_has(make: Callable[[], nn.Module], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_an_axis_alone_is_one_of_a_sequence() -> None:
    assert SpectralLinear(8, 4, axes=1).spectrum.axes == SpectralLinear(8, 4).spectrum.axes == (1,)


@pytest.mark.parametrize("options", [{}, {"select": "largest"}, {"parametrisation": "frequencies"}])
@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("width", [3, 9, 40])
def test_an_input_of_another_width_is_refused(
    options: dict, is_large: bool, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "FAST_SIZE", 1 if is_large else 2**20)
    for layer in (SpectralLinear(10, 5, **options), SpectralLinear(10, 5, **options).eval()):
        with pytest.raises((ValueError, RuntimeError)):
            layer(torch.ones(2, width))
