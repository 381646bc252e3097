"""Models and data by name, and batches of whatever data come as."""

import gzip
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from wavpool.evaluation import batches
from wavpool.evaluation.batches import Batches, as_batches, forward, split_batch
from wavpool.evaluation.sources import SourceError, load_data, load_model

NETS = """
import torch
from torch import nn
from torchvision.transforms import ToTensor

def net(width=2):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, width))

def norm():
    return nn.BatchNorm2d(3)

def pair():
    return net(), ToTensor()

def number():
    return 3

class Holder:
    @staticmethod
    def net():
        return net(5)

def data():
    return torch.arange(24.0).reshape(2, 12), torch.tensor([0, 1])

def broken():
    import no_such_library
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with a module `mynets`."""
    (tmp_path / "mynets.py").write_text(NETS)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield tmp_path
    sys.modules.pop("mynets", None)


class TestModels:
    def test_of_timm_with_its_transform(self):
        source = load_model("mobilenetv4_conv_small_035", pretrained=False, settings={"num_classes": 3})
        assert source.network.num_classes == 3
        assert not source.network.training
        assert source.prepare(Image.new("RGB", (300, 280))).shape == (3, 224, 224)
        assert source.state.keys() == source.network.state_dict().keys()

    @pytest.mark.parametrize("mode", ["L", "RGB"])
    @pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32), (1, [28, 36])])
    def test_images_are_prepared_as_the_settings_say(self, mode: str, channels: int, size: int | list[int]):
        settings = {"in_chans": channels, "img_size": size, "num_classes": 10}
        source = load_model("lenet5", pretrained=False, settings=settings)
        image = source.prepare(Image.new(mode, (40, 40), "white"))
        assert image.shape == (channels, *(size if isinstance(size, list) else (size, size)))
        torch.testing.assert_close(image, torch.full_like(image, 2.0))  # (1 - 0.5) / 0.25
        assert source.network(image.unsqueeze(0)).shape == (1, 10)

    def test_colours_stay(self):
        source = load_model("lenet5", pretrained=False, settings={"img_size": 28})
        red = source.prepare(Image.new("RGB", (28, 28), "red"))
        assert red[:, 0, 0].tolist() == [2, -2, -2]

    def test_of_this_package(self):
        name = timm.list_models("wavpool*")[0]
        assert load_model(name, pretrained=False).module is not None

    @pytest.mark.parametrize("name", ["torchvision:squeezenet1_1", "squeezenet1_1"])
    def test_of_torchvision(self, name: str):
        source = load_model(name, pretrained=False, settings={"num_classes": 2})
        assert forward(source.network, torch.zeros(1, 3, 64, 64)).shape == (1, 2)
        assert source.prepare(Image.new("RGB", (300, 280))).shape == (3, 224, 224)

    def test_checkpoint_chooses_the_transform_it_was_made_with(self, tmp_path: Path):
        state = load_model("torchvision:mobilenet_v2", pretrained=False).state
        old, new = tmp_path / "mobilenet_v2-b0353104.pth", tmp_path / "mine.pth"
        for path in (old, new):
            torch.save(dict(state), path)
        sizes = [load_model("torchvision:mobilenet_v2", checkpoint=path).prepare.resize_size for path in (old, new)]
        assert sizes == [[256], [232]]

    def test_of_a_function(self, nets: Path):
        assert load_model("mynets:net").prepare is None
        assert load_model("mynets:net", settings={"width": 7}).network[1].out_features == 7
        assert load_model("mynets:Holder.net").network[1].out_features == 5
        assert load_model("mynets:pair").prepare is not None

    def test_of_a_function_with_a_checkpoint(self, nets: Path):
        state = {"1.weight": torch.ones(2, 12), "1.bias": torch.zeros(2)}
        save_file(state, nets / "w.safetensors")
        source = load_model("mynets:net", checkpoint=nets / "w.safetensors")
        assert bool((source.network[1].weight == 1).all())

    def test_counters_of_batches_may_be_left_out(self, nets: Path):
        torch.save(
            {name: torch.full((3,), 0.5) for name in ("weight", "bias", "running_mean", "running_var")}, nets / "n.pth"
        )
        assert load_model("mynets:norm", checkpoint=nets / "n.pth").state["running_mean"].tolist() == [0.5] * 3

    @pytest.mark.parametrize("ending", ["safetensors", "pth"])
    def test_weights_alone(self, tmp_path: Path, ending: str):
        state = {"a.weight": torch.randn(3, 4), "a.steps": torch.tensor(5)}
        path = tmp_path / f"w.{ending}"
        save_file(state, path) if ending == "safetensors" else torch.save(state, path)
        source = load_model(str(path))
        assert source.module is None
        torch.testing.assert_close(dict(source.state), state)
        with pytest.raises(SourceError, match="--checkpoint"):
            _ = source.network

    @pytest.mark.parametrize(
        ("name", "settings", "message"),
        [
            ("resnet18d_", {}, "did you mean resnet18d"),
            ("torchvision:resnet19", {}, "did you mean resnet1[08]"),
            ("mobilenetv4_conv_small_035", {"no_such": 1}, "--model-kwargs"),
            ("no_module:net", {}, "no module 'no_module'.*--app-dir"),
            ("mynets:absent", {}, "no function 'absent'"),
            ("mynets:number", {}, "must return a torch.nn.Module"),
            (":net", {}, "no module:function"),
            ("absent.pth", {}, "no file absent.pth"),
        ],
    )
    def test_mistakes_are_told_in_a_sentence(self, nets: Path, name: str, settings: dict[str, int], message: str):
        with pytest.raises(SourceError, match=message) as caught:
            load_model(name, pretrained=False, settings=settings)
        assert "\n" not in str(caught.value)

    def test_weights_that_cannot_be_fetched(self, monkeypatch: pytest.MonkeyPatch):
        def offline(*args: object, **kwargs: object) -> nn.Module:
            raise OSError("no route to the hub.\nsecond line")

        monkeypatch.setattr(timm, "create_model", offline)
        with pytest.raises(SourceError, match=r"no route to the hub\).*--checkpoint FILE, or --no-pretrained"):
            load_model("resnet18")

    def test_a_missing_library_of_the_users_is_not_hidden(self, nets: Path):
        with pytest.raises(ModuleNotFoundError, match="no_such_library"):
            load_data("mynets:broken")

    @pytest.mark.parametrize(
        ("state", "message"),
        [
            ({"1.weight": torch.ones(2, 12)}, r"lacks 1\.bias"),
            ({"1.weight": torch.ones(2, 12), "1.bias": torch.ones(2), "x": torch.ones(1)}, "has beside its tensors x"),
            ({"1.weight": torch.ones(3, 12), "1.bias": torch.ones(2)}, "size mismatch for 1.weight"),
        ],
    )
    def test_checkpoint_that_does_not_fit(self, nets: Path, state: dict[str, torch.Tensor], message: str):
        torch.save(state, nets / "w.pth")
        with pytest.raises(SourceError, match=message):
            load_model("mynets:net", checkpoint=nets / "w.pth")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of 12 images, 4 a class and each in its own grey; a split `train` has one a class."""
    for split, count in (("validation", 4), ("train", 1)):
        for label in range(3):
            for number in range(count):
                path = tmp_path / "set" / split / f"class{label}" / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (8, 8), (80 * label,) * 3).save(path)
    return tmp_path / "set"


def to_tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).float()


class TestData:
    def test_folder_of_images(self, images: Path):
        (x, y), *others = load_data(str(images), to_tensor, batch_size=8)
        assert x.shape == (8, 8, 8, 3)
        assert [len(each[1]) for each in others] == [4]
        assert bool((x[:, 0, 0, 0] == 80 * y).all())

    def test_images_in_the_folder_itself_have_no_labels(self, images: Path):
        (inputs, labels), *_ = load_data(str(images / "validation" / "class2"), to_tensor)
        assert labels is None
        assert bool((inputs == 160).all())

    def test_split_of_a_folder(self, images: Path):
        assert sum(len(y) for _, y in load_data(str(images), to_tensor, split="train")) == 3

    def test_limit_is_drawn_over_all_classes(self, images: Path):
        labels = torch.cat([y for _, y in load_data(str(images), to_tensor, limit=6, batch_size=4)])
        assert len(labels) == 6
        assert len(labels.unique()) == 3

    def test_of_torchvision_by_timms_name(self, tmp_path: Path):
        raw = tmp_path / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for part, count in (("train", 6), ("t10k", 4)):
            for kind, header, data in (
                ("images-idx3", struct.pack(">IIII", 2051, count, 28, 28), bytes(range(count)) * 784),
                ("labels-idx1", struct.pack(">II", 2049, count), bytes(range(count))),
            ):
                (raw / f"{part}-{kind}-ubyte").write_bytes(header + data)
                (raw / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(header + data))
        found = {
            split: torch.cat([y for _, y in load_data("torch/mnist", to_tensor, split=split, data_dir=tmp_path)])
            for split in ("train", "validation")
        }
        assert found["train"].tolist() == [0, 1, 2, 3, 4, 5]
        assert found["validation"].tolist() == [0, 1, 2, 3]

    def test_of_a_function(self, nets: Path):
        ((x, y),) = load_data("mynets:data")
        assert x.shape == (2, 12)
        assert y.tolist() == [0, 1]

    @pytest.mark.parametrize(
        ("name", "options", "message"),
        [
            ("absent", {}, "no data set 'absent'"),
            ("torch/mnist", {}, "needs --data-dir"),
            ("torch/mnist", {"data_dir": "."}, "--download"),
            ("mynets:number", {}, "gives no data"),
            ("tfds/no_such_set", {}, "another library|cannot be read"),
        ],
    )
    def test_mistakes_are_told_in_a_sentence(self, nets: Path, name: str, options: dict[str, str], message: str):
        with pytest.raises(SourceError, match=message) as caught:
            load_data(name, to_tensor, **options)
        assert "\n" not in str(caught.value)

    def test_images_without_a_transform_are_refused(self, images: Path):
        with pytest.raises(SourceError, match=r"\(model, transform\)"):
            load_data(str(images))


class Stream(IterableDataset):
    def __iter__(self) -> Iterator[torch.Tensor]:
        yield from torch.arange(10.0)[:, None]


def values(data: object, **options: int) -> list[float]:
    return [float(value) for x, _ in as_batches(data, **options) for value in x[:, 0]]


class TestBatches:
    X, Y = torch.arange(10.0)[:, None], torch.arange(10)

    @pytest.mark.parametrize(
        "make",
        [
            lambda x, y: x,
            lambda x, y: (x, y),
            lambda x, y: TensorDataset(x, y),
            lambda x, y: DataLoader(TensorDataset(x, y), batch_size=3),
            lambda x, y: [(x[:4], y[:4]), (x[4:], y[4:])],
            lambda x, y: (x[i : i + 3] for i in range(0, 10, 3)),
            lambda x, y: Stream(),
            lambda x, y: [{"ids": x, "labels": y}],
        ],
    )
    def test_anything_gives_all_samples_twice(self, make: object):
        found = as_batches(make(self.X, self.Y), batch_size=4)
        for _ in range(2):
            inputs = [x if isinstance(x, torch.Tensor) else x["ids"] for x, _ in found]
            assert torch.cat(inputs).flatten().tolist() == list(range(10))

    def test_a_generator_can_be_left_early(self):
        found = as_batches(self.X[i : i + 2] for i in range(0, 10, 2))
        next(iter(found))
        assert len(list(found)) == 5

    def test_limit(self):
        assert values([self.X[:4], self.X[4:]], limit=7) == list(range(7))
        drawn = values(self.X, limit=4)
        assert len(set(drawn)) == 4
        assert drawn == values(self.X, limit=4) != values(self.X, limit=4, seed=1)
        assert values(self.X, limit=99) == list(range(10))

    def test_reads_once_while_it_is_small(self, monkeypatch: pytest.MonkeyPatch):
        reads: list[int] = []

        class Source:
            def __iter__(self) -> Iterator[torch.Tensor]:
                reads.append(1)
                yield from (torch.zeros(2, 1), torch.zeros(2, 1))

        small, large = Batches(Source()), Batches(Source())
        assert [len(list(small)) for _ in range(3)] == [2, 2, 2]
        assert len(reads) == 1
        monkeypatch.setattr(batches, "KEPT_BYTES", 8)
        assert [len(list(large)) for _ in range(3)] == [2, 2, 2]
        assert len(reads) == 4

    def test_labels_of_a_mapping(self):
        inputs, labels = split_batch({"ids": self.X, "mask": self.X, "labels": self.Y})
        assert set(inputs) == {"ids", "mask"}
        assert labels is self.Y

    @pytest.mark.parametrize("batch", [3, "text", (3, 4), list("abc")])
    def test_refuses_what_is_no_batch(self, batch: object):
        with pytest.raises(ValueError, match="a batch must be"):
            split_batch(batch)

    def test_refuses_what_is_no_data(self):
        with pytest.raises(TypeError, match="must be a DataLoader"):
            as_batches(3)
        with pytest.raises(ValueError, match="at least 1"):
            as_batches(self.X, limit=0)
