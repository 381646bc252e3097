"""What is written: tables that equal the stored metrics, figures, and a page that needs no network."""

import csv
import json
import math
import shutil
import statistics
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from training.comparison.command import Settings, describe_plan, run_experiment
from training.comparison.plan import Choice, Plan, build_plan, load_experiment
from training.comparison.results import Results, beside_published, collect, curves
from training.comparison.table import main_table, plus_minus

FILES = ("results.md", "results.csv", "runs.csv", "accuracy.png", "histories.png", "costs.png", "report.html")


def stored(output: Path, plan: Plan, key: str) -> list[dict]:
    return [json.loads((output / run.name / "metrics.json").read_text()) for run in plan.runs if run.key == key]


def test_means_and_deviations_are_those_of_the_stored_metrics(finished: Path, small_plan: Plan) -> None:
    with (finished / "results.csv").open() as file:
        rows = {row["key"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["wavpool", "mlp"]
    for key, row in rows.items():
        metrics = stored(finished, small_plan, key)
        for column, values in {
            "validation_accuracy": [each["validation"]["accuracy"] for each in metrics],
            "test_accuracy": [each["test"]["accuracy"] for each in metrics],
            "test_roc_auc": [each["test"]["roc_auc"] for each in metrics],
            "test_f1_macro": [each["test"]["f1_macro"] for each in metrics],
            "inference_ms": [each["inference_ms"] for each in metrics],
            "live_parameters": [each["parameters"] - each["unreachable_parameters"] for each in metrics],
        }.items():
            assert float(row[f"{column}_mean"]) == pytest.approx(statistics.mean(values), rel=1e-12)
            assert float(row[f"{column}_std"]) == pytest.approx(statistics.stdev(values), rel=1e-9, abs=1e-15)


def test_markdown_and_screen_show_these_numbers(finished: Path, small_plan: Plan) -> None:
    text = (finished / "results.md").read_text()
    screen = main_table(collect(small_plan, finished)).text()
    for key in small_plan.keys:
        values = [each["test"]["accuracy"] for each in stored(finished, small_plan, key)]
        words = plus_minus(statistics.mean(values), statistics.stdev(values))
        assert words in text
        assert words in screen


def test_histories_are_means_and_an_early_end_keeps_its_last_value(finished: Path, small_plan: Plan) -> None:
    results = collect(small_plan, finished)
    rows = [list(csv.DictReader((finished / run.name / "history.csv").open())) for run in small_plan.runs]
    wanted = [[float(row["validation_accuracy"]) for row in each] for each in rows[::2]]  # the runs of wavpool
    curve = curves(results, "digits", "wavpool", "validation_accuracy")
    assert list(curve.index) == [1, 2, 3]
    assert curve["mean"].to_list() == pytest.approx([statistics.mean(pair) for pair in zip(*wanted, strict=True)])
    short = results.history.drop(results.history.query("key == 'wavpool' and seed == 1 and epoch == 2").index)
    cut = curves(
        Results(results.plan, results.metrics, results.runs, short), "digits", "wavpool", "validation_accuracy"
    )
    assert cut["mean"].iloc[2] == pytest.approx((wanted[0][2] + wanted[1][1]) / 2)


def test_other_configs_in_the_folder_do_not_count(finished: Path, small_plan: Plan, tmp_path: Path) -> None:
    output = tmp_path / "copy"
    shutil.copytree(finished, output)
    other = Choice(models=["mlp"], seeds=[0], training={"epochs": 4})
    run_experiment("digits", load_experiment("digits"), other, Settings(output, 1, 1), {})
    assert len(collect(small_plan, output).runs) == 4
    plan = build_plan("digits", load_experiment("digits"), other)
    assert collect(plan, output).runs["epochs"].to_list() == [4]
    # a folder whose name says one thing and whose metrics say another
    run = small_plan.runs[0]
    path = output / run.name / "metrics.json"
    path.write_text(path.read_text().replace('"lr": 0.003', '"lr": 0.004'))
    assert run.name not in collect(small_plan, output).runs["run"].to_list()


def test_a_finished_run_is_not_repeated(finished: Path, small_plan: Plan) -> None:
    files = [finished / run.name / "metrics.json" for run in small_plan.runs]
    before = [file.stat().st_mtime_ns for file in files]
    choice = Choice(models=["wavpool", "mlp"], seeds=[0, 1], training={"epochs": 3})
    run_experiment("digits", load_experiment("digits"), choice, Settings(finished, 1, 1), {})
    assert [file.stat().st_mtime_ns for file in files] == before
    assert "4 runs, 0 to do" in describe_plan(small_plan, finished)


def test_all_files_are_there_and_images_are_images(finished: Path) -> None:
    for name in FILES:
        assert (finished / name).stat().st_size > 100
        if name.endswith("png"):
            assert (finished / name).read_bytes().startswith(b"\x89PNG")


class _Loads(HTMLParser):
    """Collects what a browser would fetch, and the headings."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        names = ("src", "href", "srcset", "data", "poster", "action")
        self.addresses += [value or "" for name, value in attrs if name in names]


def test_report_loads_nothing_and_holds_all(finished: Path, small_plan: Plan) -> None:
    text = (finished / "report.html").read_text()
    page = _Loads()
    page.feed(text)
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert "@import" not in text.split("</style>")[0]
    assert page.tags.count("figure") == 3
    assert page.tags.count("table") == 2
    for run, metrics in zip(small_plan.runs, collect(small_plan, finished).metrics, strict=True):
        assert run.name in text
        assert str(metrics["provenance"]["commit"]) in text
        assert metrics["provenance"]["versions"]["torch"] in text
    assert "lr: 0.003" in text


def test_report_draws_its_figures_in_a_browser(finished: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium is installed")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    flags += [f"--user-data-dir={tmp_path}", "--virtual-time-budget=8000", "--dump-dom"]
    page = finished / "report.html"
    done = subprocess.run([browser, *flags, page.as_uri()], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert done.stdout.count('class="main-svg"') >= 3
    assert done.stdout.count("scatterlayer") >= 3


def test_published_values_stand_beside_ours(finished: Path, small_plan: Plan) -> None:
    results = collect(small_plan, finished)
    assert beside_published(results) == []  # the digits are not in the paper
    # the same runs, taken for those of MNIST
    relabelled = build_plan("paper", load_experiment("paper"), Choice(data=["mnist"], models=["wavpool", "mlp"]))
    mnist = Results(relabelled, results.metrics, results.runs.assign(data="mnist"), results.history)
    for row, key in zip(beside_published(mnist), ("wavpool", "mlp"), strict=True):
        best = statistics.mean(each["best_validation_accuracy"] for each in stored(finished, small_plan, key))
        assert row.ours == pytest.approx(best)
        assert row.difference == pytest.approx(best - {"wavpool": 0.9586, "mlp": 0.9047}[key])
        assert row.compared == "best"
        assert not math.isnan(row.published_last_sd)
