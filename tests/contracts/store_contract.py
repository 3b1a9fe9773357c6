"""What every `MemoryStore` does. An adapter's tests subclass `StoreContract` and say how to open and reopen one."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
import pytest
from msgspec.structs import replace

from helamem.processors.consolidation.claims.claim import Claim
from helamem.processors.store.payload import slot_id
from helamem.processors.store.port import (
    Checkpoint,
    EdgeRow,
    Fact,
    FactRecord,
    Mark,
    Memory,
    MemoryStore,
    Scores,
    Turn,
    Vector,
    Writes,
)
from helamem.processors.store.tombstones import erased_fact, erased_turn, no_direction
from helamem.schemas.events import MAX_TEXT
from helamem.schemas.ids import derived_id, fact_id, memory_id
from helamem.schemas.records import Position, TopicPartition

Reopen = Callable[[], Awaitable[MemoryStore]]

DIMENSION = 32
A, B = "acme/anna", "acme/bert"


def vector(seed: str) -> Vector:
    """Return a vector of length 1 that depends on a text alone."""
    numbers = np.random.default_rng(int(hashlib.sha256(seed.encode()).hexdigest()[:8], 16))
    drawn = numbers.standard_normal(DIMENSION).astype(np.float32)
    normed: Vector = drawn / np.linalg.norm(drawn)
    return normed


def memory(
    number: int,
    text: str = "",
    *,
    space: str = A,
    conversation: str = "kitchen",
    turn: int | None = None,
    position: Position | None = None,
) -> Memory:
    """Return a memory; by default its number is its turn and its offset too."""
    said = text or f"turn number{number} about topic{number % 7}"
    return Memory(
        turn=Turn(
            id=memory_id(space, f"m{number}"),
            space=space,
            message_id=f"m{number}",
            conversation=conversation,
            turn=number if turn is None else turn,
            previous=memory_id(space, f"m{number - 1}") if number else None,
            speaker="Anna",
            role="user",
            text=said,
            time_ms=1_700_000_000_000 + number,
            keywords=("topic", f"number{number}"),
            content_hash=hashlib.sha256(said.encode()).hexdigest(),
            vector_hash=hashlib.sha256(vector(said).tobytes()).hexdigest(),
            position=position or Position(1, number),
        ),
        dense=vector(said),
        lexical=said,
    )


def said_at(m: Memory, time_ms: int) -> Memory:
    """Return a memory as if it had been said at another time."""
    return replace(m, turn=replace(m.turn, time_ms=time_ms))


def fact(number: int, text: str = "", *, space: str = A, position: Position | None = None) -> Fact:
    """Return a fact."""
    said = text or f"statement{number} holds"
    return Fact(
        record=FactRecord(
            id=fact_id(space, "fact", f"f{number}"),
            space=space,
            kind="fact",
            text=said,
            subject="Anna",
            valid_from_ms=1_700_000_000_000 + number,
            evidence=(memory_id(space, "m1"), memory_id(space, "m2")),
            evidence_hashes=("0" * 64, "1" * 64),
            hub="hub-1",
            distiller="extractive-1",
            vector_hash="2" * 64,
            position=position or Position(1, number),
        ),
        dense=vector(said),
        lexical=said,
    )


def claiming(number: int, key: str, value: str, *, space: str = A, position: Position | None = None) -> Fact:
    """Return a fact that claims something of Anna."""
    plain = fact(number, space=space, position=position)
    return Fact(record=replace(plain.record, key=key, value=value), dense=plain.dense, lexical=plain.lexical)


def row(of: Memory | str, offset: int, neighbours: bytes = b"", *, generation: int = 1, space: str = A) -> EdgeRow:
    """Return an edge row."""
    id_ = of if isinstance(of, str) else of.turn.id
    position = Position(generation, offset)
    return EdgeRow(space=space, memory_id=id_, position=position, neighbours=neighbours, hub_formed_ms=offset * 10)


def mark(of: Memory | Fact, offset: int, *, hidden: bool, generation: int = 1, space: str = A) -> Mark:
    """Return a mark."""
    return Mark(
        collection="memories" if isinstance(of, Memory) else "facts",
        space=space,
        target=of.turn.id if isinstance(of, Memory) else of.record.id,
        hidden=hidden,
        position=Position(generation, offset),
    )


def checkpoint(state: bytes, offset: int = 7, partition: int = 0) -> Checkpoint:
    """Return a checkpoint of a group."""
    where = TopicPartition("helamem.recalls.g1", partition)
    return Checkpoint(group="coactivation", partition=where, position=Position(1, offset), state=state)


async def all_turns(store: MemoryStore, space: str | None = None) -> list[Turn]:
    """Return what a scan of the memories yields, by position."""
    return sorted([turn async for turn in store.scan_turns(space)], key=lambda turn: (turn.space, turn.position))


async def searched(store: MemoryStore, query: Memory, space: str = A, limit: int = 10) -> set[str]:
    """Return the ids of everything that a search finds, by vector or by words."""
    scores = await store.search_memories(space, query.dense, query.lexical, limit)
    return set(scores.dense) | set(scores.lexical)


class StoreContract:
    """Subclass it and add the fixtures `store` (of `DIMENSION`) and `reopen` (closes it and opens it again)."""

    async def test_an_empty_store_answers_everything_with_nothing(self, store: MemoryStore) -> None:
        """Nothing is there, and no read of it fails."""
        m = memory(1)
        assert await store.origins([m.turn.id]) == {}
        assert await store.turns(A, [m.turn.id]) == {}
        assert await store.facts(A, [m.turn.id]) == {}
        assert await store.edge_rows(A, [m.turn.id]) == {}
        assert await store.turns(A, []) == {}
        assert await store.conversation_tail(A, "kitchen", Position(1, 9), 3) == []
        assert await searched(store, m) == set()
        scores = await store.score_memories(A, m.dense, m.lexical, places=[("kitchen", 1)], memory_ids=[m.turn.id])
        assert (scores.dense, scores.lexical) == ({}, {})
        assert (await store.search_facts(A, m.dense, m.lexical, 5)).dense == {}
        assert await all_turns(store) == []
        assert [r async for r in store.scan_edges(None)] == []
        assert [f async for f in store.scan_facts(A)] == []
        assert await store.spaces() == {}
        assert await store.load_checkpoints("coactivation") == {}
        await store.write(Writes())
        await store.flush()

    async def test_what_was_written_reads_back_as_it_was(self, store: MemoryStore) -> None:
        """Every field of a memory, a fact and an edge row survives the store."""
        m, f, r = memory(3), fact(4), row(memory(3), 5, bytes(range(256)))
        m = replace(m, turn=replace(m.turn, claims=(Claim("Anna", "home", "bergen"), Claim("Rex", "pet:rex", "no"))))
        await store.write(Writes(memories=(m,), facts=(f,), edges=(r,)))
        assert await store.turns(A, [m.turn.id]) == {m.turn.id: m.turn}
        assert await store.facts(A, [f.record.id]) == {f.record.id: f.record}
        assert await store.edge_rows(A, [m.turn.id]) == {m.turn.id: r}
        origin = (await store.origins([m.turn.id]))[m.turn.id]
        assert (origin.content_hash, origin.position) == (m.turn.content_hash, m.turn.position)

    @pytest.mark.parametrize("other", [Position(1, 9), Position(1, 2), Position(2, 0), Position(1, 5)])
    async def test_the_first_memory_and_fact_with_an_id_stay(self, store: MemoryStore, other: Position) -> None:
        """A second one is ignored, whether its position is later, earlier, of another generation or the same."""
        m, f = memory(1, "the first words", position=Position(1, 5)), fact(1, "the first fact", position=Position(1, 5))
        await store.write(Writes(memories=(m,), facts=(f,)))
        await store.write(
            Writes(
                memories=(memory(1, "other banana", position=other),), facts=(fact(1, "other banana", position=other),)
            )
        )
        assert await store.turns(A, [m.turn.id]) == {m.turn.id: m.turn}
        assert await store.facts(A, [f.record.id]) == {f.record.id: f.record}
        assert (await store.search_memories(A, m.dense, "banana", 5)).lexical == {}
        assert (await store.search_facts(A, f.dense, "banana", 5)).lexical == {}

    @pytest.mark.parametrize("hidden", [False, True])
    async def test_an_amended_fact_keeps_its_words_and_its_visibility(
        self, store: MemoryStore, *, hidden: bool
    ) -> None:
        """Its evidence and its time change, where the amendment is newer; nothing is made anew."""
        f = claiming(1, "home", "bergen", position=Position(1, 5))
        more = replace(
            f.record,
            evidence=(*f.record.evidence, memory_id(A, "m9")),
            evidence_hashes=(*f.record.evidence_hashes, "3" * 64),
            valid_from_ms=7,
            sources=2,
            position=Position(1, 8),
        )
        await store.write(Writes(facts=(f,), marks=(mark(f, 6, hidden=hidden),)))
        await store.write(Writes(amendments=(more, replace(fact(2).record, position=Position(1, 9)))))
        await store.write(Writes(facts=(f,), amendments=(replace(f.record, value="oslo", position=Position(1, 7)),)))
        assert [one async for one in store.scan_facts(A)] == [replace(more, hidden=hidden)]
        found = await store.search_facts(A, f.dense, f.lexical, 5)
        assert set(found.dense) | set(found.lexical) == (set() if hidden else {f.record.id})

    async def test_facts_are_looked_up_by_what_they_are_about(self, store: MemoryStore) -> None:
        """By their slot, whatever the form of its words, and by the facts that they supersede, in their own space."""
        home, other = claiming(1, "home", "bergen"), claiming(2, "home", "oslo")
        likes = claiming(3, "likes:hiking", "yes")
        later = Fact(record=replace(fact(4).record, supersedes=(likes.record.id,)), dense=vector("d"), lexical="d")
        theirs = claiming(1, "home", "bergen", space=B)
        gone = claiming(5, "home", "rome")
        await store.write(Writes(facts=(home, other, likes, later, theirs, gone), marks=(mark(gone, 9, hidden=True),)))
        slot = slot_id(A, "ANNA", "home")
        assert await store.facts_about(A, [slot]) == {one.record.id: one.record for one in (home, other)}
        assert set(await store.facts_about(A, [slot_id(A, "Anna", "likes:hike")])) == {likes.record.id}
        assert set(await store.facts_about(A, [likes.record.id])) == {later.record.id}
        assert set(await store.facts_about(B, [slot_id(B, "Anna", "home")])) == {theirs.record.id}
        assert await store.facts_about(B, [slot]) == {}
        assert await store.facts_about(A, []) == {}

    async def test_many_facts_about_one_thing_are_all_found(self, store: MemoryStore) -> None:
        """More than one page of them."""
        many = [claiming(n, "home", f"town{n} {'x' * 200}") for n in range(1100)]
        await store.write(Writes(facts=tuple(many)))
        assert len(await store.facts_about(A, [slot_id(A, "Anna", "home")])) == 1100

    async def test_redelivery_of_a_batch_changes_nothing(self, store: MemoryStore) -> None:
        """The same writes applied twice, and once more in part, leave what they left the first time."""
        ms = [memory(n) for n in range(20)]
        writes = Writes(
            memories=tuple(ms),
            facts=(fact(1),),
            edges=(row(ms[1], 30, b"x"), row(ms[2], 31, b"y")),
            marks=(mark(ms[3], 1, hidden=True), mark(ms[3], 2, hidden=False), mark(ms[4], 3, hidden=True)),
        )
        await store.write(writes)
        before = await all_turns(store)
        rows = await store.edge_rows(A, [m.turn.id for m in ms])
        await store.write(writes)
        await store.write(Writes(marks=writes.marks[:1], memories=writes.memories[:5]))
        assert await all_turns(store) == before
        assert [turn.message_id for turn in before if turn.hidden] == ["m4"]
        assert await store.edge_rows(A, [m.turn.id for m in ms]) == rows

    @pytest.mark.parametrize(
        ("written", "stays"),
        [
            (Position(2, 5), False),
            (Position(2, 4), False),
            (Position(1, 9), False),
            (Position(2, 6), True),
            (Position(3, 0), True),
        ],
    )
    async def test_an_edge_row_gives_way_only_to_a_later_position(
        self, store: MemoryStore, written: Position, *, stays: bool
    ) -> None:
        """Generation counts before offset; an equal or older position is ignored."""
        m = memory(1)
        first = row(m, 5, b"first", generation=2)
        second = row(m, written.offset, b"second", generation=written.generation)
        await store.write(Writes(edges=(first,)))
        await store.write(Writes(edges=(second,)))
        assert await store.edge_rows(A, [m.turn.id]) == {m.turn.id: second if stays else first}

    async def test_edge_rows_of_many_positions_in_one_write(self, store: MemoryStore) -> None:
        """Each row is fenced by its own position, also when a write has several for one memory in any order."""
        ms = [memory(n) for n in range(40)]
        await store.write(Writes(edges=tuple(row(m, 100 + n, b"old") for n, m in enumerate(ms))))
        fresh = [row(m, 120, b"new") for m in ms] + [row(ms[0], 130, b"newest"), row(ms[0], 125, b"newer")]
        await store.write(Writes(edges=tuple(fresh)))
        rows = await store.edge_rows(A, [m.turn.id for m in ms])
        assert rows[ms[0].turn.id].neighbours == b"newest"
        assert [rows[m.turn.id].neighbours for m in ms[1:]] == [b"new"] * 19 + [b"old"] * 20

    async def test_an_edge_row_may_come_before_its_memory(self, store: MemoryStore) -> None:
        """It waits for the memory and does not make one."""
        m = memory(1)
        await store.write(Writes(edges=(row(m, 5, b"waiting"),)))
        assert await store.turns(A, [m.turn.id]) == {}
        assert await store.spaces() == {}
        await store.write(Writes(memories=(m,)))
        assert (await store.edge_rows(A, [m.turn.id]))[m.turn.id].neighbours == b"waiting"

    @pytest.mark.parametrize("mark_first", [True, False])
    async def test_a_hidden_memory_is_no_longer_found_but_still_there(
        self, store: MemoryStore, *, mark_first: bool
    ) -> None:
        """Whether the mark comes before or after; reads by id, tails, scans and counts go on showing it."""
        hidden, seen = memory(1, "apple tart"), memory(2, "apple cake")
        f = fact(1, "apple pie")
        steps = [
            Writes(memories=(hidden, seen), facts=(f,)),
            Writes(marks=(mark(hidden, 1, hidden=True), mark(f, 2, hidden=True))),
        ]
        for step in reversed(steps) if mark_first else steps:
            await store.write(step)
        assert await searched(store, hidden) == {seen.turn.id}
        scores = await store.score_memories(
            A, hidden.dense, "apple", places=[("kitchen", 1)], memory_ids=[hidden.turn.id]
        )
        assert (scores.dense, scores.lexical) == ({}, {})
        found = await store.search_facts(A, f.dense, "apple pie", 5)
        assert (found.dense, found.lexical) == ({}, {})
        turns = await store.turns(A, [hidden.turn.id, seen.turn.id])
        assert {t.message_id: t.hidden for t in turns.values()} == {"m1": True, "m2": False}
        assert (await store.facts(A, [f.record.id]))[f.record.id].hidden
        assert [t.message_id for t in await store.conversation_tail(A, "kitchen", Position(1, 9), 5)] == ["m1", "m2"]
        assert len(await all_turns(store, A)) == 2
        assert await store.spaces() == {A: 2}
        assert set(await store.origins([hidden.turn.id])) == {hidden.turn.id}

    async def test_an_erased_memory_is_found_by_no_search(self, store: MemoryStore) -> None:
        """Its tombstone keeps its place; hidden or not, with the data subjects and the trace it came with."""
        m, f = memory(1, "apple tart"), fact(1, "apple pie")
        gone = erased_turn(replace(m.turn, data_subjects=("Anna",), claims=(Claim("Anna", "likes:tart", "yes"),)))
        told = erased_fact(replace(f.record, traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"))
        nothing = no_direction(DIMENSION)
        await store.write(
            Writes(
                memories=(Memory(turn=gone, dense=nothing, lexical=""),),
                facts=(Fact(record=told, dense=nothing, lexical=""),),
            )
        )
        for hidden in (False, True):
            assert await searched(store, replace(m, dense=nothing)) == set()
            assert (await store.search_facts(A, nothing, "apple pie", 5)).dense == {}
            assert await store.turns(A, [gone.id]) == {gone.id: replace(gone, hidden=hidden)}
            assert (await store.facts(A, [told.id]))[told.id] == told
            assert gone.erased
            assert gone.claims == ()
            assert [t.id for t in await store.conversation_tail(A, "kitchen", Position(1, 9), 5)] == [gone.id]
            assert await store.spaces() == {A: 0}
            await store.write(Writes(marks=(mark(m, 2, hidden=True),)))
        await store.write(Writes(memories=(memory(2),), marks=(mark(m, 3, hidden=False),)))
        assert await store.turns(A, [gone.id]) == {gone.id: gone}
        assert await searched(store, replace(m, dense=nothing)) == {memory(2).turn.id}
        assert await store.spaces() == {A: 1}

    async def test_what_is_erased_becomes_a_tombstone(self, store: MemoryStore, reopen: Reopen) -> None:
        """Only those of the space; hidden ones stay hidden, the rest is as it was, and once more changes nothing."""
        kept, gone, hidden = memory(1, "the kept bread"), memory(2, "the gone bread"), memory(3, "the hidden bread")
        elsewhere, told = memory(2, "another's bread", space=B), fact(1)
        await store.write(Writes(memories=(kept, gone, hidden, elsewhere), facts=(told,)))
        await store.write(Writes(marks=(mark(hidden, 9, hidden=True),)))
        ids = [gone.turn.id, hidden.turn.id, elsewhere.turn.id, told.record.id, memory_id(A, "nobody")]
        for number in range(3):
            again = await reopen() if number == 2 else store
            await again.erase(A, ids)
            turns = {turn.id: turn async for turn in again.scan_turns(None)}
            assert turns == {
                kept.turn.id: kept.turn,
                elsewhere.turn.id: elsewhere.turn,
                gone.turn.id: erased_turn(gone.turn),
                hidden.turn.id: replace(erased_turn(hidden.turn), hidden=True),
            }
            assert [one async for one in again.scan_facts(None)] == [erased_fact(told.record)]
            assert await again.spaces() == {A: 1, B: 1}
            found = await again.search_memories(A, gone.dense, "bread", 10)
            assert found.dense.keys() == found.lexical.keys() == {kept.turn.id}
            assert not (await again.search_facts(A, told.dense, "bread", 10)).dense
            await again.write(Writes(memories=(gone,), facts=(told,)))  # who comes late with the words

    async def test_a_restored_memory_is_found_again(self, store: MemoryStore) -> None:
        """By vector and by words, with nothing of it lost."""
        m, f = memory(1, "apple tart"), fact(1, "apple pie")
        await store.write(Writes(memories=(m,), facts=(f,), marks=(mark(m, 1, hidden=True), mark(f, 1, hidden=True))))
        await store.write(Writes(marks=(mark(m, 2, hidden=False), mark(f, 2, hidden=False))))
        scores = await store.search_memories(A, m.dense, "tart", 5)
        assert set(scores.dense) == set(scores.lexical) == {m.turn.id}
        assert set((await store.search_facts(A, f.dense, "pie", 5)).lexical) == {f.record.id}
        assert await store.turns(A, [m.turn.id]) == {m.turn.id: m.turn}

    async def test_the_later_mark_holds_in_whatever_order_they_come(self, store: MemoryStore) -> None:
        """By generation, then by offset, in one write or in several."""
        one, two, three = memory(1), memory(2), memory(3)
        await store.write(Writes(memories=(one, two, three)))
        await store.write(Writes(marks=(mark(one, 9, hidden=True),)))
        await store.write(Writes(marks=(mark(one, 8, hidden=False),)))
        await store.write(Writes(marks=(mark(two, 9, hidden=True), mark(two, 8, hidden=False))))
        await store.write(Writes(marks=(mark(three, 9, hidden=True), mark(three, 1, hidden=False, generation=2))))
        turns = await store.turns(A, [m.turn.id for m in (one, two, three)])
        assert [turns[m.turn.id].hidden for m in (one, two, three)] == [True, True, False]

    async def test_a_space_never_gets_what_is_anothers(self, store: MemoryStore) -> None:
        """Ids of another space are as good as absent, in every read and for marks."""
        mine, theirs = memory(1, "apple pie"), memory(1, "apple pie", space=B)
        f = fact(1, "apple pie", space=B)
        await store.write(Writes(memories=(mine, theirs), facts=(f,), edges=(row(theirs, 1, b"secret", space=B),)))
        both = [mine.turn.id, theirs.turn.id]
        assert set(await store.turns(A, both)) == {mine.turn.id}
        assert await store.facts(A, [f.record.id]) == {}
        assert await store.edge_rows(A, both) == {}
        assert await searched(store, theirs) == {mine.turn.id}
        scores = await store.score_memories(A, theirs.dense, "apple", places=[("kitchen", 1)], memory_ids=both)
        assert set(scores.dense) == {mine.turn.id}
        assert (await store.search_facts(A, f.dense, "apple pie", 5)).dense == {}
        assert [t.id for t in await store.conversation_tail(A, "kitchen", Position(1, 9), 5)] == [mine.turn.id]
        assert [t.id for t in await all_turns(store, A)] == [mine.turn.id]
        assert [r async for r in store.scan_edges(A)] == []
        assert [x async for x in store.scan_facts(A)] == []
        assert await store.spaces() == {A: 1, B: 1}
        # A mark written by one space for a memory of another touches nobody.
        await store.write(Writes(marks=(mark(theirs, 5, hidden=True), mark(f, 5, hidden=True))))
        assert not (await store.turns(B, [theirs.turn.id]))[theirs.turn.id].hidden
        assert not (await store.facts(B, [f.record.id]))[f.record.id].hidden
        # Nor does an edge row that one space writes for a memory of another.
        await store.write(Writes(edges=(row(theirs, 9, b"forged"),)))
        assert (await store.edge_rows(B, [theirs.turn.id]))[theirs.turn.id].neighbours == b"secret"

    async def test_the_tail_of_a_conversation_ends_before_a_position(self, store: MemoryStore) -> None:
        """Also when the store is far ahead of the position, as after a crash before the checkpoint."""
        await store.write(Writes(memories=tuple(memory(n) for n in range(200))))
        await store.write(
            Writes(memories=tuple(memory(n, conversation="garden", turn=n - 500) for n in range(500, 510)))
        )

        async def tail(before: Position, limit: int = 3, conversation: str = "kitchen") -> list[int]:
            return [t.turn for t in await store.conversation_tail(A, conversation, before, limit)]

        assert await tail(Position(1, 200)) == [197, 198, 199]
        assert await tail(Position(1, 199)) == [196, 197, 198]
        assert await tail(Position(1, 5)) == [2, 3, 4]
        assert await tail(Position(1, 2)) == [0, 1]
        assert await tail(Position(1, 0)) == []
        assert await tail(Position(2, 0)) == [197, 198, 199]
        assert await tail(Position(1, 900), 2, "garden") == [8, 9]
        assert await tail(Position(1, 900), 2, "kitchen:1") == []
        assert await tail(Position(1, 200), 0) == []

    async def test_memories_are_listed_by_time_and_id(self, store: MemoryStore) -> None:
        """Page by page, whatever the order they came in; also where more than a page were said at one time."""
        times_ms = [5, 5, 7, 1, *[3] * 40, 9]
        said = [said_at(memory(n), time_ms) for n, time_ms in enumerate(times_ms)]
        hidden, gone = said_at(memory(60), 4), said_at(memory(61), 6)
        erased = Memory(turn=erased_turn(gone.turn), dense=no_direction(DIMENSION), lexical="")
        others = memory(62, space=B)
        await store.write(Writes(memories=(*said, hidden, erased, others), marks=(mark(hidden, 1, hidden=True),)))
        wanted = sorted((m.turn for m in said), key=lambda turn: (turn.time_ms, turn.id))
        for limit in (1, 2, 7, len(said) - 1, len(said), 1000):
            listed: list[Turn] = []
            while page := await store.turns_by_time(A, (listed[-1].time_ms, listed[-1].id) if listed else None, limit):
                assert len(page) <= limit
                listed += page
            assert listed == wanted
        assert await store.turns_by_time(A, (3, "g"), 1) == [wanted[41]]
        assert await store.turns_by_time(A, (3, ""), 2) == wanted[1:3]
        assert await store.turns_by_time(A, None, 0) == []
        assert await store.turns_by_time("acme/nobody", None, 5) == []

    async def test_a_list_of_long_memories_is_whole(self, store: MemoryStore) -> None:
        """However many bytes they are."""
        ms = [memory(n, f"{n} {'a' * (MAX_TEXT - 10)}") for n in range(120)]
        for m in ms:
            await store.write(Writes(memories=(m,)))
        assert await store.turns_by_time(A, None, 110) == [m.turn for m in ms[:110]]

    async def test_conversations_with_odd_names_are_kept_apart(self, store: MemoryStore) -> None:
        """Whatever the names hold, also what separates names from turns inside the store."""
        names = ["a", "a:1", "1:a", "a\x1f", "ä", "a:1:1", "🙂" * 50, " "]
        ms = [memory(n, conversation=name, turn=1) for n, name in enumerate(names)]
        await store.write(Writes(memories=tuple(ms)))
        for m in ms:
            conversation = m.turn.conversation
            assert await store.conversation_tail(A, conversation, Position(1, 99), 5) == [m.turn]
            scores = await store.score_memories(A, m.dense, "", places=[(conversation, 1), (conversation, 2)])
            assert set(scores.dense) == {m.turn.id}

    async def test_words_find_what_a_vector_does_not_and_the_other_way_round(self, store: MemoryStore) -> None:
        """The two lists are ranked apart, best first, with scores that fall."""
        ms = [memory(n) for n in range(50)]
        await store.write(Writes(memories=tuple(ms)))
        scores = await store.search_memories(A, ms[7].dense, "tell me of number31, please", 10)
        assert len(scores.dense) == 10
        assert next(iter(scores.dense)) == ms[7].turn.id
        assert scores.dense[ms[7].turn.id] == pytest.approx(1.0, abs=1e-5)
        assert list(scores.dense.values()) == sorted(scores.dense.values(), reverse=True)
        assert set(scores.lexical) == {ms[31].turn.id}
        several = await store.search_memories(A, ms[7].dense, "topic3 number10", 50)
        assert next(iter(several.lexical)) == ms[10].turn.id
        assert set(several.lexical) == {m.turn.id for n, m in enumerate(ms) if n % 7 == 3}
        assert len((await store.search_memories(A, ms[7].dense, "topic3", 2)).lexical) == 2

    async def test_a_query_without_words_is_answered_by_vector_alone(self, store: MemoryStore) -> None:
        """Emoji, stop words and nothing at all are no error."""
        m = memory(1)
        await store.write(Writes(memories=(m,)))
        for text in ("", "🙂", "the and of", "?!", "\x00\n"):
            scores = await store.search_memories(A, m.dense, text, 5)
            assert (set(scores.dense), scores.lexical) == ({m.turn.id}, {})

    async def test_rarity_of_a_word_is_counted_within_the_space(self, store: MemoryStore) -> None:
        """What other spaces say changes no score here."""
        ms = [memory(1, "apple pie"), memory(2, "plum pie"), memory(3, "plum jam")]
        await store.write(Writes(memories=tuple(ms)))
        before = await store.search_memories(A, ms[0].dense, "apple plum", 5)
        await store.write(Writes(memories=tuple(memory(n, "apple apple", space=B) for n in range(30))))
        after = await store.search_memories(A, ms[0].dense, "apple plum", 5)
        assert after.lexical == pytest.approx(before.lexical)
        assert set(before.lexical) == {m.turn.id for m in ms}

    async def test_earlier_and_later_events_can_be_left_out_of_a_search(self, store: MemoryStore) -> None:
        """Both bounds are inclusive, for memories; facts have the later one."""
        ms, fs = [memory(n, "apple pie") for n in range(5)], [fact(n, "apple pie") for n in range(5)]
        await store.write(Writes(memories=tuple(ms), facts=tuple(fs)))
        until = ms[2].turn.time_ms
        scores = await store.search_memories(A, ms[0].dense, "apple", 9, until_ms=until)
        assert set(scores.dense) == set(scores.lexical) == {m.turn.id for m in ms[:3]}
        since = ms[1].turn.time_ms
        scores = await store.search_memories(A, ms[0].dense, "apple", 9, since_ms=since, until_ms=until)
        assert set(scores.dense) == set(scores.lexical) == {m.turn.id for m in ms[1:3]}
        scores = await store.search_memories(A, ms[0].dense, "apple", 9, since_ms=since)
        assert set(scores.dense) == set(scores.lexical) == {m.turn.id for m in ms[1:]}
        scores = await store.search_facts(A, fs[0].dense, "apple", 9, until_ms=until)
        assert set(scores.dense) == set(scores.lexical) == {f.record.id for f in fs[:3]}

    async def test_named_places_and_ids_get_the_scores_of_a_search(self, store: MemoryStore) -> None:
        """The same numbers as in a search over everything, for exactly those that were asked for."""
        ms = [memory(n) for n in range(30)]
        await store.write(Writes(memories=tuple(ms)))
        query = memory(99, "topic2 number9 number16")
        everything = await store.search_memories(A, query.dense, query.lexical, 30)
        places = [("kitchen", 8), ("kitchen", 9), ("kitchen", 400), ("garden", 10)]
        scores = await store.score_memories(A, query.dense, query.lexical, places=places, memory_ids=[ms[16].turn.id])
        assert set(scores.dense) == {ms[n].turn.id for n in (8, 9, 16)}
        assert scores.dense == pytest.approx({id_: everything.dense[id_] for id_ in scores.dense}, abs=1e-6)
        assert scores.lexical == pytest.approx({ms[n].turn.id: everything.lexical[ms[n].turn.id] for n in (9, 16)})
        assert await store.score_memories(A, query.dense, query.lexical) == Scores(dense={}, lexical={})

    async def test_odd_texts_are_stored_and_found(self, store: MemoryStore) -> None:
        """Texts without a word, of any script, with control characters, and of the greatest length."""
        texts = [
            "🙂",
            "?!",
            "the",
            "\x00\x01\x7f",
            "日本語の文章",
            "na\u0301ive Straße ΑΒΓ",
            "\u202eright",
            "a" * MAX_TEXT,
            "é " * 16_000,
        ]
        ms = [memory(n, text) for n, text in enumerate(texts)]
        fs = [fact(n, text) for n, text in enumerate(texts)]
        await store.write(Writes(memories=tuple(ms), facts=tuple(fs)))
        assert await store.turns(A, [m.turn.id for m in ms]) == {m.turn.id: m.turn for m in ms}
        assert await store.facts(A, [f.record.id for f in fs]) == {f.record.id: f.record for f in fs}
        for m in ms:
            assert next(iter((await store.search_memories(A, m.dense, m.lexical, 1)).dense)) == m.turn.id
        assert ms[5].turn.id in (await store.search_memories(A, ms[0].dense, "straße", 3)).lexical

    async def test_a_zero_vector_is_no_obstacle(self, store: MemoryStore) -> None:
        """An embedder may have nothing to say of a text; words find it all the same."""
        zero = np.zeros(DIMENSION, dtype=np.float32)
        m = memory(1, "apple pie")
        await store.write(Writes(memories=(Memory(turn=m.turn, dense=zero, lexical=m.lexical), memory(2))))
        assert set((await store.search_memories(A, zero, "apple", 5)).lexical) == {m.turn.id}

    async def test_a_big_batch_is_written_whole(self, store: MemoryStore, big_batch: int) -> None:
        """A scan, the counts and reads by id agree on it."""
        ms = [memory(n, space=A if n % 5 else B) for n in range(big_batch)]
        await store.write(
            Writes(memories=tuple(ms), edges=tuple(row(m, n, b"e", space=m.turn.space) for n, m in enumerate(ms)))
        )
        assert await all_turns(store) == sorted((m.turn for m in ms), key=lambda t: (t.space, t.position))
        assert {t.id for t in await all_turns(store, B)} == {m.turn.id for m in ms if m.turn.space == B}
        assert len([r async for r in store.scan_edges(None)]) == big_batch
        assert await store.spaces() == {A: big_batch * 4 // 5, B: big_batch // 5}
        assert len(await store.origins([m.turn.id for m in ms])) == big_batch

    async def test_gathered_reads_answer_as_single_ones(self, store: MemoryStore) -> None:
        """Each coroutine reads as often as it likes; results come in order, the first error is raised."""
        ms = [memory(n) for n in range(4)]
        await store.write(Writes(memories=tuple(ms)))

        async def read(asked: Memory) -> tuple[set[str], list[str]]:
            found = await searched(store, asked)
            return found, sorted(await store.turns(A, sorted(found)))

        async def fail() -> tuple[set[str], list[str]]:
            await store.turns(A, [ms[0].turn.id])
            raise LookupError("nothing fits")

        assert await store.gather() == []
        assert await store.gather(read(ms[0]), read(ms[3])) == [await read(ms[0]), await read(ms[3])]
        with pytest.raises(LookupError, match="nothing fits"):
            await store.gather(fail(), read(ms[1]))
        assert (await read(ms[0]))[1] == sorted(m.turn.id for m in ms)

    async def test_a_checkpoint_is_replaced_as_a_whole(self, store: MemoryStore) -> None:
        """Each group and partition has its own; the newest is what loads, small or large."""
        large = random.Random(1).randbytes(3_000_000)
        for offset, state in enumerate((b"", b"one", large, large[1:], b"two")):
            saved = checkpoint(state, offset)
            await store.save_checkpoint(saved)
            assert await store.load_checkpoints("coactivation") == {saved.partition: saved}
        other = checkpoint(b"other", 9, partition=1)
        foreign = Checkpoint(group="encoding", partition=other.partition, position=Position(2, 1), state=b"foreign")
        await store.save_checkpoint(other)
        await store.save_checkpoint(foreign)
        assert await store.load_checkpoints("coactivation") == {saved.partition: saved, other.partition: other}
        assert await store.load_checkpoints("encoding") == {other.partition: foreign}

    @pytest.mark.parametrize("late", [Position(1, 6), Position(1, 7), Position(2, 6), Position(1, 9)])
    async def test_a_checkpoint_that_is_not_newer_is_ignored(
        self, store: MemoryStore, reopen: Reopen, late: Position
    ) -> None:
        """A worker that was replaced cannot put an older one back, by generation and offset, in any process."""
        stored = replace(checkpoint(b"the newest"), position=Position(2, 7))
        await store.save_checkpoint(checkpoint(b"the oldest", 1))
        await store.save_checkpoint(stored)
        for _ in range(2):
            await store.save_checkpoint(replace(stored, position=late, state=b"of a zombie"))
            assert await store.load_checkpoints("coactivation") == {stored.partition: stored}
            store = await reopen()
        newer = replace(stored, position=Position(2, 8), state=b"newer")
        await store.save_checkpoint(newer)
        assert await store.load_checkpoints("coactivation") == {stored.partition: newer}

    async def test_of_checkpoints_that_are_saved_at_once_the_newest_stays(self, store: MemoryStore) -> None:
        """Whatever their order and size."""
        offsets = random.Random(2).sample(range(1, 40), 39)
        states = {offset: random.Random(offset).randbytes(offset * 1000) for offset in offsets}
        await asyncio.gather(*(store.save_checkpoint(checkpoint(states[n], n)) for n in offsets))
        newest = checkpoint(states[39], 39)
        assert await store.load_checkpoints("coactivation") == {newest.partition: newest}

    async def test_nothing_is_lost_when_the_store_is_opened_again(self, store: MemoryStore, reopen: Reopen) -> None:
        """Memories, facts, edges, marks and checkpoints are there, and go on behaving the same."""
        ms = [memory(n) for n in range(300)]
        writes = Writes(
            memories=tuple(ms),
            facts=(fact(1),),
            edges=tuple(row(m, 50, b"e") for m in ms),
            marks=(mark(ms[1], 5, hidden=True), mark(memory(900), 6, hidden=True)),
        )
        await store.write(writes)
        await store.flush()
        await store.save_checkpoint(checkpoint(b"state"))
        before = await all_turns(store)
        found = await store.search_memories(A, ms[5].dense, ms[5].lexical, 300)
        store = await reopen()
        assert await all_turns(store) == before
        assert [t.message_id for t in before if t.hidden] == ["m1"]
        assert len(await store.edge_rows(A, [m.turn.id for m in ms])) == 300
        assert [f async for f in store.scan_facts(None)] == [fact(1).record]
        assert (await store.load_checkpoints("coactivation"))[checkpoint(b"").partition].state == b"state"
        again = await store.search_memories(A, ms[5].dense, ms[5].lexical, 300)
        assert again.dense == pytest.approx(found.dense, abs=1e-6)
        assert again.lexical == pytest.approx(found.lexical)
        await store.write(
            Writes(memories=(memory(900), memory(1, "other"), memory(901)), edges=(row(ms[0], 49, b"old"),))
        )
        turns = await store.turns(A, [memory(n).turn.id for n in (1, 900, 901)])
        assert {t.message_id: t.hidden for t in turns.values()} == {"m1": True, "m900": True, "m901": False}
        assert turns[ms[1].turn.id].text == ms[1].turn.text
        assert (await store.edge_rows(A, [ms[0].turn.id]))[ms[0].turn.id].neighbours == b"e"

    async def test_optimising_changes_no_answer(self, store: MemoryStore) -> None:
        """What is found, hidden and stored is the same before and after."""
        ms = [memory(n) for n in range(400)]
        await store.write(Writes(memories=tuple(ms), marks=(mark(ms[3], 1, hidden=True),)))
        before = await store.search_memories(A, ms[9].dense, ms[9].lexical, 400)
        await store.optimize()
        after = await store.search_memories(A, ms[9].dense, ms[9].lexical, 400)
        assert after.dense == pytest.approx(before.dense, abs=1e-6)
        assert after.lexical == pytest.approx(before.lexical)
        assert len(await all_turns(store)) == 400
        await store.write(Writes(marks=(mark(ms[3], 2, hidden=False), mark(ms[4], 2, hidden=True))))
        turns = await store.turns(A, [ms[3].turn.id, ms[4].turn.id])
        assert [turns[ms[n].turn.id].hidden for n in (3, 4)] == [False, True]

    async def test_reads_go_on_while_others_write(self, store: MemoryStore) -> None:
        """Side by side, each batch is seen by whoever awaited it, and no read fails or sees half a record."""
        batches = [[memory(20 * b + n) for n in range(20)] for b in range(10)]

        async def write(batch: Sequence[Memory]) -> None:
            edges = tuple(row(m, 7, m.turn.id.encode()) for m in batch)
            await store.write(Writes(memories=tuple(batch), edges=edges))
            ids = [m.turn.id for m in batch]
            assert await store.turns(A, ids) == {m.turn.id: m.turn for m in batch}

        async def read() -> None:
            for n in range(30):
                await searched(store, batches[n % 10][n % 20])
                for id_, edge in (await store.edge_rows(A, [m.turn.id for m in batches[n % 10]])).items():
                    assert edge.neighbours == id_.encode()
                await asyncio.sleep(0)

        await asyncio.gather(*map(write, batches), read(), read())
        assert len(await all_turns(store)) == 200

    async def test_ids_that_name_nothing_are_left_out(self, store: MemoryStore) -> None:
        """Also the same id twice is answered once."""
        m = memory(1)
        await store.write(Writes(memories=(m,)))
        ids = [derived_id("nothing", "here"), m.turn.id, m.turn.id]
        assert set(await store.turns(A, ids)) == {m.turn.id}
