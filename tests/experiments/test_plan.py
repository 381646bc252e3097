"""What the presets hold: their runs, equal budgets, names, and how configs are kept apart."""

from pathlib import Path

import pytest

from generators import DATASETS, load_data
from training.comparison.budget import CLASSES, IMAGES, count_parameters
from training.comparison.plan import Choice, build_plan, load_experiment, presets
from training.comparison.results import published
from training.config import ConfigError


@pytest.mark.parametrize("preset", presets())
def test_every_preset_is_a_plan_of_three_seeds_of_every_model_on_every_data_set(preset: str) -> None:
    experiment = load_experiment(preset)
    plan = build_plan(preset, experiment, Choice())
    assert len(plan.runs) == 3 * len(experiment.data) * len(experiment.models)
    assert len({run.name for run in plan.runs}) == len(plan.runs)
    assert plan.keys == list(experiment.models)


@pytest.mark.parametrize("preset", ["digits", "modern", "full"])
def test_matched_models_have_the_parameters_of_their_model_within_one_percent(preset: str) -> None:
    experiment = load_experiment(preset)
    plan = build_plan(preset, experiment, Choice(seeds=[0]))
    counts = {(run.config.data, run.key): count_parameters(run.config) for run in plan.runs}
    matched = {key: entry.match.parameters_of for key, entry in experiment.models.items() if entry.match}
    assert matched
    for (data, key), count in counts.items():
        if key in matched:
            assert count == pytest.approx(counts[data, matched[key]], rel=0.01)


def test_paper_preset_has_the_published_parameters_and_protocol() -> None:
    for run in build_plan("paper", load_experiment("paper"), Choice()).runs:
        assert count_parameters(run.config) == published()[run.key][run.config.data]["parameters"]
        protocol = run.config
        assert (protocol.split, protocol.batch_size, protocol.epochs, protocol.momentum) == ("paper", 640, 120, 0)
        assert (protocol.shuffle, protocol.normalize, protocol.optimizer) == (False, False, "sgd")
        assert (protocol.color, protocol.early_stopping) == ("gray", "paper")


def test_full_preset_uses_the_official_splits_in_their_own_colours() -> None:
    for run in build_plan("full", load_experiment("full"), Choice(seeds=[0])).runs:
        assert (run.config.split, run.config.color) == ("official", None)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "digits"])
def test_image_sizes_of_the_budget_are_those_of_the_data(name: str, request: pytest.FixtureRequest) -> None:
    if name != "digits":
        request.getfixturevalue(f"{name}_dir")
    data = load_data(name, download=False)
    assert IMAGES[name] == (data.in_chans, data.img_size)
    assert data.num_classes == CLASSES.get(name, 10)
    assert set(IMAGES) == set(DATASETS)


def test_a_setting_changes_the_folder_and_a_place_does_not(tmp_path: Path) -> None:
    def names(**training: object) -> set[str]:
        return {run.name for run in build_plan("digits", load_experiment("digits"), Choice(training=training)).runs}

    assert names() == names(data_dir=str(tmp_path))
    assert names().isdisjoint(names(epochs=4))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice(models=["wavpol"]), "unknown model 'wavpol' .*'wavpool'"),
        (Choice(data=["minst"]), "unknown data set 'minst' .*'mnist'"),
        (Choice(training={"epochs": 0}), "bad value 0 for 'epochs'"),
    ],
)
def test_a_wrong_choice_is_one_sentence_with_the_nearest_name(choice: Choice, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        build_plan("digits", load_experiment("digits"), choice)
    assert "\n" not in str(error.value)


def test_an_experiment_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    head = "title: T\nabout: A\nconfig: digits.yaml\ndata: [digits]\nseeds: [5]\nmodels:\n"
    path.write_text(f"{head}  net: {{label: Net, model: lenet5}}\n")
    assert [run.config.seed for run in build_plan(str(path), load_experiment(str(path)), Choice()).runs] == [5]
    path.write_text(f"{head}  net: {{label: Net, modell: lenet5}}\n")
    with pytest.raises(ConfigError, match=r"unknown key 'modell'.*'model'"):
        load_experiment(str(path))
    path.write_text(f"{head}  net: {{label: N, model: m, match: {{parameters_of: x, argument: a, ratios: [1]}}}}\n")
    with pytest.raises(ConfigError, match="matched to 'x', which is not there"):
        load_experiment(str(path))
