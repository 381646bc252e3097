"""Models and data by name: what the command line and a sweep's worker make of MODEL and DATA.

| MODEL | what it is |
| --- | --- |
| `resnet18`, `hf-hub:...` | a model of timm |
| `torchvision:resnet18`, or `resnet18` where timm has no such model | a model of torchvision |
| `weights.safetensors`, `weights.pth` | a state dict alone |
| `last.pth.tar` | a checkpoint of timm's `train.py`: the network that it names, with its weights |
| `package.module:function` | `function()`: a module, or a module and the transform of its images |

| DATA | what it is |
| --- | --- |
| a folder | images in a folder a class |
| `torch/cifar10`, `hfds/...`, `tfds/...`, `wds/...` | a data set of timm's `create_dataset` |
| `package.module:function` | `function()`: whatever `batches.as_batches` takes |
"""

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import methodcaller
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset

from .batches import Batches, as_batches
from .checkpoints import Checkpoint, read_checkpoint
from .errors import SourceError

Prepare = Callable[[Any], Any]
"""From an image to what the model takes."""

_FILES = (".safetensors", ".pth", ".pth.tar", ".pt", ".bin", ".ckpt")
_DATA_PREFIXES = ("torch", "hfds", "hfids", "tfds", "wds")
_HUBS = ("hf-hub", "hf_hub", "local-dir")


@dataclass(frozen=True)
class Source:
    """A model that was asked for by name.

    Attributes:
        name: as asked for.
        module: the network, in evaluation mode; None where a file holds weights alone.
        state: all tensors by name.
        prepare: transform of an image for the network; None where none is known.
    """

    name: str
    module: nn.Module | None
    state: Mapping[str, Tensor] = field(repr=False)
    prepare: Prepare | None = None

    @property
    def network(self) -> nn.Module:
        """The network.

        Raises:
            SourceError: there are only weights.
        """
        if self.module is None:
            raise SourceError(
                f"{self.name} holds weights without the network that they belong to: "
                f"name the network as MODEL and give --checkpoint {self.name}"
            )
        return self.module


def load_model(
    name: str,
    pretrained: bool = True,
    checkpoint: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    ema: bool = True,
) -> Source:
    """The model of a name.

    Args:
        name: see the table above.
        pretrained: of a timm or torchvision model, fetch its weights unless `checkpoint` is given.
        checkpoint: a file of weights to put into the network. A checkpoint of timm's `train.py` for the model `name`
            also gives the settings that it was trained with, and how its images were prepared.
        settings: keyword arguments of a timm or torchvision model, or of the function.
        ema: of a checkpoint that holds averaged weights as well, take these.

    Raises:
        SourceError: there is no such model, or its weights cannot be had or do not fit.

    >>> load_model("resnet18", pretrained=False).prepare is not None
    True
    """
    settings = dict(settings or {})
    if is_weights(name):
        return _from_file(name, checkpoint, settings, ema)
    weights = None if checkpoint is None else read_checkpoint(checkpoint, ema)
    prefix, colon, rest = name.partition(":")
    pretrained = pretrained and checkpoint is None
    if prefix == "torchvision" and colon:
        module, prepare = _torchvision(rest, pretrained, settings, checkpoint)
    elif colon and prefix not in _HUBS:
        module, prepare = _from_function(name, settings)
    else:
        module, prepare = _by_name(name, pretrained, settings, checkpoint, weights)
    if weights is not None:
        _put(module, name, str(checkpoint), weights.state)
    return Source(name, module.eval(), module.state_dict(), prepare)


def names_network(name: str) -> bool:
    """Whether a MODEL is more than weights: a network by name, or a checkpoint that says which network it is of."""
    return not is_weights(name) or _is_timms(read_checkpoint(name))


def is_named_weights(name: str) -> bool:
    """Whether a file of this name, there or not, is one of weights alone."""
    return name.endswith(_FILES)


def is_weights(name: str) -> bool:
    """Whether a MODEL is a file of weights alone."""
    return is_named_weights(name) or (Path(name).is_file() and ":" not in name)


def load_data(
    name: str,
    prepare: Prepare | None = None,
    *,
    split: str = "validation",
    data_dir: str | Path | None = None,
    download: bool = False,
    batch_size: int = 64,
    limit: int | None = None,
    workers: int = 0,
) -> Batches:
    """Batches of the data set of a name.

    Args:
        name: see the table above.
        prepare: transform of the images, which a model's `Source` has. Data from a function are prepared already.
        split: of the data set; of a folder, the folder of this name in it, or the whole one where there is none.
        data_dir: where a data set of `torch/` or `tfds/` lies.
        download: whether to fetch a data set that is not there.
        batch_size: samples a batch.
        limit: samples to give; see `batches.as_batches` for which.
        workers: processes that read the samples.

    Raises:
        SourceError: there is no such data set, it cannot be read, or nobody says how to prepare its images.
    """
    folder = Path(name).is_dir()
    if not folder and ":" in name:
        data = _called(name, {})
        try:
            return as_batches(data, batch_size, limit, workers)
        except TypeError as error:
            raise SourceError(f"{name} gives no data: {error}") from error
    if not folder and name.partition("/")[0].lower() not in _DATA_PREFIXES:
        raise SourceError(
            f"there is no data set {name!r}: give a folder of images, torch/cifar10 or another name "
            "of timm's create_dataset, or module:function"
        )
    if prepare is None:
        raise SourceError(
            f"nobody says how the images of {name} are prepared for this model: let its function return "
            "(model, transform), or give the data as module:function"
        )
    return as_batches(
        _image_data(name, folder, prepare, split, data_dir, download, batch_size), batch_size, limit, workers
    )


def function_of(name: str) -> Callable[..., Any]:
    """The callable of `module:function`.

    Raises:
        SourceError: there is no such module or function.
    """
    module_name, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        if module_name.endswith(".py"):
            remedy = f"write {module_name.removesuffix('.py')}:{attribute}, without .py"
        else:
            remedy = f"run in the folder of {error.name}.py or give --app-dir"
        raise SourceError(f"there is no module {module_name!r} for {name!r}: {remedy}") from error
    except (ValueError, TypeError) as error:  # an empty or a relative name
        raise SourceError(f"{name!r} is no module:function") from error
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise SourceError(f"the module {module_name} has no function {attribute!r}")
    function: Callable[..., Any] = found
    return function


def _is_timms(weights: Checkpoint) -> bool:
    import timm

    return bool(weights.arch) and timm.is_model(weights.arch)


def _from_file(name: str, checkpoint: str | Path | None, settings: dict[str, Any], ema: bool) -> Source:
    """A file as MODEL: its weights, in their network where it is known."""
    weights = read_checkpoint(name, ema)
    timms = _is_timms(weights)
    if checkpoint is not None or (settings and not timms):
        raise SourceError(f"{name} is a file of weights: give --checkpoint and --model-kwargs with a network's name")
    if not timms:
        return Source(name, None, weights.state)
    module, prepare = _by_name(weights.arch, False, settings, name, weights)
    _put(module, weights.arch, name, weights.state)
    return Source(name, module.eval(), module.state_dict(), prepare)


def _by_name(
    name: str,
    pretrained: bool,
    settings: dict[str, Any],
    checkpoint: str | Path | None,
    weights: Checkpoint | None,
) -> tuple[nn.Module, Prepare | None]:
    import timm
    import torchvision

    if name.partition(":")[0] in _HUBS or timm.is_model(name):
        images: Mapping[str, Any] = {}
        if weights is not None and weights.arch.partition(".")[0] == name.partition(".")[0]:
            settings, images = {**weights.settings, **settings}, weights.images
        with _fetching(name):
            module = timm.create_model(name, pretrained=pretrained, **settings)
        try:
            return module, _transform(module, settings, images)
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            if not images:
                raise
            raise SourceError(
                f"{checkpoint} prepares images in a way that timm does not take ({_line(error)}): save its state_dict "
                "alone, and name the network as MODEL"
            ) from error
    known = torchvision.models.list_models()
    if name in known:
        return _torchvision(name, pretrained, settings, checkpoint)
    near = difflib.get_close_matches(name, [*timm.list_models(), *known], n=1)
    raise SourceError(
        f"neither timm nor torchvision has a model {name!r}{f' (did you mean {near[0]}?)' if near else ''}: "
        "give a model's name, a file of weights or module:function"
    )


def _transform(module: nn.Module, settings: Mapping[str, Any], images: Mapping[str, Any]) -> Prepare:
    """The transform of timm's configuration, with what a training's `images` and then `settings` ask for instead.

    Images are made gray for a network of one channel, and coloured for one of three, whichever they are.
    """
    import timm.data

    config = timm.data.resolve_data_config(dict(images), model=module)
    own_channels, *own_size = config["input_size"]
    channels, size = settings.get("in_chans", own_channels), settings.get("img_size", own_size)
    height, width = (size, size) if isinstance(size, int) else size
    config["input_size"] = (channels, height, width)
    for statistic in ("mean", "std"):
        if len(config[statistic]) != channels:
            config[statistic] = (sum(config[statistic]) / len(config[statistic]),) * channels
    steps = timm.data.create_transform(**config, is_training=False)
    if mode := {1: "L", 3: "RGB"}.get(channels):
        steps.transforms.insert(0, methodcaller("convert", mode))
    prepare: Prepare = steps
    return prepare


def _torchvision(
    name: str, pretrained: bool, settings: dict[str, Any], checkpoint: str | Path | None
) -> tuple[nn.Module, Prepare | None]:
    from torchvision import models

    if name not in models.list_models():
        near = difflib.get_close_matches(name, models.list_models(), n=1)
        raise SourceError(f"torchvision has no model {name!r}{f': did you mean {near[0]}?' if near else ''}")
    known: Any = models.get_model_weights(name)
    file = "" if checkpoint is None else Path(checkpoint).name
    weights = next((each for each in known if each.url.endswith(f"/{file}")), getattr(known, "DEFAULT", None))
    with _fetching(name):
        module = models.get_model(name, weights=weights if pretrained else None, **settings)
    return module, weights.transforms() if weights is not None else None


@contextmanager
def _fetching(name: str) -> Iterator[None]:
    """Around the making of a library's model: what goes wrong is told in one sentence."""
    try:
        yield
    except TypeError as error:
        raise SourceError(f"the model {name} does not take these --model-kwargs: {_line(error)}") from error
    except Exception as error:  # every library behind it has errors of its own for a download
        raise SourceError(
            f"the model {name} or its weights cannot be had ({_line(error)}): "
            "give --checkpoint FILE, or --no-pretrained for random weights"
        ) from error


def _line(error: BaseException) -> str:
    text = str(error).strip().partition("\n")[0].rstrip(".")
    return text if len(text) <= 160 else text[:157] + "..."


def _called(name: str, settings: Mapping[str, Any]) -> Any:
    """What `module:function` returns; the arguments are looked at before, since what fails inside is another's."""
    function = function_of(name)
    try:
        inspect.signature(function).bind(**settings)
    except TypeError as error:
        how = "--model-kwargs KEY=VALUE must be its arguments" if settings else "its arguments need defaults"
        raise SourceError(f"{name} cannot be called ({_line(error)}): {how}") from None
    except ValueError:  # a builtin without a signature
        pass
    return function(**settings)


def _from_function(name: str, settings: dict[str, Any]) -> tuple[nn.Module, Prepare | None]:
    made = _called(name, settings)
    module, prepare = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(module, nn.Module) or not (prepare is None or callable(prepare)):
        raise SourceError(f"{name} must return a torch.nn.Module, or a pair of it and a transform")
    return module, prepare


def _put(module: nn.Module, name: str, checkpoint: str, state: Mapping[str, Tensor]) -> None:
    try:
        missing, unexpected = module.load_state_dict(state, strict=False)
    except RuntimeError as error:  # of shapes
        wrong = str(error).strip().splitlines()
        raise SourceError(f"{checkpoint} does not fit {name}: {wrong[-1].strip().rstrip('.')}") from error
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]  # nothing in evaluation mode reads it
    for word, keys in (("lacks", missing), ("has beside its tensors", unexpected)):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise SourceError(f"{checkpoint} does not fit {name}: it {word} {keys[0]}{more}")


def _image_data(
    name: str, folder: bool, prepare: Prepare, split: str, data_dir: str | Path | None, download: bool, batch_size: int
) -> Any:
    from timm.data import create_dataset

    root = name if folder else data_dir
    if root is None and name.lower().startswith(("torch/", "wds/")):
        raise SourceError(f"the data set {name} needs --data-dir, the folder where it lies or is put by --download")
    try:
        data = create_dataset(
            "" if folder else name,
            root=None if root is None else str(root),
            split=split,
            is_training=False,
            download=download,
            batch_size=batch_size,
        )
    except ImportError as error:
        raise SourceError(f"the data set {name} needs another library: {_line(error)}") from error
    except (AssertionError, RuntimeError, ValueError, OSError) as error:
        reason = _line(error)
        if download:
            remedy = "it could not be fetched: put its files there yourself, or mend the connection"
        else:
            remedy = "check --split and --data-dir, or give --download"
        raise SourceError(f"the data set {name} cannot be read ({reason}): {remedy}") from error
    data.transform = prepare
    if not isinstance(data, Dataset) or isinstance(data, IterableDataset):
        return data
    return _Readable(data, name, labelled=not (folder and _is_flat(data)))


def _is_flat(data: Any) -> bool:
    """Whether images lie in the folder itself: the one label that timm then gives all of them says nothing."""
    return all(Path(path).parent == Path(data.reader.root) for path, _ in data.reader.samples)


class _Readable(Dataset[Any]):
    """Images, and their labels if they have any; those that cannot be read are told in one sentence."""

    def __init__(self, data: Any, name: str, labelled: bool = True) -> None:
        self._data, self._name, self._labelled = data, name, labelled

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> Any:
        try:
            image, label = self._data[index]
            return (image, label) if self._labelled else image
        except (OSError, RuntimeError, SyntaxError) as error:
            raise SourceError(
                f"images of {self._name} cannot be read ({_line(error)}): remove the files that are no images"
            ) from error
