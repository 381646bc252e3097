"""`compress`, `CompressedModel` and `load`, on every kind of layer, method and target."""

import copy
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from wavpool.codec import CompressedModel, WvpError, compress, finetune, load
from wavpool.codec.compression import FALL, Event
from wavpool.codec.methods import names


def digits() -> tuple[Tensor, Tensor]:
    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(labels)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A classifier of digits, 97 % right."""
    torch.manual_seed(0)
    images, labels = digits()
    model = nn.Sequential(nn.Linear(64, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Linear(48, 10))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(80):
        batch = torch.randint(1200, (128,))
        loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


class Everything(nn.Module):
    """Layers of all kinds, buffers of all kinds, tied weights; never run."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(24, 20)
        self.tied = nn.Linear(24, 20, bias=False)
        self.tied.weight = self.linear.weight
        self.convolutions = nn.ModuleList([nn.Conv1d(4, 8, 5), nn.Conv2d(4, 8, 3, groups=2), nn.Conv3d(2, 4, 3)])
        self.transposed = nn.ModuleList([nn.ConvTranspose1d(4, 8, 5), nn.ConvTranspose2d(4, 8, 3)])
        self.embedding = nn.Embedding(40, 16)
        self.norms = nn.ModuleList([nn.LayerNorm(32), nn.GroupNorm(2, 32), nn.BatchNorm2d(32, affine=False)])
        self.attention = nn.MultiheadAttention(16, 2)
        self.recurrent = nn.LSTM(8, 12)
        self.half = nn.Linear(20, 20).half()
        self.brain = nn.Linear(20, 20).bfloat16()
        self.double = nn.Linear(20, 20).double()
        self.position = nn.Parameter(torch.randn(1, 7, 16))
        self.strided = nn.Parameter(torch.randn(16, 20).t())
        self.broken = nn.Parameter(torch.tensor([[1.0, float("nan")], [float("inf"), 2.0]]).repeat(8, 8))
        self.register_buffer("empty", torch.zeros(0, 3))
        self.register_buffer("scalar", torch.tensor(3.5))
        self.register_buffer("counts", torch.arange(50))
        self.register_buffer("mask", torch.rand(30) > 0.5)
        self.register_buffer("complex", torch.randn(5, dtype=torch.complex64))
        self.register_buffer("constant", torch.full((4, 4), 0.25))


def same(one: Tensor, two: Tensor) -> bool:
    """Equal bit for bit, NaN included."""
    return one.dtype == two.dtype and one.shape == two.shape and torch.equal(_bits(one), _bits(two))


def _bits(x: Tensor) -> Tensor:
    return x.detach().contiguous().reshape(-1).view(torch.uint8)


@pytest.mark.parametrize("method", names()[1:])
def test_everything_goes_to_a_file_and_back(method: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Everything()
    compressed = compress(model, method=method, step=0.5)
    path = tmp_path / "model.wvp"
    assert compressed.save(path) == compressed.nbytes == path.stat().st_size
    with load(path) as loaded:
        state, promised, original = loaded.state_dict(), compressed.state_dict(), model.state_dict()
        assert list(state) == list(original)
        assert all(same(state[name], promised[name]) for name in state)
        assert all(same(state[name], loaded.tensor(name)) for name in state)
        assert loaded.report == compressed.report
        assert loaded.attributes["method"] == method
    assert state["tied.weight"].data_ptr() == state["linear.weight"].data_ptr()
    for name in ("broken", "empty", "scalar", "counts", "mask", "complex", "constant"):
        assert same(state[name], original[name]), name
    for name in ("half.weight", "brain.weight", "double.weight"):
        assert state[name].dtype == original[name].dtype
    model.load_state_dict(state)
    assert path.stat().st_size < 0.55 * sum(tensor.nbytes for tensor in original.values())


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_neither_bytes_nor_weights(threads: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, before = Everything(), torch.get_num_threads()
    files = []
    try:
        for number in (1, threads):
            torch.set_num_threads(number)
            files.append(tmp_path / f"{len(files)}.wvp")
            compress(model, step=0.5).save(files[-1])
    finally:
        torch.set_num_threads(before)
    data = files[0].read_bytes()
    assert data == files[1].read_bytes()
    with load(data) as loaded:
        one, many = loaded.state_dict(), loaded.state_dict(threads=threads)
    assert list(one) == list(many)
    assert all(same(one[name], many[name]) for name in one)
    assert many["tied.weight"].data_ptr() == many["linear.weight"].data_ptr()
    damaged = data[:-1] + bytes([data[-1] ^ 1])
    with load(damaged) as loaded, pytest.raises(WvpError, match="is damaged, its checksum differs"):
        loaded.state_dict(threads=threads)


@pytest.mark.parametrize("profile", ["small", "fast", "huffman", "raw"])
def test_profiles_hold_the_same_weights(network: nn.Module, profile: str) -> None:
    small, other = (compress(network, step=0.5, profile=coder) for coder in ("small", profile))
    assert all(same(a, b) for a, b in zip(small.state_dict().values(), other.state_dict().values(), strict=True))
    assert small.nbytes <= 1.02 * other.nbytes
    assert {row["coder"] for row in other.report} - {None} == {profile}


def test_a_model_keeps_its_accuracy(network: nn.Module) -> None:
    images, labels = digits()
    compressed = compress(network, calibration=images[:600], max_drop=0.5)
    accuracy = [float((model(images[1200:]).argmax(1) == labels[1200:]).float().mean()) for model in
                (network, compressed.to_model())]  # fmt: skip
    assert accuracy[0] - accuracy[1] < 0.02
    assert compressed.nbytes < sum(tensor.nbytes for tensor in network.state_dict().values()) / 6
    uniform = compress(network, max_bytes=compressed.nbytes)
    errors = [
        float((model(images[1200:]) - network(images[1200:])).square().mean())
        for model in (compressed.to_model(), uniform.to_model())
    ]
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.parametrize("limit", [1500, 3000])
@pytest.mark.parametrize("calibrated", [True, False])
def test_max_bytes_is_kept_and_used(network: nn.Module, limit: int, calibrated: bool) -> None:
    calibration = digits()[0][:300] if calibrated else None
    assert 0.9 * limit < compress(network, calibration=calibration, max_bytes=limit).nbytes <= limit


class OwnLinear(nn.Linear):
    """A layer that calibration cannot look into."""

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T + self.bias


def test_layers_with_a_forward_of_their_own_are_rounded_by_their_sensitivity(network: nn.Module) -> None:
    images = digits()[0]
    own = nn.Sequential(OwnLinear(64, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Linear(48, 10)).eval()
    own.load_state_dict(network.state_dict())
    unseen, errors = images[1200:], []
    for calibration in (images[:600], None):
        product = 1.0
        for limit in (1100, 1200, 1300):  # such small files are a matter of luck one by one
            compressed = compress(own, calibration=calibration, max_bytes=limit)
            assert 0.9 * limit < compressed.nbytes <= limit
            product *= float((compressed.to_model()(unseen) - own(unseen)).detach().square().mean())
        errors.append(product ** (1 / 3))
    assert errors[0] < 0.8 * errors[1]


def test_max_drop_by_a_function(network: nn.Module) -> None:
    images, labels = digits()

    def accuracy(model: nn.Module) -> float:
        return float((model(images[1200:]).argmax(1) == labels[1200:]).float().mean())

    compressed = compress(network, max_drop=2.0, evaluate=accuracy)
    assert 100 * (accuracy(network) - accuracy(compressed.to_model())) <= 2.0
    assert compressed.nbytes < compress(network, max_drop=0.1, evaluate=accuracy).nbytes


def test_fine_tuning_pays(network: nn.Module) -> None:
    images, _ = digits()
    truth = network(images[1200:]).log_softmax(1)

    def loss(compressed: CompressedModel) -> float:
        found = compressed.to_model()(images[1200:]).log_softmax(1)
        return float(F.kl_div(found, truth, reduction="batchmean", log_target=True))

    changes = []
    for step in (1.25, 1.5, 1.75):
        plain, tuned = (compress(network, calibration=images[:1200], step=step, finetune=epochs) for epochs in (0, 60))
        assert tuned.attributes["finetune"] == "60"
        changes.append(math.log(loss(tuned) / loss(plain)) + FALL * math.log(tuned.nbytes / plain.nbytes))
    assert sum(changes) / len(changes) < -0.05


def test_fine_tuning_for_a_size(network: nn.Module) -> None:
    events: list[Event] = []
    tuned = compress(network, calibration=digits()[0][:1200], max_bytes=600, finetune=20, progress=events.append)
    assert 0.9 * 600 < tuned.nbytes <= 600
    assert {event.total for event in events if event.stage == "fine-tuning"} == {20 * 16}


def test_fine_tuning_is_repeatable(network: nn.Module) -> None:
    one, two = (compress(network, calibration=digits()[0][:300], step=1.5, finetune=20) for _ in range(2))
    assert "finetune" in one.attributes
    assert all(same(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


def test_fine_tuning_that_does_not_pay_is_dropped(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune, "LEARNING_RATE", 3.0)
    compressed = compress(network, calibration=digits()[0][:300], step=0.5, finetune=2)
    assert "finetune" not in compressed.attributes


def test_a_state_dict_alone(network: nn.Module) -> None:
    compressed = compress(network.state_dict(), step=0.5)
    assert list(compressed.state_dict()) == list(network.state_dict())
    with pytest.raises(ValueError, match="only a state dict was compressed"):
        compressed.to_model()
    variance = compressed.state_dict()["1.running_var"] / network.state_dict()["1.running_var"]
    assert bool(((variance - 1).abs() < 2**-9).all())


def test_what_the_caller_changes_later_is_not_in_the_result(tmp_path: Path) -> None:
    state = {"weight": torch.randn(8, 8), "bias": torch.randn(3), "tied": torch.empty(0)}
    state["tied"] = state["bias"]
    compressed = compress(state, step=0.5)
    compressed.save(tmp_path / "x.wvp")
    for tensor in state.values():
        tensor.add_(1)
    with load(tmp_path / "x.wvp") as file:
        for name, tensor in file.state_dict().items():
            assert torch.equal(tensor, compressed.state_dict()[name]), name


def test_a_model_in_training_mode_comes_back_for_evaluation(network: nn.Module) -> None:
    """BatchNorm is folded: in training mode it would normalise once more."""
    images, labels = digits()
    trained = copy.deepcopy(network).train()
    smaller = compress(trained, calibration=images[:256], step=0.5).to_model()
    assert not any(module.training for module in smaller.modules())
    assert trained.training
    assert float((smaller(images).argmax(1) == labels).float().mean()) > 0.93


def test_auto_tries_transforms_of_the_images_that_a_dense_layer_sees() -> None:
    """Rows that are smooth over the image: in an image's transform they take fewer bytes."""
    torch.manual_seed(0)
    smooth = nn.functional.interpolate(torch.randn(64, 1, 4, 4), 16, mode="bicubic").reshape(64, 256)
    model = nn.Sequential(nn.Flatten(), nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 10))
    with torch.no_grad():
        model[1].weight.copy_(smooth)
    sizes = {}
    for basis in ("auto", "none"):
        compressed = compress(model, calibration=torch.randn(256, 1, 16, 16), step=0.5, basis=basis)
        sizes[basis] = compressed.nbytes
        chosen = {row["name"]: row["basis"] for row in compressed.report}
        assert ("@map:1x16x16" in chosen["1.weight"]) == (basis == "auto"), chosen
        assert chosen["3.weight"] == "none"
    assert sizes["auto"] < 0.7 * sizes["none"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one of max_drop, max_bytes, step"),
        ({"step": 1.0, "max_bytes": 9}, "exactly one of"),
        ({"step": float("nan")}, "step must be a positive number"),
        ({"step": 1e300, "calibration": digits()[0]}, "strengths of calibration must be between 1e-30 and 1e"),
        ({"max_bytes": 100}, "even the strongest compression takes"),
        ({"max_drop": 1.0}, "needs calibration data"),
        ({"max_drop": 100, "calibration": digits()[0]}, "points of accuracy, below 100, got 100"),
        ({"step": 1.0, "method": "magic"}, "method must be one of calibrated, uniform"),
        ({"step": 1.0, "method": "calibrated"}, "calibration inputs"),
        ({"step": 1.0, "finetune": -1}, "number of epochs"),
        ({"step": 1.0, "finetune": 1}, "needs the method calibrated"),
        ({"step": 1.0, "profile": "zip"}, "profile must be one of small"),
        ({"step": 1.0, "basis": "bior2.2"}, "not orthonormal"),
        ({"step": 1.0, "basis": "auto", "levels": 2}, "levels go with a wavelet"),
        ({"step": 1.0, "basis": "haar@row", "levels": 9}, "level must be 0 to"),
        ({"step": 1.0, "seed": -1}, "seed must be 0 or more"),
        ({"step": 1.0, "evaluate": digits()}, "evaluate is what max_drop is measured on"),
        ({"max_drop": 1.0, "calibration": digits()[0], "evaluate": lambda model: 97.0}, "as a share, 0 to 1, got 97.0"),
        ({"max_drop": 1.0, "calibration": digits()[0], "evaluate": lambda model: None}, "as a share, 0 to 1, got None"),
    ],
)
def test_mistakes_are_told_in_a_sentence(network: nn.Module, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        compress(network, **arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_progress_tells_layers_and_bytes(network: nn.Module) -> None:
    events: list[Event] = []
    compressed = compress(network, calibration=digits()[0][:100], step=1.0, progress=events.append)
    assert [event.stage for event in events if event.layer] == sorted(
        (event.stage for event in events if event.layer), key=["rounding", "coding"].index
    )
    assert {"0", "3"} <= {event.layer for event in events}
    coding = [event for event in events if event.stage == "coding"]
    assert [event.done for event in coding] == list(range(len(coding)))
    assert coding[-1].done + 1 == coding[-1].total
    assert 0 < coding[-1].nbytes < compressed.nbytes


def test_report_counts_everything(network: nn.Module) -> None:
    compressed = compress(network, step=1.0)
    rows = {row["name"]: row for row in compressed.report}
    assert list(rows) == list(network.state_dict())
    weight = compressed.state_dict()["0.weight"]
    assert rows["0.weight"]["weights"] == weight.numel()
    assert rows["0.weight"]["zeros"] == pytest.approx(float((weight == 0).float().mean()), abs=1e-6)
    assert sum(row["bytes"] for row in rows.values()) < compressed.nbytes
    assert rows["1.running_var"]["method"] == "fill"


def test_damage_is_told(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "model.wvp"
    compress(network, step=1.0).save(path)
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with load(path) as loaded, pytest.raises(WvpError, match="checksum"):
        loaded.state_dict()


def test_the_same_bytes_in_another_process(network: nn.Module, tmp_path: Path) -> None:
    torch.save(network.state_dict(), tmp_path / "state.pth")
    code = (
        "import sys, torch; from wavpool.codec import compress; torch.set_num_threads(int(sys.argv[2]));"
        "state = torch.load(sys.argv[1], weights_only=True);"
        "print(compress(state, step=0.5).save(sys.argv[1] + sys.argv[2]))"
    )
    for threads in ("1", "2"):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "state.pth"), threads], check=True)
    one, two = ((tmp_path / f"state.pth{threads}").read_bytes() for threads in ("1", "2"))
    assert one == two


def test_compressed_model_is_public() -> None:
    assert isinstance(compress(nn.Linear(20, 20), step=1.0), CompressedModel)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_calibration_where_gradients_are_off(network: nn.Module, mode: type) -> None:
    images, _ = digits()
    expected = compress(network, step=0.3, calibration=images).nbytes
    with mode():
        assert compress(network, step=0.3, calibration=images).nbytes == expected
        assert compress(network, max_drop=5.0, calibration=images + 0).nbytes < expected * 2  # of this mode's tensors


def test_the_callers_random_numbers_are_left_alone(network: nn.Module) -> None:
    torch.manual_seed(3)
    compress(network, step=0.3, calibration=digits()[0])
    found = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), found)


def test_a_closed_file_and_no_threads(network: nn.Module, tmp_path: Path) -> None:
    compress(network, step=1.0).save(tmp_path / "a.wvp")
    with load(tmp_path / "a.wvp") as loaded, pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        loaded.state_dict(threads=0)
    with pytest.raises(ValueError, match=r"a\.wvp is closed: load it again"):
        loaded.state_dict()
