"""The trigonometric and Walsh-Hadamard transforms under everything that torch does to a function."""

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from wavpool.transforms import constants
from wavpool.transforms.hadamard import wht, wht_matrix
from wavpool.transforms.trigonometric import dct, dct_matrix, dht, dst, idct, irdft, rdft

Function = Callable[..., Tensor]
dct4, dst2 = functools.partial(dct, type=4), functools.partial(dst, type=2)
# A matrix product on the axis of 16, FFTs or Kronecker factors on that of 128, FFTs of an odd length on that of 99.
FUNCTIONS = {"dct": dct, "idct": idct, "dct4": dct4, "dst": dst2, "dht": dht, "rdft": rdft, "irdft": irdft}
FUNCTIONS["wht"] = functools.partial(wht, order="sequency")
CASES = [(name, n) for name in FUNCTIONS for n in (16, 128, 99) if name != "wht" or n != 99]
TRACED = [
    ("dct", 16),
    ("idct", 99),
    ("dct4", 128),
    ("dst", 99),
    ("dht", 128),
    ("rdft", 16),
    ("irdft", 128),
    ("wht", 128),
]


def functions(cases: list[tuple[str, int]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("function", "n"), [pytest.param(FUNCTIONS[name], n, id=f"{name}-{n}") for name, n in cases]
    )


FORMS = functions(CASES)
SAMPLE = functions(TRACED)


class Module(nn.Module):
    """A transform of the last two axes, as layers use it."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, axis=(-2, -1))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def assert_near(ours: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


@pytest.fixture(autouse=True)
def empty_caches() -> None:
    """Every test makes its constants itself, in whatever mode it is."""
    constants._cached.cache_clear()
    torch.compiler.reset()


@FORMS
def test_layouts(function: Function, n: int) -> None:
    x = noise(2, 4, 4, n)
    expected = function(x)
    for view in (x.to(memory_format=torch.channels_last), x.mT.contiguous().mT, x.repeat_interleave(2, -1)[..., ::2]):
        assert_near(function(view), expected)
    assert_near(function(x[:1].expand(3, -1, -1, -1)), expected[:1].expand(3, -1, -1, -1))
    assert_near(function(x.movedim(-1, 1), axis=1), expected.movedim(-1, 1))
    before = x.clone()
    function(x)
    assert torch.equal(x, before)


@FORMS
def test_empty_batch_and_meta_device(function: Function, n: int) -> None:
    assert function(torch.zeros(0, 3, n)).shape == (0, 3, n)
    assert function(torch.zeros(0, n, 3), axis=1).shape == (0, n, 3)
    for dtype in (torch.float32, torch.bfloat16):
        on_meta = function(torch.empty(2, n, 3, dtype=dtype, device="meta"), axis=1)
        assert (on_meta.shape, on_meta.dtype, on_meta.device.type) == ((2, n, 3), dtype, "meta")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@SAMPLE
def test_cuda(function: Function, n: int, dtype: torch.dtype) -> None:
    x = noise(3, n, 5).to(dtype)
    on_cuda = function(x.cuda(), axis=1)
    assert on_cuda.is_cuda
    torch.testing.assert_close(on_cuda.cpu(), function(x, axis=1))
    with torch.autocast("cuda"):
        torch.testing.assert_close(function(x.cuda(), axis=1), on_cuda)


@FORMS
def test_autocast_keeps_the_precision_of_the_input(function: Function, n: int) -> None:
    for dtype in (torch.float64, torch.float32, torch.float16):
        x = noise(3, n, 5).to(dtype)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rows, columns = function(x.mT), function(x, axis=1)
        assert rows.dtype == columns.dtype == dtype
        assert torch.equal(rows, function(x.mT))
        assert torch.equal(columns, function(x, axis=1))


@FORMS
def test_functorch(function: Function, n: int) -> None:
    x, tangent = noise(3, 2, n), noise(3, 2, n, seed=1)
    gradient = torch.func.grad(lambda x: function(x).square().sum())(
        x
    )  # the first call, so the one that makes constants
    assert_near(gradient, 2 * x)
    y, derivative = torch.func.jvp(function, (x,), (tangent,))
    assert_near(y, function(x))
    assert_near(derivative, function(tangent))
    assert_near(torch.func.vmap(function)(x), function(x))
    assert_near(torch.func.vmap(function, in_dims=1, out_dims=1)(x), function(x))
    assert_near(
        torch.func.vmap(torch.func.vmap(functools.partial(function, axis=0)), in_dims=1, out_dims=1)(x), function(x)
    )
    hessian = torch.func.hessian(lambda x: function(x).square().sum())(x[0, 0])
    assert_near(hessian, 2 * torch.eye(n))
    jacobian = torch.func.jacrev(function)(x[0, 0])
    assert_near(torch.autograd.functional.jacobian(function, x[0, 0], vectorize=True), jacobian)


@FORMS
def test_constants_made_in_inference_mode_serve_training(function: Function, n: int) -> None:
    x = noise(2, n)
    with torch.inference_mode():
        expected = function(x)
    leaf = x.clone().requires_grad_()
    y = function(leaf)
    assert torch.equal(y, expected)
    y.square().sum().backward()
    assert_near(leaf.grad, 2 * x)


@SAMPLE
def test_fake_tensors_leave_no_trace(function: Function, n: int) -> None:
    with FakeTensorMode():
        fake = function(torch.empty(2, n))
        assert fake.shape == (2, n)
    x = noise(2, n)
    with torch.device("meta"):  # a default device that the constants must not take
        assert function(x).device.type == "cpu"
    for mode in ("real", "fake", "symbolic"):
        assert_near(make_fx(lambda x: function(x), tracing_mode=mode)(x)(x), function(x))


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@SAMPLE
def test_compile(function: Function, n: int, backend: str) -> None:
    compiled = torch.compile(Module(function), fullgraph=True, backend=backend)
    for batch in (2, 3, 4):
        leaf = noise(batch, 8, n).requires_grad_()
        y = compiled(leaf)
        assert_near(y, Module(function)(leaf))
        y.square().sum().backward()
        assert_near(leaf.grad, 2 * leaf)
    with torch.inference_mode():
        assert_near(compiled(leaf), y)


def test_compile_of_changing_lengths() -> None:
    compiled = torch.compile(dct, fullgraph=True, backend="aot_eager")
    for n in (7, 8, 9, 100, 101):
        assert_near(compiled(noise(2, n)), dct(noise(2, n)))


def test_compile_of_autocast_and_transforms() -> None:
    x = noise(2, 3, 100)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_near(torch.compile(Module(dst), fullgraph=True, backend="aot_eager")(x), Module(dst)(x))
    mapped = torch.compile(torch.func.vmap(torch.func.grad(lambda x: dct(x).square().sum())), backend="aot_eager")
    assert_near(mapped(x), 2 * x)


def test_compile_of_a_matrix() -> None:
    compiled = torch.compile(
        lambda x: x @ dct_matrix(12).T @ wht_matrix(12 + 4)[:12], fullgraph=True, backend="aot_eager"
    )
    x = noise(3, 12)
    assert_near(compiled(x), dct(x) @ wht_matrix(16)[:12])


@pytest.mark.parametrize("strict", [False, True])
@SAMPLE
def test_export(function: Function, n: int, strict: bool) -> None:
    x = noise(3, 8, n)
    dynamic = {"x": {0: torch.export.Dim("batch")}}
    program = torch.export.export(Module(function), (x,), dynamic_shapes=dynamic, strict=strict)
    for batch in (1, 2, 5):
        x = noise(batch, 8, n)
        assert_near(program.module()(x), Module(function)(x))


@pytest.mark.parametrize(
    ("name", "n"), [("dct", 16), ("dct4", 128), ("dst", 99), ("rdft", 128), ("wht", 128), ("idct", 2048)]
)
def test_onnx(name: str, n: int, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    module, x = Module(FUNCTIONS[name]).eval(), noise(3, 8, n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module, (x,), dynamo=True, dynamic_shapes=[{0: torch.export.Dim("batch")}], verbose=False
        )
    program.save(tmp_path / "transform.onnx")
    session = runtime.InferenceSession(tmp_path / "transform.onnx", providers=["CPUExecutionProvider"])
    x = noise(2, 8, n)
    (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    assert_near(torch.from_numpy(y), module(x))


@SAMPLE
def test_jit_trace(function: Function, n: int) -> None:
    x = noise(2, 8, n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the length is meant to be a constant of the trace
        traced = torch.jit.trace(Module(function), (x,))
    x = noise(5, 8, n)
    assert_near(traced(x), Module(function)(x))


@SAMPLE
def test_fx_has_one_node(function: Function, n: int) -> None:
    traced = torch.fx.symbolic_trace(Module(function))
    assert [node.op for node in traced.graph.nodes] == ["placeholder", "call_function", "output"]
    assert_near(traced(noise(2, 8, n)), Module(function)(noise(2, 8, n)))


def test_subclasses_override_and_survive() -> None:
    class Plain(Tensor):
        pass

    class Named(Tensor):
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return func.__name__, kwargs

    assert dst(noise(4).as_subclass(Named), 3) == ("dst", {"type": 3, "axis": -1, "norm": "ortho"})
    assert wht(noise(4).as_subclass(Named)) == ("wht", {"axis": -1, "order": "natural"})
    for n in (16, 128):
        ours = dct(noise(n).as_subclass(Plain))
        assert type(ours) is Plain
        assert_near(ours.as_subclass(Tensor), dct(noise(n)))


def test_half_precisions_are_rounded_once() -> None:
    for n in (16, 128):
        x = noise(4, n).bfloat16()
        assert torch.equal(dct(x), dct(x.float()).bfloat16())
        assert torch.equal(wht(x), wht(x.float()).bfloat16())
