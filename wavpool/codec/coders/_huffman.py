"""Kernels of the `huffman` coder."""

from typing import Any

import numpy as np

from ...compiled import jit


@jit
def write(symbols: Any, values: Any, codes: Any, lengths: Any, body: Any) -> None:
    """Write the codes into the zeroed `body`, after the last symbol (the escape) the value in 32 bits."""
    escape = len(lengths) - 1
    buffer, held, at = np.int64(0), np.int64(0), 0
    for k in range(len(symbols)):
        symbol = symbols[k]
        buffer = (buffer << np.int64(lengths[symbol])) | codes[symbol]
        held += np.int64(lengths[symbol])
        for half in range(3):
            while held >= 8:
                held -= 8
                body[at] = buffer >> held
                at += 1
                buffer &= (np.int64(1) << held) - 1
            if symbol != escape or half == 2:
                break
            word = np.int64(values[k]) & 0xFFFFFFFF
            buffer = (buffer << 16) | ((word >> 16) if half == 0 else (word & 0xFFFF))
            held += 16
    if held:
        body[at] = buffer << (8 - held)


@jit
def read(body: Any, table: Any, first: Any, escape: Any, values: Any) -> Any:
    """Fill `values` from `body`, which ends in 8 spare bytes; the bits used, or -1 where there is no such code."""
    end = 8 * (len(body) - 8)
    at = np.int64(0)
    for k in range(len(values)):
        if at >= end:
            return np.int64(-1)
        byte = at >> 3
        word = (np.int64(body[byte]) << 16) | (np.int64(body[byte + 1]) << 8) | np.int64(body[byte + 2])
        entry = np.int64(table[(word >> (9 - (at & 7))) & 32767])
        if entry < 0:
            return np.int64(-1)
        at += entry & 15
        symbol = entry >> 4
        if symbol == escape:
            if at + 32 > end:
                return np.int64(-1)
            byte = at >> 3
            word = np.int64(0)
            for j in range(5):
                word = (word << 8) | np.int64(body[byte + j])
            word = (word >> (8 - (at & 7))) & 0xFFFFFFFF
            values[k] = word - ((word >> 31) << 32)
            at += 32
        else:
            values[k] = first + symbol
    return at if at <= end else np.int64(-1)
