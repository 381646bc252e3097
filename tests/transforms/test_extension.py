"""Extension indices against PyWavelets' padding and lengths."""

import numpy as np
import pytest
import pywt

from wavpool.transforms.extension import (
    MODES,
    band_sizes,
    check_mode,
    coefficient_length,
    extension_index,
    first_position,
    runs,
    source,
)

LENGTHS = (1, 2, 3, 4, 5, 8, 9, 31)


def cases(mode: str) -> list[int]:
    return [n for n in LENGTHS if n > 1 or mode != "reflect"]


@pytest.mark.parametrize("mode", MODES)
def test_sources_are_those_of_pad(mode: str) -> None:
    for n in cases(mode):
        x = np.arange(1.0, n + 1)
        for width in (1, 5, 40):
            padded = pywt.pad(x, width, mode)
            ours = [source(position, n, mode) for position in range(-width, len(padded) - width)]
            np.testing.assert_array_equal([0 if i < 0 else x[i] for i in ours], padded)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("length", [2, 4, 10, 62])
def test_lengths_and_index(mode: str, length: int) -> None:
    for n in cases(mode):
        count = coefficient_length(n, length, mode)
        assert count == pywt.dwt_coeff_len(n, length, mode)
        index = extension_index(n, length, mode)
        assert len(index) == 2 * (count - 1) + length
        start = -first_position(length, mode)
        assert index[start : start + n] == tuple(range(n))


def test_band_sizes() -> None:
    shapes = [band.shape for band in pywt.wavedec(np.zeros(100), "db3", level=3)][:0:-1]
    assert band_sizes((100,), 6, "symmetric", 3) == [(100,), *shapes]


@pytest.mark.parametrize("mode", MODES)
def test_runs_spell_the_sources(mode: str) -> None:
    for n in cases(mode):
        for start, stop in ((-70, 0), (n, n + 70), (-1, 0), (n, n)):
            spelled: list[int] = []
            for first, count, step in runs(start, stop, n, mode):
                spelled += [-1] * count if first < 0 else [first + i * step for i in range(count)]
            assert spelled == [source(position, n, mode) for position in range(start, stop)]


def test_runs_are_few_where_the_signal_is_long() -> None:
    assert all(len(runs(-60, 0, 100, mode)) == 1 for mode in MODES)


def test_unknown_mode() -> None:
    with pytest.raises(ValueError, match=r"mode must be one of zero, .*, periodization, boundary, got 'smooth'"):
        check_mode("smooth")
