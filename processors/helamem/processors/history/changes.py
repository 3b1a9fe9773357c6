"""What changed the graph and the facts of a space: one change after the other, as somebody draws them."""

from __future__ import annotations

from msgspec import Struct

Pair = tuple[str, str]
"""The ids of two memories in order."""


class Change(Struct, frozen=True, kw_only=True, tag_field="kind"):
    """One change, and the event that made it."""

    at: str
    """When the log took the event's record: RFC 3339 in UTC."""
    event_id: str


class MemoryAdded(Change, frozen=True, kw_only=True, tag="memory"):
    """Somebody said something."""

    memory_id: str
    conversation: str
    speaker: str
    role: str
    time: str
    """Event time."""
    text: str | None
    """Its beginning; None where it cannot be read."""
    previous: str | None
    """The memory of the turn before, to which it is linked."""
    hidden: bool
    """Whether it was hidden before it was there: topics are not ordered against each other."""


class Edge(Struct, frozen=True, kw_only=True):
    """A learned link right after an event that changed it."""

    memory_ids: Pair
    weight: float
    """At most 1; in the list of the memory that has the stronger one where the two differ."""
    last_strengthened: str
    """Event time, from which on it fades."""


class LinksChanged(Change, frozen=True, kw_only=True, tag="links"):
    """A recall, or an agent's word of what it used, strengthened links."""

    recall_id: str
    reinforced: bool
    """Whether it was an agent's word."""
    query: str | None
    """What was asked; None where it was an agent's word, cannot be read, or may be about whom an erasure was for."""
    edges: tuple[Edge, ...]
    pruned: tuple[Pair, ...]
    """Links that gave way to others and stand in the list of neither memory any more."""


class FactTold(Change, frozen=True, kw_only=True, tag="fact"):
    """A fact was distilled, or told once more with further evidence."""

    fact_id: str
    fact_kind: str
    subject: str
    statement: str | None
    valid_from: str
    valid_to: str | None
    """When it held no longer, where that was told with it."""
    confidence: int | None
    """How sure a model is of it, in percent."""
    evidence: tuple[str, ...]
    """Ids of all memories that it rests on by now."""
    hub_memory_id: str | None
    """The memory whose cluster it was distilled from."""
    hidden: bool
    """Whether it was retracted before it was there."""


class FactRetracted(Change, frozen=True, kw_only=True, tag="retraction"):
    """A fact holds no longer and is not recalled."""

    fact_id: str
    reason: str


class FactSuperseded(Change, frozen=True, kw_only=True, tag="superseded"):
    """A fact ends where another one begins."""

    fact_id: str
    by: str
    valid_to: str
    """Event time at which it ends."""


class FactReinstated(Change, frozen=True, kw_only=True, tag="reinstated"):
    """What had ended a fact was retracted, so that it holds again."""

    fact_id: str


class MemoriesHidden(Change, frozen=True, kw_only=True, tag="hidden"):
    """Memories were forgotten."""

    memory_ids: tuple[str, ...]


class MemoriesShown(Change, frozen=True, kw_only=True, tag="shown"):
    """Forgotten memories were restored."""

    memory_ids: tuple[str, ...]


class Erased(Change, frozen=True, kw_only=True, tag="erased"):
    """What a data subject said lost its words, and is hidden for ever."""

    memory_ids: tuple[str, ...]
    fact_ids: tuple[str, ...]
