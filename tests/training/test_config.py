"""Configs: what is accepted, and that every mistake is one sentence and exit code 2 before anything is written."""

import subprocess
import sys
from pathlib import Path

import pytest
import timm

import wavpool  # noqa: F401
from training import finetune_networks, train_model
from training.cli import scalar
from training.config import CONFIGS, ConfigError, TrainConfig, load_config
from training.search import load_search


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--lrr", "3"], "did you mean '--lr'"),
        (["--lr", "0"], "bad value '0' for 'lr': input should be greater than 0"),
        (["--lr", "fast"], "'lr': input should be a valid number"),
        (["--lr", "nan"], "'lr': input should be a finite number"),
        (["--epochs", "1.5"], "'epochs': input should be a valid integer"),
        (["--schedule", "cosin"], "'constant', 'cosine', 'linear' or 'onecycle'"),
        (["--limit", "10", "10"], "--limit takes 3 numbers: at most so many training, validation and test images"),
        (["--limit", "a", "b", "c"], "test images; not a b c"),
        (["--limit", "10", "10", "5000"], "300"),
        (["--epochs", "3", "--warmup-epochs", "3"], "warmup_epochs (3) must be fewer than epochs (3)"),
        (["--model", "wavpool_dense_smal"], "did you mean 'wavpool_dense_small'"),
        (["--data", "mnits"], "choose one of cifar10, cifar100, digits, fashion_mnist, mnist, svhn"),
        (["--data", "cifar"], "(did you mean 'cifar10'?)"),
        (["--optimizer", "adamx"], "did you mean 'adamax'"),
        (["--augment", "cropp"], "choose one of crop"),
        (["--model-kwargs", "hidden"], "KEY=VALUE"),
        (["--model-kwargs", "hiden=3"], "unexpected keyword argument 'hiden'"),
        (["--optimizer-kwargs", "betta=3"], "optimizer 'sgd' cannot be built"),
        (["--devices", "0"], "'devices': input should be greater than 0, or input should be 'auto'"),
        (["--strategy", "teleport"], "devices cannot be set up"),
        (["--config", "absent.yaml"], "cannot read config absent.yaml"),
    ],
)
def test_a_mistake_is_one_sentence(
    flags: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["--model", "mlp_paper", "--data", "digits", "--optimizer", "sgd", "--output", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as stop:
        train_model.main([*base, *flags])
    err = capsys.readouterr().err
    assert stop.value.code == 2
    assert err.startswith("error: ")
    assert told in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("flags", [[], ["--overwrite"]])
def test_an_output_that_cannot_be_a_folder_is_told(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "README.md"
    file.write_text("precious")
    with pytest.raises(SystemExit) as stop:
        train_model.main(["--model", "mlp_paper", "--epochs", "1", "--output", str(file), *flags])
    err = capsys.readouterr().err
    assert stop.value.code == 2
    assert err.startswith(f"error: cannot use {file}")
    assert err.count("\n") == 1
    assert file.read_text() == "precious"


def test_a_batch_of_one_image_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--epochs", "1", "--batch-size", "1", "--limit", "8", "8", "8", "--output", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as stop:
        train_model.main(["--model", "wavpool_dense_tiny", *flags])
    assert stop.value.code == 2
    assert "error: batch_size 1 makes a batch of a single image" in capsys.readouterr().err


def test_a_missing_library_is_told(tmp_path: Path) -> None:
    root = Path(train_model.__file__).parents[1]
    for missing, command in (("pydantic", "run_experiments"), ("lightning", "training.train_model")):
        block = f"import sys, runpy; sys.modules[{missing!r}] = None; sys.path.insert(0, {str(root)!r})"
        call = f"sys.argv = ['x', '--epochs', '1']; runpy.run_module({command!r}, run_name='__main__')"
        done = subprocess.run([sys.executable, "-c", f"{block}; {call}"], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith(f"error: the library '{missing}' is not installed for ")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lrr: 3", "unknown key 'lrr' (did you mean 'lr'?)"),
        ("- 3", "must be a mapping"),
        ("lr: [", "is not valid YAML"),
        ("where: [{model: x}]", "each rule under 'where'"),
        ("epochs: 2\nwhere: [{set: {epoch: 3}}]", "did you mean 'epochs'"),
    ],
)
def test_a_bad_file_is_told(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(tmp_path / "config.yaml")
    assert told in str(error.value)


def test_flags_go_over_rules_and_rules_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("lr: 0.1\nepochs: 7\nbatch_size: 3\nwhere: [{data: m*t, set: {lr: 2e-1, epochs: 8}}]")
    config = load_config(file, {"data": "mnist", "epochs": "9"})
    assert (config.lr, config.epochs, config.batch_size) == (0.2, 9, 3)
    assert load_config(file, {"data": "digits"}).lr == 0.1


def test_the_hash_tells_what_is_computed_not_where() -> None:
    config = TrainConfig()
    assert config.hash == TrainConfig(data_dir="/elsewhere", devices=2).hash
    others = [TrainConfig(lr=0.5), TrainConfig(seed=1), TrainConfig(model_kwargs={"drop_rate": 0.1})]
    assert len({config.hash, *(other.hash for other in others)}) == 4


@pytest.mark.parametrize("data", ["cifar10", "fashion_mnist", "mnist"])
@pytest.mark.parametrize("model", ["wavpool_paper", "wavmlp_paper", "mlp_paper", "cnn_paper"])
def test_the_paper_preset_knows_every_model_and_data_set(model: str, data: str) -> None:
    config = load_config(CONFIGS / "paper.yaml", {"model": f"{model}_{data}", "data": data})
    assert timm.is_model(config.model)
    assert config.lr != TrainConfig().lr
    assert (config.epochs, config.batch_size, config.shuffle, config.momentum) == (120, 640, False, 0)
    assert config.early_stopping == "paper"


def test_the_modern_preset_is_valid() -> None:
    assert load_config(CONFIGS / "modern.yaml", {"data": "cifar10"}).augment == "crop_flip"


@pytest.mark.parametrize("file", sorted((CONFIGS / "search").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_search_space_is_valid(file: Path) -> None:
    search = load_search(file, {}, {})
    assert set(search.best_config({name: each.ends[-1] for name, each in search.space.items()})) >= {"optimizer", "lr"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("train: {model: mlp_paper}", "'space': field required"),
        ("space: {lr: {low: 1}}", "either low and high, or choices"),
        ("space: {lr: {low: -1.0, high: 1.0}}", "bad value -1.0 for 'lr': input should be greater than 0"),
        ("space: {rl: {low: 1.0, high: 2.0}}", "unknown key 'rl'"),
        ("space: {lr: {low: 1.0, high: 2.0}}\ntrain: {modl: x}", "did you mean 'model'"),
        ("space: {lr: {low: 1.0, high: 2.0}}\ntrain: {model: nonesuch}", "unknown model 'nonesuch'"),
        ("space: {lr: {low: 1.0, high: 2.0}}\nstorage: nonesuch://x", "cannot open the study"),
        ("space: {lr: {low: 1.0, high: 2.0}}\nobjective: fame", "'validation_f1_macro'"),
    ],
)
def test_a_bad_search_is_told(text: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "search.yaml").write_text(text)
    with pytest.raises(SystemExit) as stop:
        finetune_networks.main(["--config", str(tmp_path / "search.yaml"), "--output", str(tmp_path / "out")])
    err = capsys.readouterr().err
    assert stop.value.code == 2
    assert told in err
    assert err.count("\n") == 1


def test_help_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        train_model.main(["--help"])
    out = capsys.readouterr().out
    assert stop.value.code == 0
    assert all(f"--{name.replace('_', '-')}" in out for name in TrainConfig.model_fields)


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("1e-3", 1e-3), ("2.5", 2.5), ("true", True), ("relu", "relu"), ("[1, 2]", [1, 2]), ("[", "[")],
)
def test_scalars_are_read_as_yaml(text: str, value: object) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)
