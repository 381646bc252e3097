"""Wavelet packets against PyWavelets' trees, other bases, best basis, and what they refuse."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wavpool.transforms.extension import MODES
from wavpool.transforms.packets import best_basis, entropy, packet_paths, wpdec, wpdec2, wprec, wprec2

WAVELETS = ("haar", "db3", "bior2.4", "sym5")
ORDERS = ("natural", "freq")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # PyWavelets', at levels where all is boundary
        yield


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64).to(dtype)


def assert_parity(leaves: dict[str, torch.Tensor], nodes: list[Any], tolerance: float) -> None:
    assert [node.path for node in nodes] == [*leaves]
    for node in nodes:
        np.testing.assert_allclose(leaves[node.path], node.data, rtol=0, atol=tolerance)


@pytest.mark.parametrize("wavelet", WAVELETS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("n", [32, 45])
def test_parity_along_an_axis(wavelet: str, mode: str, n: int) -> None:
    for level in range(min(3, pywt.dwt_max_level(n, wavelet)) + 1):
        for order in ORDERS:
            for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
                x = noise(2, n, 3, dtype=dtype)
                tree = pywt.WaveletPacket(x.double().numpy(), wavelet, mode, axis=1)
                leaves = wpdec(x, wavelet, mode, level, 1, order)
                assert_parity(leaves, tree.get_level(level, order) if level else [tree], tolerance)
                restored = wprec(leaves, wavelet, mode, 1, n)
                torch.testing.assert_close(restored, x, rtol=0, atol=10 * tolerance)


@pytest.mark.parametrize("wavelet", WAVELETS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(32, 24), (23, 38)])
def test_parity_along_two_axes(wavelet: str, mode: str, size: tuple[int, int]) -> None:
    x = noise(size[0], 2, size[1])
    level = min(2, pywt.dwt_max_level(min(size), wavelet))
    tree = pywt.WaveletPacket2D(x.numpy(), wavelet, mode, axes=(0, 2))
    for order in ORDERS:
        leaves = wpdec2(x, wavelet, mode, level, (0, 2), order)
        nodes = tree.get_level(level, order)
        assert_parity(leaves, nodes if order == "natural" else [node for row in nodes for node in row], 1e-12)
        torch.testing.assert_close(wprec2(leaves, wavelet, mode, (0, 2), size), x, rtol=0, atol=1e-11)


def trees(letters: str, depth: int) -> st.SearchStrategy[list[str]]:
    """Leaves of random complete trees."""
    if depth == 0:
        return st.just([""])
    below = st.tuples(*(trees(letters, depth - 1) for _ in letters))
    split = below.map(lambda parts: [a + leaf for a, part in zip(letters, parts, strict=True) for leaf in part])
    return st.just([""]) | split


@settings(max_examples=40, deadline=None)
@given(trees("ad", 3), st.integers(30, 41), st.sampled_from((*MODES, "boundary")))
def test_any_tree_reconstructs(basis: list[str], n: int, mode: str) -> None:
    x = noise(n)
    leaves = wpdec(x, "db2", mode, basis=basis)
    assert [*leaves] == basis
    if basis != [""] and mode != "boundary":
        tree = pywt.WaveletPacket(x.numpy(), "db2", mode)
        for path, leaf in leaves.items():
            np.testing.assert_allclose(leaf, tree[path].data, rtol=0, atol=1e-12)
    shuffled = dict(sorted(leaves.items(), key=lambda item: item[0][::-1]))
    torch.testing.assert_close(wprec(shuffled, "db2", mode, length=n), x, rtol=0, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(trees("ahvd", 2), st.integers(12, 15), st.sampled_from((*MODES, "boundary")))
def test_any_tree_of_an_image_reconstructs(basis: list[str], n: int, mode: str) -> None:
    x = noise(n, n + 1)
    leaves = wpdec2(x, "db2", mode, basis=basis)
    torch.testing.assert_close(wprec2(leaves, "db2", mode, size=(n, n + 1)), x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", [*MODES, "boundary"])
def test_without_a_length_even_ones_are_assumed(mode: str) -> None:
    x = noise(3, 40)
    for basis in (None, ["a", "da", "dd"], ["aa", "ad", "d"]):
        restored = wprec(wpdec(x, "db3", mode, 2, basis=basis), "db3", mode)
        torch.testing.assert_close(restored[:, :40], x, rtol=0, atol=1e-12)


def test_frequency_order_sorts_sines() -> None:
    """A sine of rising frequency has its energy in later and later leaves."""
    time = torch.arange(512, dtype=torch.float64)
    found = []
    for number in range(8):
        leaves = wpdec(torch.sin(torch.pi * (number + 0.5) / 8 * time), "db20", "periodization", 3, order="freq")
        found.append(int(torch.stack([leaf.square().sum() for leaf in leaves.values()]).argmax()))
    assert found == list(range(8))


@pytest.mark.parametrize("dims", [1, 2])
def test_paths(dims: int) -> None:
    for level in range(4):
        paths = packet_paths(level, dims)
        assert len(set(paths)) == 2 ** (dims * level)
        assert sorted(packet_paths(level, dims, "freq")) == sorted(paths)


def test_best_basis_is_the_cheapest_of_all_trees() -> None:
    x = (torch.arange(32.0).square() / 20).sin() + 0.1 * noise(32).float()
    chosen = best_basis(x, "haar", level=3)

    def price(basis: list[str]) -> float:
        return sum(float(entropy(leaf)) for leaf in wpdec(x / x.norm(), basis=basis).values())

    def every(depth: int) -> list[list[str]]:
        if depth == 0:
            return [[""]]
        below = every(depth - 1)
        return [[""], *([*("a" + p for p in low), *("d" + p for p in high)] for low in below for high in below)]

    prices = [price(basis) for basis in every(3)]
    assert len(prices) == 26
    assert price(chosen) == pytest.approx(min(prices), abs=1e-5)
    assert price(chosen) < price([""])
    assert best_basis(torch.eye(8), axes=(0, 1), level=2) == best_basis(5 * torch.eye(8), axes=(0, 1), level=2)
    assert best_basis(torch.zeros(16)) == [""]
    assert best_basis(torch.ones(8), cost=lambda band: (band.abs() > 1e-3).sum()) == ["aaa", "aad", "ad", "d"]


def test_gradients() -> None:
    x = noise(2, 11).requires_grad_()
    assert torch.autograd.gradcheck(lambda y: tuple(wpdec(y, "db2", "symmetric", 1).values()), (x,))
    leaves = tuple(leaf.detach().requires_grad_() for leaf in wpdec(x, "db2", "symmetric", 1).values())

    def restore(*bands: torch.Tensor) -> torch.Tensor:
        return wprec(dict(zip("ad", bands, strict=True)), "db2", "symmetric", length=11)

    assert torch.autograd.gradcheck(restore, leaves)
    assert torch.autograd.gradgradcheck(restore, leaves)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": 4}, "level must be 0 to 3 for 8 and filters of length 2, got 4"),
        ({"order": "sequency"}, "order 'natural' or 'freq'"),
        ({"basis": ["a"]}, "no complete tree: some are missing among a"),
        ({"basis": []}, "no complete tree: some are missing among none"),
        ({"basis": ["a", "d", "da"]}, "no complete tree: 'da' lies under 'd'"),
        ({"basis": ["a", "d", "d"]}, "no complete tree: 'd' lies under 'd'"),
        ({"basis": ["a", "h"]}, "letters a, d, got 'h'"),
        ({"mode": "smooth"}, "mode must be one of"),
        ({"wavelet": "db99"}, "no discrete wavelet 'db99'"),
    ],
)
def test_wpdec_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wpdec(torch.zeros(8), **arguments)


def test_wprec_refuses() -> None:
    with pytest.raises(TypeError, match=r"must be a floating-point tensor, got torch.int64"):
        wprec({"a": torch.zeros(4, dtype=torch.long), "d": torch.zeros(4)})
    with pytest.raises(ValueError, match="no complete tree: some are missing among a"):
        wprec({"a": torch.zeros(4)})
    with pytest.raises(ValueError, match=r"must be torch.float32 of shape \(4,\)"):
        wprec({"a": torch.zeros(4), "d": torch.zeros(5)}, length=8)
    with pytest.raises(ValueError, match="belong to signals of length 7 or 8, not 9"):
        wprec({"a": torch.zeros(4), "d": torch.zeros(4)}, length=9)
    with pytest.raises(ValueError, match=r"these leaves belong to size \(8,\), not \(9,\)"):
        wprec({"": torch.zeros(8)}, length=9)
    with pytest.raises(ValueError, match="size must have 2 lengths, got"):
        wprec2({"": torch.zeros(8, 8)}, size=(8,))  # type: ignore[arg-type]
