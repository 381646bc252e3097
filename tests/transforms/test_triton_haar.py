"""The Triton kernels in Triton's interpreter and through its compiler; on a GPU only where there is one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode

from wavpool.transforms import filters, native
from wavpool.transforms.native import cuda, ops

triton = pytest.importorskip("triton")

HAAR = filters.filter_bank("haar")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

# Shape and levels: rows of 16 bytes and less, several programs, masked blocks, two launches, one pixel left, no image.
CASES = [
    ((3, 2, 8, 8), 1),
    ((2, 6, 10), 1),
    ((3, 12, 20), 2),
    ((5, 24, 40), 3),
    ((17, 16, 24), 3),
    ((2, 2, 32, 64), 3),
    ((2, 16, 48), 4),
    ((2, 32, 32), 5),
    ((64, 128), 6),
    ((0, 8, 8), 2),
]
# The interpreter cuts bfloat16 off where a GPU rounds.
TOLERANCE = {torch.float64: 1e-14, torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 1e-2}

INTERPRETED = """
import sys, torch
from wavpool.transforms.native import cuda
results = []
for x, y, level in torch.load(sys.argv[1]):
    packed = cuda.analysis(x, "haar", "symmetric", False, 2, level)
    results.append((packed, cuda.adjoint(y, "haar", "symmetric", True, x.shape[-2:], level)))
torch.save(results, sys.argv[1])
assert "triton" in sys.modules
"""


def pair(shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """An image, of more values than a coincidence has, and coefficients of no image in particular."""
    generator = torch.Generator().manual_seed(hash(shape) % 1000)
    packed = (*shape[:-2], shape[-2] * shape[-1])
    return torch.randn(shape, generator=generator).to(dtype), torch.randn(packed, generator=generator).to(dtype)


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple, tuple[Tensor, Tensor]]:
    path = tmp_path_factory.mktemp("triton") / "tensors.pt"
    keys = [(shape, level, dtype) for shape, level in CASES for dtype in TOLERANCE]
    torch.save([(*pair(shape, dtype), level) for shape, level, dtype in keys], path)
    environment = {**os.environ, "TRITON_INTERPRET": "1"}  # must be set before Triton is imported
    subprocess.run([sys.executable, "-c", INTERPRETED, str(path)], env=environment, check=True)
    return dict(zip(keys, torch.load(path), strict=True))


def check(found: tuple[Tensor, Tensor], shape: tuple[int, ...], level: int, dtype: torch.dtype) -> None:
    """Against the operators on a CPU, in float64, which agree with PyWavelets."""
    x, y = (tensor.double() for tensor in pair(shape, dtype))
    expected = (
        ops.analysis_op(x, "haar", "symmetric", False, 2, level),
        ops.adjoint_op(y, "haar", "symmetric", True, shape[-2:], level),
    )
    for result, reference in zip(found, expected, strict=True):
        assert result.dtype == dtype
        assert result.shape == reference.shape
        assert (result.double().cpu() - reference).norm() <= TOLERANCE[dtype] * reference.norm()


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(("shape", "level"), CASES)
def test_agrees_with_the_cpu_in_the_interpreter(
    shape: tuple[int, ...], level: int, dtype: torch.dtype, interpreted: dict[tuple, tuple[Tensor, Tensor]]
) -> None:
    check(interpreted[shape, level, dtype], shape, level, dtype)


def compiled(kernel: object, levels: int, dtype: str, capability: int) -> object:
    """What a launch on aligned images 512 wide would compile."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from wavpool.transforms.native import triton_haar

    itemsize = {"fp16": 2, "bf16": 2, "fp32": 4, "fp64": 8}[dtype]
    width, blocks = triton_haar.block_shape(512, levels, itemsize)
    constants = {"LEVELS": levels, "WIDTH": width, "BLOCKS": blocks}
    signature, attributes = {}, {}
    for number, name in enumerate(kernel.arg_names):
        pointer = name in ("x", "approximation", "packed")
        signature[name] = "constexpr" if name in constants else f"*{dtype}" if pointer else "i32"
        if pointer or name in ("pixels", "coarse", "coefficients"):
            attributes[(number,)] = [["tt.divisibility", 16]]
    return triton.compile(
        ASTSource(kernel, signature, constants, attributes),
        target=GPUTarget("cuda", capability, 32),
        options={"num_warps": triton_haar.WARPS, "enable_fp_fusion": True},
    )


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="the interpreter compiles nothing")
@pytest.mark.parametrize("capability", [pytest.param(80, marks=pytest.mark.slow), 90])
@pytest.mark.parametrize(
    ("dtype", "levels"),
    [("fp32", 3), ("fp64", 2), *(pytest.param(*case, marks=pytest.mark.slow) for case in [("fp32", 5), ("bf16", 5)])],
)
@pytest.mark.parametrize(("name", "access"), [("analysis_kernel", "ld"), ("adjoint_kernel", "st")])
def test_compiles_to_whole_vectors_without_spills(
    name: str, access: str, dtype: str, levels: int, capability: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wavpool.transforms.native import triton_haar

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    code = compiled(getattr(triton_haar, name), levels, dtype, capability).asm
    vector = "v2.b64" if dtype == "fp64" else "v4.b32"
    assert len(re.findall(rf"{access}\.global\.{vector}", code["ptx"])) == 2**levels  # a row of pixels each
    assert not re.findall(r"(ld|st)\.local", code["ptx"])
    (tmp_path / "cubin").write_bytes(code["cubin"])
    tool = [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", str(tmp_path / "cubin")]
    usage = subprocess.run(tool, capture_output=True, text=True, check=True).stdout
    assert "STACK:0" in usage
    assert "LOCAL:0" in usage
    assert int(re.findall(r"REG:(\d+)", usage)[0]) <= 128  # 4 programs of 128 threads a multiprocessor, and more


@pytest.mark.parametrize(
    ("wavelet", "size", "level"), [("haar", (6, 9), 1), ("haar", (12, 12), 3), ("db2", (8, 8), 1), ("haar", (12,), 2)]
)
def test_the_rest_multiplies_by_matrices(wavelet: str, size: tuple[int, ...], level: int) -> None:
    x = torch.randn(2, *size, dtype=torch.float64)
    y = ops.analysis_op(x, wavelet, "symmetric", False, len(size), level)
    torch.testing.assert_close(cuda.analysis(x, wavelet, "symmetric", False, len(size), level), y)
    for dual in (False, True):
        expected = ops.adjoint_op(y, wavelet, "symmetric", dual, size, level)
        torch.testing.assert_close(cuda.adjoint(y, wavelet, "symmetric", dual, size, level), expected)


def test_off_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_asked", False)
    with FakeTensorMode():
        x, size = torch.empty(2, 16, 16, device="cuda"), (16, 16)
        assert not cuda.usable(x, HAAR, size, 2)
        native.use_triton()
        assert cuda.usable(x, HAAR, size, 2)
        assert not cuda.usable(x, filters.filter_bank("db2"), size, 2)
        assert not cuda.usable(x, HAAR, (16, 20), 3)
        assert not cuda.usable(x, HAAR, (16,), 2)
        assert not cuda.usable(torch.empty(16, 16), HAAR, size, 2)
        with native.disabled():
            assert not cuda.usable(x, HAAR, size, 2)
        assert native.analysis(x, "haar", "symmetric", 2, 2).shape == (2, 256)
        native.use_triton(False)
        assert not cuda.usable(x, HAAR, size, 2)


def test_asking_without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_asked", False)
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(RuntimeError, match="pip install triton"):
        native.use_triton()
    assert not cuda._asked
    native.use_triton(False)


@pytest.mark.parametrize("wanted", ["0", "1"])
def test_the_environment_asks_and_no_import_brings_triton(wanted: str) -> None:
    code = "import sys; from wavpool.transforms.native import cuda; print(cuda._asked, 'triton' in sys.modules)"
    environment = {**os.environ, "WAVPOOL_TRITON": wanted}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.split() == [str(wanted == "1"), "False"]


@needs_gpu
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(("shape", "level"), [*CASES, ((3, 5, 512, 512), 9), ((8, 64, 56, 56), 3)])
def test_agrees_with_the_cpu_on_a_gpu(shape: tuple[int, ...], level: int, dtype: torch.dtype) -> None:
    x, y = (tensor.cuda() for tensor in pair(shape, dtype))
    packed = native.analysis(x, "haar", "symmetric", 2, level)
    check((packed, native.synthesis(y, "haar", "symmetric", shape[-2:], level)), shape, level, dtype)


@needs_gpu
@pytest.mark.parametrize(("size", "level"), [((8, 12), 2), ((7, 8), 1)])
def test_gradients_on_a_gpu(size: tuple[int, int], level: int) -> None:
    x = torch.randn(2, *size, dtype=torch.float64, device="cuda", requires_grad=True)

    def energy(x: Tensor) -> Tensor:
        return native.analysis(x, "haar", "symmetric", 2, level).sin()

    assert torch.autograd.gradcheck(energy, (x,))
    assert torch.autograd.gradgradcheck(energy, (x,))
    torch.library.opcheck(ops.analysis_op, (x, "haar", "symmetric", False, 2, level))
