"""Appending messages once: a retry of what the log has already adds no record."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from hashlib import blake2b
from itertools import takewhile
from typing import NamedTuple

from msgspec import UNSET, Struct

from helamem.processors.encoding.processor import GROUP as ENCODING
from helamem.processors.store.port import MemoryStore, Turn
from helamem.schemas.errors import Conflict, Poison, RetryLater
from helamem.schemas.events import ConversationMessage
from helamem.schemas.ids import memory_id
from helamem.schemas.records import TopicPartition
from helamem.schemas.topics import CONVERSATIONS
from helamem.schemas.wire import Event, decode
from helamem.streams.backing import Backing
from helamem.streams.ingest.incoming import record_of
from helamem.streams.log.partitioner import partition_of
from helamem.streams.log.port import Log

Admitting = Callable[[Sequence[ConversationMessage]], AbstractContextManager[object]]
"""Gives a context for messages that are about to be appended; what it raises keeps them from the log."""
_PAGE = 1000


class Appended(Struct, frozen=True, kw_only=True):
    """Where a message stands in the log."""

    space: str
    message_id: str
    memory_id: str
    partition: TopicPartition
    offset: int
    repeated: bool
    """Whether it stood there already."""


class Offered(NamedTuple):
    """A message to append."""

    event: Event
    named: bool
    """Whether its id was given by whoever wrote it; ids made up for it are new."""
    timed: bool
    """Whether its time was."""


class _Known(NamedTuple):
    """A message that is in the log, as far as another one with its id has to agree with it."""

    conversation: str
    speaker: str
    role: str
    text_hash: bytes | None
    """Of its text, so that a long tail keeps no texts; None where that is sealed or erased."""
    time_ms: int
    offset: int

    def agrees(self, offered: Offered) -> bool:
        """Return whether a message says the same; a time that nobody gave is no contradiction."""
        data, time_ms = _message(offered.event), offered.event.time_ms
        return (
            (self.conversation, self.speaker, self.role) == (data.conversation, data.speaker, data.role)
            and self.text_hash in (None, _hash(data.text))
            and (not offered.timed or self.time_ms == time_ms)
        )


class _Tail:
    """What a partition holds beyond what the store has applied, by memory id, in order of offsets."""

    def __init__(self) -> None:
        self.seen_to = 0
        self.known: dict[str, _Known] = {}
        self.lock = asyncio.Lock()


class Appending:
    """Appends messages, those with ids once as far as this process can know.

    Where it alone writes the log, that is always. Where others write it too, a message that is appended again before
    the store has it is one more record in the log, which has no effect.

    Args:
        log: The log.
        store: What has been made of it so far.
        sole_writer: Whether nobody else appends to the log: then what the store has yet to take in is looked for in
            the log too. Others might append between the look and the append, and a fleet may be far behind.
    """

    def __init__(self, log: Log, store: MemoryStore, *, sole_writer: bool = True) -> None:
        self._log = log
        self._store = store
        self._sole_writer = sole_writer
        self._tails: defaultdict[TopicPartition, _Tail] = defaultdict(_Tail)
        self._under_way: dict[str, asyncio.Event] = {}

    async def append(self, messages: Sequence[Offered], admitting: Admitting = nullcontext) -> list[Appended]:
        """Append what is not in the log yet, all or nothing, and say of each message where it stands.

        Args:
            messages: What to append.
            admitting: Entered with those that are not in the log yet as long as they are appended; may refuse them.

        Raises:
            BadInput: A message is not valid.
            Conflict: Its id is that of another message, which says something else.
            RetryLater: The log cannot be written now.
        """
        named = [_memory_id(one.event) for one in messages if one.named]
        while busy := next((self._under_way[id_] for id_ in named if id_ in self._under_way), None):
            await busy.wait()
        done = asyncio.Event()
        self._under_way.update(dict.fromkeys(named, done))
        try:
            return await self._append(messages, admitting)
        finally:
            for id_ in named:
                self._under_way.pop(id_, None)
            done.set()

    async def _append(self, messages: Sequence[Offered], admitting: Admitting) -> list[Appended]:
        partitions = await self._log.partitions(CONVERSATIONS.name)
        places = [partitions[partition_of(one.event.space.encode(), len(partitions))] for one in messages]
        known = await self._known(messages, places)
        fresh: dict[str, int] = {}
        """By memory id, which of the messages is appended."""
        for number, one in enumerate(messages):
            id_ = _memory_id(one.event)
            first = known.get(id_) or (_of_event(messages[fresh[id_]].event, 0) if id_ in fresh else None)
            if first is None:
                fresh[id_] = number
            elif not first.agrees(one):
                raise Conflict(
                    f"the message {_message(one.event).message_id} is in {one.event.space} already and says something "
                    "else; give what is new an id of its own"
                )
        events = [messages[number].event for number in fresh.values()]
        records = [record_of(event) for event in events]
        with admitting([_message(event) for event in events]):
            placed = await self._log.append(records)
        offsets = dict(zip(fresh, [offset for _, offset in placed], strict=True))
        return [
            Appended(
                space=one.event.space,
                message_id=_message(one.event).message_id,
                memory_id=id_,
                partition=place,
                offset=offsets[id_] if id_ in offsets else known[id_].offset,
                repeated=fresh.get(id_) != number,
            )
            for number, (one, place) in enumerate(zip(messages, places, strict=True))
            for id_ in (_memory_id(one.event),)
        ]

    async def _known(self, messages: Sequence[Offered], places: Sequence[TopicPartition]) -> dict[str, _Known]:
        """Return what is known of the messages that have ids of their own, by memory id."""
        wanted: defaultdict[tuple[TopicPartition, str], list[str]] = defaultdict(list)
        for one, place in zip(messages, places, strict=True):
            if one.named:
                wanted[place, one.event.space].append(_memory_id(one.event))
        known: dict[str, _Known] = {}
        for (place, space), ids in wanted.items():
            if self._sole_writer:
                # The tail first: what leaves it meanwhile is in the store by then.
                tail = await self._tail(place)
                known |= {id_: tail[id_] for id_ in ids if id_ in tail}
            turns = await self._store.turns(space, list(dict.fromkeys(ids)))
            known |= {id_: _of_turn(turn) for id_, turn in turns.items()}
        return known

    async def _tail(self, partition: TopicPartition) -> dict[str, _Known]:
        """Return what stands in the log beyond what the store has applied; each record is read once."""
        tail = self._tails[partition]
        async with tail.lock:
            checkpoint = (await self._store.load_checkpoints(ENCODING)).get(partition)
            applied = 0 if checkpoint is None else checkpoint.position.offset
            # Looked for in one pass: to look for the first one again passes by all that were deleted before it.
            for id_, _ in [*takewhile(lambda known: known[1].offset < applied, tail.known.items())]:
                del tail.known[id_]
            tail.seen_to = max(tail.seen_to, applied)
            while records := await self._log.read(partition, tail.seen_to, limit=_PAGE):
                for record in records:
                    try:
                        event = decode(record.value)
                    except Poison:
                        continue
                    if isinstance(event.data, ConversationMessage):
                        tail.known.setdefault(_memory_id(event), _of_event(event, record.offset))
                tail.seen_to = records[-1].offset + 1
        return tail.known


async def searchable(backing: Backing, appended: Sequence[Appended], timeout_s: float) -> bool:
    """Wait until messages can be recalled, while somebody processes the log; return whether that was in time.

    What was put aside, forgotten or erased cannot, however long one waits.
    """
    ends: dict[TopicPartition, int] = {}
    ids: defaultdict[str, list[str]] = defaultdict(list)
    for one in appended:
        ends[one.partition] = max(ends.get(one.partition, 0), one.offset + 1)
        ids[one.space].append(one.memory_id)
    if not await backing.encoded(ends, timeout_s):
        return False
    try:
        for space, wanted in ids.items():
            turns = await backing.store.turns(space, wanted)
            if not all(id_ in turns and not turns[id_].hidden for id_ in wanted):
                return False
    except RetryLater:  # they are appended, and whoever is told otherwise would append them again
        return False
    return True


def _message(event: Event) -> ConversationMessage:
    assert isinstance(event.data, ConversationMessage)
    return event.data


def _memory_id(event: Event) -> str:
    return memory_id(event.space, _message(event).message_id)


def _hash(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _of_event(event: Event, offset: int) -> _Known:
    data = _message(event)
    text_hash = _hash(data.text) if data.sealed is UNSET else None
    return _Known(data.conversation, data.speaker, data.role, text_hash, event.time_ms, offset)


def _of_turn(turn: Turn) -> _Known:
    text_hash = _hash(turn.text) if turn.text else None
    return _Known(turn.conversation, turn.speaker, turn.role, text_hash, turn.time_ms, turn.position.offset)
