"""What must hold once a fleet has come to rest: nothing lost, nothing doubled, and a replay that gives the same."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from pathlib import Path

from msgspec import Struct

from fakes.words import wordllama
from fire.fleet import READS, Fleet
from helamem.processors.coactivation.processor import CoActivation
from helamem.processors.digest import Digest, Part, SpaceDigest, digest
from helamem.processors.encoding.processor import Encoding
from helamem.processors.store.edge import EdgeStore
from helamem.processors.store.port import MemoryStore
from helamem.schemas.events import ConversationMessage
from helamem.schemas.records import Record
from helamem.schemas.topics import CONVERSATIONS, DEAD_LETTERS, FACTS, HUBS, TopicSpec
from helamem.schemas.wire import decode
from helamem.streams.derived import Derived
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.rebuild import Replayed, part_of, rebuild
from helamem.streams.settings_log import settings_in_force

_PAGE = 5000


class Proof(Struct, frozen=True, kw_only=True):
    """What was compared, for whoever reads the report."""

    memories: int
    edges: int
    hubs: int
    facts: int
    doubled: dict[str, int]
    """Records of a topic beyond the first with their id: what retries left in the log."""
    digest: str

    def __str__(self) -> str:
        doubled = ", ".join(f"{count} in {topic}" for topic, count in self.doubled.items())
        return (
            f"{self.memories:,} memories, {self.edges:,} rows of edges, {self.hubs:,} hubs, {self.facts:,} facts; "
            f"records that came twice: {doubled}; {self.digest}"
        )


async def prove(fleet: Fleet, log: KafkaLog) -> Proof:
    """Look at a fleet that has come to rest.

    Raises:
        AssertionError: Something was lost, doubled or folded differently.
    """
    assert not fleet.troubles, fleet.troubles
    ends, left = await fleet.left(log)
    assert not left, "; ".join(left)
    letters = [record.value for record in await records_of(log, DEAD_LETTERS)]
    assert not letters, f"{len(letters)} dead letters, the first: {decode(letters[0]).data}"
    said = await _said(log)
    store = await fleet.remote()
    try:
        await _each_message_once(store, fleet.acknowledged, said)
        live = await digest(store)
        reached = {group: await store.load_checkpoints(group) for group in READS}
    finally:
        await store.close()
    for group, specs in READS.items():
        names = {spec.name for spec in specs}
        at = {partition: checkpoint.position.offset for partition, checkpoint in reached[group].items()}
        behind = [f"{p} {at.get(p, 0)} of {end}" for p, end in ends.items() if p.topic in names and at.get(p, 0) != end]
        assert not behind, f"checkpoints of {group} are behind what it committed: {'; '.join(behind)}"
    replayed = await replay(log, fleet.directory / "replayed")
    assert replayed.hubs.missing == replayed.hubs.different == replayed.hubs.not_yet_recorded == 0, replayed.hubs
    assert live.digest == replayed.digest.digest, difference(live, replayed.digest)
    doubled = {spec.base_name: await _one_content_each(log, spec) for spec in (CONVERSATIONS, HUBS, FACTS)}
    return Proof(
        memories=_total(live, "memories"),
        edges=_total(live, "edges"),
        hubs=replayed.hubs.recorded,
        facts=_total(live, "facts"),
        doubled=doubled,
        digest=live.digest,
    )


async def replay(log: KafkaLog, into: Path) -> Replayed:
    """Return what a replay of a log gives that nobody disturbs: a fresh store, nothing written back."""
    settings = await settings_in_force(log, {})
    assert settings is not None
    store = await EdgeStore.open(into, dimension=wordllama().dimension)
    try:
        processors = (Encoding(store, wordllama(), settings), CoActivation(store, settings))
        return await rebuild(log, store, processors, await part_of(log), Derived(into.with_suffix(".derived")))
    finally:
        await store.close()


def difference(live: Digest, replayed: Digest) -> str:
    """Return in which spaces and parts two digests differ, in words."""
    words = [
        f"{space}: {part} differ ({live_part.counts if live_part else 0} live, {again.counts if again else 0} replayed)"
        for space in sorted({*live.spaces, *replayed.spaces})
        for live_part, again in [(live.spaces.get(space), replayed.spaces.get(space))]
        for part in ("memories", "edges", "facts")
        if _part(live_part, part) != _part(again, part)
    ]
    return "the live store is not what a replay gives: " + "; ".join(words)


async def records_of(log: KafkaLog, spec: TopicSpec) -> list[Record]:
    """Return every record of a topic, partition by partition."""
    records: list[Record] = []
    for at in await log.partitions(spec.name):
        end = (await log.end_offsets([at]))[at]
        offset = 0
        while page := await log.read(at, offset, end=end, limit=_PAGE):
            records += page
            offset = page[-1].offset + 1
    return records


async def _each_message_once(store: MemoryStore, acknowledged: Path, said: set[tuple[str, str]]) -> None:
    stored = Counter([(turn.space, turn.message_id) async for turn in store.scan_turns(None)])
    doubled = [name for name, count in stored.items() if count > 1]
    assert not doubled, f"{len(doubled)} messages are more than one memory, such as {doubled[:3]}"
    lines = await asyncio.to_thread(acknowledged.read_text)  # nothing where no producer ran
    promised = {(space, name) for space, name in map(str.split, lines.splitlines())}
    lost = promised - stored.keys()
    assert not lost, f"{len(lost)} of {len(promised)} acknowledged messages are no memories, such as {sorted(lost)[:3]}"
    assert stored.keys() == said, f"{len(stored.keys() ^ said)} messages of the log are no memories, or the reverse"


async def _said(log: KafkaLog) -> set[tuple[str, str]]:
    """Return space and id of every message in the log."""
    events = [decode(record.value) for record in await records_of(log, CONVERSATIONS)]
    return {(event.space, event.data.message_id) for event in events if isinstance(event.data, ConversationMessage)}


async def _one_content_each(log: KafkaLog, spec: TopicSpec) -> int:
    """Return how many records came again; all of one id must say the same."""
    contents: defaultdict[str, set[bytes]] = defaultdict(set)
    count = 0
    for record in await records_of(log, spec):
        contents[decode(record.value).id].add(record.value)
        count += 1
    various = [id_ for id_, values in contents.items() if len(values) > 1]
    assert not various, f"{len(various)} events of {spec.name} say different things under one id, such as {various[0]}"
    return count - len(contents)


def _part(space: SpaceDigest | None, part: str) -> str | None:
    return None if space is None else str(getattr(space, part))


def _total(live: Digest, part: Part) -> int:
    return sum(space.counts[part] for space in live.spaces.values())
