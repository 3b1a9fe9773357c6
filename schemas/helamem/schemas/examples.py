"""One example of every event type, for the published documents and for whoever writes a client."""

from __future__ import annotations

from helamem.schemas.events import (
    SEALED_TEXT,
    CheckpointSigned,
    ClusterMember,
    ConversationMessage,
    EventData,
    Evidence,
    HubFormed,
    KeyChanged,
    KnowledgeDistilled,
    KnowledgeRetracted,
    MemoryForgotten,
    MemoryRecalled,
    MemoryReinforced,
    MemoryRestored,
    ModelAnswered,
    RecalledResult,
    RecallSettings,
    RecordDeadLettered,
    Sealed,
    SealingKey,
    SegmentRoot,
    SettingsApplied,
    SpaceAccessed,
    SubjectErased,
)
from helamem.schemas.ids import answer_id, derived_id, fact_id, memory_id
from helamem.schemas.settings import Settings
from helamem.schemas.wire import Event

SPACE = "acme/alice"
_NOON_MS = 1_741_000_000_000
_DOG = memory_id(SPACE, "D1:3")
_WALK = memory_id(SPACE, "D2:7")
_FACT_TEXT = "Alice has had a dog named Pixel since March 2025."
_FACT = fact_id(SPACE, "fact", _FACT_TEXT)
_MODEL = "openai:text-embedding-3-small"
_INPUT = "e0d123e5f316bef78bfdf5a008837577e0d123e5f316bef78bfdf5a008837577"
_APPLIED = {"helamem.conversations.g1/0": 1204, "helamem.facts.g1/0": 17}


def _event(name: str, source: str, data: EventData) -> Event:
    return Event(id=derived_id("example", name), source=source, space=SPACE, time_ms=_NOON_MS, data=data)


EXAMPLES: tuple[Event, ...] = (
    Event(
        id=derived_id("example", "message"),
        source="helamem/gateway",
        space=SPACE,
        time_ms=_NOON_MS,
        data=ConversationMessage(
            message_id="D1:3", conversation="2025-03-03", speaker="Alice", text="We got a dog. Her name is Pixel."
        ),
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ),
    _event(
        "sealed-message",
        "helamem/gateway",
        ConversationMessage(
            message_id="D1:4",
            conversation="2025-03-03",
            speaker="Bob",
            text=SEALED_TEXT,
            data_subjects=("Bob", "Alice"),
            sealed=Sealed(
                keys=(
                    SealingKey(subject="Alice", key=derived_id("example", "key")),
                    SealingKey(subject="Bob", key=derived_id("example", "other key")),
                ),
                ciphertext="TGVhc3QgYXV0aG9yaXR5LCBtb3N0IHBhdGllbmNlLg==",
                commitment="b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9",
            ),
        ),
    ),
    _event(
        "recalled",
        "helamem/recall",
        MemoryRecalled(
            query="What is the dog called?",
            as_of=_NOON_MS,
            results=(
                RecalledResult(id=_DOG, kind="memory", path="base", score=0.8125, base=0.8125),
                RecalledResult(id=_WALK, kind="memory", path="association", score=0.3125, base=0.25, via=_DOG),
            ),
            settings=RecallSettings(),
            applied=_APPLIED,
        ),
    ),
    _event(
        "reinforced",
        "helamem/gateway",
        MemoryReinforced(recall_id=derived_id("example", "recalled"), memory_ids=(_WALK,), cue=_DOG),
    ),
    _event(
        "hub",
        "helamem/coactivation",
        HubFormed(
            memory_id=_DOG,
            strength=1_288_490_188,
            degree=3,
            cluster=(ClusterMember(memory_id=_WALK, weight=858_993_459),),
            cause=derived_id("example", "reinforced"),
            applied=_APPLIED,
        ),
    ),
    _event(
        "distilled",
        "helamem/consolidation",
        KnowledgeDistilled(
            fact_id=_FACT,
            kind="fact",
            text=_FACT_TEXT,
            subject="Alice",
            valid_from=_NOON_MS,
            key="pet:pixel",
            value="yes",
            evidence=(
                Evidence(
                    memory_id=_DOG, content_hash="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
                ),
            ),
            hub=derived_id("example", "hub"),
            distiller="extractive:1",
        ),
    ),
    _event("retracted", "helamem/consolidation", KnowledgeRetracted(fact_id=_FACT, reason="superseded")),
    _event(
        "forgotten",
        "helamem/forgetting",
        MemoryForgotten(
            memory_ids=(_WALK,), reason="weak, old and not recalled", run=derived_id("example", "forgetting")
        ),
    ),
    _event("restored", "helamem/cli", MemoryRestored(memory_ids=(_WALK,), reason="forgotten by mistake")),
    _event(
        "erased",
        "helamem/erasure",
        SubjectErased(
            subject="Alice", memory_ids=(_DOG, _WALK), fact_ids=(_FACT,), keys=(derived_id("example", "key"),)
        ),
    ),
    _event("settings", "helamem/cli", SettingsApplied(settings=Settings())),
    _event(
        "dead-lettered",
        "helamem/encoding",
        RecordDeadLettered(
            group="encoding",
            topic="helamem.conversations.g1",
            partition=0,
            generation=1,
            offset=1203,
            reason="must not be empty",
            field="data.text",
            key_base64="YWNtZS9hbGljZQ==",
            value_base64="e30=",
        ),
    ),
    Event(
        id=derived_id("example", "checkpoint"),
        source="helamem/archive",
        space="helamem.facts.g1/0",
        time_ms=_NOON_MS,
        data=CheckpointSigned(
            archive_id=derived_id("example", "archive"),
            number=0,
            previous="0" * 64,
            topic="helamem.facts.g1",
            generation=1,
            partition=0,
            begin=0,
            end=17,
            chain_begin=0,
            chain_head="2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
            segments=(
                SegmentRoot(
                    begin=0,
                    end=17,
                    records=17,
                    root="fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9",
                ),
            ),
            signed_at=_NOON_MS,
            public_key="d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            signature="0" * 128,
        ),
    ),
    Event(
        id=answer_id("embedding", _MODEL, None, _INPUT),
        source="helamem/effects",
        space="helamem/effects",
        time_ms=_NOON_MS,
        data=ModelAnswered(
            kind="embedding",
            model=_MODEL,
            version="text-embedding-3-small",
            input_hash=_INPUT,
            answer="AAAAPwAAAD8AAAA/AAAAPw==",
        ),
    ),
    _event(
        "accessed",
        "helamem/gateway",
        SpaceAccessed(
            caller="5f0e9a353f2d",
            endpoint="GET /v1/spaces/{tenant}/{name}/memories/{memory_id}",
            status=200,
            item=_DOG,
        ),
    ),
    Event(
        id=derived_id("example", "key changed"),
        source="helamem/gateway",
        space="helamem/keys",
        time_ms=_NOON_MS,
        data=KeyChanged(
            key="5f0e9a353f2d", change="added", tenant="acme", spaces=("alice", "team-*"), rights=("append", "recall")
        ),
    ),
)
"""In the order of `EVENT_TYPES`."""
