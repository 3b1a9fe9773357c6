"""The body of the answer that tells the history of a space."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from helamem.streams.gateway.answers import Answer, Moment, Next

Pair = Annotated[list[str], Field(min_length=2, max_length=2, description="The ids of two memories.")]


class ChangeOut(Answer):
    """What every change has."""

    at: Annotated[Moment, Field(description="When the log took the record of the event that caused it.")]
    event_id: str


class MemoryChange(ChangeOut):
    """Somebody said something."""

    kind: Literal["memory"]
    memory_id: str
    conversation: str
    speaker: str
    role: str
    time: Annotated[Moment, Field(description="Event time: when it was said.")]
    text: Annotated[
        str | None, Field(description="Its first 300 characters; null where they were erased or cannot be read.")
    ]
    previous: Annotated[str | None, Field(description="The memory of the turn before: a link that is not learned.")]
    hidden: Annotated[bool, Field(description="Whether it was hidden before it was there.")]


class EdgeOut(Answer):
    """A learned link right after the event."""

    memory_ids: Pair
    weight: Annotated[float, Field(description="At `last_strengthened`; it fades from there on.")]
    last_strengthened: Annotated[Moment, Field(description="Event time.")]


class LinksChange(ChangeOut):
    """Links were strengthened, made or given up."""

    kind: Literal["links"]
    recall_id: str
    reinforced: Annotated[bool, Field(description="Whether an agent said what it used; else a recall returned them.")]
    query: Annotated[
        str | None,
        Field(description="Null of an agent's word, of what was asked before an erasure or cannot be read."),
    ]
    edges: list[EdgeOut]
    pruned: Annotated[list[Pair], Field(description="Links that gave way to others.")]


class FactChange(ChangeOut):
    """A fact was distilled, or told again with further evidence: this is what it is from now on."""

    kind: Literal["fact"]
    fact_id: str
    fact_kind: str
    subject: str
    statement: Annotated[str | None, Field(description="Null where it was erased or cannot be read.")]
    valid_from: Moment
    valid_to: Annotated[Moment | None, Field(description="Event time; a `superseded` that follows says it anew.")]
    confidence: Annotated[int | None, Field(description="Of the model that wrote it, in percent.")]
    evidence: Annotated[list[str], Field(description="The memories that it rests on.")]
    hub_memory_id: Annotated[str | None, Field(description="The memory around which it was distilled.")]
    hidden: Annotated[bool, Field(description="Whether it was retracted before it was there.")]


class RetractionChange(ChangeOut):
    """A fact was retracted and is not recalled any more."""

    kind: Literal["retraction"]
    fact_id: str
    reason: str


class SupersededChange(ChangeOut):
    """A fact ends where another one begins."""

    kind: Literal["superseded"]
    fact_id: str
    by: Annotated[str, Field(description="The fact that holds in its place.")]
    valid_to: Moment


class ReinstatedChange(ChangeOut):
    """A fact that was superseded holds again, since what superseded it was retracted."""

    kind: Literal["reinstated"]
    fact_id: str


class HiddenChange(ChangeOut):
    """Memories were forgotten."""

    kind: Literal["hidden"]
    memory_ids: list[str]


class ShownChange(ChangeOut):
    """Forgotten memories were restored."""

    kind: Literal["shown"]
    memory_ids: list[str]


class ErasedChange(ChangeOut):
    """Memories and facts lost their words for ever."""

    kind: Literal["erased"]
    memory_ids: list[str]
    fact_ids: list[str]


AnyChange = Annotated[
    MemoryChange
    | LinksChange
    | FactChange
    | RetractionChange
    | SupersededChange
    | ReinstatedChange
    | HiddenChange
    | ShownChange
    | ErasedChange,
    Field(discriminator="kind"),
]


class HistoryOut(Answer):
    """A page of what changed the graph and the facts of a space, in the order in which the log took it."""

    space: str
    half_life_s: Annotated[
        int,
        Field(
            description="Seconds of event time in which the weight of a link halves: "
            "at a time t it is weight · 2^(−(t − last_strengthened) / half_life_s)."
        ),
    ]
    max_weight: Annotated[float, Field(description="The largest weight of a link.")]
    changes: list[AnyChange]
    next: Next = None
    resume: Annotated[
        str, Field(description="A cursor, also on the last page: gives what the log will have taken since then.")
    ]
