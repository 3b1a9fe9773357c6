"""Short ways to write down events and the records that carry them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

from msgspec import UNSET

from helamem.schemas.events import (
    ConversationMessage,
    EventData,
    Evidence,
    KnowledgeDistilled,
    KnowledgeRetracted,
    MemoryForgotten,
    MemoryRecalled,
    MemoryReinforced,
    MemoryRestored,
    RecalledResult,
    RecallSettings,
    SettingsApplied,
)
from helamem.schemas.ids import fact_id, memory_id
from helamem.schemas.records import NewRecord
from helamem.schemas.settings import Settings
from helamem.schemas.topics import topic_of
from helamem.schemas.wire import Event, encode

SPACE = "acme/anna"
START_MS = 1_740_823_200_000
"""2025-03-01T10:00:00Z."""


def event(id_: str, data: EventData, *, space: str = SPACE, time_ms: int = START_MS) -> Event:
    """Return an event from nowhere."""
    return Event(id=id_, source="test", space=space, time_ms=time_ms, data=data)


def message(
    id_: str,
    text: str,
    *,
    space: str = SPACE,
    conversation: str = "kitchen",
    speaker: str = "Anna",
    role: Literal["user", "agent"] = "user",
    time_ms: int = START_MS,
) -> Event:
    """Return a message; its event id follows from its message id."""
    data = ConversationMessage(message_id=id_, conversation=conversation, speaker=speaker, role=role, text=text)
    return event(f"message-{id_}", data, space=space, time_ms=time_ms)


def recalled(
    id_: str,
    messages: Sequence[str],
    *,
    space: str = SPACE,
    time_ms: int = START_MS,
    applied: dict[str, int] | None = None,
) -> Event:
    """Return a recall that found the memories of these messages."""
    results = tuple(
        RecalledResult(id=memory_id(space, name), kind="memory", path="base", score=0.5, base=0.5) for name in messages
    )
    data = MemoryRecalled(
        query="what?", as_of=time_ms, results=results, settings=RecallSettings(), applied=applied or {}
    )
    return event(id_, data, space=space, time_ms=time_ms)


def reinforced(id_: str, messages: Sequence[str], *, space: str = SPACE, time_ms: int = START_MS) -> Event:
    """Return what an agent says that it used."""
    ids = tuple(memory_id(space, name) for name in messages)
    return event(id_, MemoryReinforced(recall_id="recall", memory_ids=ids), space=space, time_ms=time_ms)


def distilled(
    id_: str,
    text: str,
    *,
    space: str = SPACE,
    kind: Literal["user-trait", "fact", "agent-knowledge"] = "fact",
    time_ms: int = START_MS,
    evidence: Sequence[str] = ("m0",),
    claim: tuple[str, str] | None = None,
    supersedes: Sequence[str] = (),
) -> Event:
    """Return a fact whose evidence are the memories of these messages; it may claim a value of a key."""
    data = KnowledgeDistilled(
        fact_id=fact_id(space, kind, text),
        kind=kind,
        text=text,
        subject="Anna",
        valid_from=time_ms,
        key=claim[0] if claim else UNSET,
        value=claim[1] if claim else UNSET,
        supersedes=tuple(fact_id(space, kind, other) for other in supersedes) or UNSET,
        evidence=tuple(
            Evidence(memory_id=memory_id(space, name), content_hash=hashlib.sha256(name.encode()).hexdigest())
            for name in evidence
        ),
        hub="hub",
        distiller="test:1",
    )
    return event(id_, data, space=space, time_ms=time_ms)


def retracted(id_: str, text: str, *, space: str = SPACE, kind: str = "fact") -> Event:
    """Return that a fact no longer holds."""
    return event(id_, KnowledgeRetracted(fact_id=fact_id(space, kind, text), reason="superseded"), space=space)


def forgotten(id_: str, *messages: str, space: str = SPACE) -> Event:
    """Return that the memories of these messages are hidden."""
    ids = tuple(memory_id(space, name) for name in messages)
    return event(id_, MemoryForgotten(memory_ids=ids, reason="test"), space=space)


def restored(id_: str, *messages: str, space: str = SPACE) -> Event:
    """Return that the memories of these messages are shown again."""
    ids = tuple(memory_id(space, name) for name in messages)
    return event(id_, MemoryRestored(memory_ids=ids, reason="test"), space=space)


def applied(id_: str, settings: Settings) -> Event:
    """Return that these settings are in force from here on."""
    return event(id_, SettingsApplied(settings=settings), space="helamem/settings")


def record(one: Event, *, value: bytes | None = None, partition: int | None = None) -> NewRecord:
    """Return the record that carries an event, or other bytes in its place."""
    return NewRecord(
        topic=topic_of(one.data).name, key=one.space.encode(), value=value or encode(one), partition=partition
    )
