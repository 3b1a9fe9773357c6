"""What a new statement is to what is known of its slot: more evidence, something else from now on, or long over.

It is decided once, when the statement is told, from event times alone, and stands in the event.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from helamem.processors.consolidation.claims.claim import NO, NONE, same_value, slot_of
from helamem.processors.consolidation.distiller import Kind, Statement
from helamem.processors.store.payload import slot_id
from helamem.processors.store.port import FactRecord, MemoryStore, Turn
from helamem.schemas.ids import fact_id

_REMEMBERED = 1000
"""Statements that were told and are not in the store yet."""
_MOST_SUPERSEDED = 64


class Known(Struct, frozen=True, kw_only=True):
    """A fact of a slot, as far as it matters for the next one."""

    id: str
    kind: Kind
    text: str
    subject: str
    key: str
    value: str
    from_ms: int
    evidence: frozenset[str]


def settle(statement: Statement, known: Sequence[Known], id_: str) -> Statement | None:
    """Return what is to be told of a statement with a key, or None where all of it is known.

    - Where the same value holds already, or comes next, the statement is that fact's, with its evidence added.
    - Otherwise it supersedes what holds at its time, and ends where the next one begins.
    - The end of something that nobody knew of says nothing of a slot.

    Args:
        statement: What was distilled.
        known: The facts of its slot.
        id_: The fact that it would be by itself, where it is not sealed.
    """
    ordered = sorted(known, key=lambda one: (one.from_ms, one.id))
    earlier = [one for one in ordered if one.from_ms <= statement.valid_from_ms]
    later = [one for one in ordered if one.from_ms > statement.valid_from_ms]
    for same in (*earlier[-1:], *later[:1]):
        if not (same_value(same.value, statement.value) or same.id == id_ or _says(same, statement)):
            continue
        fresh = tuple(turn for turn in statement.evidence if turn.id not in same.evidence)
        if not fresh:
            return None
        return replace(
            statement,
            kind=same.kind,
            text=same.text,
            subject=same.subject,
            key=same.key,
            value=same.value,
            evidence=fresh,
            answer=None,  # it says the statement in other words
        )
    if not known and statement.value in (NO, NONE):
        return replace(statement, key="", value="")
    return replace(
        statement,
        supersedes=tuple(one.id for one in earlier[-1:]),
        valid_until_ms=later[0].from_ms if later else None,
    )


class Settling:
    """Settles the statements of one partition, each of which knows of those before it.

    Encoding may not have come as far as what was told last, so that is remembered until the store has it.

    Args:
        store: Read for what is known.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._pending: OrderedDict[tuple[str, str], Known] = OrderedDict()

    async def begin(self) -> None:
        """Begin a batch: what the store has by now is the store's to tell, hidden or not."""
        by_space: dict[str, list[str]] = {}
        for space, id_ in self._pending:
            by_space.setdefault(space, []).append(id_)
        for space, ids in by_space.items():
            for id_ in await self._store.facts(space, ids):
                del self._pending[space, id_]

    async def new(self, space: str, statements: Iterable[Statement]) -> list[Statement]:
        """Return what is to be told of a hub's statements with keys, in the order of time, each fact once."""
        ordered = sorted(statements, key=lambda one: one.valid_from_ms)
        if not ordered:
            return []
        known = await self._about(space, {slot_id(space, one.subject, one.key) for one in ordered})
        told: dict[str, Statement] = {}
        for statement in ordered:
            slot = slot_of(statement.subject, statement.key)
            of_slot = [one for one in known.values() if one.key and slot_of(one.subject, one.key) == slot]
            found = settle(statement, of_slot, fact_id(space, statement.kind, statement.text))
            if found is None:
                continue
            id_ = next((one.id for one in of_slot if _says(one, found)), fact_id(space, found.kind, found.text))
            known[id_] = _knowing(id_, found, known.get(id_))
            self._remember(space, known[id_])
            first = told.get(id_)
            told[id_] = found if first is None else replace(first, evidence=_both(first, found))
        return list(told.values())

    async def fuller(self, space: str, statements: Iterable[Statement]) -> list[Statement]:
        """Return statements without keys, each superseding those of which it has every line.

        One of which another has every line already is left out.
        """
        kept = []
        for statement in statements:
            id_ = fact_id(space, statement.kind, statement.text)
            known = [
                one
                for one in (await self._about(space, {turn.id for turn in statement.evidence})).values()
                if not one.key and one.kind == statement.kind and one.text != statement.text
            ]
            lines = _lines(statement.text)
            if any(lines <= _lines(one.text) for one in known):
                continue
            self._remember(space, _knowing(id_, statement, None))
            less = sorted(one.id for one in known if _lines(one.text) < lines)
            kept.append(replace(statement, supersedes=tuple(less[:_MOST_SUPERSEDED])))
        return kept

    def is_called(self, space: str, id_: str, sealed_id: str) -> None:
        """Know what was told just now by the id that it has in the log and, later, in the store."""
        if id_ != sealed_id and (told := self._pending.pop((space, id_), None)) is not None:
            self._remember(space, replace(told, id=sealed_id))

    async def _about(self, space: str, topics: Collection[str]) -> dict[str, Known]:
        """Return what is known about some topics, with all that is not in the store yet."""
        stored = await self._store.facts_about(space, sorted(topics))
        known = {id_: _stored(fact) for id_, fact in stored.items()}
        return known | {id_: one for (of, id_), one in self._pending.items() if of == space}

    def _remember(self, space: str, known: Known) -> None:
        self._pending[space, known.id] = known
        if len(self._pending) > _REMEMBERED:
            self._pending.popitem(last=False)


def _says(known: Known, statement: Statement) -> bool:
    """Return whether a statement is that of a fact, whose id does not tell where it is sealed."""
    return (known.kind, known.text) == (statement.kind, statement.text)


def _lines(text: str) -> frozenset[str]:
    return frozenset(text.splitlines())


def _stored(fact: FactRecord) -> Known:
    return Known(
        id=fact.id,
        kind=cast("Kind", fact.kind),
        text=fact.text,
        subject=fact.subject,
        key=fact.key,
        value=fact.value,
        from_ms=fact.valid_from_ms,
        evidence=frozenset(fact.evidence),
    )


def _both(first: Statement, second: Statement) -> tuple[Turn, ...]:
    """Return the evidence of two statements of one fact, each turn once."""
    return tuple({turn.id: turn for turn in (*first.evidence, *second.evidence)}.values())


def _knowing(id_: str, told: Statement, before: Known | None) -> Known:
    """Return a fact after it was told, once more if it was known before."""
    evidence = frozenset(turn.id for turn in told.evidence)
    return Known(
        id=id_,
        kind=told.kind,
        text=told.text,
        subject=told.subject,
        key=told.key,
        value=told.value,
        from_ms=min(told.valid_from_ms, before.from_ms) if before else told.valid_from_ms,
        evidence=evidence | before.evidence if before else evidence,
    )
