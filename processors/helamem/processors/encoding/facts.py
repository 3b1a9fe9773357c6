"""What a fact is after it was told, and after it was told again: with more evidence, from the first of it on."""

from __future__ import annotations

from msgspec import UNSET
from msgspec.structs import replace

from helamem.processors.encoding.unsealing import Claimed
from helamem.processors.port import Delivery
from helamem.processors.store.port import FactRecord
from helamem.processors.store.tombstones import erased_fact
from helamem.schemas.events import ConversationMessage, KnowledgeDistilled, Subjects
from helamem.schemas.traceparent import caused


def told_once(delivery: Delivery, fact: KnowledgeDistilled, text: str, claim: Claimed) -> FactRecord:
    """Return a fact as its event tells it, without the hash of a vector.

    Args:
        delivery: Where the event stands.
        fact: Its data.
        text: Its words, opened; empty where they are erased.
        claim: What it claims, opened.
    """
    key, value = claim
    return FactRecord(
        id=fact.fact_id,
        space=delivery.event.space,
        kind=fact.kind,
        text=text,
        subject=fact.subject,
        valid_from_ms=fact.valid_from,
        evidence=tuple(one.memory_id for one in fact.evidence),
        evidence_hashes=tuple(one.content_hash for one in fact.evidence),
        hub=fact.hub,
        distiller=fact.distiller,
        vector_hash="",
        position=delivery.position,
        traceparent=caused(delivery.event.traceparent, fact.fact_id),
        data_subjects=subjects_sealed(fact),
        key=key,
        value=value,
        valid_until_ms=None if fact.valid_until is UNSET else fact.valid_until,
        supersedes=() if fact.supersedes is UNSET else fact.supersedes,
    )


def told_again(known: FactRecord, told: FactRecord) -> FactRecord:
    """Return a fact that is known after an event that tells it once more: its words stay those that were first."""
    fresh = [pair for pair in zip(told.evidence, told.evidence_hashes, strict=True) if pair[0] not in known.evidence]
    amended = replace(
        known,
        valid_from_ms=min(known.valid_from_ms, told.valid_from_ms),
        evidence=(*known.evidence, *(id_ for id_, _ in fresh)),
        evidence_hashes=(*known.evidence_hashes, *(hash_ for _, hash_ in fresh)),
        position=told.position,
        key=known.key or told.key,
        value=known.value or told.value,
        valid_until_ms=known.valid_until_ms if told.valid_until_ms is None else told.valid_until_ms,
        supersedes=tuple(dict.fromkeys((*known.supersedes, *told.supersedes))),
        sources=known.sources or len(known.evidence),
    )
    return erased_fact(amended) if known.erased else amended


def subjects_sealed(data: ConversationMessage | KnowledgeDistilled) -> Subjects:
    """Return whose keys seal the words of an event."""
    return () if data.sealed is UNSET else tuple(one.subject for one in data.sealed.keys)
