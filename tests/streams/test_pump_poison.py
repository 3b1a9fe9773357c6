"""What the pump puts aside: records that are none, that stand out of their place, or that provoke errors."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from fakes.directories import directory
from fakes.events import applied, distilled, forgotten, message, recalled, record, reinforced, restored
from fakes.machine import Machine, Moment, machine
from helamem.processors.encoding.processor import Encoding
from helamem.processors.encoding.unsealing import Erased, NoKeys
from helamem.processors.port import Batch, Effects
from helamem.schemas.errors import ConfigurationError, Poison
from helamem.schemas.events import ConversationMessage, SubjectErased
from helamem.schemas.records import NewRecord, Position, TopicPartition
from helamem.schemas.settings import EncodingSettings, Settings
from helamem.schemas.topics import CONTROL, CONVERSATIONS, DEAD_LETTERS, FACTS, HUBS, RECALLS, TOPICS
from helamem.schemas.wire import Event, decode
from helamem.streams.dead_letters import dead_positions
from helamem.streams.log.partitioner import partition_of
from helamem.streams.pump import Progress
from helamem.streams.sealing.keys import KeyFiles, make_keys
from helamem.streams.sealing.seal import Sealer
from streams.pump_script import (
    Crash,
    conversation,
    letters,
    one,
    partition_of_conversations,
    place,
    recalls,
    undisturbed,
)

__all__ = ["one", "place", "undisturbed"]


async def test_undecodable_records_are_put_aside(one: Machine) -> None:
    """Bytes that are no event go to the dead letters with bytes, position and reason; the others are applied."""
    broken = [b"", b"\xff\xfe", b"[1, 2", b'{"specversion": "1.0"}', b"null"]
    places = []
    for bad, sound in zip(broken, conversation(5), strict=True):
        stray = NewRecord(topic=CONVERSATIONS.name, key=b"acme/anna", value=bad)
        places.append((await one.log.append([stray, record(sound)]))[0])
    pump = one.pump(one.encoding(), batch_records=4)
    await pump.run(until=await one.ends())
    found = {(letter.topic, letter.partition, letter.offset): letter for letter in await letters(one)}
    expected = {(at.topic, at.partition, offset): bad for (at, offset), bad in zip(places, broken, strict=True)}
    assert {at: base64.b64decode(letter.value_base64) for at, letter in found.items()} == expected
    assert all(letter.reason and letter.group == "encoding" and letter.generation == 1 for letter in found.values())
    assert {base64.b64decode(letter.key_base64) for letter in found.values()} == {b"acme/anna"}
    assert pump.counts["dead-lettered"] == 5
    assert await one.store.spaces() == {"acme/anna": 5}


async def test_an_event_of_another_topic_is_put_aside(one: Machine) -> None:
    """Each processor refuses what does not belong to its topic, and nothing but that."""
    stray = record(recalled("r", ["m0", "m1"]))
    stray = NewRecord(topic=CONVERSATIONS.name, key=stray.key, value=stray.value)
    misplaced = record(message("x", "Not a recall at all."))
    other = NewRecord(topic=RECALLS.name, key=misplaced.key, value=misplaced.value)
    third = NewRecord(topic=HUBS.name, key=misplaced.key, value=misplaced.value)
    await one.log.append(
        [*map(record, conversation(3)), stray, record(message("m3", "And one after it.")), other, third]
    )
    await one.append(*recalls(4))
    await one.settle()
    found = {letter.group: letter for letter in await letters(one)}
    assert {group: letter.topic for group, letter in found.items()} == {
        "encoding": CONVERSATIONS.name,
        "co-activation": RECALLS.name,
        "consolidation": HUBS.name,
    }
    assert all("does not belong" in letter.reason and letter.field == "type" for letter in found.values())
    assert found["encoding"].offset == 3
    assert await one.store.spaces() == {"acme/anna": 4}
    assert one.counts["recalled"] + one.counts["reinforced"] == 4


async def test_where_no_keys_can_be_what_is_sealed_is_put_aside(one: Machine, tmp_path: Path) -> None:
    """On workers a sealed message or fact stops nobody; what nobody can open any more becomes a tombstone."""
    make_keys(tmp_path / "keys")
    sealer = Sealer(KeyFiles(tmp_path / "keys"), ["acme"])
    gone = sealer.seal(message("gone", "Nobody has a key to this.", speaker="Mira"))
    assert isinstance(gone.data, ConversationMessage)
    assert gone.data.sealed is not UNSET
    erased = Erased()
    erased.note("acme/anna", SubjectErased(subject="Mira", keys=(gone.data.sealed.keys[0].key,)), Position(1, 0))
    shut = sealer.seal(message("shut", "The key is elsewhere."))
    await one.append(*conversation(3), shut, gone, *conversation(5)[3:])
    await one.append(sealer.seal(distilled("f0", "Anna is silent.")), distilled("f1", "Anna camps."))
    unsealer = NoKeys(erased, put_aside=True)
    pump = one.pump(Encoding(one.store, one.embedder, one.settings, unsealer=unsealer, erased=erased))
    await pump.run(until=await one.ends())
    found = {(letter.topic, letter.offset): (letter.field, letter.reason) for letter in await letters(one)}
    assert found.keys() == {(CONVERSATIONS.name, 3), (FACTS.name, 0)}
    assert {field for field, _ in found.values()} == {"data.sealed"}
    assert all("workers have no keys" in reason for _, reason in found.values())
    turns = {turn.message_id: turn async for turn in one.store.scan_turns(None)}
    assert {name: turn.erased for name, turn in turns.items()} == {f"m{n}": False for n in range(5)} | {"gone": True}
    assert [fact.text async for fact in one.store.scan_facts(None)] == ["Anna camps."]


def astray() -> list[NewRecord]:
    """Return records of one space that stand in its partition and in others: two of each thing, which contradict."""

    def elsewhere(one: Event, *, key: str | None = None) -> NewRecord:
        at = record(one)
        count = next(spec.partitions for spec in TOPICS if spec.name == at.topic)
        if key is not None:
            return replace(at, key=key.encode())
        return replace(at, partition=(partition_of(at.key, count) + 1) % count)

    return [
        *map(record, [message("m0", "The tent is blue."), message("m1", "The stove is old.")]),
        *map(record, [reinforced("e0", ["m0", "m1"]), reinforced("e1", ["m0", "m2"])]),
        *map(record, [distilled("f0", "Anna camps."), forgotten("x0", "m0")]),
        elsewhere(message("m0", "The tent is red.")),
        elsewhere(message("m1", "The stove is new."), key="acme/bert"),
        elsewhere(reinforced("e2", ["m0", "m1"])),
        elsewhere(reinforced("e3", ["m0", "m2"]), key="acme/bert"),
        elsewhere(distilled("f1", "Anna camps.", evidence=("m1",))),
        elsewhere(restored("x1", "m0")),
    ]


async def test_a_record_out_of_its_place_is_put_aside(one: Machine) -> None:
    """Its key is not its space, or another partition than the key's holds it: a dead letter, with what to do."""
    await one.log.append(astray())
    settings_at = (await _partition_with_key(one, b"acme/anna") + 1) % CONVERSATIONS.partitions
    await one.log.append([record(applied("s", one.settings), partition=settings_at)])
    await one.settle()
    found = Counter((letter.topic, letter.field) for letter in await letters(one))
    assert found == {
        (CONVERSATIONS.name, "key"): 1,
        (CONVERSATIONS.name, "partition"): 1,
        (RECALLS.name, "key"): 1,
        (RECALLS.name, "partition"): 1,
        (FACTS.name, "partition"): 1,
        (CONTROL.name, "partition"): 1,
    }
    assert all("append the event" in letter.reason for letter in await letters(one))
    turns = {turn.message_id: turn async for turn in one.store.scan_turns(None)}
    assert {name: (turn.text, turn.hidden) for name, turn in turns.items()} == {
        "m0": ("The tent is blue.", True),
        "m1": ("The stove is old.", False),
    }


async def test_the_order_of_partitions_changes_nothing(one: Machine) -> None:
    """Whichever partition is processed first, live or again with what the dead letters name, the digest is the same."""
    await one.log.append(astray())
    digests = set()
    for reverse in (False, True, False):  # by the third time the dead letters of the first two stand in the log
        with directory() as elsewhere:
            async with one.beside(elsewhere) as other:
                ends = await other.ends()
                for processor in (other.encoding(), other.coactivation()):
                    pump = other.pump(processor)
                    for at in sorted(ends, reverse=reverse):
                        await pump.run(until={at: ends[at]})
                digests.add(await other.digest())
    assert len(digests) == 1


async def _partition_with_key(one: Machine, key: bytes) -> int:
    return partition_of(key, len(await one.log.partitions(CONVERSATIONS.name)))


class Picky:
    """Encoding that fails on certain texts.

    Args:
        one: The machine.
        failing: Raises for a text, or not.
    """

    def __init__(self, one: Machine, failing: Callable[[str], None]) -> None:
        self._encoding = one.encoding()
        self._failing = failing
        self.group = self._encoding.group
        self.topics = self._encoding.topics
        self.batches: list[int] = []

    async def restore(self, partition: TopicPartition, state: bytes | None) -> None:
        """Begin again."""
        await self._encoding.restore(partition, state)

    async def process(self, batch: Batch) -> Effects:
        """Process the batch, then fail if one of its texts is bad."""
        self.batches.append(len(batch.deliveries))
        effects = await self._encoding.process(batch)
        for memory in effects.writes.memories:
            self._failing(memory.turn.text)
        return effects


async def test_the_one_record_that_provokes_an_error_is_found(one: Machine) -> None:
    """A batch that fails is halved until the culprit stands alone; it is put aside once, all others are applied."""
    events = conversation(12)
    events[7] = message("bad", "boom")
    await one.append(*events)

    def failing(text: str) -> None:
        if text == "boom":
            raise ValueError("it went off")

    picky = Picky(one, failing)
    told: list[Progress] = []
    pump = one.pump(picky, on_progress=told.append)
    await pump.run(until=await one.ends())
    (letter,) = await letters(one)
    assert (letter.offset, letter.reason.partition(":")[0]) == (7, f"ValueError at {__name__}")
    assert decode(base64.b64decode(letter.value_base64)) == events[7]
    assert len(await one.records(DEAD_LETTERS.name)) == 1
    assert await one.store.spaces() == {"acme/anna": 11}
    assert pump.counts["dead-lettered"] == 1
    assert pump.counts["processed"] == pump.counts["encoded"] == 11
    assert sum(progress.records for progress in told) == 12
    # A new process that begins at the start of the log passes it over.
    again = Picky(one, failing)
    with directory() as elsewhere:
        async with one.beside(elsewhere) as other:
            again._encoding = other.encoding()
            await other.pump(again).run(until=await other.ends())
            assert again.batches == [11]
            assert len(await one.records(DEAD_LETTERS.name)) == 1
            assert await other.digest() == await one.digest()


async def test_several_culprits_in_one_batch_are_all_found(one: Machine) -> None:
    """Undecodable records and ones that provoke errors, side by side: each is put aside once."""
    events = conversation(16)
    bad = {0: b"{", 5: None, 6: None, 9: b"\x00", 15: None}
    for n, value in bad.items():
        if value is None:
            events[n] = message(f"m{n}", "boom")
    await one.log.append([record(event, value=bad.get(n)) for n, event in enumerate(events)])

    def failing(text: str) -> None:
        if text == "boom":
            raise Poison("boom is not a text", "data.text")

    pump = one.pump(Picky(one, failing))
    await pump.run(until=await one.ends())
    assert [letter.offset for letter in sorted(await letters(one), key=lambda x: x.offset)] == sorted(bad)
    assert len(await one.records(DEAD_LETTERS.name)) == len(bad)
    assert pump.counts["dead-lettered"] == len(bad)
    assert await one.store.spaces() == {"acme/anna": 11}
    numbers = sorted([(t.conversation, t.turn) async for t in one.store.scan_turns(None)])
    assert [turn for conversation, turn in numbers if conversation == "c0"] == list(range(6))


@pytest.mark.parametrize("at", ["append", "write", "checkpoint"])
async def test_a_crash_while_a_culprit_is_put_aside(place: Path, at: str) -> None:
    """Wherever it ends, the new process finds the same culprit or skips it, and applies the rest."""

    def failing(text: str) -> None:
        if text == "boom":
            raise ValueError("it went off")

    async with machine(place) as one:
        await one.append(*conversation(3), message("bad", "boom"), *conversation(8)[3:])

        def fault(name: str, when: Moment) -> None:
            if (name, when) == (at, "after"):
                raise Crash

        one.watch.fault = fault
        with pytest.raises(Crash):
            await one.pump(Picky(one, failing)).run(until=await one.ends())
    async with machine(place) as one:
        await one.pump(Picky(one, failing)).run(until=await one.ends())
        assert [letter.offset for letter in await letters(one)] == [3]
        assert len(await one.records(DEAD_LETTERS.name)) == 1
        assert await one.store.spaces() == {"acme/anna": 8}


async def test_a_culprit_stops_nobody_whatever_its_error_says(one: Machine) -> None:
    """Errors without words, with half a surrogate pair or of great length still give a dead letter."""
    errors = {"a": Poison(""), "b": ValueError("\udc80"), "c": ValueError("x" * 9000), "d": RecursionError()}
    await one.append(*[message(text, text) for text in errors], message("e", "the good one"))

    def failing(text: str) -> None:
        if text in errors:
            raise errors[text]

    await one.pump(Picky(one, failing)).run(until=await one.ends())
    assert {letter.offset for letter in await letters(one)} == {0, 1, 2, 3}
    assert await one.store.spaces() == {"acme/anna": 1}


async def test_the_largest_record_fits_into_a_dead_letter(one: Machine) -> None:
    """A record as large as the log takes, with a key as large as it takes, can be put aside with all its bytes."""
    record_ = NewRecord(topic=CONVERSATIONS.name, key=b"k" * 65_536, value=b"v" * 1_000_000, partition=0)
    await one.log.append([record_])
    await one.pump(one.encoding()).run(until=await one.ends())
    (letter,) = await letters(one)
    assert base64.b64decode(letter.value_base64) == record_.value
    assert base64.b64decode(letter.key_base64) == record_.key


async def test_an_output_that_cannot_be_written_is_its_records_fault(one: Machine) -> None:
    """An event that no log would take stops nobody either: the record that led to it is put aside."""

    class Overlong(Picky):
        async def process(self, batch: Batch) -> Effects:
            effects = await super().process(batch)
            events = [distilled("f", "x" * 40_000) for m in effects.writes.memories if m.turn.text == "boom"]
            return Effects(events=tuple(events), writes=effects.writes, state=effects.state, counts=effects.counts)

    await one.append(*conversation(3), message("bad", "boom"), message("good", "no boom"))
    await one.pump(Overlong(one, lambda text: None)).run(until=await one.ends())
    (letter,) = await letters(one)
    assert letter.offset == 3
    assert "data.text" in f"{letter.field}: {letter.reason}"
    assert await one.store.spaces() == {"acme/anna": 4}


async def test_junk_among_the_dead_letters_stops_nobody(one: Machine) -> None:
    """Whatever else somebody wrote into the topic of the dead letters is passed over."""
    junk = [NewRecord(topic=DEAD_LETTERS.name, key=b"", value=value) for value in (b"{", b"\xff", b"{}")]
    await one.log.append([*junk, NewRecord(topic=CONVERSATIONS.name, key=b"acme/anna", value=b"?")])
    await one.append(*conversation(2))
    await one.pump(one.encoding()).run(until=await one.ends())
    assert [letter.offset for letter in await letters(one)] == [0]
    await one.pump(one.encoding()).run(until=await one.ends())
    assert await one.store.spaces() == {"acme/anna": 2}


async def test_dead_positions_are_those_of_the_group(one: Machine) -> None:
    """What one processor could not take may be fine for another."""
    await one.log.append([NewRecord(topic=CONVERSATIONS.name, key=b"acme/anna", value=b"?")])
    await one.pump(one.encoding()).run(until=await one.ends())
    at = (await letters(one))[0]
    assert await dead_positions(one.log, "encoding") == {TopicPartition(at.topic, at.partition): {0}}
    assert await dead_positions(one.log, "co-activation") == {}


async def test_a_contradiction_stops_the_pump_and_puts_nothing_aside(one: Machine) -> None:
    """Another embedder in the log is a matter for a person: nothing of that batch is applied, committed or dead."""
    other = Settings(encoding=EncodingSettings(embedder="openai:other"))
    await one.append(*conversation(2))
    at = await partition_of_conversations(one)
    await one.log.append([record(applied("s", other), partition=at.partition)])
    await one.append(*conversation(4)[2:])
    pump = one.pump(one.encoding())
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="is embedded by openai:other, not by wordllama"):
            await pump.run(until=await one.ends())
    assert await letters(one) == []
    assert await one.store.spaces() == {}
    assert (await one.store.load_checkpoints("encoding")).get(at) is None
    assert (await one.log.committed("encoding")).get(at) is None
