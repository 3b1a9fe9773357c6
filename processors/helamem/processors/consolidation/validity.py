"""How long what was stated holds: a pure function of the statements, in whatever order they became known.

Of one slot (a subject and a key) one value holds at a time. Statements are in the order of event time, and of their
positions where that is the same; each holds until the next one of its slot with another value. One that explicitly
supersedes another ends it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from helamem.processors.consolidation.claims.claim import Slot, same_value


class Stated(NamedTuple):
    """One statement of a slot."""

    id: str
    slot: Slot | None
    """None where it is not known what it is about; then only another one that names it ends it."""
    value: str
    from_ms: int
    """Event time from which it holds."""
    order: tuple[int, ...] = ()
    """Decides between statements of the same time; of any two in one slot the same length."""
    supersedes: tuple[str, ...] = ()
    """Ids of statements that it ends, whatever they are about."""


class End(NamedTuple):
    """That a statement holds no longer."""

    at_ms: int
    by: str
    """Id of the statement that ended it."""


def ends(stated: Iterable[Stated], as_of_ms: int) -> dict[str, End]:
    """Return which of the statements hold no longer at a moment, and since when.

    Args:
        stated: All that is known of the slots in question, each id once.
        as_of_ms: Statements of a later time are left out of consideration: nobody knew them.
    """
    known = sorted((one for one in stated if one.from_ms <= as_of_ms), key=lambda one: (one.from_ms, one.order, one.id))
    ended: dict[str, End] = {}
    open_: dict[Slot, list[Stated]] = {}
    for one in known:
        if one.slot is not None:
            holding = open_.setdefault(one.slot, [])
            for earlier in [other for other in holding if not same_value(other.value, one.value)]:
                ended.setdefault(earlier.id, End(one.from_ms, one.id))
                holding.remove(earlier)
            holding.append(one)
        for id_ in one.supersedes:
            ended.setdefault(id_, End(one.from_ms, one.id))
    there = {one.id for one in known}
    return {id_: end for id_, end in ended.items() if id_ in there}


def current_of(id_: str, ended: Mapping[str, End]) -> str:
    """Return the statement that holds in the place of one: what ended it, what ended that, and so on."""
    seen = {id_}
    while (end := ended.get(id_)) is not None and end.by not in seen:
        id_ = end.by
        seen.add(id_)
    return id_
