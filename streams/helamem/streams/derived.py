"""What a replay derives again and does not emit: hubs, to be compared with the recorded ones, and dead letters."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from helamem.schemas.errors import Poison
from helamem.schemas.events import HubFormed, RecordDeadLettered
from helamem.schemas.records import NewRecord, TopicPartition, generation_of
from helamem.schemas.topics import HUBS
from helamem.schemas.wire import Event, decode
from helamem.streams.dead_letters import dead_positions
from helamem.streams.log.port import Log

_PAGE = 1000


class HubComparison(Struct, frozen=True, kw_only=True):
    """The hubs that the replay derived, beside those in the log."""

    recorded: int
    derived: int
    missing: int
    """Recorded, but not derived again."""
    different: int
    """Derived with other content than recorded."""
    not_yet_recorded: int
    """Derived from recalls that the live processor has not come to."""


class Derived:
    """Takes what would have been emitted.

    Args:
        path: A file that keeps it, one event a line, so that a replay that was killed can go on. What is in it stands
            there before the checkpoint behind it does.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._events: dict[str, Event] = {}
        if path.exists():
            whole = path.read_bytes()
            whole = whole[: whole.rfind(b"\n") + 1]  # a kill may have torn the last line
            os.truncate(path, len(whole))
            self._events = {event.id: event for event in map(decode, whole.splitlines())}

    async def take(self, records: Sequence[NewRecord]) -> None:
        """Keep what is new among events that are not emitted."""
        new = {event.id: (event, record.value) for record in records if (event := decode(record.value))}
        new = {id_: one for id_, one in new.items() if id_ not in self._events}
        if not new:
            return
        with self._path.open("ab") as file:
            file.write(b"".join(value + b"\n" for _, value in new.values()))
            file.flush()
            os.fsync(file.fileno())
        self._events |= {id_: event for id_, (event, _) in new.items()}

    async def put_aside(self, log: Log, groups: Collection[str], ends: Mapping[TopicPartition, int]) -> int:
        """Return how many records before `ends` are passed over: they stand in the dead letters, or would go there."""
        positions = {
            (TopicPartition(event.data.topic, event.data.partition), event.data.offset)
            for event in self._events.values()
            if isinstance(event.data, RecordDeadLettered)
        }
        for group in groups:
            for partition, offsets in (await dead_positions(log, group)).items():
                positions |= {(partition, offset) for offset in offsets}
        return sum(offset < ends.get(partition, 0) for partition, offset in positions)

    async def compare(
        self, log: Log, ends: Mapping[TopicPartition, int], spaces: Collection[str] | None
    ) -> HubComparison:
        """Return how the derived hubs stand beside those that the log held at `ends`.

        Args:
            log: Where the recorded ones are.
            ends: Up to where.
            spaces: Only those of these spaces, or None for all.
        """
        derived = {id_: event for id_, event in self._events.items() if isinstance(event.data, HubFormed)}
        recorded: dict[str, tuple[TopicPartition, Event]] = {}
        for partition in await log.partitions(HUBS.name):
            offset = (await log.begin_offsets([partition]))[partition]
            while records := await log.read(partition, offset, end=ends.get(partition, 0), limit=_PAGE):
                offset = records[-1].offset + 1
                for record in records:
                    try:
                        event = decode(record.value)
                    except Poison:  # consolidation has put it aside, or will
                        continue
                    if isinstance(event.data, HubFormed) and (spaces is None or event.space in spaces):
                        recorded.setdefault(event.id, (partition, event))
        return HubComparison(
            recorded=len(recorded),
            derived=len(derived),
            missing=len(recorded.keys() - derived.keys()),
            different=sum(not _same(derived[id_], *one) for id_, one in recorded.items() if id_ in derived),
            not_yet_recorded=len(derived.keys() - recorded.keys()),
        )


def _same(derived: Event, at: TopicPartition, recorded: Event) -> bool:
    """Return whether a hub was derived as it was recorded.

    One that was formed before a migration names positions that its partition of recalls had seen in the generation of
    then; in the one that is replayed its space shares a partition with others.
    """
    assert isinstance(derived.data, HubFormed)
    assert isinstance(recorded.data, HubFormed)
    earlier = generation_of(at.topic) > HUBS.generation and not any(
        name.rpartition("/")[0].endswith(f".g{generation_of(at.topic)}") for name in recorded.data.applied
    )
    if earlier:
        derived = replace(derived, data=replace(derived.data, applied=recorded.data.applied))
    return derived == recorded
