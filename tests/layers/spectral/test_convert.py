"""Whole networks converted and back."""

import copy
import math

import pytest
import timm
import torch
from torch import nn

import wavpool  # noqa: F401  (registers lenet5 and alexnet)
from wavpool.layers import SpectralConv2d, SpectralLinear, convert, fit_error, to_dense

# Dense, then linear / conv / all, each real and complex: the specification's table, three channels and ten classes.
COUNTS = {
    "lenet5": (62006, 51180, 51274, 14878, 14878, 4052, 4146),
    "alexnet": (57044810, 2486100, 2494302, 54598076, 54598076, 39366, 47568),
    "resnet18": (11181642, 11176532, 11176542, 58238, 67838, 53128, 62738),
    "resnet50": (23528522, 23508052, 23508062, 160192, 213312, 139722, 192852),
    "densenet121": (6964106, 6953876, 6953886, 132782, 216430, 122552, 206210),
    "densenet201": (18112138, 18092948, 18092958, 311278, 540334, 292088, 521154),
}

SPECTRAL = (SpectralConv2d, SpectralLinear)


def network(name: str) -> nn.Module:
    return timm.create_model(name, num_classes=10, in_chans=3)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts_are_the_ancestors(name: str) -> None:
    with torch.device("meta"):
        model = network(name)
    found = [parameters(model)]
    for layers in ("linear", "conv", "all"):
        for transform, is_complex in (("dct", False), ("dft", True)):
            made = convert(model, transform, layers, "frequencies", from_trained=False, complex=is_complex)
            found.append(parameters(made))
    assert tuple(found) == COUNTS[name]


@pytest.mark.parametrize("layers", ["linear", "conv", "all"])
@pytest.mark.parametrize(("transform", "is_complex"), [("dct", False), ("shannon", True), ("haar", False)])
def test_lenet_trains(transform: str, is_complex: bool, layers: str) -> None:
    torch.manual_seed(0)
    parametrisation = "coefficients" if transform == "haar" else "frequencies"
    model = convert(network("lenet5"), transform, layers, parametrisation, from_trained=False, complex=is_complex)
    x, y = torch.randn(8, 3, 32, 32), torch.arange(8)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
@pytest.mark.parametrize("layers", ["linear", "conv"])
def test_complex_timm_networks_run(name: str, layers: str) -> None:
    model = convert(network(name), "dft", layers, "frequencies", from_trained=False, complex=True).eval()
    with torch.no_grad():
        logits = model(torch.randn(2, 3, 32, 32))
    assert logits.shape == (2, 10)
    assert not logits.is_complex()
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", ["lenet5", "resnet18"])
@pytest.mark.parametrize("transform", ["dct", "dft", "db2", "hadamard"])
def test_all_coefficients_of_trained_weights_are_the_same_network(name: str, transform: str) -> None:
    model, x = network(name).eval(), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        made = convert(model, transform, keep=1.0)
        torch.testing.assert_close(made(x), model(x), atol=1e-3, rtol=1e-3)
        dense = to_dense(made)
        torch.testing.assert_close(dense(x), model(x), atol=1e-3, rtol=1e-3)
    assert not any(isinstance(each, SpectralLinear | SpectralConv2d) for each in dense.modules())
    assert dense.state_dict().keys() == model.state_dict().keys()
    assert not made.training


@pytest.mark.parametrize("parametrisation", ["frequencies", "coefficients"])
@pytest.mark.parametrize("transform", ["dct", "real_shannon", "dft"])
def test_to_dense_computes_the_same(parametrisation: str, transform: str) -> None:
    torch.manual_seed(0)
    made = convert(network("lenet5"), transform, "all", parametrisation, from_trained=False).eval()
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(to_dense(made)(x), made(x), atol=1e-5, rtol=1e-4)


def test_projection_keeps_more_with_more_coefficients() -> None:
    model, errors = network("lenet5"), []
    for keep in (0.1, 0.3, 0.6, 1.0):
        dense = to_dense(convert(model, "dct", keep=keep, select="largest"))
        pairs = zip(dense.parameters(), model.parameters(), strict=True)
        errors.append(sum((a - b).square().sum().item() for a, b in pairs))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-8


def test_fitted_frequencies_are_nearer_than_new_ones() -> None:
    torch.manual_seed(0)
    model = network("lenet5")
    weights = {name: p for name, p in model.named_parameters() if p.ndim > 1}

    def error(made: nn.Module) -> float:
        dense = dict(to_dense(made).named_parameters())
        return sum((dense[name] - p).square().sum().item() for name, p in weights.items())

    fitted = error(convert(model, "dct", "all", "frequencies"))
    energy = sum(p.square().sum().item() for p in weights.values())
    assert fitted < energy < error(convert(model, "dct", "all", "frequencies", from_trained=False))


@pytest.mark.parametrize("parametrisation", ["frequencies", "coefficients"])
def test_fit_error_is_that_of_the_dense_weights(parametrisation: str) -> None:
    torch.manual_seed(0)
    model = network("lenet5")
    made = convert(model, "dct", "all", parametrisation)
    weights = dict(to_dense(made).named_parameters())
    errors = fit_error(model, made)
    assert errors.keys() == {name for name, each in made.named_modules() if isinstance(each, SPECTRAL)}
    for name, error in errors.items():
        dense = model.get_parameter(f"{name}.weight")
        assert error == pytest.approx(((weights[f"{name}.weight"] - dense).norm() / dense.norm()).item(), rel=1e-5)
        kept = made.get_submodule(name).weight.square().sum() / dense.square().sum()
        assert kept.item() == pytest.approx(1 - error**2, abs=1e-4)  # what is left of the energy
        assert 0 < error < 1


def test_fit_error_of_all_coefficients_of_noise_and_of_zeros() -> None:
    dense = nn.Linear(16, 8)
    assert fit_error(dense, convert(dense, "dct", keep=1.0))[""] < 1e-6
    assert fit_error(dense, convert(dense, "dct", from_trained=False))[""] > 1
    nn.init.zeros_(dense.weight)
    assert fit_error(dense, convert(dense, "dct")) == {"": 0.0}
    assert fit_error(dense, convert(dense, "dct", from_trained=False, gain=1.0)) == {"": math.inf}


def test_fit_error_finds_a_wave() -> None:
    dense = nn.Linear(32, 3, bias=False)
    with torch.no_grad():
        dense.weight.copy_(torch.cos(torch.outer(torch.tensor([0.3, 1.1, 2.0]), torch.arange(32) + 0.5)))
    assert fit_error(dense, convert(dense, "dct", parametrisation="frequencies"))[""] < 1e-2


@pytest.mark.parametrize(
    ("dense", "converted", "message"),
    [
        (nn.Linear(4, 4), nn.Linear(4, 4), "no spectral layers; pass the dense network first"),
        (nn.Linear(8, 4), SpectralLinear(4, 4), r"the layer has no weight of shape \(4, 4\) in the dense network"),
        (nn.ReLU(), nn.Sequential(SpectralLinear(4, 4)), "0 has no weight .*; pass the one that was converted"),
        (
            nn.Linear(4, 4),
            SpectralLinear(4, 4, transform="dft", parametrisation="frequencies", complex=True),
            "the layer is complex and fits no real weight",
        ),
    ],
)
def test_fit_error_refuses(dense: nn.Module, converted: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_error(dense, converted)


@pytest.mark.parametrize("axes", [(0,), (0, 1), (-4, 2), (1, 0, 3)])
def test_axes_of_convolutions_are_honoured(axes: tuple[int, ...]) -> None:
    dense = nn.Sequential(nn.Conv2d(8, 6, 3))
    made = convert(dense, "dct", "conv", axes=axes)[0]
    expected = SpectralConv2d(8, 6, 3, axes=axes)
    assert made.spectrum.axes == expected.spectrum.axes == tuple(axis % 4 for axis in axes)
    expected.spectrum.project(dense[0].weight)
    torch.testing.assert_close(made.weight, expected.weight)


def test_axes_are_those_of_every_layers_own_weight() -> None:
    made = convert(nn.Sequential(nn.Conv2d(8, 6, 3), nn.Linear(6, 4)), "dct", axes=(0, 1))
    assert [each.spectrum.axes for each in made] == [(0, 1), (0, 1)]
    with pytest.raises(ValueError, match="1: axes must be among the 2 of the weight"):
        convert(nn.Sequential(nn.Conv2d(8, 6, 3), nn.Linear(6, 4)), "dct", axes=(1, 2, 3))


def test_choice_of_layers() -> None:
    model = network("lenet5")
    names = {"stages.stage1.conv", "stages.stage2.conv", "stages.fc1.conv", "stages.fc2.fc", "head.fc"}

    def replaced(layers: object) -> set[str]:
        made = convert(model, "dct", layers)
        return {name for name, each in made.named_modules() if isinstance(each, SpectralLinear | SpectralConv2d)}

    assert replaced("all") == names
    assert replaced("fc") == replaced("dense") == replaced("linear") == {"stages.fc2.fc", "head.fc"}
    assert replaced("conv") == names - {"stages.fc2.fc", "head.fc"}
    assert replaced("head.fc") == {"head.fc"}
    assert replaced(["stages.stage?.conv", "head.fc"]) == {"stages.stage1.conv", "stages.stage2.conv", "head.fc"}
    assert replaced(lambda name, module: name.startswith("stages.stage1")) == {"stages.stage1.conv"}


def test_the_model_is_left_alone_unless_told_otherwise() -> None:
    model = network("lenet5")
    before = copy.deepcopy(model.state_dict())
    convert(model, "dct")
    assert model.state_dict().keys() == before.keys()
    assert convert(model, "dct", inplace=True) is model
    assert convert(nn.Linear(8, 4), "dct").in_features == 8
    numbered = convert(nn.Sequential(nn.Linear(8, 4), nn.ReLU()), "dct")  # the ancestor missed numbered children
    assert isinstance(numbered[0], SpectralLinear)


def test_state_is_saved_and_loaded() -> None:
    model = network("lenet5")
    made = convert(model, "db2", keep=0.3, select="largest")
    other = convert(network("lenet5"), "db2", keep=0.3, select="largest", from_trained=False)
    other.load_state_dict(made.state_dict())
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(other(x), made(x))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)
        self.two.weight = self.one.weight


@pytest.mark.parametrize("layers", [5, None, [3]])
def test_layers_of_a_wrong_type(layers: object) -> None:
    with pytest.raises(TypeError, match="layers must be linear, conv, all, names or a function of name and module"):
        convert(nn.Linear(4, 4), "dct", layers)


def test_a_name_is_no_model() -> None:
    for refuse in (lambda: convert("lenet5", "dct"), lambda: to_dense("lenet5")):
        with pytest.raises(TypeError, match=r"must be a torch.nn.Module, got 'lenet5'; timm.create_model makes one"):
            refuse()


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (nn.ReLU(), {}, "no nn.Linear or nn.Conv2d of the model is among layers='all'"),
        (nn.Linear(4, 4), {"layers": "convolution"}, "none is 'convolution'"),
        (Tied(), {}, r"one: its weight is shared \(one.weight, two.weight\)"),
        (nn.Linear(4, 4), {"complex": True}, "pass from_trained=False"),
        (nn.Sequential(nn.Linear(4, 4)), {"keep": 2.0}, "0: keep must be above 0"),
        (nn.Conv2d(4, 4, 3), {"keep": 0.5, "bandwidth": True}, "bandwidth is an option of dense layers"),
    ],
)
def test_refusals(model: nn.Module, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convert(model, "dct", **options)


def test_complex_layers_have_no_dense_form() -> None:
    made = convert(nn.Sequential(nn.Linear(4, 4)), "dft", "all", "frequencies", from_trained=False, complex=True)
    with pytest.raises(ValueError, match=r"is complex, which no nn\.Linear computes"):
        to_dense(made)


@pytest.mark.parametrize("parametrisation", ["coefficients", "frequencies"])
def test_what_was_frozen_stays_frozen(parametrisation: str) -> None:
    net = nn.Sequential(nn.Linear(8, 6), nn.Linear(6, 4)).requires_grad_(False)
    net[1].bias.requires_grad_(True)
    spectral = convert(net, "dct", parametrisation=parametrisation)  # type: ignore[arg-type]
    for made in (spectral, to_dense(spectral)):
        assert [name for name, each in made.named_parameters() if each.requires_grad] == ["1.bias"]
    assert all(each.requires_grad for each in to_dense(convert(nn.Linear(8, 6), "dct")).parameters())


def test_complex_networks_under_autocast_compute_in_full_precision() -> None:
    layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.Flatten(), nn.Linear(8 * 36, 10)
    model = convert(nn.Sequential(*layers), "dft", "all", "frequencies", from_trained=False, complex=True)
    x = torch.randn(2, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        found = model(x.bfloat16())
    torch.testing.assert_close(found, model(x.bfloat16().float()))


@pytest.mark.parametrize("module", [nn.GroupNorm(2, 8), nn.InstanceNorm2d(8), nn.ReLU6(), nn.Softmax(1)])
def test_what_takes_no_complex_features_is_named(module: nn.Module) -> None:
    convolution, settings = nn.Conv2d(3, 8, 3), {"from_trained": False, "complex": True}
    with pytest.raises(ValueError, match=rf"^1: {type(module).__name__} takes no complex features"):
        convert(nn.Sequential(convolution, module), "dft", "all", "frequencies", **settings)
    dense = nn.Conv2d(8, 8, 1)
    after = convert(nn.Sequential(convolution, dense, module), "dft", "0", "frequencies", **settings)
    assert after(torch.randn(2, 3, 8, 8)).shape == (2, 8, 6, 6)  # behind a dense layer features are real


def test_a_refusal_leaves_the_network_as_it_was() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8))
    with pytest.raises(ValueError, match="GroupNorm"):
        convert(model, "dft", "all", "frequencies", from_trained=False, complex=True, inplace=True)
    assert type(model[0]) is nn.Conv2d


def test_complex_forms_come_once_a_module() -> None:
    """timm's norms hold their activation; modules may stand in several places."""
    norm, shared = timm.layers.BatchNormAct2d(8), nn.ReLU()
    model = nn.Sequential(nn.Conv2d(3, 8, 3), norm, shared, nn.Conv2d(8, 8, 1), shared)
    made = convert(model, "dft", "conv", "frequencies", from_trained=False, complex=True)
    assert [type(module).__name__ for module in made.module[1]] == ["ComplexBatchNorm2d", "Cardioid"]
    assert made.module[2] is made.module[4]
    assert made(torch.randn(2, 3, 8, 8)).shape == (2, 8, 6, 6)
