"""Networks and data that calibration and `max_drop` cannot take are told so in one sentence, before the work."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from wavpool.codec import compress
from wavpool.codec.errors import CompressionWarning
from wavpool.errors import is_message
from wavpool.evaluation.batches import as_batches, forward, split_samples


class Wrapped(nn.Module):
    """A layer whose output goes through a function."""

    def __init__(self, after: Callable[[Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(16, 32)
        self.after = after

    def forward(self, x: Tensor) -> Any:
        return self.after(self.layer(x))


INPUTS = torch.randn(40, 16, generator=torch.Generator().manual_seed(0))
OUTPUTS = {
    "one logit": (lambda y: y[:, :1], r"2 or more classes, got \(40, 1\): wrap the network, or take the method"),
    "no classes": (lambda y: y[:, 0], r"got \(40,\)"),
    "a sequence": (lambda y: y.reshape(-1, 4, 8), r"got \(40, 4, 8\)"),
    "classes": (lambda y: y.argmax(1, keepdim=True).expand(-1, 3), "needs logits, got outputs of torch.int64"),
    "a dictionary": (lambda y: {"out": y}, "got a dict: wrap the network"),
    "nothing": (lambda y: None, "got a NoneType"),
    "NaN": (lambda y: y * float("nan"), "there is NaN"),
}
DATA = {
    "shape": (INPUTS[:, :5], r"does not take float32 of shape \(40, 5\)"),
    "dtype": (INPUTS.double(), "does not take float64"),
    "NaN": ([INPUTS, INPUTS * float("nan")], "there is NaN"),
    "none": ([], "no samples to calibrate on"),
    "no rows": (INPUTS[:0], "no samples to calibrate on"),
    "unequal": ((INPUTS, torch.zeros(3)), "a label for each input, got 40 and 3"),
}


def refused(model: nn.Module, calibration: Any, match: str, **settings: Any) -> None:
    with pytest.raises(ValueError, match=match) as caught:
        compress(model, calibration=calibration, **settings)
    assert is_message(caught.value)


@pytest.mark.parametrize("kind", OUTPUTS)
def test_outputs_that_are_no_classifiers(kind: str) -> None:
    refused(Wrapped(OUTPUTS[kind][0]), INPUTS, OUTPUTS[kind][1], step=1.0)


@pytest.mark.parametrize("method", ["calibrated", "uniform"])
@pytest.mark.parametrize("kind", DATA)
def test_data_that_cannot_be_calibrated_on(kind: str, method: str) -> None:
    refused(Wrapped(lambda y: y), *DATA[kind], step=1.0, method=method)


@pytest.mark.parametrize("kind", ["one logit", "no classes", "a sequence"])
def test_methods_without_data_take_any_output_but_foretell_nothing_of_it(kind: str) -> None:
    model = Wrapped(OUTPUTS[kind][0])
    assert compress(model, calibration=INPUTS, method="uniform", step=1.0).nbytes < 400
    refused(model, INPUTS, r"\(batch, classes\)", method="uniform", max_drop=1.0)


@pytest.mark.parametrize("wrap", [lambda y: {"logits": y}, lambda y: [y, 1], lambda y: (y,)])
def test_logits_are_found(wrap: Callable[[Tensor], Any]) -> None:
    assert torch.equal(forward(Wrapped(wrap), INPUTS), forward(Wrapped(lambda y: y), INPUTS))
    assert compress(Wrapped(wrap), calibration=INPUTS, step=1.0).nbytes < 200


@pytest.mark.parametrize(
    "layers", [[nn.Linear(16, 4)], [nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4)]]
)
def test_a_dead_network_is_no_error(layers: list[nn.Module]) -> None:
    model = nn.Sequential(*layers)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    smaller = compress(model, calibration=INPUTS, step=1.0).to_model()
    assert not smaller(INPUTS).any()


def test_a_dead_layer_is_no_error() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 4))
    nn.init.constant_(model[0].bias, -100.0)
    before = model(INPUTS)
    assert torch.allclose(compress(model, calibration=INPUTS, step=0.1).to_model()(INPUTS), before, atol=0.1)


@pytest.mark.parametrize("samples", [1, 2])
def test_too_few_to_hold_some_out(samples: int) -> None:
    refused(Wrapped(lambda y: y), INPUTS[:samples], "too few samples to hold some out", max_drop=1.0)


def test_batches_of_one_sample_are_held_out_whole() -> None:
    first, second = split_samples(as_batches(INPUTS, batch_size=1), 0.8)
    assert (len(first), len(second)) == (32, 8)


@pytest.mark.parametrize(
    ("model", "target", "message"),
    [
        ("resnet18", {"step": 1}, "not a str: make or load it first"),
        (3, {"step": 1}, "not a int"),
        ({"a": 1}, {"step": 1}, "not a mapping of other things"),
        (nn.Linear(16, 4), {"step": "a"}, "step must be a number, got 'a'"),
        (nn.Linear(16, 4), {"max_bytes": "20KB"}, "max_bytes must be a number, got '20KB'"),
        (nn.Linear(16, 4), {"max_drop": True}, "max_drop must be a number, got True"),
    ],
)
def test_wrong_types(model: Any, target: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        compress(model, **target)


def test_layers_that_come_out_zero_are_told() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 4))
    with pytest.warns(CompressionWarning, match=r"every weight of 0\.weight and 1 more came out zero") as told:
        compress(model, step=90)
    assert told[0].filename == __file__


def test_a_promise_has_an_interval() -> None:
    compressed = compress(Wrapped(lambda y: y), calibration=INPUTS, max_drop=5.0)
    drop = compressed.expected_drop
    assert drop is not None
    assert 0 < drop.low <= drop.value <= min(drop.high, 5)
    assert compress(Wrapped(lambda y: y), step=1.0).expected_drop is None
