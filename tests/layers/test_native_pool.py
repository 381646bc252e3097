"""The pooling kernel: bit for bit what the plain form computes, outputs and gradients, however it is called."""

from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from wavpool.layers import MultiResolutionPool, native
from wavpool.layers.native import ops
from wavpool.transforms import native as transforms

pytestmark = pytest.mark.skipif(ops.library() is None, reason=f"no native kernel: {native.status()}")

WINDOWS = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4))


def responses(hidden: list[int], bands: int = 3, batch: int = 3, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """In the layout of the products: bands outermost."""
    return [torch.randn(bands, batch, width, dtype=dtype).transpose(0, 1).requires_grad_() for width in hidden]


def assert_same(pool: MultiResolutionPool, x: list[Tensor]) -> None:
    assert native.usable(x, pool.geometry)
    found, expected = pool(x), pool.plain(x)
    assert torch.equal(found, expected)
    with torch.no_grad():
        assert torch.equal(pool(x), expected)
    grad = torch.randn_like(expected)
    reached = x[: pool.num_levels]
    pairs = (torch.autograd.grad(y, reached, grad, allow_unused=True) for y in (found, expected))
    for a, b in zip(*pairs, strict=True):
        assert torch.equal(a, torch.zeros_like(a) if b is None else b)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=6),
    st.integers(1, 4),
    WINDOWS,
    st.booleans(),
    st.integers(0, 3),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_is_the_plain_form(
    hidden: list[int], bands: int, kernel: tuple[int, int, int], ceil_mode: bool, batch: int, dtype: torch.dtype
) -> None:
    fits = max(hidden) >= kernel[0] and bands >= kernel[1] and len(hidden) >= kernel[2]
    assume(ceil_mode or fits)
    pool = MultiResolutionPool(hidden, bands, kernel, ceil_mode=ceil_mode)
    assert_same(pool, responses(hidden, bands, batch, dtype))
    assert_same(pool, responses(hidden, pool.num_bands, batch, dtype))  # without the bands that are dropped


@pytest.mark.parametrize("layout", ["contiguous", "expanded", "strided", "transposed"])
def test_any_layout(layout: str) -> None:
    make = {
        "contiguous": lambda width: torch.randn(4, 3, width),
        "expanded": lambda width: torch.randn(1, 3, width).expand(4, 3, width),
        "strided": lambda width: torch.randn(4, 3, 2 * width)[..., ::2],
        "transposed": lambda width: torch.randn(4, width, 3).mT,
    }[layout]
    hidden = [5, 9, 16]
    assert_same(MultiResolutionPool(hidden, kernel_size=2), [make(width).requires_grad_() for width in hidden])


def test_threads_do_not_change_a_bit() -> None:
    pool, x = MultiResolutionPool([40, 50], kernel_size=2), responses([40, 50], batch=700)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert_same(pool, x)
    finally:
        torch.set_num_threads(before)


def test_first_of_equals_takes_the_gradient() -> None:
    pool = MultiResolutionPool([4, 4], kernel_size=(4, 3, 2))
    for value in (1.0, 0.0, -torch.inf):
        x = [torch.full((1, 3, 4), value, requires_grad=True) for _ in range(2)]
        pool(x).sum().backward()
        first = torch.zeros(1, 3, 4)
        first[0, 0, 0] = 1
        assert torch.equal(x[0].grad, first)
        assert not x[1].grad.any()


def test_padding_wins_ties_and_keeps_the_gradient() -> None:
    x = [torch.zeros(1, 1, 1, requires_grad=True), torch.full((1, 1, 2), -1.0, requires_grad=True)]
    out = MultiResolutionPool([1, 2], bands=1, kernel_size=(2, 1, 2))(x)
    assert out.item() == 0
    out.sum().backward()
    assert not any(level.grad.any() for level in x)


@pytest.mark.parametrize("kernel", [(1, 1, 1), (2, 1, 1), (3, 3, 2), (2, 2, 2)])
def test_nan_stays(kernel: tuple[int, int, int]) -> None:
    hidden = [6, 12]
    pool = MultiResolutionPool(hidden, kernel_size=kernel)
    for position in range(12):
        x = [level.detach() for level in responses(hidden)]
        x[1][:, :, position] = torch.nan
        torch.testing.assert_close(pool(x), pool.plain(x), rtol=0, atol=0, equal_nan=True)
        assert pool(x).isnan().any()


@pytest.mark.parametrize("ceil_mode", [True, False])
def test_derivatives(ceil_mode: bool) -> None:
    pool = MultiResolutionPool([3, 5, 4], kernel_size=2, ceil_mode=ceil_mode)
    x = responses([3, 5, 4], batch=2)

    def cubed(*x: Tensor) -> Tensor:
        return pool([level**3 for level in x])

    assert torch.autograd.gradcheck(cubed, x[: pool.num_levels])
    assert torch.autograd.gradgradcheck(cubed, x[: pool.num_levels])


def test_torchs_own_operator_checks() -> None:
    pool, x = MultiResolutionPool([3, 5], kernel_size=2), responses([3, 5])
    torch.library.opcheck(ops.pool_op, (x, *pool.geometry))
    out, arg = ops.pool_op(x, *pool.geometry)
    grad = torch.randn_like(out).requires_grad_()
    torch.library.opcheck(ops.backward_op, (grad, arg, 3, *pool.geometry))


def test_compiles_into_one_graph() -> None:
    pool, x = MultiResolutionPool([6, 9], kernel_size=2), responses([6, 9])
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    assert torch.equal(torch.compile(pool, fullgraph=True, backend=backend)(x), pool(x))
    assert "wavpool.pool" in graphs[0].code
    with torch.no_grad():  # the plain form, which Inductor fuses
        assert torch.equal(torch.compile(pool, fullgraph=True, backend=backend)(x), pool(x))
    assert "wavpool.pool" not in graphs[1].code
    compiled = torch.compile(pool, fullgraph=True, backend="aot_eager")
    found, expected = (torch.autograd.grad((f(x) ** 2).sum(), x) for f in (compiled, pool.plain))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_falls_back_without_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, x = MultiResolutionPool([6, 9], kernel_size=2), responses([6, 9])
    expected = pool(x)
    monkeypatch.setattr(ops, "library", lambda: None)
    assert not native.usable(x, pool.geometry)
    assert torch.equal(pool(x), expected)
    torch.compiler.reset()
    assert torch.equal(torch.compile(pool, fullgraph=True, backend="aot_eager")(x), expected)
    torch.compiler.reset()


def test_what_the_kernel_takes() -> None:
    pool, x = MultiResolutionPool([6, 9], kernel_size=2), responses([6, 9])
    assert native.usable(x, pool.geometry)
    assert not native.usable([level.half() for level in x], pool.geometry)
    assert not native.usable([level.to("meta") for level in x], pool.geometry)
    assert not native.usable([x[0], x[1].float()], pool.geometry)
    assert not native.usable([x[0], x[1][:, :, 1:]], pool.geometry)
    assert not native.usable(x, MultiResolutionPool([6, 9], kernel_size=(86, 3, 1)).geometry)
    with transforms.disabled():
        assert not native.usable(x, pool.geometry)


def test_vmap_and_forward_mode_take_the_plain_form() -> None:
    pool, x = MultiResolutionPool([6, 9], kernel_size=2), [level.detach() for level in responses([6, 9], batch=4)]
    split = [level.unflatten(0, (2, 2)) for level in x]
    assert torch.equal(torch.vmap(lambda *x: pool(list(x)))(*split).flatten(0, 1), pool(x))
    value, tangent = torch.func.jvp(lambda *x: pool(list(x)), tuple(x), tuple(x))
    assert torch.equal(value, pool(x))
    assert torch.equal(tangent, value)  # selection is linear


def test_fake_tensors_are_not_read() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    pool = MultiResolutionPool([6, 9])
    with FakeTensorMode(), torch.no_grad():
        out = pool([torch.zeros(2, 3, width) for width in (6, 9)])
    assert out.shape == (2, pool.num_features)


def test_levels_lie_one_after_the_other() -> None:
    pool, x = MultiResolutionPool([4, 6, 8]), [level.detach() for level in responses([4, 6, 8])]
    ends = [0, *torch.tensor([3 * width // 2 for width in (4, 6, 8)]).cumsum(0).tolist()]
    for level, (start, end) in zip(x, pairwise(ends), strict=True):
        assert torch.equal(pool(x)[:, start:end], level.unflatten(2, (-1, 2)).amax(3).flatten(1))
