"""Fold the co-activations of a batch into rows: all rows at once, and each row's own events one after another.

A row changes by its own events alone, in their order. So the first event of every row is folded in one step, then
the second of those that have one, and so on: the result is that of one event after the other, and what a step
costs is shared by thousands of rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from helamem.processors.coactivation.rowcache import RowKey
from helamem.processors.hebbian.decay import Weights, units
from helamem.processors.hebbian.hubs import NEVER, Hub, HubRule, find_hubs
from helamem.processors.hebbian.packing import pack_rows, unpack_rows
from helamem.processors.hebbian.row import Numbers, Rule, Touches, pair_hashes, strengthen
from helamem.processors.store.port import EdgeRow
from helamem.schemas.records import Position
from helamem.schemas.settings import HebbianSettings

_STEP_CELLS = 1 << 20
"""Comparisons of a partner with a slot in one step: few enough to stay in a processor's cache."""
_LARGEST = (1 << 62) - 1


class CoActivated(NamedTuple):
    """Memories that one event named together."""

    event_id: str
    event_hash: bytes
    """8 bytes."""
    space: str
    time_ms: int
    position: Position
    memory_ids: tuple[str, ...]
    """Two or more, none twice."""
    eta: int
    """What each pair gains, at least one unit."""
    applied: Mapping[str, int]
    traceparent: str | None = None


class FormedHub(NamedTuple):
    """A hub and the event that formed it."""

    cause: CoActivated
    memory_id: str
    hub: Hub


class Folded(NamedTuple):
    """What became of the rows."""

    rows: dict[RowKey, EdgeRow]
    """The rows that changed, at the position of the last event: a later one cannot be in them."""
    hubs: list[FormedHub]
    """In the order of the events, and of the ids within an event."""
    skipped: int
    """Times that a row had an event already."""
    updated: int
    """Edges that gained, counted in each row and for each event."""
    created: int
    """Edges that came into a row."""
    pruned: int
    """Edges that gave way to others."""


class _Plan(NamedTuple):
    """Which row is touched by which event, as arrays of one length, in the order of the events."""

    rows: Numbers
    events: Numbers
    columns: Numbers
    """The memory's own place in the event."""
    rounds: Numbers
    """How many events the row has had before."""


def fold(coactivated: Sequence[CoActivated], known: Mapping[RowKey, EdgeRow], settings: HebbianSettings) -> Folded:
    """Fold events into rows.

    Args:
        coactivated: Events in the order of the log, all under the same settings.
        known: The rows that exist; a row at or after an event's position has that event already.
        settings: The settings in force.
    """
    rule = rule_of(settings)
    hub_rule = HubRule(
        half_life_ms=rule.half_life_ms,
        strength=max(1, min(units(min(settings.hub_strength, 1e9)), _LARGEST)),
        degree=settings.hub_degree,
        cluster=settings.hub_cluster,
        rest_ms=min(settings.hub_rest_s * 1000, _LARGEST),
    )
    sizes = np.array([len(one.memory_ids) for one in coactivated], dtype=np.int64)
    before, plan, skipped = _plan(coactivated, sizes, known)
    block = unpack_rows([row.neighbours if row else b"" for row in before.values()], settings.neighbours)
    formed_ms = np.array([row.hub_formed_ms if row else NEVER for row in before.values()], dtype=np.int64)
    found: list[tuple[int, int, Hub]] = []
    edges = int(np.count_nonzero(block.weights))
    updated = created = 0
    for step, touches in _steps(coactivated, sizes, plan, block.weights.shape[1]):
        index = plan.rows[step]
        rows = block.take(index)
        strengthened = strengthen(rows, touches, rule)
        updated += strengthened.updated
        created += strengthened.created
        for hub in find_hubs(rows, touches.time_ms, formed_ms[index], hub_rule):
            formed_ms[index[hub.row]] = touches.time_ms[hub.row]
            found.append((int(plan.events[step][hub.row]), int(plan.columns[step][hub.row]), hub))
        block.put(index, rows)
    found.sort(key=lambda one: one[:2])
    position = coactivated[-1].position
    return Folded(
        rows={
            key: EdgeRow(
                space=key[0],
                memory_id=key[1],
                position=position,
                neighbours=neighbours,
                hub_formed_ms=hub_formed_ms,
            )
            for key, neighbours, hub_formed_ms in zip(before, pack_rows(block), formed_ms.tolist(), strict=True)
        },
        hubs=[
            FormedHub(coactivated[event], coactivated[event].memory_ids[column], hub) for event, column, hub in found
        ],
        skipped=skipped,
        updated=updated,
        created=created,
        pruned=created - (int(np.count_nonzero(block.weights)) - edges),
    )


def rule_of(settings: HebbianSettings) -> Rule:
    """Return the settings of the rule by which rows change, in whole numbers."""
    half_life_ms = min(settings.half_life_s * 1000, _LARGEST)
    return Rule(half_life_ms=half_life_ms, neighbours=settings.neighbours, newcomers=settings.newcomers)


def _plan(
    coactivated: Sequence[CoActivated], sizes: Numbers, known: Mapping[RowKey, EdgeRow]
) -> tuple[dict[RowKey, EdgeRow | None], _Plan, int]:
    """Return the rows that are touched, in the order of their numbers, the plan, and how many touches are skipped."""
    before: dict[RowKey, EdgeRow | None] = {}
    numbers: dict[RowKey, int] = {}
    had: list[int] = []
    rows: list[int] = []
    rounds: list[int] = []
    for one in coactivated:
        space = one.space
        for memory_id in one.memory_ids:
            key = space, memory_id
            number = numbers.get(key)
            if number is None:
                row = known.get(key)
                if row is not None and row.position >= one.position:
                    rows.append(-1)
                    rounds.append(-1)
                    continue
                before[key] = row
                number = numbers[key] = len(had)
                had.append(0)
            rows.append(number)
            rounds.append(had[number])
            had[number] += 1
    row_numbers = np.array(rows, dtype=np.int64)
    events = np.repeat(np.arange(len(sizes)), sizes)
    columns = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    used = row_numbers >= 0
    plan = _Plan(row_numbers[used], events[used], columns[used], np.array(rounds, dtype=np.int64)[used])
    return before, plan, len(rows) - len(plan.rows)


def _steps(
    coactivated: Sequence[CoActivated], sizes: Numbers, plan: _Plan, width: int
) -> Iterator[tuple[Numbers, Touches]]:
    """Yield which touches of the plan come next, and the touches themselves; no row is twice in one step."""
    texts = [memory_id for one in coactivated for memory_id in one.memory_ids]
    ids: Weights = np.frombuffer(bytes.fromhex("".join(texts).replace("-", "")), dtype=">u8").astype(np.uint64)
    high, low = ids[0::2], ids[1::2]
    starts = np.cumsum(sizes) - sizes
    event_hashes = np.frombuffer(b"".join(one.event_hash for one in coactivated), dtype=">u8").astype(np.uint64)
    hashes = pair_hashes(np.repeat(event_hashes, sizes), low)
    times_ms = np.array([one.time_ms for one in coactivated], dtype=np.int64)
    etas = np.array([one.eta for one in coactivated], dtype=np.uint64)

    # events of one size side by side, so that little of a step is padding
    order = np.lexsort((-sizes[plan.events], plan.rounds))
    rounds = plan.rounds[order]
    start = 0
    while start < len(order):
        most = int(sizes[plan.events[order[start]]])
        end_of_round = int(np.searchsorted(rounds, rounds[start], side="right"))
        step = order[start : min(end_of_round, start + max(1, _STEP_CELLS // (most * width)))]
        start += len(step)
        events, own = plan.events[step], plan.columns[step, None]
        places = np.arange(most)
        at = np.minimum(starts[events, None] + places, len(texts) - 1)
        yield (
            step,
            Touches(
                time_ms=times_ms[events],
                eta=etas[events],
                high=high[at],
                low=low[at],
                rank=hashes[at] ^ hashes[starts[events, None] + own],
                present=(places < sizes[events, None]) & (places != own),
            ),
        )
