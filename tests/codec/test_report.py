"""The report of a sweep: what it says, that it asks for nothing, and that a browser draws it."""

import json
import math
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wavpool.codec.points import ORIGINAL, Curve, Row, claim, write_point, write_tables
from wavpool.codec.report import SHOWN_LAYERS, featured, kind, read_report, write_report
from wavpool.errors import UserError
from wavpool.pages import COLORS

ORIGINAL_BYTES = 1_084_392
SAMPLES = 10_000
METHODS = {  # bytes at which five points are lost, and how steeply
    Curve("calibrated"): (40e3, 3.2),
    Curve("uniform"): (66e3, 3.0),
    Curve("trellis"): (62e3, 3.0),
    Curve("magnitude"): (210e3, 2.2),
    Curve("random"): (620e3, 1.4),
    Curve("kmeans"): (105e3, 2.6),
    Curve("fixed", "none"): (170e3, 3.5),
    Curve("uniform", "haar"): (72e3, 3.0),
    Curve("uniform", "dct", 1): (64e3, 3.0),
}
CRITICAL = ("0.5", "1", "5", "knee")


def figures(drop: float, labelled: bool) -> Row:
    """Columns of a point that lost `drop` points."""
    row = {"kl": 0.08 * drop + 1e-4, "agreement": 1 - min(0.9, 0.011 * drop), "inference_seconds": 0.004}
    if labelled:
        row |= {"accuracy": 0.92 - drop / 100, "drop": drop, "loss": 0.28 + 0.03 * drop, "f1": 0.92 - drop / 100}
        row |= {"top5": 0.997 - drop / 400, "precision": 0.92 - drop / 100, "recall": 0.92 - drop / 100}
    half = 0.15 + 0.02 * drop
    return {
        f"{name}{end}": value + side * (half if name == "drop" else 0.04 * value)
        for name, value in row.items()
        for end, side in (("", 0), ("_low", -1), ("_high", 1))
    } | {"samples": SAMPLES, "original_bytes": ORIGINAL_BYTES}


def layers(size: int, count: int = 60) -> list[dict[str, object]]:
    """A report of many layers, of a transform each."""
    bases = ("dct2@taps", "haar:1@taps", "none", None)
    return [
        {"name": f"layer{1 + i // 20}.{i % 20 // 2}.conv{1 + i % 2}.weight", "shape": [16 * (1 + i // 20)] * 2 + [3, 3]}
        | {
            "basis": bases[i * 7 % 4],
            "bytes": round(size * (i + 10) / 2400),
            "bits_per_weight": 1 + i * 7 % 4,
            "zeros": 0.5,
        }
        for i in range(count)
    ]


def make(folder: Path, labelled: bool = True) -> Path:
    """A folder as a sweep leaves it, whose numbers follow from `METHODS`."""
    claim(
        folder, {"model": {"name": "resnet20"}, "data": {"name": "torch/cifar10"}, "calibration": None, "weights": "ab"}
    )
    rest = {
        "strength": 0.0,
        "seed": 0,
        "bytes": ORIGINAL_BYTES,
        "ratio": 1.0,
        "zero_coefficients": 0.0,
        "zero_weights": 0.0,
    }
    write_point(folder, f"{ORIGINAL}.json", {"method": ORIGINAL, "basis": "none"} | rest | figures(0, labelled), [])
    cliffs = []
    for curve, (middle, slope) in METHODS.items():
        for strength in np.geomspace(0.25, 4, 9):
            size = round(3 * middle / strength)
            drop = min(80.0, 5 * (middle / size) ** slope)
            row = {**curve._asdict(), "strength": float(strength), "bytes": size, "ratio": ORIGINAL_BYTES / size}
            row |= {
                "zero_coefficients": 1 - 1 / (1 + strength),
                "zero_weights": 0.01,
                "encode_seconds": 1,
                "decode_seconds": 1,
            }
            write_point(folder, curve.file(strength), row | figures(drop, labelled), layers(size))
        for name, target in zip(CRITICAL, (0.5, 1, 5, 2), strict=True):
            size = middle * (5 / target) ** (1 / slope)
            cliffs.append(
                {**curve._asdict(), "critical": name, "bytes": round(size), "bytes_low": size / 1.06}
                | {"bytes_high": math.inf if name == "0.5" else size * 1.05, "ratio": ORIGINAL_BYTES / size}
            )
    write_tables(folder, cliffs if labelled else [])
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("sweep"))


@pytest.fixture(scope="module")
def written(folder: Path) -> list[Path]:
    return write_report(folder, folder / "report")


@pytest.fixture(scope="module")
def page(written: list[Path]) -> str:
    return written[-1].read_text(encoding="utf-8")


class TestReading:
    def test_curves_go_from_small_to_large(self, folder: Path):
        report = read_report(folder)
        assert report.curves.keys() == METHODS.keys()
        for rows in report.curves.values():
            assert [row["bytes"] for row in rows] == sorted(row["bytes"] for row in rows)

    def test_the_featured_file_is_the_smallest_within_a_point(self, folder: Path):
        report = read_report(folder)
        assert report.best == Curve("calibrated")
        rows = report.curves[report.best]
        assert featured(rows)["bytes"] == min(row["bytes"] for row in rows if row["drop"] <= 1)
        assert featured([row for row in rows if row["drop"] > 3])["drop"] == min(
            r["drop"] for r in rows if r["drop"] > 3
        )

    def test_small_layers_are_one_bar_and_no_byte_is_lost(self, folder: Path):
        report = read_report(folder)
        bars = report.bars(report.best)
        assert len(bars) == SHOWN_LAYERS + 1
        assert bars[-1].name == "20 smaller tensors"
        assert sum(bar.bytes for bar in bars) == sum(layer["bytes"] for layer in report.layers[report.best])

    def test_kinds(self):
        assert [kind({"basis": name}) for name in ("dct2@taps", "haar:2@row", "none", None)] == [
            "dct2", "haar", "no transform", "lossless",
        ]  # fmt: skip

    def test_what_is_no_sweep_is_told(self, tmp_path: Path):
        with pytest.raises(UserError, match="wavpool sweep MODEL DATA"):
            read_report(tmp_path)
        file = tmp_path / "net.wvp"
        file.touch()
        with pytest.raises(UserError, match=r"net.wvp is a file, not a sweep's folder; wavpool info shows"):
            read_report(file)
        claim(tmp_path, {"model": {"name": "x"}})
        with pytest.raises(UserError, match="no finished point"):
            read_report(tmp_path)


class TestWritten:
    def test_figures_are_pictures_with_every_curves_colour(self, written: list[Path]):
        assert [path.name for path in written] == ["tradeoff.png", "layers.png", "cliffs.png", "report.html"]
        for path in written[:-1]:
            pixels = np.asarray(Image.open(path).convert("RGB")).astype(int) @ (65536, 256, 1)
            drawn = [int(color[1:], 16) for color in (COLORS[:4] if path.name == "layers.png" else COLORS)]
            assert set(drawn) <= set(np.unique(pixels).tolist()), path.name
            assert Image.open(path).width > 1500

    def test_page_asks_the_network_for_nothing(self, page: str):
        tags = re.findall(
            r"<(?:script|link|img|iframe)\b[^>]*>", page.split("</script>")[-1] + page.split("<script>")[0]
        )
        assert all("http" not in tag for tag in tags)
        assert re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="(?!data:)', page) == []

    def test_page_says_what_was_found(self, page: str):
        text = re.sub(r"<[^>]+>", "", page[page.index("<main>") :])
        assert "resnet20 in few bytes" in text
        assert "is made by calibrated" in text
        assert "measured on 10,000 samples of torch/cifar10" in text
        assert "uniform haar" in text
        assert "uniform dct #1" in text
        for name, (middle, slope) in METHODS.items():
            assert f"{round(middle * 5 ** (1 / slope)):,}" in text, name

    def test_smallest_of_each_target_is_bold(self, page: str):
        bold = re.findall(r'<td class=" best">([\d,]+)', page)
        assert bold == [f"{round(40e3 * (5 / target) ** (1 / 3.2)):,}" for target in (0.5, 1, 5)]

    def test_without_labels(self, tmp_path: Path):
        paths = write_report(make(tmp_path, labelled=False))
        assert [path.name for path in paths] == ["tradeoff.png", "layers.png", "report.html"]
        text = paths[-1].read_text(encoding="utf-8")
        assert "agrees with the original on" in text
        assert "Critical sizes" not in text


def test_missing_library_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "wavpool.codec.report_figures", None)
    with pytest.raises(ImportError, match=r"pip install 'wavpool\[reports\]'"):
        write_report(folder)


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("chromium is not installed")
    return found


def browse(chromium: str, profile: Path, page: Path, *arguments: str) -> str:
    """Run headless Chromium on a page."""
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    command = [chromium, *flags.split(), "--disable-component-update", "--disable-sync", f"--user-data-dir={profile}"]
    command += ["--virtual-time-budget=20000", *arguments, page.as_uri()]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout


def test_browser_draws_the_page(chromium: str, written: list[Path], tmp_path: Path):
    """Every curve is drawn in each of its panels, nothing fails, and the picture shows it."""
    probe = tmp_path / "probe.html"
    watch = "<script>window.onerror = (m) => { document.documentElement.dataset.failed = m; };</script>"
    probe.write_text(written[-1].read_text(encoding="utf-8").replace("<head>", f"<head>{watch}", 1), encoding="utf-8")
    shot = tmp_path / "page.png"
    options = ("--window-size=1280,3600", f"--screenshot={shot}", "--dump-dom")
    dom = browse(chromium, tmp_path / "profile", probe, *options)
    assert "data-failed" not in dom
    for name in ("tradeoff", "cliffs", "layers"):
        assert re.search(rf'id="figure-{name}"[^>]*class="[^"]*js-plotly-plot', dom), name
    shown = re.findall(r'<text class="legendtext"[^>]*data-unformatted="([^"]+)"', dom)
    assert {curve.label for curve in METHODS} <= set(shown)
    if not shot.exists():  # some builds do one of the two
        browse(chromium, tmp_path / "profile", probe, *options[:2])
    pixels = np.asarray(Image.open(shot).convert("RGB"))
    for color in COLORS[:8]:
        rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
        assert (np.abs(pixels.astype(int) - rgb).max(2) < 6).sum() > 50, color


def test_json_of_points_is_strict(folder: Path):
    """No NaN or Infinity, which other readers refuse."""
    for path in (folder / "points").glob("*.json"):
        json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(word))
