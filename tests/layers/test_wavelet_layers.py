"""What every wavelet layer for feature maps owes its users: layouts, precisions, gradients, compilers and exporters."""

import doctest
import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from wavpool.layers import WaveletDownsample, WaveletPool2d, WaveletUpsample, WTConv2d

LAYERS: dict[str, tuple[Callable[[], nn.Module], int]] = {  # and the channels of its input
    "downsample": (WaveletDownsample, 3),
    "downsample db2": (lambda: WaveletDownsample("db2"), 3),
    "upsample": (WaveletUpsample, 12),
    "upsample bior2.2": (lambda: WaveletUpsample("bior2.2"), 12),
    "max": (WaveletPool2d, 3),
    "max sym4": (lambda: WaveletPool2d("max", wavelet="sym4"), 3),
    "average": (lambda: WaveletPool2d("average"), 3),
    "moduli": (lambda: WaveletPool2d("moduli", 3), 3),
    "bands": (lambda: WaveletPool2d("bands"), 3),
    "wtconv": (lambda: WTConv2d(3, 3, levels=2), 3),
    "wtconv db2": (lambda: WTConv2d(2, 3, wavelet="db2", stride=2), 2),
}
SIZES = ((9, 12), (8, 5))  # odd and even, not square
each_layer = pytest.mark.parametrize("name", LAYERS)


def made(name: str, size: tuple[int, int] = SIZES[0], batch: int = 2) -> tuple[nn.Module, Tensor]:
    make, channels = LAYERS[name]
    torch.manual_seed(0)
    return make(), torch.randn(batch, channels, *size)


@each_layer
@pytest.mark.parametrize("size", [*SIZES, (1, 1), (1, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_memory_format_and_dtype_follow_the_input(name: str, size: tuple[int, int], dtype: torch.dtype) -> None:
    layer, x = made(name, size)
    exact = layer(x)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        given = x.to(dtype).contiguous(memory_format=memory_format).requires_grad_()
        y = layer.to(dtype)(given)
        assert y.dtype == dtype
        if min(size) > 1:  # otherwise the input is in both formats
            assert y.is_contiguous(memory_format=memory_format)
        tolerance = {"rtol": 2e-2, "atol": 5e-2} if dtype == torch.bfloat16 else {}
        torch.testing.assert_close(y.float(), exact, **tolerance)
        (gradient,) = torch.autograd.grad(y, given, torch.randn_like(y))
        assert gradient.shape == x.shape
        assert gradient.dtype == dtype


@each_layer
def test_any_strides(name: str) -> None:
    layer, x = made(name)
    expected = layer(x)
    wide = torch.randn(2, x.shape[1], 9, 24)
    wide[..., ::2] = x
    torch.testing.assert_close(layer(wide[..., ::2]), expected)
    torch.testing.assert_close(layer(x.transpose(2, 3).contiguous().transpose(2, 3)), expected)
    torch.testing.assert_close(layer(x.permute(1, 0, 2, 3).contiguous().permute(1, 0, 2, 3)), expected)
    many = x[:1].expand(4, -1, -1, -1)
    torch.testing.assert_close(layer(many), layer(many.contiguous()))


@each_layer
def test_gradcheck(name: str) -> None:
    layer, x = made(name, (3, 4))
    layer, x = layer.double(), x.double().requires_grad_()
    assert torch.autograd.gradcheck(layer, x)
    assert torch.autograd.gradgradcheck(layer, x)
    assert torch.autograd.gradcheck(layer, x.detach().contiguous(memory_format=torch.channels_last).requires_grad_())


@each_layer
def test_torch_func(name: str) -> None:
    layer, x = made(name)
    expected = torch.stack([layer(image[None])[0] for image in x])
    torch.testing.assert_close(torch.func.vmap(lambda image: layer(image[None])[0])(x), expected)
    gradient = torch.func.grad(lambda maps: layer(maps).square().sum())(x)
    given = x.clone().requires_grad_()
    torch.testing.assert_close(gradient, torch.autograd.grad(layer(given).square().sum(), given)[0])


@each_layer
def test_compiles_to_one_graph(name: str) -> None:
    layer, x = made(name)
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for memory_format in (torch.contiguous_format, torch.channels_last):
        given = x.contiguous(memory_format=memory_format).requires_grad_()
        y, expected = compiled(given), layer(given)
        torch.testing.assert_close(y, expected)
        weights = torch.randn_like(y)
        gradients = (torch.autograd.grad(result, given, weights)[0] for result in (y, expected))
        torch.testing.assert_close(*gradients)


@each_layer
def test_exports_with_dynamic_sizes(name: str) -> None:
    layer, x = made(name)
    batch, height, width = (
        torch.export.Dim(axis, min=least) for axis, least in (("batch", 2), ("height", 5), ("width", 5))
    )
    program = torch.export.export(layer, (x,), dynamic_shapes=({0: batch, 2: height, 3: width},)).module()
    for size in (*SIZES, (5, 16)):
        other = torch.randn(3, x.shape[1], *size)
        torch.testing.assert_close(program(other), layer(other))


@each_layer
def test_onnx_of_any_size(name: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    layer, x = made(name)
    height, width = (torch.export.Dim(axis, min=5) for axis in ("height", "width"))
    dynamic = ({0: torch.export.Dim("batch", min=2), 2: height, 3: width},)
    path = tmp_path / "layer.onnx"
    x = x.repeat(2, 1, 1, 1)
    torch.onnx.export(layer.eval(), (x,), path, dynamo=True, dynamic_shapes=dynamic, verbose=False)
    session = onnxruntime.InferenceSession(path)
    for size in SIZES:
        other = torch.randn(3, x.shape[1], *size)
        (found,) = session.run(None, {session.get_inputs()[0].name: other.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), layer(other).detach(), atol=1e-5, rtol=1e-5)


@each_layer
@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning", "ignore:.torch.jit:DeprecationWarning")
def test_torchscript(name: str) -> None:
    layer, x = made(name)
    scripted, traced = torch.jit.script(layer), torch.jit.trace(layer, x)
    torch.testing.assert_close(traced(x), layer(x))
    for size in SIZES:
        other = torch.randn(2, x.shape[1], *size)
        torch.testing.assert_close(scripted(other), layer(other))


@each_layer
def test_fx_keeps_the_fast_form(name: str) -> None:
    layer, x = made(name)
    traced = torch.fx.symbolic_trace(layer)
    for size in SIZES:
        other = torch.randn(2, x.shape[1], *size)
        exact = {} if name.startswith("wtconv") else {"rtol": 0, "atol": 0}  # eager WTConv may choose another layout
        torch.testing.assert_close(traced(other), layer(other), **exact)
    assert "chunk" not in traced.code or name == "max sym4"


@pytest.mark.parametrize("module", ["dwt2d", "resample", "wavelet_pool", "wt_conv"])
def test_examples(module: str) -> None:
    loaded = importlib.import_module(f"wavpool.layers.{module}")
    failures, count = doctest.testmod(loaded, extraglobs={"torch": torch})
    assert failures == 0
    assert count > 0
