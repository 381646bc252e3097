"""A 1 x 1 convolution followed by a depthwise one, without the features between them.

These are as large as the output. Autograd would keep them; here a part of the batch is computed at a time, and computed
again in the backward pass, for a ninth of a 3 x 3 convolution's work.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

PARTS = 4  # of a batch: fewer need more memory, more have batches too small to be fast

Pair = tuple[int, int]


def separable_conv2d(
    x: Tensor,
    channels: Tensor,
    patterns: Tensor,
    bias: Tensor | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Tensor:
    """`F.conv2d(F.conv2d(x, channels, groups=groups), patterns, bias, ..., groups=len(patterns))`.

    Args:
        x: `(B, in, H, W)`, real.
        channels: `(out, in / groups, 1, 1)`.
        patterns: `(out, 1, kh, kw)`.
        bias: `(out,)`.
        stride, padding, dilation: of the depthwise convolution.
        groups: of the 1 x 1 convolution.
    """
    y: Tensor = _Separable.apply(x, channels, patterns, bias, stride, padding, dilation, groups)
    return y


class _Separable(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, channels: Tensor, patterns: Tensor, bias: Tensor | None, *constants: Any) -> Tensor:
        stride, padding, dilation, groups = constants
        y: Tensor | None = None
        for rows in _parts(x):
            between = F.conv2d(x[rows], channels, groups=groups)
            part = F.conv2d(between, patterns, bias, stride, padding, dilation, len(patterns))
            if y is None:
                y = part.new_empty(len(x), *part.shape[1:])
            y[rows] = part
        assert y is not None
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, channels, patterns, _, *ctx.constants = inputs
        ctx.save_for_backward(x, channels, patterns)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, channels, patterns = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.constants
        wanted = ctx.needs_input_grad
        of_x = torch.empty_like(x) if wanted[0] else None
        of_channels, of_patterns = torch.zeros_like(channels), torch.zeros_like(patterns)
        pointwise = ((1, 1), (0, 0), (1, 1), False, [0, 0], groups)
        depthwise = (stride, padding, dilation, False, [0, 0], len(patterns))
        for rows in _parts(x):
            between = F.conv2d(x[rows], channels, groups=groups)
            of_between, found, _ = torch.ops.aten.convolution_backward(
                gradient[rows], between, patterns, None, *depthwise, [wanted[0] or wanted[1], wanted[2], False]
            )
            del between
            if wanted[2]:
                of_patterns += found
            if not (wanted[0] or wanted[1]):
                continue
            of_rows, found, _ = torch.ops.aten.convolution_backward(
                of_between, x[rows], channels, None, *pointwise, [wanted[0], wanted[1], False]
            )
            if wanted[1]:
                of_channels += found
            if of_x is not None:
                of_x[rows] = of_rows
        of_bias = gradient.sum((0, 2, 3)) if wanted[3] else None
        return (
            of_x,
            of_channels if wanted[1] else None,
            of_patterns if wanted[2] else None,
            of_bias,
            *(None,) * 4,
        )


def _parts(x: Tensor) -> list[slice]:
    size = max(1, -(-len(x) // PARTS)) if x.device.type == "cpu" else max(1, len(x))
    return [slice(start, start + size) for start in range(0, max(1, len(x)), size)]
