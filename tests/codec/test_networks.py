"""The networks and data of the codec's experiments (benchmarks/codec)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.codec import data, networks
from benchmarks.codec.architectures import mlp
from benchmarks.codec.cases import CASES
from benchmarks.codec.compare import name_of
from benchmarks.codec.measure import bytes_at, quality, smallest_within
from benchmarks.codec.minilm import SentenceClassifier, Tokenizer
from benchmarks.codec.trained import fit, trained
from generators.errors import DataError
from wavpool.evaluation.metrics import Predictions, predict

Find = Callable[[str], Path]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "wavpool" / "codec"


def test_mlp() -> None:
    model = mlp((784, 128, 10))
    assert model(torch.rand(2, 1, 28, 28)).shape == (2, 10)
    assert sum(parameter.numel() for parameter in model.parameters()) == 101_770


class TestTrained:
    def test_trains_once_and_leaves_the_random_state(self, cache: Path) -> None:
        runs = []

        def train(model: nn.Linear) -> None:
            runs.append(model.training)
            nn.init.normal_(model.weight)

        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        first = trained("net", lambda: nn.Linear(3, 2), train)
        second = trained("net", lambda: nn.Linear(3, 2), train)
        assert torch.equal(torch.rand(3), expected)
        assert runs == [True]
        assert not first.training
        assert torch.equal(first.weight, second.weight)
        assert [path.name for path in cache.iterdir()] == ["net.safetensors"]

    def test_nothing_is_kept_of_a_training_that_failed(self, cache: Path) -> None:
        def fail(model: nn.Module) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            trained("net", lambda: nn.Linear(3, 2), fail)
        assert not list(cache.glob("*"))

    def test_fit_learns(self) -> None:
        torch.manual_seed(0)
        x = torch.randn(64, 4)
        batches = [(x, (x[:, 0] > 0).long())]
        model = nn.Linear(4, 2)
        fit(model, lambda epoch: batches, 1, torch.optim.SGD(model.parameters(), 1.0), 60)
        assert (model(x).argmax(1) == batches[0][1]).float().mean() > 0.95


class TestSharedNetworks:
    @pytest.mark.parametrize("name", ["resnet20", "resnet56"])
    def test_accuracy_on_the_first_test_images(self, name: str, find_data: Find, cifar10_dir: Path) -> None:
        find_data(f"weights/{name}_cifar10.safetensors")
        images, labels = next(iter(data.cifar10_test()))
        with torch.inference_mode():
            right = (getattr(networks, name)()(images).argmax(1) == labels).float().mean()
        assert right > 0.88  # 91.7 % and 93.4 % of all, here of 250

    def test_altered_weights_are_refused(self, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WAVPOOL_DATA", str(tmp_path))
        with pytest.raises(DataError, match=r"mobilenet_v2-b0353104.pth is in none of .*\$WAVPOOL_DATA"):
            networks.mobilenet_v2()
        (tmp_path / "weights").mkdir()
        (tmp_path / networks.MOBILENET).write_bytes(b"other")
        with pytest.raises(DataError, match="truncated or altered"):
            networks.mobilenet_v2()

    def test_every_case_is_a_name_for_the_command_line(self) -> None:
        for case in CASES.values():
            for factory in (case.network, case.calibration, case.validation, case.test):
                module, name = name_of(factory).split(":")
                assert module in ("benchmarks.codec.networks", "benchmarks.codec.data")
                assert name.isidentifier()


class TestData:
    def test_calibration_validation_and_training_images(self, cifar10_dir: Path) -> None:
        calibration, again = data.cifar10_calibration(), data.cifar10_calibration()
        validation, train = data.cifar10_validation(), data.cifar10_train()
        assert (len(calibration.split), len(validation.split), len(train.split)) == (2048, 5_000, 45_000)
        assert torch.equal(calibration.split.images, again.split.images)
        held_out = {image.numpy().tobytes() for image in validation.split.images}
        # The training split holds a few images twice.
        assert sum(image.numpy().tobytes() in held_out for image in calibration.split.images) < 3
        images, labels = next(iter(calibration))
        assert images.shape == (128, 3, 32, 32)
        assert images.dtype == torch.float32
        assert labels.bincount(minlength=10).min() > 0

    def test_imagenet_parts(self, find_data: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        sample = find_data("imagenet-sample")
        for folder in sorted(sample.iterdir())[:8]:
            (tmp_path / "imagenet-sample").mkdir(exist_ok=True)
            (tmp_path / "imagenet-sample" / folder.name).symlink_to(folder)
        monkeypatch.setenv("WAVPOOL_DATA", str(tmp_path))
        data._imagenet_crops.cache_clear()
        try:
            parts = [loader.split.labels.tolist() for loader in (data.imagenet_calibration(), data.imagenet_test())]
            images, _ = next(iter(data.imagenet_sample()))
        finally:
            data._imagenet_crops.cache_clear()
        assert parts == [[0, 4], [1, 2, 3, 5, 6, 7]]
        assert images.shape == (8, 3, 224, 224)

    def test_sentences_of_like_length_in_a_batch(
        self, find_data: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        find_data("sst2/dev.tsv")
        monkeypatch.setattr(data, "tokenizer", lambda: self.words)
        batches, shuffled = data.sst2("dev"), data.sst2("dev", seed=1)
        lengths = [int((row != 0).sum()) for tokens, _ in batches for row in tokens]
        assert len(lengths) == 872
        assert lengths == sorted(lengths)
        assert sum(int(labels.sum()) for _, labels in batches) == sum(int(labels.sum()) for _, labels in shuffled)
        assert [len(tokens[0]) for tokens, _ in shuffled] != [len(tokens[0]) for tokens, _ in batches]

    @staticmethod
    def words(text: str, longest: int) -> list[int]:
        return [101, *range(1, len(text.split()) + 1)[: longest - 2], 102]

    def test_sentences_for_calibration_have_one_length_and_no_padding(
        self, find_data: Find, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        find_data("sst2/train.tsv")
        monkeypatch.setattr(data, "tokenizer", lambda: self.words)
        batches = data.sst2_calibration()
        assert [tokens.shape for tokens, _ in batches] == 8 * [(32, 32)]
        assert all((tokens != 0).all() for tokens, _ in batches)
        assert 50 < sum(int(labels.sum()) for _, labels in batches) < 206


class TestMiniLM:
    VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "film", "##s", "un", "##like", "##likely", "'", "cafe", "!")

    @pytest.mark.parametrize(
        ("text", "tokens"),
        [
            ("Films", ["film", "##s"]),
            ("unlikely café!", ["un", "##likely", "cafe", "!"]),
            ("film's", ["film", "'", "[UNK]"]),
            ("filmz", ["[UNK]"]),
            ("", []),
        ],
    )
    def test_word_pieces(self, text: str, tokens: list[str]) -> None:
        tokenizer = Tokenizer(self.VOCABULARY)
        numbers = [self.VOCABULARY.index(token) for token in ("[CLS]", *tokens, "[SEP]")]
        assert tokenizer(text) == numbers
        assert len(tokenizer("film " * 200, longest=10)) == 10

    def test_padding_changes_nothing(self) -> None:
        torch.manual_seed(0)
        model = SentenceClassifier().eval()
        tokens = torch.tensor([[101, 7, 8, 102]])
        with torch.inference_mode():
            padded = model(torch.nn.functional.pad(tokens, (0, 3)))
            torch.testing.assert_close(padded, model(tokens))
            assert not torch.equal(model(tokens.flip(1)), model(tokens))  # positions count


class TestMeasure:
    def test_quality_of_the_original_and_of_another(self) -> None:
        labels = torch.tensor([0, 1, 2, 0])
        original = Predictions(10 * torch.eye(3)[[0, 1, 2, 1]], labels)
        assert quality(original, original)["drop"] == 0
        other = Predictions(10 * torch.eye(3)[[0, 1, 0, 1]], labels)
        figures = quality(other, original)
        assert (figures["accuracy"], figures["drop"], figures["agreement"]) == (50, 25, 75)
        assert figures["drop_low"] < 25 < figures["drop_high"]
        assert figures["kl"] == pytest.approx(10 / 4, rel=0.01)  # one sample of four is far off, by its ten of logit

    def test_bytes_within_a_drop_and_at_a_divergence(self) -> None:
        points = [(1000, 0.01), (500, 0.04), (250, 0.16)]
        assert smallest_within(points, 0.1) == 500
        assert smallest_within(points, 0.001) is None
        assert bytes_at(points, 0.04) == pytest.approx(500)
        assert bytes_at(points, 0.08) == pytest.approx((500 * 250) ** 0.5)
        assert bytes_at(points, 0.5) is None
        assert bytes_at(points, 0.001) is None

    def test_cases_predict(self, cache: Path, mnist_dir: Path) -> None:
        batches = list(data.mnist_test())[:1]
        assert predict(mlp((784, 128, 10)), batches).logits.shape == (250, 10)
