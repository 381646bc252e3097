"""MultiResolutionPool against torch's three-dimensional pooling of the stacked, padded responses."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from wavpool.layers import MultiResolutionPool

Case = tuple[list[int], int, tuple[int, int, int], str]

cases = st.tuples(
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.integers(1, 4),
    st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4)),
    st.sampled_from(["max", "average"]),
)


def responses(hidden: list[int], bands: int, requires_grad: bool = False) -> list[Tensor]:
    generator = torch.Generator().manual_seed(sum(hidden))
    x = [torch.randn(2, bands, width, generator=generator, dtype=torch.float64) for width in hidden]
    return [level.requires_grad_(requires_grad) for level in x]


def reference(x: list[Tensor], kernel: tuple[int, int, int], mode: str, ceil_mode: bool) -> Tensor:
    """Stack as the original does, (B, hidden, bands, levels); pool with torch; order by level, band, hidden."""
    width = max(level.shape[-1] for level in x)
    stacked = torch.stack([F.pad(level, (width - level.shape[-1], 0)).mT for level in x], dim=-1)
    if ceil_mode:  # torch refuses a window larger than its input; the one that fits pools the same
        a, b, c = (min(pair) for pair in zip(kernel, stacked.shape[1:], strict=True))
        kernel = (a, b, c)
    pool = F.max_pool3d if mode == "max" else F.avg_pool3d
    pooled = pool(stacked[:, None], kernel, ceil_mode=ceil_mode)[:, 0]
    return pooled.permute(0, 3, 2, 1).flatten(1)


@settings(max_examples=300, deadline=None)
@given(cases)
def test_floor_mode_is_torchs(case: Case) -> None:
    hidden, bands, kernel, mode = case
    assume(max(hidden) >= kernel[0] and bands >= kernel[1] and len(hidden) >= kernel[2])
    pool = MultiResolutionPool(hidden, bands, kernel, mode, ceil_mode=False)
    x = responses(hidden, bands)
    expected = reference(x, kernel, mode, ceil_mode=False)
    assert expected.shape == (2, pool.num_features)
    torch.testing.assert_close(pool(x), expected, rtol=0, atol=1e-12)


@settings(max_examples=300, deadline=None)
@given(cases)
def test_ceil_mode_is_torchs(case: Case) -> None:
    hidden, bands, kernel, mode = case
    pool = MultiResolutionPool(hidden, bands, kernel, mode, ceil_mode=True)
    x = responses(hidden, bands)
    if kernel[2] > 1:
        expected = reference(x, kernel, mode, ceil_mode=True)
    else:  # levels are pooled apart, so nothing is padded
        expected = torch.cat([reference([level], kernel, mode, ceil_mode=True) for level in x], dim=1)
    assert expected.shape == (2, pool.num_features)
    torch.testing.assert_close(pool(x), expected, rtol=0, atol=1e-12)


@settings(max_examples=200, deadline=None)
@given(cases)
def test_ceil_mode_reaches_everything(case: Case) -> None:
    hidden, bands, kernel, _ = case
    pool = MultiResolutionPool(hidden, bands, kernel, "average")
    x = responses(hidden, bands, requires_grad=True)
    pool(x).sum().backward()
    for index, level in enumerate(x):
        assert level.grad is not None
        assert (level.grad > 0).all()
        assert pool.kept(index) == (bands, hidden[index])


@settings(max_examples=200, deadline=None)
@given(cases)
def test_kept_is_what_gradients_reach(case: Case) -> None:
    hidden, bands, kernel, _ = case
    assume(max(hidden) >= kernel[0] and bands >= kernel[1] and len(hidden) >= kernel[2])
    pool = MultiResolutionPool(hidden, bands, kernel, "average", ceil_mode=False)
    x = responses(hidden, bands, requires_grad=True)
    pool(x).sum().backward()
    for index, level in enumerate(x):
        kept_bands, kept_hidden = pool.kept(index)
        expected = torch.zeros_like(level)
        expected[:, :kept_bands, :kept_hidden] = 1
        grad = torch.zeros_like(level) if level.grad is None else level.grad
        assert torch.equal((grad > 0).to(level), expected)


def test_paper_window_cuts_off_the_diagonal_bands_and_the_finest_level() -> None:
    pool = MultiResolutionPool([44, 56, 74, 112, 224], 3, 2, ceil_mode=False)
    assert [pool.kept(level)[0] for level in range(5)] == [2, 2, 2, 2, 0]
    assert pool.num_features == 112 * 1 * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 0}, "one or three numbers of at least 1, got 0"),
        ({"kernel_size": (2, 2)}, r"one or three numbers of at least 1, got \(2, 2\)"),
        ({"mode": "mean"}, "mode must be one of max, average, got 'mean'"),
        ({"kernel_size": 4, "ceil_mode": False}, "leaves nothing of 3 bands, 2 levels and 6 hidden units"),
    ],
)
def test_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultiResolutionPool([4, 6], **arguments)


def test_repr_and_script() -> None:
    pool = MultiResolutionPool([4, 6], kernel_size=(2, 3, 2))
    assert "kernel_size=(2, 3, 2), mode=max" in repr(pool)
    x = responses([4, 6], 3)
    assert torch.equal(torch.jit.script(pool)(x), pool(x))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(2, 3, 4)], "must be of 2 levels, got 1"),
        ([(2, 3, 4), (2, 3, 5)], r"level 1 \(0 = coarsest\) must be \(B, 3, 6\), got \(2, 3, 5\)"),
        ([(2, 2, 4), (2, 2, 6)], r"level 0 \(0 = coarsest\) must be \(B, 3, 4\), got \(2, 2, 4\)"),
        ([(3, 4), (3, 6)], r"got \(3, 4\)"),
    ],
)
def test_responses_of_another_shape_are_refused(shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultiResolutionPool([4, 6])([torch.zeros(shape) for shape in shapes])
