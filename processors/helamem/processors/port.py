"""What a processor is: it takes a batch of events and says what must become true."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from helamem.processors.store.port import Writes
from helamem.schemas.records import Position, TopicPartition
from helamem.schemas.topics import TopicSpec
from helamem.schemas.wire import Event


class Delivery(Struct, frozen=True, kw_only=True, gc=False):
    """One decoded record."""

    position: Position
    event: Event
    value: bytes
    """The record's bytes as they stand in the log."""


class Batch(Struct, frozen=True, kw_only=True):
    """Consecutive records of one partition, without those that went to the dead letters."""

    partition: TopicPartition
    deliveries: tuple[Delivery, ...]
    end: Position
    """The position after the last record of the batch."""


class Effects(Struct, frozen=True, kw_only=True):
    """What a batch causes, in the order in which it must become durable: events, writes, state."""

    events: tuple[Event, ...] = ()
    writes: Writes = Writes()
    state: bytes = b""
    """What the fold of this partition carries besides points; comes back through `restore`."""
    counts: dict[str, int] = {}
    """What happened, by a short stable name such as `duplicate` or `hub-formed`."""


class Processor(Protocol):
    """A fold over some topics. It knows no log, no clock and no other partition."""

    @property
    def group(self) -> str:
        """Name under which its progress is kept."""
        ...

    @property
    def topics(self) -> tuple[TopicSpec, ...]:
        """What it reads."""
        ...

    async def restore(self, partition: TopicPartition, state: bytes | None) -> None:
        """Begin or begin again with a partition, from the state of its checkpoint (None at the start)."""
        ...

    async def process(self, batch: Batch) -> Effects:
        """Return what the batch causes. Applying it is the caller's duty; nothing is written here.

        After an error, or when the effects were not applied, the caller calls `restore` before anything else.

        Raises:
            RetryLater: Something that it reads is away, or a record it depends on has not been applied yet.
            Exception: The batch cannot be processed; the caller finds the record at fault.
        """
        ...
