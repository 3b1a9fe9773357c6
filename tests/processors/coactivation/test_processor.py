from __future__ import annotations

import pytest

from fakes.recalls import PARTITION, Driver, deliveries, event, memory, recalled, reinforced
from helamem.processors.coactivation.processor import CoActivation
from helamem.processors.coactivation.state import FoldState
from helamem.processors.hebbian.decay import CAP, units
from helamem.processors.hebbian.packing import Edge, unpack
from helamem.processors.port import Batch, Processor
from helamem.schemas.errors import ConfigurationError, Poison
from helamem.schemas.events import ConversationMessage, HubFormed, SettingsApplied
from helamem.schemas.ids import derived_id, id_bytes
from helamem.schemas.records import Position
from helamem.schemas.settings import HebbianSettings, Settings
from helamem.schemas.topics import RECALLS

NOW = 1_700_000_000_000
HEBBIAN = HebbianSettings(eta_recalled=0.01, eta_reinforced=0.1, hub_strength=0.25, hub_cluster=3)
SETTINGS = Settings(hebbian=HEBBIAN)


@pytest.fixture
def driver() -> Driver:
    return Driver(SETTINGS)


def edges(driver: Driver, number: int, space: str = "t/a") -> list[Edge]:
    """Return the neighbours of a memory as they stand in the store."""
    return unpack(driver.store.rows[space, memory(number)].neighbours)


def edge(number: int, weight: int, at: int = NOW) -> Edge:
    return Edge(id_bytes(memory(number)), weight, at)


def test_it_is_a_processor_over_recalls(driver: Driver) -> None:
    """It reads one topic under a stable name."""
    processor: Processor = CoActivation(driver.store.as_store(), SETTINGS)
    assert (processor.group, processor.topics) == ("co-activation", (RECALLS,))


async def test_a_recall_strengthens_all_pairs_of_its_memories(driver: Driver) -> None:
    """Every pair gains η of a recall; facts and repeated ids do not count."""
    effects = await driver.fold([recalled("e", [1, 2, 3, 2], NOW, facts=[4])])
    assert edges(driver, 1) == [edge(2, units(0.01)), edge(3, units(0.01))]
    assert edges(driver, 3) == [edge(1, units(0.01)), edge(2, units(0.01))]
    assert len(effects.writes.edges) == 3
    assert effects.counts == {"recalled": 1, "edges-created": 6}


async def test_reinforcing_counts_more(driver: Driver) -> None:
    """The ids that an agent names gain the full η."""
    await driver.fold([recalled("e", [1, 2], NOW), reinforced("f", [2, 1, 2], NOW)])
    assert edges(driver, 1) == [edge(2, units(0.01) + units(0.1))]


async def test_a_single_memory_has_no_partner(driver: Driver) -> None:
    """Nothing is written where an event names fewer than two memories."""
    effects = await driver.fold([recalled("e", [1], NOW, facts=[2]), reinforced("f", [1, 1], NOW)])
    assert effects.writes.edges == ()
    assert driver.store.reads == 0


async def test_what_the_question_found_first_leads_to_what_was_of_use(driver: Driver) -> None:
    """The cue gains a link like any other of the event, also to a single memory."""
    await driver.fold([reinforced("f", [2], NOW, cue=1), reinforced("g", [3, 4], NOW, cue=1)])
    assert edges(driver, 1) == [edge(number, units(0.1)) for number in (2, 3, 4)]
    assert edges(driver, 2) == [edge(1, units(0.1))]
    assert edges(driver, 3) == [edge(4, units(0.1)), edge(1, units(0.1))]


async def test_spaces_are_apart(driver: Driver) -> None:
    """The same memory id in two spaces has two rows."""
    await driver.fold([recalled("e", [1, 2], NOW), recalled("f", [1, 3], NOW, "t/b")])
    assert edges(driver, 1) == [edge(2, units(0.01))]
    assert edges(driver, 1, "t/b") == [edge(3, units(0.01))]


async def test_one_write_per_row_and_one_read_per_space(driver: Driver) -> None:
    """A batch writes each row once, at the position of its last event, and asks the store once per space."""
    log = [recalled(f"e{number}", [1, 2, number + 3], NOW, f"t/{number % 2}") for number in range(10)]
    effects = await driver.fold(log)
    keys = [(row.space, row.memory_id) for row in effects.writes.edges]
    assert len(keys) == len(set(keys)) == 14
    assert {row.position for row in effects.writes.edges} == {Position(1, 9)}
    assert driver.store.reads == 2
    await driver.fold([*log[:1], recalled("new", [1, 2], NOW, "t/0")])
    assert driver.store.reads == 2, "rows that were used lately are at hand"
    await driver.start()
    await driver.fold([recalled("newer", [1, 2], NOW, "t/0")])
    assert driver.store.reads == 3, "after a restore the store is what counts"


async def test_settings_hold_from_their_offset_on(driver: Driver) -> None:
    """What the log puts in force counts for later records, also in a later process."""
    other = Settings(hebbian=HebbianSettings(eta_recalled=0.5, neighbours=2, newcomers=1))
    log = [recalled("a", [1, 2], NOW), event("s", SettingsApplied(settings=other), NOW), recalled("b", [1, 2], NOW)]
    await driver.fold(log)
    assert edges(driver, 1) == [edge(2, units(0.01) + units(0.5))]
    await driver.start()
    await driver.fold([recalled("c", [1, 3, 4], NOW)])
    assert len(edges(driver, 1)) == 2


async def test_a_rate_of_zero_touches_nothing(driver: Driver) -> None:
    """With η = 0 an event leaves no trace in any row."""
    none = Settings(hebbian=HebbianSettings(eta_recalled=0.0))
    effects = await driver.fold([event("s", SettingsApplied(settings=none), NOW), recalled("a", [1, 2], NOW)])
    assert effects.writes.edges == ()


async def test_rules_of_another_version_are_refused(driver: Driver) -> None:
    """A logic version that is not ours stops the worker with what to do, in the log and in a checkpoint."""
    other = SettingsApplied(settings=Settings(logic_version=99))
    with pytest.raises(ConfigurationError, match=r"logic version 99 .* run the version"):
        await driver.fold([event("s", other, NOW)])
    state = FoldState(None)
    state.settings = other.settings
    with pytest.raises(ConfigurationError, match="logic version 99"):
        await CoActivation(driver.store.as_store(), SETTINGS).restore(PARTITION, state.to_bytes())


@pytest.mark.parametrize("raw", [b"", b"\xff\xff", b"\x95\x63\xc0\xc4\x00\x80\x80"])
def test_a_state_that_is_not_ours_is_refused(raw: bytes) -> None:
    """A checkpoint of another version is named as such."""
    with pytest.raises(ConfigurationError, match="written by another version"):
        FoldState(raw)


async def test_an_event_of_another_topic_is_poison(driver: Driver) -> None:
    """The type is at fault, and the record can be put aside."""
    stray = ConversationMessage(message_id="m", conversation="c", speaker="s", text="t")
    with pytest.raises(Poison, match=r"type: conversation\.message\.v1 does not belong to helamem\.recalls"):
        await driver.fold([event("e", stray, NOW)])


async def test_a_hub_is_published_with_its_cluster(driver: Driver) -> None:
    """The event that makes a memory strong enough is the cause; id, time and members follow from it."""
    effects = await driver.fold(
        [
            reinforced("a", [1, 2], NOW),
            recalled("b", [1, 2, 3], NOW + 1),
            reinforced("c", [1, 4, 5, 3], NOW + 2),
        ]
    )
    hub, *others = effects.events
    assert hub.id == derived_id("hub", "t/a", "c", memory(1))
    assert (hub.space, hub.time_ms, hub.source) == ("t/a", NOW + 2, "helamem/co-activation")
    assert isinstance(hub.data, HubFormed)
    assert (hub.data.memory_id, hub.data.cause, hub.data.degree) == (memory(1), "c", 4)
    assert hub.data.strength == 3 * units(0.1) + 2 * units(0.01) + units(0.1)
    assert [(one.memory_id, one.weight) for one in hub.data.cluster] == [
        (memory(2), units(0.1) + units(0.01)),
        (memory(3), units(0.1) + units(0.01)),
    ]
    rest = [one.data.memory_id for one in others if isinstance(one.data, HubFormed)]
    assert rest == [memory(4), memory(5), memory(3)], "hubs of one event come in the order of its ids"
    assert effects.counts["hub-formed"] == 4
    assert driver.store.rows["t/a", memory(1)].hub_formed_ms == NOW + 2


async def test_a_hub_rests_before_it_forms_again(driver: Driver) -> None:
    """Within the rest no further hub is published for the memory, afterwards there is."""
    rest_ms = HEBBIAN.hub_rest_s * 1000
    times = [NOW, NOW + 1, NOW + rest_ms - 1, NOW + rest_ms, NOW + rest_ms + 1]
    log = [reinforced(f"e{number}", [1, 2, 3, 4], at) for number, at in enumerate(times)]
    formed = []
    for one in log:
        effects = await driver.fold([one])
        formed += [(hub.time_ms, hub.data.memory_id) for hub in effects.events if isinstance(hub.data, HubFormed)]
    assert [time for time, one in formed if one == memory(1)] == [NOW, NOW + rest_ms]
    assert [one for time, one in formed if time == NOW] == [memory(number) for number in (1, 2, 3, 4)]


async def test_a_hub_names_the_furthest_positions_of_all_recalls(driver: Driver) -> None:
    """Members come from many recalls, so a hub waits for the projection that was furthest; strangers are left out."""
    here, there = "helamem.conversations.g1/0", "helamem.conversations.g1/1"
    await driver.fold([recalled("a", [1, 2], NOW, applied={here: 9, there: 4, "other.g1/0": 7, here + "x": 1})])
    await driver.start()
    effects = await driver.fold(
        [
            recalled("b", [1, 2], NOW, applied={here: 7, there: 5}),
            reinforced("c", [1, 2, 3, 4], NOW),
            recalled("d", [8, 9], NOW, applied={here: 11}),
        ]
    )
    assert effects.events
    assert all(isinstance(one.data, HubFormed) and one.data.applied == {here: 9, there: 5} for one in effects.events)


async def test_rows_ahead_of_the_checkpoint_are_left_alone(driver: Driver) -> None:
    """After a crash between the store's writes and the checkpoint nothing is added twice."""
    log = [recalled("a", [1, 2], NOW), recalled("b", [2, 3], NOW)]
    await driver.crash(log, [True])
    assert (await driver.fold(log[:1])).counts == {"recalled": 1, "already-folded": 2}
    await driver.fold([log[1], recalled("c", [1, 2], NOW)])
    assert edges(driver, 1) == [edge(2, 2 * units(0.01))]
    assert edges(driver, 2) == [edge(1, 2 * units(0.01)), edge(3, units(0.01))]


async def test_effects_that_were_not_applied_leave_no_trace(driver: Driver) -> None:
    """After `restore` the same process folds the same batch again from what the store has; others keep their rows."""
    processor = CoActivation(driver.store.as_store(), SETTINGS)
    elsewhere = PARTITION._replace(partition=1)
    batch = Batch(partition=PARTITION, deliveries=deliveries([recalled("a", [1, 2], NOW)]), end=Position(1, 1))
    other = Batch(partition=elsewhere, deliveries=deliveries([recalled("a", [1, 2], NOW, "t/b")]), end=Position(1, 1))
    for partition in (PARTITION, elsewhere):
        await processor.restore(partition, None)
    await processor.process(other)
    first = await processor.process(batch)
    reads = driver.store.reads
    await processor.restore(PARTITION, None)
    assert await processor.process(batch) == first
    assert driver.store.reads == reads + 1
    later = Batch(
        partition=elsewhere, deliveries=deliveries([recalled("b", [1, 2], NOW, "t/b")], 1), end=Position(1, 2)
    )
    await processor.process(later)
    assert driver.store.reads == reads + 1


async def test_duplicates_are_recognised_within_the_window() -> None:
    """The last 8192 accepted events are remembered, in the checkpoint too; an older id counts as new."""
    driver = Driver(SETTINGS)
    log = [recalled(f"e{number}", [1, 2] if number < 2 else [1], NOW) for number in range(8192 + 1)]
    await driver.fold(log)
    await driver.start()
    assert (await driver.fold([log[1], reinforced("e2", [1, 2], NOW)])).counts == {"duplicate": 1, "conflict": 1}
    assert (await driver.fold([log[0]])).counts == {"recalled": 1, "edges-updated": 2}
    assert edges(driver, 1) == [edge(2, 3 * units(0.01))]


async def test_an_event_may_name_very_many_memories() -> None:
    """The largest event that the schema takes is folded like any other."""
    driver = Driver(SETTINGS)
    effects = await driver.fold([recalled("e", range(2000), NOW)])
    assert len(effects.writes.edges) == 2000
    assert all(len(row.neighbours) == 27 * 32 for row in effects.writes.edges)
    assert max(one.weight for one in edges(driver, 0)) == units(0.01) < CAP


async def test_an_empty_batch_is_a_step_too(driver: Driver) -> None:
    """Where all records went to the dead letters, the state is carried on."""
    processor = CoActivation(driver.store.as_store(), SETTINGS)
    await processor.restore(PARTITION, None)
    first = await processor.process(
        Batch(partition=PARTITION, deliveries=deliveries([recalled("a", [1, 2], NOW)]), end=Position(1, 1))
    )
    empty = await processor.process(Batch(partition=PARTITION, deliveries=(), end=Position(1, 5)))
    assert (empty.events, empty.writes.edges, empty.counts) == ((), (), {})
    assert empty.state == first.state
