"""What functions that keep books in plain Python owe to the compiler."""

from collections.abc import Callable
from typing import TypeVar

Function = TypeVar("Function", bound=Callable[..., object])


def constant_result(function: Function) -> Function:
    """Have `torch.compile` call the function while it traces, instead of tracing into it.

    For functions of constants alone, caches included. This is `torch.compiler.assume_constant_result` without its
    import of the whole compiler, which takes longer than ours.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function
