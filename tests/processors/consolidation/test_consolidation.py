"""Consolidation: from recorded hubs to distilled facts as events, once the members are there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from msgspec import UNSET

from fakes.directories import directory
from fakes.events import SPACE, START_MS, event, forgotten, message
from fakes.machine import Machine, machine
from fakes.turns import turn
from helamem.processors.consolidation.distiller import Statement
from helamem.processors.consolidation.told import REMEMBERED, Told
from helamem.processors.port import Batch, Delivery, Effects
from helamem.schemas.errors import Poison, RetryLater
from helamem.schemas.events import ClusterMember, HubFormed, KnowledgeDistilled
from helamem.schemas.ids import fact_id, memory_id
from helamem.schemas.records import Position, TopicPartition
from helamem.schemas.topics import CONVERSATIONS, FACTS, HUBS, TOPICS
from helamem.schemas.wire import Event, decode, encode
from helamem.streams.log.generation import specs_of

AT = TopicPartition(HUBS.name, 0)
TEXTS = {
    "m0": "The tent pole broke near the lake in Lofoten.",
    "m1": "I love sleeping in the blue tent.",
    "m2": "Where is the repair kit for the poles?",
    "m3": "The shop in Bergen repairs poles for free.",
    "m4": "The ferry to Bodo leaves on Friday at seven.",
}


def hub(
    id_: str, first: str, *others: str, space: str = SPACE, applied: dict[str, int] | None = None, weights: str = ""
) -> Event:
    """Return a hub whose members are the memories of these messages; weights as digits, 9 each by default."""
    strong = [int(digit) << 20 for digit in weights or "9" * len(others)]
    members = tuple(
        ClusterMember(memory_id=memory_id(SPACE, name), weight=weight)
        for name, weight in zip(others, strong, strict=True)
    )
    data = HubFormed(
        memory_id=memory_id(SPACE, first),
        strength=sum(strong),
        degree=len(others),
        cluster=members,
        cause="e",
        applied=applied or {},
    )
    return event(id_, data, space=space, time_ms=START_MS + 9)


def batch(*events: Event) -> Batch:
    """Return events as a batch of hubs."""
    deliveries = tuple(Delivery(position=Position(1, n), event=one, value=encode(one)) for n, one in enumerate(events))
    return Batch(partition=AT, deliveries=deliveries, end=Position(1, len(events)))


async def process(one: Machine, *events: Event, state: bytes | None = None) -> Effects:
    """Return what a new processor makes of hubs."""
    processor = one.consolidation()
    await processor.restore(AT, state)
    return await processor.process(batch(*events))


def facts(effects: Effects) -> list[KnowledgeDistilled]:
    """Return the facts of the events."""
    return [one.data for one in effects.events if isinstance(one.data, KnowledgeDistilled)]


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


@pytest.fixture
async def one(place: Path) -> AsyncIterator[Machine]:
    async with machine(place) as opened:
        yield opened


@pytest.fixture
async def known(one: Machine) -> Machine:
    """A machine that knows the texts."""
    return await taught(one)


async def taught(one: Machine) -> Machine:
    """Return a machine once it knows the texts."""
    await one.append(*(message(name, text, time_ms=START_MS + n) for n, (name, text) in enumerate(TEXTS.items())))
    await one.settle()
    return one


async def test_a_hub_becomes_facts_that_name_their_evidence(known: Machine) -> None:
    """Ids, evidence, content hashes, time and hub are all functions of the event and of what was said."""
    cause = hub("h", "m0", "m1", "m2", "m3")
    effects = await process(known, cause)
    by_kind = {fact.kind: fact for fact in facts(effects)}
    assert sorted(by_kind) == ["fact", "user-trait"]
    fact = by_kind["fact"]
    assert [e.memory_id for e in fact.evidence] == [memory_id(SPACE, "m0"), memory_id(SPACE, "m3")]
    turns = await known.store.turns(SPACE, [e.memory_id for e in fact.evidence])
    assert all(turns[e.memory_id].content_hash == e.content_hash for e in fact.evidence)
    assert fact.fact_id == fact_id(SPACE, "fact", fact.text)
    assert (fact.hub, fact.distiller, fact.valid_from) == ("h", "extractive:1", START_MS + 3)
    assert {one.space for one in effects.events} == {SPACE}
    assert {one.time_ms for one in effects.events} == {cause.time_ms}
    assert effects.writes.facts == (), "encoding alone writes facts"
    again = await process(known, cause)
    assert again.events == effects.events, "the same hub gives the same events, ids included"


async def test_it_waits_until_encoding_has_come_as_far_as_the_recalls_had_seen(known: Machine) -> None:
    """Before that, a member that is missing may still come; the sentence names hub, partition and offset."""
    reached = {str(p): c.position.offset for p, c in (await known.store.load_checkpoints("encoding")).items()}
    mine = next(p for p, offset in reached.items() if p.startswith(CONVERSATIONS.name) and offset)
    await process(known, hub("h", "m0", "m1", applied={mine: reached[mine]}))
    # A recall that claims more than the log holds does not hold up its partition for ever.
    await process(known, hub("h", "m0", "m1", applied={mine: 10**12}))
    await known.append(message("m9", "And one more that nobody has encoded yet."))
    with pytest.raises(RetryLater, match=rf"hub h waits until encoding reaches offset {reached[mine] + 1} of {mine}"):
        await process(known, hub("h", "m0", "m1", applied={mine: reached[mine] + 1}))
    # Only conversations bring members; facts and control have nothing to wait for.
    await process(known, hub("h", "m0", "m1", applied={f"{FACTS.name}/0": 99, "elsewhere.g1/0": 99}))


async def test_what_an_older_generation_had_seen_is_waited_for_once(place: Path) -> None:
    """Its offsets mean nothing any more; what was there when it was first asked is waited for, and nothing later."""
    older = f"{CONVERSATIONS.name}/7"
    async with machine(place, topics=specs_of(2, CONVERSATIONS.partitions, TOPICS)) as one:
        known = await taught(one)
        await process(known, hub("h", "m0", "m1", applied={older: 3}))
        processor = known.consolidation()
        await processor.restore(AT, None)
        await processor.process(batch(hub("h", "m0", "m1", applied={older: 3})))
        await known.append(message("m9", "And one more that nobody has encoded yet."))
        await processor.process(batch(hub("h2", "m1", "m2", applied={older: 3})))
        with pytest.raises(RetryLater, match="hub h waits until encoding reaches offset"):
            await process(known, hub("h", "m0", "m1", applied={older: 3}))


async def test_a_pump_waits_with_it_and_goes_on(one: Machine) -> None:
    """The hub stands in the log before its members are encoded: consolidation waits, and then tells all of them."""
    await one.append(message("m0", TEXTS["m0"]), message("m3", TEXTS["m3"]))
    ends = await one.ends()
    (at,) = [at for at, end in ends.items() if end]
    await one.append(hub("h", "m0", "m3", applied={str(at): 2}))
    waits: list[RetryLater] = []
    told = asyncio.Event()

    def on_retry(error: RetryLater) -> None:
        waits.append(error)
        told.set()

    waiting = asyncio.create_task(one.pump(one.consolidation(), on_retry=on_retry).run(until=await one.ends()))
    await told.wait()
    assert await one.records(FACTS.name) == []
    await one.pump(one.encoding()).run(until=ends)
    await waiting
    (fact,) = [decode(record.value).data for record in await one.records(FACTS.name)]
    assert isinstance(fact, KnowledgeDistilled)
    assert len(fact.evidence) == 2


async def test_hidden_members_are_left_out(known: Machine) -> None:
    """What is forgotten is not told again."""
    await known.append(forgotten("f", "m3"))
    await known.settle()
    (fact,) = [f for f in facts(await process(known, hub("h", "m0", "m3", "m4"))) if f.kind == "fact"]
    assert [e.memory_id for e in fact.evidence] == [memory_id(SPACE, name) for name in ("m0", "m4")]
    assert TEXTS["m3"] not in fact.text


async def test_members_that_never_came_or_belong_to_another_space_are_left_out(known: Machine) -> None:
    """A hub tells only of memories of its own space that exist."""
    await known.append(message("theirs", "Our secret meeting place is under the old bridge.", space="acme/bert"))
    await known.settle()
    stolen = memory_id("acme/bert", "theirs")
    data = hub("h", "m0", "gone", "m3").data
    assert isinstance(data, HubFormed)
    cluster = (*data.cluster, ClusterMember(memory_id=stolen, weight=9 << 20))
    forged = HubFormed(
        memory_id=data.memory_id, strength=data.strength, degree=3, cluster=cluster, cause="e", applied={}
    )
    effects = await process(known, event("h", forged))
    assert {e.memory_id for fact in facts(effects) for e in fact.evidence} == {
        memory_id(SPACE, n) for n in ("m0", "m3")
    }
    assert await process(known, hub("h", "m0", "m1", "m3", space="acme/bert")) == Effects(
        state=(await process(known)).state, counts={"nothing-new": 1, "facts-emitted": 0}
    )


async def test_members_that_were_only_recalled_now_and_then_are_left_out(known: Machine) -> None:
    """A neighbour needs a quarter of the strongest edge."""
    effects = await process(known, hub("h", "m0", "m3", "m4", weights="82"))
    assert [len(fact.evidence) for fact in facts(effects)] == [3]
    effects = await process(known, hub("h", "m0", "m3", "m4", weights="81"))
    assert [len(fact.evidence) for fact in facts(effects)] == [2]


async def test_overlapping_hubs_tell_once(known: Machine) -> None:
    """The same evidence again, in the same batch or after a restart, is nothing new; new evidence is."""
    first, second, third = hub("h1", "m0", "m3"), hub("h2", "m3", "m0"), hub("h3", "m4", "m0", "m3")
    together = await process(known, first, second, third)
    assert [fact.hub for fact in facts(together)] == ["h1", "h3"]
    less, more = facts(together)
    assert (less.supersedes, more.supersedes) == (UNSET, (less.fact_id,)), "what tells more takes its place"
    state = (await process(known, first)).state
    assert (await process(known, second, state=state)).events == ()
    assert [fact.hub for fact in facts(await process(known, third, state=state))] == ["h3"]


async def test_what_changed_supersedes_what_held(one: Machine) -> None:
    """A later statement names the one that it ends; one that says the same again adds its evidence to that fact."""
    said = {
        "old": ("I live in Lisbon near the harbour.", 0),
        "new": ("We moved to Bergen last week.", 10),
        "again": ("I live in Bergen and I love the rain.", 20),
        "late": ("I live in Porto with two friends.", 5),
    }
    await one.append(*(message(name, text, time_ms=START_MS + at) for name, (text, at) in said.items()))
    await one.settle()
    for number, names in enumerate((["old", "new"], ["again", "old"], ["late", "new"], ["again", "late"])):
        await one.append(hub(f"h{number}", *names))
        await one.settle()
    homes = [fact async for fact in one.store.scan_facts(SPACE) if fact.key == "home"]
    by_value = {fact.value: fact for fact in homes}
    assert len(homes) == 3
    lisbon, bergen, porto = (by_value[value] for value in ("lisbon", "bergen", "porto"))
    assert bergen.text == "2025-03-01 Anna: We moved to Bergen last week [2025-02-17/2025-02-23]."
    assert (bergen.supersedes, bergen.valid_until_ms) == ((lisbon.id,), None)
    assert bergen.evidence == (memory_id(SPACE, "new"), memory_id(SPACE, "again"))
    assert (porto.supersedes, porto.valid_until_ms) == ((lisbon.id,), START_MS + 10)
    assert lisbon.supersedes == ()


async def test_two_hubs_of_one_batch_know_of_each_other(one: Machine) -> None:
    """What the first one tells is known to the second, before anything is stored."""
    await one.append(
        message("m0", "I live in Lisbon near the harbour."),
        message("m1", "We moved to Bergen last week.", time_ms=START_MS + 9),
        message("m2", "I live in Bergen now.", time_ms=START_MS + 12),
    )
    await one.settle()
    told = facts(await process(one, hub("h0", "m0", "m1"), hub("h1", "m2", "m1"), hub("h2", "m1", "m0")))
    assert [(fact.value, len(fact.evidence), fact.hub) for fact in told if fact.key == "home"] == [
        ("lisbon", 1, "h0"),
        ("bergen", 1, "h0"),
        ("bergen", 1, "h1"),
    ]
    assert told[1].fact_id == told[2].fact_id


async def test_another_event_is_poison(known: Machine) -> None:
    """The type is at fault, and the record can be put aside."""
    with pytest.raises(Poison, match=r"does not belong into helamem\.hubs"):
        await process(known, hub("h", "m0", "m1"), message("x", "What is this?"))


def test_what_was_told_is_remembered_up_to_a_bound() -> None:
    """The state does not grow for ever: the oldest statement leaves it first."""
    told = Told(None)
    statement = Statement(kind="fact", text="x", subject="x", valid_from_ms=0, evidence=(turn(0, "Anything."),))
    assert told.new(SPACE, [statement]) == [statement]
    assert told.new(SPACE, [statement]) == []
    for n in range(REMEMBERED):
        assert told.new(f"acme/s{n}", [statement])
    assert Told(told.to_bytes()).to_bytes() == told.to_bytes()
    assert Told(told.to_bytes()).new(SPACE, [statement])
    assert not told.new(f"acme/s{REMEMBERED - 1}", [statement])
