"""A fleet on Kafka whose words are sealed: nothing of them is in Kafka, and what is erased is gone everywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from contracts.log_contract import read_all
from fakes import events
from fakes.subjects import AGENT, ELSEWHERE, MIRA, OTHER, SPACE, TOM, WORDS, erased, leaks, lived
from helamem.processors.store.port import FactRecord, Turn
from helamem.schemas.errors import BadInput, ConfigurationError
from helamem.schemas.events import ClusterMember, HubFormed
from helamem.schemas.ids import memory_id
from helamem.schemas.records import TopicPartition
from helamem.schemas.topics import DEAD_LETTERS, TOPICS
from helamem.schemas.wire import Event
from helamem.streams.archive.log import ArchiveLog
from helamem.streams.config import Config
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.port import Log
from helamem.streams.sealing.fleet import fleet_sealing, make_fleet_keys
from helamem.streams.store_process.client import RemoteStore
from streams.cli.fleet import Fleet, fleet, kafka, own_kafka
from streams.cli.shell import Ran, message, run, write_lines

__all__ = ["fleet", "kafka", "own_kafka"]

LINES = [("Mira", "user", text) for text in MIRA] + [("Ada", "agent", AGENT)] + [("Tom", "user", text) for text in TOM]
PLAIN = "open/team"


def lines() -> list[dict[str, object]]:
    """Return what is said in a sealed space, beside it, and, in other words, in one that is not sealed."""
    sealed = [
        message(n, text, space=SPACE, speaker=speaker, role=role) for n, (speaker, role, text) in enumerate(LINES)
    ]
    plain = [line | {"space": PLAIN, "text": others_words(str(line["text"]))} for line in sealed]
    return [*sealed, *plain, message(0, ELSEWHERE, space=OTHER)]


def others_words(text: str) -> str:
    """Return a text with other names in it."""
    for word in WORDS[:3]:
        text = text.replace(word, word[::-1].capitalize())
    return text


def hub(space: str, name: str, *others: str) -> Event:
    """Return that a memory became a hub; it has no words."""
    cluster = tuple(ClusterMember(memory_id=memory_id(space, other), weight=2**31) for other in others)
    data = HubFormed(
        memory_id=memory_id(space, name), strength=2**32, degree=len(others), cluster=cluster, cause="-", applied={}
    )
    return events.event(f"hub-{space}-{name}", data, space=space)


def in_kafka(fleet: Fleet) -> list[str]:
    """Return which words Kafka gives back, and which stand in its files where it runs on this machine."""

    async def read() -> bytes:
        async with await KafkaLog.open(KafkaSettings(bootstrap_servers=fleet.broker.servers), TOPICS) as log:
            partitions = [at for spec in TOPICS for at in await log.partitions(spec.name)]
            records = [one for at in partitions for one in await read_all(log, at)]
        return b"".join(one.key + one.value for one in records)

    raw = asyncio.run(read())
    assert others_words(WORDS[0]).encode() in raw
    found = [word for word in WORDS if word.encode() in raw]
    if (folder := getattr(fleet.broker, "directory", None)) is not None:
        assert leaks(folder, (others_words(WORDS[0]),))
        found += leaks(folder)
    return found


def facts(fleet: Fleet, space: str) -> list[FactRecord]:
    """Return the facts of a space."""

    async def read() -> list[FactRecord]:
        store = await RemoteStore.open(fleet.home, dimension=256)
        try:
            return [one async for one in store.scan_facts(space)]
        finally:
            await store.close()

    return asyncio.run(read())


def plain_is_erased() -> None:
    """Not sealed, the log keeps what was said, and the answer says how much and until when."""
    plain = run("erase", "Mira", "--space", PLAIN, "--kafka")
    assert plain.code == 0
    assert (plain.json["remains"]["messages"], plain.json["keys"]) == (4, 0)
    assert (
        "words stay in records of the log that are not sealed, for as long as the log is kept: messages: 4" in plain.err
    )


@pytest.mark.slow
def test_what_is_erased_is_gone_from_kafka_and_from_the_store(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No byte of it can be read anywhere, and a replay, an archive and an audit find what they found before."""
    monkeypatch.setenv("HELAMEM_SEALED_TENANTS", "acme")
    monkeypatch.setenv("HELAMEM_KEYS", str(tmp_path / "keys"))
    assert run("topics", "apply").code == 0
    fleet.store.start()
    assert run("ingest", write_lines(tmp_path / "chat.jsonl", *lines()), "--kafka").code == 0
    fleet.ready_worker("all")
    fleet.ready_worker("encoding")
    fleet.append(*(events.record(hub(space, name, *rest)) for space in (SPACE, PLAIN) for name, *rest in HUBS))
    fleet.catch_up()
    before = run("digest", "--kafka").json["spaces"]
    told = [one for one in facts(fleet, SPACE) if any(word in one.text for word in WORDS)]
    assert told
    assert all(one.data_subjects for one in told), "workers seal what they distil"
    assert not [one for one in facts(fleet, PLAIN) if one.data_subjects]
    assert any(file.startswith("store/memories") for file in leaks(fleet.home))
    assert not in_kafka(fleet)
    assert run("audit", "keygen", "--key", "key.pem", "--public-key", "key.pub.pem").code == 0
    archive = ("archive", "--to", "archive", "--kafka", "--key", "key.pem")
    assert run(*archive).code == 0

    would = run("erase", "Mira", "--space", SPACE, "--kafka", "--dry-run").json
    assert (would["memories"], would["keys"], would["facts"]) == (4, 2, len(facts(fleet, SPACE)) - KEPT)
    erased = run("erase", "Mira", "--space", SPACE, "--kafka")
    assert (erased.code, erased.err) == (0, "")
    assert erased.json["builds"] == [{"build": None, "in_use": True, "memories": 4, "facts": would["facts"]}]
    assert {name: erased.json[name] for name in ("memories", "facts", "keys")} == {
        name: would[name] for name in ("memories", "facts", "keys")
    }
    again = run("erase", "Mira", "--space", SPACE, "--kafka").json
    assert (again["erased_before"], again["memories"], again["distilled_again"]) == (True, 0, 0)
    left = [one for one in facts(fleet, SPACE) if not one.hidden]
    assert left
    assert not [one for one in left if any(word in one.text for word in WORDS)]

    plain_is_erased()
    answer = run("digest", "--kafka").json
    wanted, now = answer["digest"], answer["spaces"]
    assert now.keys() == before.keys()
    assert {space for space in now if now[space] == before[space]} == {OTHER}
    replayed = run("replay", "--kafka", "--into", "rebuilt")
    assert replayed.json["digest"] == wanted, replayed.err
    assert run(*archive).code == 0
    verified = run("audit", "verify", "--archive", "archive", "--kafka", "--public-key", "key.pub.pem")
    assert (verified.code, verified.json["findings"]) == (0, [])
    assert run("digest", "--archive", "archive", "--keys", "keys").json["digest"] == wanted
    assert not in_kafka(fleet)
    fleet.close()
    assert leaks(fleet.home) == leaks(tmp_path / "rebuilt") == leaks(tmp_path / "keys") == []


HUBS = (("m0", "m1", "m2", "m3"), ("m1", "m4", "m5"), ("m4", "m5", "m6"))
KEPT = 1
"""Facts of Tom's words alone."""


@pytest.mark.slow
def test_what_is_restored_stays_sealed(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Ran]
) -> None:
    """An archive of before an erasure, restored into Kafka after it: the same bytes, of which none opens again.

    It is told what workers need besides; then what the tenant says there from now on is sealed too.
    """
    mine = tmp_path / "mine"
    asyncio.run(lived(mine, sealed=True))
    assert call("archive", "--to", "archive", "--home", mine).code == 0
    asyncio.run(erased(mine))
    keys = mine / "keys"
    wanted = call("digest", "--archive", "archive", "--keys", keys).json["digest"]

    monkeypatch.setenv("HELAMEM_SEALED_TENANTS", "other")
    refused = call("restore-log", "--archive", "archive", "--kafka")
    assert (refused.code, "HELAMEM_SEALED_TENANTS needs HELAMEM_KEYS" in refused.err) == (2, True)
    monkeypatch.setenv("HELAMEM_KEYS", str(keys))
    back = call("restore-log", "--archive", "archive", "--kafka")
    assert (back.code, back.json["sealed_tenants"]) == (0, ["acme"])
    assert f"HELAMEM_KEYS, now {keys}, has to name the directory with the keys that sealed them; name acme" in back.err
    there = everything(kafka_of(fleet))
    assert there == everything(ArchiveLog.open("archive", TOPICS))
    assert call("replay", "--kafka", "--into", "rebuilt").json["digest"] == wanted

    monkeypatch.setenv("HELAMEM_SEALED_TENANTS", "acme")
    fleet.store.start()
    fleet.ready_worker("all")
    more = write_lines(tmp_path / "more.jsonl", message(9, f"{WORDS[0]} again.", space=SPACE, speaker="Mira"))
    assert call("ingest", more, "--kafka").code == 0
    fleet.catch_up()
    turns = {turn.message_id: turn for turn in told_of(fleet, SPACE)}
    assert {name for name, turn in turns.items() if turn.erased} == {"m0", "m1", "m2", "m3"}
    assert (turns["m9"].text, turns["m4"].text) == (f"{WORDS[0]} again.", TOM[0])
    said = everything(kafka_of(fleet))
    assert said > there
    assert not [one for one in said if one[0].topic == DEAD_LETTERS.name]
    assert not [word for word in WORDS if any(word.encode() in value for *_, value in said)]


def told_of(fleet: Fleet, space: str) -> list[Turn]:
    """Return the memories of a space."""

    async def read() -> list[Turn]:
        store = await RemoteStore.open(fleet.home, dimension=256)
        try:
            return [one async for one in store.scan_turns(space)]
        finally:
            await store.close()

    return asyncio.run(read())


def kafka_of(fleet: Fleet) -> Awaitable[Log]:
    """Return the fleet's log, once it is open."""
    return KafkaLog.open(KafkaSettings(bootstrap_servers=fleet.broker.servers), TOPICS)


def everything(opening: Awaitable[Log]) -> set[tuple[TopicPartition, int, bytes, bytes]]:
    """Return place, key and value of all that stands in a log."""

    async def read() -> set[tuple[TopicPartition, int, bytes, bytes]]:
        log = await opening
        try:
            partitions = [at for spec in TOPICS for at in await log.partitions(spec.name)]
            return {(at, one.offset, one.key, one.value) for at in partitions for one in await read_all(log, at)}
        finally:
            await log.close()

    return asyncio.run(read())


def test_the_configuration_of_sealing_is_checked(tmp_path: Path) -> None:
    """Keys are made once, by whoever makes the topics; nobody begins without them, or where a service answers."""
    keys = tmp_path / "keys"
    for wrong in ("a/b", "-x"):
        with pytest.raises(BadInput, match="which is no tenant"):
            fleet_sealing(Config(sealed_tenants=wrong, keys=keys))
    with pytest.raises(BadInput, match="needs HELAMEM_KEYS"):
        fleet_sealing(Config(sealed_tenants="acme"))
    config = Config(sealed_tenants="acme, other", keys=keys)
    with pytest.raises(ConfigurationError, match=r"there are no keys at .*keys, which HELAMEM_KEYS names"):
        fleet_sealing(config)
    assert make_fleet_keys(Config(keys=keys)) is None
    assert make_fleet_keys(config) == keys
    master = (keys / "master.key").read_bytes()
    assert make_fleet_keys(config) == keys
    assert (keys / "master.key").read_bytes() == master
    assert fleet_sealing(config).tenants == ("acme", "other")
    assert fleet_sealing(Config()).keys is None
    with pytest.raises(ConfigurationError, match="openai:small@4 embeds for the fleet"):
        fleet_sealing(Config(sealed_tenants="acme", keys=keys, embedder="openai:small@4"))
    with pytest.raises(ConfigurationError, match="words are sealed in the fleet"):
        fleet_sealing(
            Config(sealed_tenants="acme", keys=keys, distiller="openai:m", distiller_base_url="http://localhost/v1")
        )
    (keys / "master.key").unlink()
    with pytest.raises(ConfigurationError, match="there is no master key"):
        fleet_sealing(config)
