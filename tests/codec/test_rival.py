"""NNCodec as the rival (benchmarks/codec/nncodec_rival.py), and the comparison with it."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.codec import compare, nncodec_rival
from benchmarks.codec.cases import Case
from benchmarks.codec.nncodec_rival import Row, Weights, code, folded, plain, rebased, recalibrate, restore
from wavpool.models import CifarResNet

# Rounds, and leaves a copy of the stream in the folder for results, as NNCodec does.
STAND_IN = """
import io, pathlib
import numpy as np

def encode(weights, args):
    file = io.BytesIO()
    np.savez(file, **{key: np.round(value * 8) / 8 for key, value in weights.items()})
    pathlib.Path(args["results"], "copy.nnc").write_bytes(file.getvalue())
    return bytearray(file.getvalue() + bytes(-args["qp"]))

def decode(stream):
    return dict(np.load(io.BytesIO(stream)))
"""


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    network = CifarResNet(8).eval()
    for norm in nncodec_rival.batch_norms(network).values():
        for tensor in (norm.weight.data, norm.running_var):
            nn.init.uniform_(tensor, 0.5, 2)
        for tensor in (norm.bias.data, norm.running_mean):
            nn.init.normal_(tensor)
    return network


@pytest.fixture
def batches() -> list[tuple[Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(1)
    return [(torch.randn(8, 3, 32, 32, generator=draw), torch.randint(10, (8,), generator=draw)) for _ in range(2)]


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site" / "nncodec"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "nn.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setattr(nncodec_rival, "interpreter", lambda: Path(sys.executable))


class TestWeights:
    def test_folding_halves_the_vectors_and_keeps_the_function(
        self, model: nn.Module, batches: list[tuple[Tensor, Tensor]]
    ) -> None:
        weights, x = folded(model), batches[0][0]
        assert not [key for key in weights if "running" in key]
        assert len(plain(model)) - len(weights) == 2 * len(nncodec_rival.batch_norms(model))
        with torch.inference_mode():
            torch.testing.assert_close(restore(model, weights)(x), model(x), atol=1e-4, rtol=1e-4)
            assert torch.equal(restore(model, plain(model))(x), model(x))

    def test_rebased_keeps_the_function_with_statistics_of_the_images(
        self, model: nn.Module, batches: list[tuple[Tensor, Tensor]]
    ) -> None:
        other, x = rebased(model, batches), batches[0][0]
        with torch.inference_mode():
            torch.testing.assert_close(other(x), model(x), atol=1e-4, rtol=1e-4)
            first = torch.stack([model.stages.stem.conv(images).mean((0, 2, 3)) for images, _ in batches]).mean(0)
        torch.testing.assert_close(other.stages.stem.bn.running_mean, first)

    def test_recalibration_undoes_a_change_of_scale(
        self, model: nn.Module, batches: list[tuple[Tensor, Tensor]]
    ) -> None:
        one = batches[:1]  # of one batch the statistics behind the change are the same exactly
        changed = copy.deepcopy(rebased(model, one))
        changed.stages.stage2[0].conv1.weight.data *= 3
        with torch.inference_mode():
            assert not torch.allclose(changed(one[0][0]), model(one[0][0]), atol=0.1)
            recalibrated = recalibrate(changed, one)
            torch.testing.assert_close(recalibrated(one[0][0]), model(one[0][0]), atol=1e-3, rtol=1e-3)
        assert not any(module.training for module in recalibrated.modules())


class TestWorker:
    def test_names_bytes_and_values_survive_the_exchange(self, stand_in: None, tmp_path: Path) -> None:
        weights = {"layer1.0.weight": np.full((2, 2), 0.3, np.float32), "bias": np.ones(3, np.float32)}
        rows, decoded = zip(*code(weights, [-20, -10]), strict=True)
        assert [row["qp"] for row in rows] == [-20, -10]
        assert rows[0]["bytes"] - rows[1]["bytes"] == 10
        assert min(row[key] for row in rows for key in ("encode_s", "decode_s")) > 0
        assert list(decoded[1]) == ["layer1.0.weight", "bias"]
        np.testing.assert_array_equal(decoded[1]["layer1.0.weight"], 0.25)

    def test_a_failure_is_told(self, stand_in: None) -> None:
        with pytest.raises(RuntimeError, match="NNCodec failed: ValueError: invalid literal"):
            list(code({"bias": np.ones(3, np.float32)}, ["many"]))  # type: ignore[list-item]

    def test_the_published_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        if not (nncodec_rival.cache_folder() / f"nncodec-{nncodec_rival.VERSION}" / "READY").exists():
            pytest.skip("NNCodec is not installed in the cache")
        weights = {"w": np.random.default_rng(0).normal(0, 0.05, (64, 64, 3, 3)).astype(np.float32)}
        (fine, near), (coarse, far) = code(weights, [-28, -16])
        assert 0 < coarse["bytes"] < fine["bytes"] < weights["w"].nbytes / 4
        assert np.abs(near["w"] - weights["w"]).max() < np.abs(far["w"] - weights["w"]).max() < 0.1


class TestSweep:
    @pytest.fixture
    def rounding(
        self, model: nn.Module, batches: list[tuple[Tensor, Tensor]], monkeypatch: pytest.MonkeyPatch
    ) -> list[Weights]:
        sent: list[Weights] = []

        def fake(weights: Weights, qps: Iterable[int]) -> Iterator[tuple[Row, Weights]]:
            for qp in qps:
                sent.append(weights)
                step = np.float32(2 ** (qp / 4))
                decoded = {key: np.round(array / step) * step for key, array in weights.items()}
                yield {"qp": qp, "bytes": 1000 - qp, "encode_s": 1.0, "decode_s": 1.0}, decoded

        case = Case(lambda: model, lambda: batches, lambda: batches, lambda: batches)
        monkeypatch.setattr(nncodec_rival, "CASES", {"net": case})
        monkeypatch.setattr(nncodec_rival, "code", fake)
        return sent

    def test_every_variant(self, rounding: list[Weights], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "rival.csv"
        arguments = ["net", "--qp", "-30", "-20", "--step", "10", "--output", str(path)]
        nncodec_rival.main(arguments)
        rows = nncodec_rival.read_rows(path)
        assert [(row["variant"], row["qp"]) for row in rows] == [
            (variant, qp) for variant in nncodec_rival.VARIANTS for qp in (-30, -20)
        ]
        assert all(0 <= row["kl"] < 5 for row in rows)
        assert max(rows[0]["kl"], rows[2]["kl"]) < rows[1]["kl"]
        measured = len(rounding)
        nncodec_rival.main(arguments)
        assert len(rounding) == measured
        assert "| net | recalibrated |" in capsys.readouterr().out

    def test_recalibrated_sends_the_original_weights_and_new_vectors(
        self, rounding: list[Weights], model: nn.Module
    ) -> None:
        list(nncodec_rival.sweep("net", "recalibrated", [-8]))
        original, sent = folded(model), rounding[-1]
        assert list(sent) == list(original)
        for key, array in sent.items():
            assert np.array_equal(array, original[key]) == (".bn" not in f".{key}"), key


class TestCompare:
    def rows(self, coder: str, factor: float) -> list[Row]:
        quality = {"drop_low": 0.0, "drop_high": 1.0, "agreement": 98.0}
        points = ((1000, 0.1, 0.01), (500, 0.4, 0.04), (250, 2.0, 0.16))
        return [
            {"model": "net", "coder": coder, "setting": 1, "bytes": round(factor * size), "accuracy": 90.0 - drop}
            | {"drop": drop, "kl": kl, **quality}
            for size, drop, kl in points
        ]

    def test_table_and_figure(self, tmp_path: Path) -> None:
        rows = self.rows(compare.NNCODEC["folded"], 2) + self.rows(compare.CALIBRATED, 1)
        lines = compare.table(rows).splitlines()
        size = 500 * (250 / 500) ** (np.log(0.05 / 0.04) / np.log(4))
        assert lines[2] == f"| net | NNCodec, folded | 1,000 | 100% / - | {2 * size:,.0f} | 100% / - |"
        assert lines[3] == f"| net | wavpool, calibrated | 500 | 50% / - | {size:,.0f} | 50% / - |"
        compare.draw(rows, tmp_path / "figure.png")
        assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")

    def test_what_is_outside_of_the_sweep_is_said(self) -> None:
        rows = [row for row in self.rows(compare.CALIBRATED, 1) if row["bytes"] == 250]
        assert "outside the sweep | - / - | outside the sweep | - / -" in compare.table(rows)

    def test_ours_and_the_rival_in_one_table(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "rival.csv"
        figures: dict[str, Any] = {"drop": 0.0, "drop_low": 0.0, "drop_high": 0.1, "kl": 0.01, "agreement": 99.0}
        row = {"model": "resnet8", "variant": "folded", "qp": -20, "bytes": 9, "accuracy": 80.0, **figures}
        nncodec_rival.write_csv(path, [row | {"encode_s": 1, "decode_s": 1}])
        monkeypatch.setattr(compare, "ours", partial(self.ours, figures))
        compare.main(["resnet8", "--rival", str(path), "--output", str(tmp_path)])
        assert "| resnet8 | wavpool, calibrated | 4 | 44% / - |" in (tmp_path / "compare.md").read_text()
        assert len((tmp_path / "compare.csv").read_text().splitlines()) == 3

    @staticmethod
    def ours(figures: dict[str, Any], name: str, *strengths: Iterable[float]) -> list[Row]:
        return [{"model": name, "coder": compare.CALIBRATED, "setting": 1.0, "bytes": 4, "accuracy": 80.0, **figures}]
