"""What a report covers and says: the runs of narrower and wider commands, and settings that the command changed."""

import csv
import shutil
from pathlib import Path

import pytest

import run_experiments
from training.comparison.command import Settings, run_experiment
from training.comparison.plan import Choice, build_plan, load_experiment


def table(output: Path) -> dict[str, str]:
    with (output / "results.csv").open() as file:
        return {row["key"]: row["runs"] for row in csv.DictReader(file)}


def test_a_narrower_command_keeps_the_report_of_the_wider_one(finished: Path, tmp_path: Path) -> None:
    output = tmp_path / "copy"
    shutil.copytree(finished, output)
    narrow = Choice(models=["cnn"], seeds=[5], training={"epochs": 3})
    run_experiment("digits", load_experiment("digits"), narrow, Settings(output, 1, 1), {})
    assert table(output) == {"wavpool": "2", "mlp": "2", "cnn": "1"}
    text = (output / "results.md").read_text()
    assert "| runs |" in text
    assert "seeds 0, 1, 5" in text
    other = Choice(models=["mlp"], seeds=[0], training={"epochs": 1})
    run_experiment("digits", load_experiment("digits"), other, Settings(output, 1, 1), {})
    assert table(output) == {"mlp": "1"}  # other settings are never mixed


def test_the_report_says_what_the_command_changed(finished: Path) -> None:
    for name in ("results.md", "report.html"):
        text = (finished / name).read_text()
        assert "These runs differ from the preset digits: epochs 3 instead of 40, seeds 0, 1." in text
        assert "at most 3 epochs" in text
    usual = build_plan("paper", load_experiment("paper"), Choice(training={"epochs": 120, "data_dir": "x"}))
    assert usual.differs == ""
    assert "at most 120 epochs" in usual.about
    spectral = load_experiment("spectral")  # 3 epochs of MNIST, 4 of CIFAR-10
    assert build_plan("spectral", spectral, Choice(training={"epochs": 3})).changed == {"epochs": "3 instead of 4"}
    assert build_plan("spectral", spectral, Choice(["mnist"], training={"epochs": 3})).differs == ""
    assert build_plan("spectral", spectral, Choice(training={"epochs": 1})).changed == {"epochs": "1 instead of 3 or 4"}


@pytest.mark.parametrize(("preset", "epochs"), [("digits", 1), ("digits", 2), ("modern", 4)])
def test_few_epochs_shorten_the_warm_up(preset: str, epochs: int) -> None:
    choice = Choice(data=["digits"], models=["mlp"] if preset == "digits" else None, training={"epochs": epochs})
    usual = load_experiment(preset)
    [*runs] = build_plan(preset, usual.model_copy(update={"models": {"mlp": usual.models["mlp"].model_copy(
        update={"match": None})}}), choice).runs  # fmt: skip
    assert all(0 < run.config.warmup_epochs < run.config.epochs for run in runs)


def test_search_flags_need_a_preset_that_searches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_experiments.main(["--trials", "3", "--output", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: --trials is for presets that search, and digits does not\n"
