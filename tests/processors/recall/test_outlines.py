"""Outlines that are kept say what the store says, however few are kept and whoever asks in between."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest

from fakes.directories import directory
from fakes.events import START_MS, forgotten, message, restored
from fakes.machine import Machine, machine
from helamem.processors.recall.outlines import OutlineCache
from helamem.processors.recall.ranking import asks, names, word_count
from helamem.schemas.ids import memory_id

SPACES = [f"acme/s{n}" for n in range(6)]
SPEAKERS = ["Anna", "Bert Olsen", "Кира"]
QUERY = "what did anna and кира say?"


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


@pytest.fixture
async def one(place: Path) -> AsyncIterator[Machine]:
    async with machine(place) as opened:
        rng = random.Random(1)
        for space in SPACES:
            await opened.append(
                *(
                    message(
                        f"m{n}",
                        f"{'word ' * rng.randrange(1, 9)}{rng.choice('.?')}{' I live in Oslo.' if n % 7 == 0 else ''}",
                        space=space,
                        speaker=rng.choice(SPEAKERS),
                        conversation=f"c{rng.randrange(4)}",
                        time_ms=START_MS + n,
                    )
                    for n in range(50)
                )
            )
        await opened.settle()
        yield opened


@pytest.mark.parametrize("most_rows", [0, 64, 100, 10_000])
async def test_what_is_kept_is_what_the_store_says(one: Machine, most_rows: int) -> None:
    """Ids of nobody and of another space are left out; the order is that of the question."""
    cache = OutlineCache(one.store, most_rows)
    rng = random.Random(most_rows)
    for _ in range(40):
        space, other = rng.sample(SPACES, 2)
        asked = [memory_id(space, f"m{n}") for n in rng.sample(range(60), 25)] + [memory_id(other, "m1")]
        turns = await one.store.turns(space, asked)
        found = await cache.of(space, asked)
        expected = [turns[id_] for id_ in asked if id_ in turns]
        assert found.ids == [turn.id for turn in expected]
        assert [found.conversations[n] for n in found.conversation] == [turn.conversation for turn in expected]
        assert found.turn.tolist() == [turn.turn for turn in expected]
        assert found.asks.tolist() == [asks(turn.text) for turn in expected]
        assert found.words.tolist() == [word_count(turn.text) for turn in expected]
        assert found.time_ms.tolist() == [turn.time_ms for turn in expected]
        assert found.named(QUERY).tolist() == [names(QUERY, turn.speaker) for turn in expected]
        assert found.claimed(asked) == {turn.id: turn.claims for turn in expected if turn.claims}
        places = [found.place_of(turn.id) for turn in expected]
        assert places == found.places.tolist()
        assert [*map(found.id_at, found.places.tolist())] == found.ids
        at = [found.at(place) for place in found.places.tolist()]
        assert at == [(turn.conversation, turn.turn) for turn in expected]
        assert found.place_of(memory_id(other, "m1")) is None
        near = {*map(found.at, found.around(np.arange(min(3, len(expected))), 2))}
        assert near == {(name, turn + step) for name, turn in at[:3] for step in range(-2, 3) if turn + step >= 0}
        until = found.said_until(START_MS + 25)
        assert until.ids == [turn.id for turn in expected if turn.time_ms <= START_MS + 25]
        assert np.array_equal(until.words, found.words[found.time_ms <= START_MS + 25])


async def test_what_was_hidden_before_it_was_read_is_left_out(one: Machine) -> None:
    """What was read before stays, until the space is forgotten; shown again, a memory is there."""
    space = SPACES[0]
    read, hidden = (memory_id(space, name) for name in ("m1", "m2"))
    cache = OutlineCache(one.store)
    assert (await cache.of(space, [read])).ids == [read]
    await one.append(forgotten("x", "m1", "m2", space=space))
    await one.settle()
    assert (await cache.of(space, [read, hidden])).ids == [read]
    cache.forget(space)
    assert (await cache.of(space, [read, hidden])).ids == []
    await one.append(restored("y", "m2", space=space))
    await one.settle()
    found = await cache.of(space, [read, hidden])
    assert (found.ids, found.id_at(found.places.tolist()[0])) == ([hidden], hidden)


async def test_nothing_found_has_no_outlines(one: Machine) -> None:
    """No ids, an unknown space: columns of length 0."""
    cache = OutlineCache(one.store)
    assert (await cache.of(SPACES[0], [])).ids == []
    found = await cache.of("acme/nobody", [memory_id(SPACES[0], "m1")])
    assert (found.ids, len(found.named(QUERY)), len(found.words)) == ([], 0, 0)


async def test_no_more_is_kept_than_there_is_room_for(one: Machine) -> None:
    """The spaces that were asked last are kept; asking them again asks the store nothing."""
    asked: list[str] = []
    turns = one.store.turns

    async def reading(space: str, memory_ids: list[str]) -> dict[str, object]:
        asked.append(space)
        return await turns(space, memory_ids)  # type: ignore[return-value]

    one.store.turns = reading  # type: ignore[method-assign, assignment]
    cache = OutlineCache(one.store, most_rows=192)  # three spaces of 50: a table of 50 has room for 64
    for space in [*SPACES, *reversed(SPACES)]:
        await cache.of(space, [memory_id(space, f"m{n}") for n in range(50)])
    assert asked == [*SPACES, *reversed(SPACES[:3])]


async def test_spaces_that_nobody_knows_are_not_kept(one: Machine) -> None:
    """Whoever asks for a thousand of them leaves nothing behind, and what is kept stays."""
    cache = OutlineCache(one.store, most_rows=64)
    await cache.of(SPACES[0], [memory_id(SPACES[0], "m1")])
    for n in range(1000):
        await cache.of(f"acme/nobody{n}", [])
    assert list(cache._tables) == [SPACES[0]]
