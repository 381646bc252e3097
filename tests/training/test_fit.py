"""A run from start to end: learning, files, determinism, early stopping, selection of weights."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file

from training.callbacks import paper_stops
from training.config import ConfigError, TrainConfig, load_config
from training.engine import fit, load, predict, train
from training.metrics import classification_metrics
from training.networks import build_model, build_optimizer, build_schedule

MakeConfig = Callable[..., TrainConfig]
METRICS = "loss accuracy roc_auc f1_macro"
COLUMNS = [
    "epoch",
    "train_loss",
    "train_accuracy",
    *(f"validation_{name}" for name in METRICS.split()),
    "seconds",
    "lr",
]


def numbers(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


def test_a_run_leaves_all_its_files(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(
        model="wavpool_dense_tiny", optimizer="adamw", lr=0.003, epochs=4, normalize=True, select="best"
    )
    metrics = fit(config, tmp_path / "run", progress=False)
    assert metrics == json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["test"]["accuracy"] > 0.8
    assert set(metrics) >= {
        *("train", "validation", "test", "best_epoch", "best_validation_accuracy", "epochs", "train_seconds"),
        *("inference_ms", "parameters", "live_parameters", "provenance"),
    }
    assert set(metrics["provenance"]) >= {"commit", "versions", "seed", "config", "machine", "cost"}
    assert metrics["unreachable_parameters"] == 0
    assert 0.8 * metrics["parameters"] < metrics["live_parameters"] <= metrics["parameters"]
    assert metrics["validation"]["accuracy"] == pytest.approx(metrics["best_validation_accuracy"], abs=1e-6)
    assert load_config(tmp_path / "run" / "config.yaml") == config
    with (tmp_path / "run" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == COLUMNS
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    for name in ("history", "confusion", "roc"):
        with Image.open(tmp_path / "run" / f"{name}.png") as picture:
            picture.verify()
            assert min(picture.size) > 400
    assert not [path for path in (tmp_path / "run").iterdir() if path.name.startswith(".")]

    data = load(config)
    model = timm.create_model("wavpool_dense_tiny", num_classes=10, in_chans=1, img_size=8)
    model.load_state_dict(load_file(tmp_path / "run" / "model.safetensors"))
    mean, std = data.train.mean_std()
    again = classification_metrics(*predict(model, data.test, 300, mean=mean, std=std))
    assert again["accuracy"] == pytest.approx(metrics["test"]["accuracy"])
    assert again["loss"] == pytest.approx(metrics["test"]["loss"], abs=1e-5)


def test_a_folder_that_holds_a_run_is_not_overwritten_by_mistake(make_config: MakeConfig, tmp_path: Path) -> None:
    first = fit(make_config(epochs=1), tmp_path, progress=False)
    with pytest.raises(ConfigError, match="already holds a run; add --resume"):
        fit(make_config(epochs=1), tmp_path, progress=False)
    with pytest.raises(ConfigError, match=r"other settings \(lr\)"):
        fit(make_config(epochs=1, lr=0.2), tmp_path, resume=True, progress=False)
    assert fit(make_config(epochs=1), tmp_path, resume=True, progress=False) == first
    assert fit(make_config(epochs=1, lr=0.2), tmp_path, overwrite=True, progress=False)["train"] != first["train"]


def test_the_seed_decides_everything(make_config: MakeConfig) -> None:
    options = {
        "model": "wavpool_dense_tiny",
        "model_kwargs": {"drop_rate": 0.2},
        "augment": "crop",
        "mixup": 0.2,
        "cutmix": 1.0,
    }
    data = load(make_config())
    runs = [train(make_config(seed=seed, **options), data) for seed in (0, 0, 1)]
    assert numbers(runs[0].history) == numbers(runs[1].history)
    assert numbers(runs[0].history) != numbers(runs[2].history)
    weights = [run.model.state_dict() for run in runs]
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


def test_the_loop_is_plain_gradient_descent(make_config: MakeConfig) -> None:
    """The paper's protocol without Lightning: same weights, to the bit."""
    config = make_config(epochs=2, batch_size=640, shuffle=False, momentum=0)
    data = load(config)
    trained = train(config, data).model
    model = build_model(config, data)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    images, labels = data.train.images.float().div(255), data.train.labels
    for _ in range(2):
        for x, y in zip(images.split(640), labels.split(640), strict=True):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert all(torch.equal(value, trained.state_dict()[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("losses", "stops_after"),
    [
        ([9, 8, 7, 6, 5, 4, 3, 2, 1, 0], None),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], 10),  # increases before epoch 5 do not count
        ([5, 5, 5, 5, 5, 6, 5, 6, 5, 6, 5, 6, 5, 6, 5], 14),  # not consecutive
        ([5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5], None),  # equal is no increase
        ([0, 0, 0, 0, 0, 1, 2, 3, 4], None),
    ],
)
def test_the_papers_early_stopping(losses: list[float], stops_after: int | None) -> None:
    stops = [count for count in range(1, len(losses) + 1) if paper_stops(losses[:count])]
    assert (stops[0] if stops else None) == stops_after


@pytest.mark.parametrize("early_stopping", ["paper", "patience"])
def test_early_stopping_stops(early_stopping: str, make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(epochs=60, lr=2.0, momentum=0, early_stopping=early_stopping, patience=3, batch_size=640)
    metrics = fit(config, tmp_path, progress=False)
    with (tmp_path / "history.csv").open() as file:
        losses = [float(row["validation_loss"]) for row in csv.DictReader(file)]
    assert metrics["epochs"] == len(losses) < 60
    assert metrics["stopped_early"]
    if early_stopping == "paper":
        assert paper_stops(losses)
        assert not paper_stops(losses[:-1])
    else:
        assert losses.index(min(losses)) == len(losses) - 4
    (tmp_path / "metrics.json").unlink()  # killed between the last checkpoint and the end: it stays stopped
    assert fit(config, tmp_path, resume=True, progress=False)["validation"] == metrics["validation"]


def test_a_diverging_run_stops_and_says_so(
    make_config: MakeConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = fit(make_config(lr=1e30, epochs=5), tmp_path, progress=False)
    assert metrics["diverged"]
    assert metrics["epochs"] < 5
    assert metrics["validation"]["loss"] is None
    assert "a lower lr may help" in capsys.readouterr().err


def test_weights_are_averaged_and_validated(make_config: MakeConfig) -> None:
    data = load(make_config())
    plain, averaged = train(make_config(), data), train(make_config(ema=0.9), data)
    assert not torch.equal(next(plain.model.parameters()), next(averaged.model.parameters()))
    assert numbers(plain.history)[0]["train_loss"] == numbers(averaged.history)[0]["train_loss"]
    metrics = classification_metrics(*predict(averaged.model, data.validation, 300))
    assert averaged.history[-1]["validation_loss"] == pytest.approx(metrics["loss"], abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        ({"schedule": "constant"}, [1, 1, 1, 1, 1, 1, 1, 1]),
        ({"schedule": "constant", "warmup_epochs": 1}, [1 / 3, 2 / 3, 1, 1, 1, 1, 1, 1]),
        ({"schedule": "cosine"}, [1, 0.96, 0.85, 0.69, 0.5, 0.31, 0.15, 0.04]),
        ({"schedule": "cosine", "warmup_epochs": 1}, [1 / 3, 2 / 3, 1, 0.93, 0.75, 0.5, 0.25, 0.07]),
        ({"schedule": "onecycle"}, [0.04, 0.82, 0.97, 0.81, 0.56, 0.28, 0.08, 0.0]),
    ],
)
def test_schedules(settings: dict[str, object], rates: list[float], make_config: MakeConfig) -> None:
    config = make_config(epochs=4, lr=1.0, **settings)
    optimizer = build_optimizer(config, torch.nn.Linear(2, 2))
    schedule = build_schedule(config, optimizer, 8)
    seen = []
    for _ in range(8):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        assert optimizer.param_groups[0].get("momentum", config.momentum) == config.momentum
        if schedule is not None:
            schedule.step()
    assert seen == pytest.approx(rates, abs=0.05)


def test_sgd_is_plain_and_nesterov_is_named(make_config: MakeConfig) -> None:
    model = torch.nn.Linear(2, 2)
    assert not build_optimizer(make_config(), model).defaults["nesterov"]
    assert build_optimizer(make_config(optimizer="nesterov"), model).defaults["nesterov"]
    assert isinstance(build_optimizer(make_config(optimizer="adam"), model), torch.optim.Adam)


def test_any_timm_model_trains(make_config: MakeConfig) -> None:
    config = make_config(model="test_resnet", color="rgb", epochs=1, limit=(256, 64, 64), lr=0.01)
    assert len(train(config, load(config)).history) == 1
