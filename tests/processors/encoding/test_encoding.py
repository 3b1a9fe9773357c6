"""Encoding: what messages, facts and control events become, whatever the batches, restarts and order of topics."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fakes.directories import directory
from fakes.events import (
    SPACE,
    START_MS,
    applied,
    distilled,
    forgotten,
    message,
    record,
    restored,
    retracted,
)
from fakes.machine import Machine, machine
from fakes.words import CountingEmbedder, wordllama
from helamem.processors.consolidation.claims.claim import Claim
from helamem.processors.encoding.content import content_hash, spoken, vector_hash
from helamem.processors.encoding.keywords import keywords
from helamem.processors.encoding.processor import Encoding
from helamem.processors.encoding.reading import Reading, Said, read
from helamem.processors.encoding.state import EncodingState
from helamem.processors.seen import WINDOW, Seen
from helamem.processors.store.port import Turn
from helamem.schemas.errors import ConfigurationError
from helamem.schemas.events import ConversationMessage, KnowledgeDistilled
from helamem.schemas.ids import fact_id, memory_id
from helamem.schemas.records import TopicPartition
from helamem.schemas.settings import EncodingSettings, Settings
from helamem.schemas.topics import CONTROL, CONVERSATIONS, FACTS
from helamem.schemas.wire import Event
from helamem.streams.dead_letters import read_dead_letters

OTHER = "acme/bert"
FACT_TEXTS = ("Anna owns a blue tent.", "Bert is allergic to nuts.", "The ferry leaves at seven.")


def script() -> list[Event]:
    """Return events of two spaces: messages, also repeated and contradicting ones, facts and control."""
    events: list[Event] = []
    for n in range(16):
        space = (SPACE, OTHER)[n % 2]
        events.append(
            message(f"m{n}", f"In week {n} we packed tent number {n}.", space=space, conversation=f"c{n // 2 % 3}")
        )
    events.insert(9, message("m2", "In week 2 we packed tent number 2.", conversation="c1"))  # once more
    events.insert(12, message("m4", "Something else under the same id.", conversation="c2"))
    events.append(message("m0", "Another conversation claims it.", conversation="c9"))
    events += [distilled(f"f{n}", text) for n, text in enumerate(FACT_TEXTS)]
    events += [distilled("f1", FACT_TEXTS[1]), retracted("x0", FACT_TEXTS[2])]
    events += [forgotten("c0", "m0", "m4", "m999"), restored("c1", "m4"), forgotten("c2", "m8")]
    # A producer's retry of what was taken back meanwhile, and a restoration of what was never forgotten.
    events += [forgotten("c0", "m0", "m4", "m999"), restored("c3", "m6"), forgotten("c4", "m1", space=OTHER)]
    return events


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


@pytest.fixture
async def one(place: Path) -> AsyncIterator[Machine]:
    async with machine(place) as opened:
        yield opened


async def encode_all(one: Machine, batch_records: int = 1000) -> None:
    """Run a new encoding pump to the end of the log."""
    pump = one.pump(one.encoding(), batch_records=batch_records)
    await pump.run(until=await one.ends())
    one.counts.update(pump.counts)


async def turns(one: Machine) -> dict[str, Turn]:
    """Return every turn by message id; ids are unique in the tests that ask."""
    return {turn.message_id: turn async for turn in one.store.scan_turns(None)}


@pytest.mark.parametrize("batch_records", [1, 2, 3, 100])
async def test_turns_are_numbered_and_linked_in_the_order_of_the_log(one: Machine, batch_records: int) -> None:
    """Each conversation counts from 0 and each turn knows the one before, across batches and restarts."""
    for n in range(12):
        await one.append(message(f"m{n}", f"Turn {n}.", conversation=f"c{n % 3}"))
        if n % 4 == 3:
            await encode_all(one, batch_records)  # a new processor and a new pump each time
    found = await turns(one)
    assert {name: turn.turn for name, turn in found.items()} == {f"m{n}": n // 3 for n in range(12)}
    expected = {f"m{n}": memory_id(SPACE, f"m{n - 3}") if n >= 3 else None for n in range(12)}
    assert {name: turn.previous for name, turn in found.items()} == expected


async def test_conversations_of_the_same_name_in_two_spaces_are_two(one: Machine) -> None:
    """Numbers and links never cross a space, nor does an id."""
    for n in range(4):
        await one.append(message(f"m{n}", f"Turn {n}.", space=(SPACE, OTHER)[n % 2]), message("same", "Both say this."))
        await one.append(message("same", "Both say this.", space=OTHER))
    await encode_all(one)
    counted = [(t.space, t.turn) async for t in one.store.scan_turns(None)]
    assert sorted(counted) == [(space, n) for space in (SPACE, OTHER) for n in range(3)]
    assert memory_id(SPACE, "same") != memory_id(OTHER, "same")


async def test_turns_that_a_crash_left_behind_are_not_taken_for_earlier_ones(one: Machine) -> None:
    """The batch was written and its checkpoint lost: smaller batches afterwards give the same numbers and links."""
    await one.append(*(message(f"m{n}", f"Turn {n}.", conversation=f"c{n % 2}") for n in range(9)))
    one.watch.fault = _lose_the_checkpoint
    with pytest.raises(ZeroDivisionError):
        await encode_all(one)
    before = {name: (turn.turn, turn.previous) for name, turn in (await turns(one)).items()}
    assert len(before) == 9
    one.watch.fault = lambda step, moment: None
    await one.append(*(message(f"m{n}", f"Turn {n}.", conversation=f"c{n % 2}") for n in range(9, 12)))
    await encode_all(one, batch_records=2)
    after = {name: (turn.turn, turn.previous) for name, turn in (await turns(one)).items()}
    assert {name: after[name] for name in before} == before
    assert [after[f"m{n}"][0] for n in (9, 10, 11)] == [4, 5, 5]
    assert (one.counts["encoded"], one.counts["duplicate"]) == (12, 0), "a record is no duplicate of itself"


def _lose_the_checkpoint(step: str, moment: str) -> None:
    if step == "checkpoint":
        raise ZeroDivisionError


@pytest.mark.parametrize("batch_records", [1, 4, 100])
async def test_the_first_message_with_an_id_is_the_one_that_counts(one: Machine, batch_records: int) -> None:
    """The same again is a duplicate, other words, time or speaker under the same id a conflict; both change nothing."""
    first = message("m0", "The tent is blue.")
    others = [
        message("m0", "The tent is green."),
        message("m0", "The tent is blue.", time_ms=START_MS + 1),
        message("m0", "The tent is blue.", speaker="Bert"),
        message("m0", "The tent is blue.", role="agent"),
        message("m0", "The tent is blue.", conversation="elsewhere"),
    ]
    await one.append(first, message("m1", "Two."), first, *others, message("m2", "Three."), first)
    await encode_all(one, batch_records)
    found = await turns(one)
    assert {name: turn.text for name, turn in found.items()} == {
        "m0": "The tent is blue.",
        "m1": "Two.",
        "m2": "Three.",
    }
    assert [found[f"m{n}"].turn for n in range(3)] == [0, 1, 2]
    assert (one.counts["duplicate"], one.counts["conflict"], one.counts["encoded"]) == (2, 5, 3)


async def test_what_a_turn_keeps(one: Machine) -> None:
    """Everything that was said, the role, the keywords and the hashes of content and vector."""
    said = message("m0", "Pixel, our dog, was vaccinated on 3 May.", speaker="Ada", role="agent", time_ms=START_MS + 5)
    await one.append(said)
    await encode_all(one)
    turn = (await turns(one))["m0"]
    assert isinstance(said.data, ConversationMessage)
    vector = wordllama().embed(["Ada: Pixel, our dog, was vaccinated on 3 May."])[0]
    assert (turn.role, turn.speaker, turn.time_ms, turn.conversation) == ("agent", "Ada", START_MS + 5, "kitchen")
    assert turn.keywords == keywords(said.data.text)
    assert turn.content_hash == content_hash(said.data, START_MS + 5)
    assert turn.vector_hash == vector_hash(vector)
    assert turn.claims == ()
    assert not turn.hidden


async def test_a_turn_keeps_what_it_claims(one: Machine) -> None:
    """Read once, with the speaker for "I"; nobody reads it again."""
    await one.append(message("m0", "Guess what! We have settled in Bergen, and I adopted a cat.", speaker="Ada"))
    await encode_all(one)
    assert (await turns(one))["m0"].claims == (Claim("Ada", "home", "bergen"), Claim("Ada", "pet:cat", "yes"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Pixel met Bruno in Oslo.", ("bruno", "pixel", "oslo", "met")),
        ("I was there and you were not.", ()),
        ("We paid 1,250 for 3 tents", ("1", "250", "3", "tents", "paid")),
        ("the Dog's dog DOG", ("dog",)),
        ("🙂🙂", ()),
        ("", ()),
        ("one two three four five six seven eight nine tents", ("seven", "eight", "tents", "three", "four", "five")),
    ],
)
def test_keywords(text: str, expected: tuple[str, ...]) -> None:
    """Names and numbers first, then long words, at most eight, none twice, no common words."""
    found = keywords(text)
    assert len(found) <= 8
    assert set(expected) <= set(found) if len(expected) > 5 else sorted(found) == sorted(expected)


def test_names_and_numbers_come_before_long_words() -> None:
    """A sentence's first word is no name for its capital letter alone."""
    assert keywords("Yesterday Bo ordered extraordinarily comfortable chairs for 40 Oslo guests") == (
        "oslo",
        "40",
        "extraordinarily",
        "comfortable",
        "ordered",
        "chairs",
        "guests",
    )


def test_who_speaks_is_part_of_what_is_embedded() -> None:
    """Two speakers of the same words have two vectors."""
    said = ConversationMessage(message_id="m", conversation="c", speaker="Ada", text="Yes.")
    assert spoken(said.speaker, said.text) == "Ada: Yes."


def test_the_content_hash_sees_every_field_and_no_joint() -> None:
    """Any single change changes it, also where text moves from one field to the next."""
    said = ConversationMessage(message_id="m", conversation="c", speaker="Ada", text="Yes.")
    others = [
        ConversationMessage(message_id="m", conversation="d", speaker="Ada", text="Yes."),
        ConversationMessage(message_id="m", conversation="c", speaker="AdaY", text="es."),
        ConversationMessage(message_id="m", conversation="cA", speaker="da", text="Yes."),
        ConversationMessage(message_id="m", conversation="c", speaker="Ada", role="agent", text="Yes."),
    ]
    hashes = [content_hash(one, 7) for one in (said, *others)] + [content_hash(said, 8)]
    assert len(set(hashes)) == len(hashes)
    assert content_hash(said, 7) == hashes[0]


def test_the_vector_hash_is_of_float32_in_one_byte_order() -> None:
    """The same numbers in another layout of memory give the same hash."""
    vector = np.arange(8, dtype=np.float32)
    padded = np.repeat(vector, 2)[::2]
    assert vector_hash(vector) == vector_hash(padded) == vector_hash(vector.astype(">f4"))
    assert vector_hash(vector) != vector_hash(vector[::-1])


async def test_another_embedder_in_the_log_is_refused(one: Machine) -> None:
    """The sentence names the partition, both embedders and what to do."""
    other = Settings(encoding=EncodingSettings(embedder="model2vec:potion"))
    at = (await one.log.partitions(CONVERSATIONS.name))[0]
    await one.log.append([record(applied("s", other), partition=at.partition)])
    with pytest.raises(ConfigurationError, match=r"conversations\.g1/0 is embedded by model2vec:potion, not by wordl"):
        await encode_all(one)


async def test_rules_of_a_newer_version_are_refused(one: Machine) -> None:
    """A logic version that is not known yet needs another program."""
    at = (await one.log.partitions(CONVERSATIONS.name))[0]
    await one.log.append([record(applied("s", Settings(logic_version=7)), partition=at.partition)])
    with pytest.raises(ConfigurationError, match="rules number 7, this version knows 1; install a newer helamem"):
        await encode_all(one)


async def test_a_settings_record_is_remembered_by_the_checkpoint(one: Machine) -> None:
    """A refused embedder stays refused after a restart that begins behind its record."""
    other = Settings(encoding=EncodingSettings(embedder="model2vec:potion"))
    at = (await one.log.partitions(CONVERSATIONS.name))[0]
    processor = one.encoding()
    await processor.restore(at, EncodingState(other, Seen()).to_bytes())
    await one.append(message("m0", "Hello there."))
    with pytest.raises(ConfigurationError):
        processor._check(at)


async def test_a_late_retry_of_a_control_event_changes_nothing(one: Machine) -> None:
    """Forgotten, restored, and then the forgetting delivered once more: the memory stays visible."""
    await one.append(message("m0", "The tent is blue."), message("m1", "The stove is red."))
    await one.append(forgotten("a", "m0", "m1"), restored("b", "m0"), forgotten("a", "m0", "m1"))
    await one.append(restored("b", "m0"), restored("b", "m1"))  # the last one has another content under the same id
    await encode_all(one, batch_records=1)
    assert {name: turn.hidden for name, turn in (await turns(one)).items()} == {"m0": False, "m1": True}
    assert (one.counts["duplicate"], one.counts["conflict"]) == (2, 1)


async def test_a_late_retry_of_a_settings_record_does_not_bring_old_ones_back(one: Machine) -> None:
    """The newest settings hold, whatever is delivered again."""
    at = (await one.log.partitions(CONVERSATIONS.name))[0]
    first, second = Settings(), Settings(encoding=EncodingSettings(language="german"))
    events = [applied("s1", first), applied("s2", second), applied("s1", first)]
    await one.log.append([record(event, partition=at.partition) for event in events])
    await encode_all(one, batch_records=1)
    checkpoint = (await one.store.load_checkpoints("encoding"))[at]
    assert EncodingState.of(checkpoint.state, Settings()).settings == second


async def test_a_fact_under_a_foreign_id_is_put_aside(one: Machine) -> None:
    """Nobody can occupy the id of another space's statement before that space has made it."""
    text = "Anna owns a blue tent."
    forged = distilled("forged", text, space=OTHER)
    assert isinstance(forged.data, KnowledgeDistilled)
    stolen = KnowledgeDistilled(
        fact_id=fact_id(SPACE, "fact", text),
        kind="fact",
        text="Something else.",
        subject="x",
        valid_from=START_MS,
        evidence=forged.data.evidence,
        hub="h",
        distiller="d",
    )
    await one.append(Event(id="x", source="test", space=OTHER, time_ms=START_MS, data=stolen))
    await encode_all(one)
    (letter,) = [letter async for letter in read_dead_letters(one.log)]
    assert letter.field == "data.fact_id"
    await one.append(distilled("real", text))
    await encode_all(one)
    assert [(fact.space, fact.text) async for fact in one.store.scan_facts(None)] == [(SPACE, text)]


def test_a_state_of_another_version_is_refused() -> None:
    """A checkpoint of another version is named as such, with what to do."""
    good = EncodingState(Settings(), Seen()).to_bytes()
    for raw in (b"\xff", b"\x80", b"\x93\x09" + good[2:]):
        with pytest.raises(ConfigurationError, match="written by another version of helamem"):
            EncodingState.of(raw, Settings())


def test_events_are_remembered_within_the_window() -> None:
    """An id is known for as many accepted events as the window has, also through its stored form."""
    seen = Seen()
    for n in range(WINDOW):
        assert seen.admit(f"e{n}", b"x")[0] == "accepted"
    seen = Seen(seen.to_bytes())
    assert seen.admit("e0", b"x")[0] == "duplicate"
    assert seen.admit("e0", b"y")[0] == "conflict"
    assert seen.admit("new", b"x")[0] == "accepted"
    assert seen.admit("e0", b"x")[0] == "accepted", "the oldest has left the window"
    assert seen.admit("e2", b"x")[0] == "duplicate"


# The digest of the script, however it is cut and in whatever order topics are read.


@pytest.fixture(scope="module")
def expected() -> tuple[str, dict[str, int]]:
    """What the script becomes when it is read topic after topic in large batches."""

    async def run() -> tuple[str, dict[str, int]]:
        with directory() as path:
            async with machine(path) as one:
                await one.append(*script())
                await encode_all(one)
                return await one.digest(), dict(one.counts)

    with asyncio.Runner() as runner:
        return runner.run(run())


async def test_the_script_does_what_it_is_for(one: Machine, expected: tuple[str, dict[str, int]]) -> None:
    """It has hidden memories and facts, duplicates and conflicts, so that the tests below can fail."""
    await one.append(*script())
    await encode_all(one)
    assert await one.digest() == expected[0]
    hidden = {(t.space, t.message_id) async for t in one.store.scan_turns(None) if t.hidden}
    assert hidden == {(SPACE, "m0"), (SPACE, "m8"), (OTHER, "m1")}
    assert {f.text for f in [f async for f in one.store.scan_facts(None)] if f.hidden} == {FACT_TEXTS[2]}
    assert expected[1]["duplicate"] == 3
    assert expected[1]["conflict"] == 2


@settings(max_examples=10, deadline=None)
@given(sizes=st.lists(st.integers(1, 50), min_size=1, max_size=6))
async def test_batch_boundaries_do_not_change_the_digest(
    expected: tuple[str, dict[str, int]], sizes: list[int]
) -> None:
    """A new process after each batch size, each with its own: the same digest and the same counts."""
    with directory() as path:
        async with machine(path) as one:
            await one.append(*script())
            ends = await one.ends()
            done = dict.fromkeys(ends, 0)
            for size in [*sizes, 50, 50]:
                done = {at: min(ends[at], offset + size) for at, offset in done.items()}
                pump = one.pump(one.encoding(), batch_records=size)
                await pump.run(until=done)
                one.counts.update(pump.counts)
            assert await one.digest() == expected[0]
            names = ("encoded", "duplicate", "conflict", "facts", "forgotten", "restored", "retracted")
            assert {n: one.counts[n] for n in names} == {n: expected[1][n] for n in names}


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), step=st.integers(1, 7))
async def test_the_order_of_topics_does_not_change_the_digest(
    expected: tuple[str, dict[str, int]], seed: int, step: int
) -> None:
    """Marks before and after what they mark, facts before their evidence: any interleaving of topics ends the same."""
    rng = random.Random(seed)
    with directory() as path:
        async with machine(path) as one:
            await one.append(*script())
            ends = {at: end for at, end in (await one.ends()).items() if end}
            assert {at.topic for at in ends} == {CONVERSATIONS.name, FACTS.name, CONTROL.name}
            done: dict[TopicPartition, int] = dict.fromkeys(ends, 0)
            pump = one.pump(one.encoding())
            while done != ends:
                at = rng.choice([at for at in ends if done[at] < ends[at]])
                done[at] = min(ends[at], done[at] + rng.randint(1, step))
                await pump.run(until={at: done[at]})
            assert await one.digest() == expected[0]


class ReadingAlone(CountingEmbedder):
    """Notes how many read at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = 0
        self.most = 0

    def embed_and_read(self, messages: Sequence[Said]) -> tuple[NDArray[np.float32], list[Reading]]:
        """Take so long that another would come in between."""
        self.reading += 1
        self.most = max(self.most, self.reading)
        time.sleep(0.02)
        vectors = self.embed([spoken(one.speaker, one.text) for one in messages])
        self.reading -= 1
        return vectors, [read(one) for one in messages]


async def test_partitions_are_read_one_after_the_other(place: Path) -> None:
    """Those of all spaces wait at the same time, and one at a time keeps the interpreter from a recall."""
    embedder = ReadingAlone()
    async with machine(place, embedder=embedder) as one:
        await one.log.append([record(message("m", "We packed a tent.", space=f"acme/agent-{n}")) for n in range(16)])
        await one.settle()
        ends = await one.log.end_offsets(await one.log.partitions(CONVERSATIONS.name))
    assert sum(map(bool, ends.values())) > 1
    assert embedder.texts == 16
    assert embedder.most == 1


async def test_encoding_reads_three_topics() -> None:
    """They are what the pump asks for."""
    assert Encoding.topics == (CONVERSATIONS, FACTS, CONTROL)
