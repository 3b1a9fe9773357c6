"""Consolidation: hubs become distilled knowledge, as new events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec import UNSET, UnsetType

from helamem.processors.consolidation.distiller import Cluster, Distiller, Statement
from helamem.processors.consolidation.settling import Settling
from helamem.processors.consolidation.told import Told
from helamem.processors.encoding.processor import GROUP as ENCODING
from helamem.processors.port import Batch, Delivery, Effects
from helamem.processors.store.port import MemoryStore
from helamem.schemas.errors import Poison, RetryLater
from helamem.schemas.events import EVERYONE, MOST_SUBJECTS, Evidence, HubFormed, KnowledgeDistilled, Subjects
from helamem.schemas.ids import derived_id, fact_id
from helamem.schemas.records import TopicPartition, base_name_of, generation_of
from helamem.schemas.topics import CONVERSATIONS, HUBS, TopicSpec
from helamem.schemas.traceparent import caused
from helamem.schemas.wire import Event

ConversationEnds = Callable[[], Awaitable[Mapping[str, int]]]
GROUP = "consolidation"
EARNEST = 0.25
"""Share of the strongest edge that a neighbour needs: weaker ones were only on the same lists now and then."""


class Consolidation:
    """The Reflective Agent: waits until a cluster's memories are there, has it distilled, and says so in the log.

    Args:
        store: Read for the cluster's memories and for how far encoding has come.
        distiller: What writes the statements.
        conversation_ends: Tells where each partition of conversations ends, by `topic/partition`. A recall says up to
            where it had read, and what it says may be wrong; nothing past the end is waited for.
        seal: Seals an event as the log would, which gives a fact another id.
    """

    group = GROUP
    topics: tuple[TopicSpec, ...] = (HUBS,)

    def __init__(
        self,
        store: MemoryStore,
        distiller: Distiller,
        conversation_ends: ConversationEnds,
        *,
        seal: Callable[[Event], Event] = lambda event: event,
    ) -> None:
        self._store = store
        self._seal = seal
        self._distiller = distiller
        self._conversation_ends = conversation_ends
        self._first_ends: Mapping[str, int] | None = None
        self._told: dict[TopicPartition, Told] = {}
        self._settling: dict[TopicPartition, Settling] = {}

    async def restore(self, partition: TopicPartition, state: bytes | None) -> None:
        """Begin again with a partition, knowing what was told of it already."""
        self._told[partition] = Told(state)
        self._settling[partition] = Settling(self._store)

    async def process(self, batch: Batch) -> Effects:
        """Return the distilled facts of the batch's hubs as events; see `Processor.process`.

        Raises:
            RetryLater: Encoding has not come as far as the hubs' recalls had seen.
        """
        counts: Counter[str] = Counter()
        hubs: list[tuple[Event, HubFormed]] = []
        for delivery in batch.deliveries:
            if not isinstance(delivery.event.data, HubFormed):
                raise Poison(f"{delivery.event.data.event_type} does not belong into {batch.partition.topic}", "type")
            hubs.append((delivery.event, delivery.event.data))
        await self._wait_for_encoding(batch.deliveries)
        clusters = [await self._cluster(event.space, hub) for event, hub in hubs]
        events: list[Event] = []
        told, settling = self._told[batch.partition], self._settling[batch.partition]
        await settling.begin()
        worth = [not self._distiller.costly or told.is_worth_it(cluster) for cluster in clusters]
        distilled = iter(
            await self._distiller.distill([one for one, wanted in zip(clusters, worth, strict=True) if wanted])
        )
        for (event, _), wanted in zip(hubs, worth, strict=True):
            fresh = await _fresh(event.space, next(distilled), told, settling) if wanted else []
            events += [self._sealed(self._event(event, statement), settling) for statement in fresh]
            counts["distilled" if fresh else "nothing-new"] += 1
        counts["facts-emitted"] = len(events)
        return Effects(events=tuple(events), state=told.to_bytes(), counts=dict(counts))

    async def again(self, hubs: Sequence[tuple[Event, HubFormed]], told: Told) -> list[Event]:
        """Return what hubs tell now that some of their memories are hidden; ids follow from hub and statement.

        Args:
            hubs: What consolidation took once.
            told: What is told already; what is told here is added.

        Raises:
            RetryLater: A remote model is away.
        """
        clusters = [await self._cluster(event.space, hub) for event, hub in hubs]
        settling = Settling(self._store)
        return [
            self._event(event, statement)
            for (event, _), statements in zip(hubs, await self._distiller.distill(clusters), strict=True)
            for statement in await _fresh(event.space, statements, told, settling)
        ]

    def _sealed(self, told: Event, settling: Settling) -> Event:
        """Seal what is told, and know it by the id that the store will have."""
        sealed = self._seal(told)
        assert isinstance(told.data, KnowledgeDistilled)
        assert isinstance(sealed.data, KnowledgeDistilled)
        settling.is_called(told.space, told.data.fact_id, sealed.data.fact_id)
        return sealed

    async def _wait_for_encoding(self, deliveries: tuple[Delivery, ...]) -> None:
        """Wait for what the recalls had seen: past `applied`, each member of a cluster exists or never will.

        Where a recall had read an older generation of the log, nobody knows any more which of today's offsets that
        was, but it is one of those that there were when this was first asked.
        """
        ends = await self._conversation_ends()
        reached = {str(p): c.position.offset for p, c in (await self._store.load_checkpoints(ENCODING)).items()}
        for delivery in deliveries:
            assert isinstance(delivery.event.data, HubFormed)
            applied: Mapping[str, int] = delivery.event.data.applied
            if any(_is_older(partition, ends) for partition in applied):
                self._first_ends = applied = self._first_ends or ends
            for partition, offset in applied.items():
                until = min(offset, ends.get(partition, 0))
                if reached.get(partition, 0) < until:
                    raise RetryLater(
                        f"hub {delivery.event.id} waits until {ENCODING} reaches offset {until} of {partition}"
                    )

    async def _cluster(self, space: str, hub: HubFormed) -> Cluster:
        enough = hub.cluster[0].weight * EARNEST
        members = [hub.memory_id, *(member.memory_id for member in hub.cluster if member.weight >= enough)]
        turns = await self._store.turns(space, members)
        there = [turns[member] for member in members if member in turns]
        readable = tuple(turn for turn in there if not (turn.hidden or turn.erased))
        return Cluster(space=space, turns=readable, strength=hub.strength)

    def _event(self, hub: Event, statement: Statement) -> Event:
        id_ = fact_id(hub.space, statement.kind, statement.text)
        event_id = derived_id("distilled", hub.id, id_)
        return Event(
            id=event_id,
            source=f"helamem/{GROUP}",
            space=hub.space,
            time_ms=hub.time_ms,
            traceparent=caused(hub.traceparent, event_id),
            data=KnowledgeDistilled(
                fact_id=id_,
                kind=statement.kind,
                text=statement.text,
                subject=statement.subject,
                valid_from=statement.valid_from_ms,
                key=statement.key or UNSET,
                value=statement.value or UNSET,
                valid_until=UNSET if statement.valid_until_ms is None else statement.valid_until_ms,
                supersedes=statement.supersedes or UNSET,
                evidence=tuple(
                    Evidence(memory_id=turn.id, content_hash=turn.content_hash) for turn in statement.evidence
                ),
                hub=hub.id,
                distiller=statement.distiller or self._distiller.name,
                confidence=UNSET if statement.confidence is None else statement.confidence,
                answer=UNSET if statement.answer is None else statement.answer,
                data_subjects=_subjects(statement),
            ),
        )


async def _fresh(space: str, statements: Sequence[Statement], told: Told, settling: Settling) -> list[Statement]:
    """Return what is new of the statements of a hub: by what is known of their slots, or else by their evidence."""
    others = told.new(space, [one for one in statements if not one.key])
    keyed = await settling.new(space, [one for one in statements if one.key])
    return [*keyed, *await settling.fuller(space, others)]


def _subjects(statement: Statement) -> Subjects | UnsetType:
    """Return whose words a statement is made of, where those were sealed."""
    named = sorted({subject for turn in statement.evidence for subject in turn.data_subjects})
    return UNSET if not named else tuple(named) if len(named) <= MOST_SUBJECTS else (EVERYONE,)


def _is_older(partition: str, ends: Mapping[str, int]) -> bool:
    """Return whether a partition is one of conversations in a generation that the log has left."""
    topic = partition.rpartition("/")[0]
    return base_name_of(topic) == CONVERSATIONS.base_name and any(
        generation_of(topic) < generation_of(current.rpartition("/")[0]) for current in ends
    )
