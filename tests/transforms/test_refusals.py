"""What a newcomer may pass by mistake is refused in one sentence with the remedy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from wavpool.layers import LearnableWavelet
from wavpool.transforms import (
    boundary_matrix,
    dct,
    dct_matrix,
    dwt,
    dwt_max_level,
    filter_bank,
    get_transform,
    idwt,
    swt,
    wavedec,
    wavedec2,
    waverec,
    waverec2,
    wht_matrix,
)

X = torch.zeros(8, 8)
ARRAY = np.zeros((8, 8))
CALLS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: wavedec(X, level=1.0), TypeError, "level must be an integer, got 1.0"),
    (lambda: wavedec(X, level="2"), TypeError, "level must be an integer, got '2'"),
    (lambda: swt(X, level=True), TypeError, "level must be an integer, got True"),
    (lambda: wavedec2(X, axes=-1), ValueError, r"axes must be two, got \(-1,\)"),
    (lambda: dwt(X, "haar", axis=(-1,)), TypeError, r"axis must be an integer, got \(-1,\)"),
    (lambda: dct(X, axis=None), TypeError, "axis must be an integer, got None"),
    (lambda: get_transform("dct").matrix((4, 4)), TypeError, r"each length must be an integer, got \(4, 4\)"),
    (lambda: boundary_matrix("db2", 7), TypeError, "n must be an integer, got 'db2'"),
    (lambda: dct_matrix(4.5), TypeError, "n must be an integer, got 4.5"),
    (lambda: wht_matrix(4.0), TypeError, "n must be an integer, got 4.0"),
    (lambda: dct_matrix(4, dtype="float32"), TypeError, "dtype must be a floating-point dtype .*, got 'float32'"),
    (lambda: boundary_matrix(4, "haar", torch.int64), TypeError, "dtype must be a floating-point dtype"),
    (lambda: idwt(X, None, "haar"), TypeError, "take torch.zeros_like of another band"),
    (lambda: waverec2([X, (X, None, X)]), TypeError, "take torch.zeros_like of another band"),
    (lambda: waverec([ARRAY, ARRAY]), TypeError, "got ndarray; convert it with torch.as_tensor"),
    (lambda: idwt(X, X.double(), "haar"), ValueError, "must have one dtype, got torch.float32 and torch.float64"),
    (lambda: wavedec(X, LearnableWavelet()), TypeError, r"got LearnableWavelet; call it: wavelet\(\)"),
    (lambda: wavedec2(X[0]), ValueError, "for one axis take the function without the 2"),
    (lambda: get_transform(None), TypeError, "transform must be a name, .*, got NoneType"),
    (lambda: get_transform(LearnableWavelet()()), TypeError, "transform must be a name, .*, got FilterTensors"),
    (lambda: dwt(X.to(torch.float8_e5m2), "haar"), TypeError, "of 16 bits or more, got torch.float8_e5m2"),
    (lambda: dwt_max_level(8, 1), ValueError, "at least 2 taps, got 1"),
]


@pytest.mark.parametrize(("call", "error", "message"), CALLS)
def test_refuses(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_takes_integers_of_numpy() -> None:
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(dct(x, axis=np.int64(1)), dct(x, axis=1))
    assert torch.equal(wavedec(x, "haar", level=np.int64(1))[1], wavedec(x, "haar", level=1)[1])
    assert dwt_max_level(100, 8) == dwt_max_level(100, filter_bank("db4"))
    assert boundary_matrix(5, "db2").dtype == dct_matrix(5).dtype == torch.get_default_dtype()
