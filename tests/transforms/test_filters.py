"""Filter banks: PyWavelets' numbers, and what a bank has to be."""

import subprocess
import sys

import pytest
import pywt
import torch

from wavpool.transforms import FilterBank, FilterTensors, dwt, filter_bank, wavelist
from wavpool.transforms.filters import RECONSTRUCTION_TOLERANCE, resolve

HALF = 0.5**0.5


def test_every_discrete_wavelet_has_the_filters_of_pywavelets() -> None:
    assert wavelist() == tuple(pywt.wavelist(kind="discrete"))
    for name in wavelist():
        bank, reference = filter_bank(name), pywt.Wavelet(name)
        assert (bank.dec_lo, bank.dec_hi, bank.rec_lo, bank.rec_hi) == tuple(map(tuple, reference.filter_bank))
        assert bank.length == reference.dec_len
        assert bank.orthogonal == (reference.orthogonal or name in ("bior1.1", "rbio1.1"))  # these two are Haar
        assert bank.reconstruction_error < (5e-3 if name == "dmey" else 1e-10)
        assert filter_bank(reference) == bank
        assert filter_bank(bank) is bank
    assert filter_bank("DB4") == filter_bank("db4")


def test_banks_are_keys() -> None:
    assert len({filter_bank("db2"), filter_bank("db2"), filter_bank("sym2"), filter_bank("haar")}) == 3
    with pytest.raises(AttributeError):
        filter_bank("db2").name = "other"  # type: ignore[misc]


def test_custom_banks() -> None:
    bank = FilterBank("half", (0.5, 0.5), (-0.5, 0.5), (1, 1), (1, -1))
    assert bank.length == 2
    assert not bank.orthogonal
    low, high = dwt(torch.tensor([1.0, 3.0, 5.0, 9.0]), bank)
    assert low.tolist() == [2, 7]
    assert high.tolist() == [-1, -2]
    assert filter_bank(pywt.Wavelet("half", filter_bank=([0.5, 0.5], [-0.5, 0.5], [1, 1], [1, -1]))) == bank


@pytest.mark.parametrize("excess", [2e-8, 0.1, float("nan")])
def test_banks_that_do_not_reconstruct_are_refused(excess: float) -> None:
    taps = ((HALF, HALF), (-HALF, HALF), (HALF, HALF + excess), (HALF, -HALF))
    with pytest.raises(ValueError, match=r"'off' misses perfect reconstruction by .*, more than the 1e-08 allowed"):
        FilterBank("off", *taps)
    with pytest.raises(ValueError, match="misses perfect reconstruction"):
        filter_bank(pywt.Wavelet("off", filter_bank=taps))
    assert RECONSTRUCTION_TOLERANCE == 1e-8


def test_dmey_is_accepted_under_its_name_only() -> None:
    dmey = filter_bank("dmey")
    with pytest.raises(ValueError, match=r"'mine' misses perfect reconstruction by 0\.0045"):
        FilterBank("mine", dmey.dec_lo, dmey.dec_hi, dmey.rec_lo, dmey.rec_hi)


@pytest.mark.parametrize("taps", [((1.0,),) * 4, ((1.0, 0.0, 0.0),) * 4, ((),) * 4, ((1.0, 1.0),) * 3 + ((1.0,),)])
def test_lengths_are_even_and_equal(taps: tuple[tuple[float, ...], ...]) -> None:
    with pytest.raises(ValueError, match=r"one even length \(pad them with zeros\), got \["):
        FilterBank("odd", *taps)


@pytest.mark.parametrize(
    ("name", "message"),
    [("db", "no discrete wavelet 'db'; close: db"), ("morl", "close: "), ("", "close: haar, db2"), ("sim4", "sym4")],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        filter_bank(name)


def test_neither_a_name_nor_a_bank() -> None:
    with pytest.raises(TypeError, match=r"a name, a pywt.Wavelet or a FilterBank, got int"):
        filter_bank(4)  # type: ignore[arg-type]


def test_filter_tensors() -> None:
    taps = FilterTensors(*(torch.tensor(values) for values in pywt.Wavelet("db3").filter_bank))
    assert taps.length == 6
    assert resolve(taps) is taps
    with pytest.raises(ValueError, match=r"tensors of one even length, got \[\(3,\), \(3,\), \(3,\), \(3,\)\]"):
        resolve(FilterTensors(*(torch.zeros(3),) * 4))
    with pytest.raises(ValueError, match="tensors of one even length"):
        resolve(FilterTensors(torch.zeros(4), torch.zeros(4), torch.zeros(4), torch.zeros(2)))


def test_pywavelets_is_imported_at_its_first_use() -> None:
    program = """
import sys, wavpool.transforms
print('pywt' in sys.modules)
wavpool.transforms.filter_bank('db2')
print('pywt' in sys.modules)
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert found.split() == ["False", "True"]
