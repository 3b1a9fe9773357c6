"""What lies between two stores is what was done to one of them."""

from __future__ import annotations

from typing import cast

import msgspec

from fakes.events import SPACE, START_MS
from fakes.turns import turn
from helamem.processors.difference import EdgeChange, SpaceDifference, Things, difference
from helamem.processors.store.port import MemoryStore
from helamem.schemas.ids import memory_id
from processors.test_digest import OTHER, Scanned, fact, row, small


async def between(before: Scanned, after: Scanned, space: str | None = None) -> dict[str, SpaceDifference]:
    """Return the difference of two contents."""
    return await difference(cast("MemoryStore", before), cast("MemoryStore", after), space)


def ids(things: Things) -> dict[str, list[str]]:
    """Return the ids of each sort that has some."""
    found = {sort: [one.id for one in getattr(things, sort)] for sort in things.__struct_fields__}
    return {sort: names for sort, names in found.items() if names}


async def test_equal_stores_do_not_differ() -> None:
    """Whatever the order of their scans, and whatever the positions of their records."""
    other = small()
    other.turns.reverse()
    other.edges = [msgspec.structs.replace(one, position=one.position._replace(offset=99)) for one in other.edges]
    assert await between(small(), other) == {}


async def test_each_change_is_of_its_sort() -> None:
    """Added, removed, hidden, shown and changed; there and back again they are each other's opposites."""
    other = small()
    other.turns[0] = msgspec.structs.replace(other.turns[0], hidden=True)
    other.turns[1] = msgspec.structs.replace(other.turns[1], content_hash="0" * 64)
    other.turns.append(turn(5, "A new one."))
    del other.facts[0]
    other.facts[0] = msgspec.structs.replace(other.facts[0], hidden=True)
    other.facts[1] = msgspec.structs.replace(other.facts[1], evidence=("e3",))
    found = await between(small(), other)
    assert ids(found[SPACE].memories) == {
        "hidden": [other.turns[0].id],
        "changed": [other.turns[1].id],
        "added": [other.turns[3].id],
    }
    assert ids(found[SPACE].facts) == {"removed": [fact(0).id], "hidden": [fact(1).id]}
    assert ids(found[OTHER].facts) == {"changed": [fact(2, space=OTHER).id]}
    back = await between(other, small())
    assert ids(back[SPACE].memories) == {
        "shown": [other.turns[0].id],
        "changed": [other.turns[1].id],
        "removed": [other.turns[3].id],
    }
    assert found[SPACE].memories.hidden[0].text == "The tent is blue."
    assert (await between(small(), other, OTHER)).keys() == {OTHER}


async def test_edges_are_pairs_with_their_weights() -> None:
    """Each pair once, the stronger of its two lists, the largest change first."""
    other = small()
    other.edges = [
        row("m0", ("m1", 1500, START_MS), ("m3", 7, START_MS)),
        row("m1", ("m0", 1500, START_MS)),
    ]
    pairs = [tuple(sorted((memory_id(SPACE, "m0"), memory_id(SPACE, f"m{number}")))) for number in (2, 1, 3)]
    assert (await between(small(), other))[SPACE].edges == tuple(
        EdgeChange(memory_ids=(pair[0], pair[1]), before=before, after=after)
        for pair, before, after in zip(pairs, (900, 1000, 0), (0, 1500, 7), strict=True)
    )
