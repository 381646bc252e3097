"""Multi-level 2-D wavelet transforms to compare: ours, every library's, and a clone of the tensor as the floor.

A library's boundary modes are all tried, and the one that is fastest in a case is timed. Ours are timed in PyWavelets'
default mode, `symmetric`. The libraries are pinned, fetched by `fetch`, and run as they are.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pywt
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

import wavpool.transforms
from wavpool.transforms import native

from .fetch import Unavailable, fetch
from .records import FLOOR, OURS, PEER

# In setuptools no longer, and imported by pytorch_wavelets.
PKG_RESOURCES = """
from importlib.resources import files

def resource_stream(package, name):
    return files(package).joinpath(name).open("rb")
"""
HAAR = "haar"
MODES = ("zero", "symmetric", "periodization")


class Problem(NamedTuple):
    """What is to be computed."""

    wavelet: str
    levels: int
    channels: int


def reference(x: NDArray[Any], problem: Problem, mode: str) -> list[NDArray[Any]]:
    """PyWavelets' result, flat: `[cA, cH, cV, cD, ...]`, coarsest first."""
    return _in_order(pywt.wavedec2(x, problem.wavelet, mode, problem.levels))


def _in_order(coefficients: Sequence[Any]) -> list[Any]:
    """`[cA, (cH, cV, cD), ...]` flat."""
    return [coefficients[0], *chain.from_iterable(coefficients[1:])]


@dataclass(frozen=True)
class Transform:
    """One way to compute it.

    `call` maps the image tensor to whatever the library returns, `tensors` that to a flat list, for gradients, and
    `bands` that to the order of `reference`, which takes the image and gives what must come out.
    """

    call: Callable[[Tensor], Any]
    reference: Callable[[NDArray[Any]], list[NDArray[Any]]]
    tensors: Callable[[Any], list[Any]] = _in_order
    bands: Callable[[Any], list[Any]] = _in_order
    differentiable: bool = True


Build = Callable[[Problem], dict[str, Transform]]


@dataclass(frozen=True)
class Implementation:
    """A name, a role of `records`, and what makes the transforms of a problem, by mode."""

    name: str
    role: str
    build: Build


def _clone(problem: Problem) -> dict[str, Transform]:
    return {"": Transform(torch.clone, lambda x: [x], lambda y: [y], lambda y: [y])}


def _pywavelets(problem: Problem) -> dict[str, Transform]:
    wavelet, levels, _ = problem

    def transform(mode: str) -> Transform:
        return Transform(
            lambda x: pywt.wavedec2(x.numpy(), wavelet, mode, levels),
            partial(reference, problem=problem, mode=mode),
            differentiable=False,
        )

    return {mode: transform(mode) for mode in MODES}


def _ptwt(problem: Problem) -> dict[str, Transform]:
    ptwt = _fetched("ptwt", "ptwt==1.0.1")
    wavelet, levels, _ = problem

    zero = partial(reference, problem=problem, mode="zero")

    def separate(result: Any) -> list[Tensor]:
        return [result[0], *(level[key] for level in result[1:] for key in ("da", "ad", "dd"))]

    return {
        "zero": Transform(lambda x: ptwt.wavedec2(x, wavelet, mode="zero", level=levels), zero),
        "zero, separable": Transform(
            lambda x: ptwt.fswavedec2(x, wavelet, mode="zero", level=levels), zero, separate, separate
        ),
    }


def _stacked(result: tuple[Tensor, list[Tensor]]) -> list[Tensor]:
    """Tensors of `(low, [high (B, C, 3, h, w), finest first])`."""
    return [result[0], *result[1]]


def _unstacked(result: tuple[Tensor, list[Tensor]]) -> list[Tensor]:
    return [result[0], *(band for high in reversed(result[1]) for band in high.unbind(2))]


def _pytorch_wavelets(problem: Problem) -> dict[str, Transform]:
    stand_ins = {"pkg_resources.py": PKG_RESOURCES}
    library = _fetched("pytorch_wavelets", "pytorch_wavelets==1.3.0", "six==1.17.0", stand_ins=stand_ins)
    return _modules(problem, lambda mode: library.DWTForward(J=problem.levels, wave=problem.wavelet, mode=mode))


def _torchwavelets(problem: Problem) -> dict[str, Transform]:
    library = _fetched("torchwavelets", "torchwavelets==0.1.1")
    return _modules(problem, lambda mode: library.DWT2D(J=problem.levels, wave=problem.wavelet, mode=mode))


def _modules(problem: Problem, module: Callable[[str], Callable[[Tensor], Any]]) -> dict[str, Transform]:
    return {
        mode: Transform(module(mode), partial(reference, problem=problem, mode=mode), _stacked, _unstacked)
        for mode in MODES
    }


def _wtconv(problem: Problem) -> dict[str, Transform]:
    """A strided grouped convolution a level: Finder et al., ECCV 2024, section 3.1. Not on PyPI, so written here."""
    wavelet = pywt.Wavelet(problem.wavelet)
    low, high = (torch.tensor(taps[::-1], dtype=torch.float32) for taps in (wavelet.dec_lo, wavelet.dec_hi))
    pairs = [(low, low), (high, low), (low, high), (high, high)]  # (rows, columns): cA, cH, cV, cD
    weight = torch.stack([torch.outer(*pair) for pair in pairs])[:, None].repeat(problem.channels, 1, 1, 1)
    padding = wavelet.dec_len // 2 - 1

    def call(x: Tensor) -> tuple[Tensor, list[Tensor]]:
        details = []
        for _ in range(problem.levels):
            height, width = x.shape[-2:]
            if height % 2 or width % 2:
                x = F.pad(x, (0, width % 2, 0, height % 2))
            y = F.conv2d(x, weight, stride=2, padding=padding, groups=problem.channels)
            y = y.unflatten(1, (problem.channels, 4))
            x = y[:, :, 0]
            details.append(y[:, :, 1:])
        return x, details

    return {"zero, centred": Transform(call, partial(_centred, problem=problem), _stacked, _unstacked)}


def _centred(x: NDArray[Any], problem: Problem) -> list[NDArray[Any]]:
    """What a convolution with symmetric zero padding gives: PyWavelets' `periodization` with zeros to wrap around."""
    margin = pywt.Wavelet(problem.wavelet).dec_len // 2
    inner = (..., slice(margin, -margin), slice(margin, -margin))
    details: list[NDArray[Any]] = []
    for _ in range(problem.levels):
        widths = [(0, 0)] * (x.ndim - 2) + [(2 * margin, 2 * margin + side % 2) for side in x.shape[-2:]]
        x, bands = pywt.dwt2(np.pad(x, widths), problem.wavelet, "periodization")
        x, *bands = (band[inner] for band in (x, *bands))
        details = [*bands, *details]
    return [x, *details]


def _ours(compiled: bool, fused: bool) -> Build:
    """`wavpool.transforms.wavedec2`, with the fused kernel or without, as it is or under `torch.compile`."""

    def build(problem: Problem) -> dict[str, Transform]:
        wavelet, levels, _ = problem
        if compiled and wavelet != HAAR:
            return {}  # long filters leave nothing to gain, and compiling takes most of a benchmark's time
        if fused and not native.usable(torch.empty(0)):
            raise Unavailable(f"there is no fused kernel: {native.status()}")

        def call(x: Tensor) -> Any:
            return wavpool.transforms.wavedec2(x, wavelet, level=levels)

        if compiled:
            torch.compiler.reset()
            call = torch.compile(call, fullgraph=True, dynamic=False)

        def plain(x: Tensor) -> Any:
            with native.disabled():
                return call(x)

        return {"symmetric": Transform(call if fused else plain, partial(reference, problem=problem, mode="symmetric"))}

    return build


def _fetched(module: str, *packages: str, stand_ins: dict[str, str] | None = None) -> Any:
    """Import a fetched module; last on the path, so that what is installed for real comes first."""
    folder = str(fetch(packages[0].replace("==", "-"), packages, stand_ins))
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module(module)


IMPLEMENTATIONS = (
    Implementation("clone", FLOOR, _clone),
    Implementation("PyWavelets", PEER, _pywavelets),
    Implementation("ptwt", PEER, _ptwt),
    Implementation("pytorch_wavelets", PEER, _pytorch_wavelets),
    Implementation("torchwavelets", PEER, _torchwavelets),
    Implementation("WTConv's DWT", PEER, _wtconv),
    Implementation("plain", OURS, _ours(compiled=False, fused=False)),
    Implementation("fused", OURS, _ours(compiled=False, fused=True)),
    Implementation("plain, compiled", OURS, _ours(compiled=True, fused=False)),
    Implementation("fused, compiled", OURS, _ours(compiled=True, fused=True)),
)
