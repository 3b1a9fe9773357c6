"""What the golden files hold: one rich event of every version ever published, and the schemas as published.

A golden file is written once and then frozen. Run this module from the repository's root after adding an event
version and its entry below: it writes the files that are missing and never touches one that is there. (As long
as nothing is released, a file may be deleted and written anew.) An entry whose version was replaced keeps its
file; its value becomes what the upcasters make of it.
"""

from __future__ import annotations

from pathlib import Path

from helamem.schemas.events import (
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
    SegmentRoot,
    SettingsApplied,
    SpaceAccessed,
    SubjectErased,
)
from helamem.schemas.generate import documents
from helamem.schemas.settings import EncodingSettings, ForgettingPolicy, HebbianSettings, Settings
from helamem.schemas.wire import Event, encode

GOLDEN = Path(__file__).parents[1] / "golden"
_A = "00000000-0000-5000-8000-000000000001"
_B = "ffffffff-ffff-5fff-bfff-ffffffffffff"
_APPLIED = {"helamem.recalls.g12/3": 9_007_199_254_740_991, "helamem.conversations.g1/0": 0}


def _event(data: EventData, *, time_ms: int = 1_741_000_000_007, traceparent: str | None = None) -> Event:
    return Event(
        id="0190c0de-1111-7222-8333-444455556666",
        source="https://acme.example/agents/1?x=ü",
        space="acme/alice@acme.example:7",
        time_ms=time_ms,
        data=data,
        traceparent=traceparent,
    )


EXPECTED: dict[str, Event] = {
    "conversation.message.v1": _event(
        ConversationMessage(
            message_id="D1:3",
            conversation="Sitzung № 1",
            speaker="Zoë 🐈",
            role="agent",
            text='Line one\nline "two"\ttab \\ slash / \u0000 \u2028 e\u0301 𝄞',
        ),
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ),
    "memory.recalled.v1": _event(
        MemoryRecalled(
            query="Where does Zoë live?",
            as_of=253_402_300_799_999,
            results=(
                RecalledResult(id=_A, kind="memory", path="base", score=0.1, base=0.1),
                RecalledResult(id=_B, kind="memory", path="association", score=1.5, base=-0.25, via=_A),
                RecalledResult(id=_B, kind="fact", path="fact", score=1e-9, base=0.0),
            ),
            settings=RecallSettings(k=3, m=0, facts=1, spreading=False, token_budget=2000),
            applied=_APPLIED,
        )
    ),
    "memory.reinforced.v1": _event(MemoryReinforced(recall_id="r-1", memory_ids=(_B, _A, _B))),
    "memory.hub-formed.v1": _event(
        HubFormed(
            memory_id=_A,
            strength=2**40,
            degree=256,
            cluster=(ClusterMember(memory_id=_B, weight=2**32), ClusterMember(memory_id=_A, weight=0)),
            cause="r-1",
            applied=_APPLIED,
        )
    ),
    "knowledge.distilled.v1": _event(
        KnowledgeDistilled(
            fact_id=_B,
            kind="agent-knowledge",
            text="Zoë has lived in Łódź since 2021.",
            subject="Zoë",
            valid_from=0,
            evidence=(Evidence(memory_id=_A, content_hash="0123456789abcdef" * 4),),
            hub="h-1",
            distiller="extractive:1",
        )
    ),
    "knowledge.retracted.v1": _event(KnowledgeRetracted(fact_id=_B, reason="superseded"), time_ms=0),
    "memory.forgotten.v1": _event(
        MemoryForgotten(memory_ids=(_A, _B), reason="weak", run=_B), time_ms=253_402_300_799_999
    ),
    "memory.restored.v1": _event(MemoryRestored(memory_ids=(_A,), reason="asked for")),
    "subject.erased.v1": _event(SubjectErased(subject="Zoë 🐈", memory_ids=(_A, _B), fact_ids=(_B,), keys=(_A,))),
    "settings.applied.v1": _event(
        SettingsApplied(
            settings=Settings(
                logic_version=7,
                encoding=EncodingSettings(embedder="openai:text-3@2", language="german"),
                hebbian=HebbianSettings(
                    eta_recalled=0.0,
                    eta_reinforced=1.0,
                    half_life_s=1024,
                    neighbours=256,
                    newcomers=1,
                    hub_strength=0.1,
                    hub_degree=2,
                    hub_cluster=64,
                    hub_rest_s=1,
                ),
                forgetting_of={
                    "acme": ForgettingPolicy(
                        weaker_than=0.5,
                        older_than_days=36_525,
                        not_recalled_for_days=0,
                        protected=("agent", "facts", "hubs", "speaker:Zoë 🐈"),
                        budget=1,
                        every_days=7,
                    )
                },
            )
        )
    ),
    "record.dead-lettered.v1": _event(
        RecordDeadLettered(
            group="encoding",
            topic="helamem.conversations.g1",
            partition=3,
            generation=1,
            offset=12_345_678_901,
            reason="must be a string, not a whole number",
            field="data.text",
            key_base64="YS9i",
            value_base64="AP8=",
        )
    ),
    "checkpoint.signed.v1": _event(
        CheckpointSigned(
            archive_id=_A,
            number=9_007_199_254_740_991,
            previous="0123456789abcdef" * 4,
            topic="helamem.conversations.g12",
            generation=12,
            partition=3,
            begin=5,
            end=1_000_000,
            chain_begin=2,
            chain_head="f" * 64,
            segments=(
                SegmentRoot(begin=5, end=9, records=3, root="a" * 64),
                SegmentRoot(begin=9, end=1_000_000, records=1, root="0" * 64),
            ),
            signed_at=0,
            public_key="1" * 64,
            signature="2" * 128,
        )
    ),
    "model.answered.v1": _event(
        ModelAnswered(
            kind="distillation",
            model="openai:gpt-größe",
            version="gpt-größe-2026-01-01",
            prompt_hash="0123456789abcdef" * 4,
            input_hash="f" * 64,
            answer='{"statements": ["Zoë \U0001d11e"]}\n',
        )
    ),
    "space.accessed.v1": _event(
        SpaceAccessed(caller="oidc:Zoë 🐈", endpoint="GET /v1/spaces/{tenant}/{name}/why/{id}", status=404, item=_A)
    ),
    "key.changed.v1": _event(
        KeyChanged(key="5f0e9a353f2d", change="revoked", tenant="acme", spaces=("*",), rights=("recall", "audit"))
    ),
}
"""By the type string of the golden file."""


def write_missing() -> list[Path]:
    """Write the golden files that do not exist yet; return them."""
    contents = {GOLDEN / "events" / f"{name}.json": encode(event) for name, event in EXPECTED.items()}
    contents |= {
        GOLDEN / "schemas" / name: content for name, content in documents().items() if name.endswith(".schema.json")
    }
    missing = [path for path in contents if not path.exists()]
    for path in missing:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[path])
    return missing


if __name__ == "__main__":
    write_missing()
