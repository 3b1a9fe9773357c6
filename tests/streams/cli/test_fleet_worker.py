"""`helamem worker`: the same memory as on one machine, whatever is away and whenever it is stopped."""

from __future__ import annotations

import asyncio
import re
import signal
import time
import urllib.request
from importlib.resources import as_file, files
from pathlib import Path

import pytest

from fakes.events import distilled, record
from fixtures.webhook import Address, address
from helamem.schemas.errors import RetryLater
from helamem.schemas.records import NewRecord
from helamem.schemas.topics import CONTROL, FACTS, RECALLS, TOPICS
from helamem.streams.cli.worker import Outages
from helamem.streams.home import wall_clock_ms
from helamem.streams.log.sqlite import SqliteLog
from streams.cli.fleet import Fleet, fleet, kafka, own_kafka
from streams.cli.shell import logged, message, run, write_lines

__all__ = ["address", "fleet", "kafka", "own_kafka"]

ROOT = Path(__file__).parents[3]

slow = pytest.mark.slow  # the broker takes seconds to start


def embedded_digest(home: Path) -> str:
    return str(run("digest", "--home", home).json["digest"])


@slow
def test_a_file_becomes_the_same_memory_as_on_one_machine(
    fleet: Fleet, locomo_dev: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the middle and started again, with the file ingested twice: the digest of an embedded home."""
    run("topics", "apply")
    fleet.store.start()
    ran = run("ingest", locomo_dev, "--kafka")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["appended"] == ran.json["lines"] > 1000
    assert (ran.json["bad"], ran.json["processed"]) == (0, False)
    before = fleet.lag()
    assert before > ran.json["lines"]
    refused = run("digest", "--kafka")
    assert (refused.code, refused.out) == (1, "")
    assert f"the fleet has yet to process {before:,} records" in refused.err
    for _ in range(2):
        with monkeypatch.context() as small:
            small.setenv("HELAMEM_BATCH_RECORDS", "20")  # there is a middle to be stopped in, however fast the machine
            worker = fleet.worker()
        fleet.next_commit("encoding")
        ran = worker.stop()
        assert (ran.code, ran.json["abandoned"]) == (0, [])
        assert ran.err.count("\n") <= 1  # that it was ready, if it came to that
        assert 0 < fleet.lag() < before
    worker = fleet.ready_worker()
    fleet.catch_up()
    run("ingest", locomo_dev, "--kafka")
    assert run("ingest", locomo_dev, "--home", tmp_path / "embedded").code == 0
    assert fleet.digest() == embedded_digest(tmp_path / "embedded")
    assert worker.stop(signal.SIGINT).code == 0
    assert run("dead-letters", "list", "--kafka").json["count"] == 0


@slow
def test_the_demo_learns_the_same_from_its_recalls(fleet: Fleet, tmp_path: Path) -> None:
    """Messages and recalls of a home, given to two workers: the same memories, edges and facts."""
    home = tmp_path / "demo"
    assert run("demo", "--keep", home).code == 0
    run("topics", "apply")
    fleet.store.start()
    with as_file(files("helamem.streams.demo").joinpath("conversation.jsonl")) as conversation:
        assert run("ingest", conversation, "--kafka").code == 0
    fleet.append(*asyncio.run(recalls_of(home)))
    workers = [fleet.ready_worker("encoding"), fleet.ready_worker("co-activation"), fleet.ready_worker("consolidation")]
    answer = run("digest", "--home", home).json
    assert fleet.digest() == answer["digest"]
    parts = run("digest", "--kafka").json["parts"]
    assert parts == answer["parts"]
    assert sum(part["counts"]["facts"] for part in parts.values()) > 0
    counts = [worker.stop().json["counts"] for worker in workers]
    assert counts[0]["encoded"] > 0
    assert counts[1]["hub-formed"] > 0
    assert counts[2]["facts-emitted"] > 0


async def recalls_of(home: Path) -> list[NewRecord]:
    """Return what agents did in a home, but for what it began with."""
    async with await SqliteLog.open(home / "log.sqlite", TOPICS, wall_clock_ms, read_only=True) as log:
        return [
            NewRecord(topic=record.topic, partition=record.partition, key=record.key, value=record.value)
            for spec in (RECALLS, CONTROL)
            for partition in await log.partitions(spec.name)
            for record in await log.read(partition, 0, limit=10_000)
            if b"settings.applied" not in record.value
        ]


@slow
def test_what_is_away_is_waited_for(fleet: Fleet, tmp_path: Path) -> None:
    """Started before Kafka and the store, it says once what is missing and that it goes on; a later outage likewise."""
    run("topics", "apply")
    fleet.broker.stop()
    ready = tmp_path / "ready"
    ready.touch()  # left by a worker that was killed
    worker = fleet.worker("all", "--ready-file", ready)
    assert "Kafka at" in worker.says("waiting: ")
    assert not ready.exists()
    fleet.broker.start()
    assert f"helamem store --home {fleet.home}" in worker.says("waiting: nobody serves the store")
    fleet.store.start()
    worker.says("ready: ")
    assert ready.exists()
    assert len(worker.said) == 4
    assert "going on" in worker.said[2]
    fleet.broker.stop()
    time.sleep(8)
    fleet.broker.start()
    chat = write_lines(tmp_path / "chat.jsonl", message(1, "I moved to Bergen."))
    assert run("ingest", chat, "--kafka").code == 0
    fleet.catch_up()
    ran = worker.stop()
    assert (ran.code, ran.json["counts"]["encoded"]) == (0, 1)
    assert not ready.exists()
    assert 4 <= len(worker.said) <= 6, worker.said


@slow
def test_a_stop_while_waiting_ends_at_once(fleet: Fleet) -> None:
    """Nothing was begun, so nothing is left."""
    run("topics", "apply")
    worker = fleet.worker("encoding")
    worker.says("waiting: nobody serves the store")
    ran = worker.stop()
    assert (ran.code, ran.json) == (0, {"abandoned": [], "counts": {}})


@slow
def test_what_cannot_be_finished_is_named_and_left_to_others(fleet: Fleet, tmp_path: Path) -> None:
    """With the store gone for good, a stop ends in bounded time with exit code 1; the next worker does it all."""
    run("topics", "apply")
    fleet.store.start()
    worker = fleet.ready_worker("encoding")
    fleet.catch_up("encoding")
    fleet.store.kill()
    lines = [message(n, f"Line {n}.") for n in range(20)]
    assert run("ingest", write_lines(tmp_path / "chat.jsonl", *lines), "--kafka").code == 0
    worker.says("waiting: nobody serves the store")
    begun = time.monotonic()
    ran = worker.stop()
    assert time.monotonic() - begun < 60  # and not until the store is back
    assert ran.code == 1
    (abandoned,) = ran.json["abandoned"]
    assert abandoned.startswith("encoding helamem.conversations.g1/")
    assert f"left to other workers: {abandoned}; nothing is lost" in ran.err
    fleet.store.start()
    worker = fleet.ready_worker("all")
    fleet.catch_up()
    ran = worker.stop()
    assert (ran.code, ran.json["counts"]["encoded"]) == (0, 20)


@slow
def test_another_embedder_than_the_log_s_is_refused(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what the log says, before anything is processed."""
    run("topics", "apply")
    fleet.store.start()
    before = fleet.lag()
    monkeypatch.setenv("HELAMEM_EMBEDDER", "openai:small")
    monkeypatch.setenv("HELAMEM_OPENAI_DIMENSION", "256")
    monkeypatch.setenv("HELAMEM_OPENAI_BASE_URL", "http://127.0.0.1:9")
    ran = run("worker", "all")
    assert (ran.code, ran.out) == (2, "")
    assert "the log is embedded by wordllama:l2_supercat_256, and this worker is configured for openai:small" in ran.err
    assert ran.err.count("\n") == 1
    assert fleet.lag() == before


@slow
def test_a_platform_s_agents_run_beside_the_pumps(
    fleet: Fleet, address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process does both: a fact is made recallable and posted; what the agent puts aside is said."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.setenv("WEBHOOK_URL", f"http://127.0.0.1:{address.server_port}/facts")
    run("topics", "apply")
    fleet.store.start()
    worker = fleet.worker("all", "--app", "facts_webhook:app", "--metrics", 0)
    (metrics,) = re.findall(r"http://[\d.:]+/metrics", worker.says("metrics at "))
    assert "and the agents webhook on Kafka" in worker.says("ready: ")
    fleet.append(*(record(distilled(text, text)) for text in ("tea", "a secret", "coffee")))
    worker.says("webhook put aside offset")
    deadline = time.monotonic() + 60
    while len(address.posted) < 2:
        assert time.monotonic() < deadline, address.posted
        time.sleep(0.1)
    fleet.catch_up()
    with urllib.request.urlopen(metrics, timeout=10) as answer:
        text = answer.read().decode()
    assert re.search(rf'faust_event_seconds_count\{{topic="{FACTS.name}"\}} [23]\.0', text)
    assert re.search(r"faust_rebalance_seconds_count [1-9]", text)
    assert "faust_send_errors_total 0.0" in text
    ran = worker.stop()
    assert (ran.code, ran.json["counts"]["facts"], ran.json["abandoned"]) == (0, 3, [])
    assert sorted(address.posted.values()) == ["coffee", "tea"]
    assert all(logged(line) for line in ran.err.splitlines()), ran.err
    (letter,) = run("dead-letters", "list", "--kafka").json["dead_letters"]
    assert letter["group"] == "platform-webhook"


@pytest.mark.parametrize(
    ("named", "complaint"),
    [
        ("nowhere", "give module:attribute"),
        ("nowhere:app", "No module named 'nowhere'"),
        ("json:app", "has no attribute 'app'"),
        ("json:loads", "is a function, not what build_app returns"),
    ],
)
def test_an_application_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, complaint: str
) -> None:
    """One sentence, and nothing is begun."""
    monkeypatch.chdir(tmp_path)
    ran = run("worker", "all", "--app", named)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert complaint in ran.err


def test_an_outage_is_told_once_and_not_at_all_when_it_is_short() -> None:
    """Short ones are no news; a long one is told when it begins and when it ends, whatever is tried meanwhile."""
    said: list[str] = []
    now = 0.0
    outages = Outages(lambda sentence, _: said.append(sentence), after_s=3.0, clock=lambda: now)
    for at_s in (0.0, 1.0, 2.9):
        now = at_s
        outages.note(RetryLater("the store is away"))
    outages.over()
    assert said == []
    for at_s in (10.0, 12.0, 13.0, 14.0, 20.0):
        now = at_s
        outages.note(RetryLater(f"the store is away at {at_s}"))
    assert said == ["waiting: the store is away at 13.0"]
    outages.over()
    outages.over()
    assert said[1:] == ["going on"]


def test_an_outage_of_which_nothing_was_heard_is_over() -> None:
    """A worker with nothing to do notices neither end; the next outage is told all the same."""
    said: list[str] = []
    now = 0.0
    outages = Outages(lambda sentence, _: said.append(sentence), after_s=3.0, clock=lambda: now)
    for at_s in (0.0, 3.0, 1000.0, 1002.0, 1003.0):
        now = at_s
        outages.note(RetryLater(f"away at {at_s}"))
    assert said == ["waiting: away at 3.0", "waiting: away at 1003.0"]
