"""What one training run is: a pydantic model read from YAML and flags, with a hash that names the run's folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from generators.errors import UserError

CONFIGS = Path(__file__).parent / "configs"
"""Folder of the configs that come with the project."""

# Where and how a run is computed, not what is computed: these keys name no run, and a resumed run may change them.
PLACE_KEYS = frozenset(
    {"data_dir", "download", "accelerator", "devices", "strategy", "num_nodes", "checkpoint_seconds", "mlflow"}
)

FREQUENCIES = ("dct", "dst", "dft", "shannon", "real_shannon", "realshannon")
"""Transforms whose layers have trainable frequencies unless told otherwise."""


class ConfigError(UserError):
    """A mistake in a config, a flag or a name, told in one sentence."""


class StrictModel(BaseModel):
    """A model that takes no unknown key and does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)

    @classmethod
    def checked(cls, values: Mapping[str, Any]) -> Self:
        """Build from a mapping; a bad key, type or range is a :class:`ConfigError` of one sentence."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(sentence(cls, error.errors())) from None


class TrainConfig(StrictModel):
    """One training run. Every field is a key of a config file and a flag of ``training.train_model``."""

    # data
    data: str = Field("digits", description="data set: digits, mnist, fashion_mnist, cifar10, cifar100 or svhn")
    split: Literal["paper", "official", "whole"] = Field(
        "paper",
        description="paper: 10,000 / 4,000 / 4,000 images of the training files; official: the official test images, "
        "5,000 training images held out for validation; whole: the same, but trained on all training images",
    )
    split_seed: int = Field(0, ge=0, lt=2**32, description="seed of the held-out validation part, where there is one")
    color: Literal["gray", "rgb"] | None = Field(None, description="colour of the images; none: as the data set has it")
    data_dir: str | None = Field(None, description="folder of the data files, before $WAVPOOL_DATA and the cache")
    download: bool = Field(True, description="download the files where they are absent")
    limit: tuple[PositiveInt, PositiveInt, PositiveInt] | None = Field(
        None, description="at most so many training, validation and test images"
    )
    normalize: bool = Field(False, description="shift and scale each channel by the training images' mean and sd")
    augment: str | None = Field(
        None, description="augmentation of training batches: crop, flip, crop_flip, crop_reflect, crop_flip_cutout, ..."
    )
    augment_pad: PositiveInt | None = Field(
        None, description="pixels of padding before a random crop; none: an eighth of the shorter side"
    )
    image_size: Annotated[int, Field(ge=8, le=1024)] | None = Field(
        None, description="side to which images are resized (bilinear); none: as they are"
    )
    # model
    model: str = Field("wavpool_femto", description="any timm model name")
    model_kwargs: dict[str, Any] = Field({}, description="arguments of the model")
    channels_last: bool = Field(False, description="store weights in channels-last order, for faster convolutions")
    compile: bool = Field(False, description="compile the model with torch.compile")
    # spectral layers in place of dense ones, see wavpool.layers.convert
    kernel: str | None = Field(
        None,
        description="transform of spectral layers: dct, dst, dft, shannon, realshannon, hadamard or a wavelet; none: "
        "the layers stay dense",
    )
    layers: str = Field("all", description="which layers: linear (or fc, dense), conv, all, or a module's name")
    parametrisation: Literal["frequencies", "coefficients"] | None = Field(
        None,
        description="of the spectral layers; none: frequencies for dct, dst, dft, shannon and realshannon, "
        "coefficients for all others",
    )
    keep: float = Field(0.25, gt=0, le=1, description="share of the coefficients that are trainable, the rest being 0")
    complex_features: bool = Field(False, description="complex features after layers of dft or shannon frequencies")
    spectral_kwargs: dict[str, Any] = Field(
        {}, description="further arguments of the spectral layers: select=largest, gain=2, ..."
    )
    frequency_lr: float = Field(1.0, gt=0, description="factor on the learning rate of frequencies")
    batch_norm: bool = Field(True, description="keep batch normalisation; without it, an ablation")
    # optimisation
    epochs: PositiveInt = Field(20, description="passes over the training images")
    batch_size: PositiveInt = Field(128, description="images a step, over all processes together")
    eval_batch_size: PositiveInt = Field(1000, description="images a batch in validation and test")
    shuffle: bool = Field(True, description="shuffle the training images every epoch")
    optimizer: str = Field("adamw", description="sgd (without Nesterov unless named nesterov) or any timm optimiser")
    lr: float = Field(1e-3, gt=0, description="learning rate, the highest of the schedule")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum, where the optimiser has one")
    weight_decay: float = Field(0.0, ge=0, description="weight decay, not applied to biases and norms")
    optimizer_kwargs: dict[str, Any] = Field({}, description="further arguments of the optimiser")
    schedule: Literal["constant", "cosine", "linear", "onecycle"] = Field(
        "constant", description="learning rate schedule; cosine and linear end at 0"
    )
    warmup_epochs: float = Field(0.0, ge=0, description="linear warm-up of all schedules but onecycle")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="label smoothing of the training loss")
    mixup: float = Field(0.0, ge=0, description="MixUp's alpha; 0: off")
    cutmix: float = Field(0.0, ge=0, description="CutMix's alpha; 0: off; with mixup each batch draws one of the two")
    ema: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="decay of a moving average of the weights, which is then what is validated and saved",
    )
    grad_clip: Annotated[float, Field(gt=0)] | None = Field(None, description="largest norm of the gradient")
    # when to stop, what to keep
    early_stopping: Literal["none", "paper", "patience"] = Field(
        "none", description="paper: after 5 increases of the validation loss from epoch 5 on; patience: see there"
    )
    patience: PositiveInt = Field(10, description="epochs without a lower validation loss before patience stops")
    select: Literal["last", "best"] = Field("last", description="weights kept: last epoch or best validation accuracy")
    checkpoint_seconds: float = Field(10.0, ge=0, description="least time between checkpoints, at epochs' ends")
    # machine
    seed: int = Field(0, ge=0, lt=2**31, description="seed of weights, shuffling, augmentation and dropout")
    deterministic: bool = Field(False, description="use deterministic algorithms only, also on a GPU")
    precision: Literal["32-true", "64-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true"] = Field(
        "32-true", description="arithmetic"
    )
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"] = Field("auto", description="kind of device")
    devices: PositiveInt | Literal["auto"] = Field(1, description="devices on each node, or auto for all")
    strategy: str = Field("auto", description="Lightning strategy for several devices: ddp, fsdp, ...")
    num_nodes: PositiveInt = Field(1, description="machines, started by torchrun or Slurm")
    mlflow: str | None = Field(
        None, description="URI of an MLflow server or data base, or a folder, that logs the run, too"
    )

    @model_validator(mode="after")
    def _warmup_is_used(self) -> Self:
        if self.warmup_epochs and self.schedule == "onecycle":
            raise ValueError("warmup_epochs is of no effect with schedule onecycle, which warms up by itself")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs:g}) must be fewer than epochs ({self.epochs})")
        return self

    @property
    def spectral_parametrisation(self) -> Literal["frequencies", "coefficients"]:
        """What ``kernel``'s layers hold, told or by the transform."""
        return self.parametrisation or ("frequencies" if self.kernel in FREQUENCIES else "coefficients")

    @property
    def hash(self) -> str:
        """Eight hex digits of all that decides the numbers of the run."""
        content = self.model_dump(mode="json", exclude=set(PLACE_KEYS))
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def name(self) -> str:
        """``<model>-<data>-<seed>-<hash>``, the name of the run's folder."""
        return f"{self.model}-{self.data}-{self.seed}-{self.hash}".replace("/", "_")


def sentence(model: type[BaseModel], details: Sequence[Mapping[str, Any]]) -> str:
    """Put pydantic's errors in words: which key, what is allowed, and for an unknown key the nearest."""
    told: dict[str, list[str]] = {}
    for detail in details:
        if detail["type"] == "extra_forbidden" and len(detail["loc"]) == 1:
            key = str(detail["loc"][0])
            told[f"unknown key '{key}'{nearest(key, model.model_fields)}"] = []
            continue
        # in the place of a union's member pydantic names the member's type, which only means something to it
        names = [str(part) for part in detail["loc"] if isinstance(part, int) or part.isidentifier()]
        message = str(detail["msg"]).removeprefix("Value error, ")
        if names:
            start = f"bad value {detail['input']!r} for '{'.'.join(names)}': "
            told.setdefault(start, []).append(message[0].lower() + message[1:])
        else:
            told[message] = []
    return "; ".join(start + ", or ".join(messages) for start, messages in told.items())


def nearest(name: str, known: Iterable[str]) -> str:
    """``" (did you mean 'x'?)"``, or nothing where no known name is near."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean '{close[0]}'?)" if close else ""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> ConfigError:
    """The error of a name that is not among ``known``, with the nearest."""
    names = sorted(known)
    return ConfigError(f"unknown {kind} '{name}'{nearest(name, names)}; choose one of {', '.join(names)}")


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping; a missing or malformed file is a :class:`ConfigError`."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read config {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"config {path} is not valid YAML: {reason}") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigError(f"config {path} must be a mapping of keys to values")
    return content


def load_config(path: str | Path | None = None, overrides: Mapping[str, Any] | None = None) -> TrainConfig:
    """Read a run from a YAML file, with ``overrides`` (flags) over it.

    Besides the keys of :class:`TrainConfig` a file may hold ``where``: a list of rules ``{model: pattern,
    data: pattern, set: {...}}``; a rule whose patterns (as in a shell; absent: any) fit the run's model and data sets
    its keys over the file's.

    Raises:
        ConfigError: a bad key or value, or settings of kept coefficients beside layers of frequencies, which have none.
    """
    overrides = dict(overrides or {})
    values = read_yaml(path) if path is not None else {}
    rules = values.pop("where", [])
    wanted = {
        key: str((values | overrides).get(key, TrainConfig.model_fields[key].default)) for key in ("model", "data")
    }
    for rule in rules if isinstance(rules, list) else [rules]:
        if not isinstance(rule, dict) or not isinstance(rule.get("set"), dict) or not rule.keys() <= {*wanted, "set"}:
            raise ConfigError(f"each rule under 'where' in {path} must have the keys model, data and set, not {rule!r}")
        if all(fnmatchcase(wanted[key], str(rule.get(key, "*"))) for key in wanted):
            values |= rule["set"]
    config = TrainConfig.checked(values | overrides)
    _refuse_coefficients_of_frequencies(config, overrides)
    return config


def _refuse_coefficients_of_frequencies(config: TrainConfig, overrides: Mapping[str, Any]) -> None:
    if config.kernel is None or config.spectral_parametrisation == "coefficients":
        return
    # the file of a finished run holds every key: there the default says nothing
    keep_is_told = "keep" in overrides or config.keep != TrainConfig.model_fields["keep"].default
    told = {"keep": keep_is_told, **{name: name in config.spectral_kwargs for name in ("select", "axes")}}
    if unused := " and ".join(name for name, is_told in told.items() if is_told):
        raise ConfigError(
            f"{unused} would have no effect: the layers of kernel '{config.kernel}' have trainable frequencies; "
            f"set parametrisation to coefficients, or leave out {unused}"
        )
