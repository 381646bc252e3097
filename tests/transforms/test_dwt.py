"""One level along one axis: PyWavelets' numbers, both forms, inverses, derivatives and refusals."""

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import gradcheck, gradgradcheck

from wavpool.transforms import MODES, FilterTensors, constants, dwt, dwt2, filter_bank, idwt, idwt2, wavelist

module = importlib.import_module("wavpool.transforms.dwt")  # the package's attribute is the function

FORMS = pytest.mark.parametrize("form", ["polyphase", "matrix"])
EACH_MODE = pytest.mark.parametrize("mode", MODES)


@pytest.fixture
def chosen(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MATRIX_SAMPLES_PER_TAP", 0 if form == "polyphase" else 10**6)


def noise(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def tensors(wavelet: str) -> FilterTensors:
    return FilterTensors(*(torch.tensor(taps, dtype=torch.float64) for taps in pywt.Wavelet(wavelet).filter_bank))


@FORMS
@EACH_MODE
@pytest.mark.usefixtures("chosen")
def test_parity_of_every_wavelet(mode: str) -> None:
    for number, name in enumerate(wavelist()):
        for n in (1 + (mode == "reflect"), 2, 3, 8 + number % 5, 33 + number % 2, 80 + number % 3):
            x = noise(2, n, seed=number)
            theirs = pywt.dwt(x.numpy(), name, mode)
            ours = dwt(x, name, mode)
            for a, b in zip(ours, theirs, strict=True):
                assert a.shape == b.shape
                assert np.abs(a.numpy() - b).max() <= 1e-12 * np.abs(b).max().clip(1), (name, mode, n)
            back = pywt.idwt(*theirs, name, mode)
            assert np.abs(idwt(*ours, name, mode).numpy() - back).max() <= 1e-12, (name, mode, n)
            tolerance = 0.02 if name == "dmey" else 1e-9
            assert (idwt(*ours, name, mode, length=n) - x).abs().max() <= tolerance, (name, mode, n)


@FORMS
@EACH_MODE
@pytest.mark.usefixtures("chosen")
def test_single_precision(mode: str) -> None:
    for name in ("haar", "db4", "db20", "bior3.5", "sym8"):
        x = noise(16, 45)
        exact = torch.cat(dwt(x, name, mode), -1)
        single = torch.cat(dwt(x.float(), name, mode), -1)
        assert single.dtype == torch.float32
        assert (single - exact).norm() <= 1e-6 * exact.norm()


@FORMS
@pytest.mark.usefixtures("chosen")
@pytest.mark.parametrize("wavelet", ["haar", "db3", "bior2.4"])
def test_any_axis(wavelet: str) -> None:
    x = noise(3, 9, 10, 11)
    for axis in range(-4, 4):
        for mode in ("symmetric", "zero", "periodization"):
            theirs = pywt.dwt(x.numpy(), wavelet, mode, axis=axis)
            ours = dwt(x, wavelet, mode, axis)
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(a.numpy(), b, rtol=0, atol=1e-12)
            torch.testing.assert_close(idwt(*ours, wavelet, mode, axis, length=x.shape[axis]), x, rtol=0, atol=1e-10)


def test_two_axes() -> None:
    x = noise(2, 9, 14)
    for wavelet, mode in (("db2", "symmetric"), ("haar", "constant"), ("haar", "zero"), ("bior2.2", "periodic")):
        approximation, details = dwt2(x, wavelet, mode)
        first, rest = pywt.dwt2(x.numpy(), wavelet, mode)
        for a, b in zip((approximation, *details), (first, *rest), strict=True):
            np.testing.assert_allclose(a.numpy(), b, rtol=0, atol=1e-12)
        coefficients = (approximation, details)
        torch.testing.assert_close(idwt2(coefficients, wavelet, mode, size=(9, 14)), x, rtol=0, atol=1e-11)
        np.testing.assert_allclose(
            idwt2(coefficients, wavelet, mode).numpy(), pywt.idwt2((first, rest), wavelet, mode), rtol=0, atol=1e-11
        )
        moved = dwt2(x.movedim(0, -1), wavelet, mode, axes=(0, 1))
        torch.testing.assert_close(moved[0].movedim(-1, 0), approximation, rtol=0, atol=1e-12)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([name for name in wavelist() if name != "dmey"]),
    st.sampled_from(MODES),
    st.integers(1, 300),
    st.integers(0, 2**31),
)
def test_perfect_reconstruction(wavelet: str, mode: str, n: int, seed: int) -> None:
    n = max(n, 2) if mode == "reflect" else n
    x = noise(2, n, seed=seed)
    torch.testing.assert_close(idwt(*dwt(x, wavelet, mode), wavelet, mode, length=n), x, rtol=0, atol=1e-8)


@pytest.mark.parametrize("wavelet", ["haar", "db2", "db7", "sym5", "coif2"])
def test_periodization_is_orthonormal(wavelet: str) -> None:
    eye = torch.eye(26, dtype=torch.float64)
    matrix = torch.cat(dwt(eye, wavelet, "periodization"), -1)
    torch.testing.assert_close(matrix @ matrix.T, eye, rtol=0, atol=1e-11)


def test_constant_signal_has_no_haar_detail() -> None:
    assert not dwt(torch.full((7,), 0.1), "haar")[1].any()


@FORMS
@pytest.mark.usefixtures("chosen")
@pytest.mark.parametrize(("wavelet", "mode"), [("haar", "symmetric"), ("db2", "reflect"), ("bior2.2", "periodization")])
def test_derivatives(wavelet: str, mode: str) -> None:
    x = noise(2, 7).requires_grad_()

    def analyse(signal: Tensor) -> Tensor:
        return torch.cat(dwt(signal, wavelet, mode), -1).square()

    def rebuild(signal: Tensor) -> Tensor:
        return idwt(*dwt(signal.square(), wavelet, mode), wavelet, mode, length=7)

    for function in (analyse, rebuild):
        assert gradcheck(function, (x,), check_forward_ad=True)
        assert gradgradcheck(function, (x,))


@pytest.mark.parametrize("rows", [1, 400])  # additions, and a product with a matrix
@EACH_MODE
def test_filters_in_tensors_agree_and_have_gradients(mode: str, rows: int) -> None:
    taps = tensors("db3")
    x = noise(rows, 11)
    for ours, fixed in zip(dwt(x, taps, mode), dwt(x, "db3", mode), strict=True):
        torch.testing.assert_close(ours, fixed, rtol=0, atol=1e-12)
    torch.testing.assert_close(idwt(*dwt(x, taps, mode), taps, mode, length=11), x, rtol=0, atol=1e-10)

    def energy(signal: Tensor, *filters: Tensor) -> Tensor:
        low, high = dwt(signal, FilterTensors(*filters), mode)
        return (low**3).sum() + idwt(low, high, FilterTensors(*filters), mode, length=11).square().sum()

    inputs = tuple(each.requires_grad_() for each in (noise(min(rows, 2), 11), *tensors("db3")))
    assert gradcheck(energy, inputs)
    assert gradgradcheck(energy, inputs)


def test_filters_in_tensors_take_the_precision_of_the_signal() -> None:
    low, _ = dwt(noise(3, 16, dtype=torch.float32), tensors("db2"))
    assert low.dtype == torch.float32


@FORMS
@pytest.mark.usefixtures("chosen")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precisions_are_summed_in_single(dtype: torch.dtype) -> None:
    x = noise(8, 40, dtype=dtype)
    for ours, exact in zip(dwt(x, "db6"), dwt(x.double(), "db6"), strict=True):
        assert ours.dtype == dtype
        assert (ours.double() - exact).abs().max() <= 0.6 * torch.finfo(dtype).eps * exact.abs().max()  # one rounding
    assert idwt(*dwt(x, "db6"), "db6").dtype == dtype


@FORMS
@pytest.mark.usefixtures("chosen")
def test_autocast_keeps_the_precision_of_the_input() -> None:
    x = noise(8, 40, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low, high = dwt(x, "db4")
        back = idwt(low, high, "db4")
    assert torch.equal(low, dwt(x, "db4")[0])
    assert torch.equal(back, idwt(*dwt(x, "db4"), "db4"))


@FORMS
@pytest.mark.usefixtures("chosen")
def test_layouts_are_equal_and_input_is_kept() -> None:
    x = noise(3, 4, 12, 12)
    reference = dwt(x, "db3", axis=-2)
    before = x.clone()
    for same in (
        x.to(memory_format=torch.channels_last),
        x.mT.contiguous().mT,
        x.repeat_interleave(2, dim=-1)[..., ::2],
    ):
        for a, b in zip(dwt(same, "db3", axis=-2), reference, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-13)
    assert torch.equal(x, before)
    assert dwt(torch.zeros(0, 8), "db2")[0].shape == (0, 5)
    assert dwt(torch.empty(2, 8, device="meta"), "db2")[1].shape == (2, 5)


@pytest.mark.parametrize("mode", ["symmetric", "boundary"])
@pytest.mark.parametrize(
    "context", [torch.inference_mode, lambda: FakeTensorMode(allow_non_fake_inputs=True), lambda: torch.device("meta")]
)
def test_a_matrix_made_in_any_context_serves_training(context: Callable[[], Any], mode: str) -> None:
    constants._cached.cache_clear()
    x = noise(4, 21)
    with context():
        dwt(x, "db5", mode)
    kept = constants._cached.cache_info().currsize
    leaf = x.clone().requires_grad_()
    low, high = dwt(leaf, "db5", mode)
    torch.testing.assert_close(idwt(low, high, "db5", mode, length=21), leaf, rtol=0, atol=1e-11)
    low.square().sum().backward()
    assert type(leaf.grad) is Tensor
    assert kept > 0
    assert constants._cached.cache_info().hits > 0


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("mode", ["periodic", "boundary"])
def test_meta_device_under_autocast(axis: int, mode: str) -> None:
    x = torch.empty(20, 21, 22, device="meta")
    with torch.autocast("cpu", torch.bfloat16):
        low, high = dwt(x, "db4", mode, axis)
        y = idwt(low, high, "db4", mode, axis, length=x.shape[axis])
    assert low.shape == dwt(torch.zeros(x.shape), "db4", mode, axis)[0].shape
    assert (y.shape, y.dtype, y.device.type) == (x.shape, x.dtype, "meta")


def test_a_matrix_made_under_a_function_transform_serves_eager() -> None:
    constants._cached.cache_clear()
    x = noise(4, 22)
    expected = 2 * torch.func.grad(lambda y: dwt(y, "db5")[0].sum())(x)
    leaf = x.clone().requires_grad_()
    (2 * dwt(leaf, "db5")[0].sum()).backward()
    torch.testing.assert_close(leaf.grad, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("x", "arguments", "error", "message"),
    [
        (torch.zeros(4, dtype=torch.int64), {}, TypeError, r"got torch.int64; convert it with x.float\(\)"),
        (torch.zeros(4, dtype=torch.complex64), {}, TypeError, "transform x.real and x.imag apart"),
        ([1.0, 2.0], {}, TypeError, r"got list; convert it with torch.as_tensor\(x\)"),
        (torch.zeros(2, 0), {}, ValueError, r"length must be at least 1, got shape \(2, 0\)"),
        (torch.zeros(2, 4), {"axis": 2}, ValueError, r"axis 2 does not exist in shape \(2, 4\); allowed: -2 to 1"),
        (torch.zeros(()), {}, ValueError, r"axis -1 does not exist in shape \(\); allowed: none"),
        (torch.zeros(2, 4), {"mode": "smooth"}, ValueError, "mode must be one of"),
        (torch.zeros(2, 1), {"mode": "reflect"}, ValueError, "'reflect' needs at least 2 samples"),
        (torch.zeros(2, 4), {"wavelet": "nope"}, ValueError, "no discrete wavelet 'nope'"),
    ],
)
def test_dwt_refuses(x: Any, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        dwt(x, **{"wavelet": "db2", **arguments})


@pytest.mark.parametrize(
    ("low", "length", "message"),
    [
        (torch.zeros(5), None, "one shape"),
        (torch.zeros(6), 11, "6 coefficients of filters of length 4 in mode 'symmetric' belong to .* 9 or 10, not 11"),
        (torch.zeros(6), 8, "9 or 10, not 8"),
        (torch.zeros(1), None, "of length none, not 0"),
    ],
)
def test_idwt_refuses(low: Tensor, length: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        idwt(low, torch.zeros(6 if len(low) != 1 else 1), "db2", length=length)


def test_pywavelets_objects_are_taken() -> None:
    x = noise(9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(dwt(x, pywt.Wavelet("db2"))[0], dwt(x, "db2")[0])
        assert torch.equal(dwt(x, filter_bank("db2"))[0], dwt(x, "db2")[0])
