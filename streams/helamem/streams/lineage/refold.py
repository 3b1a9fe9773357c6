"""The edges of some memories, folded again from the log, with the events that made them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

from msgspec import UNSET

from helamem.processors.coactivation.reading import read
from helamem.processors.coactivation.state import FoldState
from helamem.processors.hebbian.decay import CAP
from helamem.processors.lineage.contributions import Contribution, Histories, HubMoment, RowHistory
from helamem.schemas.events import MemoryRecalled, MemoryReinforced
from helamem.schemas.settings import HebbianSettings
from helamem.schemas.times import format_ms
from helamem.streams.lineage.node import Node
from helamem.streams.lineage.reader import Found, LogReader


class Refolded(NamedTuple):
    """What the fold came to."""

    rows: dict[str, RowHistory]
    """By memory id."""
    hubs: list[HubMoment]
    """The hubs that these memories formed, in order."""
    events: dict[str, Found]
    """By id, the events that touched these rows."""
    settings: HebbianSettings
    """In force at the end."""

    def contribution(self, one: Contribution) -> Node:
        """Return an event that strengthened an edge, with what it gave."""
        source = self.events[one.event_id]
        data = source.event.data
        asked = source if isinstance(data, MemoryRecalled) else None
        details = source.described | {
            "gain_units": one.gain,
            "contribution_units": one.left,
            "contribution": round(one.left / CAP, 9),
        }
        if isinstance(data, MemoryReinforced):
            details |= reinforced_by(data)
            recall = self.events.get(data.recall_id)
            asked = recall if recall and isinstance(recall.event.data, MemoryRecalled) else None
        if asked is not None:
            details["query"] = asked.words
        return Node(kind="recalled" if source is asked else "reinforced", id=one.event_id, details=details)

    def edge(
        self, row: str, neighbour: str, as_of_ms: int | None, lists: Collection[str], children: Collection[Node] = ()
    ) -> Node:
        """Return an edge as it stands, with what each event gave to it.

        Args:
            row: The memory in whose list it stands.
            neighbour: The other memory.
            as_of_ms: The time by which it has faded; None is that of its last touch.
            lists: The memories in whose lists it stands just so.
            children: What stands before the contributions.
        """
        edge = self.rows[row].edges[neighbour]
        time_ms = edge.as_of_ms if as_of_ms is None else as_of_ms
        contributions = edge.at(time_ms, self.settings)
        return edge_node(
            (row, neighbour), lists, contributions, time_ms, (*children, *self.contributions(contributions))
        )

    def contributions(self, given: Collection[Contribution]) -> tuple[Node, ...]:
        """Return the events that strengthened an edge."""
        return tuple(map(self.contribution, given))


def reinforced_by(data: MemoryReinforced) -> dict[str, str]:
    """Return what is told of a reinforcement: of which recall, and which memory was its cue and not of use itself."""
    return {"recall_id": data.recall_id} | ({} if data.cue is UNSET else {"cue": data.cue})


def edge_node(
    memory_ids: tuple[str, str],
    lists: Collection[str],
    contributions: Collection[Contribution],
    as_of_ms: int,
    children: tuple[Node, ...],
) -> Node:
    """Return an edge; its weight is the sum of the contributions, to the unit."""
    weight = sum(one.left for one in contributions)
    return Node(
        kind="edge",
        id=" ".join(memory_ids),
        details={
            "memory_ids": list(memory_ids),
            "in_lists_of": list(lists),
            "weight": round(weight / CAP, 9),
            "weight_units": weight,
            "as_of": format_ms(as_of_ms),
        },
        children=children,
    )


async def refold(reader: LogReader, space: str, memory_ids: Collection[str], until: str | None = None) -> Refolded:
    """Fold the rows of some memories again.

    Args:
        reader: The log; the space's partition of recalls is read from its beginning.
        space: The space.
        memory_ids: Whose rows.
        until: The id of the last event that counts; None takes all.

    Raises:
        ConfigurationError: The log puts rules in force that this version does not know.
    """
    histories, state = Histories(space, memory_ids), FoldState(None)
    hubs: list[HubMoment] = []
    events: dict[str, Found] = {}
    async for record, delivery in reader.recalls(space):
        for stretch in read([delivery], state, reader.settings, Counter()):
            for one in stretch.events:
                hubs += histories.fold(one, stretch.settings)
                if one.space == space and not histories.rows.keys().isdisjoint(one.memory_ids):
                    events[one.event_id] = reader.found(delivery.event, record)
        if delivery.event.id == until and delivery.event.space == space:
            break
    return Refolded(histories.rows, hubs, events, (state.settings or reader.settings).hebbian)
