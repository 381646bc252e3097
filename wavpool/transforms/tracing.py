"""What functions that keep books in plain Python owe to the compiler."""

from collections.abc import Callable
from typing import TypeVar

import torch

Function = TypeVar("Function", bound=Callable[..., object])


def constant_result(function: Function) -> Function:
    """Have `torch.compile` call the function while it traces, instead of tracing into it.

    For functions of constants alone, caches included. This is `torch.compiler.assume_constant_result` without its
    import of the whole compiler, which takes longer than ours.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


def is_exporting() -> bool:
    """Whether `torch.export` is at work, and not `torch.compile` alone.

    `torch.compiler.is_exporting` is always true to the compiler of torch 2.11 and older, so the flag itself is read.
    """
    return torch.compiler._is_exporting_flag
