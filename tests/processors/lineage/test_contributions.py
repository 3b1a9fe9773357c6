"""Contributions sum to the weight, exactly, whatever happened."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.recalls import Driver, deliveries, memory, recalled, reinforced
from helamem.processors.coactivation.reading import read
from helamem.processors.coactivation.state import FoldState
from helamem.processors.hebbian.decay import CAP, decayed, tick
from helamem.processors.hebbian.packing import unpack
from helamem.processors.lineage.contributions import Histories, HubMoment
from helamem.schemas.events import HubFormed
from helamem.schemas.ids import id_text
from helamem.schemas.settings import HebbianSettings, Settings
from helamem.schemas.wire import Event
from processors.coactivation.test_fold import DAY_S, LOG, NOW, SMALL, Draft, written

ALL = tuple(memory(number) for number in range(12))


def followed(
    log: Sequence[Event], configured: Settings, space: str = "t/a", memory_ids: Sequence[str] = ALL
) -> tuple[Histories, HebbianSettings, list[HubMoment]]:
    """Return the histories of rows, the settings in force in the end, and the hubs."""
    histories, state, hubs = Histories(space, memory_ids), FoldState(None), list[HubMoment]()
    for delivery in deliveries(log):
        for stretch in read([delivery], state, configured, Counter()):
            for one in stretch.events:
                hubs += histories.fold(one, stretch.settings)
    return histories, (state.settings or configured).hebbian, hubs


@settings(max_examples=300)
@given(
    LOG,
    st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=4),
    st.integers(-1, 40 * DAY_S * 1000),
)
def test_contributions_sum_to_every_weight(drafts: list[Draft], again: list[tuple[int, int]], later_ms: int) -> None:
    """With caps, evictions, decay, changed settings, duplicates and both events: at the last touch and at any time.

    The rows are those of co-activation, to the byte. No contribution is negative, and none grows as time passes.
    """
    log = written(drafts)
    for which, later in again:
        one = log[which % len(log)]
        log.insert(min(log.index(one) + 1 + later, len(log)), one)
    driver = Driver(Settings(hebbian=SMALL))
    asyncio.run(driver.fold(log))
    for space in ("t/a", "t/b"):
        histories, in_force, _ = followed(log, Settings(hebbian=SMALL), space)
        half_life_ms = in_force.half_life_s * 1000
        for memory_id, row in histories.rows.items():
            stored = driver.content().get((space, memory_id), (b"", -1))[0]
            assert (row.stored.neighbours if row.stored else b"") == stored
            assert row.edges.keys() == {id_text(edge.neighbour) for edge in unpack(stored)}
            assert not row.edges.keys() & row.evicted.keys()
            for edge in unpack(stored):
                history = row.edges[id_text(edge.neighbour)]
                assert (history.weight, history.as_of_ms) == (edge.weight, edge.as_of_ms)
                first = history.at(edge.as_of_ms, in_force)
                assert sum(one.left for one in first) == edge.weight
                now_ms = edge.as_of_ms + later_ms
                then = history.at(now_ms, in_force)
                elapsed = tick(now_ms, half_life_ms) - tick(edge.as_of_ms, half_life_ms)
                assert sum(one.left for one in then) == decayed(edge.weight, elapsed)
                for before, after in zip(first, then, strict=True):
                    assert 0 <= after.left <= before.left + 1
                    assert 0 <= before.gain <= CAP


@settings(max_examples=200)
@given(LOG)
def test_a_hubs_cluster_is_explained_to_the_unit(drafts: list[Draft]) -> None:
    """Each weight that a hub's event records is the sum of contributions at that moment, and so is its strength."""
    log = written(drafts)
    driver = Driver(Settings(hebbian=SMALL))
    asyncio.run(driver.fold(log))
    moments = {
        (one.formed.cause.event_id, one.formed.memory_id): one
        for space in ("t/a", "t/b")
        for one in followed(log, Settings(hebbian=SMALL), space)[2]
    }
    recorded = [one.data for one in driver.published.values() if isinstance(one.data, HubFormed)]
    assert len(recorded) == len(moments)
    for hub in recorded:
        given_ = moments[hub.cause, hub.memory_id].contributions
        sums = {neighbour: sum(one.left for one in found) for neighbour, found in given_.items()}
        assert (sum(sums.values()), len(sums)) == (hub.strength, hub.degree)
        assert all(sums[member.memory_id] == member.weight for member in hub.cluster)


def test_only_what_came_since_the_last_eviction_counts() -> None:
    """An edge that was pushed out and comes back begins anew; who pushed it out is known as long as it is away."""
    only = Settings(hebbian=HebbianSettings(neighbours=2, newcomers=1, eta_recalled=0.01, half_life_s=DAY_S))
    log = [
        recalled("e0", [0, 1], NOW),
        recalled("e1", [0, 2], NOW),
        recalled("e2", [0, 2], NOW),
        recalled("e3", [0, 3], NOW),
    ]
    row = followed(log, only)[0].rows[memory(0)]
    assert row.edges.keys() == {memory(2), memory(3)}
    assert row.evicted == {memory(1): "e3"}
    log += [recalled("e4", [0, 1], NOW), recalled("e5", [0, 1], NOW)]
    row = followed(log, only)[0].rows[memory(0)]
    assert row.edges[memory(1)].events == ("e4", "e5")
    assert row.evicted == {memory(3): "e4"}


def test_an_increment_counts_after_the_cap_and_fades() -> None:
    """What does not fit below the cap of 1 is nobody's, and after a half-life half of each contribution is left."""
    full = Settings(hebbian=HebbianSettings(eta_reinforced=0.75, half_life_s=DAY_S))
    log = [reinforced("a", [0, 1], NOW), reinforced("b", [0, 1], NOW), reinforced("c", [0, 1], NOW)]
    edge = followed(log, full)[0].rows[memory(0)].edges[memory(1)]
    assert [one.gain for one in edge.at(NOW, full.hebbian)] == [CAP * 3 // 4, CAP // 4, 0]
    later = edge.at(NOW + DAY_S * 1000, full.hebbian)
    assert [one.left for one in later] == [CAP * 3 // 8, CAP // 8, 0]
    assert [one.event_id for one in later] == ["a", "b", "c"]


def test_who_loses_its_place_to_changed_settings_begins_anew_in_the_same_event() -> None:
    """A row that grows too long is shortened before the event is folded: what that pushes out is a newcomer."""
    wide = HebbianSettings(neighbours=4, newcomers=1, eta_recalled=0.5, half_life_s=DAY_S)
    narrow = HebbianSettings(neighbours=2, newcomers=1, eta_recalled=1.0, half_life_s=DAY_S)
    drafts: list[Draft] = [("recalled", [0, number], NOW + number, "t/a") for number in (1, 2, 3)]
    drafts += [("settings", narrow, NOW, "t/a"), ("recalled", [0, 1], NOW + 9, "t/a")]
    row = followed(written(drafts), Settings(hebbian=wide))[0].rows[memory(0)]
    assert row.edges[memory(1)].events == ("e4",)
    assert len(row.edges) == 2
