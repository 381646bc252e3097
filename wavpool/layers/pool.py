"""Pooling over hidden units, orientation bands and resolution levels at once."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import native

POOL_MODES = ("max", "average")


class MultiResolutionPool(nn.Module):
    """Pool the responses of all levels with a window over (hidden units, bands, levels), stride = window.

    With `ceil_mode=True` incomplete windows at the ends are pooled too, so every response reaches the output. With
    `ceil_mode=False` they are dropped, as `MaxPool3d` does in the original WavPool: with a window of 2, three
    orientations and five levels, that cuts off every diagonal band and the whole finest level.

    Levels narrower than the widest are padded with zeros **at the front** of the hidden axis where levels are pooled
    together, and always with `ceil_mode=False`, which is the original's layout. Under `max` that zero is a floor,
    like ReLU.

    Args:
        hidden: units of each level, coarsest first.
        bands: bands of each level.
        kernel_size: window `(hidden, bands, levels)`, or one number for all three.
        mode: `max` or `average`.
        ceil_mode: pool incomplete windows (default) or drop them (the paper).

    Shape:
        input: a list, coarsest level first, of `(B, bands, hidden[i])`; output: `(B, num_features)`, ordered by level
        window, then band window, then hidden window. Bands and levels that the windows drop may be left out.

    Raises:
        ValueError: a window that leaves nothing, or, in `forward`, responses of another shape.

    Source: arXiv 2306.08734, section 3.
    """

    def __init__(
        self,
        hidden: Sequence[int],
        bands: int = 3,
        kernel_size: int | Sequence[int] = (2, 1, 1),
        mode: str = "max",
        ceil_mode: bool = True,
    ) -> None:
        super().__init__()
        kernel = (kernel_size,) * 3 if isinstance(kernel_size, int) else tuple(kernel_size)
        if len(kernel) != 3 or min(kernel) < 1:
            raise ValueError(f"kernel_size must be one or three numbers of at least 1, got {kernel_size}")
        if mode not in POOL_MODES:
            raise ValueError(f"mode must be one of {', '.join(POOL_MODES)}, got {mode!r}")
        self.hidden_kernel, self.band_kernel, self.level_kernel = kernel
        self.mode = mode
        self.ceil_mode = ceil_mode
        self.hidden = list(hidden)
        self.bands = bands
        aligned = not ceil_mode or self.level_kernel > 1
        self.widths = [max(self.hidden) if aligned else width for width in self.hidden]
        self.num_levels = self._kept(len(self.hidden), self.level_kernel)
        self.num_bands = self._kept(bands, self.band_kernel)
        starts = range(0, self.num_levels, self.level_kernel)
        self.num_features = sum(
            self._windows(self.widths[start], self.hidden_kernel) * self._windows(bands, self.band_kernel)
            for start in starts
        )
        if self.num_features == 0:
            raise ValueError(
                f"a window of {kernel} with ceil_mode=False leaves nothing of {bands} bands, {len(self.hidden)} levels "
                f"and {max(self.hidden)} hidden units; choose a smaller kernel_size or ceil_mode=True"
            )

        levels = slice(self.num_levels)
        sizes = tuple(self.hidden[levels]), tuple(self.widths[levels])
        self.geometry = native.Geometry(*sizes, self.num_bands, kernel, ceil_mode)

    def _windows(self, length: int, kernel: int) -> int:
        return -(-length // kernel) if self.ceil_mode else length // kernel

    def _kept(self, length: int, kernel: int) -> int:
        """How many of `length` entries lie in a window that reaches the output."""
        return length if self.ceil_mode else length // kernel * kernel

    def kept(self, level: int) -> tuple[int, int]:
        """Bands and hidden units of `level` (0 = coarsest) that reach the output; the kept ones come first."""
        if level >= self.num_levels:
            return 0, 0
        front = self.widths[level] - self.hidden[level]
        return self.num_bands, max(0, self._kept(self.widths[level], self.hidden_kernel) - front)

    def forward(self, responses: list[Tensor]) -> Tensor:
        if not torch.jit.is_scripting():  # noqa: SIM102, in one condition TorchScript would compile the call
            if self.mode == "max" and native.usable(responses, self.geometry):
                return native.pool(responses, self.geometry)
        return self.plain(responses)

    def plain(self, responses: list[Tensor]) -> Tensor:
        """`forward` by torch's own operators."""
        if not torch.jit.is_scripting():
            self._check(responses)
        pooled: list[Tensor] = []
        for start in range(0, self.num_levels, self.level_kernel):
            # The hidden axis first: it is the longest, so the other two then cost little.
            x = self._pool_hidden(responses[start], start)
            end = min(start + self.level_kernel, self.num_levels)
            for level in range(start + 1, end):
                x = self._join(x, self._pool_hidden(responses[level], level))
            x = self._average(x, end - start)
            pooled.append(self._pool_axis(x, 1, self.bands, self.band_kernel).flatten(1))
        return torch.cat(pooled, dim=1)

    def _check(self, responses: list[Tensor]) -> None:
        """Refuse responses of other sizes, most of which would be pooled all the same."""
        if type(responses[0]) is not Tensor or torch.jit.is_tracing():
            return
        if len(responses) < self.num_levels:
            raise ValueError(f"responses must be of {self.num_levels} levels, got {len(responses)}")
        for level, hidden in enumerate(self.hidden[: self.num_levels]):
            shape = tuple(responses[level].shape)
            if len(shape) != 3 or shape[1] < self.num_bands or shape[2] != hidden:
                expected = f"(B, {self.bands}, {hidden})"
                raise ValueError(f"responses of level {level} (0 = coarsest) must be {expected}, got {shape}")

    def _pool_hidden(self, x: Tensor, level: int) -> Tensor:
        """`(B, bands, hidden)` -> `(B, bands, width')`: pads and pools, without pooling whole windows of padding."""
        front = self.widths[level] - self.hidden[level]
        partial = front % self.hidden_kernel
        x = F.pad(x, (partial, 0)) if partial > 0 else x
        x = self._pool_axis(x, 2, partial + self.hidden[level], self.hidden_kernel)
        whole = front // self.hidden_kernel
        return F.pad(x, (whole, 0)) if whole > 0 else x

    def _join(self, a: Tensor, b: Tensor) -> Tensor:
        if self.mode == "average":
            return a + b
        if not torch.is_grad_enabled() and not torch.jit.is_tracing():  # a trace may be trained
            return torch.maximum(a, b)
        # max(a, b), exact: a weight of 0 or 1 selects. The backward of torch.maximum takes four times as long; ties
        # go to `a`, the first, as in MaxPool3d.
        return torch.lerp(b, a, (a.detach() >= b.detach()).to(a.dtype))

    def _average(self, x: Tensor, count: int) -> Tensor:
        return x / count if self.mode == "average" and count > 1 else x

    def _pool_axis(self, x: Tensor, dim: int, length: int, kernel: int) -> Tensor:
        """Pool axis `dim` (1 or 2), of `length`. Strided slices, because a window of two is too short to vectorise."""
        if kernel == 1:
            return x
        whole = length // kernel * kernel
        parts = [self._pool_window(x, dim, 0, whole, kernel, kernel)]  # empty where no window is whole
        if self.ceil_mode and whole < length:
            parts.append(self._pool_window(x, dim, whole, length, length, length - whole))
        return torch.cat(parts, dim=dim) if len(parts) > 1 else parts[0]

    def _pool_window(self, x: Tensor, dim: int, start: int, end: int, step: int, count: int) -> Tensor:
        """Join the `count` slices `start + i : end : step` of axis `dim`."""
        y = _slice(x, dim, start, end, step)
        for offset in range(1, count):
            y = self._join(y, _slice(x, dim, start + offset, end, step))
        return self._average(y, count)

    def extra_repr(self) -> str:
        kernel = (self.hidden_kernel, self.band_kernel, self.level_kernel)
        return f"kernel_size={kernel}, mode={self.mode}, ceil_mode={self.ceil_mode}, num_features={self.num_features}"


def _slice(x: Tensor, dim: int, start: int, end: int, step: int) -> Tensor:
    return x[:, start:end:step] if dim == 1 else x[:, :, start:end:step]
