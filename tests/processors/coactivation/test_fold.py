"""The fold as a whole: the outcome is a function of the records alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.recalls import Driver, event, memory, recalled, reinforced
from helamem.processors.hebbian.packing import unpack
from helamem.schemas.events import HubFormed, SettingsApplied
from helamem.schemas.ids import id_bytes
from helamem.schemas.settings import HebbianSettings, Settings
from helamem.schemas.wire import Event
from references.coactivation import Reference

NOW = 1_700_000_000_000
DAY_S = 86_400
SMALL = HebbianSettings(
    eta_recalled=0.02, eta_reinforced=0.1, half_life_s=DAY_S, neighbours=4, newcomers=1, hub_rest_s=DAY_S
)
WIDE = HebbianSettings(eta_recalled=0.02, eta_reinforced=0.1, half_life_s=DAY_S, neighbours=64)

TIMES = st.integers(-3, 12).map(lambda steps: NOW + steps * DAY_S * 250)
SPACES = st.sampled_from(["t/a", "t/b"])
MEMORIES = st.lists(st.integers(0, 11), min_size=1, max_size=9)
HEBBIAN = st.builds(
    HebbianSettings,
    eta_recalled=st.sampled_from([0.0, 0.01, 0.3]),
    eta_reinforced=st.sampled_from([0.05, 1.0]),
    half_life_s=st.sampled_from([DAY_S, 7 * DAY_S]),
    neighbours=st.integers(2, 6),
    newcomers=st.integers(1, 3),
    hub_strength=st.sampled_from([0.1, 0.5]),
    hub_degree=st.integers(1, 3),
    hub_cluster=st.integers(2, 5),
    hub_rest_s=st.just(DAY_S),
)
ONE = st.one_of(
    st.builds(lambda memories, at, space: ("recalled", memories, at, space), MEMORIES, TIMES, SPACES),
    st.builds(lambda memories, at, space: ("reinforced", memories, at, space), MEMORIES, TIMES, SPACES),
)
CHANGE = st.builds(lambda hebbian: ("settings", hebbian, NOW, "t/a"), HEBBIAN)
LOG = st.lists(st.one_of(ONE, ONE, ONE, ONE, CHANGE), min_size=1, max_size=30)
Draft = tuple[str, object, int, str]


def written(drafts: Sequence[Draft]) -> list[Event]:
    """Return the drafts as events of their own ids."""
    log = []
    for number, (kind, what, at, space) in enumerate(drafts):
        if isinstance(what, HebbianSettings):
            log.append(event(f"e{number}", SettingsApplied(settings=Settings(hebbian=what)), at, space))
        elif isinstance(what, list):
            positions = {"helamem.conversations.g1/0": (number * 7) % 13, "elsewhere/0": 5}
            one = recalled(f"e{number}", what, at, space, applied=positions)
            cue = None if number % 2 else number % 12
            log.append(one if kind == "recalled" else reinforced(f"e{number}", what, at, space, cue=cue))
    return log


def formed(driver: Driver) -> list[HubFormed]:
    """Return what the hubs say, in the order in which they were published."""
    return [one.data for one in driver.published.values() if isinstance(one.data, HubFormed)]


async def folded(log: Sequence[Event], sizes: Sequence[int], cached_rows: int = 1000) -> Driver:
    """Fold a log in batches of these sizes, over and over."""
    driver, turn = Driver(Settings(hebbian=SMALL), cached_rows), 0
    while driver.offset < len(log):
        await driver.fold(log[driver.offset : driver.offset + sizes[turn % len(sizes)]])
        turn += 1
    return driver


@settings(deadline=None)
@given(LOG)
def test_rows_and_hubs_equal_the_slow_reference(drafts: list[Draft]) -> None:
    """Settings, both events, all rows and all hubs: as the documentation says, one event at a time."""
    log = written(drafts)
    reference = Reference(Settings(hebbian=SMALL))
    reference.fold(log)
    driver = asyncio.run(folded(log, [len(log)]))
    assert {key: (unpack(row), formed) for key, (row, formed) in driver.content().items()} == {
        key: ([(edge.neighbour, edge.weight, edge.as_of_ms) for edge in row.edges], row.hub_formed_ms)
        for key, row in reference.rows.items()
    }
    hubs = [(hub.cause, hub.memory_id, hub.strength, hub.degree) for hub in formed(driver)]
    assert hubs == reference.hubs


@settings(deadline=None)
@given(LOG, st.lists(st.integers(1, 9), min_size=1, max_size=5), st.sampled_from([0, 3, 1000]))
def test_batch_boundaries_do_not_matter(drafts: list[Draft], sizes: list[int], cached_rows: int) -> None:
    """One batch or many, with a cache or without: the same rows, hubs and state to the bit."""
    log = written(drafts)
    whole = asyncio.run(folded(log, [len(log)]))
    cut = asyncio.run(folded(log, sizes, cached_rows))
    assert cut.content() == whole.content()
    assert cut.state == whole.state
    assert list(cut.published.items()) == list(whole.published.items())


@settings(deadline=None)
@given(
    LOG,
    st.lists(
        st.tuples(st.integers(1, 9), st.booleans(), st.lists(st.booleans(), min_size=1, max_size=6)),
        min_size=1,
        max_size=8,
    ),
)
def test_restarts_do_not_matter(drafts: list[Draft], schedule: list[tuple[int, bool, list[bool]]]) -> None:
    """Crashes after the hubs and some of the rows were written, before the checkpoint: nothing counts twice.

    Afterwards other batches are cut than before the crash, so some rows are ahead of what is folded again.
    """

    async def bumpy(log: list[Event]) -> Driver:
        driver = Driver(Settings(hebbian=SMALL))
        for size, crash, kept in schedule:
            batch = log[driver.offset : driver.offset + size]
            if batch and crash:
                await driver.crash(batch, kept)
            elif batch:
                await driver.fold(batch)
        while driver.offset < len(log):
            await driver.fold(log[driver.offset : driver.offset + 4])
        return driver

    log = written(drafts)
    whole, driver = asyncio.run(folded(log, [len(log)])), asyncio.run(bumpy(log))
    assert driver.content() == whole.content()
    assert driver.state == whole.state
    assert driver.published == whole.published


@settings(deadline=None)
@given(LOG, st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29), st.booleans()), min_size=1, max_size=6))
def test_duplicates_change_nothing(drafts: list[Draft], again: list[tuple[int, int, bool]]) -> None:
    """The same id again at a new position, with the same or with other content: counted and skipped."""
    log = written(drafts)
    noisy = list(log)
    for number, (which, later, changed) in enumerate(again):
        one = log[which % len(log)]
        other = reinforced(one.id, [1, 2, 3], NOW + 1 + number)
        noisy.insert(min(noisy.index(one) + 1 + later, len(noisy)), other if changed else one)

    async def counted(driver: Driver) -> Counter[str]:
        counts: Counter[str] = Counter()
        while driver.offset < len(noisy):
            counts.update((await driver.fold(noisy[driver.offset : driver.offset + 5])).counts)
        return counts

    plain, driver = asyncio.run(folded(log, [5])), Driver(Settings(hebbian=SMALL))
    counts = asyncio.run(counted(driver))
    assert driver.content() == plain.content()
    assert driver.published == plain.published
    assert counts["conflict"] == sum(changed for _, _, changed in again)
    assert counts["duplicate"] == sum(not changed for _, _, changed in again)


@settings(deadline=None)
@given(st.lists(ONE, min_size=1, max_size=30))
def test_weights_are_symmetric_without_eviction(drafts: list[Draft]) -> None:
    """While no row is full, an edge has the same weight and time seen from either end, and lies within [0, 1]."""
    driver = Driver(Settings(hebbian=WIDE))
    asyncio.run(driver.fold(written(drafts)))
    edges = {
        (space, id_bytes(one), edge.neighbour): edge[1:]
        for (space, one), (row, _) in driver.content().items()
        for edge in unpack(row)
    }
    assert all(edges[space, there, here] == edge for (space, here, there), edge in edges.items())
    assert all(0 <= weight <= 2**32 for weight, _ in edges.values())


@settings(deadline=None)
@given(st.lists(TIMES, min_size=2, max_size=12))
def test_the_order_of_the_log_decides_not_the_time(times: list[int]) -> None:
    """Records are folded in log order, also where their times are equal or run backwards."""
    log = [recalled(f"e{number}", [number % 3, 5, 6], at) for number, at in enumerate(times)]
    reference = Reference(Settings(hebbian=SMALL))
    reference.fold(log)
    driver = asyncio.run(folded(log, [2]))
    row = reference.rows["t/a", memory(5)]
    assert unpack(driver.content()["t/a", memory(5)][0]) == [
        (edge.neighbour, edge.weight, edge.as_of_ms) for edge in row.edges
    ]
    assert max(edge.as_of_ms for edge in row.edges) == max(times)


def test_equal_times_are_folded_in_log_order() -> None:
    """Two events at one time with room for one partner more: the first in the log gets the free slot."""
    only = Settings(hebbian=HebbianSettings(neighbours=2, newcomers=1))

    async def rows(log: list[Event]) -> list[bytes]:
        driver = Driver(only)
        await driver.fold(log)
        return [edge.neighbour for edge in unpack(driver.content()["t/a", memory(0)][0])]

    first, second = recalled("a", [0, 1], NOW), recalled("b", [0, 2], NOW)
    assert asyncio.run(rows([first, second])) == [id_bytes(memory(1)), id_bytes(memory(2))]
    assert asyncio.run(rows([second, first])) == [id_bytes(memory(2)), id_bytes(memory(1))]


@pytest.mark.parametrize("batch", [1, 7, 60])
def test_a_partner_that_comes_often_gets_in_and_strong_edges_stay(batch: int) -> None:
    """Four strong pairs, then recalls with one regular partner among ever new ones, with any batch size."""
    log = [reinforced(f"s{number}", [0, 1, 2, 3, 4], NOW) for number in range(9)]
    log += [
        recalled(f"e{number}", [0, *range(100 + 9 * number, 109 + 9 * number), 50], NOW + number * 60_000)
        for number in range(51)
    ]
    driver = asyncio.run(folded(log, [batch]))
    weights = {edge.neighbour: edge.weight for edge in unpack(driver.content()["t/a", memory(0)][0])}
    strong = [id_bytes(memory(number)) for number in (1, 2, 3, 4)]
    # of four slots one went to the regular partner and one is on probation
    assert sum(one in weights for one in strong) == 2
    assert id_bytes(memory(50)) in weights
