"""Mode `boundary`, packets and the stationary transform under torch's transformations, exporters, modes and devices."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from wavpool.transforms.dwt import dwt, idwt
from wavpool.transforms.multilevel import wavedec2, waverec2
from wavpool.transforms.packets import wpdec, wpdec2, wprec, wprec2
from wavpool.transforms.stationary import iswt, iswt2, swt, swt2

SIZE = (27, 40)


def boundary(x: Tensor) -> Tensor:
    low, high = dwt(x, "db4", "boundary", -2)
    return idwt(low.tanh(), high, "db4", "boundary", -2)


def boundary_short(x: Tensor) -> Tensor:
    low, high = dwt(x, "db20", "boundary", -2)
    return idwt(low.tanh(), high, "db20", "boundary", -2)


def boundary_image(x: Tensor) -> Tensor:
    first, *details = wavedec2(x, "sym3", "boundary")
    return waverec2([torch.tanh(first), *details], "sym3", "boundary")  # type: ignore[arg-type]


def packets(x: Tensor) -> Tensor:
    leaves = wpdec(x, "db2", "symmetric", 2, axis=-2, order="freq")
    leaves["aa"] = leaves["aa"].tanh()
    return wprec(leaves, "db2", "symmetric", axis=-2, length=SIZE[0])


def packets_image(x: Tensor) -> Tensor:
    leaves = wpdec2(x, "bior2.2", "periodization", basis=["a", "h", "va", "vh", "vv", "vd", "d"])
    leaves["a"] = leaves["a"].tanh()
    return wprec2(leaves, "bior2.2", "periodization", size=SIZE)


def stationary(x: Tensor) -> Tensor:
    first, *details = swt(x, "db2", 2, trim_approx=True)
    return iswt([first.tanh(), *details], "db2")  # type: ignore[union-attr]


def stationary_image(x: Tensor) -> Tensor:
    first, *details = swt2(x[..., 1:, :], "haar", 1, trim_approx=True, norm=True)
    return torch.cat((x[..., :1, :], iswt2([first.tanh(), *details], "haar", norm=True)), -2)  # type: ignore[union-attr]


FUNCTIONS = (boundary, boundary_short, boundary_image, packets, packets_image, stationary, stationary_image)
Function = Callable[[Tensor], Tensor]
EACH = pytest.mark.parametrize("function", FUNCTIONS)
FAST = (boundary, packets, stationary)
EACH_GRAPH = pytest.mark.parametrize(  # of seconds to make
    "function", [f if f in FAST else pytest.param(f, marks=pytest.mark.slow) for f in FUNCTIONS]
)


class Module(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(3, 2, *SIZE, generator=torch.Generator().manual_seed(0))


def assert_close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=2e-5)


def gradient(function: Function, x: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    function(leaf).square().sum().backward()
    assert leaf.grad is not None
    return leaf.grad


@EACH_GRAPH
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compile(function: Function, backend: str, x: Tensor) -> None:
    torch.compiler.reset()
    compiled = torch.compile(function, fullgraph=True, backend=backend)
    assert_close(compiled(x), function(x))
    assert_close(gradient(compiled, x), gradient(function, x))


@EACH_GRAPH
@pytest.mark.parametrize("strict", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_export(function: Function, strict: bool, x: Tensor) -> None:
    batch = torch.export.Dim("batch")
    program = torch.export.export(Module(function), (x,), dynamic_shapes=({0: batch},), strict=strict)
    for count in (3, 2):
        assert_close(program.module()(x[:count]), function(x[:count]))


@EACH_GRAPH
def test_trace_and_onnx(function: Function, x: Tensor) -> None:
    traced = torch.jit.trace(function, (x,), check_trace=False)
    assert_close(traced(x[:1]), function(x[:1]))
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    program = torch.onnx.export(Module(function), (x,), dynamo=True, verbose=False)
    assert program is not None
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    assert_close(torch.from_numpy(found), function(x))


@EACH
def test_function_transforms(function: Function, x: Tensor) -> None:
    assert_close(torch.func.vmap(function)(x), function(x))
    per_sample = torch.func.vmap(torch.func.grad(lambda y: function(y).square().sum()))(x)
    assert_close(per_sample, gradient(function, x))
    tangent = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    value, derivative = torch.func.jvp(  # type: ignore[misc]
        function, (x.double(),), (tangent,)
    )
    assert_close(value, function(x.double()))
    step = 1e-6 * tangent
    assert_close(derivative, (function(x + step) - function(x - step)) / 2e-6)


@EACH
def test_second_derivatives(function: Function) -> None:
    x = torch.randn(1, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(2), requires_grad=True)
    assert torch.autograd.gradcheck(function, (x,), fast_mode=True)
    assert torch.autograd.gradgradcheck(function, (x,), fast_mode=True)


@EACH
def test_meta_fake_layouts_and_empty_batches(function: Function, x: Tensor) -> None:
    assert function(x.to("meta")).shape == x.shape
    with FakeTensorMode() as mode:
        assert function(mode.from_tensor(x)).shape == x.shape
    expected, before = function(x), x.clone()
    for same in (x.to(memory_format=torch.channels_last), x.mT.contiguous().mT, x.repeat_interleave(2, -1)[..., ::2]):
        assert_close(function(same), expected)
    assert torch.equal(x, before)
    assert function(x[:0]).shape == (0, 2, *SIZE)


@EACH
def test_precision(function: Function, x: Tensor) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = function(x)
    assert found.dtype == torch.float32
    assert_close(found, function(x))
    for dtype in (torch.float16, torch.bfloat16):
        found = function(x.to(dtype))
        assert found.dtype == dtype
        assert (found.double() - function(x.to(dtype).double())).abs().max() <= 24 * torch.finfo(dtype).eps


def test_subclasses_and_fx_see_the_call(x: Tensor) -> None:
    class Seen(Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            return func

    seen = x.as_subclass(Seen)
    calls: list[tuple[Callable[..., object], object]] = [(f, seen) for f in (wpdec, wpdec2, swt, swt2)]
    calls += [(wprec, {"a": seen}), (wprec2, {"a": seen}), (iswt, [(seen, seen)]), (iswt2, [seen, (seen,) * 3])]
    for function, argument in calls:
        assert function(argument, "db2") is function
    graph = torch.fx.symbolic_trace(lambda y: iswt(swt(y, "db2", 2), "db2"))
    assert {swt, iswt} <= {node.target for node in graph.graph.nodes}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@EACH
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_cuda(function: Function, dtype: torch.dtype, x: Tensor) -> None:
    found = function(x.to("cuda", dtype))
    assert found.is_cuda
    limit = max(24 * torch.finfo(dtype).eps, 1e-12)
    torch.testing.assert_close(found.cpu(), function(x.to(dtype)), rtol=0, atol=limit)
