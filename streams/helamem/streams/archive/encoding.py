"""A record as bytes: what an archive keeps, and what every hash of it is taken over.

    "HMR1"  topic  partition  offset  append time in ms  key  headers  value

A text or bytes stand after their length (4 bytes); numbers have 4 (partition, number of headers) or 8 bytes (offset,
time), unsigned, big end first; each header is its name and its value. In a segment each record stands after the
length of all that (4 bytes).
"""

from __future__ import annotations

from collections.abc import Iterator

from helamem.schemas.errors import BadInput
from helamem.schemas.records import Record

MAGIC = b"HMR1"


def encode_record(record: Record) -> bytes:
    """Return the record's one encoding: different records never have the same one."""
    parts = [
        MAGIC,
        _bytes(record.topic.encode()),
        record.partition.to_bytes(4),
        record.offset.to_bytes(8),
        record.append_time_ms.to_bytes(8),
        _bytes(record.key),
        len(record.headers).to_bytes(4),
    ]
    for name, value in record.headers:
        parts += (_bytes(name.encode()), _bytes(value))
    parts.append(_bytes(record.value))
    return b"".join(parts)


def decode_record(encoded: bytes) -> Record:
    """Return the record that these bytes are.

    Raises:
        BadInput: They are none, or there are more of them than one record has.
    """
    reader = _Reader(encoded)
    if reader.take(4) != MAGIC:
        raise BadInput("a record does not begin with HMR1, so its archive is damaged")
    topic = reader.text()
    partition, offset, append_time_ms = reader.number(4), reader.number(8), reader.number(8)
    key = reader.bytes()
    headers = tuple((reader.text(), reader.bytes()) for _ in range(min(reader.number(4), len(encoded))))
    value = reader.bytes()
    if reader.left:
        raise BadInput(f"{reader.left} bytes follow a record, so its archive is damaged")
    return Record(
        topic=topic,
        partition=partition,
        offset=offset,
        append_time_ms=append_time_ms,
        key=key,
        value=value,
        headers=headers,
    )


def framed(encoded: bytes) -> bytes:
    """Return a record's encoding as it stands in a segment."""
    return _bytes(encoded)


def unframed(body: bytes) -> Iterator[bytes]:
    """Yield the encodings in the bytes of a segment.

    Raises:
        BadInput: The bytes end within a record.
    """
    reader = _Reader(body)
    while reader.left:
        yield reader.bytes()


def _bytes(raw: bytes) -> bytes:
    return len(raw).to_bytes(4) + raw


class _Reader:
    """Takes bytes from the front."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._raw) - self._at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise BadInput("a record ends too early, so its archive is damaged")
        self._at += count
        return self._raw[self._at - count : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def bytes(self) -> bytes:
        return self.take(self.number(4))

    def text(self) -> str:
        try:
            return self.bytes().decode()
        except UnicodeDecodeError:
            raise BadInput("a name in a record is not UTF-8, so its archive is damaged") from None
