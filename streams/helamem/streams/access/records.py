"""Records of who looked at what, and of keys that were made or revoked."""

from __future__ import annotations

from helamem.schemas.events import KeyChanged, SpaceAccessed
from helamem.schemas.ids import derived_id
from helamem.schemas.records import NewRecord
from helamem.schemas.wire import Event
from helamem.streams.ingest.incoming import record_of

SOURCE = "helamem/gateway"
OWNER = "owner"
"""Stands for the key where the owner of a home asks."""
OF_KEYS = "helamem/keys"
"""Stands for the space where keys change: a key is for many."""
OF_ALL = "helamem/home"
"""Stands for the space where what is asked is of no single one."""


def access_record(id_: str, space: str, time_ms: int, accessed: SpaceAccessed, source: str = SOURCE) -> NewRecord:
    """Return the record of an access.

    Args:
        id_: Of the event.
        space: What was accessed.
        time_ms: When it was answered.
        accessed: By whom and how.
        source: What writes it.

    Raises:
        BadInput: There can be no such space, or there are no such words.
    """
    return record_of(Event(id=id_, source=source, space=space, time_ms=time_ms, data=accessed))


def change_event(time_ms: int, changed: KeyChanged) -> Event:
    """Return the event of a change of a key; it has the same id however often it is made."""
    id_ = derived_id("key changed", changed.change, changed.key)
    return Event(id=id_, source=SOURCE, space=OF_KEYS, time_ms=time_ms, data=changed)
