"""What the log says was erased, known before anything else of it is read."""

from __future__ import annotations

import asyncio

from helamem.processors.encoding.unsealing import Erased
from helamem.schemas.errors import Poison
from helamem.schemas.events import SubjectErased
from helamem.schemas.records import Position, Record, TopicPartition, generation_of
from helamem.schemas.topics import CONTROL
from helamem.schemas.wire import decode
from helamem.streams.log.port import Log
from helamem.streams.placement import check_place

_PAGE = 1000
_MARKER = b"subject.erased"


async def read_erased(*logs: Log) -> Erased:
    """Return all that was ever erased, up to the end of the log: also a moment before it has no words any more.

    Args:
        logs: The log, and what it became in later generations: an earlier one does not hear of erasures in these.
    """
    erased = Erased()
    for log in logs:
        await Erasures(log, erased).look()
    return erased


class Erasures:
    """Reads what a log says was erased, from its beginning, and later what came since.

    Args:
        log: The log.
        erased: What is noted in.
    """

    def __init__(self, log: Log, erased: Erased) -> None:
        self._log = log
        self._erased = erased
        self._next: dict[TopicPartition, int] = {}
        self._one_at_a_time = asyncio.Lock()

    async def look(self) -> None:
        """Read up to what is the end of the log when this is called.

        Raises:
            RetryLater: The log is away.
        """
        async with self._one_at_a_time:
            partitions = await self._log.partitions(CONTROL.name)
            if not self._next:
                self._next = await self._log.begin_offsets(partitions)
            ends = await self._log.end_offsets(partitions)
            for at in partitions:
                while self._next[at] < ends[at]:
                    records = await self._log.read(at, self._next[at], end=ends[at], limit=_PAGE)
                    if not records:
                        break
                    for record in records:
                        self._take(record, at, len(partitions))
                    self._next[at] = records[-1].offset + 1

    def _take(self, record: Record, at: TopicPartition, partitions: int) -> None:
        if _MARKER not in record.value:
            return
        try:
            event = decode(record.value)
            check_place(at, record.key, event, partitions)
        except Poison:  # encoding puts it aside
            return
        if isinstance(event.data, SubjectErased):
            self._erased.note(event.space, event.data, Position(generation_of(at.topic), record.offset))
            self._erased.note_time(event.space, record.append_time_ms)
