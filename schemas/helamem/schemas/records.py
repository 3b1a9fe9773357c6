"""Records and positions: where in which log something stands."""

from __future__ import annotations

import re
from typing import NamedTuple

from msgspec import Struct

from helamem.schemas.errors import BadInput


class TopicPartition(NamedTuple):
    """One ordered partition of a topic; `topic` is the full name, generation included."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}"


class Position(NamedTuple):
    """A place in one partition, comparable across generations of its topic."""

    generation: int
    offset: int


Headers = tuple[tuple[str, bytes], ...]
"""What stands beside key and value, in order. helamem writes `traceparent`, keeps those of others, and a migration adds
`helamem-origin`."""


ORIGIN = "helamem-origin"
"""Header of a record that a migration copied, and that kept its append time: where it stood before."""


class NewRecord(Struct, frozen=True, kw_only=True, gc=False):
    """Something to append: the key decides the partition unless one is named."""

    topic: str
    key: bytes
    value: bytes
    partition: int | None = None
    headers: Headers = ()


class Record(Struct, frozen=True, kw_only=True, gc=False):
    """One record as it stands in the log."""

    topic: str
    partition: int
    offset: int
    append_time_ms: int
    """When the log took it, milliseconds since 1970; never decreases within a partition."""
    key: bytes
    value: bytes
    headers: Headers = ()


_NAME = re.compile(r"(?P<base_name>.+)\.g(?P<generation>[1-9][0-9]*)", re.DOTALL)


def generation_of(topic: str) -> int:
    """Return the generation that stands in a topic's name, `helamem.facts.g2` → 2.

    Raises:
        BadInput: The name does not end in a generation.
    """
    if (name := _NAME.fullmatch(topic)) is None:
        raise BadInput(f"the topic name {topic!r} names no generation; it must end like helamem.facts.g1")
    return int(name["generation"])


def base_name_of(topic: str) -> str:
    """Return a topic's name without its generation, `helamem.facts.g2` → `helamem.facts`; "" where it names none."""
    name = _NAME.fullmatch(topic)
    return "" if name is None else name["base_name"]
