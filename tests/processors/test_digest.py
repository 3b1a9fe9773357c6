"""The digest: what it sees, what it does not see, and that two stores fed by one log agree on it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar, cast

import msgspec
import pytest
from qdrant_client import AsyncQdrantClient

from fakes.directories import directory
from fakes.events import SPACE, START_MS, distilled, forgotten, message, recalled, reinforced, restored, retracted
from fakes.machine import Machine, machine
from fakes.turns import turn
from helamem.processors.consolidation.claims.claim import Claim
from helamem.processors.digest import Digest, digest
from helamem.processors.hebbian.packing import Edge, pack
from helamem.processors.store.port import EdgeRow, FactRecord, MemoryStore, Turn
from helamem.processors.store.qdrant import QdrantStore
from helamem.schemas.ids import id_bytes, memory_id
from helamem.schemas.records import Position

OTHER = "acme/bert"
T = TypeVar("T", Turn, EdgeRow, FactRecord)


class Scanned:
    """What three scans of a store yield; the digest asks for nothing else."""

    def __init__(self, turns: Sequence[Turn], edges: Sequence[EdgeRow], facts: Sequence[FactRecord]) -> None:
        self.turns, self.edges, self.facts = list(turns), list(edges), list(facts)

    async def _scan(self, items: list[Any], space: str | None) -> AsyncIterator[Any]:
        for item in items:
            if space in (None, item.space):
                yield item

    def scan_turns(self, space: str | None) -> AsyncIterator[Any]:
        """Yield the turns."""
        return self._scan(self.turns, space)

    def scan_edges(self, space: str | None) -> AsyncIterator[Any]:
        """Yield the rows."""
        return self._scan(self.edges, space)

    def scan_facts(self, space: str | None) -> AsyncIterator[Any]:
        """Yield the facts."""
        return self._scan(self.facts, space)

    async def digest(self, space: str | None = None) -> Digest:
        """Return the digest."""
        return await digest(cast("MemoryStore", self), space)


def row(name: str, *neighbours: tuple[str, int, int], space: str = SPACE, offset: int = 5) -> EdgeRow:
    """Return an edge row with neighbours as name, weight and as-of."""
    packed = pack([Edge(id_bytes(memory_id(SPACE, other)), weight, as_of) for other, weight, as_of in neighbours])
    return EdgeRow(space=space, memory_id=memory_id(SPACE, name), position=Position(1, offset), neighbours=packed)


def fact(number: int, *, space: str = SPACE) -> FactRecord:
    """Return a fact."""
    return FactRecord(
        id=memory_id(space, f"fact{number}"),
        space=space,
        kind="fact",
        text=f"Statement {number} holds.",
        subject="Anna",
        valid_from_ms=START_MS,
        evidence=("e1", "e2"),
        evidence_hashes=("h1", "h2"),
        hub="hub",
        distiller="test:1",
        vector_hash="v",
        position=Position(1, number),
    )


def small() -> Scanned:
    """Return a store's content in two spaces."""
    elsewhere = msgspec.structs.replace(turn(7, "Elsewhere."), space=OTHER, id=memory_id(OTHER, "m7"))
    return Scanned(
        [turn(0, "The tent is blue."), turn(1, "The stove is red."), elsewhere],
        [row("m0", ("m1", 1000, START_MS), ("m2", 900, START_MS)), row("m1", ("m0", 1000, START_MS))],
        [fact(0), fact(1), fact(2, space=OTHER)],
    )


TURN_CHANGES = {
    "message_id": "m9",
    "conversation": "d",
    "turn": 3,
    "previous": memory_id(SPACE, "m0"),
    "speaker": "Bert",
    "role": "agent",
    "text": "The tent is blue!",
    "time_ms": START_MS + 1,
    "keywords": ("tent",),
    "content_hash": "0" * 64,
    "vector_hash": "1",
    "hidden": True,
    "id": memory_id(SPACE, "m9"),
}
FACT_CHANGES = {
    "kind": "user-trait",
    "text": "Statement 0 holds!",
    "subject": "Bert",
    "valid_from_ms": START_MS + 1,
    "evidence": ("e2", "e1"),
    "evidence_hashes": ("h1", "h3"),
    "hub": "other",
    "distiller": "test:2",
    "vector_hash": "w",
    "hidden": True,
    "id": memory_id(SPACE, "fact9"),
}


@pytest.mark.parametrize("field", TURN_CHANGES)
async def test_any_change_of_a_memory_changes_it(field: str) -> None:
    """And only its space's, and of that only the part of memories."""
    content = small()
    before = await content.digest()
    content.turns[0] = msgspec.structs.replace(content.turns[0], **{field: TURN_CHANGES[field]})
    _only(before, await content.digest(), "memories")


@pytest.mark.parametrize("field", FACT_CHANGES)
async def test_any_change_of_a_fact_changes_it(field: str) -> None:
    """And only its space's, and of that only the part of facts."""
    content = small()
    before = await content.digest()
    content.facts[0] = msgspec.structs.replace(content.facts[0], **{field: FACT_CHANGES[field]})
    _only(before, await content.digest(), "facts")


@pytest.mark.parametrize(
    "changed",
    [
        row("m0", ("m1", 1001, START_MS), ("m2", 900, START_MS)),
        row("m0", ("m1", 1000, START_MS + 1), ("m2", 900, START_MS)),
        row("m0", ("m1", 1000, START_MS), ("m3", 900, START_MS)),
        row("m0", ("m1", 1000, START_MS)),
        row("m5", ("m1", 1000, START_MS), ("m2", 900, START_MS)),
        msgspec.structs.replace(row("m0", ("m1", 1000, START_MS), ("m2", 900, START_MS)), hub_formed_ms=START_MS),
    ],
)
async def test_any_change_of_an_edge_changes_it(changed: EdgeRow) -> None:
    """Weight, time, neighbour, number of neighbours, owner, and when it last formed a hub."""
    content = small()
    before = await content.digest()
    content.edges[0] = changed
    _only(before, await content.digest(), "edges")


def _only(before: Digest, after: Digest, part: str) -> None:
    """Assert that this part of the first space changed, and nothing else."""
    assert after.digest != before.digest
    assert after.spaces[OTHER] == before.spaces[OTHER]
    assert after.spaces[SPACE].digest != before.spaces[SPACE].digest
    for each in ("memories", "edges", "facts"):
        same = getattr(after.spaces[SPACE], each) == getattr(before.spaces[SPACE], each)
        assert same is (each != part)


async def test_what_is_there_and_what_is_not_changes_it() -> None:
    """One item more or less in any part."""
    whole = (await small().digest()).digest
    seen = {whole}
    for part in ("turns", "edges", "facts"):
        content = small()
        getattr(content, part).pop(0)
        seen.add((await content.digest()).digest)
    assert len(seen) == 4


def shuffled(items: list[T], rng: random.Random) -> list[T]:
    """Return items in another order and from other positions."""
    return [
        msgspec.structs.replace(item, position=Position(2, rng.randrange(999)))
        for item in rng.sample(items, len(items))
    ]


async def test_order_and_positions_do_not_matter() -> None:
    """Items come in any order, neighbours are packed in any order, and every log has its own positions."""
    expected = await small().digest()
    for seed in range(5):
        content = small()
        rng = random.Random(seed)
        content.turns = shuffled(content.turns, rng)
        content.edges = shuffled(content.edges, rng)
        content.facts = shuffled(content.facts, rng)
        assert await content.digest() == expected
    content = small()
    content.turns[0] = msgspec.structs.replace(content.turns[0], claims=(Claim("Anna", "home", "bergen"),))
    assert await content.digest() == expected  # what a turn claims follows from its words
    content = small()
    content.edges[0] = row("m0", ("m2", 900, START_MS), ("m1", 1000, START_MS))
    assert await content.digest() == expected


async def test_the_digest_of_one_space() -> None:
    """It is the same asked for alone as among all; a space without anything has none."""
    everything = await small().digest()
    alone = await small().digest(SPACE)
    assert alone.spaces == {SPACE: everything.spaces[SPACE]}
    assert everything.spaces[SPACE].counts == {"memories": 2, "edges": 2, "facts": 2}
    assert (await small().digest("acme/nobody")).spaces == {}
    assert list(everything.spaces) == sorted(everything.spaces)


async def test_its_form_is_stated() -> None:
    """`sha256:` and 64 hexadecimal digits, each part apart; this one is written down, so that it cannot drift."""
    found = await small().digest()
    for text in (found.digest, *(getattr(found.spaces[SPACE], p) for p in ("digest", "memories", "edges", "facts"))):
        assert text.startswith("sha256:")
        assert len(bytes.fromhex(text[7:])) == 32
    assert (await Scanned([], [], []).digest()).digest == EMPTY
    assert found.digest == SMALL


EMPTY = "sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
SMALL = "sha256:f2d6b2a827f72663461852f6f222c6ab746ff3c323cfd1d5a48e267425364e80"


def log() -> list[Any]:
    """Return a small log with everything in it."""
    said = [
        message(
            f"m{n}", f"Part {n} of the tent near the lake.", conversation=f"c{n % 2}", space=(SPACE, OTHER)[n % 3 == 0]
        )
        for n in range(12)
    ]
    return [
        *said,
        message("m1", "Something else under the same id."),
        *(recalled(f"r{n}", ["m1", "m2", f"m{n + 4}"], time_ms=START_MS + n) for n in range(4)),
        *(reinforced(f"e{n}", ["m1", "m2", "m4", "m5"], time_ms=START_MS + 9 + n) for n in range(4)),
        reinforced("o", ["m0", "m3", "m6"], space=OTHER),
        distilled("f0", "Anna owns a tent."),
        distilled("f1", "The lake is cold."),
        retracted("x", "The lake is cold."),
        forgotten("h", "m2", "m4"),
        restored("s", "m4"),
    ]


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant:UserWarning")
async def test_two_stores_fed_by_one_log_agree() -> None:
    """EdgeStore in this process and QdrantStore over the client's local mode, each through the pump."""
    with directory() as path:
        async with machine(path) as one:
            await one.append(*log())
            await one.settle()
            edge = await digest(one.store)
            client = AsyncQdrantClient(path=str(path / "qdrant"))
            store = await QdrantStore.open(client, dimension=one.embedder.dimension)
            try:
                other = Machine(one.log, store, one.settings, one.embedder)
                await other.settle(batch_records=5)
                assert await digest(store) == edge
            finally:
                await store.close()
    assert edge.spaces[SPACE].counts["edges"] >= 4
    assert edge.spaces[SPACE].counts["facts"] >= 3, "a hub was distilled too"
