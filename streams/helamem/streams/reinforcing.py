"""Saying of a recall what was of use: the recall is found in the log by its id, with what was said of it before."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

from helamem.processors.coactivation.reinforcing import reinforcement
from helamem.schemas.errors import BadInput, Conflict, NotFound, Poison
from helamem.schemas.events import MemoryRecalled, MemoryReinforced
from helamem.schemas.ids import derived_id
from helamem.schemas.records import Record, TopicPartition
from helamem.schemas.topics import RECALLS
from helamem.schemas.wire import Event, decode, marker_of
from helamem.streams.log.partitioner import partition_of
from helamem.streams.log.port import Log

_FIRST_PAGE = 50
_PAGE = 1000


class FoundRecall(NamedTuple):
    """A recall in the log."""

    event: Event
    recalled: MemoryRecalled
    reinforced: dict[str, MemoryReinforced]
    """What was said of it, by the ids of events."""

    def reinforcement(self, memory_ids: Sequence[str]) -> MemoryReinforced:
        """Return the event data that says which memories were of use.

        Raises:
            BadInput: It did not return them.
        """
        returned = {result.id for result in self.recalled.results if result.kind == "memory"}
        if foreign := [id_ for id_ in memory_ids if id_ not in returned]:
            raise BadInput(
                f"the recall {self.event.id} did not return the memory {foreign[0]}; name memories that it did"
            )
        return reinforcement(self.event.id, self.recalled, memory_ids)

    def id_by(self, idempotency_key: str) -> str:
        """Return the id of the event that says it under a key."""
        return derived_id("reinforced", self.event.space, self.event.id, idempotency_key)

    def was_said(self, id_: str, memory_ids: Sequence[str]) -> bool:
        """Return whether an event of this id says it of these memories already.

        Raises:
            Conflict: It says it of others.
        """
        said = self.reinforced.get(id_)
        if said is None:
            return False
        if set(said.memory_ids) != set(memory_ids):
            raise Conflict(
                f"the idempotency key was used for other memories of the recall {self.event.id}; give what is new a "
                "key of its own"
            )
        return True


async def find_recall(log: Log, recall_id: str, space: str | None) -> FoundRecall:
    """Return a recall and what reinforced it, looking from the end of the log backwards.

    Args:
        log: The log.
        recall_id: Its id.
        space: Its space, where that is known: saves looking through the partitions of others.

    Raises:
        NotFound: The log holds no such recall.
        RetryLater: It is away.
    """
    marker = marker_of(recall_id)
    reinforced: dict[str, MemoryReinforced] = {}
    partitions = await log.partitions(RECALLS.name)
    if space is not None:
        partitions = [partitions[partition_of(space.encode(), len(partitions))]]
    for partition in partitions:
        async for record in _backwards(log, partition):
            if marker in record.value and (space is None or record.key == space.encode()):
                try:
                    event = decode(record.value)
                except Poison:
                    continue
                if event.id == recall_id and isinstance(event.data, MemoryRecalled):
                    return FoundRecall(event, event.data, reinforced)
                if isinstance(event.data, MemoryReinforced) and event.data.recall_id == recall_id:
                    reinforced[event.id] = event.data  # of two with an id the first counts, which comes last
    raise NotFound(f"the log holds no recall {recall_id}; recall first, and not with --no-emit")


async def _backwards(log: Log, partition: TopicPartition) -> AsyncGenerator[Record]:
    """Yield the records of a partition, the last one first."""
    begin, end = (await log.begin_offsets([partition]))[partition], (await log.end_offsets([partition]))[partition]
    limit = _FIRST_PAGE  # what is looked for was mostly appended just before
    while end > begin:
        start = offset = max(begin, end - limit)
        page: list[Record] = []
        while records := await log.read(partition, offset, end=end, limit=_PAGE):  # one read may bring fewer
            page += records
            offset = records[-1].offset + 1
        for record in reversed(page):
            yield record
        end, limit = start, min(_PAGE, 2 * limit)
