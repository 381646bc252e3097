import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wavpool.codec.coders import CODERS, decode, encode
from wavpool.codec.coders.huffman import LONGEST, canonical, code_lengths, lookup
from wavpool.codec.coders.states import NEXT, START
from wavpool.codec.errors import WvpError

ROOT = Path(__file__).parents[2]
NAMES = sorted(CODERS)
Shape = tuple[int, int, int]
Integers = NDArray[np.int32]


def laplacian(shape: Shape, scale: float, seed: int = 0) -> Integers:
    return np.rint(np.random.default_rng(seed).laplace(size=shape) * scale).astype(np.int32)


def structured(shape: Shape, seed: int = 0) -> Integers:
    """Scales that differ from row to row, column to column and tap to tap, as a network's do."""
    rng = np.random.default_rng(seed)
    rows, cols, taps = (np.exp(rng.normal(size=n) * 0.7) for n in shape)
    return np.rint(rng.laplace(size=shape) * rows[:, None, None] * cols[:, None] * taps).astype(np.int32)


def smooth(shape: Shape, seed: int = 0) -> Integers:
    """Kernels whose neighbouring taps are alike."""
    noise = np.random.default_rng(seed).normal(size=(*shape[:2], shape[2] + 2))
    return np.rint(3 * (noise[..., 2:] + noise[..., 1:-1] + noise[..., :-2])).astype(np.int32)


def scrambled(shape: Shape) -> Integers:
    """Small integers that no random number generator has a say in, a few large ones among them."""
    state = np.arange(1, np.prod(shape) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (state >> np.uint64(20)) & np.uint64(0xFFFFF)
    sizes = np.array([20 - int(word).bit_length() for word in bits], np.int64)
    sizes[::97] = sizes[::97] ** 5
    return np.where(state >> np.uint64(63), sizes, -sizes).astype(np.int32).reshape(shape)


def entropy(values: Integers) -> float:
    """Bytes of an ideal code that knows the histogram."""
    counts = np.unique(values, return_counts=True)[1]
    return float(-(counts * np.log2(counts / values.size)).sum() / 8)


DRAWN = st.sampled_from(["zero", "sparse", "laplacian", "wide", "structured", "smooth", "extreme", "any"])


def drawn(kind: str, shape: Shape, seed: int) -> Integers:
    rng = np.random.default_rng(seed)
    if kind == "structured":
        return structured(shape, seed)
    if kind == "smooth":
        return smooth(shape, seed)
    if kind == "extreme":
        return rng.choice(np.array([-(2**31), 2**31 - 1, 0, 1, -1], np.int32), shape)
    if kind == "any":
        return rng.integers(-(2**31), 2**31, shape, dtype=np.int32)
    return laplacian(shape, {"zero": 0, "sparse": 0.2, "laplacian": 2, "wide": 1e6}[kind], seed)


class TestRoundTrip:
    @pytest.mark.parametrize("coder", NAMES)
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        shape=st.tuples(st.integers(0, 12), st.integers(0, 12), st.sampled_from([0, 1, 2, 3, 9, 10, 25])),
        kind=DRAWN,
        seed=st.integers(0, 99),
        trellis=st.booleans(),
    )
    @example(shape=(200, 1, 1), kind="laplacian", seed=0, trellis=False)
    @example(shape=(1, 200, 1), kind="wide", seed=0, trellis=True)
    @example(shape=(1, 1, 300), kind="extreme", seed=0, trellis=False)
    def test_every_shape_and_distribution(self, coder: str, shape: Shape, kind: str, seed: int, trellis: bool) -> None:
        values = drawn(kind, shape, seed)
        before = values.copy()
        data = encode(values, coder, trellis)
        assert np.array_equal(values, before), "the input is left alone"
        decoded = decode(memoryview(data), shape, coder, trellis)
        assert decoded.dtype == np.int32
        assert np.array_equal(decoded, values)

    @pytest.mark.parametrize("coder", NAMES)
    @pytest.mark.parametrize("trellis", [False, True])
    def test_a_large_tensor_in_any_memory_order(self, coder: str, trellis: bool) -> None:
        values = structured((9, 120, 70)).transpose(2, 1, 0)
        values[3, 5, 7] = -(2**31)
        assert np.array_equal(decode(encode(values, coder, trellis), values.shape, coder, trellis), values)

    @pytest.mark.parametrize("value", [0, 1, -3, 2**31 - 1])
    @pytest.mark.parametrize("coder", NAMES)
    def test_a_constant_takes_few_bytes(self, coder: str, value: int) -> None:
        values = np.full((40, 20, 9), value, np.int32)
        data = encode(values, coder)
        assert np.array_equal(decode(data, values.shape, coder), values)
        if abs(value) < 2:  # the fast coder spends a bit on each sign
            most = {"raw": 5, "huffman": 910, "fast": 70 + 900 * abs(value), "small": 1 + 60 * value}
            assert len(data) <= most[coder]

    @pytest.mark.parametrize("coder", NAMES)
    def test_an_empty_tensor_takes_no_bytes(self, coder: str) -> None:
        assert encode(np.zeros((0, 3, 9), np.int32), coder) == b""
        assert decode(b"", (4, 0, 1), coder).shape == (4, 0, 1)

    @pytest.mark.parametrize("coder", NAMES)
    def test_other_arrays_are_refused(self, coder: str) -> None:
        with pytest.raises(ValueError, match="three-dimensional array of int32"):
            encode(np.zeros((2, 3), np.int32), coder)
        with pytest.raises(ValueError, match="three-dimensional array of int32"):
            encode(np.zeros((2, 3, 1), np.int64), coder)  # type: ignore[arg-type]

    def test_an_unknown_coder_is_named(self) -> None:
        with pytest.raises(ValueError, match="unknown coder 'zip'"):
            encode(np.zeros((1, 1, 1), np.int32), "zip")
        with pytest.raises(ValueError, match="unknown coder 'zip'"):
            decode(b"", (1, 1, 1), "zip")


class TestFormat:
    """Files written by a release have to be read by the next one: a change here needs a new coder."""

    def test_numbers_of_coders(self) -> None:
        assert CODERS == {"raw": 0, "huffman": 1, "fast": 2, "small": 3}

    @pytest.mark.parametrize(
        ("coder", "trellis", "length", "checksum"),
        [
            ("raw", False, 3718, 235583378),
            ("huffman", False, 760, 204727802),
            ("fast", False, 806, 2379933133),
            ("small", False, 637, 130571443),
            ("small", True, 637, 2845927037),
        ],
    )
    def test_bytes_stay_the_same(self, coder: str, trellis: bool, length: int, checksum: int) -> None:
        data = encode(scrambled((20, 11, 9)), coder, trellis)
        assert (len(data), zlib.crc32(data)) == (length, checksum)

    def test_bytes_of_predicted_signs_stay_the_same(self) -> None:
        steps = scrambled((20, 11, 12))
        data = encode((steps[..., 3:] + steps[..., 2:-1] + steps[..., 1:-2]).clip(-9, 9), "small")
        assert data[0] > 127, "this is the other form of the stream"
        assert (len(data), zlib.crc32(data)) == (826, 2532210703)

    def test_states_form_the_machine_of_the_standard(self) -> None:
        assert START == 0
        assert NEXT.shape == (8, 2)
        assert sorted(NEXT.reshape(-1)) == sorted([*range(8), *range(8)])
        assert all(NEXT[state, 0] & 1 == NEXT[state, 1] & 1 for state in range(8))
        with pytest.raises(ValueError, match="read-only"):
            NEXT[0, 0] = 1


class TestSize:
    @pytest.mark.parametrize("scale", [0.3, 0.7, 2, 6])
    def test_plain_noise_comes_near_its_entropy(self, scale: float) -> None:
        values = laplacian((64, 48, 9), scale)
        sizes = {coder: len(encode(values, coder)) for coder in CODERS}
        bound = entropy(values)
        assert sizes["small"] < 1.015 * bound
        assert sizes["fast"] < 1.02 * bound
        assert max(sizes["small"], sizes["fast"]) < 1.01 * sizes["huffman"]
        assert sizes["huffman"] < sizes["raw"]

    def test_structure_is_found(self) -> None:
        values = structured((64, 48, 9))
        bound = entropy(values)
        small, fast, huffman = (len(encode(values, coder)) for coder in ("small", "fast", "huffman"))
        assert small < 0.92 * bound
        assert small < 1.02 * fast
        assert fast < 0.9 * bound
        assert huffman > bound

    def test_smooth_kernels_are_predicted(self) -> None:
        values = smooth((48, 32, 9))
        assert len(encode(values, "small")) < 0.96 * entropy(values)

    def test_small_layers_cost_little_more(self) -> None:
        values = laplacian((16, 3, 9), 1.5)
        assert len(encode(values, "small")) < 1.03 * entropy(values) + 3

    def test_the_quantiser_of_a_dependent_index_tells_something(self) -> None:
        rng = np.random.default_rng(0)
        values = np.zeros((60, 40, 9), np.int32)
        state = START
        for k in range(values.size):
            values.reshape(-1)[k] = np.rint(rng.laplace() * (0.4 + 1.2 * (state & 1)))
            state = NEXT[state, values.reshape(-1)[k] & 1]
        assert len(encode(values, "small", trellis=True)) < 0.95 * len(encode(values, "small", trellis=False))


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """One of the ways in which a stream can be wrong."""
    spoiled = bytearray(data)
    match rng.integers(5):
        case 0:
            return data[: rng.integers(len(data))]
        case 1:
            return data + rng.bytes(int(rng.integers(1, 20)))
        case 2:
            for _ in range(rng.integers(1, 4)):
                spoiled[rng.integers(len(spoiled))] = rng.integers(256)
        case 3:
            spoiled[: 1 + len(data) // 4] = rng.bytes(1 + len(data) // 4)
        case _:
            return rng.bytes(int(rng.integers(0, 200)))
    return bytes(spoiled)


class TestDamage:
    @pytest.mark.parametrize("coder", NAMES)
    @pytest.mark.parametrize("trellis", [False, True])
    def test_anything_decodes_or_is_refused(self, coder: str, trellis: bool) -> None:
        rng = np.random.default_rng(1)
        values = structured((6, 5, 9))
        data = encode(values, coder, trellis)
        refused = 0
        sentences: set[str] = set()
        for _ in range(600):
            shape = (6, 5, 9) if rng.integers(4) else tuple(int(n) for n in rng.integers(0, 12, 3))
            try:
                decoded = decode(damaged(data, rng), shape, coder, trellis)
            except WvpError as error:
                refused += 1
                sentences.add(str(error))
            else:
                assert decoded.shape == shape
                assert decoded.dtype == np.int32
        assert refused > 250
        assert not any("\n" in sentence for sentence in sentences)

    @pytest.mark.parametrize("coder", NAMES)
    def test_spare_bytes_are_noticed(self, coder: str) -> None:
        values = laplacian((10, 7, 9), 2)
        data = encode(values, coder)
        for wrong in (data + b"\0", data + b"\1", data + bytes(50), data + data):
            with pytest.raises(WvpError):
                decode(wrong, values.shape, coder)

    @pytest.mark.parametrize("coder", NAMES)
    def test_missing_bytes_are_noticed_or_change_the_integers(self, coder: str) -> None:
        values = laplacian((10, 7, 9), 2)
        data = encode(values, coder)
        noticed = 0
        for length in range(len(data)):
            try:
                decoded = decode(data[:length], values.shape, coder)
            except WvpError:
                noticed += 1
            else:
                assert not np.array_equal(decoded, values)
        assert noticed > 0.8 * len(data)

    @pytest.mark.parametrize("coder", NAMES)
    def test_bytes_for_an_empty_tensor_are_refused(self, coder: str) -> None:
        with pytest.raises(WvpError):
            decode(b"\0\0\0\0\0\0", (0, 3, 1), coder)

    def test_an_impossible_table_of_codes_is_refused(self) -> None:
        with pytest.raises(WvpError, match="impossible table"):
            lookup(np.ones(3, np.uint8))


class TestHuffman:
    @given(st.lists(st.integers(0, 10**9), min_size=1, max_size=257).filter(any))
    @settings(max_examples=50, deadline=None)
    def test_lengths_form_a_code(self, counts: list[int]) -> None:
        lengths = code_lengths(np.array(counts, np.int64)).astype(int)
        used = lengths[np.array(counts) > 0]
        assert (lengths[np.array(counts) == 0] == 0).all()
        assert used.min() >= 1
        assert used.max() <= LONGEST
        assert sum(2.0**-length for length in used) == (1 if len(used) > 1 else 0.5)

    def test_long_codes_are_shortened(self) -> None:
        fibonacci = [1, 1]
        while len(fibonacci) < 30:
            fibonacci.append(fibonacci[-1] + fibonacci[-2])
        assert code_lengths(np.array(fibonacci)).max() <= LONGEST

    def test_codes_are_prefix_free(self) -> None:
        lengths = code_lengths(np.array([40, 5, 0, 9, 1, 1, 30]))
        codes = [f"{code:0{length}b}" for code, length in zip(canonical(lengths), lengths, strict=True) if length]
        assert not any(a != b and b.startswith(a) for a in codes for b in codes)


class TestExtras:
    @pytest.mark.parametrize(("coder", "library"), [("small", "numba"), ("huffman", "numba"), ("fast", "constriction")])
    def test_a_missing_library_is_named_with_the_remedy(
        self, coder: str, library: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in [name for name in sys.modules if name.startswith(("wavpool.codec.coders._", "wavpool.compiled"))]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(ImportError, match=rf"{library}: pip install 'wavpool\[codec"):
            encode(np.ones((2, 2, 2), np.int32), coder)

    def test_raw_needs_no_library_and_no_writable_cache_is_needed(self) -> None:
        code = """
import sys
import numpy as np
from wavpool.codec.coders import decode, encode
values = np.arange(-4, 5, dtype=np.int32).reshape(3, 3, 1)
assert (decode(encode(values, "raw"), (3, 3, 1), "raw") == values).all()
assert not {"numba", "constriction"} & set(sys.modules)
assert (decode(encode(values, "huffman"), (3, 3, 1), "huffman") == values).all()
"""
        environment = {**os.environ, "NUMBA_CACHE_DIR": "/proc/nowhere"}
        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=environment, timeout=120)
