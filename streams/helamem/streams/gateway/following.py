"""`Following`: the events of one space, read from the log as they are appended."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Self

import msgspec
import orjson
from msgspec import UNSET

from helamem.schemas.errors import BadInput, Poison, RetryLater
from helamem.schemas.events import ConversationMessage, KnowledgeDistilled, MemoryRecalled
from helamem.schemas.records import Record, TopicPartition, generation_of
from helamem.schemas.times import format_ms
from helamem.schemas.topics import CONTROL, CONVERSATIONS, FACTS, HUBS, RECALLS
from helamem.schemas.wire import decode
from helamem.streams.async_memory import Memory
from helamem.streams.gateway.service import Service
from helamem.streams.lineage.reader import ERASED, Found, LogReader
from helamem.streams.log.partitioner import partition_of
from helamem.streams.log.port import Log
from helamem.streams.sealing.erasures import Erasures

TOPICS = (CONVERSATIONS, RECALLS, HUBS, FACTS, CONTROL)
"""What is told, in the order of the offsets in an id."""
FIRST = "-".join(["1", *["0"] * len(TOPICS)])
"""The id before the first event."""
_PAGE = 200
_WAIT_S = 1.0
"""How long one look waits for what comes; so long an erasure may have to wait for it."""
_LOOK_S = 0.2
"""How long what somebody else may have erased need not be looked for again."""
_BEAT_S = 15.0
"""How often a stream on which nothing happens says that it is there."""


class Following:
    """Reads on behind a position; made by `Following.open`.

    Args:
        memory: Whose log; it ends with it.
        space: Whose events.
        reader: Opens words.
        offsets: Per partition of its topics the next offset to read.
    """

    def __init__(self, memory: Memory, space: str, reader: LogReader, offsets: dict[TopicPartition, int]) -> None:
        self._memory = memory
        self._erasures = Erasures(memory.instance.log, reader.erased)
        self._looked_s = 0.0
        self._space = space
        self._reader = reader
        self._offsets = offsets

    @classmethod
    async def open(cls, memory: Memory, space: str, after: Sequence[int] | None) -> Self:
        """Begin to follow.

        Args:
            memory: Whose log.
            space: Whose events.
            after: Generation and offsets in an id; None begins at the end.

        Raises:
            BadInput: The id is of another generation of the log.
        """
        log, key = memory.instance.log, space.encode()
        places: list[TopicPartition] = []
        for topic in TOPICS:
            partitions = await log.partitions(topic.name)
            places.append(partitions[partition_of(key, len(partitions))])
        if after is None:
            ends = await log.end_offsets(places)
            offsets = [ends[place] for place in places]
        else:
            if after[0] != generation_of(places[0].topic):
                raise BadInput("the log was migrated since that event; leave Last-Event-ID out to begin now")
            offsets = [*after[1:]]
        reader = await LogReader.open(log, memory.instance.keys_path)
        return cls(memory, space, reader, dict(zip(places, offsets, strict=True)))

    async def parts(self, service: Service) -> AsyncIterator[bytes]:
        """Yield events as they are sent, until the gateway stops or closes its memory."""
        said_s = time.monotonic()
        while not service.ending.is_set():
            told = False
            try:
                with service.memory() as memory:
                    if memory is not self._memory:
                        return
                    await self._look()
                    found = [part async for part in self._page(memory.instance.log)]
                    if not found:
                        await memory.instance.appended(self._offsets, _WAIT_S)
            except RetryLater:
                return
            for part in found:
                if not await self._is_held(
                    service
                ):  # whoever reads slowly may have let an erasure pass since the last part
                    return
                told = True
                yield part
            if told:
                said_s = time.monotonic()
            elif time.monotonic() - said_s >= _BEAT_S:
                said_s = time.monotonic()
                yield b": nothing new\n\n"

    async def _is_held(self, service: Service) -> bool:
        """Return whether what was read may still be told: a memory may be another one that knows of more erasures.

        That of a fleet stays the same, and somebody else may have erased.
        """
        try:
            with service.memory() as memory:
                if memory is not self._memory:
                    return False
                if memory.instance.sole_writer or time.monotonic() - self._looked_s < _LOOK_S:
                    return True
                before = self._reader.erased.seen(self._space)
                await self._look()
                return self._reader.erased.seen(self._space) == before
        except RetryLater:
            return False

    async def _look(self) -> None:
        """Take in what others erased since the last look."""
        if not self._memory.instance.sole_writer:
            await self._erasures.look()
            self._looked_s = time.monotonic()

    async def _page(self, log: Log) -> AsyncIterator[bytes]:
        """Yield what there is now, at most a page of each topic."""
        for place in self._offsets:
            for record in await log.read(place, self._offsets[place], limit=_PAGE):
                self._offsets[place] = record.offset + 1
                if record.key == self._space.encode() and (told := self._told(record)) is not None:
                    yield told

    def _told(self, record: Record) -> bytes | None:
        try:
            event = decode(record.value)
        except Poison:  # it stands in the dead letters
            return None
        if event.space != self._space:
            return None
        found = self._reader.found(event, record)
        generation = generation_of(record.topic)
        id_ = "-".join(map(str, (generation, *self._offsets.values())))
        body = orjson.dumps(
            {
                "id": event.id,
                "type": event.data.event_type,
                "space": event.space,
                "time": format_ms(event.time_ms),
                "position": {"topic": record.topic, "partition": record.partition, "offset": record.offset},
                "append_time": format_ms(record.append_time_ms),
                "data": _data(found),
            }
        )
        return b"id: %s\nevent: %s\ndata: %s\n\n" % (id_.encode(), event.data.event_type.encode(), body)


def positions_of(id_: str) -> list[int]:
    """Return generation and offsets in an id."""
    return [int(part) for part in id_.split("-")]


def _data(found: Found) -> dict[str, Any]:
    """Return what an event says, with its words in the clear, or without them where they were erased."""
    event = found.event.data
    data: dict[str, Any] = msgspec.to_builtins(event)
    data.pop("sealed", None)
    match event:
        case ConversationMessage():
            data["text"] = found.words
        case MemoryRecalled():
            data["query"] = found.words
        case KnowledgeDistilled():
            data["text"] = found.words
            if found.words == ERASED and event.value is not UNSET:
                data["value"] = ERASED
    return data
