"""Trace: from an event forward to all that it caused, read and folded again from the log."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

import msgspec

from helamem.processors.hebbian.decay import CAP
from helamem.processors.lineage.contributions import Contribution
from helamem.schemas.errors import BadInput, NotFound
from helamem.schemas.events import (
    ConversationMessage,
    HubFormed,
    KnowledgeDistilled,
    KnowledgeRetracted,
    MemoryForgotten,
    MemoryRecalled,
    MemoryReinforced,
    MemoryRestored,
    SettingsApplied,
    SubjectErased,
)
from helamem.schemas.ids import derived_id
from helamem.schemas.topics import ACCESS, CONTROL, DEAD_LETTERS, EFFECTS, FACTS, HUBS, RECALLS, TOPICS, TopicSpec
from helamem.streams.lineage.node import Kind, Lineage, Node
from helamem.streams.lineage.reader import Found, LogReader
from helamem.streams.lineage.refold import Refolded, edge_node, refold, reinforced_by
from helamem.streams.lineage.said import Said, message_of, said, temporal_edge

_KINDS: dict[type, Kind] = {
    ConversationMessage: "message",
    MemoryRecalled: "recalled",
    MemoryReinforced: "reinforced",
    HubFormed: "hub",
    KnowledgeDistilled: "distilled",
    KnowledgeRetracted: "retracted",
    MemoryForgotten: "forgotten",
    MemoryRestored: "restored",
    SubjectErased: "erased",
    SettingsApplied: "settings",
}


class _Later(NamedTuple):
    """What a space's log holds that other events of the space may have caused, each event once, in order."""

    recalls: list[Found]
    hubs: list[Found]
    facts: list[Found]
    control: list[Found]


async def trace(reader: LogReader, event_id: str, *, space: str | None = None) -> Lineage:
    """Return what an event caused.

    Args:
        reader: The log.
        event_id: The event's id.
        space: Its space, where it is known: one partition of each topic is read instead of all.

    Raises:
        NotFound: There is no such event.
        BadInput: Events of several spaces have this id.
    """
    places = [
        one
        for topic in TOPICS
        if topic not in (DEAD_LETTERS, EFFECTS, ACCESS)
        async for one in reader.events(topic, space, naming=event_id, put_aside=True)
        if one.event.id == event_id
    ]
    spaces = sorted({one.event.space for one in places})
    if not places:
        raise NotFound(f"the log has no event {event_id}{f' in {space}' if space else ''}; check the id")
    if len(spaces) > 1:
        raise BadInput(f"{', '.join(spaces)} each have an event {event_id}; name one with --space")
    first = next((one for one in places if not reader.is_put_aside(one.partition, one.offset)), places[0])
    tracing = _Tracing(reader, spaces[0], await _later(reader, spaces[0]))
    node = await tracing.root(first)
    elsewhere = [one for one in places if one is not first]
    if elsewhere:
        node.details["also_at"] = [one.described["record"] for one in elsewhere]
    letters = [letter for one in elsewhere for letter in tracing.letters(one)]
    return Lineage(space=spaces[0], node=msgspec.structs.replace(node, children=(*letters, *node.children)))


async def _later(reader: LogReader, space: str) -> _Later:
    async def all_of(topic: TopicSpec) -> list[Found]:
        seen: dict[str, Found] = {}
        async for one in reader.events(topic, space, put_aside=True):
            if isinstance(one.event.data, topic.events):
                seen.setdefault(one.event.id, one)
        return list(seen.values())

    return _Later(await all_of(RECALLS), await all_of(HUBS), await all_of(FACTS), await all_of(CONTROL))


class _Tracing:
    """Follows one event through a space's log."""

    def __init__(self, reader: LogReader, space: str, later: _Later) -> None:
        self._reader = reader
        self._space = space
        self._later = later

    async def root(self, one: Found) -> Node:
        """Return the event with all that it caused."""
        data = one.event.data
        children: Iterable[Node] = ()
        if self._reader.is_put_aside(one.partition, one.offset):
            pass  # it has no effect where it stands
        elif isinstance(data, ConversationMessage):
            children = await self._of_message(one)
        elif isinstance(data, MemoryRecalled):
            reinforced = [
                other
                for other in self._later.recalls
                if isinstance(other.event.data, MemoryReinforced) and other.event.data.recall_id == one.event.id
            ]
            nodes = [self._event(other, *await self._of_recall(other, named_by(other))) for other in reinforced]
            children = (*nodes, *await self._of_recall(one, named_by(one)))
        elif isinstance(data, MemoryReinforced):
            children = await self._of_recall(one, data.together)
        elif isinstance(data, MemoryForgotten | MemoryRestored | SubjectErased):
            memories = await said(self._reader, self._space, data.memory_ids)
            children = [memories[id_].node() for id_ in data.memory_ids if id_ in memories]
        elif isinstance(data, KnowledgeRetracted):
            children = self._distilled(lambda fact: fact.fact_id == data.fact_id)
        else:
            return self._caused(one)
        return self._event(one, *children)

    def letters(self, one: Found) -> list[Node]:
        """Return the dead letters that name a record."""
        return [
            Node(
                kind="dead-letter",
                id=derived_id(
                    "dead-letter", letter.group, one.partition.topic, str(one.partition.partition), str(one.offset)
                ),
                details={"group": letter.group, "reason": letter.reason},
            )
            for letter in self._reader.letters.get((one.partition, one.offset), ())
        ]

    def _event(self, one: Found, *children: Node) -> Node:
        data = one.event.data
        details = one.described
        match data:
            case ConversationMessage():
                details |= {"conversation": data.conversation, "speaker": data.speaker, "text": one.words}
            case MemoryRecalled():
                details["query"] = one.words
            case MemoryReinforced():
                details |= reinforced_by(data)
            case HubFormed():
                details |= {
                    "memory_id": data.memory_id,
                    "strength_units": data.strength,
                    "degree": data.degree,
                    "cause": data.cause,
                }
            case KnowledgeDistilled():
                details |= {
                    "fact_id": data.fact_id,
                    "text": one.words,
                    "subject": data.subject,
                    "distiller": data.distiller,
                }
            case KnowledgeRetracted() | MemoryForgotten() | MemoryRestored():
                details["reason"] = data.reason
            case SubjectErased():
                details["reason"] = f"of {data.subject}"
        return Node(kind=_KINDS[type(data)], id=one.event.id, details=details, children=(*self.letters(one), *children))

    async def _of_message(self, one: Found) -> list[Node]:
        memory = message_of(one)
        assert memory is not None
        first = (await said(self._reader, self._space, (memory,), following=True)).get(memory)
        if first is None:  # it stands out of its place, and whoever processes it will put it aside
            return []
        if first.found.event.id != one.event.id:
            one_already = Node(kind="memory", id=memory, details=_memory(first) | {"made_by": first.found.event.id})
            return [one_already]
        refolded = await refold(self._reader, self._space, (memory,))
        recalls = [self._event(other) for other in self._later.recalls if memory in named_by(other)]
        edges = [refolded.edge(memory, neighbour, None, (memory,)) for neighbour in refolded.rows[memory].edges]
        edges.sort(key=lambda edge: (-edge.details["weight_units"], edge.id))
        turns = [turn for turn in (first.previous, first.following) if turn is not None]
        hubs = [
            self._caused(other)
            for other in self._later.hubs
            if isinstance(data := other.event.data, HubFormed)
            and memory in (data.memory_id, *(member.memory_id for member in data.cluster))
        ]
        under_hubs = {hub.id for hub in hubs}
        facts = self._distilled(
            lambda fact: fact.hub not in under_hubs and memory in [evidence.memory_id for evidence in fact.evidence]
        )
        marks = [
            self._event(other)
            for other in self._later.control
            if isinstance(data := other.event.data, MemoryForgotten | MemoryRestored) and memory in data.memory_ids
        ]
        temporal = [temporal_edge(memory, turn) for turn in turns]
        children = (*temporal, *recalls, *edges, *hubs, *facts, *marks)
        return [Node(kind="memory", id=memory, details=_memory(first), children=children)]

    async def _of_recall(self, one: Found, memory_ids: Collection[str]) -> list[Node]:
        """Return the edges that a recall or a reinforcement strengthened, and the hubs that it has a share in."""
        refolded = await refold(self._reader, self._space, memory_ids)
        edges = self._edges(one, refolded)
        shares = {
            derived_id("hub", self._space, moment.formed.cause.event_id, moment.formed.memory_id): share
            for moment in refolded.hubs
            if (share := sum(_of(one, found) for found in moment.contributions.values()))
        }
        hubs = []
        for other in self._later.hubs:
            assert isinstance(other.event.data, HubFormed)
            if other.event.id in shares or other.event.data.cause == one.event.id:
                hub = self._caused(other)
                hub.details["contribution_units"] = shares.get(other.event.id, 0)
                hubs.append(hub)
        return [*edges, *hubs]

    def _edges(self, one: Found, refolded: Refolded) -> list[Node]:
        pairs: dict[tuple[str, str], dict[str, tuple[Contribution, int]]] = {}
        for memory, row in refolded.rows.items():
            for neighbour, edge in row.edges.items():
                for contribution in edge.at(edge.as_of_ms, refolded.settings):
                    if contribution.event_id == one.event.id:
                        pair = (min(memory, neighbour), max(memory, neighbour))
                        pairs.setdefault(pair, {})[memory] = contribution, edge.as_of_ms
        nodes = []
        for pair, ends in sorted(pairs.items()):
            # both lists tell the same unless one of them has evicted the other memory since this event
            for contribution, as_of_ms in dict.fromkeys(ends.values()):
                lists = sorted(memory for memory, end in ends.items() if end == (contribution, as_of_ms))
                here, there = pair if lists[0] == pair[0] else (pair[1], pair[0])
                weight = refolded.rows[here].edges[there].weight
                node = edge_node(pair, lists, (contribution,), as_of_ms, ())
                node.details.update(
                    weight=round(weight / CAP, 9),
                    weight_units=weight,
                    gain_units=contribution.gain,
                    contribution_units=contribution.left,
                    contribution=round(contribution.left / CAP, 9),
                )
                nodes.append(node)
        return nodes

    def _caused(self, one: Found) -> Node:
        """Return a hub or a distillation with what followed from it."""
        data = one.event.data
        if isinstance(data, HubFormed):
            return self._event(one, *self._distilled(lambda fact: fact.hub == one.event.id))
        if isinstance(data, KnowledgeDistilled):
            retracted = [
                self._event(other)
                for other in self._later.facts
                if isinstance(other.event.data, KnowledgeRetracted) and other.event.data.fact_id == data.fact_id
            ]
            recalled = [
                self._event(other)
                for other in self._later.recalls
                if isinstance(other.event.data, MemoryRecalled)
                and data.fact_id in [result.id for result in other.event.data.results if result.kind == "fact"]
            ]
            return self._event(one, *recalled, *retracted)
        return self._event(one)

    def _distilled(self, which: Callable[[KnowledgeDistilled], bool]) -> list[Node]:
        return [
            self._caused(other)
            for other in self._later.facts
            if isinstance(other.event.data, KnowledgeDistilled) and which(other.event.data)
        ]


def named_by(one: Found) -> tuple[str, ...]:
    """Return the memories that a recall returned or a reinforcement ties together."""
    data = one.event.data
    if isinstance(data, MemoryRecalled):
        return tuple(result.id for result in data.results if result.kind == "memory")
    return data.together if isinstance(data, MemoryReinforced) else ()


def _of(one: Found, contributions: Iterable[Contribution]) -> int:
    return sum(contribution.left for contribution in contributions if contribution.event_id == one.event.id)


def _memory(one: Said) -> dict[str, object]:
    return {"conversation": one.message.conversation, "turn": one.turn, "content_hash": one.content_hash}
