"""Places of bits in 64-bit words, which numba has no words for."""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic


@intrinsic
def _highest_bit(typing_context: Any, word: Any) -> Any:
    """Place of the highest bit set of a uint64 that is not 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zeros = builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 1))
        return builder.sub(ir.Constant(ir.IntType(64), 63), zeros)

    return types.int64(types.uint64), generate


highest_bit: Any = _highest_bit  # typed by numba as what only its compiler calls
