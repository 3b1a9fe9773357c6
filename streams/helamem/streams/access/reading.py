"""Reading who looked at what: the records of accesses, and the recalls, which say themselves who asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import NamedTuple

from msgspec import UNSET, Struct

from helamem.schemas.errors import Poison
from helamem.schemas.events import KeyChanged, MemoryRecalled, SpaceAccessed
from helamem.schemas.records import Record, TopicPartition
from helamem.schemas.topics import ACCESS, RECALLS
from helamem.schemas.wire import Event, decode, marker_of
from helamem.streams.access.records import OF_KEYS
from helamem.streams.log.partitioner import partition_of
from helamem.streams.log.port import Log

_PAGE = 1000
_CALLER = b'"caller"'


class Access(Struct, frozen=True, kw_only=True):
    """Somebody's access, or a change of a key."""

    time_ms: int
    event_id: str
    caller: str
    """Id of the key that was shown, or of the one that was changed; `owner` for the owner of the home."""
    space: str
    did: str
    """Method and path template, `memory.recalled.v1`, or that a key was added or revoked."""
    status: int | None = None
    item: str | None = None
    """The memory, the fact or the recall."""


async def accesses(
    log: Log,
    *,
    space: str | None = None,
    caller: str | None = None,
    since_ms: int = 0,
    most: int,
    pending: Iterable[Event] = (),
) -> list[Access]:
    """Return the newest accesses in order of their times, and recalls of callers with names among them.

    Args:
        log: The log.
        space: Only of this space.
        caller: Only by this key, and changes of it.
        since_ms: Only those since this time, milliseconds since 1970.
        most: How many.
        pending: Events that are not in the log yet.
    """
    newest = _Newest(_Wanted(space, caller, since_ms), most)
    marker = b"" if caller is None else marker_of(caller)
    for topic, needed in ((ACCESS.name, b""), (RECALLS.name, _CALLER)):
        places = await log.partitions(topic)
        if space is not None:
            places = [places[partition_of(space.encode(), len(places))]]
        async for record in _records(log, places, since_ms):
            if marker in record.value and needed in record.value:
                newest.take(_read(record))
    newest.take(*(_access(event, event.time_ms) for event in pending))
    return newest.all()


class _Wanted(NamedTuple):
    space: str | None
    caller: str | None
    since_ms: int

    def fits(self, one: Access) -> bool:
        asked = self.caller in (None, one.caller) and self.space in (None, one.space)
        return asked and one.time_ms >= self.since_ms


class _Newest:
    """Keeps the newest of what is wanted, each once."""

    def __init__(self, wanted: _Wanted, most: int) -> None:
        self._wanted = wanted
        self._most = most
        self._found: dict[str, Access] = {}

    def take(self, *found: Access | None) -> None:
        for one in found:
            if one is not None and self._wanted.fits(one):
                self._found.setdefault(one.event_id, one)
        if len(self._found) >= 2 * self._most + _PAGE:
            self._found = {one.event_id: one for one in self.all()}

    def all(self) -> list[Access]:
        # Of one moment, those of a space stay in the order of the log.
        return sorted(self._found.values(), key=lambda one: one.time_ms)[-self._most :]


async def _records(log: Log, places: Sequence[TopicPartition], since_ms: int) -> AsyncIterator[Record]:
    """Yield what was appended since a time."""
    begins, ends = await log.begin_offsets(places), await log.end_offsets(places)
    if since_ms > 0:
        begins = await log.offsets_at(places, since_ms - 1)
    for place in places:
        offset = begins[place]
        while records := await log.read(place, offset, end=ends[place], limit=_PAGE):
            offset = records[-1].offset + 1
            for record in records:
                yield record


def _read(record: Record) -> Access | None:
    try:
        return _access(decode(record.value), record.append_time_ms)
    except Poison:  # whoever reads the log for its own sake is told
        return None


def _access(event: Event, append_time_ms: int) -> Access | None:
    """Return what an event says of an access, or None where it says nothing of one."""
    match event.data:
        case SpaceAccessed() as accessed:
            return Access(
                time_ms=event.time_ms,
                event_id=event.id,
                caller=accessed.caller,
                space=event.space,
                did=accessed.endpoint,
                status=accessed.status,
                item=None if accessed.item is UNSET else accessed.item,
            )
        case KeyChanged() as changed if event.space == OF_KEYS:
            return Access(
                time_ms=event.time_ms,
                event_id=event.id,
                caller=changed.key,
                space=event.space,
                did=f"key {changed.change} for {changed.tenant}",
            )
        case MemoryRecalled() as recalled if recalled.caller is not UNSET:
            return Access(  # the time of its event is the moment that was asked about
                time_ms=append_time_ms,
                event_id=event.id,
                caller=recalled.caller,
                space=event.space,
                did=recalled.event_type,
                item=event.id,
            )
        case _:
            return None
