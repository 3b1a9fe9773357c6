"""A partition of recalls in memory, and a driver that feeds it to co-activation the way the pump does."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from fakes.edge_rows import FakeStore
from helamem.processors.coactivation.processor import CoActivation
from helamem.processors.port import Batch, Delivery, Effects
from helamem.processors.store.port import Writes
from helamem.schemas.events import EventData, MemoryRecalled, MemoryReinforced, RecalledResult, RecallSettings
from helamem.schemas.ids import id_text
from helamem.schemas.records import Position, TopicPartition
from helamem.schemas.settings import Settings
from helamem.schemas.topics import RECALLS
from helamem.schemas.wire import Event, encode

PARTITION = TopicPartition(RECALLS.name, 0)


def memory(number: int) -> str:
    """Return a memory id; numbers that differ by 8 share their first eight bytes, as ids may."""
    return id_text((number % 8 << 56).to_bytes(8) + number.to_bytes(8))


def event(event_id: str, data: EventData, time_ms: int, space: str = "t/a") -> Event:
    """Return an event from nowhere."""
    return Event(id=event_id, source="test", space=space, time_ms=time_ms, data=data)


def recalled(
    event_id: str,
    memories: Sequence[int],
    time_ms: int,
    space: str = "t/a",
    *,
    facts: Sequence[int] = (),
    applied: dict[str, int] | None = None,
) -> Event:
    """Return a recall that found these memories and facts."""
    results = tuple(
        RecalledResult(id=memory(number), kind="memory", path="base", score=0.5, base=0.5) for number in memories
    ) + tuple(RecalledResult(id=memory(number), kind="fact", path="fact", score=0.5, base=0.5) for number in facts)
    data = MemoryRecalled(
        query="what?", as_of=time_ms, results=results, settings=RecallSettings(), applied=applied or {}
    )
    return event(event_id, data, time_ms, space)


def reinforced(
    event_id: str, memories: Sequence[int], time_ms: int, space: str = "t/a", *, cue: int | None = None
) -> Event:
    """Return what an agent says that it used, and what the question found first."""
    data = MemoryReinforced(
        recall_id="r", memory_ids=tuple(map(memory, memories)), cue=UNSET if cue is None else memory(cue)
    )
    return event(event_id, data, time_ms, space)


def deliveries(log: Sequence[Event], start: int = 0) -> tuple[Delivery, ...]:
    """Return events as records from offset `start` on."""
    return tuple(
        Delivery(position=Position(1, offset), event=one, value=encode(one)) for offset, one in enumerate(log, start)
    )


class Driver:
    """Co-activation with its store, its checkpoint and what it published (the first with an id counts)."""

    def __init__(self, settings: Settings, cached_rows: int = 1000) -> None:
        self.store = FakeStore()
        self.published: dict[str, Event] = {}
        self.offset = 0
        self.state: bytes | None = None
        self._settings = settings
        self._cached_rows = cached_rows
        self._processor: CoActivation | None = None

    async def start(self) -> None:
        """Begin, or begin again in a new process, from the checkpoint."""
        self._processor = CoActivation(self.store.as_store(), self._settings, self._cached_rows)
        await self._processor.restore(PARTITION, self.state)

    async def fold(self, log: Sequence[Event]) -> Effects:
        """Fold a batch and apply all that it causes."""
        effects = await self._process(log)
        await self.store.write(effects.writes)
        self.offset += len(log)
        self.state = effects.state
        return effects

    async def crash(self, log: Sequence[Event], written: Sequence[bool]) -> None:
        """Fold a batch, apply its hubs and some of its writes, lose the checkpoint, and begin again."""
        effects = await self._process(log)
        keep = [row for number, row in enumerate(effects.writes.edges) if written[number % len(written)]]
        await self.store.write(Writes(edges=tuple(keep)))
        await self.start()

    async def _process(self, log: Sequence[Event]) -> Effects:
        if self._processor is None:
            await self.start()
        assert self._processor is not None
        end = Position(1, self.offset + len(log))
        batch = Batch(partition=PARTITION, deliveries=deliveries(log, self.offset), end=end)
        effects = await self._processor.process(batch)
        for one in effects.events:
            assert self.published.setdefault(one.id, one) == one, "the same id must be the same event"
        return effects

    def content(self) -> dict[tuple[str, str], tuple[bytes, int]]:
        """Return what a digest would see of the rows: no positions."""
        return {key: (row.neighbours, row.hub_formed_ms) for key, row in self.store.rows.items()}
