"""The topics: names, keys, partitions, retention and which events they carry."""

from __future__ import annotations

import re

from msgspec import Struct

from helamem.schemas.events import (
    CheckpointSigned,
    ConversationMessage,
    EventData,
    HubFormed,
    KeyChanged,
    KnowledgeDistilled,
    KnowledgeRetracted,
    MemoryForgotten,
    MemoryRecalled,
    MemoryReinforced,
    MemoryRestored,
    ModelAnswered,
    RecordDeadLettered,
    SettingsApplied,
    SpaceAccessed,
    SubjectErased,
)
from helamem.schemas.records import base_name_of
from helamem.schemas.wire import MAX_DEAD_LETTER_BYTES, MAX_RECORD_BYTES

_DAY_MS = 86_400_000


class TopicSpec(Struct, frozen=True, kw_only=True):
    """One topic. It is never grown in place: another number of partitions is another generation."""

    base_name: str
    key: str
    """What the key of a record is, in words."""
    events: tuple[type[EventData], ...]
    partitions: int = 4
    generation: int = 1
    max_record_bytes: int = MAX_RECORD_BYTES
    """Largest value of a record."""
    retention_ms: int = -1
    """How long records are kept; -1 is for ever. No topic is compacted: an audit needs every record."""
    transit: bool = False
    """Whether strangers write it and records only pass through: it is deleted up to where they were merged, and the
    broker unpacks what comes, so that what it takes can be read and is as small as it has to be."""

    @property
    def name(self) -> str:
        """The name in the log, generation included."""
        return f"{self.base_name}.g{self.generation}"


CONVERSATIONS = TopicSpec(base_name="helamem.conversations", key="space", events=(ConversationMessage, SettingsApplied))
RECALLS = TopicSpec(
    base_name="helamem.recalls", key="space", events=(MemoryRecalled, MemoryReinforced, SettingsApplied)
)
HUBS = TopicSpec(base_name="helamem.hubs", key="space", events=(HubFormed,))
FACTS = TopicSpec(base_name="helamem.facts", key="space", events=(KnowledgeDistilled, KnowledgeRetracted))
CONTROL = TopicSpec(base_name="helamem.control", key="space", events=(MemoryForgotten, MemoryRestored, SubjectErased))
DEAD_LETTERS = TopicSpec(
    base_name="helamem.dead-letters",
    key="the record's key",
    events=(RecordDeadLettered,),
    partitions=1,
    max_record_bytes=MAX_DEAD_LETTER_BYTES,
)
CHECKPOINTS = TopicSpec(base_name="helamem.checkpoints", key="partition", events=(CheckpointSigned,), partitions=1)
EFFECTS = TopicSpec(base_name="helamem.effects", key="input hash", events=(ModelAnswered,))
ACCESS = TopicSpec(
    base_name="helamem.access", key="space", events=(SpaceAccessed, KeyChanged), retention_ms=400 * _DAY_MS
)
"""Who looked at what: nothing is folded from it, so it need not be kept as long as the rest."""

TOPICS: tuple[TopicSpec, ...] = (
    CONVERSATIONS,
    RECALLS,
    HUBS,
    FACTS,
    CONTROL,
    DEAD_LETTERS,
    CHECKPOINTS,
    EFFECTS,
    ACCESS,
)
GOVERNED: tuple[TopicSpec, ...] = (CONVERSATIONS, RECALLS)
"""Topics whose folds read settings, so that each of their partitions begins with `settings.applied`."""


def topic_of(data: EventData) -> TopicSpec:
    """Return the topic that carries this event, the first where several do (settings name their partition).

    Raises:
        KeyError: No topic carries this type.
    """
    for spec in TOPICS:
        if type(data) in spec.events:
            return spec
    raise KeyError(type(data))


_INLET = "helamem.inlet."
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""Kafka takes the same characters in the name of a topic."""


def inlet_of(tenant: str) -> TopicSpec:
    """Return the inlet of a tenant: the topic that its own producers write, and nobody reads but who merges it.

    It belongs to no generation of the other topics. What was merged stands in those; archives, audits, replays and
    migrations know of no inlet.
    """
    return TopicSpec(
        base_name=f"{_INLET}{tenant}", key="space", events=(ConversationMessage,), partitions=1, transit=True
    )


def tenant_of_inlet(topic: str) -> str | None:
    """Return the tenant whose inlet a topic is, by its full name; None where it is none."""
    tenant = base_name_of(topic).removeprefix(_INLET)
    return tenant if _TENANT.fullmatch(tenant) and topic == inlet_of(tenant).name else None
