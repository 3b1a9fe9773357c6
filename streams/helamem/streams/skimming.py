"""Recalls of which only what lasts is read: for a replay of some spaces, of which most recalls in a partition are not.

Those are not folded, but they count in the window within which an event is known again, and hubs name their
positions. To read no more than that takes a fifteenth of the time.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from helamem.schemas.events import MemoryRecalled, MemoryReinforced, RecallSettings
from helamem.schemas.records import Record
from helamem.schemas.wire import Event

_NOTHING = RecallSettings()


class _Data(Struct):
    applied: dict[str, int] = {}


class _Skimmed(Struct):
    id: str
    type: str
    subject: str
    data: _Data


_DECODER = msgspec.json.Decoder(_Skimmed)


def skimmed(record: Record) -> Event | None:
    """Return a recall, or what was reinforced, without its query, results and time; None is to be decoded.

    Args:
        record: One that is known to be good: of others the wrong part may be read.
    """
    try:
        found = _DECODER.decode(record.value)
    except msgspec.DecodeError:
        return None
    data: MemoryRecalled | MemoryReinforced
    if found.type == MemoryRecalled.event_type:
        data = MemoryRecalled(query="", as_of=0, results=(), settings=_NOTHING, applied=found.data.applied)
    elif found.type == MemoryReinforced.event_type:
        data = MemoryReinforced(recall_id="", memory_ids=())
    else:
        return None
    return Event(id=found.id, source="", space=found.subject, time_ms=0, data=data)
