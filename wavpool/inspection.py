"""What the parameters of a model do: how many there are, where, what they cost, and which can never matter."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from .layers import BandLinear, ComplexBatchNorm2d, WavPool

_WIDTHS = (28, 15, 10, 12, 13, 9, 13)  # least ones of the printed columns
BAND_NAMES = ("horizontal", "vertical", "diagonal", "approximation")


@dataclass(frozen=True)
class Part:
    """Parameters of one band of one level, or of any other layer.

    `flops` counts the matrix products and convolutions of one image, two a multiply-add.
    """

    layer: str
    band: str
    size: tuple[int, ...]
    parameters: int
    unreachable: int
    silent: int
    flops: int

    @property
    def dead(self) -> int:
        """Parameters without any gradient in the probe: unreachable or silent."""
        return self.unreachable + self.silent


@dataclass(frozen=True)
class Inspection:
    """Result of `inspect`. `unreachable` maps parameter names to boolean masks of their shape, on the CPU."""

    parts: tuple[Part, ...]
    unreachable: dict[str, Tensor]
    confirmed: bool
    probes: int

    @property
    def total(self) -> int:
        """Number of parameters."""
        return sum(part.parameters for part in self.parts)

    @property
    def dead(self) -> int:
        """Parameters with exactly zero gradient in every probe: the unreachable ones and those silent in the probe."""
        return sum(part.dead for part in self.parts)

    @property
    def live(self) -> int:
        """Parameters that received a gradient."""
        return self.total - self.dead

    @property
    def flops(self) -> int:
        """Floating-point operations of one image in matrix products and convolutions, two a multiply-add."""
        return sum(part.flops for part in self.parts)

    @property
    def _confirmation(self) -> str:
        if not self.unreachable:
            return ""
        return " (all confirmed by zero gradients)" if self.confirmed else " (NOT confirmed by gradients)"

    def __str__(self) -> str:
        unreachable = sum(part.unreachable for part in self.parts)
        sums = self.total, unreachable, self.dead - unreachable, self.flops
        table: list[tuple[str, ...]] = [("layer", "band", "size", "parameters", "unreachable", "silent", "FLOPs")]
        for part in self.parts:
            counts = part.parameters, part.unreachable, part.silent, part.flops
            table.append((part.layer, part.band, "x".join(map(str, part.size)), *(f"{count:,}" for count in counts)))
        table.append(("total", "", "", *(f"{count:,}" for count in sums)))
        longest = [max(map(len, column)) + 1 for column in zip(*table, strict=True)]
        widths = [max(least, needed) for least, needed in zip(_WIDTHS, longest, strict=True)]
        rows = [
            "".join(f"{cell:{'<' if place < 3 else '>'}{widths[place]}}" for place, cell in enumerate(row))
            for row in table
        ]
        sentence = (
            f"{self.dead:,} of {self.total:,} parameters ({self.dead / max(1, self.total):.0%}) are dead: "
            f"{unreachable:,} cannot reach the output by structure"
            f"{self._confirmation}, "
            f"{self.dead - unreachable:,} had no gradient on {self.probes} probe images."
        )
        return "\n".join([*rows, sentence])


def inspect(
    model: nn.Module, input_size: Sequence[int], images: Tensor | None = None, probes: int = 512, seed: int = 0
) -> Inspection:
    """Count parameters and FLOPs by level and band, and find the parameters that cannot matter.

    Unreachable parameters are found from the structure (what the pooling of a `WavPool` drops; what the output does not
    depend on at all) and checked against gradients: those of the outputs at random images, with BatchNorm in training
    mode and dropout off, and, to undo what symmetry may cancel, in a random direction. Parameters that are reachable
    but got no gradient are reported as silent: under max pooling, for instance, units that never win, or what lies
    before a branch that is initialised to zero, as in timm's ResNets. The model is not changed.

    Args:
        model: any module with parameters that maps `(B, *input_size)` to one tensor.
        input_size: shape of one input, e.g. `(1, 32, 32)`.
        images: `(N, *input_size)` to probe with; by default `probes` images of Gaussian noise, each of a
            contrast of its own (log-normal), so that units with a large bias are probed too.
        probes, seed: number of noise images, 2 or more, and the seed of images and direction.

    >>> from wavpool.layers import WavPool
    >>> inspect(WavPool(8, hidden=6, kernel_size=2, ceil_mode=False), (1, 8, 8)).unreachable["levels.2.weight"].all()
    tensor(True)
    """
    if isinstance(input_size, int) or probes < 2 or (images is not None and len(images) < 2):
        raise ValueError("input_size must be a shape such as (1, 32, 32), and images to probe with at least 2")
    model = copy.deepcopy(model)
    parameter = next(model.parameters(), None)
    if parameter is None:
        raise ValueError(f"{type(model).__name__} has no parameters to inspect")
    generator = torch.Generator().manual_seed(seed)
    if images is None:
        contrast = torch.randn(probes, *[1] * len(input_size), generator=generator).mul(1.5).exp()
        images = torch.randn(probes, *input_size, generator=generator) * contrast
    images = images.to(parameter)
    zero = _zero_gradients(_training_without_dropout(model), images, generator)
    unreachable = {name: mask for name, mask in _unreachable(model).items() if mask.any()}
    for name, mask in zero.items():
        if mask is None:
            unreachable[name] = torch.ones(model.get_parameter(name).shape, dtype=torch.bool)
    zeros = {name: unreachable[name] if mask is None else mask for name, mask in zero.items()}
    confirmed = all(bool((zeros[name] | ~mask).all()) for name, mask in unreachable.items())
    flops = _flops(model.eval(), images[:1])
    parts = [part for name, module in model.named_modules() for part in _parts(name, module, unreachable, zeros, flops)]
    return Inspection(tuple(parts), unreachable, confirmed, len(images))


def _training_without_dropout(model: nn.Module) -> nn.Module:
    """BatchNorm by the batch, since the running statistics of an untrained model say nothing; nothing else draws."""
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm | ComplexBatchNorm2d):
            module.train()
    return model


def _chunks(images: Tensor) -> tuple[Tensor, ...]:
    """Batches of at most 65: a single image has no variance for BatchNorm."""
    rest = 65 if len(images) % 64 == 1 else 0
    return (*images[: len(images) - rest].split(64), *((images[-rest:],) if rest else ()))


def _zero_gradients(model: nn.Module, images: Tensor, generator: torch.Generator) -> dict[str, Tensor | None]:
    """Mask of exactly zero gradients of every parameter; None where the output does not depend on it."""
    named = [(name, parameter.requires_grad_()) for name, parameter in model.named_parameters()]
    touched = {name: torch.zeros(parameter.shape, dtype=torch.bool) for name, parameter in named}
    connected: set[str] = set()
    for chunk in _chunks(images):
        output = model(chunk)
        if not isinstance(output, Tensor):
            raise ValueError(f"the model must return one tensor, got {type(output).__name__}; wrap it in one that does")
        direction = torch.randn(output.shape, generator=generator).to(output)
        gradients = torch.autograd.grad(
            (output * direction).sum(), [parameter for _, parameter in named], allow_unused=True
        )
        for (name, _), gradient in zip(named, gradients, strict=True):
            if gradient is not None:
                connected.add(name)
                touched[name] |= (gradient != 0).cpu()
    return {name: ~touched[name] if name in connected else None for name, _ in named}


def _unreachable(model: nn.Module) -> dict[str, Tensor]:
    """Masks of what the modules themselves declare unreachable."""
    masks: dict[str, Tensor] = {}
    for prefix, module in model.named_modules():
        if isinstance(module, WavPool):
            for name, mask in module.unreachable().items():
                masks[f"{prefix}.{name}" if prefix else name] = mask
    return masks


def _flops(model: nn.Module, image: Tensor) -> dict[str, int]:
    """FLOPs of every module itself, without its children's, by name."""
    counter = FlopCounterMode(display=False, depth=64)
    with torch.enable_grad(), counter:  # without gradients torch's transformer layers run as one kernel, uncounted
        model(image)
    root = type(model).__name__
    counts = counter.get_flop_counts()
    called = {name.removeprefix(root).removeprefix("."): sum(ops.values()) for name, ops in counts.items()}
    own: dict[str, int] = {}

    def add(name: str, module: nn.Module) -> int:
        """Fill in `own`; returns what the module takes with its children."""
        children = sum(add(f"{name}.{key}".removeprefix("."), child) for key, child in module.named_children())
        own[name] = max(0, called[name] - children) if name in called else 0  # a child may run outside of its parent
        return called.get(name, children)

    add("", model)
    return own


def _parts(
    name: str, module: nn.Module, unreachable: dict[str, Tensor], zeros: dict[str, Tensor], flops: dict[str, int]
) -> Iterator[Part]:
    # A weight that is tied to another module's counts once, where it comes first.
    own = {key: p for key, p in module.named_parameters(recurse=False) if (f"{name}.{key}" if name else key) in zeros}
    if not own:
        if flops[name]:  # such as the products of attention
            yield Part(name, "", (), 0, 0, 0, flops[name])
        return
    bands = module.groups if isinstance(module, BandLinear) else 1
    size = tuple(module.kernel_size) if isinstance(module, nn.Conv2d) else ()
    parts: list[Part] = []
    for band in range(bands):
        counts = [0, 0, 0]
        for key, parameter in own.items():
            full = f"{name}.{key}" if name else key
            lost = unreachable.get(full, torch.zeros(parameter.shape, dtype=torch.bool)).chunk(bands)[band]
            counts[0] += parameter.numel() // bands
            counts[1] += int(lost.sum())
            counts[2] += int((zeros[full].chunk(bands)[band] & ~lost).sum())
        parts.append(Part(name, BAND_NAMES[band] if bands > 1 else "", size, counts[0], counts[1], counts[2], 0))
    # A band that cannot reach the output is not computed.
    computed = sum(part.unreachable < part.parameters for part in parts)
    for part in parts:
        cost = flops[name] // computed if part.unreachable < part.parameters else 0
        yield replace(part, flops=cost)
