"""The common interface: every transform inverts, agrees with its matrix, keeps its name, and says what it refuses."""

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import gradcheck, gradgradcheck

from wavpool.transforms import (
    FilterBank,
    Transform,
    WaveletTransform,
    boundary_matrix,
    coeffs_to_array,
    dct_matrix,
    dwt2,
    filter_bank,
    get_transform,
    transform_names,
    wavedec,
    wavedecn,
    wavelist,
)
from wavpool.transforms.transform import ALIASES, SEPARABLE

MINE = WaveletTransform(  # a haar of other scales, biorthogonal
    FilterBank("mine", (0.5, 0.5), (-0.5, 0.5), (1.0, 1.0), (1.0, -1.0)), 1
)
SOME = ("haar", "db4:1", "sym5", "coif2", "bior2.2", "rbio2.2:1", "bior1.3:1", MINE.name)
SAMPLE = (*SEPARABLE, *SOME)
EACH = pytest.mark.parametrize("name", SAMPLE)
ONE_AXIS = ((1,), (2,), (7,), (16,), (33,), (64,), (101,), (128,))
SIZES = (*ONE_AXIS, (5, 8), (32, 16), (33, 64), (3, 3), (64, 64), (19, 24, 26))
EACH_GRAPH = pytest.mark.parametrize("name", ["dct2", "wht", "db2", "haar:1", "bior2.2:1"])


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def exists(transform: Transform, size: tuple[int, ...]) -> bool:
    try:
        transform.level(*size)
    except ValueError:
        with pytest.raises(ValueError, match=r"level must be|needs a length"):
            transform.forward(torch.zeros(size), range(len(size)))
        return False
    return True


def check(name: str, sizes: tuple[tuple[int, ...], ...]) -> None:
    """Round trip, energy and shape for those sizes that the transform takes, at any place of the axes."""
    transform = get_transform(name)
    assert get_transform(transform.name) == transform
    taken = [size for size in sizes if exists(transform, size)]
    assert len(taken) >= 3
    atol = 1e-9 if name == "sym20" else 1e-10  # its taps in PyWavelets are off by 3e-11
    for size in taken:
        x = noise(2, *size, 3)
        axes = tuple(range(1, 1 + len(size)))
        y = transform.forward(x, axes)
        assert y.shape == x.shape
        torch.testing.assert_close(transform.inverse(y, axes), x, rtol=0, atol=atol)
        if transform.is_orthonormal:
            torch.testing.assert_close(y.square().sum(), x.square().sum(), rtol=atol, atol=0)
        there = tuple(range(-len(size), 0))
        torch.testing.assert_close(transform.forward(x.movedim(axes, there), there).movedim(there, axes), y)


@EACH
def test_round_trip(name: str) -> None:
    check(name, SIZES)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*transform_names()} - {*SAMPLE}))
def test_round_trip_of_every_wavelet(name: str) -> None:
    check(name, (*SIZES, (256,), (200,), (1000,), (250, 255), (240, 256)))


@EACH
def test_matrix(name: str) -> None:
    transform = get_transform(name)
    sizes = ((8,), (29,), (32,), (4, 16), (16, 17), (16, 16), (4, 2, 8))
    for size in (size for size in sizes if exists(transform, size)):
        x, axes = noise(*size), range(len(size))
        matrix = transform.matrix(*size, dtype=torch.float64)
        torch.testing.assert_close(matrix @ x.flatten(), transform.forward(x, axes).flatten(), rtol=0, atol=1e-11)
        gram = matrix @ matrix.T
        is_orthonormal = torch.allclose(gram, torch.eye(math.prod(size), dtype=gram.dtype), rtol=0, atol=1e-10)
        assert is_orthonormal == (transform.is_orthonormal or transform.level(*size) == 0)
        if transform.is_orthonormal:
            torch.testing.assert_close(matrix.T @ x.flatten(), transform.inverse(x, axes).flatten(), rtol=0, atol=1e-11)


def test_matrix_takes_dtype_and_device() -> None:
    assert get_transform("db2").matrix(6).dtype == torch.float32
    with torch.device("meta"):
        assert get_transform("db2").matrix(6).device.type == "meta"
    matrix = get_transform("haar").matrix(5, 6, dtype=torch.float16, device="cpu")
    assert (matrix.dtype, matrix.shape, matrix.is_contiguous()) == (torch.float16, (30, 30), True)
    with pytest.raises(TypeError, match=r"dtype must be a floating-point dtype such as torch.float32, got torch.int64"):
        get_transform("dct").matrix(4, dtype=torch.int64)


def test_members_are_the_functions_of_the_package() -> None:
    x = noise(24, 40)
    assert get_transform("identity").forward(x) is x
    torch.testing.assert_close(get_transform("dct").matrix(7, dtype=x.dtype), dct_matrix(7, dtype=x.dtype))
    torch.testing.assert_close(get_transform("db3:1").matrix(17, dtype=x.dtype), boundary_matrix(17, "db3", x.dtype))
    (approximation, *details), form = wavedec(x, "bior2.2", "periodization", 3), get_transform("bior2.2:3")
    torch.testing.assert_close(form.forward(x), torch.cat((approximation, *details), -1))
    for name, mode in (("bior2.2:2", "periodization"), ("db2:2", "boundary"), ("haar:3", "boundary")):
        wavelet, level = name.split(":")
        expected = coeffs_to_array(wavedecn(x, wavelet, mode, int(level)))[0]
        torch.testing.assert_close(get_transform(name).forward(x, (0, 1)), expected)


def test_pywavelets_arrangement() -> None:
    x = noise(32, 48)
    packed, _ = pywt.coeffs_to_array(pywt.wavedec2(x.numpy(), "bior4.4", "periodization", level=1))
    np.testing.assert_allclose(get_transform("bior4.4:1").forward(x, (0, 1)), packed, rtol=0, atol=1e-12)
    packed, _ = pywt.coeffs_to_array(pywt.wavedec2(x.numpy(), "haar", "periodization", level=4))
    np.testing.assert_allclose(get_transform("haar:4").forward(x, (0, 1)), packed, rtol=0, atol=1e-12)


def test_odd_lengths_have_the_larger_low_band() -> None:
    y = get_transform("db2:1").forward(noise(2, 15, 21), (1, 2))
    low, (horizontal, _, _) = dwt2(noise(2, 15, 21), "db2", "boundary")
    torch.testing.assert_close(y[:, :8, :11], low)
    torch.testing.assert_close(y[:, 8:, :11], horizontal)


@pytest.mark.parametrize(
    ("name", "size", "level"),
    [
        ("dct", (64,), 0),
        ("haar", (1,), 0),
        ("haar", (3, 3), 1),
        ("haar", (64, 17), 4),
        ("haar:2", (64, 17), 2),
        ("db2", (3, 3), 0),
        ("db4", (64,), 3),
        ("db4:0", (64,), 0),
        ("bior2.2", (96,), 4),
        ("bior2.2", (97,), 0),
        ("bior2.2", (96, 100), 2),
    ],
)
def test_level_is_reported(name: str, size: tuple[int, ...], level: int) -> None:
    transform = get_transform(name)
    assert transform.level(*size) == level
    x = noise(*size)
    if level == 0 and not name.startswith("dct"):
        assert torch.equal(transform.forward(x, range(len(size))), x)
    elif not name.startswith("dct"):
        base = name.split(":")[0]
        torch.testing.assert_close(
            get_transform(f"{base}:{level}").forward(x, range(len(size))), transform.forward(x, range(len(size)))
        )
        with pytest.raises(ValueError, match=f"level must be 0 to .*got {level + 10}"):
            get_transform(f"{base}:{level + 10}").level(*size)


def test_names() -> None:
    names = transform_names()
    assert len(set(names)) == len(names) == len(SEPARABLE) + len(wavelist()) - 1
    for name in names:
        transform = get_transform(name)
        assert transform.name == name
        assert get_transform(f"{name.upper()}") == transform
    for alias, name in ALIASES.items():
        assert get_transform(alias) == get_transform(name)
    perfect = [name for name in wavelist() if filter_bank(name).reconstruction_error < 1e-8]
    assert {*perfect} == {*names} - {*SEPARABLE}


@EACH
def test_transforms_are_values(name: str) -> None:
    transform = get_transform(name)
    for same in (copy.deepcopy(transform), pickle.loads(pickle.dumps(transform)), get_transform(transform)):
        assert same == transform
        assert hash(same) == hash(transform)
        assert (same.name, same.is_orthonormal) == (transform.name, transform.is_orthonormal)
    assert len({get_transform(each) for each in SAMPLE}) == len(SAMPLE)


def test_filters_stand_for_their_transform() -> None:
    bank = FilterBank("steep", *_flipped("db3"))
    transform = get_transform(bank)
    assert isinstance(transform, WaveletTransform)
    assert transform.is_orthonormal
    assert transform.bank.name == "custom"
    assert get_transform(transform.name) == transform == WaveletTransform(bank)
    torch.testing.assert_close(transform.inverse(transform.forward(noise(31))), noise(31), rtol=0, atol=1e-11)
    assert get_transform(pywt.Wavelet("db3")) == get_transform(filter_bank("db3")) == get_transform("db3")


def _flipped(wavelet: str) -> tuple[tuple[float, ...], ...]:
    """The filters of the mirrored wavelet."""
    bank = filter_bank(wavelet)
    return tuple(taps[::-1] for taps in (bank.dec_lo, bank.dec_hi, bank.rec_lo, bank.rec_hi))


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_transform_inverts_on_any_axes(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([name for name in SAMPLE if ":" not in name and name not in ("wht", "dct1")]))
    shape = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=3))
    axes = data.draw(st.lists(st.sampled_from(range(-len(shape), len(shape))), min_size=1, max_size=3).map(tuple))
    transform, x = get_transform(name), noise(*shape, seed=data.draw(st.integers(0, 9)))
    if len({axis % x.ndim for axis in axes}) < len(axes):
        with pytest.raises(ValueError, match="axes must differ"):
            transform.forward(x, axes)
        return
    y = transform.forward(x, axes)
    torch.testing.assert_close(transform.inverse(y, axes), x, rtol=0, atol=1e-10)
    torch.testing.assert_close(transform.forward(3 * x, axes), 3 * y, rtol=1e-9, atol=1e-9)


@EACH_GRAPH
def test_derivatives(name: str) -> None:
    transform, x = get_transform(name), noise(16, 16).requires_grad_()
    for function in (transform.forward, transform.inverse):
        assert gradcheck(lambda y, function=function: function(y, (0, 1)), (x,))
        assert gradgradcheck(lambda y, function=function: function(y, 0).square(), (x,), fast_mode=True)


class RoundTrip(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.transform = get_transform(name)

    def forward(self, x: Tensor) -> Tensor:
        return self.transform.inverse(self.transform.forward(x, (-2, -1)).tanh(), (-2, -1))


def assert_same(function: Callable[[Tensor], Tensor], module: nn.Module, x: Tensor) -> None:
    torch.testing.assert_close(function(x), module(x), rtol=0, atol=1e-5)


@EACH_GRAPH
def test_compile(name: str) -> None:
    torch.compiler.reset()
    module, x = RoundTrip(name), noise(3, 16, 32, dtype=torch.float32)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    assert_same(compiled, module, x)
    leaf, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    compiled(leaf).square().sum().backward()
    module(other).square().sum().backward()
    torch.testing.assert_close(leaf.grad, other.grad, rtol=0, atol=1e-5)


@pytest.mark.slow
@EACH
def test_compile_with_inductor(name: str) -> None:
    torch.compiler.reset()
    module = RoundTrip(name)
    assert_same(torch.compile(module, fullgraph=True), module, noise(3, 16, 32, dtype=torch.float32))


@pytest.mark.parametrize("name", ["dct", "db2:1"])
def test_compile_finds_transforms_by_name(name: str) -> None:
    torch.compiler.reset()
    compiled = torch.compile(lambda x: get_transform(name).forward(x), fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(noise(9)), get_transform(name).forward(noise(9)))
    module = RoundTrip(name)
    graph = torch.compile(torch.fx.symbolic_trace(module), fullgraph=True, backend="eager")
    torch.testing.assert_close(graph(noise(16, 32)), module(noise(16, 32)))


@EACH_GRAPH
def test_traced_and_exported(name: str) -> None:
    module, x = RoundTrip(name), noise(3, 16, 32, dtype=torch.float32)
    graph = torch.fx.symbolic_trace(module)
    assert sum(node.op == "call_function" for node in graph.graph.nodes) == 2  # each is a leaf
    assert_same(graph, module, x)
    assert_same(torch.jit.trace(module, x), module, x)
    program = torch.export.export(module, (x,), dynamic_shapes={"x": {0: torch.export.Dim("batch")}})
    assert_same(program.module(), module, x[:2])
    torch.testing.assert_close(torch.func.vmap(module)(x), module(x), rtol=0, atol=1e-5)
    _, tangent = torch.func.jvp(RoundTrip(name), (x.double(),), (torch.ones_like(x).double(),))
    step = (module(x.double() + 1e-6) - module(x.double() - 1e-6)) / 2e-6
    torch.testing.assert_close(tangent, step, rtol=0, atol=1e-7)


@EACH
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rounds_once(name: str, dtype: torch.dtype) -> None:
    transform, x = get_transform(name), noise(16, 32, dtype=dtype)
    y = transform.forward(x, (0, 1))
    assert y.dtype == dtype
    torch.testing.assert_close(y, transform.forward(x.float(), (0, 1)).to(dtype), rtol=0, atol=0)
    torch.testing.assert_close(transform.inverse(y, (0, 1)), transform.inverse(y.float(), (0, 1)).to(dtype))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(transform.forward(x.float(), (0, 1)), transform.forward(x.float(), (0, 1)))
        assert transform.forward(x.float(), (0, 1)).dtype == torch.float32


@EACH
def test_meta_fake_and_empty_batch(name: str) -> None:
    module = RoundTrip(name)
    on_meta = module(torch.empty(2, 16, 32, device="meta"))
    assert (on_meta.shape, on_meta.device.type) == ((2, 16, 32), "meta")
    with FakeTensorMode() as mode:
        assert module(mode.from_tensor(torch.zeros(2, 16, 32))).shape == (2, 16, 32)
    assert module(torch.zeros(0, 16, 32)).shape == (0, 16, 32)


@EACH
def test_argument_is_kept(name: str) -> None:
    x = noise(4, 16, 32)
    before, transform = x.clone(), get_transform(name)
    strided = x.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    torch.testing.assert_close(transform.forward(strided, (1, 2)), transform.forward(x, (1, 2)))
    transform.inverse(x, (1, 2))
    assert torch.equal(x, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@EACH
def test_cuda(name: str) -> None:
    module, x = RoundTrip(name), noise(3, 16, 32)
    assert_same(lambda x: module(x.cuda()).cpu(), module, x)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dbb4", r"^no transform 'dbb4'; close: db4.*; all: wavpool.transforms.transform_names\(\)$"),
        ("dct5", "no transform 'dct5'; close: dct"),
        ("hadamar", "close: hadamard"),
        ("mexh", "no transform 'mexh'; close: "),
        ("", "no transform ''; close: dct, haar"),
        ("x" * 10**5, r"^no transform 'x+\.\.\.x+'; close"),
        ("dct:2", "dct2 has no levels, got 'dct:2'"),
        ("db4:", "a number of levels must follow the colon, as in 'db4:2', got 'db4:'"),
        ("db4:-1", "must follow the colon"),
        ("db4:²", "must follow the colon"),
        ("db4:9999", "must follow the colon"),
        ("db4:1:2", "must follow the colon"),
        ("dmey", "dmey misses perfect reconstruction by 0.0045 and cannot be inverted; take another"),
        ("0x1p0 0x1p0 1 1 1 1 1 1", "does not spell the taps of four filters: .* misses perfect reconstruction"),
        ("nan nan nan nan nan nan nan nan", "does not spell the taps"),
        ("0x1p0 here", "does not spell the taps of four filters: invalid hexadecimal"),
        ("0x1p99999 0x1p0", "does not spell the taps"),
        ("0 " * 10**5, "at most 1024 taps"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        get_transform(name)


@pytest.mark.parametrize(
    ("name", "x", "axes", "error", "message"),
    [
        ("identity", torch.zeros(4, dtype=torch.int64), -1, TypeError, r"convert it with x.float\(\)"),
        ("db2", [1.0], -1, TypeError, r"convert it with torch.as_tensor\(x\)"),
        ("identity", torch.zeros(2, 4), 2, ValueError, r"axis 2 does not exist in shape \(2, 4\)"),
        ("dct", torch.zeros(2, 4), (), ValueError, "axes must name at least one axis"),
        ("db2", torch.zeros(2, 4), (0, -2), ValueError, "axes must differ"),
        ("wht", torch.zeros(2, 0), 1, ValueError, "length must be at least 1"),
        ("wht", torch.zeros(6), -1, ValueError, "a length that is a power of two, got 6; take 4 or 8"),
        ("dct1", torch.zeros(3, 1), 1, ValueError, "type 1 needs a length of at least 2"),
        ("db4:4", torch.zeros(64), -1, ValueError, "level must be 0 to 3 for 64 and filters of length 8, got 4"),
        (
            "bior2.2:3",
            torch.zeros(100, 104),
            (0, 1),
            ValueError,
            r"level must be 0 to 2 for 100 x 104 and .*, got 3; .* need lengths that 2\*\*level divides",
        ),
    ],
)
def test_refuses_tensors(name: str, x: Any, axes: Any, error: type[Exception], message: str) -> None:
    for function in (get_transform(name).forward, get_transform(name).inverse):
        with pytest.raises(error, match=message):
            function(x, axes)


def test_refuses_sizes_and_types() -> None:
    for name in ("dct", "db2"):
        for size in ((), (4, 0)):
            with pytest.raises(ValueError, match="size must be one or more lengths of at least 1"):
                get_transform(name).matrix(*size)
    with pytest.raises(TypeError, match="must be a name"):
        get_transform(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="levels must be at least 0"):
        WaveletTransform(filter_bank("haar"), -1)
    with pytest.raises(TypeError, match=r"levels must be an integer, got 2\.5"):
        WaveletTransform(filter_bank("haar"), 2.5)  # type: ignore[arg-type]
