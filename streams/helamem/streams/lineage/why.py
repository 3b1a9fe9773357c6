"""Why: from a fact, a memory or an edge back to the words it came from and the recalls that linked them.

All of it is read and folded again from the log; no store is asked. What does not agree with what the log recorded, or
is not in it, is a problem that is named.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import UNSET

from helamem.processors.encoding.content import statement_id
from helamem.processors.lineage.contributions import HubMoment
from helamem.schemas.errors import BadInput, NotFound
from helamem.schemas.events import (
    HubFormed,
    KnowledgeDistilled,
    KnowledgeRetracted,
    MemoryForgotten,
    MemoryRestored,
    SubjectErased,
)
from helamem.schemas.times import format_ms
from helamem.schemas.topics import CONTROL, CONVERSATIONS, FACTS, HUBS
from helamem.streams.lineage.node import Kind, Lineage, Node
from helamem.streams.lineage.reader import Found, LogReader
from helamem.streams.lineage.refold import Refolded, edge_node, refold
from helamem.streams.lineage.said import Said, message_of, said, temporal_edge

_VISIBILITY: dict[type, Kind] = {
    MemoryForgotten: "forgotten",
    MemoryRestored: "restored",
    SubjectErased: "erased",
}


class _Statement(NamedTuple):
    found: Found
    data: KnowledgeDistilled


async def why(reader: LogReader, id_: str, *, space: str | None = None, as_of_ms: int | None = None) -> Lineage:
    """Return where a fact or a memory came from.

    Args:
        reader: The log.
        id_: The fact's or the memory's id.
        space: Its space, where it is known: one partition is read instead of all.
        as_of_ms: Time by which the weights of a memory's edges have faded; None is each one's last touch. A fact's
            are those at the moment of its hub.

    Raises:
        NotFound: The log has neither a fact nor a memory of this id.
    """
    async for one in reader.events(FACTS, space, naming=id_):
        data = one.event.data
        if isinstance(data, KnowledgeDistilled) and data.fact_id == id_ == statement_id(one.event.space, data):
            return await _fact(reader, _Statement(one, data))
    async for one in reader.events(CONVERSATIONS, space):
        if message_of(one) == id_:
            return await _memory(reader, one.event.space, id_, as_of_ms)
    raise NotFound(
        f"the log has neither a fact nor a memory {id_}{f' in {space}' if space else ''}; "
        "see: helamem facts, or helamem recall for memories"
    )


async def why_edge(
    reader: LogReader, one: str, other: str, *, space: str | None = None, as_of_ms: int | None = None
) -> Lineage:
    """Return where the edge between two memories came from.

    Args:
        reader: The log.
        one: A memory's id.
        other: Another's.
        space: Their space, where it is known.
        as_of_ms: Time by which the weight has faded; None is its last touch.

    Raises:
        BadInput: They are one memory.
        NotFound: They are not two memories of one space, or nothing ever linked them.
    """
    if one == other:
        raise BadInput(f"{one} was named twice; an edge lies between two memories")
    space = space or await _space_of(reader, one)
    memories = await said(reader, space, (one, other))
    for id_ in (one, other):
        if id_ not in memories:
            raise NotFound(f"the log has no memory {id_} in {space}; see: helamem edges --space {space}")
    refolded = await refold(reader, space, (one, other))
    found = [
        node
        for row, neighbour in ((one, other), (other, one))
        if (node := _in_list(refolded, row, neighbour, as_of_ms)) is not None
    ]
    if len(found) == 2 and _same(*found):
        found = [refolded.edge(one, other, as_of_ms, sorted((one, other)))]
    if memories[one].previous == other or memories[other].previous == one:
        found.append(temporal_edge(one, other))
    if not found:
        raise NotFound(f"no edge was ever made between {one} and {other}; see: helamem edges --space {space}")
    top = Node(
        kind="pair",
        id=f"{one} {other}",
        details={"memory_ids": [one, other]},
        children=(*found, memories[one].node(), memories[other].node()),
    )
    return Lineage(space=space, node=top, problems=())


def _same(one: Node, other: Node) -> bool:
    """Return whether an edge stands in both lists, made by the same events."""
    in_lists = [edge.details["weight_units"] > 0 for edge in (one, other)]
    return all(in_lists) and [child.id for child in one.children] == [child.id for child in other.children]


def _in_list(refolded: Refolded, row: str, neighbour: str, as_of_ms: int | None) -> Node | None:
    """Return an edge as it stands in one memory's list, or that it was pushed out of it, or None."""
    if neighbour in refolded.rows[row].edges:
        return refolded.edge(row, neighbour, as_of_ms, (row,))
    by = refolded.rows[row].evicted.get(neighbour)
    if by is None:
        return None
    details = {"memory_ids": [row, neighbour], "in_lists_of": [], "weight": 0.0, "weight_units": 0, "evicted_by": by}
    return Node(kind="edge", id=f"{row} {neighbour}", details=details)


async def _space_of(reader: LogReader, memory: str) -> str:
    async for one in reader.events(CONVERSATIONS, None):
        if message_of(one) == memory:
            return one.event.space
    raise NotFound(f"the log has no memory {memory}; see: helamem edges")


async def _memory(reader: LogReader, space: str, id_: str, as_of_ms: int | None) -> Lineage:
    refolded = await refold(reader, space, (id_,))
    beside = (await said(reader, space, (id_,), following=True))[id_]
    turns = [turn for turn in (beside.previous, beside.following) if turn is not None]
    row = refolded.rows[id_]
    memories = await said(reader, space, (*row.edges, *turns))
    edges = [refolded.edge(id_, neighbour, as_of_ms, (id_,), _nodes(memories, (neighbour,))) for neighbour in row.edges]
    strongest = sorted(edges, key=lambda edge: (-edge.details["weight_units"], edge.id))
    temporal = [temporal_edge(id_, turn, *_nodes(memories, (turn,))) for turn in turns]
    node = beside.node(*await _visibility(reader, space, id_), *temporal, *strongest)
    return Lineage(space=space, node=node, problems=())


async def _visibility(reader: LogReader, space: str, id_: str) -> list[Node]:
    """Return the events that hid a memory or showed it again; the last one holds."""
    return [
        Node(
            kind=_VISIBILITY[type(data)],
            id=one.event.id,
            details=one.described
            | {"reason": f"of {data.subject}" if isinstance(data, SubjectErased) else data.reason}
            | ({"run": data.run} if isinstance(data, MemoryForgotten) and data.run is not UNSET else {}),
        )
        async for one in reader.events(CONTROL, space, naming=id_)
        if isinstance(data := one.event.data, MemoryForgotten | MemoryRestored | SubjectErased)
        and id_ in data.memory_ids
    ]


async def _fact(reader: LogReader, statement: _Statement) -> Lineage:
    found, data = statement
    space = found.event.space
    problems: list[str] = []
    hub = await _hub_record(reader, space, data.hub)
    members: list[str] = []
    moment: HubMoment | None = None
    refolded: Refolded | None = None
    if hub is None:
        problems.append(f"the hub {data.hub} that the fact names is not in the log")
    else:
        recorded = hub.event.data
        assert isinstance(recorded, HubFormed)
        members = [recorded.memory_id, *(member.memory_id for member in recorded.cluster)]
        refolded = await refold(reader, space, (recorded.memory_id,), until=recorded.cause)
        moment = next((one for one in refolded.hubs if one.formed.cause.event_id == recorded.cause), None)
    evidence = [one.memory_id for one in data.evidence]
    memories = await said(reader, space, {*members, *evidence})
    problems += [f"the memory {id_} is not in the log" for id_ in (*evidence, *members) if id_ not in memories]
    children: list[Node] = []
    if hub is not None:
        assert refolded is not None
        node, more = _hub(hub, moment, refolded, memories)
        children.append(node)
        problems += more
    children += _nodes(memories, [id_ for id_ in evidence if id_ not in members])
    cited = []
    for one in data.evidence:
        same = one.memory_id in memories and memories[one.memory_id].content_hash == one.content_hash
        cited.append({"memory_id": one.memory_id, "content_hash": one.content_hash, "matches": same})
        if one.memory_id in memories and not same:
            problems.append(f"the memory {one.memory_id} no longer says what the fact was distilled from")
    retractions = await _retractions(reader, space, data.fact_id)
    details = found.described | {
        "event_id": found.event.id,
        "text": found.words,
        "subject": data.subject,
        "fact_kind": data.kind,
        "valid_from": format_ms(data.valid_from),
        **{
            name: value
            for name, value in (("key", data.key), ("value", data.value), ("supersedes", data.supersedes))
            if value is not UNSET
        },
        "distiller": data.distiller,
        "evidence": cited,
        **_of_a_model(data),
    }
    node = Node(kind="fact", id=data.fact_id, details=details, children=(*retractions, *children))
    return Lineage(space=space, node=node, problems=tuple(dict.fromkeys(problems)))


def _of_a_model(data: KnowledgeDistilled) -> dict[str, object]:
    """Return what a fact says that a model wrote: how sure that was, and the record of its answer."""
    said = {"confidence_percent": data.confidence, "answer": data.answer}
    return {name: value for name, value in said.items() if value is not UNSET}


async def _hub_record(reader: LogReader, space: str, id_: str) -> Found | None:
    async for one in reader.events(HUBS, space, naming=id_):
        if one.event.id == id_:
            return one
    return None


async def _retractions(reader: LogReader, space: str, id_: str) -> list[Node]:
    return [
        Node(kind="retracted", id=one.event.id, details=one.described | {"reason": data.reason})
        async for one in reader.events(FACTS, space, naming=id_)
        if isinstance(data := one.event.data, KnowledgeRetracted) and data.fact_id == id_
    ]


def _hub(hub: Found, moment: HubMoment | None, refolded: Refolded, memories: dict[str, Said]) -> tuple[Node, list[str]]:
    """Return a hub with its cluster at that moment, and what of it the recalls do not give again."""
    recorded = hub.event.data
    assert isinstance(recorded, HubFormed)
    problems = []
    if moment is None:
        problems.append(f"the recalls in the log do not form the hub {hub.event.id} that it records")
    elif (moment.formed.hub.strength, moment.formed.hub.degree, moment.formed.hub.cluster) != (
        recorded.strength,
        recorded.degree,
        tuple((member.memory_id, member.weight) for member in recorded.cluster),
    ):
        problems.append(f"the recalls in the log form another hub than {hub.event.id} that it records")
    edges = []
    for member in recorded.cluster:
        contributions = moment.contributions.get(member.memory_id, ()) if moment else ()
        children = (*_nodes(memories, (member.memory_id,)), *refolded.contributions(contributions))
        one, other = memories.get(recorded.memory_id), memories.get(member.memory_id)
        edge = edge_node(
            (recorded.memory_id, member.memory_id),
            (recorded.memory_id,),
            contributions,
            hub.event.time_ms,
            children,
        )
        edge.details["recorded_units"] = member.weight
        edge.details["neighbouring_turns"] = bool(
            one and other and (one.previous == other.memory_id or other.previous == one.memory_id)
        )
        edges.append(edge)
    details = hub.described | {
        "memory_id": recorded.memory_id,
        "strength_units": recorded.strength,
        "degree": recorded.degree,
        "cause": recorded.cause,
        "derived_again": not problems,
    }
    node = Node(
        kind="hub", id=hub.event.id, details=details, children=(*_nodes(memories, (recorded.memory_id,)), *edges)
    )
    return node, problems


def _nodes(memories: dict[str, Said], ids: list[str] | tuple[str, ...]) -> tuple[Node, ...]:
    return tuple(memories[id_].node() for id_ in ids if id_ in memories)
