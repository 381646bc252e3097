"""Fields of a byte string: integers and texts, written in one way only and read with every bound checked."""

from .errors import WvpError

BITS = 63  # of the largest integer
DAMAGED = "the file is damaged"


def varint(value: int) -> bytes:
    r"""An integer from 0 to 2**63 - 1, seven bits a byte, the lowest first, in the fewest bytes.

    >>> varint(300)
    b'\xac\x02'

    Raises:
        ValueError: an integer out of range.
    """
    if not 0 <= value < 2**BITS:
        raise ValueError(f"an integer to store must be in [0, 2**{BITS}), got {value}")
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def varints(values: list[int]) -> bytes:
    """`varint` of each value, one after another."""
    return b"".join(map(varint, values))


def text(value: str) -> bytes:
    """A text as its length in bytes and its UTF-8."""
    data = value.encode()
    return varint(len(data)) + data


class Reader:
    """Reads a byte string from front to end.

    Raises:
        WvpError: from every method, where the string ends too early or does not hold what is asked for.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """Number of bytes that are left."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count > self.left:
            raise WvpError(f"it ends {count - self.left} bytes too early: {DAMAGED}")
        self._at += count
        return self._data[self._at - count : self._at]

    def rest(self) -> bytes:
        """All bytes that are left."""
        return self.take(self.left)

    def byte(self) -> int:
        if not self.left:
            self.take(1)
        self._at += 1
        return self._data[self._at - 1]

    def varint(self) -> int:
        """What `varint` wrote; no other form of the same number."""
        value = 0
        for shift in range(0, BITS, 7):
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                if byte == 0 and shift:
                    raise WvpError(f"a number has leading zeros: {DAMAGED}")
                return value
        raise WvpError(f"a number has more than {BITS} bits: {DAMAGED}")

    def varints(self, count: int) -> list[int]:
        """`count` numbers; nothing is allocated for more numbers than there are bytes."""
        if count > self.left:
            raise WvpError(f"{count} numbers are announced in {self.left} bytes: {DAMAGED}")
        ahead = self._data[self._at : self._at + count]
        if ahead.isascii():  # one byte each, as they mostly are: a list at once
            self._at += count
            return list(ahead)
        return [self.varint() for _ in range(count)]

    def text(self, most: int) -> str:
        """What `text` wrote, at most `most` bytes of it."""
        length = self.varint()
        if length > most:
            raise WvpError(f"a text of {length} bytes is announced where {most} are allowed: {DAMAGED}")
        return utf8(self.take(length))

    def terminated(self) -> bytes:
        """The bytes before the next zero byte, which is passed over."""
        end = self._data.find(0, self._at)
        if end < 0:
            raise WvpError(f"a name has no end: {DAMAGED}")
        start, self._at = self._at, end + 1
        return self._data[start:end]

    def finish(self) -> None:
        """Refuse bytes that are left over."""
        if self.left:
            raise WvpError(f"{self.left} bytes are left over: {DAMAGED}")


def utf8(data: bytes) -> str:
    """Decode UTF-8.

    Raises:
        WvpError: it is none.
    """
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise WvpError(f"a text is not UTF-8: {DAMAGED}") from None
