"""Multi-level transforms against PyWavelets: wavelets, modes, sizes and levels, by the kernel and by torch alone."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from wavpool.layers import WavPool
from wavpool.transforms import (
    MODES,
    FilterTensors,
    best_basis,
    dwt2,
    dwt_max_level,
    idwt2,
    packed_layout,
    swt_max_level,
    wavedec,
    wavedec2,
    wavedecn,
    wavelist,
    waverec,
    waverec2,
    waverecn,
)

EACH_MODE = pytest.mark.parametrize("mode", MODES)
BOTH_PATHS = pytest.mark.usefixtures("path")
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6}
PERFECT = [name for name in wavelist() if name != "dmey"]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Level value of", category=UserWarning)
        yield


def noise(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def bands_of(coefficients: Sequence[Any]) -> list[Any]:
    """All bands, the details of a level by name where they have names."""
    bands = [coefficients[0]]
    for entry in coefficients[1:]:
        if isinstance(entry, dict):
            bands += [entry[key] for key in sorted(entry)]
        else:
            bands += entry if isinstance(entry, tuple) else [entry]
    return bands


def assert_same(ours: Sequence[Any], theirs: Sequence[Any], tolerance: float, case: object = None) -> None:
    """Equal up to `tolerance` relative to the largest coefficient."""
    assert len(ours) == len(theirs), case
    pairs = list(zip(bands_of(ours), bands_of(theirs), strict=True))
    assert [a.shape for a, _ in pairs] == [b.shape for _, b in pairs], case
    scale = max(np.abs(b).max() for _, b in pairs)
    assert max(np.abs(a.double().numpy() - b).max() for a, b in pairs) <= tolerance * scale, case


def check_1d(name: str, mode: str, n: int, level: int | None, dtype: torch.dtype) -> None:
    x = noise(2, n, dtype=dtype, seed=n)
    coefficients = wavedec(x, name, mode, level)
    theirs = pywt.wavedec(x.double().numpy(), name, mode, level)
    case = (name, mode, n, level)
    assert_same(coefficients, theirs, TOLERANCE[dtype], case)
    back = waverec([torch.from_numpy(band).to(dtype) for band in theirs], name, mode)
    assert_same([back], [pywt.waverec(theirs, name, mode)], 2 * TOLERANCE[dtype], case)
    if name in PERFECT:
        assert (waverec(coefficients, name, mode, length=n) - x).abs().max() <= max(3 * TOLERANCE[dtype], 1e-9), case


def check_2d(name: str, mode: str, size: tuple[int, int], level: int | None, dtype: torch.dtype) -> None:
    x = noise(2, *size, dtype=dtype, seed=size[0])
    coefficients = wavedec2(x, name, mode, level)
    theirs = pywt.wavedec2(x.double().numpy(), name, mode, level)
    case = (name, mode, size, level)
    assert_same(coefficients, theirs, TOLERANCE[dtype], case)
    given = [torch.from_numpy(theirs[0]).to(dtype)]
    given += [tuple(torch.from_numpy(band).to(dtype) for band in bands) for bands in theirs[1:]]  # type: ignore[misc]
    assert_same([waverec2(given, name, mode)], [pywt.waverec2(theirs, name, mode)], 2 * TOLERANCE[dtype], case)
    if name in PERFECT:
        assert (waverec2(coefficients, name, mode, size=size) - x).abs().max() <= max(5 * TOLERANCE[dtype], 1e-9), case


@BOTH_PATHS
@EACH_MODE
@pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])
def test_signals_of_every_wavelet(mode: str, dtype: torch.dtype) -> None:
    for number, name in enumerate(wavelist()):
        n = 5 * (pywt.Wavelet(name).dec_len - 1) + number % 4 + 2
        check_1d(name, mode, n, None, dtype)


@BOTH_PATHS
@EACH_MODE
def test_images_of_every_fourth_wavelet(mode: str) -> None:
    for number, name in enumerate(wavelist()[MODES.index(mode) % 4 :: 4]):
        length = pywt.Wavelet(name).dec_len
        dtype = torch.float32 if number % 2 else torch.float64
        check_2d(name, mode, (2 * length + number % 2, 2 * length + 3 + number % 5), None, dtype)


@BOTH_PATHS
@EACH_MODE
@pytest.mark.parametrize("name", ["haar", "db2", "bior2.2"])
def test_every_level(name: str, mode: str) -> None:
    for n in (32, 37, 51):
        for level in range(pywt.dwt_max_level(n, name) + 1):
            check_1d(name, mode, n, level, torch.float64)
            check_2d(name, mode, (n, n + 6), level, torch.float64)


@pytest.mark.slow
@BOTH_PATHS
@EACH_MODE
@pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])
def test_exhaustive_grid(mode: str, dtype: torch.dtype) -> None:
    for name in wavelist():
        base = 4 * (pywt.Wavelet(name).dec_len - 1)
        for n in (base, base + 1, base + 2, base + 7):
            for level in range(pywt.dwt_max_level(n, name) + 1):
                check_1d(name, mode, n, level, dtype)
                check_2d(name, mode, (n, base + 5), level, dtype)


@BOTH_PATHS
@pytest.mark.parametrize("name", ["db34", "db38", "coif17"])
def test_long_filters_over_copies_of_one_sample(name: str) -> None:
    """Rounding errors of one running sum over a constant border do not cancel; see `combine` in the kernel."""
    base = 4 * (pywt.Wavelet(name).dec_len - 1)
    for n in (base, base + 1):
        check_2d(name, "constant", (n, base + 5), 2, torch.float32)


def test_max_level() -> None:
    for name in wavelist():
        for n in (1, 2, 3, 7, 8, 30, 61, 122, 500):
            assert dwt_max_level(n, name) == pywt.dwt_max_level(n, name)
            assert dwt_max_level((600, n), name) == pywt.dwtn_max_level((600, n), name)
    with pytest.raises(ValueError, match="every length must be at least 1, got 0"):
        dwt_max_level(0, "db2")


@BOTH_PATHS
@pytest.mark.parametrize("wavelet", ["haar", "db2"])
def test_axes(wavelet: str) -> None:
    x = noise(13, 3, 14, 12)
    for axis in (-4, 2, 3):
        ours = wavedec(x, wavelet, "reflect", 2, axis)
        assert_same(ours, pywt.wavedec(x.numpy(), wavelet, "reflect", 2, axis), 1e-12)
        torch.testing.assert_close(waverec(ours, wavelet, "reflect", axis, length=x.shape[axis]), x, rtol=0, atol=1e-10)
    for axes in ((0, 2), (3, 0), (-1, -2), (-2, -1)):
        images = wavedec2(x, wavelet, "symmetric", 2, axes)
        assert_same(images, pywt.wavedec2(x.numpy(), wavelet, "symmetric", 2, axes), 1e-12)
        size = (x.shape[axes[0]], x.shape[axes[1]])
        torch.testing.assert_close(waverec2(images, wavelet, "symmetric", axes, size=size), x, rtol=0, atol=1e-10)


@BOTH_PATHS
@EACH_MODE
@pytest.mark.parametrize("axes", [None, (0, 2, 3), (3, 1, 2), (2,), (-1, 0)])
def test_any_number_of_axes(axes: tuple[int, ...] | None, mode: str) -> None:
    x = noise(9, 8, 7, 10)
    for wavelet in ("haar", "bior2.2"):
        ours = wavedecn(x, wavelet, mode, None, axes)
        theirs = pywt.wavedecn(x.numpy(), wavelet, mode, None, axes)
        assert_same(ours, theirs, 1e-12)
        named = [
            {key: torch.from_numpy(band) for key, band in entry.items()}
            if isinstance(entry, dict)
            else torch.from_numpy(entry)
            for entry in theirs
        ]
        expected = pywt.waverecn(theirs, wavelet, mode, axes)
        assert_same([waverecn(named, wavelet, mode, axes=axes)], [expected], 1e-12)
        size = [x.shape[axis] for axis in (range(4) if axes is None else axes)]
        torch.testing.assert_close(waverecn(ours, wavelet, mode, axes, size=size), x, rtol=0, atol=1e-10)


@BOTH_PATHS
def test_the_three_functions_agree() -> None:
    x = noise(2, 20, 22)
    names = wavedecn(x, "db3", "zero", axes=(1, 2))
    tuples = wavedec2(x, "db3", "zero")
    assert torch.equal(names[0], tuples[0])
    assert isinstance(names[1], dict)
    assert [torch.equal(names[1][key], tuples[1][i]) for i, key in enumerate(("da", "ad", "dd"))] == [True] * 3
    assert len(names) == len(tuples) == dwt_max_level((20, 22), "db3") + 1


@BOTH_PATHS
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_perfect_reconstruction(data: st.DataObject) -> None:
    name, mode = data.draw(st.sampled_from(PERFECT)), data.draw(st.sampled_from(MODES))
    dims = data.draw(st.integers(1, 3))
    least = 2 if mode == "reflect" else 1
    size = [data.draw(st.integers(least, (400, 60, 16)[dims - 1])) for _ in range(dims)]
    level = data.draw(st.integers(0, dwt_max_level(size, name)))
    x = noise(2, *size, seed=data.draw(st.integers(0, 2**31)))
    axes = tuple(range(1, dims + 1))
    coefficients = wavedecn(x, name, mode, level, axes)
    assert len(coefficients) == level + 1
    torch.testing.assert_close(waverecn(coefficients, name, mode, axes, size=size), x, rtol=0, atol=1e-8)


@pytest.mark.parametrize("wavelet", ["haar", "db2", "sym4"])
@pytest.mark.parametrize("size", [(21, 30), (32, 17), (14, 15)])
def test_boundary_mode_keeps_number_and_energy(wavelet: str, size: tuple[int, int]) -> None:
    x = noise(2, *size)
    for coefficients in (wavedec(x, wavelet, "boundary"), wavedec2(x, wavelet, "boundary")):
        bands = bands_of(coefficients)
        assert sum(band.numel() for band in bands) == x.numel()
        torch.testing.assert_close(sum(band.square().sum() for band in bands), x.square().sum(), rtol=1e-9, atol=0)
    torch.testing.assert_close(waverec2(coefficients, wavelet, "boundary"), x, rtol=0, atol=1e-9)
    signal = wavedec(x, wavelet, "boundary", axis=1)
    torch.testing.assert_close(waverec(signal, wavelet, "boundary", 1, length=size[0]), x, rtol=0, atol=1e-9)
    with pytest.raises(ValueError, match=f"belong to signals of length {size[0]}, not {size[0] + 1}|size must be"):
        waverec(signal, wavelet, "boundary", 1, length=size[0] + 1)


@BOTH_PATHS
@pytest.mark.parametrize(("wavelet", "mode"), [("haar", "zero"), ("db2", "symmetric"), ("bior2.2", "periodization")])
def test_derivatives(wavelet: str, mode: str) -> None:
    image = noise(2, 11, 12).requires_grad_()

    def rebuild(x: Tensor) -> Tensor:
        first, *details = wavedec2(x.square(), wavelet, mode, 1)
        return waverec2([first.square(), *details], wavelet, mode, size=(11, 12))[:, :2]

    def analyse(x: Tensor) -> Tensor:
        return torch.cat(wavedec(x, wavelet, mode), -1)[:, :1].square()

    for function in (rebuild, analyse):
        assert gradcheck(function, (image,), fast_mode=True)
        assert gradgradcheck(function, (image,), fast_mode=True)


def test_filters_in_tensors() -> None:
    taps = FilterTensors(*(torch.tensor(values, requires_grad=True) for values in pywt.Wavelet("db2").filter_bank))
    x = noise(3, 17, 20)
    ours = wavedec2(x, taps, "symmetric", 2)
    assert_same([band.detach() for band in bands_of(ours)], bands_of(pywt.wavedec2(x.numpy(), "db2", level=2)), 1e-6)
    waverec2(ours, taps, "symmetric", size=(17, 20)).square().sum().backward()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in taps)


@BOTH_PATHS
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precisions_are_rounded_once(dtype: torch.dtype) -> None:
    x = noise(2, 3, 40, 40, dtype=dtype)
    ours = bands_of(wavedec2(x, "db2"))
    for band, exact in zip(ours, bands_of(wavedec2(x.double(), "db2")), strict=True):
        assert band.dtype == dtype
        assert (band.double() - exact).abs().max() <= 0.6 * torch.finfo(dtype).eps * exact.abs().max()
    assert waverec2(wavedec2(x, "db2"), "db2").dtype == dtype


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: wavedec(x, "db2", level=3), "level must be 0 to 2 for 17 and filters of length 4, got 3"),
        (lambda x: wavedec(x, "db2", level=-1), "level must be 0 to 2 for 17 .*, got -1"),
        (lambda x: wavedec2(x, "db4", level=1), "level must be 0 to 0 for 9 x 17 and filters of length 8, got 1"),
        (lambda x: wavedec2(x, axes=(1, 1)), r"axes must differ, got \(1, 1\)"),
        (lambda x: wavedec2(x, axes=(-1, 2)), r"axes must differ, got \(-1, 2\)"),
        (lambda x: wavedec2(x, axes=(1, 2, 0)), r"axes must be two, got \(1, 2, 0\)"),
        (lambda x: wavedec2(x, axes=(1, 3)), "axis 3 does not exist"),
        (lambda x: wavedecn(x, axes=()), "axes must name at least one axis"),
        (lambda x: wavedecn(x[:, :0]), "every transformed length must be at least 1"),
        (lambda x: wavedec(x, mode="smooth"), "mode must be one of"),
        (lambda x: wavedec(x, "db99"), "no discrete wavelet 'db99'"),
        (lambda x: wavedec2(x[0, 0]), "axis -2 does not exist"),
    ],
)
def test_analysis_refuses(call: Callable[[Tensor], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(3, 9, 17))


@BOTH_PATHS
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: waverec([]), r"must be \[cA, cD, ...\]"),
        (lambda c: waverec([c[0], (c[1], c[1], c[1])]), r"must be \[cA, cD, ...\]"),
        (lambda c: waverecn([c[0], {"d": c[1]}]), "as wavedecn returns them"),
        (lambda c: waverecn([c[0], c[1]], axes=(0, 1)), "as wavedecn returns them"),
        (lambda c: waverec([c[0], c[2]], "db2"), r"detail d must be torch.float32 of shape \(3, 6\)"),
        (lambda c: waverec([c[0], c[1].double()], "db2"), "detail d must be torch.float32"),
        (lambda c: waverec(c, "db2", length=15), "belong to signals of length 16 or 17|17 or 18"),
        (lambda c: waverec(c, "haar"), "belong to signals of length 11 or 12, not 10"),
        (lambda c: waverec(c[:1], "db2", length=7), r"size must be \(6,\) for these coefficients, got \(7,\)"),
        (lambda c: waverecn(wavedecn(c[0]), size=(1,)), r"size must have 2 lengths, got \(1,\)"),
        (lambda c: waverec2(wavedec2(c[0]), size=16), r"size must have 2 lengths, got \(16,\)"),
        (lambda c: idwt2(dwt2(c[0], "haar"), "haar", size=16), r"size must be two, got \(16,\)"),
        (lambda c: idwt2(wavedec2(torch.zeros(8, 8)), "haar"), r"must be \(cA, \(cH, cV, cD\)\) as dwt2 returns them"),
        (lambda c: idwt2((c[0], (c[0], c[0])), "haar"), "as dwt2 returns them"),
        (lambda c: dwt_max_level(()), r"every length must be at least 1, got \(\)"),
        (lambda c: waverec(c, "db2", axis=4), "axis 4 does not exist"),
    ],
)
def test_synthesis_refuses(call: Callable[[list[Tensor]], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(wavedec(torch.zeros(3, 17), "db2"))


@BOTH_PATHS
def test_numpys_integers_are_lengths_and_axes() -> None:
    n = np.int64(64)
    assert (dwt_max_level(n, "db4"), swt_max_level(n), packed_layout(n, "db4").total) == (
        dwt_max_level(64, "db4"),
        6,
        packed_layout(64, "db4").total,
    )
    x = torch.randn(64)
    assert best_basis(x, axes=np.int64(-1)) == best_basis(x, axes=-1)
    assert WavPool(np.int64(28), 16).sizes == WavPool(28, 16).sizes
    with pytest.raises(TypeError, match="levels must be a list of levels"):
        WavPool(28, 16, levels=2)


def test_integers_are_refused_with_the_remedy() -> None:
    for call in (wavedec, wavedec2, wavedecn):
        with pytest.raises(TypeError, match=r"got torch.uint8; convert it with x.float\(\)"):
            call(torch.zeros(8, 8, dtype=torch.uint8))
    with pytest.raises(TypeError, match="convert it with"):
        waverec([torch.zeros(4, dtype=torch.int64), torch.zeros(4, dtype=torch.int64)])
