"""Small parts of a stream: signed integers and bases, read with every bound checked."""

from .bases import COMMON, SIDES, Basis, orthonormal
from .errors import WvpError
from .fields import Reader, varint

SPELT_OUT = 255  # in place of a position in COMMON: the length of a name and the name follow
LONGEST_NAME = 40


def zigzag(value: int) -> int:
    """A signed integer as an unsigned one: 0, -1, 1, -2, ... as 0, 1, 2, 3, ..."""
    return 2 * value if value >= 0 else -2 * value - 1


def unzigzag(value: int) -> int:
    """Inverse of `zigzag`."""
    return -(value // 2) - 1 if value & 1 else value // 2


def write_basis(basis: Basis) -> bytes:
    """A basis in 1 byte (the identity), 2 to 3, or 6 for a map; more for a transform that is not in `COMMON`."""
    if basis.is_identity:
        return b"\0"
    name, _, level = basis.transform.partition(":")
    out = bytes([1 + SIDES.index(basis.side)])
    out += bytes([COMMON.index(name)]) if name in COMMON else bytes([SPELT_OUT, len(name)]) + name.encode()
    out += bytes([int(level)]) if level else b""
    return out + b"".join(varint(int(n)) for n in basis.over.partition(":")[2].split("x") if n)


def read_basis(reader: Reader, extra_bits: int) -> Basis:
    """Inverse of `write_basis`.

    Raises:
        WvpError: no basis that this version knows.
    """
    side = reader.byte()
    if side == 0:
        return Basis()
    position = reader.byte()
    if side > len(SIDES) or (position >= len(COMMON) and position != SPELT_OUT):
        raise WvpError("a stream is in a basis that this version does not know: update wavpool")
    name = COMMON[position] if position < len(COMMON) else _name(reader)
    try:
        levels = f":{reader.byte()}" if hasattr(orthonormal(name), "bank") else ""
        over = SIDES[side - 1]
        over += ":" + "x".join(str(reader.varint()) for _ in range(3)) if over == "map" else ""
        return Basis(orthonormal(name + levels).name, over, extra_bits)
    except ValueError as error:
        raise WvpError(f"a stream is in a basis that cannot be read: {error}") from None


def _name(reader: Reader) -> str:
    name = reader.take(min(reader.byte(), LONGEST_NAME))
    if not name.isascii() or b":" in name:
        raise WvpError("a stream is in a basis without a name: the file is damaged")
    return name.decode()
