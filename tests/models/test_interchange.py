"""Every registered model through torch's tracers, compilers and exporters, and ONNX."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

Create = Callable[..., Any]
Images = Callable[..., Tensor]


def gradients(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """By name: a traced model has its parameters in the order of their use."""
    model.zero_grad()
    model(x).square().mean().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def test_torchscript(name: str, create: Create, images: Images, tmp_path: Path) -> None:
    model = create(name, scriptable=True)
    x = images(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch announces TorchScript's end
        scripted = torch.jit.script(model)
        torch.testing.assert_close(scripted(x), model(x))
        torch.jit.save(scripted, tmp_path / "model.pt")
        torch.testing.assert_close(torch.jit.load(tmp_path / "model.pt")(x), model(x))


def test_trace(name: str, create: Create, images: Images) -> None:
    model = create(name)
    x = images(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TorchScript's end, and that sizes become constants
        traced = torch.jit.trace(model, x)  # runs it again without gradients, and compares the graphs
    torch.testing.assert_close(traced(2 * x), model(2 * x))


def test_fx(name: str, create: Create, images: Images) -> None:
    model = create(name)
    x = images(model)
    traced = torch.fx.symbolic_trace(model)
    torch.testing.assert_close(traced(x), model(x))
    torch.testing.assert_close(gradients(traced, x), gradients(model, x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.testing.assert_close(torch.jit.script(traced)(x), model(x))


def test_compile_without_graph_breaks(costly_name: str, create: Create, images: Images) -> None:
    torch.compiler.reset()
    model = create(costly_name)
    x = images(model)
    torch.testing.assert_close(torch.compile(model, fullgraph=True, backend="aot_eager")(x), model(x))


@pytest.mark.parametrize("trained", ["wavpool_dense_tiny", "wavpool_paper", "vanilla_cnn"])
def test_compiled_training(trained: str, create: Create, images: Images) -> None:
    torch.compiler.reset()
    model, compiled = create(trained, train=True), create(trained, train=True)
    x = images(model, 4)
    expected = gradients(model, x)
    compiled.compile(fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(gradients(compiled, x), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("compiled_name", ["wavpool_dense_tiny", "wavpool_paper_cifar10"])
def test_inductor(compiled_name: str, create: Create, images: Images) -> None:
    torch.compiler.reset()
    model, compiled = create(compiled_name, train=True), create(compiled_name, train=True)
    x = images(model, 4)
    expected = gradients(model, x)
    compiled.compile(fullgraph=True)
    torch.testing.assert_close(gradients(compiled, x), expected, rtol=1e-4, atol=1e-6)


def test_export(costly_name: str, create: Create, images: Images) -> None:
    model = create(costly_name)
    x = images(model)
    program = torch.export.export(model, (x,), dynamic_shapes={"x": {0: torch.export.Dim("batch")}})
    for count in (1, 2, 5):
        more = images(model, count)
        torch.testing.assert_close(program.module()(more), model(more), rtol=1e-5, atol=1e-5)


def test_onnx(costly_name: str, create: Create, images: Images, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = create(costly_name)
    x = images(model)
    path = tmp_path / "model.onnx"
    dynamic = {"x": {0: torch.export.Dim("batch")}}
    torch.onnx.export(model, (x,), path, dynamo=True, dynamic_shapes=dynamic, input_names=["x"], verbose=False)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    for count in (1, 2, 5):
        more = images(model, count)
        (logits,) = session.run(None, {"x": more.numpy()})
        torch.testing.assert_close(torch.from_numpy(logits), model(more).detach(), rtol=1e-5, atol=1e-5)
