"""`helamem topics migrate`: another number of partitions, the same memory, whenever it is killed."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from importlib.resources import as_file, files
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from contracts.log_contract import read_all
from fakes.events import SPACE, distilled, forgotten, message, record
from fixtures.webhook import Address, address
from helamem.schemas.errors import ConfigurationError
from helamem.schemas.records import NewRecord, Record
from helamem.schemas.topics import (
    ACCESS,
    CHECKPOINTS,
    CONTROL,
    CONVERSATIONS,
    DEAD_LETTERS,
    EFFECTS,
    GOVERNED,
    TOPICS,
    TopicSpec,
)
from helamem.streams.log.generation import specs_of
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_settings import KafkaSettings
from streams.cli.fleet import Fleet, fleet, kafka, own_kafka
from streams.cli.shell import ended, run, start, write_lines
from streams.cli.shell import message as line
from streams.cli.test_fleet_worker import recalls_of
from streams.store_process.process import StoreProcess

__all__ = ["address", "fleet", "kafka", "own_kafka"]

UNFOLDED = {one.base_name for one in (DEAD_LETTERS, CHECKPOINTS, EFFECTS, ACCESS)}  # a digest has no positions in them
pytestmark = pytest.mark.slow  # the broker takes seconds to start

ROOT = Path(__file__).parents[3]
KILLED = Path(__file__).with_name("killed_migration.py")


def lived(fleet: Fleet, tmp_path: Path) -> Path:
    """Let a fleet process a conversation, recalls, a memory that is forgotten and poison; return a home like it."""
    home = tmp_path / "demo"
    assert run("demo", "--keep", home).code == 0
    run("topics", "apply")
    fleet.store.start()
    with as_file(files("helamem.streams.demo").joinpath("conversation.jsonl")) as conversation:
        assert run("ingest", conversation, "--kafka").code == 0
    fleet.append(
        *asyncio.run(recalls_of(home)),
        NewRecord(topic=CONVERSATIONS.name, key=SPACE.encode(), value=b"{torn"),
        record(message("m1", "I love green tea")),
        record(forgotten("f1", "m1")),
        NewRecord(topic=CONTROL.name, key=SPACE.encode(), value=b"no event"),
    )
    worked(fleet)
    return home


def worked(fleet: Fleet) -> None:
    """Let a worker process everything."""
    worker = fleet.ready_worker("all")
    fleet.catch_up()
    assert worker.stop().code == 0


def migrated(partitions: int) -> dict[str, int]:
    """Migrate and return the number of records of each topic."""
    ran = run("topics", "migrate", "--partitions", partitions)
    assert ran.code == 0, ran.err
    records: dict[str, int] = ran.json["records"]
    return records


async def everything(fleet: Fleet, specs: tuple[TopicSpec, ...]) -> dict[str, list[Record]]:
    """Return all records of a generation by topic, partition by partition."""
    log = KafkaLog(KafkaSettings(bootstrap_servers=fleet.broker.servers), specs)
    async with log:
        return {
            spec.base_name: [one for at in await log.partitions(spec.name) for one in await read_all(log, at)]
            for spec in specs
        }


def by_key(records: list[Record]) -> dict[bytes, list[tuple[bytes, int]]]:
    """Return what stands under each key, in order, without settings."""
    found: dict[bytes, list[tuple[bytes, int]]] = defaultdict(list)
    for one in records:
        if b"settings.applied" not in one.value:
            found[one.key].append((one.value, one.append_time_ms))
    return found


def compare(fleet: Fleet, partitions: int) -> None:
    """Look whether the second generation is the first: bytes, order within each key, append times, settings."""
    before = asyncio.run(everything(fleet, TOPICS))
    after = asyncio.run(everything(fleet, specs_of(2, partitions, TOPICS)))
    for spec in TOPICS:
        if spec != DEAD_LETTERS:
            assert by_key(after[spec.base_name]) == by_key(before[spec.base_name])
    for spec in GOVERNED:
        governing = [one for one in after[spec.base_name] if b"settings.applied" in one.value]
        assert [one.partition for one in governing] == list(range(partitions))
        assert {one.offset for one in governing} == {0}
    assert len(after[DEAD_LETTERS.base_name]) == len(before[DEAD_LETTERS.base_name]) == 2


def test_a_fleet_goes_on_in_another_number_of_partitions(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is folded again and nothing is lost: live, with more messages, and rebuilt into an empty store."""
    home = lived(fleet, tmp_path)
    before = run("digest", "--kafka").json
    letters = run("dead-letters", "list", "--kafka").json["dead_letters"]
    records = migrated(7)
    assert records["helamem.conversations.g2"] > 7
    compare(fleet, 7)
    assert fleet.lag() == 0
    after = run("digest", "--kafka").json
    assert (after["digest"], after["parts"]) == (before["digest"], before["parts"])
    assert {name.partition("/")[0] for name in after["positions"]} == {
        spec.name for spec in specs_of(2, 7, TOPICS) if spec.base_name not in UNFOLDED
    }
    shown = run("topics", "show")
    assert (shown.code, shown.err) == (0, "")
    assert [(one["generation"], one["partitions"], one["state"]) for one in shown.json["generations"]] == [
        (1, 4, "left"),
        (2, 7, "in use"),
    ]
    assert {topic["name"]: topic["partitions"] for topic in shown.json["topics"]} == {
        spec.name: spec.partitions for spec in specs_of(2, 7, TOPICS)
    }
    assert run("topics", "apply").json["settings_applied"] is False
    moved = run("dead-letters", "list", "--kafka").json["dead_letters"]
    assert sorted(one["reason"] for one in moved) == sorted(one["reason"] for one in letters)
    assert {(one["topic"].rpartition(".")[2], one["redriven"]) for one in moved} == {("g2", None)}

    with pytest.raises(ConfigurationError, match="none at all during a migration"):
        asyncio.run(late(fleet))

    more = write_lines(tmp_path / "more.jsonl", line(1, "I have moved to Bergen."), line(2, "The piano came along."))
    for place in (("--kafka",), ("--home", home)):
        assert run("ingest", more, *place).code == 0
    again = [NewRecord(topic=one.topic, key=one.key, value=one.value) for one in asyncio.run(recalls_of(home))]
    fleet.append(*again)  # a producer's retry: the events are known for what they are
    worked(fleet)
    expected = fleet.digest()
    parts = run("digest", "--kafka").json["parts"]
    assert {name: part for name, part in parts.items() if name != SPACE} == run("digest", "--home", home).json["parts"]

    fleet.store.kill()
    monkeypatch.setenv("HELAMEM_STORE_HOME", str(tmp_path / "rebuilt"))
    fleet.store = StoreProcess(tmp_path / "rebuilt", options=())
    fleet.store.start()
    worked(fleet)
    assert fleet.digest() == expected


async def late(fleet: Fleet) -> None:
    """Append as a producer does that opened the log before it was migrated."""
    async with KafkaLog(KafkaSettings(bootstrap_servers=fleet.broker.servers), TOPICS) as log:
        await log.append([record(message("late", "Nobody told me"))])


def test_killed_at_each_step_it_goes_on_where_it_was(fleet: Fleet, tmp_path: Path) -> None:
    """What was copied is not copied again, the old generation is in use until the switch, and the end is the same."""
    lived(fleet, tmp_path)
    before = run("digest", "--kafka").json["digest"]
    steps = [("create", 1), ("seal", 1), ("send", 1), ("send", 20), ("compare", 3), ("checkpoint", 12)]
    steps += [("commit", 2), ("switch", 1)]
    for step, number in steps:
        ran = ended(start("kill", step, number, 6, program=(str(KILLED),)))
        assert ran.code == -9, (step, ran.err)
        states = [one["state"] for one in run("topics", "show").json["generations"]]
        assert states in (["in use"], ["in use", "being filled"], ["in use, sealed", "being filled"]), (step, states)
    assert fleet.digest() == before
    other = run("topics", "migrate", "--partitions", 5)
    assert (other.code, other.err.count("\n")) == (2, 1)
    assert "finish it with --partitions 6" in other.err
    migrated(6)
    compare(fleet, 6)
    assert (fleet.lag(), fleet.digest()) == (0, before)
    again = run("topics", "migrate", "--partitions", 6)
    assert (again.code, "has 6 partitions already" in again.err) == (2, True)


def test_it_is_refused_while_something_is_left(
    fleet: Fleet, address: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers at work, records not processed: it says which, and the topics take records as before."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.setenv("WEBHOOK_URL", f"http://127.0.0.1:{address.server_port}/facts")
    run("topics", "apply")
    assert run("topics", "migrate", "--partitions", 8).code == 1, "without a store nobody knows what is processed"
    fleet.store.start()
    behind = run("topics", "migrate", "--partitions", 8)
    assert behind.code == 1
    assert "not everything is processed, left are: co-activation 4 records, encoding 4 records" in behind.err
    worker = fleet.ready_worker("all", "--app", "facts_webhook:app")
    fleet.append(record(distilled("d1", "tea")))
    posted(address, "tea")
    busy = run("topics", "migrate", "--partitions", 8)
    assert busy.code == 1
    assert "workers are at work: co-activation (1), consolidation (1), encoding (1), platform-webhook (1)" in busy.err
    chat = write_lines(tmp_path / "chat.jsonl", line(1, "I moved to Bergen."))
    assert run("ingest", chat, "--kafka").json["appended"] == 1
    fleet.catch_up()
    worker.stop()
    assert run("topics", "migrate", "--partitions", 4).code == 2
    assert run("topics", "migrate", "--cancel").code == 2
    assert ended(start("kill", "commit", 1, 8, program=(str(KILLED),))).code == -9
    sealed = run("ingest", write_lines(tmp_path / "late.jsonl", line(2, "Too late.")), "--kafka")
    assert sealed.code != 0
    assert "during a migration" in sealed.err
    assert "sealed for a migration" in run("topics", "show").err
    assert run("topics", "migrate", "--cancel").json == {"generation": 1}
    assert run("topics", "show").code == 0
    assert run("ingest", tmp_path / "late.jsonl", "--kafka").code == 0
    worked(fleet)
    migrated(8)
    assert fleet.lag() == 0
    address.posted.clear()
    worker = fleet.ready_worker("all", "--app", "facts_webhook:app")
    fleet.append(record(distilled("d2", "coffee")))
    posted(address, "coffee")
    fleet.catch_up()
    assert worker.stop().json["counts"]["facts"] == 1
    assert list(address.posted.values()) == ["coffee"], "a platform's group goes on where it was, too"


def test_given_up_for_another_number(fleet: Fleet, tmp_path: Path) -> None:
    """What the first try left in the store is in nobody's way: the next one takes a later generation."""
    run("topics", "apply")
    fleet.store.start()
    chat = write_lines(tmp_path / "chat.jsonl", *(line(n, f"Line {n}.") for n in range(20)))
    run("ingest", chat, "--kafka")
    worked(fleet)
    before = fleet.digest()
    assert ended(start("kill", "commit", 1, 2, program=(str(KILLED),))).code == -9
    assert run("topics", "migrate", "--cancel").code == 0
    asyncio.run(delete(fleet, specs_of(2, 2, TOPICS)))
    assert "helamem.facts.g3" in migrated(5)
    assert fleet.digest() == before
    more = write_lines(tmp_path / "more.jsonl", *(line(n, f"Line {n}.") for n in range(25)))
    assert run("ingest", more, "--kafka").code == 0
    worker = fleet.ready_worker("all")
    fleet.catch_up()
    counts = worker.stop().json["counts"]
    assert (counts["encoded"], counts["duplicate"]) == (5, 20)
    assert [one["generation"] for one in run("topics", "show").json["generations"]] == [1, 3]


async def delete(fleet: Fleet, specs: tuple[TopicSpec, ...]) -> None:
    """Delete topics, as an operator does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=fleet.broker.servers)
    await admin.start()
    names = [spec.name for spec in specs]
    await admin.delete_topics(names)
    deadline = time.monotonic() + 60
    while set(names) & set(await admin.list_topics()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    await admin.close()


def posted(address: Address, text: str) -> None:
    """Wait until an agent has posted a fact, and has had the time to commit it."""
    deadline = time.monotonic() + 60
    while text not in address.posted.values():
        assert time.monotonic() < deadline, address.posted
        time.sleep(0.1)
    time.sleep(1)
