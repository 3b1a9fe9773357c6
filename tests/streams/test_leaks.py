"""No word of a message, a query or a fact in what processes log, count or trace, whatever goes wrong."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from fakes.events import recalled, record, reinforced
from fakes.quoting import REFUSED
from fixtures.otlp import Collector, collector
from helamem.schemas.events import MemoryRecalled
from helamem.schemas.records import NewRecord
from helamem.schemas.topics import CONVERSATIONS, HUBS, RECALLS, TOPICS
from helamem.streams.home import wall_clock_ms
from helamem.streams.log.partitioner import partition_of
from helamem.streams.log.sqlite import SqliteLog
from streams.cli.fleet import Fleet, fleet, kafka, own_kafka
from streams.cli.shell import ended, logged, message, run, start, write_lines

__all__ = ["collector", "fleet", "kafka", "own_kafka"]

QUOTING = ("-m", "fakes.quoting")
"""The command line with an embedder and a store that quote what they were given."""
SPACE = "zqtenant/zqagent"
SPEAKER = "Zqspeaker"
SAID = (
    "I love the zqharbour of zqlisbon.",
    "My sister is called zqottoline.",
    "I prefer zqmarmalade to zqhoney.",
    "I moved to zqbergen in zqspring.",
    f"What {REFUSED} says cannot be embedded.",
)
POISON: tuple[bytes, ...] = (
    b"zqraw bytes",
    b'{"zqkey": "zqvalue"',
    b'["zqlist"]',
    b'\xff zqbroken "',
    json.dumps({"specversion": "zqversion"}).encode(),
    *(
        json.dumps(
            {
                "specversion": "1.0",
                "id": "e",
                "source": "zqsource",
                "type": "conversation.message.v1",
                "time": "2025-01-01T00:00:00Z",
                "subject": SPACE,
                "data": {"message_id": "zqid", "conversation": "zqc", "speaker": SPEAKER, "text": "zqtext"},
            }
            | changed
        ).encode()
        for changed in (
            {"type": "zqtype of my own"},
            {"type": "memory.forgotten.v1", "data": {"memory_ids": ["zqmemory"], "reason": "zqreason"}},
            {"time": "zqtomorrow"},
            {"subject": "zqsubject without a name"},
            {"traceparent": "zqtrace"},
            {"data": {"message_id": "zqid", "conversation": "zqc", "speaker": SPEAKER, "role": "zqrole", "text": "zq"}},
            {"data": {"zqfield": "zqtext"}},
            {"data": {"message_id": "zqid", "conversation": "zqc", "speaker": SPEAKER, "text": ["zqlist"]}},
            {"subject": "zqother/zqplace"},
        )
    ),
)
SECRET = re.compile(r"zq\w*", re.IGNORECASE)


def poison(partitions: int) -> Iterator[NewRecord]:
    """Yield records that cannot be processed, for each processor, where they belong and where they do not."""
    for topic in (CONVERSATIONS, RECALLS, HUBS):
        for value in POISON:
            yield NewRecord(
                topic=topic.name, key=SPACE.encode(), value=value, partition=partition_of(SPACE.encode(), partitions)
            )
        yield NewRecord(topic=topic.name, key=b"zqanother key", value=POISON[5], partition=0)


def recalls() -> Iterator[NewRecord]:
    """Yield a question, and often enough for hubs what was of use."""
    names = [f"m{number}" for number in range(len(SAID) - 1)]
    asked = recalled("asked", names, space=SPACE)
    assert isinstance(asked.data, MemoryRecalled)
    yield record(replace(asked, data=replace(asked.data, query="Which zqquestion does zqlisbon answer?")))
    for number in range(3):
        used = reinforced(f"used-{number}", names, space=SPACE)
        yield record(replace(used, traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"))


def chat(folder: Path) -> Path:
    """Return a file with what is said."""
    said = (message(n, text, space=SPACE, speaker=SPEAKER, conversation="zqtalk") for n, text in enumerate(SAID))
    return write_lines(folder / "chat.jsonl", *said)


def refuse(what: str, *places: str | bytes, allowed: Sequence[str] = ()) -> None:
    """Look for words in places where there may be none."""
    for place in places:
        text = place if isinstance(place, str) else place.decode(errors="replace")
        found = sorted({word for word in SECRET.findall(text) if word not in allowed})
        assert not found, f"{what}: {found} in {text[:4000]}"


@pytest.mark.slow
def test_nothing_leaks_from_one_machine(tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages, recalls, hubs, facts, poison and an embedder that quotes; then a store that quotes and ends the run."""
    home = tmp_path / "zqhome"
    run("ingest", chat(tmp_path), "--home", home, "--no-process")
    asyncio.run(_append(home / "log.sqlite"))
    monkeypatch.setenv("HELAMEM_LOG_LEVEL", "debug")
    process = start("run", "--home", home, "--metrics", 0, program=QUOTING)
    said = process.stderr
    assert said is not None
    log = said.readline()
    rest: list[str] = []
    listening = threading.Thread(target=lambda: rest.extend(said))  # a full pipe would stop it
    listening.start()
    try:
        collector.until(lambda seen: bool(seen.named("encode knowledge.distilled")))
        (address,) = re.findall(r"http://[\d.:]+/metrics", log)
        _until_counted(address, "encoding", 1 + len(POISON))
        with urllib.request.urlopen(address, timeout=10) as answer:
            metrics = answer.read()
    finally:
        process.terminate()
        listening.join()
    assert process.stdout is not None
    with process.stdout as stdout, said:
        out = stdout.read()
    assert process.wait() == 0
    log += "".join(rest)
    assert [logged(line) for line in log.splitlines()].count("a record was put aside") > len(POISON)
    assert b"helamem_facts_emitted_total" in metrics
    refuse("the log", log, out, allowed=["zqhome"])
    refuse("metrics", metrics)
    refuse("traces", collector.text)
    listed = run("dead-letters", "list", "--home", home)
    assert listed.json["count"] > len(POISON)
    assert "ValueError at fakes.quoting" in listed.out or "ValueError at __main__" in listed.out
    refuse("the list of dead letters", listed.out, listed.err)

    monkeypatch.setenv("HELAMEM_TEST_FAILING_STORE", "yes")
    failing = start("run", "--home", tmp_path / "zqother", program=QUOTING)
    ran = ended(failing)
    assert ran.code == 2, "there is no such home yet"
    run("ingest", chat(tmp_path), "--home", tmp_path / "zqother", "--no-process")
    ran = ended(start("run", "--home", tmp_path / "zqother", program=QUOTING))
    assert ran.code == 1
    assert "RuntimeError at __main__" in ran.err
    refuse("the last words", ran.err, ran.out, allowed=["zqother"])


async def _append(path: Path) -> None:
    async with await SqliteLog.open(path, TOPICS, wall_clock_ms) as log:
        await log.append([*recalls(), *poison(len(await log.partitions(CONVERSATIONS.name)))])


def _until_counted(address: str, group: str, letters: int) -> None:
    """Wait until so many records of a group were put aside."""
    deadline = time.monotonic() + 60
    while True:
        with urllib.request.urlopen(address, timeout=10) as answer:
            text = answer.read().decode()
        found = re.search(rf'helamem_\w*dead_lettered_total{{group="{group}"}} (\d+)', text)
        if found is not None and int(found[1]) >= letters:
            return
        assert time.monotonic() < deadline, text


@pytest.mark.slow
def test_nothing_leaks_from_the_fleet(
    fleet: Fleet, collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same on Kafka, with a worker, a store process that goes away, and all clients of other projects at debug."""
    monkeypatch.setenv("HELAMEM_LOG_LEVEL", "debug")
    run("topics", "apply")
    fleet.store.start()
    worker = fleet.ready_worker("all", "--metrics", 0, program=QUOTING)
    assert run("ingest", chat(tmp_path), "--kafka").code == 0
    fleet.catch_up()
    fleet.store.kill()
    fleet.append(*recalls(), *poison(CONVERSATIONS.partitions))
    worker.says("waiting: ")
    fleet.store.start()
    fleet.catch_up()
    collector.until(lambda seen: bool(seen.named("encode knowledge.distilled")))
    (address,) = re.findall(r"http://[\d.:]+/metrics", "".join(worker.said))
    with urllib.request.urlopen(address, timeout=10) as answer:
        metrics = answer.read()
    ran = worker.stop()
    stored = fleet.store.stop()
    assert (ran.code, stored.code) == (0, 0)
    said = [logged(line) for line in ran.err.splitlines()]
    assert said.count("a record was put aside") > len(POISON)
    assert "a record was put aside" in said
    assert "going on" in said
    refuse("the worker", ran.err, ran.out)
    refuse("the store", stored.err, stored.out)
    refuse("metrics", metrics)
    refuse("traces", collector.text)
    listed = run("dead-letters", "list", "--kafka")
    assert listed.json["count"] > len(POISON)
    refuse("the list of dead letters", listed.out, listed.err)
