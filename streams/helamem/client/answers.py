"""What a gateway answers, as Python has it. Times are aware datetimes; ids are UUIDs as text."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct


class Position(Struct, frozen=True, kw_only=True):
    """Where a record stands in the log."""

    topic: str
    partition: int
    offset: int


class Appended(Struct, frozen=True, kw_only=True):
    """A message that is durable in the log."""

    message_id: str
    memory_id: str
    position: Position
    repeated: bool
    """Whether it was in the log already, so that nothing was appended."""


class BatchAppended(Struct, frozen=True, kw_only=True):
    """Messages that are durable in the log, in the order in which they were given."""

    messages: list[Appended]
    searchable: bool | None = None
    """Whether all of them can be recalled now, where that was asked for; else None."""


class Hit(Struct, frozen=True, kw_only=True):
    """One result, with its words and why it is there."""

    id: str
    kind: Literal["memory", "fact"]
    path: Literal["base", "association", "fact"]
    """Why it is there: matched, associated or distilled."""
    score: float
    base: float
    via: str | None
    """The memory that brought it, where association did."""
    speaker: str
    text: str
    time: datetime
    role: str | None = None
    conversation: str | None = None
    message_id: str | None = None
    fact_kind: str | None = None
    valid_until: datetime | None = None
    """When a fact held no longer."""
    evidence: list[str] | None = None
    """The memories that a fact rests on."""


class Recalled(Struct, frozen=True, kw_only=True):
    """The answer to a recall: results, best first, facts last."""

    recall_id: str | None
    """For `reinforce`; None where nothing was recorded."""
    space: str
    as_of: datetime
    recorded: bool
    results: list[Hit]
    context: str | None = None
    """A block for a prompt, where one was asked for."""
    tokens: int | None = None
    """Of the block."""


class Reinforced(Struct, frozen=True, kw_only=True):
    """What was reinforced."""

    recall_id: str
    reinforced: list[str]


class SpaceSize(Struct, frozen=True, kw_only=True):
    """A space and how much it holds."""

    space: str
    memories: int


class Fact(Struct, frozen=True, kw_only=True):
    """What was distilled from memories."""

    id: str
    kind: str
    subject: str
    text: str
    """Empty where its words were erased."""
    key: str | None
    """What it says of its subject, such as `home`."""
    value: str | None
    valid_from: datetime
    valid_until: datetime | None
    supersedes: list[str]
    evidence: list[str]
    """The memories that it rests on."""
    hub: str
    distiller: str
    hidden: bool
    erased: bool


class Entry(Struct, frozen=True, kw_only=True):
    """One thing that is known."""

    key: str | None
    value: str | None
    text: str
    since: datetime
    fact_ids: list[str]
    evidence: list[str]


class Person(Struct, frozen=True, kw_only=True):
    """What is known of somebody."""

    subject: str
    entries: list[Entry]


class Profile(Struct, frozen=True, kw_only=True):
    """What is known in a space."""

    space: str
    as_of: datetime
    user_model: list[Person]
    agent_knowledge: list[Entry]
    left_out: int
    """Older statements that are not in it."""


class Memory(Struct, frozen=True, kw_only=True):
    """What somebody said."""

    id: str
    message_id: str
    conversation: str
    turn: int
    """Place in its conversation, counted from 0."""
    previous: str | None
    """The memory of the turn before."""
    speaker: str
    role: str
    text: str
    """Empty where its words were erased."""
    time: datetime
    keywords: list[str]
    hidden: bool
    erased: bool


class Neighbour(Struct, frozen=True, kw_only=True):
    """A memory that is linked to another one."""

    weight: float
    """Of the learned link, at most 1."""
    last_strengthened: datetime
    memory: Memory | None
    """None where it is not made yet."""
    memory_id: str


class Neighbours(Struct, frozen=True, kw_only=True):
    """What a memory is linked to, the strongest first."""

    memory: Memory
    neighbours: list[Neighbour]


class Lineage(Struct, frozen=True, kw_only=True):
    """Where something came from."""

    space: str
    problems: list[str]
    """What the log lacks or contradicts, each a sentence."""
    lineage: dict[str, Any]
    """A node: `kind`, `id`, what is known of it, and `children`, what it came from."""


class Marked(Struct, frozen=True, kw_only=True):
    """Which memories were hidden, or may be recalled again."""

    memory_ids: list[str]
    applied: bool | None = None
    """Whether recalls know of it by now, where that was asked for; else None."""


class MemoriesPage(Struct, frozen=True, kw_only=True):
    """Some of the memories of a space."""

    memories: list[Memory]
    next: str | None = None


class FactsPage(Struct, frozen=True, kw_only=True):
    """Some of the facts of a space."""

    facts: list[Fact]
    next: str | None = None


class SpacesPage(Struct, frozen=True, kw_only=True):
    """Some of the spaces."""

    spaces: list[SpaceSize]
    next: str | None = None


class Recalls(Struct, frozen=True, kw_only=True):
    """The answers of several spaces, in the order in which they were asked."""

    recalls: list[Recalled]


class ProblemField(Struct, frozen=True, kw_only=True):
    """What is wrong with one field of a request."""

    field: str
    reason: str


class ProblemBody(Struct, frozen=True, kw_only=True):
    """Why a request was not answered (RFC 9457)."""

    type: str
    status: int
    detail: str
    title: str = ""
    errors: list[ProblemField] | None = None
