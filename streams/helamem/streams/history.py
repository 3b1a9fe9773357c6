"""The history of one space: all that changed its graph and its facts, in the order in which the log took it.

Topics are not ordered against each other; their records are merged by append time, and those of the same millisecond
by topic: so what stands in the log up to a moment is what is told up to it.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Self

from msgspec import Struct

from helamem.processors.history.changes import Change, LinksChanged
from helamem.processors.history.folding import Folding
from helamem.processors.port import Delivery
from helamem.schemas.errors import BadInput
from helamem.schemas.records import Record, TopicPartition, generation_of
from helamem.schemas.topics import CONTROL, CONVERSATIONS, FACTS, HUBS, RECALLS, TopicSpec
from helamem.streams.lineage.reader import LogReader

TOPICS = (CONVERSATIONS, RECALLS, HUBS, FACTS, CONTROL)
"""What is merged; of the same millisecond in this order, in which one thing causes the other."""
_WHOLE = (RECALLS, FACTS, CONTROL)
"""Where what a processor takes depends on the ids that the whole partition has seen."""
MOST_EDGES = 20_000
"""Edges after which a page ends: some 3 MB."""
MOST_RECORDS = 10_000
"""Records, of whatever space, after which a page ends: so that one request neither takes the machine for long, nor
keeps the memory open for long when an erasure wants it closed."""
_BREATH = 16
"""Records between which others of the process get their turn."""


class Page(Struct, frozen=True, kw_only=True):
    """Some changes that follow each other."""

    changes: list[Change]
    more: bool
    """Whether more may follow that are in the log already."""


class Walk:
    """Goes through the history of a space, page by page; made by `Walk.begin`.

    Args:
        places: The partition of each topic in which the space stands.
        folding: What the records before came to.
        erased_ms: When something of the space was erased last, as far as the walk knows; -1 where nothing was.
    """

    def __init__(
        self, space: str, places: Mapping[TopicSpec, TopicPartition], folding: Folding, erased_ms: int = -1
    ) -> None:
        self._space = space
        self._places = places
        self._folding = folding
        self.erased_ms = erased_ms
        self._next = dict.fromkeys(places, 0)

    @classmethod
    async def begin(cls, reader: LogReader, space: str) -> Self:
        """Begin at the first record."""
        places = {topic: await reader.place(topic, space) for topic in TOPICS}
        folding = Folding(space, reader.settings, erased=reader.erased, words=reader.words)
        return cls(space, places, folding, reader.erased.seen(space))

    @property
    def positions(self) -> list[int]:
        """Where it is: the generation of the log, and per topic the offset of the next record."""
        return [generation_of(self._places[CONVERSATIONS].topic), *(self._next[topic] for topic in TOPICS)]

    async def skip(self, reader: LogReader, positions: list[int]) -> None:
        """Go to where another walk was, from the beginning of the log: all of it up to there is folded again.

        Raises:
            BadInput: No walk of this log can have been there.
        """
        generation, *offsets = positions
        if generation != self.positions[0]:
            raise BadInput("the log was migrated since that page; leave the cursor out to begin at the beginning")
        ends = dict(zip(TOPICS, offsets, strict=True))
        if any(not 0 <= end <= reader.end_of(self._places[topic]) for topic, end in ends.items()):
            raise BadInput("the cursor is none that this list gave; leave it out to begin at the beginning")
        async with aclosing(self._records(reader, ends)) as records:
            async for topic, _, delivery in records:
                if delivery is not None:
                    self._folding.skip(topic, delivery)
        self._next = ends

    async def page(self, reader: LogReader, limit: int) -> Page:
        """Go on, up to the end of the log or of the page, which also ends after `MOST_RECORDS`, be it empty.

        Args:
            reader: The log.
            limit: Changes after which the page ends; those of one event are not parted.
        """
        changes: list[Change] = []
        edges = taken = 0
        async with aclosing(self._records(reader)) as records:
            async for topic, record, delivery in records:
                full = len(changes) >= limit or edges >= MOST_EDGES
                theirs = delivery is not None and delivery.event.space == self._space
                if (full and theirs) or taken >= MOST_RECORDS:
                    return Page(changes=changes, more=True)
                taken += 1
                self._next[topic] = record.offset + 1
                if delivery is not None:
                    told = self._folding.tell(topic, record.append_time_ms, delivery)
                    changes += told
                    edges += sum(len(one.edges) + len(one.pruned) for one in told if isinstance(one, LinksChanged))
        return Page(changes=changes, more=False)

    async def _records(
        self, reader: LogReader, ends: Mapping[TopicSpec, int] | None = None
    ) -> AsyncGenerator[tuple[TopicSpec, Record, Delivery | None]]:
        """Yield what comes next, of all topics."""
        key = self._space.encode()
        streams = [
            reader.records(
                place,
                topic,
                self._next[topic],
                None if ends is None else ends[topic],
                key=b"" if topic in _WHOLE else key,
            )
            for topic, place in self._places.items()
        ]
        try:
            heads: list[tuple[int, int, Record, Delivery | None]] = []
            for rank, stream in enumerate(streams):
                async for record, delivery in stream:
                    heads.append((record.append_time_ms, rank, record, delivery))
                    break
            heapq.heapify(heads)
            number = 0
            while heads:
                _, rank, record, delivery = heads[0]
                yield TOPICS[rank], record, delivery
                number += 1
                if number % _BREATH == 0:
                    await asyncio.sleep(0)
                following = await anext(streams[rank], None)
                if following is None:
                    heapq.heappop(heads)
                else:
                    heapq.heapreplace(heads, (following[0].append_time_ms, rank, *following))
        finally:
            for stream in streams:
                await stream.aclose()
