"""The fused kernel: the same numbers as PyWavelets, its adjoint, and every way that it is called."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from wavpool.transforms import filters, native, wavedec2, waverec2
from wavpool.transforms.extension import MODES
from wavpool.transforms.native import build, ops

WAVELETS = ("haar", "db2", "db4", "db10", "sym5", "coif3", "bior4.4", "rbio3.5", "dmey")

pytestmark = pytest.mark.skipif(build.library() is None, reason=f"no native kernel: {build.status()}")


def packed(coefficients: list) -> np.ndarray:
    """PyWavelets' list as the kernel lays it out."""
    bands = [coefficients[0]]
    for level in coefficients[1:]:
        bands += level if isinstance(level, tuple) else [level]
    batch = bands[0].shape[0]
    return np.concatenate([band.reshape(batch, -1) for band in bands], axis=1)


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, str, tuple[int, int], int]:
    wavelet = draw(st.sampled_from(WAVELETS))
    mode = draw(st.sampled_from(MODES))
    length = pywt.Wavelet(wavelet).dec_len
    size = (draw(st.integers(length, 90)), draw(st.integers(length, 300)))
    level = draw(st.integers(1, max(1, pywt.dwt_max_level(min(size), wavelet))))
    return wavelet, mode, size, level


@settings(deadline=None, max_examples=120)
@given(cases(), st.booleans())
def test_images_agree_with_pywavelets_and_come_back(case: tuple, single: bool) -> None:
    wavelet, mode, size, level = case
    bank = filters.filter_bank(wavelet)
    x = torch.randn(2, *size, dtype=torch.float32 if single else torch.float64)
    y = native.analysis(x, bank.key, mode, 2, level)
    expected = packed(pywt.wavedec2(x.double().numpy(), wavelet, mode, level, axes=(-2, -1)))
    scale = np.linalg.norm(expected)
    assert np.linalg.norm(y.double().numpy() - expected) <= (1e-6 if single else 1e-12) * scale
    if wavelet != "dmey":  # reconstructs to 4e-3 only
        back = native.synthesis(y, bank.key, mode, size, level)
        assert (back - x).norm() <= (3e-6 if single else 1e-8) * max(1.0, float(x.norm()))


@settings(deadline=None, max_examples=60)
@given(cases())
def test_signals_agree_with_pywavelets_and_come_back(case: tuple) -> None:
    wavelet, mode, (_, n), _ = case
    level = max(1, pywt.dwt_max_level(n, wavelet))
    bank = filters.filter_bank(wavelet)
    x = torch.randn(3, n, dtype=torch.float64)
    y = native.analysis(x, bank.key, mode, 1, level)
    expected = np.concatenate(pywt.wavedec(x.numpy(), wavelet, mode, level, axis=-1), axis=-1)
    assert np.linalg.norm(y.numpy() - expected) <= 1e-12 * np.linalg.norm(expected)
    if wavelet != "dmey":
        torch.testing.assert_close(native.synthesis(y, bank.key, mode, (n,), level), x, rtol=0, atol=1e-8)


@settings(deadline=None, max_examples=60)
@given(cases(), st.booleans())
def test_adjoint_is_the_adjoint(case: tuple, dual: bool) -> None:
    wavelet, mode, size, level = case
    x = torch.randn(2, *size, dtype=torch.float64)
    y = ops.analysis_op(x, wavelet, mode, dual, 2, level)
    z = torch.randn_like(y)
    left, right = (y * z).sum(), (x * ops.adjoint_op(z, wavelet, mode, dual, size, level)).sum()
    torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wavelet", ["haar", "db3", "bior2.4"])
@pytest.mark.parametrize("size", [(13, 18), (21,)])
def test_dense_fallback_computes_the_same(
    wavelet: str, mode: str, dual: bool, size: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn(2, *size, dtype=torch.float64)
    y = ops.analysis_op(x, wavelet, mode, dual, len(size), 2)
    back = ops.adjoint_op(y, wavelet, mode, dual, size, 2)
    monkeypatch.setattr(ops, "library", lambda: None)
    torch.testing.assert_close(ops.analysis_op(x, wavelet, mode, dual, len(size), 2), y, rtol=0, atol=1e-12)
    torch.testing.assert_close(ops.adjoint_op(y, wavelet, mode, dual, size, 2), back, rtol=0, atol=1e-12)


@pytest.mark.parametrize("wavelet", ["haar", "db2"])
def test_torchs_own_operator_checks(wavelet: str) -> None:
    x = torch.randn(2, 9, 12, dtype=torch.float64, requires_grad=True)
    torch.library.opcheck(ops.analysis_op, (x, wavelet, "symmetric", False, 2, 2))
    y = ops.analysis_op(x, wavelet, "symmetric", False, 2, 2).detach().requires_grad_()
    torch.library.opcheck(ops.adjoint_op, (y, wavelet, "symmetric", False, (9, 12), 2))


@pytest.mark.parametrize("mode", MODES)
def test_gradients(mode: str) -> None:
    bank = filters.filter_bank("db2")
    x = torch.randn(1, 5, 6, dtype=torch.float64, requires_grad=True)

    def analysis(x: Tensor) -> Tensor:
        return native.analysis(x, bank.key, mode, 2, 1).sin()

    assert torch.autograd.gradcheck(analysis, (x,))
    assert torch.autograd.gradgradcheck(analysis, (x,))


def test_vmap() -> None:
    bank = filters.filter_bank("db2")
    x = torch.randn(3, 12, 4, 16)
    y = torch.vmap(lambda x: native.analysis(x, bank.key, "zero", 2, 1), in_dims=2)(x)
    torch.testing.assert_close(y, native.analysis(x.movedim(2, 0), bank.key, "zero", 2, 1))
    back = torch.vmap(lambda y: native.synthesis(y, bank.key, "zero", (12, 16), 1))(y)
    torch.testing.assert_close(back, x.movedim(2, 0))


def test_compiles_into_one_graph() -> None:
    bank = filters.filter_bank("db2")
    x = torch.randn(2, 16, 16, requires_grad=True)

    def energy(x: Tensor) -> Tensor:
        return (native.analysis(x, bank.key, "reflect", 2, 2) ** 4).sum()

    expected = torch.autograd.grad(energy(x), x)[0]
    found = torch.autograd.grad(torch.compile(energy, fullgraph=True, backend="aot_eager")(x), x)[0]
    torch.testing.assert_close(found, expected)


def test_threads_do_not_change_a_bit() -> None:
    bank, x = filters.filter_bank("db4"), torch.randn(7, 3, 130, 75)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            y = native.analysis(x, bank.key, "symmetric", 2, 3)
            results.append((y, native.synthesis(y, bank.key, "symmetric", (130, 75), 3)))
    finally:
        torch.set_num_threads(before)
    for analysed, synthesised in results[1:]:
        assert torch.equal(analysed, results[0][0])
        assert torch.equal(synthesised, results[0][1])


def test_strided_and_empty_batches() -> None:
    bank, x = filters.filter_bank("db2"), torch.randn(2, 3, 12, 16)
    expected = native.analysis(x, bank.key, "zero", 2, 2)
    channels_last = x.to(memory_format=torch.channels_last)
    assert torch.equal(native.analysis(channels_last, bank.key, "zero", 2, 2), expected)
    assert torch.equal(native.analysis(x.mT.contiguous().mT, bank.key, "zero", 2, 2), expected)
    empty = native.analysis(x[:0], bank.key, "zero", 2, 2)
    assert empty.shape == (0, *expected.shape[1:])
    assert native.synthesis(empty, bank.key, "zero", (12, 16), 2).shape == (0, 3, 12, 16)


def pieces(x: Tensor) -> dict[str, Tensor]:
    """Views `(..., 12, 16)` of a tensor (4, 3, 24, 40), in many layouts."""
    return {
        "crop": x[..., 5:17, 3:19],
        "channel": x[:, 1, :12, :16],
        "one channel": x[:, 1:2, :12, :16],
        "every other image": x[::2, :, :12, :16],
        "swapped batch": x.transpose(0, 1)[..., :12, :16],
        "repeated": x[:1, :1, :12, :16].expand(4, 3, 12, 16),
        "repeated channels": x[:, :1, :12, :16].expand(4, 3, 12, 16),
        "repeated images": x[:1, :, :12, :16].expand(4, 3, 12, 16),
        "repeated rows": x[..., :1, :16].expand(4, 3, 12, 16),
        "every other column": x[..., :12, :32:2],
        "turned": x[..., :16, :12].mT,
        "a row of images": x[0, 0, :12].unfold(-1, 16, 8).transpose(0, 1),
        "no images": x[:0, :, :12, :16],
        "one image": x[0, 0, :12, :16],
    }


@pytest.mark.parametrize("layout", pieces(torch.empty(4, 3, 24, 40)))
@pytest.mark.parametrize("wavelet", ["haar", "db2"])
def test_every_layout_is_read_right(layout: str, wavelet: str) -> None:
    bank, x = filters.filter_bank(wavelet), pieces(torch.randn(4, 3, 24, 40))[layout]
    assert x.shape[-2:] == (12, 16)
    whole = x.contiguous()
    for dims in (1, 2):
        expected = native.analysis(whole, bank.key, "symmetric", dims, 2)
        assert torch.equal(native.analysis(x, bank.key, "symmetric", dims, 2), expected)


@pytest.mark.parametrize("layout", pieces(torch.empty(4, 3, 24, 40)))
def test_bands_of_every_layout_are_read_right(layout: str) -> None:
    first = pieces(torch.randn(4, 3, 24, 40))[layout]
    bands = [first, *torch.randn(3, *first.shape)]
    arguments = filters.filter_bank("haar").key, "zero", True, (24, 32), 1
    expected = ops.from_bands([band.contiguous() for band in bands], *arguments)
    assert torch.equal(ops.from_bands(bands, *arguments), expected)


@pytest.mark.parametrize("batch", [(), (2,), (2, 1), (1, 3), (2, 3)])
def test_bands_within_packed_coefficients_are_read_where_they_are(batch: tuple[int, ...]) -> None:
    x = torch.randn(*batch, 24, 32)
    bands = [
        band for entry in wavedec2(x, "db2", level=2) for band in (entry if isinstance(entry, tuple) else (entry,))
    ]
    assert [ops._images(band, 2)[0] is band for band in bands] == [True] * 7
    arguments = filters.filter_bank("db2").key, "symmetric", True, (24, 32), 2
    assert torch.equal(
        ops.from_bands(bands, *arguments), ops.from_bands([band.contiguous() for band in bands], *arguments)
    )
    torch.testing.assert_close(ops.from_bands(bands, *arguments), x)


def test_memory_that_holds_the_negatives() -> None:
    """The imaginary part of a conjugate is a view whose numbers torch negates when they are read."""
    x = torch.randn(2, 8, 8)
    negated = torch._neg_view(-x)
    coefficients = wavedec2(x, "db2", level=1)
    for band, expected in zip(wavedec2(negated, "db2", level=1)[1], coefficients[1], strict=True):
        assert torch.equal(band, expected)
    bands = [torch._neg_view(-coefficients[0]), coefficients[1]]
    torch.testing.assert_close(waverec2(bands, "db2"), waverec2(coefficients, "db2"))
    x.requires_grad_()
    gradient = torch.randn_like(coefficients[0])
    found = [
        torch.autograd.grad(wavedec2(x, "db2", level=1)[0], x, each)[0]
        for each in (gradient, torch._neg_view(-gradient))
    ]
    assert torch.equal(*found)


def test_custom_banks_have_a_key_that_brings_them_back() -> None:
    taps = filters.filter_bank("db3")
    bank = filters.FilterBank("db2", taps.dec_lo, taps.dec_hi, taps.rec_lo, taps.rec_hi)  # a name that lies
    restored = filters.from_key(bank.key)
    assert (restored.dec_lo, restored.rec_hi) == (bank.dec_lo, bank.rec_hi)
    x = torch.randn(2, 16, 16)
    assert torch.equal(native.analysis(x, bank.key, "zero", 2, 1), native.analysis(x, taps.key, "zero", 2, 1))


def test_what_the_kernel_takes() -> None:
    assert native.usable(torch.zeros(4, 4))
    assert not native.usable(torch.zeros(4, 4, dtype=torch.float16))
    assert not native.usable(torch.zeros(4, 4, device="meta"))
    with native.disabled():
        assert not native.usable(torch.zeros(4, 4))
    with torch.autograd.forward_ad.dual_level():
        assert not native.usable(torch.zeros(4, 4))


STATUS = "from wavpool.transforms import native; print(native.status())"


def status(**environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", STATUS], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return result.stdout.strip()


def test_built_once_and_never_half(tmp_path: Path) -> None:
    path = Path(status(XDG_CACHE_HOME=str(tmp_path)))
    assert path.is_relative_to(tmp_path)
    written = path.stat().st_mtime_ns
    assert status(XDG_CACHE_HOME=str(tmp_path)) == str(path)
    assert path.stat().st_mtime_ns == written
    assert list(path.parent.iterdir()) == [path]


def test_says_why_there_is_none(tmp_path: Path) -> None:
    assert "WAVPOOL_NATIVE" in status(WAVPOOL_NATIVE="0")
    assert "no C compiler" in status(CC="no-such-compiler", PATH=str(tmp_path), XDG_CACHE_HOME=str(tmp_path))
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho 'out of order' >&2\nexit 1\n")
    broken.chmod(0o755)
    assert "out of order" in status(CC=str(broken), XDG_CACHE_HOME=str(tmp_path))
    (tmp_path / "file").write_text("")
    assert status(XDG_CACHE_HOME=str(tmp_path / "file"))
