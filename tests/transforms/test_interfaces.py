"""Wavelet transforms of any filters under torch's transformations, exporters, modes and devices."""

from collections.abc import Callable
from pathlib import Path

import pytest
import pywt
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

from wavpool.transforms import (
    FilterTensors,
    dwt,
    dwt2,
    get_transform,
    idwt,
    idwt2,
    iswt2,
    native,
    swt,
    swt2,
    wavedec,
    wavedec2,
    wavedecn,
    waverec,
    waverec2,
    waverecn,
)

SIZE = (27, 34)
TAPS = FilterTensors(*(torch.tensor(values) for values in pywt.Wavelet("db3").filter_bank))


def level(x: Tensor) -> Tensor:
    low, high = dwt(x, "db4", "reflect", -2)
    return idwt(low.tanh(), high, "db4", "reflect", -2, length=SIZE[0])


def square(x: Tensor) -> Tensor:
    first, details = dwt2(x, "sym4", "periodic")
    return idwt2((first.tanh(), details), "sym4", "periodic", size=SIZE)


def signal(x: Tensor) -> Tensor:
    first, *details = wavedec(x, "db2", "constant")
    return waverec([first.tanh(), *details], "db2", "constant", length=SIZE[1])


def image(x: Tensor) -> Tensor:
    first, *details = wavedec2(x, "bior2.2", "periodization")
    return waverec2([first.tanh(), *details], "bior2.2", "periodization", size=SIZE)


def haar(x: Tensor) -> Tensor:
    first, *details = wavedec2(x)
    return waverec2([first.tanh(), *details], size=SIZE)


def volume(x: Tensor) -> Tensor:
    first, *details = wavedecn(x, "db2", "zero", axes=(-1, -2))
    return waverecn([first.tanh(), *details], "db2", "zero", (-1, -2), size=SIZE[::-1])


def learnable(x: Tensor) -> Tensor:
    first, *details = wavedec2(x, TAPS, "symmetric")
    return waverec2([first.tanh(), *details], TAPS, "symmetric", size=SIZE)


FUNCTIONS = (level, square, signal, image, haar, volume, learnable)
EACH = pytest.mark.parametrize("function", FUNCTIONS)
# Where one case takes seconds: one level and several levels at every run, the others in the slow suite.
FEW = pytest.mark.parametrize(
    "function", [each if each in (level, image) else pytest.param(each, marks=pytest.mark.slow) for each in FUNCTIONS]
)
BOTH_PATHS = pytest.mark.usefixtures("path")


class Module(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(3, 2, *SIZE, generator=torch.Generator().manual_seed(0))


def assert_close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=2e-5)


def gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    function(leaf).square().sum().backward()
    assert leaf.grad is not None
    return leaf.grad


@BOTH_PATHS
@FEW
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compile(function: Callable[[Tensor], Tensor], backend: str, x: Tensor) -> None:
    torch.compiler.reset()
    compiled = torch.compile(function, fullgraph=True, backend=backend)
    assert_close(compiled(x), function(x))
    assert_close(gradient(compiled, x), gradient(function, x))


@BOTH_PATHS
def test_compile_of_any_batch_size_is_one_graph(x: Tensor) -> None:
    torch.compiler.reset()
    compiled = torch.compile(image, fullgraph=True, backend="eager", dynamic=True)
    for count in (3, 2, 5):
        batch = x[:1].repeat(count, 1, 1, 1)
        with torch.compiler.set_stance("fail_on_recompile" if count != 3 else "default"):
            assert_close(compiled(batch), image(batch))


@BOTH_PATHS
@pytest.mark.parametrize("level", [1, None])
def test_compile_of_any_size(level: int | None) -> None:
    torch.compiler.reset()
    graphs = CompileCounter()

    def analyse(y: Tensor) -> Tensor:
        return wavedec(y, "db2", "symmetric", level)[0]

    compiled = torch.compile(analyse, fullgraph=True, backend=graphs, dynamic=True)
    for n in (40, 36, 29, 47, 33):  # all of three levels
        y = torch.randn(2, n, generator=torch.Generator().manual_seed(n))
        assert_close(compiled(y), analyse(y))
    assert graphs.frame_count == 1 or not native.usable(y)  # plain torch extends each length in its own way


@pytest.mark.parametrize(
    "function",
    [
        lambda x: dwt(x, "sym4", "boundary")[1],
        lambda x: idwt(*dwt(x, "sym4", "boundary"), "sym4", "boundary"),
        lambda x: get_transform("sym4:1").forward(x, (0, 1)),
        lambda x: get_transform("bior2.2").inverse(x),
        lambda x: swt(x, "db2")[0][1],
        lambda x: iswt2(swt2(x, level=1)),
    ],
)
def test_compile_of_changing_sizes(function: Callable[[Tensor], Tensor]) -> None:
    torch.compiler.reset()
    compiled = torch.compile(function, fullgraph=True, backend="eager")
    for n in (32, 36, 48):
        y = torch.randn(n, n, generator=torch.Generator().manual_seed(n))
        assert_close(compiled(y), function(y))


@EACH
def test_trace(function: Callable[[Tensor], Tensor], x: Tensor) -> None:
    traced = torch.jit.trace(function, (x,), check_trace=False)
    for count in (3, 1):
        assert_close(traced(2 * x[:count]), function(2 * x[:count]))


def test_fx_sees_one_node_a_call(x: Tensor) -> None:
    class Analysis(nn.Module):
        def forward(self, y: Tensor) -> Tensor:
            low, high = dwt(y, "db2")
            coefficients = wavedec2(y, level=1)
            same = waverec2([coefficients[0], coefficients[1]], size=SIZE) + waverec2(wavedec2(y), size=SIZE)
            return idwt(low, high, "db2") + same + idwt2(dwt2(y, "db3"), "db3", size=SIZE)

    graph = torch.fx.symbolic_trace(Analysis())
    called = [node.target for node in graph.graph.nodes if node.op == "call_function"]
    assert {dwt, idwt, dwt2, idwt2, wavedec2, waverec2} <= {*called}
    assert_close(graph(x), Analysis()(x))


@BOTH_PATHS
@FEW
@pytest.mark.parametrize("strict", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_export(function: Callable[[Tensor], Tensor], strict: bool, x: Tensor) -> None:
    batch = torch.export.Dim("batch")
    program = torch.export.export(Module(function), (x,), dynamic_shapes=({0: batch},), strict=strict)
    for count in (3, 2):
        assert_close(program.module()(x[:count]), function(x[:count]))


@FEW
def test_onnx(function: Callable[[Tensor], Tensor], x: Tensor, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    file = tmp_path / "transform.onnx"
    torch.onnx.export(Module(function), (x,), file, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    assert_close(torch.from_numpy(found), function(x))


@BOTH_PATHS
@EACH
def test_vmap(function: Callable[[Tensor], Tensor], x: Tensor) -> None:
    assert_close(torch.func.vmap(function)(x), function(x))
    assert_close(torch.func.vmap(function, in_dims=1, out_dims=1)(x), function(x))
    per_sample = torch.func.vmap(torch.func.grad(lambda y: function(y).square().sum()))(x)
    assert_close(per_sample, gradient(function, x))


def test_vmap_over_filters(x: Tensor) -> None:
    banks = FilterTensors(*(torch.stack((taps, 2 * taps)) for taps in TAPS))
    low = torch.func.vmap(lambda *taps: dwt(x, FilterTensors(*taps))[0])(*banks)
    assert_close(low[1], 2 * dwt(x, TAPS)[0])


@BOTH_PATHS
@EACH
def test_jvp(function: Callable[[Tensor], Tensor], x: Tensor) -> None:
    x = x.double()
    tangent = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    value, derivative = torch.func.jvp(function, (x,), (tangent,))
    assert_close(value, function(x))
    step = 1e-6
    assert_close(derivative, (function(x + step * tangent) - function(x - step * tangent)) / (2 * step))


@BOTH_PATHS
@EACH
def test_meta_and_fake(function: Callable[[Tensor], Tensor], x: Tensor) -> None:
    if function is not learnable:  # whose filters are on the CPU
        assert function(x.to("meta")).shape == x.shape
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert function(mode.from_tensor(x)).shape == x.shape


@BOTH_PATHS
@EACH
def test_layouts(function: Callable[[Tensor], Tensor], x: Tensor) -> None:
    expected, before = function(x), x.clone()
    for same in (
        x.to(memory_format=torch.channels_last),
        x.mT.contiguous().mT,
        x.repeat_interleave(2, dim=-1)[..., ::2],
        x[:1].expand(2, -1, -1, -1),
    ):
        assert_close(function(same), expected[: len(same)] if same.stride(0) else expected[:1].expand_as(same))
    assert torch.equal(x, before)
    assert function(x[:0]).shape == (0, 2, *SIZE)
    assert_close(gradient(function, x.to(memory_format=torch.channels_last)), gradient(function, x))


@BOTH_PATHS
@EACH
def test_autocast_keeps_the_precision_of_the_input(function: Callable[[Tensor], Tensor], x: Tensor) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = function(x)
    assert found.dtype == torch.float32
    assert_close(found, function(x))


@BOTH_PATHS
@EACH
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precisions(function: Callable[[Tensor], Tensor], dtype: torch.dtype, x: Tensor) -> None:
    found = function(x.to(dtype))
    assert found.dtype == dtype
    assert (found.double() - function(x.to(dtype).double())).abs().max() <= 24 * torch.finfo(dtype).eps


def test_subclasses_and_modes_see_the_call(x: Tensor) -> None:
    class Seen(Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            return func

    seen = x.as_subclass(Seen)
    for function in (dwt, wavedec, wavedec2, wavedecn):
        assert function(seen, "db2") is function
    assert idwt(seen, seen, "db2") is idwt
    assert waverec([seen, seen], "db2") is waverec
    assert waverec2([seen, (seen, seen, seen)], "db2") is waverec2
    assert waverecn([seen, {"d": seen}], "db2") is waverecn

    class Silent(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            return func(*args, **(kwargs or {}))

    with Silent():
        assert_close(image(x), image(x))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@EACH
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_cuda(function: Callable[[Tensor], Tensor], dtype: torch.dtype, x: Tensor) -> None:
    if function is learnable:
        pytest.skip("its filters are on the CPU")
    found = function(x.to("cuda", dtype))
    assert found.is_cuda
    limit = 24 * torch.finfo(dtype).eps
    torch.testing.assert_close(found.cpu(), function(x.to(dtype)), rtol=0, atol=max(limit, 1e-12))
