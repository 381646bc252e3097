"""Layouts and bases: views that return, orthonormal round trips, honest levels, exact inverses."""

import itertools
import math

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from wavpool.codec.bases import Basis, basis_for, candidates, check_size, orthonormal
from wavpool.codec.exact import IntegerMatrix, integer_matrices, invert
from wavpool.codec.layout import Kind, Layout, layout_of
from wavpool.codec.scales import factor, nearest_index
from wavpool.transforms import filter_bank, get_transform, transform_names

ORTHONORMAL = [name for name in transform_names() if get_transform(name).is_orthonormal]


@pytest.mark.parametrize(
    ("module", "size"),
    [
        (nn.Linear(5, 7), (7, 5, 1)),
        (nn.Embedding(9, 4), (9, 4, 1)),
        (nn.EmbeddingBag(9, 4), (9, 4, 1)),
        (nn.Conv1d(4, 6, 5), (6, 4, 5)),
        (nn.Conv2d(4, 6, (3, 1)), (6, 4, 3)),
        (nn.Conv2d(4, 8, 3, groups=4), (8, 1, 9)),
        (nn.Conv3d(2, 6, 2), (6, 2, 8)),
        (nn.ConvTranspose1d(4, 6, 5), (4, 6, 5)),
        (nn.ConvTranspose2d(4, 6, 3, groups=2), (4, 3, 9)),
        (nn.ConvTranspose3d(4, 6, (1, 2, 3)), (4, 6, 6)),
        (nn.LayerNorm(6), (6, 1, 1)),
        (nn.LayerNorm((3, 6)), (3, 6, 1)),
    ],
)
def test_weight_is_viewed_by_its_owner_and_returns(module: nn.Module, size: tuple[int, int, int]) -> None:
    layout = layout_of(module.weight.shape, module)
    view = layout.view(module.weight)
    assert layout.size == view.shape == size
    assert torch.equal(layout.restore(view), module.weight)
    assert math.prod(layout.kernel) == layout.taps


def test_tensor_without_owner_is_viewed_by_its_shape() -> None:
    assert layout_of(()).size == (1, 1, 1)
    assert layout_of((8, 4, 3, 3)).kind == layout_of((8, 4, 5)).kind == Kind.KERNEL
    assert layout_of((1, 197, 64)).size == (197, 64, 1)
    assert layout_of((6,), nn.Conv1d(1, 6, 3), "bias").kind == Kind.VECTOR
    with pytest.raises(ValueError, match="cannot have the shape"):
        Layout(Kind.KERNEL, (3, 3))
    with pytest.raises(ValueError, match="for the shape"):
        layout_of((3, 3)).view(torch.zeros(9))


@pytest.mark.parametrize("name", ORTHONORMAL)
def test_every_orthonormal_transform_returns_over_everything(name: str) -> None:
    lengths = (2, 4, 8) if name == "wht" else (3, 5, 7)
    layout = Layout(Kind.KERNEL, (lengths[1], lengths[0], lengths[0], lengths[2]))
    weight = torch.randn(layout.size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for over in ("taps", "row", "matrix", f"map:{lengths[0]}x{lengths[0]}x{lengths[2]}"):
        basis = basis_for(f"{name}@{over}", layout)
        coefficients = basis.forward(weight, layout)
        assert coefficients.shape == weight.shape
        assert math.isclose(coefficients.square().sum(), weight.square().sum(), rel_tol=1e-9)
        torch.testing.assert_close(basis.inverse(coefficients, layout), weight, rtol=0, atol=1e-9)
        exact, rows = torch.empty_like(weight), [(slice(None), coefficients.numpy())]
        invert(basis, layout, rows.copy, exact)
        torch.testing.assert_close(exact, weight, rtol=0, atol=1e-6)


def test_basis_is_the_matrices_it_says() -> None:
    layout = Layout(Kind.KERNEL, (6, 4, 3, 3))
    weight = torch.randn(layout.size, dtype=torch.float64)
    for text in ("dct@taps", "haar@matrix", "db2@row"):
        basis = basis_for(text, layout)
        left, right = basis.matrices(layout)
        expected = (weight.reshape(6, -1, len(right)) @ right.T).reshape(6, -1)
        expected = (expected if left is None else left @ expected).reshape(layout.size)
        torch.testing.assert_close(basis.forward(weight, layout), expected)


def test_taps_are_the_transform_of_each_kernel() -> None:
    layout = Layout(Kind.KERNEL, (6, 4, 3, 5))
    weight = torch.randn(6, 4, 3, 5)
    ours = basis_for("dct", layout).forward(layout.view(weight), layout)
    torch.testing.assert_close(layout.restore(ours), get_transform("dct").forward(weight, (2, 3)))


def test_maps_are_the_images_that_a_neuron_sees() -> None:
    layout = layout_of((10, 2 * 8 * 6))
    weight = torch.randn(10, 2, 8, 6)
    ours = basis_for("haar@map:2x8x6", layout).forward(layout.view(weight.reshape(10, -1)), layout)
    torch.testing.assert_close(ours.reshape(weight.shape), get_transform("haar:2").forward(weight, (2, 3)))


def test_level_that_would_be_zero_is_the_identity_or_an_error() -> None:
    layout = Layout(Kind.KERNEL, (8, 4, 3, 3))
    assert basis_for("db2", layout).is_identity
    assert basis_for("haar", layout) == basis_for("haar:1", layout)
    assert basis_for("haar", layout).level(layout) == 1
    assert basis_for("dct", layout).level(layout) is None
    assert basis_for("db2@row", layout).level(layout) == 3
    assert basis_for("db2@matrix", layout).level(layout) == 1
    for text in ("db2:1", "haar:2", "haar:0"):
        with pytest.raises(ValueError, match="level"):
            basis_for(text, layout)


def test_layout_without_an_axis_has_the_identity() -> None:
    for text in ("none", "dct", "haar", "none@row"):
        assert str(basis_for(text, layout_of((9,)))) == "none"
    assert Basis().level(layout_of((9,))) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bior2.2", "not orthonormal"),
        ("harr", "no transform 'harr'; close: haar"),
        ("dct@columns", "acts over taps"),
        ("dct@map:3x3", "written map:CxHxW"),
        ("dct@map:3x3x3", "does not fit 36"),
        ("dct@map:0x3x3", "at least 1"),
        ("wht", "power"),
    ],
)
def test_bases_that_do_not_exist_are_refused_in_a_sentence(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        basis_for(text, Layout(Kind.KERNEL, (8, 4, 3, 3)))


def test_filters_spelt_out_are_no_basis() -> None:
    with pytest.raises(ValueError, match="of a name"):
        orthonormal(filter_bank(pywt.Wavelet("twice", [[0.6, 0.8], [-0.8, 0.6], [0.8, 0.6], [0.6, -0.8]])).key)


def test_matrix_out_of_proportion_is_refused() -> None:
    with pytest.raises(ValueError, match="4096 x 4096"):
        basis_for("dct", layout_of((10, 4096)))
    check_size(Basis("dct2", "row"), layout_of((4096, 4096)))


def test_candidates_are_different_and_fit() -> None:
    kernel = Layout(Kind.KERNEL, (8, 4, 7, 7))
    assert [str(b) for b in candidates(kernel)] == [
        "none",
        "dct2@taps",
        "dst1@taps",
        "rdft@taps",
        "haar:2@taps",
        "db2:1@taps",
    ]
    assert [str(b) for b in candidates(layout_of((10, 784)), (1, 28, 28))][-1] == "sym4:2@map:1x28x28"
    assert [str(b) for b in candidates(layout_of((10, 784)))] == ["none"]
    assert [str(b) for b in candidates(Layout(Kind.KERNEL, (8, 4, 1, 1)))] == ["none"]


@settings(deadline=None)
@given(st.sampled_from(["dct@taps", "db2@row", "haar@matrix", "dct@row"]), st.integers(1, 40), st.integers(0, 2**32))
def test_exact_inverse_is_integer_arithmetic(text: str, cols: int, seed: int) -> None:
    """The float64 product equals the product of the same integers in int64 digits, which no order of sums changes."""
    layout = Layout(Kind.KERNEL, (5, cols, 3, 3))
    for matrix in filter(None, integer_matrices(basis_for(text, layout), layout)):
        limit = 2**matrix.value_bits
        x = np.random.default_rng(seed).integers(-limit, limit, (4, matrix.length), endpoint=True)
        x[0] = limit
        for part in itertools.chain.from_iterable(map(matrix.columns, matrix.blocks)):
            exact = x.astype(object) @ part.astype(np.int64).astype(object)
            assert np.array_equal((x.astype(np.float64) @ part).astype(object), exact)
            assert max(abs(x.astype(object)) @ np.abs(part).astype(np.int64).astype(object)[:, 0]) < 2**53


def test_large_matrices_are_in_two_parts_of_the_same_integers() -> None:
    layout = layout_of((1000, 1280))
    basis = basis_for("dct", layout)
    _, matrix = integer_matrices(basis, layout)
    assert len(matrix.blocks) > 1
    high, low = (np.hstack(part) for part in zip(*map(matrix.columns, matrix.blocks), strict=True))
    whole = (high * 2.0**matrix.split + low) / 2.0**matrix.bits
    assert np.abs(whole - basis.matrices(layout)[1].numpy()).max() <= 2.0**-matrix.bits / 2


@pytest.mark.parametrize("name", ["dct2", "rdft", "db2", "wht"])
def test_matrices_are_the_same_in_blocks(name: str) -> None:
    whole, pieces = IntegerMatrix(name, (8, 16), 24, 128**2), IntegerMatrix(name, (8, 16), 24, 700)
    assert (len(whole.blocks), len(pieces.blocks)) == (1, 26)
    assert (whole.split, whole.value_bits) == (pieces.split, pieces.value_bits)
    for one, many in zip(
        whole.columns(whole.blocks[0]), zip(*map(pieces.columns, pieces.blocks), strict=True), strict=True
    ):
        assert np.array_equal(one, np.hstack(many))


def test_extra_bits_keep_entries_away_from_ties() -> None:
    """An error of 1e-13 in an entry, of another machine, must not change the integer it is rounded to."""
    layout = Layout(Kind.KERNEL, (64, 64, 3, 3))
    for text in ("dct", "dst1", "dft", "haar", "db2@row", "sym4@row", "dct@row"):
        basis = basis_for(text, layout)
        scaled = basis.matrices(layout)[1].numpy() * 2.0 ** (24 + basis.extra_bits)
        assert np.abs(scaled - np.floor(scaled) - 0.5).min() > 1e-13 * 2.0**27


def test_factors_are_correctly_rounded_powers() -> None:
    index = np.arange(-4096, 4097)
    powers = np.array([2.0 ** (k // 16) * math.exp2(k % 16 / 16) for k in index.tolist()])
    np.testing.assert_allclose(factor(index, 16), powers, rtol=2.0**-52)
    assert np.array_equal(nearest_index(factor(index, 16), 16), index)
    assert np.array_equal(factor(index[3840:4352], 4), factor(4 * index[3840:4352], 16))
    for step in (0.0, -1.0, math.nan, math.inf, 1e300):
        with pytest.raises(ValueError, match="positive"):
            nearest_index(step, 16)
