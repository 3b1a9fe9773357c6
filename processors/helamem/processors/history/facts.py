"""The facts of one space as encoding makes them, and which of them ended by what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from msgspec import UNSET
from msgspec.structs import replace

from helamem.processors.consolidation.claims.claim import Slot, slot_of
from helamem.processors.consolidation.standing import ended
from helamem.processors.consolidation.validity import End
from helamem.processors.encoding.facts import told_again, told_once
from helamem.processors.encoding.unsealing import Words
from helamem.processors.history.changes import Change, FactReinstated, FactRetracted, FactSuperseded, FactTold
from helamem.processors.port import Delivery
from helamem.processors.store.port import FactRecord
from helamem.processors.store.tombstones import erased_fact
from helamem.schemas.events import KnowledgeDistilled, KnowledgeRetracted
from helamem.schemas.times import MAX_MS, format_ms

_LEGIBLE = "…"
"""Stands for the words of a fact that are not erased: they are not kept."""


class Facts:
    """What is known in a space: in memory every fact without its words."""

    def __init__(self) -> None:
        self._known: dict[str, FactRecord] = {}
        self._retracted: set[str] = set()
        self._ended: dict[str, End] = {}
        self._of_slot: defaultdict[Slot, set[str]] = defaultdict(set)
        self._superseding: defaultdict[str, set[str]] = defaultdict(set)
        """By a fact's id, those that say that they supersede it."""

    def tell(
        self,
        at: str,
        delivery: Delivery,
        data: KnowledgeDistilled,
        words: Words,
        memory_of: Callable[[str], str | None],
    ) -> list[Change]:
        """Take a distillation, and return what it changes.

        Args:
            at: Append time.
            delivery: Where the event stands.
            data: Its data.
            words: What it says.
            memory_of: Gives the memory of a hub, where that is known.
        """
        earlier = self._known.get(data.fact_id)
        record = told_once(delivery, data, "" if words.erased else _LEGIBLE, words.claim)
        if words.erased:
            record = erased_fact(record)
        if earlier is not None:
            record = told_again(earlier, record)
            if words.erased:
                record = erased_fact(record)
            if replace(record, position=earlier.position, sources=earlier.sources) == earlier:
                self._known[record.id] = record
                return []
        self._keep(record)
        told = FactTold(
            at=at,
            event_id=delivery.event.id,
            fact_id=record.id,
            fact_kind=record.kind,
            subject=record.subject,
            statement=words.text,
            valid_from=format_ms(record.valid_from_ms),
            valid_to=None if record.valid_until_ms is None else format_ms(record.valid_until_ms),
            confidence=None if data.confidence is UNSET else data.confidence,
            evidence=record.evidence,
            hub_memory_id=memory_of(record.hub),
            hidden=record.id in self._retracted,
        )
        self._ended.pop(record.id, None)  # whoever draws it takes its end from what was told just now
        return [told, *self._settled(at, delivery, self._concerned(record))]

    def retract(self, at: str, delivery: Delivery, data: KnowledgeRetracted) -> list[Change]:
        """Take a retraction, which may come before its fact, and return what it changes."""
        if data.fact_id in self._retracted:
            return []
        self._retracted.add(data.fact_id)
        told = FactRetracted(at=at, event_id=delivery.event.id, fact_id=data.fact_id, reason=data.reason)
        record = self._known.get(data.fact_id)
        if record is None:
            return [told]
        self._keep(replace(record, hidden=True))
        self._ended.pop(record.id, None)
        return [told, *self._settled(at, delivery, self._concerned(record))]

    def _keep(self, record: FactRecord) -> None:
        self._known[record.id] = replace(record, hidden=record.id in self._retracted)
        if record.key:
            self._of_slot[slot_of(record.subject, record.key)].add(record.id)
        for id_ in record.supersedes:
            self._superseding[id_].add(record.id)

    def _concerned(self, record: FactRecord) -> set[str]:
        """Return the facts whose end may depend on one."""
        return {record.id, *record.supersedes, *self._beside(record)}

    def _beside(self, record: FactRecord) -> Iterable[str]:
        return self._of_slot[slot_of(record.subject, record.key)] if record.key else ()

    def _settled(self, at: str, delivery: Delivery, concerned: set[str]) -> list[Change]:
        """Return which of some facts have another end than they had; a retracted one has none."""
        there = [self._known[id_] for id_ in sorted(concerned & self._known.keys())]
        asked = {id_ for record in there for id_ in (record.id, *self._beside(record), *self._superseding[record.id])}
        found = ended((self._known[id_] for id_ in asked), MAX_MS)
        changes: list[Change] = []
        for record in there:
            was, now = self._ended.get(record.id), found.get(record.id)
            if now is not None and not now.by:  # its own words say until when, and were told
                now = None
            if now == was:
                continue
            if now is not None:
                self._ended[record.id] = now
                changes.append(
                    FactSuperseded(
                        at=at, event_id=delivery.event.id, fact_id=record.id, by=now.by, valid_to=format_ms(now.at_ms)
                    )
                )
            else:
                del self._ended[record.id]
                changes.append(FactReinstated(at=at, event_id=delivery.event.id, fact_id=record.id))
        return changes
