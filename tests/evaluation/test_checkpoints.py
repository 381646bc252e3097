"""Files of weights: what is unpacked, what a checkpoint of timm's training gives, and what is refused."""

import argparse
import contextlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.utils import CheckpointSaver, ModelEmaV3

from wavpool.evaluation.checkpoints import read_checkpoint
from wavpool.evaluation.errors import SourceError
from wavpool.evaluation.sources import load_model, names_network

ARCH = "vanilla_cnn"
Train = Callable[..., Path]


@pytest.fixture
def train(tmp_path: Path) -> Train:
    """Function from arguments of timm's train.py to `last.pth.tar`, as its own saver writes it."""

    def save(ema: bool = False, wrap: Callable[[Any], Any] = lambda model: model, **changes: Any) -> Path:
        names = ("num_classes", "in_chans", "input_size", "img_size", "gp", "bn_eps", "mean", "std", "crop_pct")
        given = {name: changes.pop(name, None) for name in names}
        arguments = argparse.Namespace(model=ARCH, model_kwargs={}, interpolation="", lr=0.1, **given)
        vars(arguments).update(changes)
        torch.manual_seed(0)
        known = {"num_classes": given["num_classes"], "in_chans": given["in_chans"], **arguments.model_kwargs}
        model = timm.create_model(ARCH, **known)
        average = ModelEmaV3(model) if ema else None
        for parameter in average.parameters() if average else ():
            parameter.data.fill_(0.5)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        saver = CheckpointSaver(
            wrap(model), optimizer, arguments, average, checkpoint_dir=str(tmp_path), unwrap_fn=lambda model: model
        )
        saver.save_checkpoint(3, metric=50.0)
        return tmp_path / "last.pth.tar"

    return save


class TestUnpacking:
    @pytest.mark.parametrize("wrapper", ["state_dict", "model", None])
    @pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
    def test_wrappers_and_prefixes_are_taken_off(self, tmp_path: Path, wrapper: str | None, prefix: str):
        state = {f"{prefix}{name}": torch.ones(2) for name in "ab"}
        torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "c.pth")
        assert set(read_checkpoint(tmp_path / "c.pth").state) == {"a", "b"}

    def test_a_prefix_that_some_names_have_stays(self, tmp_path: Path):
        torch.save({"module.a": torch.ones(2), "b": torch.ones(2)}, tmp_path / "c.pth")
        assert set(read_checkpoint(tmp_path / "c.pth").state) == {"module.a", "b"}

    @pytest.mark.parametrize(("plain", "average"), [("state_dict", "state_dict_ema"), ("model", "model_ema")])
    @pytest.mark.parametrize("ema", [True, False])
    def test_averaged_weights(self, tmp_path: Path, plain: str, average: str, ema: bool):
        averaged = torch.optim.swa_utils.AveragedModel(torch.nn.Linear(2, 1)).state_dict()
        state = {"weight": torch.zeros(1, 2), "bias": torch.zeros(1)}
        torch.save({plain: state, average: averaged}, tmp_path / "c.pth")
        found = read_checkpoint(tmp_path / "c.pth", ema=ema).state
        assert found.keys() == state.keys()
        assert torch.equal(found["bias"], averaged["module.bias"] if ema else state["bias"])

    def test_without_averaged_weights_the_others_are_taken(self, tmp_path: Path):
        torch.save({"state_dict": {"a": torch.ones(1)}, "state_dict_ema": None}, tmp_path / "c.pth")
        assert read_checkpoint(tmp_path / "c.pth").state["a"].item() == 1


class TestTimmsTraining:
    def test_the_network_and_its_arguments_are_known(self, train: Train):
        found = read_checkpoint(train(num_classes=3, gp="avg", model_kwargs={"channels": (8, 16, 32, 64)}))
        assert found.arch == ARCH
        assert found.settings == {"num_classes": 3, "global_pool": "avg", "channels": (8, 16, 32, 64)}
        assert found.images == {}

    @pytest.mark.parametrize("parallel", [False, True])
    def test_the_file_alone_is_enough(self, train: Train, parallel: bool):
        path = train(num_classes=3, wrap=torch.nn.DataParallel if parallel else lambda model: model)
        assert names_network(str(path))
        source = load_model(str(path))
        assert source.network.num_classes == 3
        image = torch.rand(1, 3, 32, 32)
        torch.manual_seed(0)
        expected = timm.create_model(ARCH, num_classes=3).eval()
        torch.testing.assert_close(source.network(image), expected(image))

    @pytest.mark.parametrize("channels", [{"in_chans": 1}, {"in_chans": None, "input_size": [1, 28, 28]}])
    def test_a_named_model_takes_the_arguments_over(self, train: Train, channels: dict[str, Any]):
        path = _with_arguments(train(num_classes=4, in_chans=1), **channels)
        network = load_model(ARCH, checkpoint=path).network
        assert (network.num_classes, network.in_chans) == (4, 1)

    def test_what_the_user_gives_wins(self, train: Train):
        path = train(num_classes=3)
        with pytest.raises(SourceError, match="does not fit"):
            load_model(ARCH, checkpoint=path, settings={"num_classes": 5})

    def test_arguments_of_another_model_are_not_taken(self, train: Train):
        with pytest.raises(SourceError, match="does not fit lenet5"):
            load_model("lenet5", checkpoint=train(num_classes=3))

    def test_images_are_prepared_as_in_the_training(self, train: Train):
        path = train(num_classes=3, mean=[0.5], std=[0.125], img_size=40, crop_pct=1.0)
        for source in (load_model(str(path)), load_model(ARCH, checkpoint=path)):
            prepared = source.prepare(Image.new("RGB", (50, 50), "white"))
            torch.testing.assert_close(prepared, torch.full((3, 40, 40), 4.0))

    @pytest.mark.parametrize("ema", [True, False])
    def test_averaged_weights(self, train: Train, ema: bool):
        weights = load_model(str(train(ema=True, num_classes=3)), ema=ema).network.get_classifier().weight
        assert bool((weights == 0.5).all()) is ema

    def test_the_epsilon_of_batch_norm_is_kept(self, train: Train):
        name = "mobilenetv4_conv_small_035"
        path = _with_arguments(train(num_classes=3), arch=name, bn_eps=0.01)
        content = {"args": _content(path)["args"], "state_dict": timm.create_model(name, num_classes=3).state_dict()}
        torch.save(content | {"arch": name}, path)
        assert load_model(name, checkpoint=path).network.bn1.eps == 0.01

    def test_an_architecture_that_timm_does_not_know_is_weights_alone(self, train: Train):
        path = _with_arguments(train(num_classes=3), arch="vanished_net")
        assert load_model(str(path)).module is None
        assert not names_network(str(path))


def _content(path: Path) -> dict[str, Any]:
    with torch.serialization.safe_globals([argparse.Namespace]):
        content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


def _with_arguments(path: Path, arch: str | None = None, **changes: Any) -> Path:
    content = _content(path)
    vars(content["args"]).update(changes)
    torch.save(content | ({"arch": arch} if arch else {}), path)
    return path


class TestFilesAreData:
    def test_a_pickle_that_would_run_a_command_is_refused(self, tmp_path: Path):
        class Evil:
            def __reduce__(self) -> tuple[object, tuple[Path]]:
                return Path.touch, (tmp_path / "ran",)

        state = {"a": torch.ones(1)}
        hostile = [Evil(), {"state_dict": state, "args": Evil()}, {"args": argparse.Namespace(model=Evil())}]
        for number, content in enumerate(hostile):
            path = tmp_path / f"{number}.pth.tar"
            torch.save({"state_dict": state, "x": content}, path)
            (tmp_path / f"{number}.pth").write_bytes(pickle.dumps(content, protocol=2))
            for each in (path, path.with_suffix("")):
                with pytest.raises(SourceError, match="cannot be read as weights"):
                    read_checkpoint(each)
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"num_classes": 10**9}, "num_classes"),
            ({"model_kwargs": {"checkpoint_path": "/etc/passwd"}}, "checkpoint_path"),
            ({"model_kwargs": {"pretrained": True}}, "pretrained"),
            ({"model_kwargs": {"widths": [1] * 10**4}}, "widths"),
            ({"model_kwargs": {"widths": {"deep": 1}}}, "widths"),
            ({"bn_eps": float("nan")}, "bn_eps"),
            ({"input_size": [3, 10**6, 10**6]}, "input_size"),
        ],
    )
    def test_unusual_arguments_are_refused(self, train: Train, changes: dict[str, Any], said: str):
        path = _with_arguments(train(num_classes=3), **changes)
        with pytest.raises(SourceError, match=f"an unusual {said}: save its state_dict alone"):
            load_model(str(path))

    @pytest.mark.parametrize("changes", [{"mean": [0.5, 0.5]}, {"interpolation": "magic"}, {"input_size": [3]}])
    def test_images_that_timm_cannot_prepare(self, train: Train, changes: dict[str, Any]):
        path = _with_arguments(train(num_classes=3), **changes)
        with pytest.raises(SourceError, match=r"last\.pth\.tar prepares images in a way that timm does not take"):
            load_model(str(path))

    def test_a_checkpoint_that_holds_itself(self, tmp_path: Path):
        content: dict[str, Any] = {}
        content["state_dict"] = content
        torch.save(content, tmp_path / "c.pth")
        with pytest.raises(SourceError, match="more than a state dict"):
            read_checkpoint(tmp_path / "c.pth")

    def test_what_holds_no_tensors(self, tmp_path: Path):
        torch.save({"a": 3}, tmp_path / "number.pth")
        torch.save(argparse.Namespace(a=3), tmp_path / "namespace.pth")
        for name in ("number.pth", "namespace.pth"):
            with pytest.raises(SourceError, match="more than a state dict"):
                read_checkpoint(tmp_path / name)

    def test_damaged_files(self, tmp_path: Path):
        save_file({"a": torch.ones(9)}, tmp_path / "w.safetensors")
        torch.save({"a": torch.ones(9)}, tmp_path / "w.pth")
        (tmp_path / "text.safetensors").write_text("hello")
        for path in (tmp_path / "w.safetensors", tmp_path / "w.pth"):
            path.write_bytes(path.read_bytes()[:-40])
        for name in ("text.safetensors", "w.safetensors", "w.pth"):
            with pytest.raises(SourceError, match=r"cannot be read as weights \(it is damaged\)"):
                read_checkpoint(tmp_path / name)

    def test_flipped_bytes_raise_nothing_else(self, train: Train, tmp_path: Path):
        whole = (tmp_path / train(num_classes=3).name).read_bytes()
        generator = torch.Generator().manual_seed(0)
        for number in range(40):
            damaged = bytearray(whole)
            for place in torch.randint(len(whole), (200,), generator=generator).tolist():
                damaged[place] ^= 1 + number
            (tmp_path / "d.pth.tar").write_bytes(damaged)
            with contextlib.suppress(SourceError):
                read_checkpoint(tmp_path / "d.pth.tar")
