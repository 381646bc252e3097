"""Networks of int8 weights, made by torch's own tools, read, changed and put back.

Weights are symmetric int8, a scale an output channel; activations are uint8. Any network that `torch.fx` can trace is
quantised, by calibration alone (`post_training`) or with training (`quantization_aware`).
"""

import copy
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .. import files
from ..errors import UserError
from ..evaluation.batches import Batch, forward
from ..evaluation.checkpoints import load_plain
from .learning import fit

Int8 = NDArray[np.int8]
ENGINES = ("fbgemm", "x86", "onednn", "qnnpack")  # in order of preference
REMEDY = "write one with `wavpool circuits quantize`"


def post_training(model: nn.Module, batches: Iterable[Batch]) -> nn.Module:
    """A quantised copy, its activations' ranges taken from some batches.

    Raises:
        UserError: there are no batches, or the network cannot be traced.
    """
    inputs = [each for each, _ in batches]
    if not inputs:
        raise UserError("quantisation needs some batches to calibrate on")
    with _quiet() as tools:
        prepared = _traced(tools.prepare_fx, copy.deepcopy(model).eval(), tools.plain, inputs[0])
        with torch.inference_mode():
            for each in inputs:
                forward(prepared, each)
        return _converted(tools, prepared)


def quantization_aware(
    model: nn.Module,
    batches: Iterable[Batch],
    epochs: int = 3,
    learning_rate: float = 1e-3,
    tell: Callable[[str], None] | None = None,
) -> nn.Module:
    """A quantised copy, trained with its weights and activations rounded.

    Raises:
        UserError: there are no labelled batches, or the network cannot be traced.
    """
    first = next(iter(batches), None)
    if first is None or first[1] is None:
        raise UserError("quantisation-aware training needs labelled batches")
    with _quiet() as tools:
        prepared = _traced(tools.prepare_qat_fx, copy.deepcopy(model).train(), tools.aware, first[0])
        fit(prepared, batches, epochs=epochs, learning_rate=learning_rate, tell=tell)
        return _converted(tools, prepared.eval())


def save(model: nn.Module, path: str | Path) -> None:
    """Write a quantised network's state as a `.pth` that `load` takes."""
    files.write_with(path, lambda temporary: torch.save(model.state_dict(), temporary))


def load(model: nn.Module, path: str | Path, example: Any) -> nn.Module:
    """A quantised network from a file: `model` is the network before it was quantised, `example` an input of it.

    Raises:
        UserError: the file holds no quantised state of this network.
    """
    state = _state(path)
    with _quiet() as tools:
        prepared = _traced(tools.prepare_fx, copy.deepcopy(model).eval(), tools.plain, example)
        empty = _converted(tools, prepared)
        try:
            empty.load_state_dict(state)
        except (RuntimeError, AttributeError, TypeError, ValueError, KeyError):
            raise UserError(f"{path} is no quantised state of this network: {REMEDY}") from None
    return empty


def weights_of(model: nn.Module) -> dict[str, Int8]:
    """int8 weights of all quantised layers, by name, in the order of the network.

    Raises:
        UserError: there are none.
    """
    found = {name: _quantized(module).int_repr().numpy() for name, module in _layers(model).items()}
    if not found:
        raise UserError("the network has no int8 layers: quantise it with `wavpool circuits quantize`")
    return found


def weights_in(path: str | Path) -> dict[str, Int8]:
    """`weights_of` the network whose state is in a file, which need not be built for it.

    Raises:
        UserError: the file holds no quantised state.
        OSError: it cannot be read.
    """
    found = {}
    for name, value in _state(path).items():
        packed = value[0] if isinstance(value, tuple) and value else value
        if isinstance(packed, Tensor) and packed.is_quantized and packed.dtype == torch.qint8:
            found[name.removesuffix(".weight").removesuffix("._packed_params._packed_params")] = (
                packed.int_repr().numpy()
            )
    if not found:
        raise UserError(f"{path} holds no int8 weights: {REMEDY}")
    return found


def _state(path: str | Path) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():  # torch's announcements about its own storages and quantised tensors
            for start in ("TypedStorage is deprecated", "torch.quantize_per_tensor"):
                warnings.filterwarnings("ignore", start, UserWarning)
            state = load_plain(Path(path))
    except UserError:
        raise UserError(f"{path} cannot be read as a quantised state: {REMEDY}") from None
    if not isinstance(state, dict):
        raise UserError(f"{path} holds no state of a network: {REMEDY}")
    return state


def convolutions_of(model: nn.Module) -> list[str]:
    """Names of the quantised convolutions, in the order of the network."""
    return [name for name, module in _layers(model).items() if _quantized(module).ndim > 2]


def with_weights(model: nn.Module, weights: Mapping[str, Int8]) -> nn.Module:
    """A copy of a quantised network with other int8 weights in some layers, at the same scales.

    Raises:
        UserError: a layer that is not there, or weights of another shape.
    """
    result = copy.deepcopy(model)
    layers = _layers(result)
    for name, values in weights.items():
        if name not in layers:
            raise UserError(f"there is no int8 layer {name!r}: choose of {', '.join(layers)}")
        old = _quantized(layers[name])
        if values.shape != tuple(old.shape):
            raise UserError(f"weights of {name} have shape {tuple(old.shape)}, got {values.shape}")
        layer: Any = layers[name]
        layer.set_weight_bias(_like(old, torch.from_numpy(np.ascontiguousarray(values, dtype=np.int8))), layer.bias())
    return result


def _like(old: Tensor, values: Tensor) -> Tensor:
    """Integers at the scales of a quantised tensor."""
    make: dict[str, Callable[..., Tensor]] = vars(torch)
    if old.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        return make["_make_per_tensor_quantized_tensor"](values, old.q_scale(), old.q_zero_point())
    scales, zeros, axis = old.q_per_channel_scales(), old.q_per_channel_zero_points(), old.q_per_channel_axis()
    return make["_make_per_channel_quantized_tensor"](values, scales, zeros, axis)


def _layers(model: nn.Module) -> dict[str, nn.Module]:
    return {name: module for name, module in model.named_modules() if _is_int8(module)}


def _is_int8(module: nn.Module) -> bool:
    has_weight = all(callable(getattr(type(module), name, None)) for name in ("set_weight_bias", "weight", "bias"))
    return has_weight and _quantized(module).dtype == torch.qint8


def _quantized(module: Any) -> Tensor:
    weight: Tensor = module.weight()
    return weight


class _Tools:
    """torch's quantisation by graph, which is imported at its first use."""

    def __init__(self, engine: str) -> None:
        from torch.ao import quantization
        from torch.ao.quantization import quantize_fx

        self.prepare_fx, self.prepare_qat_fx = quantize_fx.prepare_fx, quantize_fx.prepare_qat_fx
        self.convert_fx = quantize_fx.convert_fx
        self.plain = quantization.get_default_qconfig_mapping(engine)
        self.aware = quantization.get_default_qat_qconfig_mapping(engine)


@contextmanager
def _quiet() -> Any:
    """The tools, without torch's announcements that they will move to another package."""
    engine = next(name for name in ENGINES if name in torch.backends.quantized.supported_engines)
    torch.backends.quantized.engine = engine
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield _Tools(engine)


def _traced(prepare: Any, model: nn.Module, mapping: Any, example: Any) -> nn.Module:
    try:
        prepared: nn.Module = prepare(model, mapping, (example,))
    except Exception as error:  # whatever tracing raises is about this network
        raise UserError(f"torch.fx cannot trace this network: {str(error).splitlines()[0]}") from error
    return prepared


def _converted(tools: Any, prepared: nn.Module) -> nn.Module:
    converted: nn.Module = tools.convert_fx(prepared)
    return converted
