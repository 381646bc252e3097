"""Activations, normalisation and pooling of complex features."""

import pytest
import torch
from torch import nn

from wavpool.layers import Cardioid, ComplexBatchNorm2d, ComplexDropout, Modulus, ModulusMaxPool2d


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.complex128)


@pytest.mark.parametrize(
    "module", [Cardioid(), Modulus(), ComplexBatchNorm2d(3), ModulusMaxPool2d(2), ComplexDropout(0.5)]
)
def test_real_features_pass_as_through_the_real_module(module: nn.Module) -> None:
    x = torch.randn(2, 3, 4, 4)
    real = {
        Cardioid: nn.ReLU(),
        Modulus: nn.Identity(),
        ComplexBatchNorm2d: nn.BatchNorm2d(3),
        ModulusMaxPool2d: nn.MaxPool2d(2),
        ComplexDropout: nn.Dropout(0.5),
    }[type(module)]
    torch.manual_seed(0)
    found = module(x)
    torch.manual_seed(0)
    torch.testing.assert_close(found, real(x))


def test_cardioid_is_the_formula_with_gradients_everywhere() -> None:
    z = noise(50)
    torch.testing.assert_close(Cardioid()(z), 0.5 * (1 + torch.cos(z.angle())) * z)
    assert torch.autograd.gradcheck(Cardioid(), (z.requires_grad_(),))
    zero = torch.zeros(3, dtype=torch.complex64, requires_grad=True)
    Modulus()(Cardioid()(zero)).sum().backward()
    assert torch.isfinite(torch.view_as_real(zero.grad)).all()  # the ancestor's square root had no gradient at 0


def test_batch_norm_makes_unit_variance_by_parts() -> None:
    norm = ComplexBatchNorm2d(3, affine=False).double()
    z = torch.complex(torch.randn(64, 3, 8, 8).double() * 3 + 1, torch.randn(64, 3, 8, 8).double() * 0.2 - 5)
    y = norm(z)
    assert y.abs().square().mean() == pytest.approx(1, abs=1e-2)
    assert y.mean().abs() < 1e-6
    assert norm.eval()(z).shape == z.shape


def test_max_pool_takes_the_largest_modulus() -> None:
    z = noise(2, 3, 7, 6)
    found = ModulusMaxPool2d(3, 2, padding=1, ceil_mode=True)(z)
    expected = nn.MaxPool2d(3, 2, padding=1, ceil_mode=True)(z.abs())
    torch.testing.assert_close(found.abs(), expected)
    assert torch.isin(torch.view_as_real(found), torch.view_as_real(z)).all()


def test_dropout_drops_both_parts() -> None:
    torch.manual_seed(0)
    y = ComplexDropout(0.5)(noise(1000))
    assert ((y.real == 0) == (y.imag == 0)).all()
    assert 400 < (y == 0).sum() < 600
    z = noise(5)
    assert torch.equal(ComplexDropout(0.5).eval()(z), z)
