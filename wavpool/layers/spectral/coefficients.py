"""Weights of a kept share of their transform's coefficients."""

import math
from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn

from wavpool.transforms import Transform, get_transform
from wavpool.transforms.arguments import as_axes, check_number, integer, precision

Select = Literal["low", "largest", "learned"]
ITERATIONS = 60  # of the conjugate gradients, which stop earlier; orthonormal transforms need one


class KeptCoefficients(nn.Module):
    """A weight whose transform along some axes has few coefficients other than 0, which are trainable.

    Args:
        size: of the weight.
        transform: a `Transform` or its name; `hadamard` becomes the block transform `bwht` for lengths other than
            powers of two.
        axes: of the weight, those to transform, one after the other; a wavelet has as many levels along each as its
            length allows, and where that is none the axis stays as it is (`levels` tells).
        keep: share of the coefficients, above 0 and at most 1; at least one coefficient is kept.
        select: "low": a block of the lowest frequencies (a wavelet's: the coarsest), the same share of each axis;
            "largest": those of largest magnitude of the weight that `project` is given, or else of a random one;
            "learned": all are trainable, and in each forward pass those of largest magnitude count, with gradients
            for all of them (a straight-through estimate), until `freeze`.
        gain: root of the energy of a row of the initial, random weight.

    Attributes:
        values: the coefficients; in the shape of the block, of the weight ("learned"), or one-dimensional.
        index: of "largest", the places of `values` in the flat array of all coefficients, int32.

    Raises:
        ValueError: `keep` out of range, an unknown `select` or transform, missing or repeated axes, or lengths that
            the transform does not take.
        TypeError: `keep` is no number, or an axis no integer.
    """

    index: Tensor | None

    def __init__(
        self,
        size: Sequence[int],
        transform: str | Transform,
        axes: Sequence[int],
        keep: float,
        select: Select = "low",
        gain: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_number(keep, "keep")
        if not 0 < keep <= 1:
            raise ValueError(f"keep must be above 0 and at most 1, got {keep}")
        if select not in ("low", "largest", "learned"):
            raise ValueError(f"select must be 'low', 'largest' or 'learned', got {select!r}")
        axes = tuple(integer(axis, "each axis") for axis in as_axes(axes))
        if not axes or not all(-len(size) <= axis < len(size) for axis in axes):
            raise ValueError(f"axes must be among the {len(size)} of the weight, got {axes}")
        self.size, self.axes = tuple(size), tuple(axis % len(size) for axis in axes)
        if len(set(self.axes)) < len(axes):
            raise ValueError(f"axes must differ, got {axes}")
        self.keep, self.select = keep, select
        self.transform = layer_transform(transform, [self.size[axis] for axis in self.axes])
        self.count = max(1, round(keep * math.prod(self.size)))
        shape = {"low": self.block, "largest": (self.count,), "learned": self.size}[select]
        self.values = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        index = torch.zeros(self.count, dtype=torch.int32, device=device) if select == "largest" else None
        self.register_buffer("index", index)
        self.reset_parameters(gain)

    @property
    def block(self) -> tuple[int, ...]:
        """Shape of the block of lowest frequencies: an equal share of every transformed axis."""
        return block_shape(self.size, self.axes, self.keep)

    @torch.no_grad()
    def reset_parameters(self, gain: float) -> None:
        """Draw a dense normal weight of that gain, keep its coefficients, and scale them up to the gain again."""
        rows, row = self.size[0], math.prod(self.size[1:])
        if self.values.is_meta:
            return
        weight = torch.randn(self.size, device=self.values.device, dtype=torch.float32) * (gain / math.sqrt(row))
        self._store(self._forward(weight))
        energy = self().float().square().sum()
        if energy > 0:
            self.values.mul_(gain * math.sqrt(rows) / energy.sqrt())

    def extra_repr(self) -> str:
        levels = f", levels={self.levels}" if any(self.levels) else ""
        return f"{self.size}, {self.transform.name}, axes={self.axes}{levels}, keep={self.keep}, select={self.select!r}"

    def forward(self) -> Tensor:
        """The weight, in `size`."""
        return self._inverse(self.coefficients())

    @property
    def levels(self) -> tuple[int, ...]:
        """Levels of the transform along each of `axes`; 0 for a transform without levels."""
        return tuple(self.transform.level(self.size[axis]) for axis in self.axes)

    def _forward(self, weight: Tensor) -> Tensor:
        for axis in self.axes:
            weight = self.transform.forward(weight, axis)
        return weight

    def _inverse(self, coefficients: Tensor) -> Tensor:
        for axis in self.axes:
            coefficients = self.transform.inverse(coefficients, axis)
        return coefficients

    def coefficients(self) -> Tensor:
        """All coefficients of the weight, zeros included."""
        if self.select == "low":
            pad = [each for n, k in zip(self.size[::-1], self.values.shape[::-1], strict=True) for each in (0, n - k)]
            return nn.functional.pad(self.values, pad)
        if self.index is not None:
            flat = self.values.new_zeros(math.prod(self.size))
            return flat.scatter(0, self.index.long(), self.values).reshape(self.size)
        return cast(Tensor, _Largest.apply(self.values, self.count))

    @torch.no_grad()
    def project(self, weight: Tensor) -> None:
        """Take the coefficients that come nearest to a weight of this size, in the least-squares sense."""
        target = weight.to(precision(weight.dtype))
        self._store(self._forward(target))
        if not self.transform.is_orthonormal and self.keep < 1:
            self._solve(target)

    def freeze(self) -> "KeptCoefficients":
        """A copy of a "learned" one that has its present choice for good, as "largest" has.

        Raises:
            ValueError: the choice is not learned.
        """
        if self.select != "learned":
            raise ValueError(f"only select='learned' has a choice to freeze, this is {self.select!r}")
        device, dtype = self.values.device, self.values.dtype
        frozen = KeptCoefficients(self.size, self.transform, self.axes, self.keep, "largest", 1.0, device, dtype)
        with torch.no_grad():
            frozen._store(self.values)
        return frozen

    def _store(self, coefficients: Tensor) -> None:
        if self.select == "low":
            coefficients = coefficients[tuple(slice(k) for k in self.values.shape)]
        elif self.index is not None:
            index = coefficients.abs().flatten().topk(self.count).indices.sort().values
            self.index.copy_(index)
            coefficients = coefficients.flatten()[index]
        self.values.copy_(coefficients)

    def _solve(self, target: Tensor) -> None:
        """Least squares by conjugate gradients on the normal equations, from the values at hand."""
        values = self.values.detach().to(target.dtype)

        def apply(each: Tensor) -> Tensor:
            image: Tensor = torch.func.functional_call(self, {"values": each}, ())
            return image

        image, adjoint = torch.func.vjp(apply, values)[:2]
        residual = adjoint(target - image)[0]
        direction, energy = residual, residual.square().sum()
        least = 1e-14 * energy
        for _ in range(ITERATIONS):
            if energy <= least:
                break
            step = energy / apply(direction).square().sum()
            values = values + step * direction
            residual = residual - step * adjoint(apply(direction))[0]
            direction, energy = residual + (residual.square().sum() / energy) * direction, residual.square().sum()
        self.values.copy_(values)


class _Largest(torch.autograd.Function):
    """The `count` values of largest magnitude, zeros elsewhere; the gradient passes to all."""

    generate_vmap_rule = True

    @staticmethod
    def forward(values: Tensor, count: int) -> Tensor:
        flat = values.flatten()
        index = flat.abs().topk(count).indices
        return torch.zeros_like(flat).scatter(0, index, flat[index]).reshape(values.shape)

    @staticmethod
    def setup_context(ctx: object, inputs: tuple[Tensor, int], output: Tensor) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def block_shape(size: Sequence[int], axes: Sequence[int], keep: float) -> tuple[int, ...]:
    """The block of lowest frequencies whose share is nearest to `keep`, axis by axis.

    >>> block_shape((84, 120), (1,), 0.25), block_shape((84, 120), (0, 1), 0.25)
    ((84, 30), (42, 60))
    """
    sides = list(size)
    rest = keep
    for place, axis in enumerate(sorted(axes, key=lambda axis: size[axis])):  # the longest last, which rounds least
        share = rest ** (1 / (len(axes) - place))
        sides[axis] = min(size[axis], max(1, round(size[axis] * share)))
        rest = min(1.0, rest * size[axis] / sides[axis])
    return tuple(sides)


def layer_transform(transform: str | Transform, lengths: Sequence[int]) -> Transform:
    """The transform of a name for a layer's lengths; checks that it takes them.

    Raises:
        ValueError: an unknown name, or lengths that the transform does not take.
    """
    if transform in ("hadamard", "wht") and any(n & (n - 1) for n in lengths):
        transform = "bwht"
    found = get_transform(transform)
    for n in lengths:
        found.level(n)
    return found
