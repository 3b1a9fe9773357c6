"""Write a golden log anew: `cd tests && python -m golden.logs.regenerate v2`.

A golden log is what a version of helamem once wrote; every later version must make the same of it, for ever. So a
directory that is there is never changed. When the rules that turn records into state change on purpose (a new
`LOGIC_VERSION`), the old logs stay and a new one is added beside them by this script, from a scripted life.

It writes `log.jsonl`, one record a line in the order of appending (the value as text), `expected.json`, what becomes of
it, and `altered.jsonl`, the same log with one recorded hub altered, which must be found out.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from fakes.directories import directory
from fakes.events import distilled, event, forgotten, message, record, reinforced, restored, retracted
from fakes.words import wordllama
from helamem.schemas.events import HubFormed, KnowledgeDistilled
from helamem.schemas.records import NewRecord
from helamem.schemas.settings import HebbianSettings, Settings
from helamem.schemas.topics import CONVERSATIONS, TOPICS
from helamem.schemas.wire import decode
from helamem.streams.async_memory import AsyncMemory
from helamem.streams.home import Home
from helamem.streams.instance import Instance
from helamem.streams.log.sqlite import SqliteLog
from helamem.streams.rebuild import Replayed
from helamem.streams.replay import replay
from helamem.streams.settings_log import apply_settings

START_MS = 1_741_000_000_000
FIRST = Settings(hebbian=HebbianSettings(hub_strength=0.1, hub_degree=2, eta_reinforced=0.05))
SECOND = Settings(hebbian=HebbianSettings(hub_strength=0.1, hub_degree=2, eta_reinforced=0.2, half_life_s=86_400))
ANNA, BERT = "acme/anna", "acme/bert"
SAID = (
    "We bought a blue tent for the trip to Lofoten.",
    "Is it large enough for three?",
    "It sleeps four, and one of its two poles is bent.",
    "The shop in Bergen repairs poles for free.",
    "I love sleeping near the sea.",
    "The ferry to Moskenes leaves next Friday at seven.",
    "Bert has been allergic to nuts since last year.",
    "Noted: no nuts on the trip. 🙂",
)


async def life(memory: AsyncMemory, clock: Iterator[int]) -> None:
    """Live through everything that a log can hold."""
    log = memory.instance.log

    async def say(*events: Any) -> None:
        await log.append([record(one) for one in events])

    messages = [
        message(
            f"m{n}",
            text,
            speaker="Ada" if n == 7 else "Anna",
            role="agent" if n == 7 else "user",
            conversation=f"day{n // 4}",
            time_ms=START_MS + 60_000 * n,
        )
        for n, text in enumerate(SAID)
    ]
    theirs = [message(f"m{n}", SAID[n], space=BERT, speaker="Bert", time_ms=START_MS + n) for n in range(4)]
    await say(forgotten("tombstone", "m3"), *messages[:5], *theirs)
    # A producer's retry, and a message that claims an id that is taken.
    await say(messages[1], message("m2", "It is green.", conversation="day0"), *messages[5:])
    await log.append(
        [NewRecord(topic=CONVERSATIONS.name, key=ANNA.encode(), value=b'{"specversion": "1.0", "id": "torn')]
    )
    await memory.process()
    await say(restored("back", "m3"))
    for query in ("What is wrong with the tent?", "When does the ferry leave?", "What must Bert not eat?"):
        answer = await memory.recall(ANNA, query, k=3, m=1, as_of=START_MS + 3_600_000)
        ids = [hit.result.id for hit in answer.hits if hit.turn][:3]
        await memory.reinforce(answer.recall_id, ids)
        await memory.process()
    await apply_settings(log, SECOND, lambda: next(clock))
    for n in range(3):
        again = reinforced(f"again{n}", ["m0", "m2", "m3", "m5"], time_ms=START_MS + 86_400_000 * (n + 1))
        await say(again, again)
        await memory.process()
    await say(reinforced("again0", ["m6", "m7"]))  # another content under an id that is taken
    await say(reinforced("theirs", ["m0", "m1", "m2"], space=BERT, time_ms=START_MS + 5))
    forged = distilled("forged", "Anna owns a tent.").data
    assert isinstance(forged, KnowledgeDistilled)
    await say(
        distilled("told", "Anna owns a tent.", evidence=["m0"]),
        distilled("wrong", "The ferry leaves at nine.", evidence=["m5"]),
        retracted("undone", "The ferry leaves at nine."),
        event("forged", forged, space=BERT),  # under the id of another space's statement
        forgotten("away", "m1", "m6"),
        restored("home", "m6"),
        forgotten("away", "m1", "m6"),  # late once more
        forgotten("not-theirs", "m0", space=BERT),
    )
    await memory.process()


async def written() -> list[dict[str, Any]]:
    """Return the records of the scripted life, in the order of appending."""
    clock = iter(range(START_MS, START_MS + 10**9))
    numbers = iter(range(1000))
    with directory() as place:
        instance = await Instance.open(place / "home", settings=FIRST, embedder=wordllama(), clock=lambda: next(clock))
        async with AsyncMemory(instance, lambda: next(clock), lambda: f"id{next(numbers)}") as memory:
            await life(memory, clock)
            log = instance.log
            records = [
                one
                for spec in TOPICS
                for at in await log.partitions(spec.name)
                for one in await log.read(at, 0, limit=10_000)
            ]
    records.sort(key=lambda one: one.append_time_ms)  # stable: what was appended together stays in its order
    return [
        {"topic": one.topic, "partition": one.partition, "key": one.key.decode(), "value": one.value.decode()}
        for one in records
    ]


def altered(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the log with one hub as nobody derived it."""
    other = [dict(line) for line in lines]
    for line in other:
        if f'"type":"{HubFormed.event_type}"' in line["value"]:
            hub = orjson.loads(line["value"])
            hub["data"]["strength"] += 1
            line["value"] = orjson.dumps(hub, option=orjson.OPT_SORT_KEYS).decode()
            return other
    raise AssertionError("the life has no hub")


async def put(lines: list[dict[str, Any]], into: Path) -> None:
    """Put records into the log of a new home."""
    clock = iter(range(START_MS, START_MS + 10**9))
    with Home.open(into) as home:
        log = await SqliteLog.open(home.log_path, TOPICS, lambda: next(clock))
        await log.append(
            [
                NewRecord(
                    topic=line["topic"],
                    partition=line["partition"],
                    key=line["key"].encode(),
                    value=line["value"].encode(),
                )
                for line in lines
            ]
        )
        await log.close()


async def replayed(lines: list[dict[str, Any]], place: Path) -> Replayed:
    """Put records into a fresh log, replay it into a fresh store, and return what becomes of them."""
    await put(lines, place / "home")
    return await replay(place / "home", place / "replayed", embedder=wordllama())


def summary(result: Replayed) -> dict[str, Any]:
    """Return what is expected of a golden log."""
    return {
        "digest": result.digest.digest,
        "spaces": {name: one.digest for name, one in result.digest.spaces.items()},
        "counts": {name: one.counts for name, one in result.digest.spaces.items()},
        "records": result.records,
        "dead_letters": result.dead_letters,
        "hubs": result.hubs.recorded,
    }


def load(file: Path) -> list[dict[str, Any]]:
    """Return the lines of a log."""
    return [orjson.loads(line) for line in file.read_bytes().splitlines()]


def save(file: Path, lines: list[dict[str, Any]]) -> None:
    """Write the lines of a log."""
    file.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))


async def regenerate(into: Path) -> None:
    """Write a golden log into a directory that is not there yet."""
    into.mkdir()  # noqa: ASYNC240 - a script with nothing else to do meanwhile
    lines = await written()
    with directory() as place:
        result = await replayed(lines, place)
    save(into / "log.jsonl", lines)
    save(into / "altered.jsonl", altered(lines))
    (into / "expected.json").write_bytes(orjson.dumps(summary(result), option=orjson.OPT_INDENT_2) + b"\n")
    types = sorted({decode(line["value"].encode()).data.event_type for line in lines if "torn" not in line["value"]})
    print(f"{len(lines)} records of {', '.join(types)}")  # noqa: T201 - it is a command


if __name__ == "__main__":
    asyncio.run(regenerate(Path(__file__).parent / sys.argv[1]))
