"""A life of the bundled demo in one process, which kills itself at a mark: `python -m fakes.crash_driver HOME`.

The environment variable `HELAMEM_TEST_KILL` holds the mark, `STEP:MOMENT:COUNT` such as `flush:after:3`: at the third
flush, once it is done, the process sends itself SIGKILL. Steps are those of the order of durability, and `update`, one
operation of the store's engine, of which a write has many. Started again on the same home it goes on from what the log
holds; when it comes to its end it prints the digest and what was counted.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

import helamem.streams
from fakes.machine import SETTINGS
from fakes.words import wordllama
from helamem.processors.store.edge import EdgeStore
from helamem.processors.store.edge_writer import EdgeWriter
from helamem.schemas.events import ConversationMessage, MemoryRecalled
from helamem.schemas.ids import memory_id
from helamem.schemas.topics import CONVERSATIONS, RECALLS
from helamem.schemas.wire import Event, decode
from helamem.streams.async_memory import AsyncMemory, Message
from helamem.streams.home import wall_clock_ms
from helamem.streams.instance import Instance
from helamem.streams.log.sqlite import SqliteLog

STEPS: dict[str, tuple[type, str]] = {
    "append": (SqliteLog, "append"),
    "update": (EdgeWriter, "_update"),
    "write": (EdgeStore, "write"),
    "flush": (EdgeStore, "flush"),
    "checkpoint": (EdgeStore, "save_checkpoint"),
    "commit": (SqliteLog, "commit"),
}
DEMO = Path(helamem.streams.__path__[0]) / "demo"
QUESTIONS = 30
BATCH_RECORDS = 60
CHUNK = 70
"""Messages in one append."""


def set_mark(mark: str) -> None:
    """Make a step of this process its last one."""
    step, moment, count = mark.split(":")
    owner, name = STEPS[step]
    real: Callable[..., Any] = getattr(owner, name)
    left = int(count)

    def strike(when: str) -> None:
        nonlocal left
        if when == moment:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    if asyncio.iscoroutinefunction(real):

        async def marked(*args: Any, **options: Any) -> Any:
            strike("before")
            result = await real(*args, **options)
            strike("after")
            return result

        setattr(owner, name, marked)
    else:

        def marked_update(*args: Any, **options: Any) -> Any:
            strike("before")
            result = real(*args, **options)
            strike("after")
            return result

        setattr(owner, name, marked_update)


class Ids:
    """Gives out the ids that it is told to."""

    def __init__(self) -> None:
        self.next = ""

    def __call__(self) -> str:
        return self.next


async def events(memory: AsyncMemory, topic: str) -> dict[str, Event]:
    """Return what a topic holds, by event id; the first counts."""
    found: dict[str, Event] = {}
    log = memory.instance.log
    for at in await log.partitions(topic):
        for record in await log.read(at, 0, limit=100_000):
            event = decode(record.value)
            found.setdefault(event.id, event)
    return found


async def live(home: Path) -> dict[str, Any]:
    """Say what is not yet said, ask what is not yet asked, and return what became of it."""
    instance = await Instance.open(home, settings=SETTINGS, embedder=wordllama())
    for pump in instance._pumps:
        pump._batch_records = BATCH_RECORDS
    ids = Ids()
    async with AsyncMemory(instance, wall_clock_ms, ids) as memory:
        said = {
            (event.space, event.data.message_id)
            for event in (await events(memory, CONVERSATIONS.name)).values()
            if isinstance(event.data, ConversationMessage)
        }
        lines = [orjson.loads(line) for line in (DEMO / "conversation.jsonl").read_bytes().splitlines()]
        missing = [line for line in lines if (line["space"], line["message_id"]) not in said]
        for start in range(0, len(missing), CHUNK):
            await memory.append(
                [
                    Message(**{**line, "time": datetime.fromisoformat(line["time"])})
                    for line in missing[start : start + CHUNK]
                ]
            )
            await memory.process()
        await memory.process()
        asked = await events(memory, RECALLS.name)
        for number, question in enumerate(
            orjson.loads((DEMO / "questions.json").read_bytes())["questions"][:QUESTIONS]
        ):
            await _ask(memory, ids, f"{number}", question, asked)
        digest = await memory.digest()
        return {
            "digest": digest.digest,
            "memories": sum(one.counts["memories"] for one in digest.spaces.values()),
            "edges": sum(one.counts["edges"] for one in digest.spaces.values()),
            "facts": sum(one.counts["facts"] for one in digest.spaces.values()),
        }


async def _ask(memory: AsyncMemory, ids: Ids, number: str, question: dict[str, Any], asked: dict[str, Event]) -> None:
    space = question["space"]
    recorded = asked.get(f"recall-{number}")
    if recorded is None:
        ids.next = f"recall-{number}"
        answer = await memory.recall(space, question["query"], as_of=datetime.fromisoformat(question["at"]))
        returned = {hit.result.id for hit in answer.hits}
    else:
        assert isinstance(recorded.data, MemoryRecalled)
        returned = {result.id for result in recorded.data.results}
    used = [id_ for id_ in (memory_id(space, name) for name in question["used"]) if id_ in returned]
    if used and f"reinforced-{number}" not in asked:
        ids.next = f"reinforced-{number}"
        await memory.reinforce(f"recall-{number}", used, space=space)
    await memory.process()


def main() -> None:
    """Live in the home that the command line names."""
    if mark := os.environ.get("HELAMEM_TEST_KILL"):
        set_mark(mark)
    print(orjson.dumps(asyncio.run(live(Path(sys.argv[1])))).decode())  # noqa: T201 - this is what the test reads


if __name__ == "__main__":
    main()
