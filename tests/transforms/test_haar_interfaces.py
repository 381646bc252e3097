"""The Haar transform under torch's transformations, layouts and devices, and what it refuses."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from wavpool.transforms import dwt_max_level, haar_analysis, haar_step, level_sizes, wavedec2, waverec2


def bands_of(coefficients: list[Any]) -> list[Tensor]:
    return [coefficients[0], *(band for detail in coefficients[1:] for band in detail)]


def assert_equal(ours: list[Any], other: list[Any]) -> None:
    for a, b in zip(bands_of(ours), bands_of(other), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


class Analysis(nn.Module):
    """All levels of images of one size."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.sizes = level_sizes(size, dwt_max_level(size))

    def forward(self, x: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor, Tensor]]]:
        return haar_analysis(x, self.sizes)


class RoundTrip(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        coefficients = wavedec2(x)
        return waverec2(coefficients, size=(x.shape[-2], x.shape[-1]))


@pytest.fixture
def x() -> Tensor:
    return torch.randn(3, 2, 13, 20, generator=torch.Generator().manual_seed(0))


def test_layouts(x: Tensor) -> None:
    reference = wavedec2(x)
    assert_equal(wavedec2(x.to(memory_format=torch.channels_last)), reference)
    assert_equal(wavedec2(x.mT.contiguous().mT), reference)
    assert_equal(wavedec2(x.repeat_interleave(2, dim=-1)[..., ::2]), reference)
    assert_equal(wavedec2(x[:1].expand(4, -1, -1, -1)), wavedec2(x[:1].repeat(4, 1, 1, 1)))
    before = x.clone()
    wavedec2(x)
    assert torch.equal(x, before)


def test_empty_batch() -> None:
    coefficients = wavedec2(torch.zeros(0, 3, 8, 8))
    assert coefficients[0].shape == (0, 3, 1, 1)
    assert waverec2(coefficients).shape == (0, 3, 8, 8)


def test_meta_device() -> None:
    coefficients = wavedec2(torch.empty(2, 7, 9, device="meta"))
    assert [tuple(band.shape) for band in bands_of(coefficients)] == [(2, 2, 3), *[(2, 2, 3)] * 3, *[(2, 4, 5)] * 3]
    assert coefficients[0].device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_cuda(x: Tensor, dtype: torch.dtype) -> None:
    on_cuda = wavedec2(x.to("cuda", dtype))
    assert on_cuda[0].is_cuda
    for ours, other in zip(bands_of(on_cuda), bands_of(wavedec2(x.to(dtype))), strict=True):
        torch.testing.assert_close(ours.cpu(), other)
    torch.testing.assert_close(waverec2(on_cuda, size=(13, 20)).cpu(), waverec2(wavedec2(x.to(dtype)), size=(13, 20)))


def test_vmap(x: Tensor) -> None:
    assert_equal(torch.func.vmap(wavedec2)(x), wavedec2(x))
    assert_equal(torch.func.vmap(wavedec2, in_dims=1, out_dims=1)(x), wavedec2(x))


def test_jvp_is_the_transform_of_the_tangent(x: Tensor) -> None:
    tangent = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    primal_out, tangent_out = torch.func.jvp(wavedec2, (x,), (tangent,))
    assert_equal(primal_out, wavedec2(x))
    assert_equal(tangent_out, wavedec2(tangent))


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compile(x: Tensor, backend: str) -> None:
    torch.compiler.reset()
    compiled = torch.compile(wavedec2, fullgraph=True, backend=backend)
    assert_equal(compiled(x), wavedec2(x))
    leaf = x.clone().requires_grad_()
    torch.compile(RoundTrip(), fullgraph=True, backend=backend)(leaf).square().sum().backward()
    torch.testing.assert_close(leaf.grad, 2 * x, rtol=1e-5, atol=1e-5)


def test_export(x: Tensor) -> None:
    batch = torch.export.Dim("batch")
    program = torch.export.export(RoundTrip(), (x,), dynamic_shapes={"x": {0: batch}})
    for count in (1, 2):
        torch.testing.assert_close(program.module()(x[:count]), x[:count])


def test_torchscript(x: Tensor) -> None:
    scripted = torch.jit.script(haar_analysis)
    sizes = level_sizes((13, 20), 3)
    approximation, details = scripted(x, sizes)
    assert_equal([approximation, *reversed(details)], wavedec2(x))
    module = torch.jit.script(Analysis((13, 20)))
    torch.testing.assert_close(module(x)[0], approximation)


def test_fx(x: Tensor) -> None:
    traced = torch.fx.symbolic_trace(Analysis((13, 20)))
    approximation, details = traced(x)
    assert_equal([approximation, *reversed(details)], wavedec2(x))


def test_one_step_is_the_first_level(x: Tensor) -> None:
    approximation, *details = haar_step(x, (13, 20))
    assert_equal([approximation, tuple(details)], wavedec2(x, level=1))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"level": 4}, ValueError, "level must be 0 to 3 for 8 x 9 and filters of length 2, got 4"),
        ({"level": -1}, ValueError, "level must be 0 to 3 for 8 x 9 and filters of length 2, got -1"),
        ({"wavelet": "dbb2"}, ValueError, "no discrete wavelet 'dbb2'; close: db2"),
        ({"mode": "zeros"}, ValueError, "mode must be one of zero, constant, .*, got 'zeros'"),
    ],
)
def test_wavedec2_refuses_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        wavedec2(torch.zeros(8, 9), **arguments)


def test_wavedec2_refuses_tensors() -> None:
    with pytest.raises(
        TypeError, match=r"must be a floating-point tensor, got torch.uint8; convert it with x.float\(\)"
    ):
        wavedec2(torch.zeros(8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"axis -2 does not exist in shape \(8,\); allowed: -1 to 0"):
        wavedec2(torch.zeros(8))
    with pytest.raises(ValueError, match="every transformed length must be at least 1"):
        wavedec2(torch.zeros(3, 0, 8))


DOT = torch.zeros(1, 1)


@pytest.mark.parametrize(
    ("coefficients", "message"),
    [
        ([], "as wavedec2 returns them"),
        ([(DOT, DOT, DOT)], "as wavedec2 returns them"),
        ([DOT, DOT], r"must be \[cA, \(cH, cV, cD\), ...\]"),
        ([DOT, (DOT, DOT)], r"must be \[cA, \(cH, cV, cD\), ...\]"),
        ([DOT, (DOT, DOT, torch.zeros(1, 2))], r"detail dd must be torch.float32 of shape \(1, 1\)"),
        ([DOT, (torch.zeros(2, 2),) * 3], r"detail da must be torch.float32 of shape \(1, 1\) to belong to"),
        ([DOT, (DOT,) * 3, (torch.zeros(3, 3),) * 3], "1 coefficients .* signals of length 1 or 2, not 3"),
    ],
)
def test_waverec2_refuses_structures(coefficients: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        waverec2(coefficients)


def test_waverec2_refuses_a_wrong_size() -> None:
    with pytest.raises(ValueError, match="belong to signals of length 15 or 16, not 14"):
        waverec2(wavedec2(torch.zeros(16, 16)), size=(16, 14))
