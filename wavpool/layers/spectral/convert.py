"""Ordinary networks to spectral ones and back."""

import copy
import reprlib
from collections.abc import Callable, Collection, Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any, cast

import torch
from torch import Tensor, nn

from wavpool.transforms import Transform

from . import complex as c
from .conv import SpectralConv2d
from .frequencies import SinusoidKernels, SinusoidRows
from .linear import Parametrisation, SpectralLinear

Layers = str | Iterable[str] | Callable[[str, nn.Module], bool]
KINDS: dict[str, tuple[type[nn.Module], ...]] = {
    "linear": (nn.Linear,),
    "conv": (nn.Conv2d,),
    "all": (nn.Linear, nn.Conv2d),
}
ALIASES = {"fc": "linear", "dense": "linear"}
SPECTRAL = (SpectralLinear, SpectralConv2d)
OF_ROWS = ("amplitude", "bandwidth")  # options of dense layers: the mixture of a kernel has them


def convert(
    model: nn.Module,
    transform: str | Transform,
    layers: Layers = "all",
    parametrisation: Parametrisation = "coefficients",
    keep: float | None = None,
    from_trained: bool = True,
    complex: bool = False,
    inplace: bool = False,
    **options: Any,
) -> nn.Module:
    """Replace dense layers of a network by spectral ones.

    Only layers whose type is `nn.Linear` or `nn.Conv2d` itself are replaced, since a subclass may compute something
    else. A weight that several layers share is refused. What was frozen stays so; hooks of replaced layers are lost.

    Args:
        model: any torch, timm or torchvision model.
        transform, parametrisation, keep: see `SpectralLinear`.
        layers: "linear" (also "fc", "dense"), "conv" or "all"; names or shell patterns of modules; or a function of a
            name and a module.
        from_trained: take the parameters nearest to the weights at hand, in the least-squares sense, and the biases.
            Frequencies then get a trainable amplitude a row, unless `amplitude=False`. Otherwise start anew, with
            rows as long, on average, as those at hand, so that activations keep their scale. How near they come, which
            frequencies hardly do, `fit_error` tells.
        complex: rows `exp(-i angle)`, complex features between the layers. Activations, normalisation and pooling
            after the first replaced layer, in the order of `model.modules()`, become those of complex features, or are
            refused where there are none; a dense layer there, and the output, take the modulus. The network is wrapped
            for that. With `from_trained=False`.
        inplace: change `model` itself, not a copy.
        options: of `SpectralLinear` and `SpectralConv2d`: `select`, `axes`, `spacing`, `amplitude`, `bandwidth`; each
            goes to the layers that have it. `axes` counts those of every layer's own weight: (0, 1) is outputs and
            inputs of dense layers and convolutions alike, (1, 2, 3) is for convolutions alone.

    Returns:
        the network; a complex one is the `module` of a wrapper.

    Raises:
        ValueError: nothing to replace, a shared weight, or what the layers refuse, with the name of the layer.
        TypeError: an option of another type.

    >>> net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    >>> sum(p.numel() for p in convert(net, "dct", keep=0.25).parameters())
    634
    """
    if complex and from_trained:
        raise ValueError("complex rows cannot be fitted to real weights; pass from_trained=False")
    model = _writable(model, inplace)
    chosen = dict(_chosen(model, layers))
    if not chosen:
        known = any(isinstance(module, SPECTRAL) for module in model.modules())
        remedy = "; spectral layers are there already, see to_dense" if known else ""
        raise ValueError(f"no nn.Linear or nn.Conv2d of the model is among layers={layers!r}{remedy}")
    _refuse_shared(model, chosen)
    for name in OF_ROWS:
        if options.get(name) and not any(isinstance(module, nn.Linear) for module in chosen.values()):
            raise ValueError(f"{name} is an option of dense layers, and convolutions alone are replaced; leave it out")
    if parametrisation == "frequencies" and from_trained:
        options.setdefault("amplitude", True)
    settings = {"transform": transform, "parametrisation": parametrisation, "keep": keep, "complex": complex, **options}
    forms = _complex_forms(model, chosen) if complex else {}
    for name, module in chosen.items():
        try:
            model = _replace(model, name, _spectral(module, from_trained, settings))
        except ValueError as error:
            raise ValueError(f"{name or 'the layer'}: {error}") from None
    for name, form in forms.items():
        model = _replace(model, name, form)
    return c.RealOutput(model) if complex else model


def to_dense(model: nn.Module, inplace: bool = False) -> nn.Module:
    """The ordinary network that computes the same: every spectral layer as nn.Linear or nn.Conv2d.

    Raises:
        ValueError: a layer is complex, which no ordinary layer computes.
    """
    model = _writable(model, inplace)
    for name, module in [(name, each) for name, each in model.named_modules() if isinstance(each, SPECTRAL)]:
        if module.is_complex:
            raise ValueError(f"{name or 'the layer'} is complex, which no nn.{_dense_type(module).__name__} computes")
        model = _replace(model, name, _dense(module))
    return model


def _writable(model: Any, inplace: bool) -> nn.Module:
    """The model or a copy of it; TypeError unless it is a module."""
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"model must be a torch.nn.Module, got {reprlib.repr(model)}; timm.create_model makes one of a name"
        )
    return model if inplace else copy.deepcopy(model)


def _chosen(model: nn.Module, layers: Layers) -> Iterator[tuple[str, nn.Module]]:
    if isinstance(layers, str) and (kind := ALIASES.get(layers, layers)) in KINDS:
        wanted: Callable[[str, nn.Module], bool] = lambda _, module: type(module) in KINDS[kind]  # noqa: E731
    elif callable(layers):
        wanted = layers
    else:
        patterns = [layers] if isinstance(layers, str) or not isinstance(layers, Iterable) else list(layers)
        if not all(isinstance(pattern, str) for pattern in patterns):
            raise TypeError(f"layers must be linear, conv, all, names or a function of name and module, got {layers!r}")
        names = [name for name, _ in model.named_modules()]
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise ValueError(f"layers must be linear, conv, all, or names in the model; none is {pattern!r}")
        wanted = lambda name, _: any(fnmatchcase(name, pattern) for pattern in patterns)  # noqa: E731
    for name, module in model.named_modules():
        if type(module) in KINDS["all"] and wanted(name, module):
            yield name, module


def _refuse_shared(model: nn.Module, chosen: dict[str, nn.Module]) -> None:
    owners: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        owners.setdefault(id(parameter), []).append(name)
    for name, module in chosen.items():
        shared = owners[id(module.weight)]
        if len(shared) > 1:
            raise ValueError(f"{name}: its weight is shared ({', '.join(shared)}); leave these layers out")


def _replace(model: nn.Module, name: str, module: nn.Module) -> nn.Module:
    if not name:
        return module
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
    return model


def _spectral(module: nn.Module, from_trained: bool, settings: dict[str, Any]) -> nn.Module:
    """The spectral layer in place of a dense one."""
    weight = cast(Tensor, module.weight).detach()
    settings = {**settings, "device": weight.device, "dtype": weight.dtype}
    if not weight.is_meta and "gain" not in settings:
        settings["gain"] = weight.double().square().sum().div(len(weight)).sqrt().item()
    made: SpectralLinear | SpectralConv2d
    if isinstance(module, nn.Linear):
        made = SpectralLinear(module.in_features, module.out_features, module.bias is not None, **settings)
    else:
        assert isinstance(module, nn.Conv2d)
        for name in OF_ROWS:
            settings.pop(name, None)
        made = SpectralConv2d(**_geometry(module), **settings)
    if from_trained and not weight.is_meta:
        _take_over(made, weight, module.bias)
    made.requires_grad_(module.weight.requires_grad)
    if made.bias is not None:
        made.bias.requires_grad_(cast(Tensor, module.bias).requires_grad)
    return made.train(module.training)


_CONV = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")


def _geometry(module: nn.Module) -> dict[str, Any]:
    """What a convolution, dense or spectral, was made with."""
    return {name: getattr(module, name) for name in _CONV} | {"bias": module.bias is not None}


@torch.no_grad()
def _take_over(made: SpectralLinear | SpectralConv2d, weight: Tensor, bias: Tensor | None) -> None:
    if isinstance(made.spectrum, SinusoidRows | SinusoidKernels):
        made.spectrum.fit(weight)
    else:
        made.spectrum.project(weight)
    if made.bias is not None and bias is not None:
        made.bias.copy_(bias)


def _dense_type(module: nn.Module) -> type[nn.Module]:
    return nn.Linear if isinstance(module, SpectralLinear) else nn.Conv2d


@torch.no_grad()
def _dense(module: SpectralLinear | SpectralConv2d) -> nn.Module:
    weight, bias = module.weight, module.bias
    made: nn.Module
    if isinstance(module, SpectralLinear):
        made = nn.Linear(module.in_features, module.out_features, bias is not None, device="meta")
    else:
        made = nn.Conv2d(**_geometry(module), device="meta")
    made.weight = nn.Parameter(weight.clone(), any(each.requires_grad for each in module.spectrum.parameters()))
    if bias is not None:
        made.bias = nn.Parameter(bias.clone(), bias.requires_grad)
    return made.train(module.training)


def _complex_forms(model: nn.Module, chosen: Collection[str]) -> dict[str, nn.Module]:
    """What takes complex features in place of modules that do not, by name, where the layers of `chosen` are complex.

    Raises:
        ValueError: a module has no such form.
    """
    forms: dict[str, nn.Module] = {}
    made: dict[nn.Module, nn.Module | None] = {}  # one for a module of several names
    begun = is_complex = False
    replaced = None
    for name, module in model.named_modules(remove_duplicate=False):
        if replaced is not None and name.startswith(f"{replaced}."):
            continue
        if name in chosen or isinstance(module, SPECTRAL):
            begun = is_complex = True
        elif begun:  # features are real before
            if module not in made:
                made[module] = _complex_form(module)
            form = made[module]
            if form is not None:
                forms[name], replaced = form.train(module.training), name
                is_complex = is_complex and not isinstance(form, c.RealInput)
            elif is_complex and isinstance(module, _REAL_ONLY):
                raise ValueError(f"{name}: {type(module).__name__} takes no complex features; put another in its place")
    return forms


_REAL_ONLY = (
    nn.GroupNorm, nn.LayerNorm, nn.modules.batchnorm._NormBase, nn.Hardtanh, nn.PReLU, nn.ELU, nn.Hardswish,
    nn.Hardsigmoid, nn.Softplus, nn.Softmax, nn.LogSoftmax, nn.AdaptiveMaxPool2d, nn.LPPool2d, nn.Upsample,
)  # fmt: skip


_MAX_POOL = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
_NORM = ("eps", "momentum", "affine", "track_running_stats")


def _complex_form(module: nn.Module) -> nn.Module | None:
    """What takes complex features in place of a module that does not; None where it may stay."""
    kind = type(module)
    if kind in (nn.ReLU, nn.LeakyReLU, nn.GELU, nn.SiLU):
        return c.Cardioid()
    if kind in (nn.Linear, nn.Conv2d):
        return c.RealInput(module)
    if kind is nn.MaxPool2d:
        return c.ModulusMaxPool2d(**{name: getattr(module, name) for name in _MAX_POOL})
    if kind in (nn.AvgPool2d, nn.AdaptiveAvgPool2d):
        return c.Parts(module)
    if kind is nn.Dropout:
        return c.ComplexDropout(module.p)  # type: ignore[arg-type]
    if isinstance(module, nn.BatchNorm2d):
        parameter = next(module.parameters(), None)
        where = {} if parameter is None else {"device": parameter.device, "dtype": parameter.dtype}
        norm = c.ComplexBatchNorm2d(module.num_features, **{name: getattr(module, name) for name in _NORM}, **where)
        acts = not isinstance(getattr(module, "act", nn.Identity()), nn.Identity)  # timm's BatchNormAct2d
        return nn.Sequential(norm, c.Cardioid()) if acts else norm
    return None
