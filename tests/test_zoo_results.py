"""`python -m benchmarks.zoo`: the tables and the figure. No test asserts a time."""

from pathlib import Path

import pytest
import timm
import torch
from matplotlib.figure import Figure
from torch import nn

from benchmarks import zoo, zoo_figure
from benchmarks.zoo import Row
from benchmarks.zoo_figure import Point
from generators import Split
from training.evaluation import macs_and_activations, view_scores
from training.files import write_csv
from wavpool.models._weights import entries

TIMM_RESULTS = {"model", "top1", "top1_err", "top5", "top5_err", "param_count", "img_size", "crop_pct", "interpolation"}
TIMM_BENCHMARK = {
    *("model", "infer_samples_per_sec", "infer_step_time", "infer_batch_size", "infer_img_size"),
    *("infer_gmacs", "infer_macts", "param_count"),
}


@pytest.fixture(scope="module")
def speed() -> list[Row]:
    return zoo.speed_rows([("resnet8", 3, 32), ("wavpool_paper_mnist", 1, 28)], 0.001)


class Sides(nn.Module):
    """Class 0 where the left half of an image is the brighter one, else class 1."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        difference = x[..., : x.shape[-1] // 2].sum((1, 2, 3)) - x[..., x.shape[-1] // 2 :].sum((1, 2, 3))
        return self.scale * torch.stack((difference, difference * 0 + 1e-3), 1)


def test_scores_of_one_view_and_of_two() -> None:
    pictures = torch.zeros(4, 1, 4, 4, dtype=torch.uint8)
    pictures[:2, ..., :2] = 255
    split = Split(pictures, torch.tensor([0, 0, 1, 0]))
    scores = view_scores(Sides(), split, "cifar10", [0.0], [1.0])
    assert scores == {"accuracy": 0.75, "top5": 1.0, "accuracy_mirrored": 0.25}
    assert view_scores(Sides(), split, "mnist", [0.0], [1.0])["accuracy_mirrored"] is None


def test_costs_of_a_resnet() -> None:
    model = timm.create_model("resnet20")
    convolutions = 16 * 32 * 32 * 7 + 32 * 16 * 16 * 6 + 64 * 8 * 8 * 6
    assert macs_and_activations(model, (3, 32, 32)) == (40_551_040, convolutions + 10)


def test_packaged_results() -> None:
    rows = list(zoo.packaged_results())
    assert [row["model"] for row in rows] == list(entries())
    for row in rows:
        assert set(row) == {*TIMM_RESULTS, "data", "tta", "in_chans"}
        assert row["top1"] + row["top1_err"] == pytest.approx(100)


def test_speed(speed: list[Row]) -> None:
    assert [row["infer_batch_size"] for row in speed] == [1, 1, 64, 64]
    assert all({*row} == {*TIMM_BENCHMARK, "in_chans"} for row in speed)
    resnet = next(row for row in speed if row["model"] == "resnet8")
    assert (resnet["infer_gmacs"], resnet["param_count"]) == pytest.approx((0.0123, 0.07529), rel=0.03)


def test_all_of_ours_and_the_rivals_are_timed() -> None:
    shapes = zoo.shapes([{"model": "wavpool_zepto.mnist", "in_chans": 1, "img_size": 28}])
    assert {("wavpool_zepto", 1, 28), ("wavpool_large", 3, 32), ("resnet20", 3, 32)} <= set(shapes)
    assert not [name for name, _, _ in shapes if name.endswith("_224")]


def test_documents_from_the_csv_files(tmp_path: Path, speed: list[Row]) -> None:
    write_csv(tmp_path / "results.csv", list(zoo.packaged_results()))
    write_csv(tmp_path / "benchmark.csv", speed)
    zoo.publish(tmp_path)
    lines = (tmp_path / "zoo.md").read_text().splitlines()
    assert len(lines) == 2 + len(entries())
    (line,) = (line for line in lines if "`wavpool_paper_mnist.mnist`" in line)
    assert f"| {100 * entries()['wavpool_paper_mnist.mnist']['accuracy']:.2f} | – |" in line
    assert (tmp_path / "zoo.png").read_bytes().startswith(b"\x89PNG")


def test_published_numbers_name_their_source() -> None:
    rows = zoo.read_rows(zoo.FOLDER / "published.csv")
    assert all(row["source"] and 50 < row["top1"] < 100 and row["parameters"] > 1000 for row in rows)


def test_every_point_of_the_figure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(zoo_figure, "save_png", lambda figure, path: figures.append(figure))
    points = [  # five crowds of three
        Point(f"{kind}_{size}", kind, 84 + 2.2 * size - 0.3 * place, 2e4 * 3**size * (1 + 0.2 * place), None, 1.5**size)
        for size in range(5)
        for place, kind in enumerate(("ours", "rival", "published"))
    ]
    zoo_figure.draw(points, tmp_path / "zoo.png")
    names = [[text.get_text() for text in axes.texts] for axes in figures[0].axes]
    expected = sorted(point.name for point in points)
    assert [sorted(each) for each in names] == [expected, [], expected]
    renderer = figures[0].canvas.get_renderer()  # type: ignore[attr-defined]
    for axes in figures[0].axes:
        boxes = [zoo_figure.name_box(text, renderer) for text in axes.texts]
        assert not [1 for i, one in enumerate(boxes) for other in boxes[:i] if one.overlaps(other)]
