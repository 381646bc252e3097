"""The orthonormal trigonometric transforms of the last axis by real FFTs: `(..., n)` to `(..., n)`, float32 or float64.

Sources: types 2 and 3 by one FFT of length n, J. Makhoul, IEEE Trans. ASSP 28 (1980); even type 4 by one complex FFT of
length n/2, N. Ahmed et al. as in H. Malvar, Signal Processing with Lapped Transforms (1992); type 1 by the symmetric
extension, which keeps the accuracy that the forms of length n lose.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from .constants import constant

SQRT2 = math.sqrt(2)
LONG = 2**14  # from here float32 FFTs of lengths with large prime factors may err by more than a millionth


def _quarter_turn(n: int) -> Tensor:
    """sqrt(2) exp(-i pi k / 2n) for k = 0..n//2, its first entry 1."""
    k = torch.arange(n // 2 + 1, dtype=torch.float64, device="cpu")
    return torch.polar(torch.where(k == 0, 1.0, torch.full_like(k, SQRT2)), k * (-math.pi / (2 * n)))


def _quarter_turn_back(n: int) -> Tensor:
    return 1 / _quarter_turn(n)


def _analysis(x: Tensor, sign: int) -> tuple[Tensor, Tensor]:
    """DCT-II of x (sign 1) or of the alternating x (sign -1): entries 0..n//2, and the rest from the last one down."""
    n = x.shape[-1]
    even, odd = x[..., ::2], x[..., 1::2].flip(-1)
    folded = torch.cat((even, odd if sign > 0 else -odd), dim=-1)
    spectrum = torch.fft.rfft(folded, norm="ortho") * constant(_quarter_turn, n, x)
    return spectrum.real, -spectrum.imag[..., 1 : (n + 1) // 2]


def _synthesis(low: Tensor, high: Tensor, n: int, sign: int) -> Tensor:
    """Inverse of `_analysis`; `high` has one entry less than `low`: at even n, both hold entry n/2."""
    spectrum = torch.complex(low, -pad(high, (1, 0))) * constant(_quarter_turn_back, n, low)
    folded = torch.fft.irfft(spectrum, n, norm="ortho")
    half = (n + 1) // 2
    # At odd n the last of the odd samples is one too many, and cut.
    even, odd = folded[..., :half], folded[..., n - half :].flip(-1)
    pairs = torch.stack((even, odd if sign > 0 else -odd), dim=-1)
    return pairs.reshape(*low.shape[:-1], 2 * half).narrow(-1, 0, n)


def dct1(x: Tensor) -> Tensor:
    """By the FFT of the even extension, of length 2n - 2."""
    inner = x[..., 1:-1]
    extended = torch.cat((SQRT2 * x[..., :1], inner, SQRT2 * x[..., -1:], inner.flip(-1)), dim=-1)
    if x.shape[-1] > LONG:
        extended = extended.double()
    y = torch.fft.rfft(extended, norm="ortho").real.to(x.dtype)
    return torch.cat((y[..., :1] / SQRT2, y[..., 1:-1], y[..., -1:] / SQRT2), dim=-1)


def dct2(x: Tensor) -> Tensor:
    """By one FFT of length n."""
    low, high = _analysis(x, 1)
    return torch.cat((low, high.flip(-1)), dim=-1)


def dct3(x: Tensor) -> Tensor:
    """Inverse of `dct2`."""
    n = x.shape[-1]
    count = n // 2 + 1
    return _synthesis(x[..., :count], x[..., n - count + 1 :].flip(-1), n, 1)


def dct4(x: Tensor) -> Tensor:
    """By a complex FFT of half the length, or at odd n as the odd entries of the `dct2` of the signal and n zeros."""
    if x.shape[-1] % 2 == 1:
        return SQRT2 * dct2(pad(x, (0, x.shape[-1])))[..., 1::2]
    y = _half_length(x[..., ::2], x[..., 1::2].flip(-1))
    return torch.stack((y.real, -y.imag.flip(-1)), dim=-1).reshape(x.shape)


def dst1(x: Tensor) -> Tensor:
    """By the FFT of the odd extension, of length 2n + 2."""
    extended = torch.cat((pad(x, (1, 1)), -x.flip(-1)), dim=-1)
    spectrum: Tensor = torch.fft.rfft(extended, norm="ortho")
    return -spectrum.imag[..., 1:-1]


def dst2(x: Tensor) -> Tensor:
    """The `dct2` of the alternating signal, reversed."""
    low, high = _analysis(x, -1)
    return torch.cat((high, low.flip(-1)), dim=-1)


def dst3(x: Tensor) -> Tensor:
    """Inverse of `dst2`."""
    n = x.shape[-1]
    count = n // 2 + 1
    return _synthesis(x[..., n - count :].flip(-1), x[..., : count - 1], n, -1)


def dst4(x: Tensor) -> Tensor:
    """As `dct4`; at odd n the even entries of the `dst2` of the signal and n zeros."""
    if x.shape[-1] % 2 == 1:
        return SQRT2 * dst2(pad(x, (0, x.shape[-1])))[..., ::2]
    y = _half_length(x[..., 1::2].flip(-1), x[..., ::2])
    return torch.stack((y.real, y.imag.flip(-1)), dim=-1).reshape(x.shape)


def _eighth_turn(half: int) -> Tensor:
    """exp(-i pi (8k + 1) / (16 half)) for k = 0..half-1."""
    k = torch.arange(half, dtype=torch.float64, device="cpu")
    return torch.polar(torch.ones_like(k), (8 * k + 1) * (-math.pi / (16 * half)))


def _half_length(real: Tensor, imaginary: Tensor) -> Tensor:
    """Type 4 of an even length: the even outputs are the real parts, the odd ones (last first) minus the imaginary."""
    turn = constant(_eighth_turn, real.shape[-1], real)
    spectrum: Tensor = torch.fft.fft(torch.complex(real, imaginary) * turn, norm="ortho")
    return spectrum * turn


def dht(x: Tensor) -> Tensor:
    """Real less imaginary part of the FFT."""
    spectrum = torch.fft.rfft(x, norm="ortho")
    low, high = spectrum.real - spectrum.imag, spectrum.real + spectrum.imag
    return torch.cat((low, high[..., 1 : (x.shape[-1] + 1) // 2].flip(-1)), dim=-1)


def _sides(n: int) -> Tensor:
    """Weights of the frequencies 0..n//2: sqrt(2) where the real spectrum has a mirror image, 1 at DC and Nyquist."""
    k = torch.arange(n // 2 + 1, dtype=torch.float64, device="cpu")
    return torch.where((k == 0) | (2 * k == n), 1.0, torch.full_like(k, SQRT2))


def rdft(x: Tensor) -> Tensor:
    """The parts of the FFT side by side."""
    n = x.shape[-1]
    spectrum = torch.fft.rfft(x, norm="ortho") * constant(_sides, n, x)
    parts = torch.view_as_real(spectrum).reshape(*x.shape[:-1], 2 * (n // 2 + 1))
    return torch.cat((parts[..., :1], parts[..., 2 : n + 1]), dim=-1)


def irdft(x: Tensor) -> Tensor:
    """Inverse of `rdft`."""
    n = x.shape[-1]
    real, imaginary = torch.cat((x[..., :1], x[..., 1::2]), dim=-1), pad(x[..., 2::2], (1, 1 - n % 2))
    y: Tensor = torch.fft.irfft(torch.complex(real, imaginary) / constant(_sides, n, x), n, norm="ortho")
    return y
