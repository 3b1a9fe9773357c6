"""`helamem dead-letters`: what was put aside is seen, and taken again after a fix, in a home and on Kafka."""

from __future__ import annotations

import asyncio
import base64
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fakes import events
from helamem.processors.digest import digest
from helamem.schemas.errors import Poison
from helamem.schemas.events import ClusterMember, HubFormed
from helamem.schemas.ids import memory_id
from helamem.schemas.records import NewRecord, TopicPartition
from helamem.schemas.topics import CONTROL, CONVERSATIONS, DEAD_LETTERS, FACTS, HUBS, RECALLS, TOPICS
from helamem.schemas.wire import Event, decode
from helamem.streams import pump
from helamem.streams.home import Home, wall_clock_ms
from helamem.streams.instance import Instance
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.partitioner import partition_of
from helamem.streams.log.sqlite import SqliteLog
from helamem.streams.sealing.keys import KeyFiles, make_keys
from helamem.streams.sealing.seal import Sealer
from helamem.streams.store_process.client import RemoteStore
from streams.cli.fleet import Fleet, fleet, kafka, own_kafka
from streams.cli.shell import Ran, run, run_on_terminal

__all__ = ["fleet", "kafka", "own_kafka"]

Call = Callable[..., Ran]

OLDER = """
from helamem.schemas import wire
from helamem.schemas.errors import Poison
real = wire.decode
def decode(raw, *more):
    if b"newer" in raw:
        raise Poison("cannot be read by this old version", "data")
    return real(raw, *more)
wire.decode = decode  # before anybody imports it
from helamem.streams.cli import main
main()
"""
"""The command line of a version that cannot read some records yet."""


def refuse(raw: bytes, *more: Any) -> Event:
    if b"newer" in raw:
        raise Poison("cannot be read by this old version", "data")
    return decode(raw, *more)


def in_home(home: Path, *records: NewRecord) -> None:
    """Append what no command would."""

    async def append() -> None:
        with Home.open(home) as opened:
            async with await SqliteLog.open(opened.log_path, TOPICS, wall_clock_ms) as log:
                await log.append(records)

    asyncio.run(append())


def poisoned() -> list[NewRecord]:
    """Return a message that an older version refuses, bytes that nobody can read, and an event in a foreign topic."""
    key = events.SPACE.encode()
    return [
        events.record(events.message("m2", "A newer kind of bread: rye.")),
        NewRecord(topic=CONVERSATIONS.name, key=key, value=b"\xff\x00 no event"),
        NewRecord(topic=FACTS.name, key=key, value=events.record(events.message("m3", "Lost.")).value),
    ]


@pytest.fixture
def letters(call: Call, chat: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The dead letters of a home that an older version has processed."""
    assert call("ingest", chat).code == 0
    in_home(home, events.record(events.message("m1", "We bake on Sundays.")), *poisoned())
    with monkeypatch.context() as older:
        older.setattr(pump, "decode", refuse)
        ran = call("run", "--once")
    assert "put aside because they could not be processed: 3; see: helamem dead-letters list" in ran.err
    listed = call("dead-letters", "list").json
    assert listed["count"] == 3
    return sorted(listed["dead_letters"], key=lambda letter: (letter["topic"], letter["offset"]))


def test_a_letter_is_shown_with_its_bytes(call: Call, letters: list[dict[str, Any]]) -> None:
    """As text where it is one, in base64 otherwise; the beginning of an id is enough."""
    message, torn, _ = letters
    shown = call("dead-letters", "show", message["id"][:13])
    assert shown.code == 0
    assert shown.json == message | {"key": events.SPACE, "value": poisoned()[0].value.decode()}
    assert shown.json["reason"] == "cannot be read by this old version"
    assert shown.json["redriven"] is None
    shown = call("dead-letters", "show", torn["id"])
    assert base64.b64decode(shown.json["value_base64"]) == poisoned()[1].value
    assert "value" not in shown.json
    unknown = call("dead-letters", "show", "nobody")
    assert (unknown.code, unknown.out) == (2, "")
    assert "there is no dead letter nobody" in unknown.err
    several = call("dead-letters", "show", "")
    assert (several.code, several.out) == (2, "")
    assert "3 dead letters have ids that begin with" in several.err


def test_a_person_sees_the_bytes(letters: list[dict[str, Any]], home: Path) -> None:
    """Below the table, as they are."""
    code, seen = run_on_terminal("dead-letters", "show", letters[0]["id"], "--home", home)
    assert code == 0
    assert "A newer kind of bread: rye." in seen
    code, seen = run_on_terminal("dead-letters", "list", "--home", home)
    assert code == 0
    assert letters[0]["id"] in seen


def test_a_redriven_record_takes_effect_once(call: Call, letters: list[dict[str, Any]], home: Path) -> None:
    """At its new position, with its own id; what cannot be read is refused; the second time nothing happens."""
    message, torn, foreign = letters
    before = call("spaces").json["spaces"][events.SPACE]
    assert call("keys", "add", "--tenant", "acme").code == 0
    ran = call("dead-letters", "redrive", "--all")
    assert ran.code == 1
    assert (ran.json["redriven"], ran.json["already"], ran.json["refused"]) == (1, 0, 2)
    assert "this version cannot read it" in ran.err
    assert "conversation.message.v1 does not belong into helamem.facts.g1" in ran.err
    assert call("spaces").json["spaces"][events.SPACE] == before + 1
    recalled = call("recall", "rye bread", "--space", events.SPACE, "--no-emit").json["results"]
    assert "A newer kind of bread: rye." in [result["text"] for result in recalled]
    listed = {letter["id"]: letter["redriven"] for letter in call("dead-letters", "list").json["dead_letters"]}
    assert listed == {
        message["id"]: f"{message['topic']}/{message['partition']} @ {message['offset'] + 2}",
        torn["id"]: None,
        foreign["id"]: None,
    }
    positions = call("digest").json["positions"]
    again = call("dead-letters", "redrive", message["id"])
    assert (again.code, again.json["redriven"], again.json["already"]) == (0, 0, 1)
    (told,) = call("access", "--key", "owner").json["accesses"]
    assert (told["did"], told["space"]) == ("helamem dead-letters redrive", events.SPACE)
    assert call("digest").json["positions"] == positions
    rebuilt = home.with_name("rebuilt")
    assert call("replay", "--into", rebuilt).code == 0
    assert call("digest", "--home", rebuilt).json["digest"] == call("digest").json["digest"]


def test_a_redriven_record_that_fails_again_is_another_letter(
    call: Call, letters: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And only that one is taken by the next redrive of all."""
    message = letters[0]
    with monkeypatch.context() as older:
        older.setattr(pump, "decode", refuse)
        ran = call("dead-letters", "redrive", message["id"])
    assert (ran.code, ran.json["redriven"]) == (1, 1)
    listed = [one for one in call("dead-letters", "list").json["dead_letters"] if one["topic"] == CONVERSATIONS.name]
    assert [one["redriven"] is None for one in listed if one["size_bytes"] == message["size_bytes"]] == [False, True]
    assert call("dead-letters", "redrive", "--all").json["redriven"] == 1
    assert call("dead-letters", "redrive", "--all").json["redriven"] == 0
    assert len(call("dead-letters", "list").json["dead_letters"]) == 4


def test_doubles_are_redriven_once(call: Call, home: Path, chat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two letters of the same bytes need one copy."""
    call("ingest", chat)
    in_home(home, poisoned()[0], poisoned()[0])
    with monkeypatch.context() as older:
        older.setattr(pump, "decode", refuse)
        call("run", "--once")
    before = call("lag").json
    assert (before["lag"], call("dead-letters", "list").json["count"]) == (0, 2)
    assert call("dead-letters", "redrive", "--all").code == 0
    after = call("lag").json
    ends = [sum(one["end"] for one in answer["partitions"]) for answer in (before, after)]
    assert ends[1] == ends[0] + 1
    assert call("dead-letters", "redrive", "--all").json["dead_letters"] == []


def test_a_record_out_of_its_place_is_not_redriven(call: Call, home: Path, chat: Path) -> None:
    """Where it stands it would only be put aside again; the sentence says what to append instead."""
    call("ingest", chat)
    at_home = events.record(events.message("m1", "We bake on Sundays."))
    elsewhere = (partition_of(at_home.key, CONVERSATIONS.partitions) + 1) % CONVERSATIONS.partitions
    in_home(
        home,
        msgspec.structs.replace(events.record(events.message("m2", "Rye.")), key=b"acme/nobody"),
        msgspec.structs.replace(at_home, partition=elsewhere),
    )
    assert call("run", "--once").code == 0
    fields = [letter["field"] for letter in call("dead-letters", "list").json["dead_letters"]]
    assert sorted(fields) == ["key", "partition"]
    ran = call("dead-letters", "redrive", "--all")
    assert (ran.code, ran.json["redriven"], ran.json["refused"]) == (1, 0, 2)
    assert "append the event with its space as key" in ran.err
    assert "append the event without naming a partition" in ran.err


def test_lag_of_a_home(call: Call, home: Path, chat: Path) -> None:
    """What is in the log and not processed, by group and partition; it falls to nothing."""
    call("ingest", chat, "--no-process")
    answer = call("lag").json
    assert answer["groups"] == {"encoding": 4 + 6, "co-activation": 4, "consolidation": 0}
    assert answer["lag"] == 14
    assert {one["committed"] for one in answer["partitions"]} == {None}
    call("run", "--once")
    answer = call("lag").json
    assert answer["lag"] == 0
    assert sum(one["committed"] or 0 for one in answer["partitions"]) == 14


@pytest.mark.slow
def test_a_poison_record_in_each_topic(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is put aside once and stops nobody; after a fix each takes effect, and a rebuild comes to the same.

    What is sealed is put aside by workers without keys, and read by those that have them.
    """
    run("topics", "apply")
    fleet.store.start()
    fine, newer = fine_events(), newer_events()
    key = events.SPACE.encode()
    torn = [NewRecord(topic=spec.name, key=key, value=b"{torn") for spec in TOPICS if spec != DEAD_LETTERS]
    fleet.append(*map(events.record, fine), *torn, NewRecord(topic=DEAD_LETTERS.name, key=b"", value=b"{torn"))
    fleet.append(*map(events.record, [sealed(tmp_path), *newer]), *map(events.record, fine_events("again")))
    astray = events.record(events.message("first-m1", "I never bake."))  # whichever partition is read first would win
    fleet.append(msgspec.structs.replace(astray, partition=(partition_of(key, CONVERSATIONS.partitions) + 1) % 4))
    older = fleet.ready_worker(program=("-c", OLDER))
    fleet.catch_up()
    assert older.stop().json["abandoned"] == []
    older = fleet.ready_worker(program=("-c", OLDER))  # and takes none of them once more
    fleet.catch_up()
    older.stop()
    listed = run("dead-letters", "list", "--kafka").json["dead_letters"]
    each = [CONTROL.name, CONVERSATIONS.name, FACTS.name, HUBS.name, RECALLS.name]
    assert sorted(letter["topic"] for letter in listed) == sorted([*each * 2, CONVERSATIONS.name, CONVERSATIONS.name])
    assert len({(letter["topic"], letter["partition"], letter["offset"]) for letter in listed}) == 12
    assert state(fleet) == {"memories": 6, "hidden": 0, "facts": 1, "edges": 3}

    monkeypatch.setenv("HELAMEM_KEYS", str(tmp_path / "keys"))
    monkeypatch.setenv("HELAMEM_SEALED_TENANTS", "elsewhere")
    worker = fleet.ready_worker()
    ran = run("dead-letters", "redrive", "--all", "--kafka")
    assert (ran.code, ran.json["redriven"], ran.json["refused"]) == (1, 6, 6)
    fleet.catch_up()
    # A message, two facts (one distilled from the hub, one given), a hidden memory, and a recall of two others.
    after = state(fleet)
    assert (after["memories"], after["hidden"]) == (8, 1)
    assert after["facts"] >= 3
    assert after["edges"] > 3
    ids = [letter["id"] for letter in listed]
    again = run("dead-letters", "redrive", *ids, "--kafka")
    assert (again.code, again.json["redriven"], again.json["already"]) == (1, 0, 6)
    assert fleet.lag() == 0
    assert run("dead-letters", "list", "--kafka").json["count"] == 12
    assert asyncio.run(rebuilt(fleet, tmp_path / "rebuilt")) == fleet.digest()
    ran = worker.stop()
    assert (ran.code, ran.json["counts"]["distilled"]) == (0, 1)


MESSAGES = ("m1", "m2", "m3")


def fine_events(run_: str = "first") -> list[Event]:
    """Return messages that every version reads, and a recall and a fact of them."""
    return [
        *(events.message(f"{run_}-{name}", f"I love baking bread number {n}.") for n, name in enumerate(MESSAGES)),
        events.recalled(f"recall-{run_}", ["first-m1", "first-m2", "first-m3"]),
        events.distilled(f"distilled-{run_}", "They bake."),
    ]


def newer_events() -> list[Event]:
    """Return one event for each topic that the older version cannot read."""
    cluster = tuple(
        ClusterMember(memory_id=memory_id(events.SPACE, f"first-{name}"), weight=2**31) for name in ("m2", "m3")
    )
    hub = HubFormed(
        memory_id=memory_id(events.SPACE, "first-m1"),
        strength=2**32,
        degree=2,
        cluster=cluster,
        cause="recall-first",
        applied={},
    )
    return [
        events.message("newer", "A newer message."),
        events.recalled("newer-recall", ["first-m1", "again-m1"]),
        events.event("newer-hub", hub),
        events.distilled("newer-fact", "They bake newer bread."),
        events.forgotten("newer-control", "first-m2"),
    ]


def sealed(place: Path) -> Event:
    """Return a message whose words only a home with its keys can open."""
    make_keys(place / "keys")
    return Sealer(KeyFiles(place / "keys"), ["acme"]).seal(events.message("sealed", "Nobody here can read this."))


def state(fleet: Fleet) -> dict[str, int]:
    """Return what is in the store."""

    async def count() -> dict[str, int]:
        store = await RemoteStore.open(fleet.home, dimension=256)
        try:
            turns = [turn async for turn in store.scan_turns(None)]
            return {
                "memories": len(turns),
                "hidden": sum(turn.hidden for turn in turns),
                "facts": len([fact async for fact in store.scan_facts(None)]),
                "edges": len([row async for row in store.scan_edges(None)]),
            }
        finally:
            await store.close()

    return asyncio.run(count())


async def rebuilt(fleet: Fleet, home: Path) -> str:
    """Return the digest of an embedded home with the very same log."""
    settings = KafkaSettings(bootstrap_servers=fleet.broker.servers)
    with Home.open(home) as opened:
        async with (
            await KafkaLog.open(settings, TOPICS) as source,
            await SqliteLog.open(opened.log_path, TOPICS, wall_clock_ms) as log,
        ):
            for partition in await partitions_of(source):
                records = await source.read(partition, 0, limit=10_000)
                await log.append(copies(partition, [(record.key, record.value) for record in records]))
            ends = await source.end_offsets(await partitions_of(source))
            assert ends == await log.end_offsets(await partitions_of(log))
    shutil.copytree(fleet.home.with_name("keys"), home / "keys")
    instance = await Instance.open(home, create=False)
    try:
        await instance.process()
        return (await digest(instance.store)).digest
    finally:
        await instance.close()


async def partitions_of(log: KafkaLog | SqliteLog) -> list[TopicPartition]:
    return [partition for spec in TOPICS for partition in await log.partitions(spec.name)]


def copies(partition: TopicPartition, records: Sequence[tuple[bytes, bytes]]) -> list[NewRecord]:
    return [
        NewRecord(topic=partition.topic, partition=partition.partition, key=key, value=value) for key, value in records
    ]
