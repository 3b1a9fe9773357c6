"""What the log says was erased, known before anything else of it is read."""

from __future__ import annotations

from helamem.processors.encoding.unsealing import Erased
from helamem.schemas.errors import Poison
from helamem.schemas.events import SubjectErased
from helamem.schemas.records import Position, generation_of
from helamem.schemas.topics import CONTROL
from helamem.schemas.wire import decode
from helamem.streams.log.port import Log
from helamem.streams.placement import check_place

_PAGE = 1000
_MARKER = b"subject.erased"


async def read_erased(log: Log) -> Erased:
    """Return all that was ever erased, up to the end of the log: also a moment before it has no words any more."""
    erased = Erased()
    partitions = await log.partitions(CONTROL.name)
    begins = await log.begin_offsets(partitions)
    for partition in partitions:
        offset, generation = begins[partition], generation_of(partition.topic)
        while records := await log.read(partition, offset, limit=_PAGE):
            offset = records[-1].offset + 1
            for record in records:
                if _MARKER not in record.value:
                    continue
                try:
                    event = decode(record.value)
                    check_place(partition, record.key, event, len(partitions))
                except Poison:  # encoding puts it aside
                    continue
                if isinstance(event.data, SubjectErased):
                    erased.note(event.space, event.data, Position(generation, record.offset))
    return erased
