"""The header of a `.wvp` file: what is known of every tensor without its payload, in few bytes.

Like values stand together, a column for names, one for shapes and so on, and deflate removes what repeats; see
`docs/format.md` for every byte. Reader and writer share the rules of `check_entries` and `check_attributes`.
"""

import math
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from .errors import WvpError
from .fields import DAMAGED, Reader, text, utf8, varint, varints

# torch's name of each dtype and the bytes of an element; a file stores the position.
DTYPES = {
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "float64": 8,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
    "complex64": 8,
    "complex128": 16,
    "complex32": 4,
    "uint16": 2,
    "uint32": 4,
    "uint64": 8,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
    "float8_e4m3fnuz": 1,
    "float8_e5m2fnuz": 1,
    "float8_e8m0fnu": 1,
}
_IDS = {name: number for number, name in enumerate(DTYPES)}

MAX_ENTRIES = 2**16
MAX_NAME = 2**12  # bytes of UTF-8
MAX_NDIM = 64
MAX_ELEMENTS = 2**40  # of one tensor, an axis of length 0 counted as 1
MAX_META = 2**12  # bytes
MAX_ATTRIBUTES = 2**8
MAX_VALUE = 2**16  # bytes of an attribute
MAX_HEADER = 2**23  # bytes once inflated; of all names together, too
MAX_STORED = MAX_HEADER + 16 * MAX_ENTRIES  # bytes of the block in the file
DEFAULT_MAX_BYTES = 2**36  # of all tensors of a file, decoded

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # what a terminal might obey
PAYLOAD, ALIAS, DTYPE = 128, 64, 63  # bits of an entry's flags

# What deflate may refer to before the first byte of the header; part of the format. The likeliest comes last.
DICTIONARY = (
    b"embeddings.word_embeddings.weight\0position_embeddings.\0encoder.layers.0.attention.self.query.weight\0"
    b"key.\0value.\0output.dense.\0intermediate.\0LayerNorm.\0embed_tokens.\0self_attn.q_proj.\0k_proj.\0v_proj.\0"
    b"o_proj.\0gate_proj.\0up_proj.\0down_proj.\0cls_token\0pos_embed\0patch_embed.proj.\0blocks.0.norm1.\0attn.qkv.\0"
    b"attn.proj.\0norm2.\0mlp.fc1.\0mlp.fc2.\0stages.0.\0dwconv.\0pwconv1.\0gamma\0features.0.\0classifier.1.\0"
    b"conv_pw.\0conv_dw.\0se.conv_reduce.\0se.conv_expand.\0conv_stem.\0downsample.0.\0stem.\0head.\0"
    b"\x03\x04tool\x0dwavpool 0.4.0\x06method\x07uniform\x06method\x0acalibrated\x08strength\x03"
    b"fc.weight\0bias\0conv3.weight\0bn3.weight\0layer1.0.conv1.weight\0"
    b"conv2.weight\0bn2.weight\0bias\0running_mean\0running_var\0num_batches_tracked\0"
)


@dataclass(frozen=True, kw_only=True)
class Item:
    """What a header tells of one tensor.

    Args:
        name: its key in the state dict.
        dtype: torch's name of its dtype, one of `DTYPES`.
        shape: of the tensor.
        method: how its payload is decoded, 0 to 255; a container does not look into it.
        meta: parameters of the method, at most 4096 bytes.
        alias: of a tied weight, the name of the earlier tensor that it shares; it has no method, meta or payload then.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    method: int = 0
    meta: bytes = b""
    alias: str | None = None


@dataclass(frozen=True, kw_only=True)
class Record(Item):
    """An `Item` in a file: `nbytes` bytes of payload with the checksum `crc`, from `offset` after the header."""

    offset: int = 0
    nbytes: int = 0
    crc: int = 0


def encode(items: Sequence[Item], payloads: Sequence[bytes], attributes: Mapping[str, str]) -> bytes:
    """The header's block: deflated columns, then length and CRC-32 of each payload that is not empty.

    Raises:
        ValueError: what `check_attributes` and `check_entries` refuse, or a header larger than `MAX_HEADER`.
    """
    check_attributes(attributes)
    check_entries(items)
    position = {item.name: number for number, item in enumerate(items)}
    names = [item.name.encode() for item in items]
    shared = [_shared(a, b) for a, b in zip([b"", *names], names, strict=False)]
    stored = [item for item in items if item.alias is None]
    columns = (
        varint(len(attributes)),
        *(text(part) for pair in attributes.items() for part in pair),
        varint(len(items)),
        varints(shared),
        *(name[count:] + b"\0" for name, count in zip(names, shared, strict=True)),
        bytes(_flags(item, payload) for item, payload in zip(items, payloads, strict=True)),
        varints([position[item.alias] for item in items if item.alias is not None]),
        varints([len(item.shape) for item in stored]),
        varints([length for item in stored for length in item.shape]),
        bytes(item.method for item in stored),
        varints([len(item.meta) for item in stored]),
        *(item.meta for item in stored),
    )
    header = b"".join(columns)
    if max(len(header), sum(map(len, names))) > MAX_HEADER:
        raise ValueError(f"names, shapes and parameters of the tensors take more than {MAX_HEADER:,} bytes")
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)
    table = (varint(len(payload)) + zlib.crc32(payload).to_bytes(4, "little") for payload in payloads if payload)
    return deflate.compress(header) + deflate.flush() + b"".join(table)


def decode(block: bytes, max_bytes: int = DEFAULT_MAX_BYTES) -> tuple[dict[str, str], dict[str, Record]]:
    """Inverse of `encode`: attributes, and a record of each tensor by name.

    Raises:
        WvpError: a block that `encode` does not make, or tensors of more than `max_bytes` bytes together; found before
            memory for them is taken.
    """
    reader, table = _inflate(block)
    attributes = _read_attributes(reader)
    count = reader.varint()
    if count > MAX_ENTRIES:
        raise WvpError(f"{count} tensors are announced where {MAX_ENTRIES} are allowed: {DAMAGED}")
    names = _read_names(reader, count)
    flags = reader.take(count)
    targets = reader.varints(sum(bool(flag & ALIAS) for flag in flags))
    number = count - len(targets)
    shapes = _read_shapes(reader, number)
    methods = reader.take(number)
    sizes = reader.varints(number)
    metas = [reader.take(size) for size in sizes]
    reader.finish()
    records = _records(names, flags, targets, list(zip(shapes, methods, metas, strict=True)), table)
    try:
        check_attributes(attributes)
        check_entries(records)
    except ValueError as error:
        raise WvpError(f"{error}: {DAMAGED}") from None
    total = sum(nbytes(record) for record in records if record.alias is None)
    if total > max_bytes:
        raise WvpError(f"its tensors take {total:,} bytes, more than max_bytes={max_bytes:,}: raise max_bytes")
    return attributes, {record.name: record for record in records}


def nbytes(item: Item) -> int:
    """Bytes of the tensor, decoded."""
    return math.prod(item.shape) * DTYPES[item.dtype]


def check_attributes(attributes: Mapping[str, str]) -> None:
    """Refuse what a header cannot hold.

    Raises:
        ValueError: an empty key, or too many or too long ones.
    """
    if len(attributes) > MAX_ATTRIBUTES:
        raise ValueError(f"a file has at most {MAX_ATTRIBUTES} attributes, not {len(attributes)}")
    for key, value in attributes.items():
        if not key or len(_encoded(key)) > MAX_NAME or len(_encoded(value)) > MAX_VALUE:
            raise ValueError(f"an attribute has a key of 1 to {MAX_NAME} bytes and a value of at most {MAX_VALUE}")
        if _CONTROL.search(key) or _CONTROL.search(value.replace("\n", "").replace("\t", "")):
            raise ValueError(f"the attribute {_quoted(key)} has a control character")


def check_entries(items: Iterable[Item]) -> None:
    """Refuse tensors that a file cannot hold, by name.

    Raises:
        ValueError: more than `MAX_ENTRIES`, one that breaks the rules of a name, dtype, shape, method or meta, one that
            is there twice, or an alias of anything but an earlier tensor of its shape and dtype.
    """
    earlier: dict[str, Item] = {}
    for item in items:
        _check_name(item.name)
        if item.name in earlier:
            raise ValueError(f"the tensor {_quoted(item.name)} is there twice")
        _check_content(item)
        if item.alias is not None:
            target = earlier.get(item.alias)
            if target is None or target.alias is not None:
                raise ValueError(f"the tensor {_quoted(item.name)} is tied to {_quoted(item.alias)}, no earlier tensor")
            if (target.dtype, target.shape, 0, b"") != (item.dtype, item.shape, item.method, item.meta):
                raise ValueError(f"the tensor {_quoted(item.name)} is tied to one of another shape or dtype")
        earlier[item.name] = item
        if len(earlier) > MAX_ENTRIES:
            raise ValueError(f"a file holds at most {MAX_ENTRIES:,} tensors")


def _check_name(name: str) -> None:
    if not name:
        raise ValueError("a tensor has no name")
    if len(_encoded(name)) > MAX_NAME:
        raise ValueError(f"the name of the tensor {_quoted(name)} has more than {MAX_NAME} bytes")
    if _CONTROL.search(name):
        raise ValueError(f"the name of the tensor {_quoted(name)} has a control character")
    if ".." in name or "/" in name or "\\" in name:
        raise ValueError(f"the name of the tensor {_quoted(name)} is the path of a file: rename it")


def _check_content(item: Item) -> None:
    name = _quoted(item.name)
    if item.dtype not in DTYPES:
        raise ValueError(f"the tensor {name} is of the dtype {item.dtype}, which the format does not have")
    if len(item.shape) > MAX_NDIM or min(item.shape, default=0) < 0:
        raise ValueError(f"the tensor {name} has more than {MAX_NDIM} axes, or one of negative length")
    if math.prod(length or 1 for length in item.shape) > MAX_ELEMENTS:
        raise ValueError(f"the tensor {name} has more than 2**40 elements")
    if not 0 <= item.method < 256 or len(item.meta) > MAX_META:
        raise ValueError(f"the tensor {name} has a method outside 0 to 255 or more than {MAX_META} bytes of meta")


def _encoded(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{_quoted(value)} cannot be written in UTF-8") from None


def _quoted(name: str) -> str:
    """A name for a message: short, and without anything that a terminal might obey."""
    return ascii(name if len(name) <= 80 else name[:77] + "...")


def _shared(a: bytes, b: bytes) -> int:
    """Number of bytes that two strings begin with alike."""
    return next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _flags(item: Item, payload: bytes) -> int:
    if item.alias is not None and payload:
        raise ValueError(f"the tensor {_quoted(item.name)} is tied to another and has a payload of its own")
    return ALIAS if item.alias is not None else _IDS[item.dtype] | (PAYLOAD if payload else 0)


def _inflate(block: bytes) -> tuple[Reader, Reader]:
    """The columns and the table of payloads, to be read."""
    inflate = zlib.decompressobj(-15, DICTIONARY)
    try:
        header = inflate.decompress(block, MAX_HEADER + 1)
    except zlib.error:
        raise WvpError(f"its header does not inflate: {DAMAGED}") from None
    if len(header) > MAX_HEADER:
        raise WvpError(f"its header inflates to more than {MAX_HEADER:,} bytes: {DAMAGED}")
    if not inflate.eof:
        raise WvpError(f"its header ends too early: {DAMAGED}")
    return Reader(header), Reader(inflate.unused_data)


def _read_attributes(reader: Reader) -> dict[str, str]:
    count = reader.varint()
    if count > MAX_ATTRIBUTES:
        raise WvpError(f"{count} attributes are announced where {MAX_ATTRIBUTES} are allowed: {DAMAGED}")
    pairs = [(reader.text(MAX_NAME), reader.text(MAX_VALUE)) for _ in range(count)]
    attributes = dict(pairs)
    if len(attributes) < count:
        raise WvpError(f"an attribute is there twice: {DAMAGED}")
    return attributes


def _read_names(reader: Reader, count: int) -> list[str]:
    """Names, of each the number of bytes that it shares with the one before, then the remaining bytes."""
    shared = reader.varints(count)
    names: list[str] = []
    last, total = b"", 0
    for number in shared:
        if number > len(last):
            raise WvpError(f"a name shares more than the one before has: {DAMAGED}")
        last = last[:number] + reader.terminated()
        total += len(last)
        if len(last) > MAX_NAME or total > MAX_HEADER:
            raise WvpError(f"its names take more than {MAX_NAME} bytes each or {MAX_HEADER:,} together: {DAMAGED}")
        names.append(utf8(last))
    return names


def _read_shapes(reader: Reader, count: int) -> list[tuple[int, ...]]:
    ndims = reader.varints(count)
    if max(ndims, default=0) > MAX_NDIM:
        raise WvpError(f"a tensor of {max(ndims)} axes is announced where {MAX_NDIM} are allowed: {DAMAGED}")
    lengths = iter(reader.varints(sum(ndims)))
    return [tuple(islice(lengths, ndim)) for ndim in ndims]


def _records(
    names: Sequence[str],
    flags: bytes,
    targets: Sequence[int],
    stored: Sequence[tuple[tuple[int, ...], int, bytes]],
    table: Reader,
) -> list[Record]:
    records: list[Record] = []
    contents, aliases = iter(stored), iter(targets)
    dtypes = list(DTYPES)
    offset = 0
    for name, flag in zip(names, flags, strict=True):
        if flag == ALIAS:
            number = next(aliases)
            if number >= len(records):
                raise WvpError(f"the tensor {_quoted(name)} is tied to no earlier tensor: {DAMAGED}")
            target = records[number]
            records.append(Record(name=name, dtype=target.dtype, shape=target.shape, alias=target.name))
            continue
        if flag & ALIAS or flag & DTYPE >= len(dtypes):
            raise WvpError(f"the tensor {_quoted(name)} is of a dtype that this wavpool does not know: update wavpool")
        shape, method, meta = next(contents)
        size, crc = (table.varint(), int.from_bytes(table.take(4), "little")) if flag & PAYLOAD else (0, 0)
        if flag & PAYLOAD and not size:
            raise WvpError(f"the tensor {_quoted(name)} has an empty payload with a checksum: {DAMAGED}")
        record = Record(
            name=name,
            dtype=dtypes[flag & DTYPE],
            shape=shape,
            method=method,
            meta=meta,
            offset=offset,
            nbytes=size,
            crc=crc,
        )
        records.append(record)
        offset += size
    table.finish()
    return records
