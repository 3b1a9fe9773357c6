"""Encoding: messages become memories, distilled facts become recallable, control events hide and show both."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence

from msgspec import UNSET
from msgspec.structs import replace

from helamem.processors.answers import NotRecorded, missing_record
from helamem.processors.embedder.port import AsyncEmbedder, Embedder, embedded
from helamem.processors.encoding.content import content_hash, spoken, statement_id, vector_hash
from helamem.processors.encoding.facts import subjects_sealed, told_again, told_once
from helamem.processors.encoding.reading import Reading, ReadingEmbedder, Said, read
from helamem.processors.encoding.sources import Sources
from helamem.processors.encoding.state import EncodingState
from helamem.processors.encoding.tails import Conversation, Tails
from helamem.processors.encoding.unsealing import NO_CLAIM, Erased, NoKeys, Unsealer
from helamem.processors.port import Batch, Delivery, Effects
from helamem.processors.store.port import (
    CollectionName,
    Fact,
    FactRecord,
    Mark,
    Memory,
    MemoryStore,
    Origin,
    Turn,
    Vector,
    Writes,
)
from helamem.processors.store.tombstones import erased_fact, erased_turn, no_direction
from helamem.schemas.errors import ConfigurationError, Poison
from helamem.schemas.events import (
    ConversationMessage,
    EventData,
    KnowledgeDistilled,
    KnowledgeRetracted,
    MemoryForgotten,
    MemoryRestored,
    SettingsApplied,
    SubjectErased,
)
from helamem.schemas.ids import memory_id
from helamem.schemas.records import Position, TopicPartition, base_name_of
from helamem.schemas.settings import LOGIC_VERSION, Settings
from helamem.schemas.topics import CONTROL, CONVERSATIONS, FACTS, TopicSpec
from helamem.schemas.traceparent import caused

GROUP = "encoding"
_MARKED: dict[type[EventData], str] = {
    KnowledgeRetracted: "retracted",
    MemoryForgotten: "forgotten",
    MemoryRestored: "restored",
    SubjectErased: "erased",
}
"""How marks are counted."""


async def _nothing() -> None:
    """Look nowhere: all that is erased is known from the beginning, or comes by the one who reads it."""


class Encoding:
    """The one writer of memories and facts.

    Args:
        store: Read for what exists already and for earlier turns; never written here.
        embedder: What gives the vectors.
        settings: In force until a partition's first `settings.applied`.
        spaces: Encode only what is of these spaces; None encodes all.
        re_embed: Take this embedder whatever the settings in the log say; the projection says so from then on.
        unsealer: Opens what is sealed; without one a sealed record is refused.
        erased: What is known to be erased later in the log; what is read meanwhile is added.
        look: Brings `erased` up to date; asked before each batch, where erasures stand in partitions of others.
        sources: Looks, in a replay, whether what models wrote stands in their recorded answers; None looks at nothing.
    """

    group = GROUP
    topics: tuple[TopicSpec, ...] = (CONVERSATIONS, FACTS, CONTROL)

    def __init__(
        self,
        store: MemoryStore,
        embedder: Embedder | AsyncEmbedder,
        settings: Settings,
        *,
        spaces: Collection[str] | None = None,
        re_embed: bool = False,
        unsealer: Unsealer | None = None,
        erased: Erased | None = None,
        look: Callable[[], Awaitable[None]] = _nothing,
        sources: Sources | None = None,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._configured = settings
        self._spaces = spaces
        self._instead = embedder.name if re_embed else None
        self._unsealer = unsealer or NoKeys()
        self._erased = erased or Erased()
        self._look = look
        self._sources = sources
        self._states: dict[TopicPartition, EncodingState] = {}
        self._tails: dict[TopicPartition, Tails] = {}
        # Reading is the interpreter's work, not another machine's: side by side it takes as long, and a recall would
        # have to wait for all of them at each of its steps.
        self._reads_alone = asyncio.Lock()

    async def restore(self, partition: TopicPartition, state: bytes | None) -> None:
        """Begin again with a partition: settings and seen events from the state, earlier turns from the store."""
        self._states[partition] = EncodingState.of(state, self._configured, self._instead)
        self._tails[partition] = Tails(self._store, from_start=state is None)

    async def process(self, batch: Batch) -> Effects:
        """Return the memories, facts and marks of a batch; see `Processor.process`."""
        await self._look()
        counts: Counter[str] = Counter()
        state = self._states[batch.partition]
        messages: list[tuple[Delivery, ConversationMessage]] = []
        statements: list[tuple[Delivery, KnowledgeDistilled]] = []
        marks: list[Mark] = []
        belonging = _events_of(batch.partition)
        for delivery in batch.deliveries:
            if not isinstance(delivery.event.data, belonging):
                raise Poison(f"{delivery.event.data.event_type} does not belong into {batch.partition.topic}", "type")
            wanted = self._spaces is None or delivery.event.space in self._spaces
            if isinstance(delivery.event.data, ConversationMessage):
                if wanted:
                    messages.append((delivery, delivery.event.data))
                continue
            verdict, _ = state.seen.admit(delivery.event.id, delivery.value)
            if verdict != "accepted":
                counts[verdict] += 1
                continue
            if not wanted and not isinstance(delivery.event.data, SettingsApplied):
                continue
            match delivery.event.data:
                case SettingsApplied() as data:
                    self._apply(batch.partition, data.settings, after_messages=bool(messages))
                case KnowledgeDistilled() as data:
                    _check_fact_id(delivery.event.space, data)
                    statements.append((delivery, data))
                case KnowledgeRetracted() | MemoryForgotten() | MemoryRestored() | SubjectErased() as data:
                    said = self._marks(delivery, data)
                    counts[_MARKED[type(data)]] += len(said)
                    marks += said
                case data:
                    raise AssertionError(f"{data.event_type} is in a topic of encoding and is not encoded")
        self._check(batch.partition)
        memories = await self._memories(batch.partition, messages, counts)
        facts, amendments = await self._facts(batch.partition, statements)
        counts["encoded"] += len(memories)
        counts["facts"] += len(facts)
        counts["amended"] += len(amendments)
        return Effects(
            writes=Writes(
                memories=tuple(memories), facts=tuple(facts), amendments=tuple(amendments), marks=tuple(marks)
            ),
            state=state.to_bytes(),
            counts=dict(counts),
        )

    def _apply(self, partition: TopicPartition, settings: Settings, *, after_messages: bool) -> None:
        if after_messages:  # they are embedded by what was in force before
            self._check(partition)
        self._states[partition].take(settings)

    def _check(self, partition: TopicPartition) -> None:
        settings = self._states[partition].settings
        if settings.logic_version > LOGIC_VERSION:
            raise ConfigurationError(
                f"{partition} is folded by rules number {settings.logic_version}, this version knows {LOGIC_VERSION}; "
                "install a newer helamem"
            )
        if settings.encoding.embedder != self._embedder.name:
            raise ConfigurationError(
                f"{partition} is embedded by {settings.encoding.embedder}, not by {self._embedder.name}; "
                "choose that embedder, or replay the log into another home with yours"
            )

    async def _memories(
        self,
        partition: TopicPartition,
        messages: Sequence[tuple[Delivery, ConversationMessage]],
        counts: Counter[str],
    ) -> list[Memory]:
        """Return the memories of messages that are the first with their id, in order."""
        ids = [memory_id(delivery.event.space, message.message_id) for delivery, message in messages]
        known = await self._store.origins(list(dict.fromkeys(ids)))
        fresh: list[tuple[str, str, Delivery, ConversationMessage]] = []
        for id_, (delivery, message) in zip(ids, messages, strict=True):
            hash_ = content_hash(message, delivery.event.time_ms)
            first = known.get(id_)
            if first is None or first.position == delivery.position:
                # Absent, or this very record once more after a crash: the same words give the same memory.
                known[id_] = Origin(content_hash=hash_, position=delivery.position)
                fresh.append((id_, hash_, delivery, message))
            else:
                counts["duplicate" if first.content_hash == hash_ else "conflict"] += 1
        if not fresh:
            return []
        words = [
            None if self._erased.has(delivery.event.space, id_) else self._unsealer.open(delivery.event)
            for id_, _, delivery, _ in fresh
        ]
        said = [
            None if text is None else Said(message.speaker, text, message.sealed is not UNSET)
            for (*_, message), text in zip(fresh, words, strict=True)
        ]
        tails = self._tails[partition]
        firsts: dict[Conversation, Position] = {}
        for _, _, delivery, message in fresh:
            firsts.setdefault((delivery.event.space, message.conversation), delivery.position)
        places = [(delivery.position, f"the message {message.message_id}") for _, _, delivery, message in fresh]
        found, _ = await asyncio.gather(self._read(partition, said, places), tails.look_up(firsts))
        memories = []
        for (id_, hash_, delivery, message), one, (vector, reading) in zip(fresh, said, found, strict=True):
            space = delivery.event.space
            earlier = tails.before(space, message.conversation)
            turn = Turn(
                id=id_,
                space=space,
                message_id=message.message_id,
                conversation=message.conversation,
                turn=earlier[-1].turn + 1 if earlier else 0,
                previous=earlier[-1].id if earlier else None,
                speaker=message.speaker,
                role=message.role,
                text="" if one is None else one.text,
                time_ms=delivery.event.time_ms,
                keywords=reading.keywords,
                content_hash=hash_,
                vector_hash=vector_hash(vector),
                position=delivery.position,
                traceparent=caused(delivery.event.traceparent, id_),
                data_subjects=subjects_sealed(message),
                claims=reading.claims,
            )
            turn = turn if one is not None else erased_turn(turn)
            tails.add(turn)
            memories.append(Memory(turn=turn, dense=vector, lexical=_embedded_of(one)))
        return memories

    async def _read(
        self, at: TopicPartition, said: Sequence[Said | None], places: Sequence[tuple[Position, str]]
    ) -> list[tuple[Vector, Reading]]:
        """Return the vectors of messages and what is read of them; None is one whose words are erased."""
        if isinstance(self._embedder, ReadingEmbedder):
            there = [one for one in said if one is not None]
            async with self._reads_alone:
                vectors, readings = await asyncio.to_thread(self._embedder.embed_and_read, there)
            given = iter(zip(vectors, readings, strict=True))
            return [self._nothing() if one is None else next(given) for one in said]
        embedded_ = await self._embed(at, [_embedded_of(one) for one in said], places)
        return [
            self._nothing() if one is None else (vector, read(one)) for one, vector in zip(said, embedded_, strict=True)
        ]

    def _nothing(self) -> tuple[Vector, Reading]:
        return no_direction(self._embedder.dimension), Reading((), ())

    async def _embed(
        self, at: TopicPartition, texts: Sequence[str], places: Sequence[tuple[Position, str]]
    ) -> Sequence[Vector]:
        """Return the vectors of texts; `places` says for each where it stands and what it is of.

        A text is empty where its words are erased, and then nobody is asked for it.
        """
        there = [number for number, text in enumerate(texts) if text]
        try:
            given = iter(await embedded(self._embedder, [texts[number] for number in there]) if there else ())
        except NotRecorded as missing:
            position, whose = places[there[missing.place]]
            raise missing_record(missing.question, whose, at, position.offset) from None
        nothing = no_direction(self._embedder.dimension)
        return [next(given) if text else nothing for text in texts]

    async def _facts(
        self, at: TopicPartition, statements: Sequence[tuple[Delivery, KnowledgeDistilled]]
    ) -> tuple[list[Fact], list[FactRecord]]:
        """Return the facts that are new, and those that are told once more, each with what it is by then.

        A fact that stands at a later position, or at this one, has this event in it already.
        """
        if not statements:
            return [], []
        known = await self._known_facts(statements)
        fresh: list[tuple[FactRecord, str, Delivery]] = []
        amendments: list[FactRecord] = []
        read: list[tuple[Position, KnowledgeDistilled, str]] = []
        for delivery, fact in statements:
            space = delivery.event.space
            earlier = known.get((space, fact.fact_id))
            if earlier is not None and earlier.position >= delivery.position:
                continue
            text = "" if self._erased.has(space, fact.fact_id) else self._unsealer.open(delivery.event) or ""
            read.append((delivery.position, fact, text))
            record = told_once(delivery, fact, text, self._unsealer.claim(delivery.event) if text else NO_CLAIM)
            if earlier is None:
                fresh.append((record, text, delivery))
            else:
                record = told_again(earlier, record)
                if self._erased.has(space, fact.fact_id):  # its words may be there still, and are about to go
                    record = erased_fact(record)
                amendments.append(record)
            known[space, fact.fact_id] = record
        if self._sources is not None:
            await self._sources.check(at, read)
        places = [(delivery.position, f"the fact {record.id}") for record, _, delivery in fresh]
        vectors = await self._embed(at, [text for _, text, _ in fresh], places) if fresh else ()
        facts = []
        hashes: dict[tuple[str, str], str] = {}
        for (record, text, _), vector in zip(fresh, vectors, strict=True):
            whole = replace(record, vector_hash=vector_hash(vector))
            whole = whole if text else erased_fact(whole)
            hashes[record.space, record.id] = whole.vector_hash
            facts.append(Fact(record=whole, dense=vector, lexical=text))
        return facts, [replace(one, vector_hash=hashes.get((one.space, one.id), one.vector_hash)) for one in amendments]

    async def _known_facts(
        self, statements: Sequence[tuple[Delivery, KnowledgeDistilled]]
    ) -> dict[tuple[str, str], FactRecord]:
        by_space: dict[str, list[str]] = {}
        for delivery, fact in statements:
            by_space.setdefault(delivery.event.space, []).append(fact.fact_id)
        return {
            (space, id_): record
            for space, ids in by_space.items()
            for id_, record in (await self._store.facts(space, list(dict.fromkeys(ids)))).items()
        }

    def _marks(
        self, delivery: Delivery, data: KnowledgeRetracted | MemoryForgotten | MemoryRestored | SubjectErased
    ) -> list[Mark]:
        """Return what a control event or a retraction says of each of its targets.

        What was erased before stays hidden. A restoration that stands before an erasure counts, so that a moment
        between the two is what it was.
        """
        if isinstance(data, KnowledgeRetracted):
            return [_mark(delivery, "facts", data.fact_id, hidden=True)]
        space = delivery.event.space
        if isinstance(data, SubjectErased):  # its facts are retracted by events in their own topic
            self._erased.note(space, data, delivery.position)
        hidden = not isinstance(data, MemoryRestored)
        return [
            _mark(delivery, "memories", target, hidden=hidden)
            for target in data.memory_ids
            if hidden or not self._erased.before(space, target, delivery.position)
        ]


def _embedded_of(said: Said | None) -> str:
    return "" if said is None else spoken(said.speaker, said.text)


def _events_of(partition: TopicPartition) -> tuple[type[EventData], ...]:
    """Return the types that belong into a partition: positions of two topics are not to be compared."""
    base_name = base_name_of(partition.topic)
    return next(spec.events for spec in Encoding.topics if spec.base_name == base_name)


def _check_fact_id(space: str, fact: KnowledgeDistilled) -> None:
    """Refuse a fact under another statement's id, which might be one of another space."""
    if fact.fact_id != statement_id(space, fact):
        raise Poison(
            "is not the id of this statement in this space; derive it from space, kind and text", "data.fact_id"
        )


def _mark(delivery: Delivery, collection: CollectionName, target: str, *, hidden: bool) -> Mark:
    return Mark(
        collection=collection,
        space=delivery.event.space,
        target=target,
        hidden=hidden,
        position=delivery.position,
    )
