"""A log in Kafka, archived, verified, restored into a home and back into Kafka."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition as KafkaPartition

from contracts.log_contract import read_all
from fakes.events import SPACE
from fakes.subjects import leaks
from helamem.schemas.records import NewRecord, Record, TopicPartition
from helamem.schemas.topics import CONVERSATIONS, FACTS, TOPICS, TopicSpec
from helamem.streams.archive.log import ArchiveLog
from helamem.streams.log.generation import specs_of
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_settings import KafkaSettings
from streams.cli.fleet import WAIT_S, Fleet, _clear, fleet, kafka, own_kafka
from streams.cli.shell import ended, message, run, start, write_lines
from streams.cli.test_fleet_migrate import lived, migrated, worked

__all__ = ["fleet", "kafka", "own_kafka"]

pytestmark = pytest.mark.slow  # the broker takes seconds to start


def records_of(fleet: Fleet) -> dict[TopicPartition, list[Record]]:
    """Return all that stands in Kafka, in the generation in use."""

    async def read() -> dict[TopicPartition, list[Record]]:
        async with await KafkaLog.open(KafkaSettings(bootstrap_servers=fleet.broker.servers), TOPICS) as log:
            return {at: await read_all(log, at) for spec in TOPICS for at in await log.partitions(spec.name)}

    return asyncio.run(read())


def test_from_kafka_to_a_home_and_back(fleet: Fleet, tmp_path: Path) -> None:
    """What a fleet remembers, a home restored from its archive remembers to the bit; Kafka gets the same bytes back."""
    run("topics", "apply")
    fleet.store.start()
    chat = write_lines(
        tmp_path / "chat.jsonl", *(message(n, f"We met in Bergen on day {n}, with rye bread.") for n in range(40))
    )
    assert run("ingest", chat, "--kafka").code == 0
    extra = NewRecord(topic=FACTS.name, key=b"acme/mira", value=b"{torn", headers=(("trace", b"\x00\xff"), ("", b"")))
    fleet.append(extra)
    fleet.ready_worker()
    wanted = fleet.digest()
    assert run("audit", "keygen", "--key", "key.pem", "--public-key", "key.pub.pem").code == 0
    archived = run("archive", "--to", "archive", "--kafka", "--key", "key.pem", "--checkpoints", "kept.jsonl")
    assert (archived.code, archived.err, archived.json["missing"]) == (0, "", [])
    assert archived.json["published"] == archived.json["checkpoints"] > 0
    verify = ("audit", "verify", "--archive", "archive", "--public-key", "key.pub.pem", "--checkpoints", "kept.jsonl")
    verified = run(*verify, "--kafka")
    assert (verified.code, verified.json["findings"], verified.json["uncovered"]) == (0, [], 0)
    assert run("audit", "verify", "--kafka", "--public-key", "key.pub.pem").code == 0

    assert run("replay", "--archive", "archive", "--into", "rebuilt").json["digest"] == wanted
    restored = run("restore-log", "--archive", "archive", "--home", "restored")
    assert (restored.code, restored.json["times_kept"]) == (0, True)
    assert run(*verify, "--home", "restored").json["clean"], "headers of others are there too"
    assert run("digest", "--home", "restored").json["digest"] == wanted

    before = records_of(fleet)
    assert [record.headers for record in before[TopicPartition(FACTS.name, place(before))] if record.headers] == [
        extra.headers
    ]
    refused = run("restore-log", "--archive", "archive", "--kafka")
    assert (refused.code, "is not empty in Kafka" in refused.err) == (2, True)
    fleet.close()
    asyncio.run(_clear(fleet.broker.servers))
    assert run("topics", "show").code == 1
    back = run("restore-log", "--archive", "archive", "--kafka")
    assert (back.code, back.json["times_kept"], back.json["records"]) == (0, False, archived.json["records"])
    after = records_of(fleet)
    assert {at: [said(one) for one in records] for at, records in after.items()} == {
        at: [said(one) for one in records] for at, records in before.items()
    }


def place(records: dict[TopicPartition, list[Record]]) -> int:
    """Return the partition of the facts in which something stands."""
    return next(at.partition for at, found in records.items() if at.topic == FACTS.name and found)


def said(record: Record) -> tuple[object, ...]:
    """Return all of a record but its time."""
    return record.topic, record.partition, record.offset, record.key, record.value, record.headers


def archiving(*words: str) -> None:
    """Wait until the archive has a file whose name says all of this."""
    deadline = time.monotonic() + WAIT_S
    while not any(all(word in str(path) for word in words) for path in Path("archive").rglob("*.json")):
        assert time.monotonic() < deadline, f"nothing of {words} was archived"
        time.sleep(0.05)


def test_an_archive_goes_on_after_a_migration(fleet: Fleet, tmp_path: Path) -> None:
    """An archiver that follows goes over to the next generation by itself; both are verified, the later one is read.

    Nothing altered is found in either; replays, a restored home and a restored Kafka give the digest of the fleet.
    """
    lived(fleet, tmp_path)
    before = run("digest", "--kafka").json
    assert run("audit", "keygen", "--key", "key.pem", "--public-key", "key.pub.pem").code == 0
    signed = ("archive", "--to", "archive", "--kafka", "--key", "key.pem", "--checkpoints", "kept.jsonl")
    archiver = start(*signed, "--follow", "--every", "0.2")
    try:
        archiving("helamem.checkpoints.g1", "topic.json")
        migrated(3)
        archiving("helamem.checkpoints.g2", "topic.json")
        more = write_lines(tmp_path / "more.jsonl", message(1, "We have moved to Bergen."), message(2, "It rains."))
        assert run("ingest", more, "--kafka").code == 0
        worked(fleet)
        wanted = fleet.digest()
    finally:
        archiver.send_signal(signal.SIGTERM)
    followed = ended(archiver)
    assert followed.code == 0, followed.err
    assert "the log went on in generation 2" in followed.err
    last = run(*signed)
    assert (last.code, last.err, last.json["missing"]) == (0, "", [])
    verify = ("audit", "verify", "--archive", "archive", "--public-key", "key.pub.pem", "--checkpoints", "kept.jsonl")
    for copies in ((), ("--kafka",)):
        verified = run(*verify, *copies)
        assert (verified.code, verified.json["findings"], verified.json["uncovered"]) == (0, [], 0)

    then = tmp_path / "then.json"
    then.write_text(json.dumps(before))
    for number, source in enumerate((("--archive", "archive"), ("--kafka",))):
        replayed = run("replay", *source, "--into", f"rebuilt{number}").json
        assert (replayed["digest"], replayed["reproduced"], replayed["dead_letters"]) == (wanted, True, 2)
        assert {name.partition("/")[0].rpartition(".")[2] for name in replayed["positions"]} == {"g2"}
        past = run("replay", *source, "--into", f"past{number}", "--until", then)
        assert (past.code, past.json["digest"]) == (0, before["digest"]), "positions name the generation that is read"
    gone = run("replay", "--kafka", "--into", "gone", "--until", "helamem.recalls.g3/0=1")
    assert (gone.code, "does not hold generation 3" in gone.err) == (2, True)

    wanted = erased_in_all_generations(fleet, then, signed)
    restored = run("restore-log", "--archive", "archive", "--home", "restored")
    assert restored.code == 0, restored.err
    assert run("digest", "--home", "restored").json["digest"] == wanted
    assert run(*verify, "--home", "restored").json["clean"], "where copies stood before is there too"
    assert run("ingest", more, "--home", "restored").code == 0

    records = records_of(fleet)
    retention_is_no_fault(fleet)
    fleet.close()
    assert "generation 2" in run("restore-log", "--archive", "archive", "--kafka").err
    asyncio.run(_clear(fleet.broker.servers))
    back = run("restore-log", "--archive", "archive", "--kafka")
    assert back.code == 0, back.err
    assert {at: [said(one) for one in found] for at, found in records_of(fleet).items()} == {
        at: [said(one) for one in found] for at, found in records.items()
    }
    assert [one["generation"] for one in run("topics", "show").json["generations"]] == [2]


def erased_in_all_generations(fleet: Fleet, then: Path, archive: Sequence[str]) -> str:
    """Erase in the generation in use what an earlier one holds too; return the digest.

    That one does not hear of it, and a replay of it must not bring the words back.
    """
    assert leaks(then.with_name("past0"), ("green tea",))
    worker = fleet.ready_worker("all")
    erased = run("erase", "Anna", "--space", SPACE, "--kafka")
    assert (erased.code, erased.json["memories"], erased.json["generations_left"]) == (0, 1, [1])
    assert "generations of the topics that a migration left hold the same records: 1; delete" in erased.err
    wanted = fleet.digest()
    worker.stop()
    assert run(*archive).code == 0
    for number, source in enumerate((("--archive", "archive"), ("--kafka",))):
        again = Path(f"again{number}")
        assert run("replay", *source, "--into", again, "--until", then).code == 0
        assert not leaks(again, ("green tea",))
    return wanted


def retention_is_no_fault(fleet: Fleet) -> None:
    """Let it take a third of what was said in the generation in use, then all of the one that was left."""

    async def ends_of(topics: tuple[TopicSpec, ...]) -> dict[TopicPartition, int]:
        async with KafkaLog(KafkaSettings(bootstrap_servers=fleet.broker.servers), topics) as log:
            return await log.end_offsets(await log.partitions(topics[0].name))

    copied = asyncio.run(ends_of(specs_of(2, 3, TOPICS)))
    fullest = max(copied, key=lambda at: copied[at])
    for until, missed in (({fullest: copied[fullest] // 3}, True), (asyncio.run(ends_of(TOPICS)), False)):
        for at, end in until.items():
            asyncio.run(delete_before(fleet.broker.servers, at, end))
        retained = run("audit", "verify", "--kafka", "--public-key", "key.pub.pem")
        assert (retained.code, retained.json["findings"]) == (0, [])
        noted = any("without a copy in the next generation" in note for note in retained.json["notes"])
        assert noted == missed, "copies of what is gone itself are not missed"


async def delete_before(servers: str, at: TopicPartition, offset: int) -> None:
    """Do what a retention does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.delete_records({KafkaPartition(*at): RecordsToDelete(before_offset=offset)})
    finally:
        await admin.close()


def test_what_kafkas_retention_took(fleet: Fleet, tmp_path: Path) -> None:
    """Taken after it was archived, the archive still has it; taken before, the gap is named, and nothing else is."""
    run("topics", "apply")
    at = TopicPartition(CONVERSATIONS.name, 0)
    records = [NewRecord(topic=at.topic, partition=0, key=b"acme/a", value=b"%d" % n) for n in range(50)]
    fleet.append(*records)
    run("audit", "keygen", "--key", "key.pem", "--public-key", "key.pub.pem")
    archive = ("archive", "--to", "archive", "--kafka", "--key", "key.pem")
    verify = ("audit", "verify", "--archive", "archive", "--kafka", "--public-key", "key.pub.pem")
    assert run(*archive).json["missing"] == []
    asyncio.run(delete_before(fleet.broker.servers, at, 30))
    assert run(*verify).code == 0
    fleet.append(*records)
    asyncio.run(delete_before(fleet.broker.servers, at, 60))
    ran = run(*archive)
    assert ran.json["missing"] == [
        {"partition": str(at), "begin": 51, "end": 60, "reason": "retention"},
    ]
    assert f"missing: records 51 to 59 of {at}" in ran.err
    verified = run(*verify)
    assert (verified.code, verified.json["findings"]) == (0, [])

    async def offsets() -> list[int]:
        async with await ArchiveLog.open("archive", TOPICS) as log:
            return [record.offset for record in await log.read(at, 0, limit=1000)]

    assert asyncio.run(offsets()) == [*range(51), *range(60, 101)]
