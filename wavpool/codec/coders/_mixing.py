"""Kernel of the `small` coder: a binary arithmetic coder whose probabilities are mixed from many contexts.

Each integer is a string of binary decisions: zero or not, sign, "larger than k?" up to `UNARY`, the exponent of an
Exp-Golomb code. For each decision every slot holds an adaptive probability for its own context; the sum of their
logits, under weights that learn on the way, is the decision's probability (Mahoney's PAQ, "logistic mixing"), and a
last adaptive table corrects it. Integers only; encoder and decoder run the same function, so they cannot disagree.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...compiled import inline, jit
from . import _tables
from .states import NEXT, START

Array = NDArray[np.int64]

SLOTS, SIGNED = 12, 6  # contexts of a decision; the first ones tell the predicted sign from the other
CONTEXTS = 1024  # values of each
KINDS = 32  # decisions
SIGN, MORE, OTHER = 1, 2, 17  # kinds after zero: sign, magnitude under the predicted sign, under the other
UNARY = 12  # larger magnitudes end in an Exp-Golomb code
NEIGHBOURS = 6  # inputs of the linear prediction
DETAILS, STEPS = 64, 24  # of the last table
MASK = (1 << 48) - 1
LOW, HIGH, CODE, POSITION = 0, 1, 2, 3  # registers of the arithmetic coder
ROW, KERNEL, ALL, RATIO = 0, 1, 2, 3  # running means; the last, of magnitudes over their column's mean in the row
LARGEST = 4095  # magnitude that means and contexts know of

# Found by search over uniform and error-feedback quantisation of ResNets, in the plain and the cosine basis.
LIMIT = 250  # count at which a probability stops slowing down
MIX_RATE = 12
FILTER_RATE = 20
COL_RATE, KERNEL_RATE = 1638, 22214  # of running means, x 65536; those of columns and channels slow down to it
ROW_SPAN, TAP_SPAN, ALL_SPAN = 106, 125, 509  # counts at which the others stop slowing down
# What the likely level takes, / 256, of those of column, channel, kernel, tap, all, ratio, neighbours and a constant.
# Fitted to the likelihood of geometric magnitudes without (cosine basis) and with correlated signs (plain basis).
BLEND = np.array([[194, -33, 42, 38, -11, 85, 15, 15], [34, 130, 122, 0, -6, 80, 0, -14]])
EVEN = 90  # level of a mean of 1

SQUASH, STRETCH, LOG2, PACE = _tables.squash(), _tables.stretch(), _tables.log2(), _tables.pace()


class Model(NamedTuple):
    """All that the coder learns; int64 but for `probs`."""

    probs: NDArray[np.int32]  # (quantisers * slots * contexts * kinds,) 22 bits of probability, 8 of a count
    weights: Array  # (kinds * slots,) x 65536
    last: Array  # (details * kinds * (steps + 1),) probabilities x 65536
    plain: Array  # (64,) probabilities x 65536 of rare decisions
    filter: Array  # (neighbours,) x 65536
    coder: Array  # (4,) registers
    ctx: Array  # (slots,) where each one's probabilities begin
    logits: Array  # (slots,)
    near: Array  # (neighbours,) values


class Field(NamedTuple):
    """What is known of the tensor: running means of magnitudes x 256, and the last two rows."""

    cols: Array  # (cols * taps,)
    chans: Array  # (cols,)
    taps: Array  # (taps,)
    means: Array  # (4,)
    lines: Array  # (2, margin + cols * taps)


@inline
def level(mean: Any) -> Any:
    """16 log2 of a mean x 256, from 0 for 0 on."""
    if mean < 4096:
        return np.int64(LOG2[mean])
    mean >>= 4
    if mean < 4096:
        return 64 + np.int64(LOG2[mean])
    return 128 + np.int64(LOG2[min(mean >> 4, 4095)])


@inline
def coarse(mean: Any) -> Any:
    """Half octaves of a mean, 0 ... 31."""
    return min(level(mean) >> 3, 31)


@inline
def toward(mean: Any, size: Any, rate: Any) -> Any:
    """A mean that has seen one more magnitude."""
    return mean + (((size - mean) * rate) >> 16)


@inline
def clip(value: Any, bound: Any) -> Any:
    """Between -bound and bound."""
    return min(max(value, -bound), bound)


@inline
def code_bit(coder: Any, data: Any, decode: Any, bit: Any, p: Any) -> Any:
    """Code one decision whose probability of being 1 is p / 65536."""
    low, high = coder[LOW], coder[HIGH]
    size = high - low
    middle = low + (size >> 16) * p + (((size & 65535) * p) >> 16)
    if decode:
        bit = np.int64(coder[CODE] <= middle)
    if bit:
        high = middle
    else:
        low = middle + 1
    while ((low ^ high) >> 40) == 0:
        at = coder[POSITION]
        if decode:
            byte = np.int64(data[at]) if at < len(data) else np.int64(0)
            coder[CODE] = ((coder[CODE] << 8) & MASK) | byte
        elif at < len(data):
            data[at] = low >> 40
        coder[POSITION] = at + 1
        low = (low << 8) & MASK
        high = ((high << 8) & MASK) | 255
    coder[LOW], coder[HIGH] = low, high
    return bit


@inline
def plain_bit(m: Any, data: Any, decode: Any, bit: Any, index: Any) -> Any:
    """Code a decision by one adaptive probability."""
    p = m.plain[index]
    bit = code_bit(m.coder, data, decode, bit, min(max(p, 64), 65536 - 64))
    m.plain[index] = p + (((bit << 16) - p) >> 5)
    return bit


@inline
def mixed_bit(m: Any, data: Any, decode: Any, bit: Any, kind: Any, detail: Any) -> Any:
    """Code a decision by all slots, and let them learn from it."""
    at = kind * SLOTS
    dot = np.int64(1 << 15)
    for k in range(SLOTS):
        m.logits[k] = STRETCH[m.probs[m.ctx[k] + kind] >> 18]
        dot += m.logits[k] * m.weights[at + k]
    logit = clip(dot >> 16, 2047) + 2048
    p = np.int64(SQUASH[logit])
    fraction = (logit * STEPS) & 4095
    near = (detail * KINDS + kind) * (STEPS + 1) + ((logit * STEPS) >> 12)
    refined = (m.last[near] * (4096 - fraction) + m.last[near + 1] * fraction) >> 12
    bit = code_bit(m.coder, data, decode, bit, (3 * p + refined) >> 2)
    near += np.int64(fraction >= 2048)
    m.last[near] += (bit * 65535 - m.last[near]) >> 6
    error = ((bit << 16) - p) * MIX_RATE
    target = (bit << 22) - bit
    for k in range(SLOTS):
        m.weights[at + k] += (m.logits[k] * error + (1 << 19)) >> 20
        state = np.int64(m.probs[m.ctx[k] + kind])
        count = state & 255
        state >>= 8
        state += ((target - state) * PACE[count]) >> 16
        m.probs[m.ctx[k] + kind] = (state << 8) | (count + np.int64(count < LIMIT))
    return bit


@inline
def look(m: Any, line: Any, above: Any, at: Any, t: Any, width: Any, taps: Any) -> None:
    """Gather the neighbours of a value: four in the kernel, one in the channel before, one in the row above."""
    y = t // width
    x = t - y * width
    m.near[0] = line[at - 1] if x > 0 else 0
    m.near[1] = line[at - width] if y > 0 else 0
    m.near[2] = line[at - width - 1] if x > 0 and y > 0 else 0
    m.near[3] = line[at - width + 1] if y > 0 and x < width - 1 else 0
    m.near[4] = line[at - taps]
    m.near[5] = above[at]
    for k in range(NEIGHBOURS):
        m.near[k] = clip(m.near[k], 255)


@inline
def predict(m: Any) -> Any:
    """Expected value x 65536."""
    expected = np.int64(0)
    for k in range(NEIGHBOURS):
        expected += m.near[k] * m.filter[k]
    return expected


@inline
def adapt(m: Any, value: Any, expected: Any) -> None:
    """One step of normalised least mean squares."""
    norm = np.int64(4)
    for k in range(NEIGHBOURS):
        norm += m.near[k] * m.near[k]
    gain = clip((value << 16) - expected, 1 << 24) * FILTER_RATE // norm
    for k in range(NEIGHBOURS):
        m.filter[k] = clip(m.filter[k] + ((gain * m.near[k]) >> 10), 1 << 20)


@inline
def likely_level(m: Any, f: Any, signs: Any, c: Any, t: Any, i: Any) -> Any:
    """The level of the next magnitude as the blend has it, 0 ... 255."""
    w = BLEND[np.int64(signs)]
    total = w[0] * level(f.cols[i]) + w[1] * level(f.chans[c]) + w[2] * level(f.means[KERNEL])
    total += w[3] * level(f.taps[t]) + w[4] * level(f.means[ALL]) + w[5] * (level(f.means[RATIO]) - EVEN)
    total += w[6] * level((abs(m.near[4]) + abs(m.near[5])) << 7) + w[7] * EVEN
    return min(max(total >> 8, 0), 255)


@inline
def set_contexts(m: Any, f: Any, before: Any, expected: Any, signs: Any, c: Any, t: Any, i: Any, base: Any) -> Any:
    """Fill `ctx`; what the last table goes by: the likely level for magnitudes, a level of the prediction for signs."""
    likely = likely_level(m, f, signs, c, t, i)
    col, chan, tap = coarse(f.cols[i]), coarse(f.chans[c]), coarse(f.taps[t])
    row, kernel = coarse(f.means[ROW]), coarse(f.means[KERNEL])
    ratio = min(max((level(f.means[RATIO]) - 30) >> 2, 0), 31)
    n0, n1, n2 = abs(before), abs(m.near[4]), abs(m.near[5])
    if signs:
        sign = -1 if expected < 0 else 1
        sure = min(level(abs(expected) >> 8) >> 4, 15)
        left, up = clip(m.near[0] * sign, 2) + 2, clip(m.near[1] * sign, 2) + 2
        back, above = clip(m.near[4] * sign, 1) + 1, clip(m.near[5] * sign, 1) + 1
    else:
        sure = chan >> 1
        left, up = min(abs(m.near[0]), 4), min(abs(m.near[1]), 4)
        back, above = min(n1, 2), min(n2, 2)
    ctx = m.ctx
    ctx[0] = likely >> 2
    ctx[1] = (likely >> 3) * 16 + sure
    ctx[2] = min(t, 31) * 32 + (likely >> 3)
    ctx[3] = (left * 5 + up) * 16 + (likely >> 4)
    ctx[4] = (back * 3 + above) * 32 + col
    ctx[5] = col * 16 + sure
    ctx[6] = col * 32 + ratio
    ctx[7] = kernel * 16 + min(n0, 3) * 4 + min(n1, 3)
    ctx[8] = chan * 32 + tap
    ctx[9] = row * 32 + kernel
    ctx[10] = col * 32 + kernel
    ctx[11] = min(t, 31) * 32 + ratio
    for k in range(SLOTS):
        ctx[k] = base + (k * CONTEXTS + ctx[k]) * KINDS
    return likely >> 2, sure


@inline
def code_rest(m: Any, data: Any, decode: Any, rest: Any, exponent: Any) -> Any:
    """Code `rest`, whose successor has `exponent` bits below its leading one; the first of them adaptively."""
    rest += 1
    result = np.int64(1)
    for k in range(exponent - 1, -1, -1):
        bit = (rest >> k) & 1
        if k == exponent - 1:
            bit = plain_bit(m, data, decode, bit, exponent)
        else:
            bit = code_bit(m.coder, data, decode, bit, 1 << 15)
        result = result * 2 + bit
    return result - 1


@inline
def code_value(m: Any, data: Any, decode: Any, value: Any, signs: Any, flip: Any, detail: Any, sure: Any) -> Any:
    """Code one integer by `ctx`."""
    size, negative = abs(value), np.int64(value < 0)
    kind, found, exponent = np.int64(0), np.int64(0), np.int64(0)
    while exponent < 32:
        if kind == SIGN:
            if not signs:
                negative = code_bit(m.coder, data, decode, negative, 1 << 15)
            elif mixed_bit(m, data, decode, negative ^ flip, kind, sure):
                negative = 1 - flip
                for k in range(SIGNED):
                    m.ctx[k] += OTHER - MORE
            else:
                negative = flip
            kind = np.int64(MORE)
        larger = size > found if found <= UNARY else (size - UNARY) >> (exponent + 1) > 0
        if not mixed_bit(m, data, decode, np.int64(larger), kind, detail):
            break
        if found <= UNARY:
            found += 1
        else:
            exponent += 1
        kind = np.int64(SIGN) if found == 1 else MORE + min(found - 1 + exponent, np.int64(OTHER - MORE - 1))
    if found > UNARY:
        found += code_rest(m, data, decode, size - UNARY - 1, exponent)
    return -found if negative else found


@inline
def learn(f: Any, size: Any, r: Any, c: Any, t: Any, i: Any, fast: Any) -> None:
    """Let the means see a magnitude x 256."""
    ratio = (size << 8) // max(f.cols[i], 32)
    f.means[RATIO] = toward(f.means[RATIO], min(ratio, 2048), PACE[min(i, ROW_SPAN)])
    f.cols[i] = toward(f.cols[i], size, fast)
    f.taps[t] = toward(f.taps[t], size, PACE[min(r * len(f.chans) + c, TAP_SPAN)])
    f.means[ROW] = toward(f.means[ROW], size, PACE[min(i, ROW_SPAN)])
    f.means[KERNEL] = toward(f.means[KERNEL], size, KERNEL_RATE)
    f.means[ALL] = toward(f.means[ALL], size, PACE[min(r * len(f.cols) + i, ALL_SPAN)])


@jit
def run(values: Any, width: Any, data: Any, decode: Any, trellis: Any, signs: Any, m: Model, f: Field) -> Any:
    """Code (rows, cols, taps) int32 `values` to or from `data`; the number of bytes that left the coder or entered it.

    That may be more than `data` holds: what is beyond is not written, and reads as zeros.
    """
    rows, cols, taps = values.shape
    margin = f.lines.shape[1] - cols * taps
    state = np.int64(START)
    for r in range(rows):
        line, above = f.lines[r & 1], f.lines[(r + 1) & 1]
        fast = max(131072 // (2 * r + 3), COL_RATE)
        f.means[ROW] = (f.means[ROW] + f.means[ALL]) >> 1
        f.means[RATIO] = (f.means[RATIO] + 256) >> 1
        for c in range(cols):
            total = np.int64(0)
            if taps > 1:
                f.means[KERNEL] = f.means[ROW]
            for t in range(taps):
                i = c * taps + t
                look(m, line, above, margin + i, t, width, taps)
                expected = predict(m) if signs else np.int64(0)
                base = (state & 1) * (SLOTS * CONTEXTS * KINDS)
                detail, sure = set_contexts(m, f, line[margin + i - 1], expected, signs, c, t, i, base)
                flip = np.int64(expected < 0)
                value = code_value(m, data, decode, np.int64(values[r, c, t]), signs, flip, detail, sure)
                values[r, c, t] = line[margin + i] = value
                if trellis:
                    state = NEXT[state, value & 1]
                if signs:
                    adapt(m, value, expected)
                size = min(abs(value), LARGEST) << 8
                learn(f, size, r, c, t, i, fast)
                total += size
            f.chans[c] = toward(f.chans[c], total // taps, fast)
    return m.coder[POSITION]
