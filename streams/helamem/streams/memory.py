"""`Memory`: what is asked of a log and the store that is made of it, be it of a home or of a fleet."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from types import TracebackType
from typing import Self

import msgspec
from msgspec import UNSET, Struct

from helamem.processors.digest import Digest, digest
from helamem.processors.profile.profile import Profile, profile
from helamem.processors.recall.context import BUDGET, Context, context_of
from helamem.processors.recall.hits import Hit
from helamem.processors.recall.recall import Recall
from helamem.processors.reranker.port import Reranker
from helamem.processors.store.by_time import settled
from helamem.processors.store.port import EdgeRow, FactRecord, Said, Turn
from helamem.schemas.events import (
    MAX_INTEGER,
    ConversationMessage,
    EventData,
    MemoryForgotten,
    MemoryRecalled,
    MemoryRestored,
    RecallSettings,
)
from helamem.schemas.ids import memory_id
from helamem.schemas.records import Position, TopicPartition
from helamem.schemas.settings import ForgettingPolicy
from helamem.schemas.times import to_ms
from helamem.schemas.topics import CONVERSATIONS, RECALLS
from helamem.schemas.wire import Event
from helamem.streams.appending import Admitting, Appended, Appending, Offered, searchable
from helamem.streams.backing import Backing
from helamem.streams.forgetting.decision import Decision
from helamem.streams.forgetting.run import Forgetting
from helamem.streams.home import wall_clock_ms
from helamem.streams.ingest.incoming import record_of
from helamem.streams.links import Link, links_of
from helamem.streams.messages import SOURCE, Message, event_of
from helamem.streams.metrics.recalling import RecallMeter
from helamem.streams.recall_trail import RecallAudit, RecallTrail
from helamem.streams.reinforcing import find_recall

_LAST_TURNS = 1000
_NEWEST = Position(MAX_INTEGER, MAX_INTEGER)
"""Behind every record."""


class Recalled(Struct, frozen=True, kw_only=True):
    """The answer to a recall."""

    recall_id: str
    """What `reinforce` wants to know."""
    space: str
    query: str
    as_of_ms: int
    hits: tuple[Hit, ...]
    recorded: bool
    """Whether the `memory.recalled` event is in the log, or where answers do not wait for that on its way there."""
    context: Context | None = None
    """The hits as a block for a prompt, where that was asked for."""


class Memory:
    """A memory in whatever log and store; an async context manager.

    Args:
        instance: What it works on.
        clock: Milliseconds since 1970.
        new_id: Makes ids of recalls and of messages that have none.
        reranker: Puts the best memories of a recall in order, or None.
        recall_audit: Whether answers to recalls wait until their events are in the log.

    Attributes:
        forgetting: What hides memories and brings them back.
    """

    def __init__(
        self,
        instance: Backing,
        clock: Callable[[], int] = wall_clock_ms,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        *,
        reranker: Reranker | None = None,
        recall_audit: RecallAudit = "strict",
    ) -> None:
        self.instance: Backing = instance
        self._clock = clock
        self._new_id = new_id
        meter = None if instance.metrics is None else RecallMeter(instance.metrics)
        self._tracing = instance.tracing
        self._recall = Recall(
            self._tracing.store(instance.store if meter is None else meter.store(instance.store)),
            self._tracing.embedder(instance.embedder if meter is None else meter.embedder(instance.embedder)),
            instance.settings.hebbian,
            reranker=reranker,
        )
        self._appending = Appending(instance.log, instance.store, sole_writer=instance.sole_writer)
        self._recalls = RecallTrail(instance.log, recall_audit, instance.metrics)
        self._measured = nullcontext if meter is None else meter.recall
        self._timed = nullcontext if meter is None else meter.timed
        self.forgetting = Forgetting(
            instance.store, instance.log, instance.settings, new_id=new_id, sending=self._sending
        )

    async def append(self, messages: Sequence[Message]) -> list[str]:
        """Append messages to the log and return the ids of their memories; durable on return, searchable later.

        Raises:
            BadInput: A message is not valid; none of them was appended.
            RetryLater: The log cannot be written now.
        """
        with self._sending(CONVERSATIONS.name, {message.space for message in messages}, len(messages)) as traceparent:
            events = [self._message(message, traceparent) for message in messages]
            await self.instance.log.append([record_of(event) for event in events])
        return [
            memory_id(event.space, event.data.message_id)
            for event in events
            if isinstance(event.data, ConversationMessage)
        ]

    async def append_once(self, messages: Sequence[Message], admitting: Admitting = nullcontext) -> list[Appended]:
        """Append messages like `append`, but none whose id its space has already: a retry adds no record.

        Ids are looked for in the store and in what the log holds beyond it. Where a message leaves its time to be that
        of the append, a retry may too.

        Args:
            messages: What to append.
            admitting: Entered with those that are not in the log yet as long as they are appended; may refuse them.

        Raises:
            BadInput: A message is not valid; none of them was appended.
            Conflict: Its id is that of another message, which says something else; likewise.
            RetryLater: The log cannot be written now.
        """
        with self._sending(CONVERSATIONS.name, {message.space for message in messages}, len(messages)) as traceparent:
            return await self._appending.append(
                [
                    Offered(
                        self._message(message, traceparent),
                        named=message.message_id is not None,
                        timed=message.time is not None,
                    )
                    for message in messages
                ],
                admitting,
            )

    async def searchable(self, appended: Sequence[Appended], timeout_s: float) -> bool:
        """Wait until messages can be recalled, while somebody processes the log; return whether that was in time.

        What was put aside, forgotten or erased cannot, however long one waits.
        """
        return await searchable(self.instance, appended, timeout_s)

    async def recall(
        self,
        space: str,
        query: str,
        *,
        k: int = RecallSettings().k,
        m: int = RecallSettings().m,
        facts: int = RecallSettings().facts,
        spreading: bool = True,
        token_budget: int | None = None,
        context: bool = False,
        as_of: datetime | int | None = None,
        record: bool = True,
        caller: str | None = None,
    ) -> Recalled:
        """Return what the space knows about a question, best first, facts last.

        Args:
            space: What may be recalled.
            query: The question.
            k: Results.
            m: Further results, which association may fill.
            facts: Further results from the facts.
            spreading: Whether association takes part.
            token_budget: Bound on the tokens of all texts together; of a context, on the whole block.
            context: Put the answer as a block for a prompt, of at most 1,000 tokens unless `token_budget` says
                otherwise. What does not fit is not in the answer, and not recorded.
            as_of: Answer as of this time (aware, or milliseconds since 1970): nothing that was said later is
                returned, and ages count up to it. None is now.
            record: Append the `memory.recalled` event, from which edges learn.
            caller: Who asks, for that event.

        Raises:
            BadInput: The space or the query is not valid.
        """
        as_of_ms = self._moment_ms(as_of)
        until_ms = None if as_of is None else as_of_ms
        if context and token_budget is None:
            token_budget = BUDGET
        settings = RecallSettings(k=k, m=m, facts=facts, spreading=spreading, token_budget=token_budget)
        with self._measured(), self._tracing.recall(space):
            return await self._answer(
                space, query, settings, as_of_ms, until_ms, context=context, record=record, caller=caller
            )

    async def _answer(
        self,
        space: str,
        query: str,
        settings: RecallSettings,
        as_of_ms: int,
        until_ms: int | None,
        *,
        context: bool,
        record: bool,
        caller: str | None,
    ) -> Recalled:
        block: Context | None = None
        if context:
            everything = msgspec.structs.replace(settings, token_budget=None)
            hits = await self._recall.recall(space, query, everything, as_of_ms, until_ms=until_ms)
            block = context_of(hits, settings.token_budget or BUDGET)
            hits = [*block.hits]
        else:
            hits = await self._recall.recall(space, query, settings, as_of_ms, until_ms=until_ms)
        self._tracing.found(hits)
        data = MemoryRecalled(
            query=query,
            as_of=as_of_ms,
            results=tuple(hit.result for hit in hits),
            settings=settings,
            applied=await self._applied(),
            caller=caller or UNSET,
        )
        with self._sending(RECALLS.name, {space}) if record else nullcontext() as traceparent:
            event = self._event(self._new_id(), space, as_of_ms, data, traceparent)
            encoded = record_of(event)  # also where it is not recorded: what cannot be recorded is refused
            if record:
                with self._timed("record"):
                    record = await self._recalls.take(encoded)
        return Recalled(
            recall_id=event.id,
            space=space,
            query=query,
            as_of_ms=as_of_ms,
            hits=tuple(hits),
            recorded=record,
            context=block,
        )

    async def reinforce(
        self,
        recall_id: str,
        memory_ids: Sequence[str],
        *,
        space: str | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Say which memories of a recall were useful; links among these and its first one gain the full weight.

        Args:
            recall_id: From the recall.
            memory_ids: Ids of memories that it returned.
            space: Of the recall, where it is known: saves looking through the partitions of other spaces.
            idempotency_key: The same again for the same recall strengthens once.

        Raises:
            NotFound: There is no such recall in the log.
            BadInput: It did not return these memories.
            Conflict: The key was used to say of this recall that others were useful.
            RetryLater: The log is away.
        """
        await self._recalls.settle()
        found = await find_recall(self.instance.log, recall_id, space)
        data = found.reinforcement(memory_ids)
        id_ = self._new_id() if idempotency_key is None else found.id_by(idempotency_key)
        if found.was_said(id_, memory_ids):
            return
        with self._sending(RECALLS.name, {found.event.space}, cause=found.event.traceparent) as traceparent:
            event = self._event(id_, found.event.space, found.event.time_ms, data, traceparent)
            await self.instance.log.append([record_of(event)])

    async def facts(self, space: str | None = None) -> list[FactRecord]:
        """Return the facts of a space or of all, hidden ones included, in order of space and time."""
        found = [fact async for fact in self.instance.store.scan_facts(space)]
        return sorted(found, key=lambda fact: (fact.space, fact.valid_from_ms, fact.id))

    async def profile(self, space: str, *, as_of: datetime | int | None = None) -> Profile:
        """Return what is known of the people of a space and what its agents know, put together from its facts.

        Args:
            space: Whose profile.
            as_of: What held at this time (aware, or milliseconds since 1970), of what was known by then. None is now.
        """
        return await profile(self.instance.store, space, self._moment_ms(as_of))

    async def edges(self, space: str | None = None) -> list[EdgeRow]:
        """Return the learned edges of every memory of a space or of all, in order of space and memory."""
        found = [row async for row in self.instance.store.scan_edges(space)]
        return sorted(found, key=lambda row: (row.space, row.memory_id))

    async def neighbours(self, space: str, memory_id: str, *, as_of: datetime | int | None = None) -> list[Link]:
        """Return what recalls have linked a memory to, the strongest first, ties by id.

        Args:
            space: The memory's.
            memory_id: Its id.
            as_of: Weights as they have faded by this time. None is now.
        """
        row = (await self.instance.store.edge_rows(space, [memory_id])).get(memory_id)
        if row is None:
            return []
        return links_of(row, self._moment_ms(as_of), self.instance.settings.hebbian.half_life_s)

    async def turns(self, space: str, memory_ids: Sequence[str]) -> dict[str, Turn]:
        """Return memories by id."""
        return await self.instance.store.turns(space, memory_ids)

    async def memories(
        self, space: str, conversations: Collection[str] | None = None, *, after: Said | None = None, limit: int
    ) -> list[Turn]:
        """Return the first memories of a space that may be recalled, by the time at which they were said, then by id.

        Args:
            space: Theirs.
            conversations: Only of these, and of each among its last 1,000 turns alone; None is all of the space.
            after: Time (milliseconds since 1970) and id of the one before them; None begins with the first.
            limit: How many at most.
        """
        store = self.instance.store
        if conversations is None:
            return await store.turns_by_time(space, after, limit)
        tails = [
            await store.conversation_tail(space, one, _NEWEST, _LAST_TURNS) for one in dict.fromkeys(conversations)
        ]
        visible = (turn for tail in tails for turn in tail if turn.visible)
        return settled(visible, after, cut=False)[:limit]

    async def encoded(self, ends: Mapping[TopicPartition, int], timeout_s: float) -> bool:
        """Wait until memories are what the log makes of them up to here, while `run` processes it.

        Args:
            ends: Offsets (exclusive).
            timeout_s: How long.

        Returns:
            Whether that was in time.
        """
        return await self.instance.encoded(ends, timeout_s)

    async def spaces(self) -> dict[str, int]:
        """Return the number of memories of every space."""
        return await self.instance.store.spaces()

    async def digest(self, space: str | None = None) -> Digest:
        """Return the digest of what the processed log became."""
        return await digest(self.instance.store, space)

    async def forgettable(
        self,
        spaces: str | Sequence[str],
        policy: ForgettingPolicy | None = None,
        *,
        as_of: datetime | int | None = None,
    ) -> Decision:
        """Return what would be forgotten; nothing is changed.

        Args:
            spaces: A space, or several.
            policy: What may go; None is what the settings say of each space's tenant.
            as_of: The moment of the decision, event time (aware, or milliseconds since 1970). None is now.
        """
        chosen = [spaces] if isinstance(spaces, str) else spaces
        return await self.forgetting.decide(chosen, as_of_ms=self._moment_ms(as_of), policy=policy)

    async def forget_chosen(self, decision: Decision) -> str | None:
        """Hide what was decided, by events in the log, and return the id of this run, or None where nothing goes.

        `restore_run` brings back what it hid.
        """
        return await self.forgetting.carry_out(decision)

    async def forget(self, space: str, memory_ids: Sequence[str], reason: str) -> dict[TopicPartition, int]:
        """Hide memories from recall, by an event in the log; `restore` brings them back.

        Returns:
            The offsets (exclusive) up to which the log has to be processed for it to be so.
        """
        return await self.forgetting.mark(space, memory_ids, MemoryForgotten, reason, time_ms=self._clock())

    async def restore(self, space: str, memory_ids: Sequence[str], reason: str) -> dict[TopicPartition, int]:
        """Bring forgotten memories back; returns what `forget` does."""
        return await self.forgetting.mark(space, memory_ids, MemoryRestored, reason, time_ms=self._clock())

    async def restore_run(self, run: str, *, space: str | None = None) -> dict[str, list[str]]:
        """Bring back what a run of forgetting hid, but for what was restored, forgotten again or erased since.

        Args:
            run: Its id.
            space: Only of this space; None is all.

        Returns:
            Per space, the ids of what is brought back.

        Raises:
            BadInput: The log holds no such run, or it hid nothing in this space.
        """
        return await self.forgetting.undo(run, time_ms=self._clock(), space=space)

    async def close(self) -> None:
        """Release log and store."""
        await self._recalls.close()
        await self.instance.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _moment_ms(self, as_of: datetime | int | None) -> int:
        if as_of is None:
            return self._clock()
        return to_ms(as_of) if isinstance(as_of, datetime) else as_of

    def _sending(
        self, topic: str, spaces: Collection[str], records: int = 1, cause: str | None = None
    ) -> AbstractContextManager[str | None]:
        space = next(iter(spaces)) if len(spaces) == 1 else None
        return self._tracing.sending(topic, space=space, records=records, cause=cause)

    def _event(self, id_: str, space: str, time_ms: int, data: EventData, traceparent: str | None) -> Event:
        return Event(id=id_, source=SOURCE, space=space, time_ms=time_ms, data=data, traceparent=traceparent)

    def _message(self, message: Message, traceparent: str | None) -> Event:
        return event_of(message, new_id=self._new_id, now_ms=self._clock, traceparent=traceparent)

    async def _applied(self) -> dict[str, int]:
        """Return how far the projection has applied each partition: at least all that was just read from it."""
        return {
            str(partition): checkpoint.position.offset
            for group in ("encoding", "co-activation")
            for partition, checkpoint in (await self.instance.store.load_checkpoints(group)).items()
        }
