"""What is answered: the bodies of answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from helamem.processors.consolidation.validity import End
from helamem.processors.profile.profile import Entry, Profile
from helamem.processors.recall.hits import Hit
from helamem.processors.store.port import FactRecord, Turn
from helamem.schemas.records import TopicPartition
from helamem.schemas.times import format_ms
from helamem.streams.appending import Appended
from helamem.streams.async_memory import Recalled

Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Next = Annotated[str | None, Field(description="The cursor of the page that follows, or null where this is the last.")]


class Answer(BaseModel):
    """What all answers share."""

    model_config = ConfigDict(frozen=True)


class PositionOut(Answer):
    """Where a record stands in the log."""

    topic: str
    partition: int
    offset: int

    @classmethod
    def of(cls, partition: TopicPartition, offset: int) -> Self:
        """Return a place of the log."""
        return cls(topic=partition.topic, partition=partition.partition, offset=offset)


class AppendedOut(Answer):
    """A message that is durable in the log."""

    message_id: str
    memory_id: str
    position: PositionOut
    repeated: Annotated[bool, Field(description="Whether it was in the log already, so that nothing was appended.")]

    @classmethod
    def of(cls, appended: Appended) -> Self:
        """Return what is said of a message."""
        return cls(
            message_id=appended.message_id,
            memory_id=appended.memory_id,
            position=PositionOut.of(appended.partition, appended.offset),
            repeated=appended.repeated,
        )


Searchable = Annotated[
    bool | None,
    Field(description="Whether all of it can be recalled now, where `wait` asked for that; else null."),
]


class MessageAppended(AppendedOut):
    """The answer to one message."""

    searchable: Searchable = None


class BatchAppended(Answer):
    """The answer to a batch, in its order."""

    messages: list[AppendedOut]
    searchable: Searchable = None


class BadLineOut(Answer):
    """A line of a stream that was not taken."""

    line: int
    reason: str


class StreamAppended(Answer):
    """The answer to a stream: what is durable in the log, and what was wrong with other lines."""

    lines: Annotated[int, Field(description="Messages read, the bad ones included; blank lines are none.")]
    appended: int
    bad: int
    bad_lines: Annotated[list[BadLineOut], Field(description="The first of them.")]


class HitOut(Answer):
    """One result, with its words and why it is there."""

    id: str
    kind: Literal["memory", "fact"]
    path: Annotated[
        Literal["base", "association", "fact"], Field(description="Why it is there: matched, associated or distilled.")
    ]
    score: float
    base: float
    via: Annotated[str | None, Field(description="The memory that brought it, where association did.")]
    speaker: str
    text: str
    time: Moment
    role: str | None = None
    conversation: str | None = None
    message_id: str | None = None
    fact_kind: str | None = None
    valid_until: Annotated[Moment | None, Field(description="When a fact held no longer.")] = None
    evidence: Annotated[list[str] | None, Field(description="The memories that a fact rests on.")] = None

    @classmethod
    def of(cls, hit: Hit) -> Self:
        """Return what is said of a hit."""
        result, turn, fact = hit.result, hit.turn, hit.fact
        if turn is not None:
            return cls(
                id=result.id,
                kind=result.kind,
                path=result.path,
                score=result.score,
                base=result.base,
                via=result.via,
                speaker=turn.speaker,
                text=turn.text,
                time=format_ms(turn.time_ms),
                role=turn.role,
                conversation=turn.conversation,
                message_id=turn.message_id,
            )
        assert fact is not None  # a hit is one or the other
        return cls(
            id=result.id,
            kind=result.kind,
            path=result.path,
            score=result.score,
            base=result.base,
            via=result.via,
            speaker=fact.subject,
            text=fact.text,
            time=format_ms(fact.valid_from_ms),
            fact_kind=fact.kind,
            valid_until=None if hit.ended_ms is None else format_ms(hit.ended_ms),
            evidence=[*fact.evidence],
        )


class RecallOut(Answer):
    """The answer to a recall: results, best first, facts last."""

    recall_id: Annotated[str | None, Field(description="For `reinforce`; null where nothing was recorded.")]
    space: str
    as_of: Moment
    recorded: bool
    results: list[HitOut]
    context: Annotated[str | None, Field(description="A block for a prompt, where one was asked for.")] = None
    tokens: Annotated[int | None, Field(description="Of the block.")] = None

    @classmethod
    def of(cls, recalled: Recalled) -> Self:
        """Return what is said of a recall."""
        block = recalled.context
        return cls(
            recall_id=recalled.recall_id if recalled.recorded else None,
            space=recalled.space,
            as_of=format_ms(recalled.as_of_ms),
            recorded=recalled.recorded,
            results=[HitOut.of(hit) for hit in recalled.hits],
            context=None if block is None else block.text,
            tokens=None if block is None else block.tokens,
        )


class RecallsOut(Answer):
    """The answers of several spaces, in the order in which they were asked."""

    recalls: list[RecallOut]


class ReinforcedOut(Answer):
    """What was reinforced."""

    recall_id: str
    reinforced: list[str]


class SpaceOut(Answer):
    """A space and how much it holds."""

    space: str
    memories: int


class SpacesOut(Answer):
    """A page of spaces, by name."""

    spaces: list[SpaceOut]
    next: Next = None


class FactOut(Answer):
    """One fact."""

    id: str
    kind: str
    subject: str
    text: Annotated[str, Field(description="Empty where its words were erased.")]
    key: Annotated[str | None, Field(description="What it says of its subject, such as `home`.")]
    value: str | None
    valid_from: Moment
    valid_until: Moment | None
    supersedes: list[str]
    evidence: Annotated[list[str], Field(description="The memories that it rests on.")]
    hub: str
    distiller: str
    hidden: bool
    erased: bool

    @classmethod
    def of(cls, fact: FactRecord, over: Mapping[str, End]) -> Self:
        """Return what is said of a fact.

        Args:
            fact: The fact.
            over: Which facts of its space hold no longer.
        """
        return cls(
            id=fact.id,
            kind=fact.kind,
            subject=fact.subject,
            text=fact.text,
            key=fact.key or None,
            value=fact.value or None,
            valid_from=format_ms(fact.valid_from_ms),
            valid_until=format_ms(over[fact.id].at_ms) if fact.id in over else None,
            supersedes=[*fact.supersedes],
            evidence=[*fact.evidence],
            hub=fact.hub,
            distiller=fact.distiller,
            hidden=fact.hidden,
            erased=fact.erased,
        )


class FactsOut(Answer):
    """A page of facts, by the time since when they hold."""

    facts: list[FactOut]
    next: Next = None


class EntryOut(Answer):
    """One thing that is known."""

    key: str | None
    value: str | None
    text: str
    since: Moment
    fact_ids: list[str]
    evidence: list[str]

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Return what is said of an entry."""
        return cls(
            key=entry.key or None,
            value=entry.value or None,
            text=entry.text,
            since=format_ms(entry.since_ms),
            fact_ids=[*entry.fact_ids],
            evidence=[*entry.evidence],
        )


class PersonOut(Answer):
    """What is known of somebody."""

    subject: str
    entries: list[EntryOut]


class ProfileOut(Answer):
    """What is known in a space."""

    space: str
    as_of: Moment
    user_model: list[PersonOut]
    agent_knowledge: list[EntryOut]
    left_out: Annotated[int, Field(description="Older statements that are not in it.")]

    @classmethod
    def of(cls, profile: Profile) -> Self:
        """Return what is said of a profile."""
        return cls(
            space=profile.space,
            as_of=format_ms(profile.as_of_ms),
            user_model=[
                PersonOut(subject=person.subject, entries=[EntryOut.of(entry) for entry in person.entries])
                for person in profile.user_model
            ],
            agent_knowledge=[EntryOut.of(entry) for entry in profile.agent_knowledge],
            left_out=profile.left_out,
        )


class MemoryOut(Answer):
    """One memory: what somebody said."""

    id: str
    message_id: str
    conversation: str
    turn: Annotated[int, Field(description="Place in its conversation, counted from 0.")]
    previous: Annotated[str | None, Field(description="The memory of the turn before.")]
    speaker: str
    role: str
    text: Annotated[str, Field(description="Empty where its words were erased.")]
    time: Moment
    keywords: list[str]
    hidden: bool
    erased: bool

    @classmethod
    def of(cls, turn: Turn) -> Self:
        """Return what is said of a memory."""
        return cls(
            id=turn.id,
            message_id=turn.message_id,
            conversation=turn.conversation,
            turn=turn.turn,
            previous=turn.previous,
            speaker=turn.speaker,
            role=turn.role,
            text=turn.text,
            time=format_ms(turn.time_ms),
            keywords=[*turn.keywords],
            hidden=turn.hidden,
            erased=turn.erased,
        )


class MemoriesOut(Answer):
    """A page of memories, by the time at which they were said."""

    memories: list[MemoryOut]
    next: Next = None


class MarkedOut(Answer):
    """Which memories were hidden, or may be recalled again."""

    memory_ids: list[str]
    applied: Annotated[
        bool | None, Field(description="Whether recalls know of it by now, where `wait` asked for that; else null.")
    ] = None


class NeighbourOut(Answer):
    """A memory that is linked to another one."""

    weight: Annotated[float, Field(description="Of the learned link, at most 1.")]
    last_strengthened: Moment
    memory: Annotated[MemoryOut | None, Field(description="Null where it is not made yet.")]
    memory_id: str


class NeighboursOut(Answer):
    """What a memory is linked to, the strongest first."""

    memory: MemoryOut
    neighbours: list[NeighbourOut]


class LineageOut(Answer):
    """Where something came from, or what it caused."""

    space: str
    problems: Annotated[list[str], Field(description="What the log lacks or contradicts, each a sentence.")]
    lineage: Annotated[dict[str, Any], Field(description="A node with `kind`, `id`, details and `children`; or PROV.")]


class ThingOut(Answer):
    """A memory or a fact that differs."""

    id: str
    text: str
    hidden: bool


class ThingsOut(Answer):
    """How memories or facts differ."""

    added: list[ThingOut]
    removed: list[ThingOut]
    hidden: list[ThingOut]
    shown: list[ThingOut]
    changed: list[ThingOut]


class EdgeChangeOut(Answer):
    """A link whose weight differs; 0 is none."""

    memory_ids: list[str]
    before: float
    after: float


class DiffOut(Answer):
    """What lies between two moments of a space."""

    space: str
    equal: bool
    memories: ThingsOut
    facts: ThingsOut
    edges: list[EdgeChangeOut]


class ErasureOut(Answer):
    """What an erasure came to, or would come to."""

    space: str
    subject: str
    memories: int
    facts: int
    keys: Annotated[int, Field(description="Keys that were destroyed.")]
    distilled_again: int
    remains: Annotated[dict[str, int], Field(description="Records of the log that still hold words, unsealed.")]
    erased_before: bool
    dry_run: bool


class ProblemField(Answer):
    """What is wrong with one field of a request."""

    field: str
    reason: str


class ProblemOut(Answer):
    """Why a request was not answered (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: Annotated[str, Field(description="One sentence: what is wrong, and what to do.")]
    errors: Annotated[list[ProblemField] | None, Field(description="By field, where fields are wrong.")] = None
