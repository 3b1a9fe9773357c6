"""Replay of a part: until a moment, of some spaces, of one kind of thing, and in several goes."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from fakes.words import wordllama
from helamem.processors.digest import Digest, Part
from helamem.schemas.errors import BadInput
from helamem.schemas.records import NewRecord, TopicPartition
from helamem.schemas.settings import HebbianSettings, Settings
from helamem.schemas.times import format_ms
from helamem.schemas.topics import DEAD_LETTERS, RECALLS, TOPICS
from helamem.streams.async_memory import AsyncMemory, Message
from helamem.streams.home import Home, wall_clock_ms
from helamem.streams.log.sqlite import SqliteLog
from helamem.streams.moments import moment, now, written
from helamem.streams.past import past
from helamem.streams.rebuild import Only
from helamem.streams.settings_log import apply_settings
from streams.test_replay import QUERIES, SPACE, TEXTS, Clock, Interrupted, again, live, opened, place, rounds

__all__ = ["place"]

OTHER = "acme/bert"


async def vector_of(memory: AsyncMemory) -> dict[TopicPartition, int]:
    """Return how far each partition has been applied."""
    vector = dict.fromkeys(await memory.instance.ends(), 0)
    for group in ("encoding", "co-activation", "consolidation"):
        for partition, checkpoint in (await memory.instance.store.load_checkpoints(group)).items():
            vector[partition] = checkpoint.position.offset
    return vector


async def life(home: Path, seed: int, steps: int) -> list[tuple[dict[TopicPartition, int], str]]:
    """Live at random, processors far apart from each other, and return each state with its positions.

    Messages, recalls, reinforcements and forgetting come between pieces of work of random size: what a recall finds
    depends on how far encoding has come, as it does with a busy instance.
    """
    chance, clock, states = random.Random(seed), Clock(), []
    async with opened(home, clock) as memory:
        encoding, coactivation, consolidation = memory.instance._pumps
        for step in range(steps):
            clock.now_ms += chance.randrange(1, 2 * 86_400_000)
            space = chance.choice([SPACE, SPACE, OTHER])
            said = [
                Message(space=space, conversation=f"c{step % 5}", speaker="Anna", text=f"{text} ({step})")
                for text in chance.sample(TEXTS, 2)
            ]
            ids = await memory.append(said)
            if chance.random() < 0.2:
                await memory.forget(space, ids[:1], "test")
            answer = await memory.recall(space, chance.choice(QUERIES), k=4, m=1)
            found = [hit.result.id for hit in answer.hits if hit.turn][:3]
            if len(found) > 1:
                await memory.reinforce(answer.recall_id, found, space=space)
            for pump in chance.sample([encoding, coactivation], 2):
                at, ends = await vector_of(memory), await memory.instance.ends()
                await pump.run(until={p: chance.randint(min(at[p], end), end) for p, end in ends.items()})
                states.append((await vector_of(memory), (await memory.digest()).digest))
            if chance.random() < 0.3:
                ends = await memory.instance.ends()
                await encoding.run(until=ends)
                await consolidation.run(until=ends)
                states.append((await vector_of(memory), (await memory.digest()).digest))
        await memory.process()
        states.append((await vector_of(memory), (await memory.digest()).digest))
        assert memory.instance.counts["hub-formed"] > 3
        assert len(await memory.facts()) > 3
    return states


@pytest.mark.parametrize("moments", [5, pytest.param(50, marks=pytest.mark.slow)])
async def test_the_state_at_random_positions_is_the_one_that_was_live_there(place: Path, moments: int) -> None:
    """Learning, hubs, facts and forgetting; the processors stood apart, as they did when the state was live."""
    states = await life(place / "home", seed=moments, steps=40)
    distinct = {written(vector): (vector, digest) for vector, digest in states}
    chosen = random.Random(moments).sample(sorted(distinct), min(moments, len(distinct)))
    assert len(chosen) == moments
    assert len({distinct[text][1] for text in chosen}) > moments // 2
    for number, text in enumerate(chosen):
        vector, digest = distinct[text]
        replayed = await again(place / "home", place / f"then{number}", until=vector if number % 2 else text)
        assert replayed.digest.digest == digest, text
        assert replayed.reproduced
        assert replayed.positions == {str(partition): offset for partition, offset in vector.items()}


async def two_spaces(home: Path) -> Digest:
    """Live in two spaces and return the digest."""
    clock = Clock()
    async with opened(home, clock) as memory:
        for round_ in range(2):
            for space in (SPACE, OTHER):
                clock.now_ms += 86_400_000
                await live(memory, round_, space)
        return await memory.digest()


async def test_some_spaces_or_one_kind_of_thing_alone(place: Path) -> None:
    """Their digests are those of the whole; nothing else is there, and hubs are compared where they are derived."""
    whole = await two_spaces(place / "home")
    one = await again(place / "home", place / "one", spaces=[OTHER])
    assert one.digest.spaces == {OTHER: whole.spaces[OTHER]}
    assert one.reproduced
    assert one.hubs.recorded == one.hubs.derived > 0
    both = await again(place / "home", place / "both", spaces=[OTHER, SPACE])
    assert both.digest == whole
    parts: dict[Only, Part] = {"encoding": "memories", "edges": "edges", "facts": "facts"}
    for only, part in parts.items():
        replayed = await again(place / "home", place / only, only=only, spaces=[SPACE])
        assert replayed.reproduced
        found = replayed.digest.spaces[SPACE]
        assert getattr(found, part) == getattr(whole.spaces[SPACE], part)
        assert {name: count for name, count in found.counts.items() if count} == {
            part: whole.spaces[SPACE].counts[part]
        }
        assert (replayed.hubs.recorded > 0) == (only == "edges")
    nobody = await again(place / "home", place / "nobody", spaces=["acme/nobody"])
    assert nobody.digest.spaces == {}
    async with await AsyncMemory.open(place / "edges", create=False, embedder=wordllama()) as memory:
        assert await memory.edges(SPACE)
        assert (await memory.recall(SPACE, QUERIES[0], record=False)).hits == ()


async def test_an_interrupted_replay_goes_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that was applied is done again, hubs derived before count, and a torn last line does no harm."""
    digest, _ = await rounds(place / "home")
    monkeypatch.setattr("helamem.streams.rebuild._MESSAGES", 1)  # what is under way at the end is applied all the same
    monkeypatch.setattr("helamem.streams.rebuild.BATCH_RECORDS", 1)
    batches = list[int]()
    expected = await again(place / "home", place / "whole", on_progress=lambda done, total: batches.append(done))

    def interrupting() -> Callable[[int, int], None]:
        seen = list[int]()

        def interrupt(done: int, total: int) -> None:
            seen.append(done)
            if done > seen[0]:  # the first word is where it goes on
                raise Interrupted

        return interrupt

    for _ in range(2):
        with pytest.raises(Interrupted):
            await again(place / "home", place / "other", on_progress=interrupting())
        with (place / "other" / "derived.jsonl").open("ab") as file:
            file.write(b'{"torn":')
    told = list[int]()
    replayed = await again(place / "home", place / "other", on_progress=lambda done, total: told.append(done))
    assert len(told) <= len(batches) - 2, "each go kept what it had applied"
    assert told[-1] == batches[-1]
    assert replayed == expected
    assert replayed.digest.digest == digest


async def test_half_of_another_replay_is_refused(place: Path) -> None:
    """Another moment, other spaces, another part, another home: nothing is touched, and the first one goes on."""
    await two_spaces(place / "home")
    await two_spaces(place / "second")

    def interrupt(done: int, total: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        await again(place / "home", place / "into", spaces=[SPACE], on_progress=interrupt)
    others: list[tuple[str, Mapping[str, Any]]] = [
        ("home", {}),
        ("home", {"spaces": [OTHER]}),
        ("home", {"spaces": [SPACE], "only": "edges"}),
        ("home", {"spaces": [SPACE], "until": "2099-01-01T00:00:00Z"}),
        ("second", {"spaces": [SPACE]}),
    ]
    for source, options in others:
        with pytest.raises(BadInput, match="holds half of another replay; name a new directory"):
            await again(place / source, place / "into", **options)
    assert (await again(place / "home", place / "into", spaces=[SPACE])).reproduced


async def test_a_replay_goes_on_from_where_one_ended(place: Path) -> None:
    """`since` names the moment at which it ended; any other is refused, as is going back, or where there is none."""
    digest, moments = await rounds(place / "home")
    async with await SqliteLog.open(place / "home" / "log.sqlite", TOPICS, wall_clock_ms, read_only=True) as log:
        vector = written(await now(log))
    first, second = (format_ms(at) for at, _ in moments[:2])
    with pytest.raises(BadInput, match="a replay folds from the beginning of the log"):
        await again(place / "home", place / "new", since=first)
    assert not (place / "new").exists()
    await again(place / "home", place / "other", until=first)
    with pytest.raises(BadInput, match="is a helamem home already"):
        await again(place / "home", place / "other", until=second)
    with pytest.raises(BadInput, match=r"the replay in .* ended at .* and not at --from"):
        await again(place / "home", place / "other", since=second)
    with pytest.raises(BadInput, match="holds another replay"):
        await again(place / "home", place / "other", since=first, spaces=[SPACE])
    gone_on = await again(place / "home", place / "other", since=first, until=second)
    assert gone_on.digest.digest == moments[1][1]
    with pytest.raises(BadInput, match="only goes forward"):
        await again(place / "home", place / "other", since=second, until=first)
    (place / "other" / "store").rename(place / "kept")
    with pytest.raises(BadInput, match=r"ended at .*=0 and not at --from"):
        await again(place / "home", place / "other", since=second, until=vector)
    assert not (place / "other" / "store").exists()
    (place / "kept").rename(place / "other" / "store")
    last = await again(place / "home", place / "other", since=second, until=vector)
    assert last.digest.digest == digest
    assert last.reproduced


async def test_a_past_state_has_the_settings_of_then(place: Path) -> None:
    """Edges fade by the half-life that was in force, whatever holds now; a later change does not rebuild it."""
    clock = Clock()
    async with opened(place / "home", clock) as memory:
        await live(memory, 0)
        was = memory.instance.settings
    then = format_ms(clock.now_ms)
    found = await past(place / "home", then, embedder=wordllama())
    assert Home.look(found.home).settings == was
    clock.now_ms += 86_400_000
    later = Settings(encoding=was.encoding, hebbian=HebbianSettings(half_life_s=86_400))
    async with await SqliteLog.open(place / "home" / "log.sqlite", TOPICS, clock) as log:
        await apply_settings(log, later, clock)
    assert await past(place / "home", then, embedder=wordllama()) == found
    now_ = await past(place / "home", format_ms(clock.now_ms), embedder=wordllama())
    assert Home.look(now_.home).settings == later


async def test_a_past_state_that_was_interrupted_goes_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a dead letter has come meanwhile: it is no part of the moment."""
    clock = Clock()
    async with opened(place / "home", clock) as memory:
        await live(memory, 0)
    until = "9999-01-01T00:00:00Z"

    def interrupt(_done: int, _total: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        await past(place / "home", until, embedder=wordllama(), on_progress=interrupt)
    async with await SqliteLog.open(place / "home" / "log.sqlite", TOPICS, clock) as log:
        await log.append([NewRecord(topic=DEAD_LETTERS.name, key=b"k", value=b"{}")])
    found = await past(place / "home", until, embedder=wordllama())
    assert not Home.look(found.home).unfinished


async def test_a_moment_can_be_written_in_four_ways(place: Path) -> None:
    """A time, an event's id, positions and a file of positions; what is none of them is refused in one sentence."""
    _, moments = await rounds(place / "home")
    async with await SqliteLog.open(place / "home" / "log.sqlite", TOPICS, wall_clock_ms, read_only=True) as log:
        ends = await now(log)
        then = await moment(log, format_ms(moments[1][0]))
        assert then == await log.offsets_at(list(ends), moments[1][0])
        assert await moment(log, written(then)) == then
        file = place / "digest.json"
        named = {str(at): offset for at, offset in then.items()}
        for content in (named, {"positions": named}):
            file.write_bytes(orjson.dumps(content))
            assert await moment(log, str(file)) == then
        partition = next(at for at in ends if at.topic == RECALLS.name and then[at] > 5)
        record = (await log.read(partition, 4, limit=1))[0]
        after = await moment(log, orjson.loads(record.value)["id"])
        assert after[partition] == 5
        others = await log.offsets_at(list(ends), record.append_time_ms)
        assert {at: offset for at, offset in after.items() if at != partition} == {
            at: offset for at, offset in others.items() if at != partition
        }
        assert await moment(log, f"{partition}=3") == dict.fromkeys(ends, 0) | {partition: 3}
        (place / "odd.json").write_text('{"positions": {"a": "b"}}')
        for text, complaint in (
            ("no-such-event", "is no moment"),
            ("1999-01-01T00:00:00Z", "held nothing yet"),
            ("2025-13-01T00:00:00Z", "is not a time"),
            (f"{partition}=999999", "lies behind that"),
            ("helamem.nothing.g1/0=1", "has no partition"),
            ("a=b", "is no position"),
            (str(place / "odd.json"), "holds no positions"),
            (str(place / "none.json"), "cannot be read"),
        ):
            with pytest.raises(BadInput, match=complaint):
                await moment(log, text)
