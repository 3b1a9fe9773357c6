"""An erasure in all builds of a store on a Qdrant server, in the client's local mode, while others go on speaking."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import count, cycle
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from fakes.events import SPACE, distilled, message, recalled, record, reinforced
from fakes.machine import Machine, Watch, WatchedLog
from fakes.words import wordllama
from helamem.processors.consolidation.standing import sources
from helamem.processors.digest import digest
from helamem.processors.encoding.processor import Encoding
from helamem.processors.encoding.unsealing import Erased
from helamem.processors.port import Processor
from helamem.schemas.errors import BadInput, RetryLater
from helamem.schemas.events import Wordy
from helamem.schemas.ids import memory_id
from helamem.schemas.records import TopicPartition
from helamem.schemas.topics import CONVERSATIONS, FACTS
from helamem.schemas.wire import Event, decode
from helamem.streams.erasure.fleet import FleetErasure, erase_in_fleet
from helamem.streams.fleet import stores
from helamem.streams.fleet.stores import builds_on, caught_up
from helamem.streams.log.port import Log
from helamem.streams.sealing.erasures import Erasures
from helamem.streams.sealing.fleet import Sealing
from helamem.streams.sealing.keys import KeyFiles, make_keys
from helamem.streams.sealing.seal import Opener, Sealer
from streams.test_builds import World, world

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant:UserWarning")

WORDS = ("Wobblethorpe", "Zanzibarium", "wobblethorpe")


class Worker(Machine):
    """A worker of a fleet that seals: it hears of erasures that stand in partitions of others."""

    sealing = Sealing((), None)

    def encoding(self) -> Encoding:
        """Return a new encoding processor."""
        erased = Erased()
        return Encoding(
            self.store,
            self.embedder,
            self.settings,
            unsealer=self.sealing.unsealer(erased),
            erased=erased,
            look=Erasures(self.log, erased).look,
        )


class Fleet:
    """A world with a worker, and an erasure in it."""

    def __init__(self, one: World, worker: Worker) -> None:
        self.one = one
        self.worker = worker

    async def erase(self, subject: str = "Mira", **options: Any) -> FleetErasure:
        """Erase somebody; the worker works whenever it is waited for."""
        sealing = self.worker.sealing
        options.setdefault("caught_up", self.worker.settle)
        log, builds = sealing.sealing(self.one.log), await builds_on(self.one.server)
        return await erase_in_fleet(
            log, builds, sealing.keys, space=SPACE, subject=subject, embedder=wordllama().name, **options
        )

    async def append(self, *events: Event) -> None:
        """Append as whoever speaks does."""
        await self.worker.sealing.sealing(self.one.log).append([record(event) for event in events])

    async def held(self) -> list[tuple[int | None, str]]:
        """Return which builds hold which words, anywhere in what they keep."""
        client, found = self.one.server.client, []
        for collection in (await client.get_collections()).collections:
            points, _ = await client.scroll(collection.name, limit=10_000, with_payload=True)
            number = int(collection.name.rpartition(".b")[2])
            found += [(number, word) for word in WORDS for point in points if word in str(point.payload)]
        return sorted(set(found))


async def opened(one: World, *, sealed: bool) -> Fleet:
    """Return a fleet to which Mira and Tom have spoken, with facts of both."""
    if sealed:
        make_keys(one.work / "keys")
    found = await one.worker()
    worker = Worker(found.log, found.store, found.settings, found.embedder)
    worker.sealing = Sealing(("acme",), KeyFiles(one.work / "keys")) if sealed else Sealing((), None)
    fleet = Fleet(one, worker)
    mira = [message(f"m{n}", f"My dentist is Doctor Wobblethorpe, number {n}.", speaker="Mira") for n in range(3)]
    tom = [message(f"t{n}", f"I bake rye bread in Bergen on day {n}.", speaker="Tom") for n in range(3)]
    await fleet.append(*mira, *tom)
    await fleet.append(recalled("r1", ["m0", "m1", "t0", "t1"]), reinforced("u1", ["m0", "m1", "t0", "t1"]))
    await worker.settle()
    return fleet


@pytest.mark.parametrize("sealed", [True, False])
async def test_words_go_from_every_build(tmp_path: Path, *, sealed: bool) -> None:
    """Also from one that is not in use; one that is filled afterwards is equal; once more there is nothing to do."""
    async with world(tmp_path) as one:
        fleet = await opened(one, sealed=sealed)
        await one.build(unsealer=fleet.worker.sealing.unsealer)
        assert {number for number, _ in await fleet.held()} == {1, 2}
        found = await fleet.erase()
        assert (found.erasure.memories, found.erasure.keys) == (3, 2 if sealed else 0)
        assert found.erasure.remains.messages == (0 if sealed else 3)
        assert [(held.build, held.in_use, held.memories) for held in found.builds] == [(1, True, 3), (2, False, 3)]
        assert found.erasure.facts == found.builds[0].facts == found.builds[1].facts > 0
        assert await fleet.held() == []
        again = await fleet.erase()
        assert (again.erasure.erased_before, again.erasure.memories, again.builds[1].memories) == (True, 0, 0)
        built = await one.build(unsealer=fleet.worker.sealing.unsealer)
        assert (built.build, built.compared) == (2, "equal")
        assert not [fact async for fact in fleet.worker.store.scan_facts(SPACE) if not (fact.hidden or fact.text)]
        with pytest.raises(BadInput, match="nothing in acme/anna is from or about the data subject Nobody"):
            await fleet.erase("Nobody")


@pytest.mark.parametrize("sealed", [True, False])
async def test_what_was_under_way_is_erased_too(tmp_path: Path, *, sealed: bool) -> None:
    """Words that were sealed before it and stand behind it, and a fact of them that somebody was about to tell.

    What she says afterwards is remembered.
    """
    async with world(tmp_path) as one:
        fleet = await opened(one, sealed=sealed)
        sealing = fleet.worker.sealing
        late = message("late", "Zanzibarium it is, said late.", speaker="Mira")
        if sealing.keys is not None:
            late = Sealer(sealing.keys, sealing.tenants).seal(late)  # as it was before the erasure
        told = distilled("told", "Mira said Wobblethorpe.", evidence=["m0"])
        rounds = 0

        async def working() -> None:
            nonlocal rounds
            rounds += 1
            if rounds == 2:  # the first events of the erasure stand in the log
                await fleet.append(told, message("after", "I am back.", speaker="Mira"))
                if sealed:
                    await one.log.append([record(late)])
            await fleet.worker.settle()

        found = await fleet.erase(caught_up=working)
        assert found.erasure.memories == (4 if sealed else 3)
        assert await fleet.held() == []
        turns = await fleet.worker.store.turns(SPACE, [memory_id(SPACE, "after"), memory_id(SPACE, "late")])
        assert turns[memory_id(SPACE, "after")].text == "I am back."
        assert not turns[memory_id(SPACE, "after")].hidden
        if sealed:
            assert turns[memory_id(SPACE, "late")].erased
        built = await one.build(unsealer=sealing.unsealer)
        assert built.compared == "equal"
        assert (await digest(fleet.worker.store)) == built.replayed.digest


async def test_a_fact_that_was_sealed_while_she_was_erased_cannot_be_opened(tmp_path: Path) -> None:
    """A worker that had read her words seals what it tells with her next key: that one goes too, and what it sealed."""
    async with world(tmp_path) as one:
        fleet = await opened(one, sealed=True)
        rounds = 0

        async def working() -> None:
            nonlocal rounds
            rounds += 1
            if rounds == 2:
                told = distilled("told", "Mira said Wobblethorpe.", evidence=["m0"])
                await fleet.append(replace(told, data=replace(told.data, data_subjects=("Mira", "Tom"))))
                await fleet.append(message("after", "I am back.", speaker="Mira"))
                await fleet.append(message("t9", "I ski.", speaker="Tom"))
            await fleet.worker.settle()

        await fleet.erase(caught_up=working)
        assert await fleet.held() == []
        keys = KeyFiles(one.work / "keys")
        events = [
            decode(record.value)
            for topic in (CONVERSATIONS, FACTS)
            for at in await one.log.partitions(topic.name)
            for record in await one.log.read(at, 0)
        ]
        sealed = [one for one in events if isinstance(one.data, Wordy) and one.data.sealed is not UNSET]
        words = [Opener(keys, Erased()).open(event) for event in sealed]
        assert "I ski." in words
        assert [said for said in words if said is not None and any(word in said for word in WORDS)] == []
        turns = await fleet.worker.store.turns(SPACE, [memory_id(SPACE, "after"), memory_id(SPACE, "t9")])
        assert turns[memory_id(SPACE, "after")].erased
        assert turns[memory_id(SPACE, "t9")].text == "I ski."
        await fleet.append(message("later", "I am back again.", speaker="Mira"))
        await fleet.worker.settle()
        built = await one.build(unsealer=fleet.worker.sealing.unsealer)
        assert built.compared == "equal"
        later = await fleet.worker.store.turns(SPACE, [memory_id(SPACE, "later")])
        assert later[memory_id(SPACE, "later")].text == "I am back again."


async def _killed() -> None:
    raise RetryLater("killed here")


@pytest.mark.parametrize("after", [1, 2, 3])
async def test_interrupted_it_goes_on(tmp_path: Path, after: int) -> None:
    """Wherever workers were waited for in vain: the same again ends where it would have ended."""
    async with world(tmp_path) as one:
        fleet = await opened(one, sealed=True)
        left = [fleet.worker.settle] * (after - 1)

        async def working() -> None:
            step: Callable[[], Awaitable[None]] = left.pop() if left else _killed
            await step()

        with pytest.raises(RetryLater, match="killed here"):
            await fleet.erase(caught_up=working)
        await fleet.erase()
        assert await fleet.held() == []
        assert (await fleet.erase()).erasure.erased_before
        keys = fleet.worker.sealing.keys
        assert keys is not None
        assert keys.live(SPACE, "Mira") == []
        assert (await one.build(unsealer=fleet.worker.sealing.unsealer)).compared == "equal"


async def test_workers_that_do_not_come_are_not_waited_for(tmp_path: Path) -> None:
    """It says how much is left, and that nobody does it."""
    async with world(tmp_path) as one:
        fleet = await opened(one, sealed=False)
        await caught_up(one.log, fleet.worker.store)
        await fleet.append(message("more", "More."))
        with pytest.raises(RetryLater, match="workers have yet to process 1 records, and nobody does; start them"):
            await caught_up(one.log, fleet.worker.store, patience_s=0.0)


class Busy(WatchedLog):
    """A log to which something more is said whenever its ends are read, and on which one group works at each look."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(worker.log, Watch())
        self._worker = worker
        self._groups: cycle[Callable[[], Processor]] = cycle(
            [worker.encoding, worker.coactivation, worker.consolidation]
        )
        self._said = count()

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Speak, and return the ends."""
        await self.append([record(message(f"more-{next(self._said)}", "More."))])
        return await self._log.end_offsets(partitions)

    async def begin_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Have the next group work, and return where partitions begin."""
        await self._worker.pump(next(self._groups)()).run(until=await self._worker.ends())
        return await self._log.begin_offsets(partitions)


async def test_workers_are_waited_for_while_people_speak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes in meanwhile is not waited for; what follows from all before is: recalls, their hubs, their facts."""
    monkeypatch.setattr(stores, "LOOK_AGAIN_S", 0.0)
    async with world(tmp_path) as one:
        fleet = await opened(one, sealed=False)
        bees = [message(f"k{n}", f"I keep bees in Bergen, hive {n}.", speaker="Kari") for n in range(3)]
        await fleet.append(*bees, reinforced("w1", ["k0", "k1", "k2"]))
        busy = cast("Log", Busy(fleet.worker))
        await asyncio.wait_for(caught_up(busy, fleet.worker.store, patience_s=60.0), timeout=20)
        facts = [fact async for fact in fleet.worker.store.scan_facts(SPACE)]
        assert [fact for fact in facts if memory_id(SPACE, "k0") in sources(fact)]
