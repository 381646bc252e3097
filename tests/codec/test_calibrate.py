"""Calibration: folding, patches, sensitivities, feedback, and the pass that puts them together."""

import copy
import itertools

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from wavpool.codec.calibrate.feedback import Expected, feedback
from wavpool.codec.calibrate.folding import fold_batchnorm
from wavpool.codec.calibrate.layers import patches
from wavpool.codec.calibrate.passes import Calibrated, corrected_biases
from wavpool.codec.calibrate.sensitivity import TEMPERATURE, sensitivity
from wavpool.codec.coded import Coded, reconstruct


class Residual(nn.Module):
    """Convolutions with BatchNorm, one in groups, a branch, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.bn2 = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8 * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.stem(x)))
        x = torch.relu(x + self.bn2(self.depthwise(x)))
        return self.fc(nn.functional.max_pool2d(x, 2).flatten(1))


def digits() -> tuple[Tensor, Tensor]:
    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16, torch.tensor(labels)


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    images, labels = digits()
    model = Residual()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        batch = torch.randint(1200, (128,))
        loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval(), images, labels


def with_parts(model: nn.Module, parts: dict[str, Coded | Tensor]) -> nn.Module:
    model = copy.deepcopy(model)
    state = model.state_dict()
    for name, part in parts.items():
        state[name] = reconstruct(part) if isinstance(part, Coded) else part
    model.load_state_dict(state)
    return model


def test_folding_keeps_the_function(trained: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, images, _ = trained
    folded = copy.deepcopy(model)
    pairs = fold_batchnorm(folded, images[:4])
    assert pairs == {"bn1": "stem", "bn2": "depthwise"}
    assert torch.allclose(folded(images[:64]), model(images[:64]), atol=1e-4)
    assert folded.state_dict().keys() == model.state_dict().keys()
    assert bool((folded.bn1.weight == 1).all())
    assert not folded.bn1.running_mean.any()


def test_folding_leaves_a_shared_output_alone() -> None:
    class Branch(Residual):
        def forward(self, x: Tensor) -> Tensor:
            y = self.stem(x)
            return self.fc(nn.functional.max_pool2d(self.bn1(y) + y, 2).flatten(1))

    torch.manual_seed(0)
    model = Branch().eval()
    with torch.no_grad():
        model.bn1.running_var.fill_(4.0)
    x = torch.randn(3, 1, 8, 8)
    folded = copy.deepcopy(model)
    assert fold_batchnorm(folded, x) == {}
    assert torch.allclose(folded(x), model(x), atol=1e-5)


CONVOLUTIONS = [
    nn.Conv2d(4, 6, 3, stride=2, padding=1),
    nn.Conv2d(4, 8, (3, 5), dilation=2, padding=2, groups=2),
    nn.Conv2d(4, 8, 3, padding="same", groups=4),
    nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
]


@pytest.mark.parametrize("module", [*CONVOLUTIONS, nn.Conv1d(4, 6, 3, padding=1), nn.Conv3d(4, 6, 3), nn.Linear(4, 6)])
def test_patches_are_what_rows_are_multiplied_with(module: nn.Module) -> None:
    torch.manual_seed(0)
    shape = (5, 9, 4) if isinstance(module, nn.Linear) else (2, 4) + (9,) * (module.weight.ndim - 2)
    x = torch.randn(shape)
    found = patches(module, x, 10**6, torch.Generator())
    groups = getattr(module, "groups", 1)
    rows = module.weight.reshape(groups, -1, found.shape[2])
    products = (found @ rows.mT).permute(1, 0, 2).flatten(1) + module.bias
    expected = module(x)
    expected = expected.reshape(-1, 6) if isinstance(module, nn.Linear) else expected.flatten(2).mT.flatten(0, 1)
    assert torch.allclose(products, expected, atol=1e-5)


def test_patches_are_drawn_alike_for_two_inputs() -> None:
    module = nn.Conv2d(2, 3, 3)
    x = torch.arange(2 * 2 * 81.0).reshape(2, 2, 9, 9)
    one, two = (patches(module, y, 7, torch.Generator().manual_seed(1)) for y in (x, x + 1))
    assert one.shape == (1, 14, 18)
    assert torch.equal(one + 1, two)


def test_sensitivity_of_logits_is_their_variance() -> None:
    """At the last layer the Fisher information is that of a multinomial draw: p (1 - p) / T**2."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 3))
    x = 3 * torch.randn(4000, 5)
    found = sensitivity(model, [x], {"0": model[0]}, {"0.weight": model[0].weight})
    p = torch.softmax(model(x) / TEMPERATURE, 1)
    variance = p * (1 - p) / TEMPERATURE**2
    assert torch.allclose(found.outputs["0"].float(), variance.mean(0), rtol=0.05)
    assert found.weights["0.weight"].shape == (3, 5)


def test_sensitivity_of_weights_is_that_of_their_outputs_times_their_inputs() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 3))
    x = 3 * torch.randn(4000, 5) * torch.arange(1.0, 6)
    found = sensitivity(model, x.split(4), {}, {"0.weight": model[0].weight}).weights["0.weight"]
    p = torch.softmax(model(x) / TEMPERATURE, 1)
    expected = (p * (1 - p) / TEMPERATURE**2).T @ x.square() / len(x)
    assert torch.allclose(found.float(), expected, rtol=0.2)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


def spd(d: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((3 * d, d)) @ np.random.default_rng(seed + 1).standard_normal(
        (d, d)
    )
    return x.T @ x / len(x) + 0.01 * np.eye(d)


def upper_of(moment: np.ndarray) -> np.ndarray:
    return np.linalg.cholesky(np.linalg.inv(moment)).T


def test_feedback_is_that_of_the_paper() -> None:
    """Against the definition, over three blocks: after a column the later ones move to the least squares solution."""
    rng = np.random.default_rng(0)
    d, rows = 300, 3
    moment, weights = spd(d, 1), rng.standard_normal((rows, d))
    q, _ = feedback(weights, upper_of(moment), np.full(rows, 0.5), np.ones(d), 0.0, Expected(d))
    left, inverse = weights.copy(), np.linalg.inv(moment)
    for j in range(d):
        value = np.rint(left[:, j] / 0.5)
        assert np.array_equal(q[:, j], value), j
        left -= np.outer((left[:, j] - 0.5 * value) / inverse[j, j], inverse[j])
        inverse -= np.outer(inverse[j], inverse[j]) / inverse[j, j]
        if j + 1 < d:
            inverse[j] = inverse[:, j] = 0
            inverse[j, j] = 1


@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_feedback_errs_less_than_rounding(rate: float) -> None:
    rng = np.random.default_rng(3)
    moment, weights = spd(64, 4), rng.standard_normal((40, 64))
    step = 0.8
    q, bits = feedback(weights, upper_of(moment), np.full(40, step), np.ones(64), rate, Expected(64))

    def cost(values: np.ndarray) -> float:
        error = weights - step * values
        return float(((error @ moment) * error).sum())

    assert cost(q) < 0.6 * cost(np.rint(weights / step))
    assert 0 < bits < 40 * 64 * 8


def test_a_rate_saves_bits() -> None:
    weights, upper = np.random.default_rng(5).standard_normal((40, 64)), upper_of(spd(64, 6))
    bits = [feedback(weights, upper, np.ones(40), np.ones(64), rate, Expected(64))[1] for rate in (0.0, 0.1, 0.3)]
    assert bits[0] > bits[1] > bits[2]


@pytest.mark.parametrize("basis", ["auto", "none", "dct", "haar@row"])
def test_a_pass_foresees_the_compressed_model(trained: tuple[nn.Module, Tensor, Tensor], basis: str) -> None:
    model, images, _ = trained
    before = copy.deepcopy(model.state_dict())
    prepared = Calibrated(model, [images[:100], images[100:200]], basis)
    done = prepared.at(0.3)
    assert {"stem.weight", "depthwise.weight", "fc.weight", "fc.bias", "bn1.bias", "bn2.bias"} <= set(done.parts)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.allclose(done.original, model(images[:200]), atol=1e-4)
    rebuilt = with_parts(prepared.model, done.parts)
    assert torch.allclose(done.compressed, rebuilt(images[:200]), atol=1e-3)
    again = Calibrated(model, [images[:100], images[100:200]], basis).at(0.3)
    for name, part in done.parts.items():
        assert torch.equal(reconstruct(part), reconstruct(again.parts[name]))


def test_more_strength_loses_more_and_stores_less(trained: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, images, _ = trained
    prepared = Calibrated(model, [images[:300]], "none")
    passes = [prepared.at(strength) for strength in (0.1, 0.5, 2.0)]
    errors = [float((each.original - each.compressed).square().mean()) for each in passes]
    sizes = [
        sum(int(np.abs(part.q).sum()) for part in each.parts.values() if isinstance(part, Coded)) for each in passes
    ]
    assert errors == sorted(errors)
    assert sizes == sorted(sizes, reverse=True)


def test_biases_make_up_for_mean_errors(trained: tuple[nn.Module, Tensor, Tensor]) -> None:
    """Weights all moved one way shift every mean; correcting biases alone brings the outputs back most of the way."""
    model, images, _ = trained
    folded = copy.deepcopy(model)
    with torch.no_grad():
        fold_batchnorm(folded, images[:4])
    weights = {name: value + 0.2 * value.std() for name, value in folded.state_dict().items() if value.ndim > 1}
    corrected = weights | corrected_biases(folded, [images[:200]], weights)
    original = folded(images[300:600])
    plain, better = (
        float((with_parts(folded, parts)(images[300:600]) - original).detach().mean(0).square().sum())
        for parts in (weights, corrected)
    )
    assert better < 0.05 * plain


def test_inputs_of_several_shapes_are_refused(trained: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, images, _ = trained
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(8), model)
    with pytest.raises(ValueError, match="of one shape"):
        Calibrated(pool, [images[:4], images[:4, :, :6, :6]])


def test_a_transformer_is_calibrated() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    model = nn.Sequential(nn.Embedding(50, 16), layer, nn.Flatten(), nn.Linear(16 * 6, 3)).eval()
    tokens = torch.randint(50, (64, 6))
    done = Calibrated(model, [tokens], "none").at(0.05)
    assert {"1.linear1.weight", "1.linear2.weight", "3.weight"} <= set(done.parts)
    assert float((done.original - done.compressed).square().mean()) < 0.1 * float(done.original.var())


def test_every_combination_of_groups_and_bias_runs() -> None:
    torch.manual_seed(0)
    x = torch.randn(16, 4, 6, 6)
    for groups, bias, norm in itertools.product((1, 2, 4), (False, True), (False, True)):
        layers = [nn.Conv2d(4, 8, 3, groups=groups, bias=bias), nn.BatchNorm2d(8) if norm else nn.Identity()]
        model = nn.Sequential(*layers, nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(128, 3)).eval()
        done = Calibrated(model, [x]).at(0.1)
        assert float((done.original - done.compressed).abs().max()) < 0.5 * float(done.original.abs().max())


def test_a_layer_with_a_forward_of_its_own_is_left_alone() -> None:
    class Scaled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(2 * x)

    torch.manual_seed(0)
    model = nn.Sequential(Scaled(8, 8), nn.ReLU(), nn.Linear(8, 3))
    assert set(Calibrated(model, [torch.randn(64, 8)]).at(0.1).parts) == {"2.weight", "2.bias"}
