"""What a migration carries over is what the folds themselves would carry."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.log_contract import read_all
from fakes.events import SPACE, message, record
from helamem.processors.consolidation.told import REMEMBERED, Told
from helamem.processors.store.checkpoints import CheckpointFiles
from helamem.schemas.errors import BadInput
from helamem.schemas.records import NewRecord, TopicPartition
from helamem.schemas.settings import Settings
from helamem.schemas.topics import CONVERSATIONS, DEAD_LETTERS, RECALLS, TOPICS
from helamem.streams.home import Home, wall_clock_ms
from helamem.streams.instance import Instance
from helamem.streams.lag import READS
from helamem.streams.log.generation import specs_of
from helamem.streams.log.partitioner import Partitioner
from helamem.streams.log.sqlite import SqliteLog
from helamem.streams.migrate.states import States
from streams.cli.shell import run


@pytest.mark.slow  # it plays the demo
async def test_states_are_those_of_the_folds(tmp_path: Path) -> None:
    """Computed from the records alone, byte for byte the states in the checkpoints of the home that processed them."""
    place = tmp_path / "home"
    assert run("demo", "--keep", place).code == 0
    poison = [NewRecord(topic=spec.name, key=SPACE.encode(), value=b"{torn") for spec in (CONVERSATIONS, RECALLS)]
    doubled = record(message("m1", "tea"))
    instance = await Instance.open(place, create=False)
    await instance.log.append([*poison, doubled, doubled])
    await instance.process()
    settings = instance.settings
    await instance.close()
    home = Home.look(place)
    files = CheckpointFiles(home.store_path / "checkpoints")
    saved = {group: files.load(group) for group in READS}
    told = {at: one.state for at, one in saved["consolidation"].items()}
    states = States(settings, {}, told)
    async with await SqliteLog.open(home.log_path, TOPICS, wall_clock_ms, read_only=True) as log:
        for spec in TOPICS:
            for at in await log.partitions(spec.name):
                for one in await read_all(log, at):
                    states.take(spec, at, one.offset, one.value)
        ends = await log.end_offsets([at for spec in TOPICS for at in await log.partitions(spec.name)])
    computed = {(one.group, one.partition): one for one in states.checkpoints(TOPICS, ends)}
    compared = 0
    for group, checkpoints in saved.items():
        for at, checkpoint in checkpoints.items():
            assert computed[group, at] == checkpoint, (group, at)
            compared += 1
    assert compared > 10


def test_what_was_told_follows_its_space() -> None:
    """The newest statements of each partition, of the spaces that are together now, oldest first."""
    parts = [Told(None), Told(None)]
    for number, part in enumerate(parts):
        part._told.extend((f"acme/{name}", "fact", frozenset({f"{number}-{n}"})) for n in range(600) for name in "ab")
    gathered = Told.gathered([part.to_bytes() for part in parts], lambda space: space == "acme/a")
    found = [next(iter(evidence)) for _, _, evidence in gathered._told]
    assert len(found) == REMEMBERED
    assert {space for space, _, _ in gathered._told} == {"acme/a"}
    for number in range(2):
        own = [int(each.partition("-")[2]) for each in found if each.startswith(f"{number}-")]
        assert own == list(range(600 - len(own), 600))


def test_a_name_names_the_topic_in_whatever_generation() -> None:
    """Asked for by any generation's name the one in use answers; a place in another generation is no place."""
    partitioner = Partitioner(specs_of(3, 8, TOPICS))
    assert partitioner.partitions(CONVERSATIONS.name)[7] == TopicPartition("helamem.conversations.g3", 7)
    assert partitioner.partitions(DEAD_LETTERS.name) == [TopicPartition("helamem.dead-letters.g3", 0)]
    placed = partitioner.place(NewRecord(topic=CONVERSATIONS.name, key=b"k", value=b"v"))
    assert placed.topic == "helamem.conversations.g3"
    with pytest.raises(BadInput, match=r"no longer holds helamem\.conversations\.g1/0"):
        partitioner.check(TopicPartition(CONVERSATIONS.name, 0))
    with pytest.raises(BadInput, match="has no topic"):
        partitioner.partitions("helamem.nothing.g1")


def test_a_partition_without_records_has_a_state() -> None:
    """Every group stands at the end of every partition of the new generation, be it empty."""
    specs = specs_of(2, 3, TOPICS)
    ends = {TopicPartition(spec.name, number): 0 for spec in specs for number in range(spec.partitions)}
    found = States(Settings(), {}, {}).checkpoints(specs, ends)
    assert len(found) == 3 * sum(len(read) for read in READS.values())
    assert {one.position for one in found} == {(2, 0)}
