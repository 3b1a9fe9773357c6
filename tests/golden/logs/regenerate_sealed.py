"""Write a golden log of sealed words anew: `cd tests && python -m golden.logs.regenerate_sealed sealed-v2`.

It is what became of one home in which words were sealed and one data subject was erased; see `regenerate` for what a
golden log is. `keys.json` holds the files of its keys, which open nothing else; those that were destroyed are empty.
`expected.json` says what becomes of the log, and what became of it before the erasure, by the positions of then.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import orjson

from fakes.directories import directory
from fakes.events import event, record
from fakes.subjects import OTHER, SPACE, START, WORDS, erased, lived, opened
from fakes.words import wordllama
from golden.logs.regenerate import load, put, save, summary
from helamem.processors.digest import digest
from helamem.schemas.events import EVERYONE, SubjectErased
from helamem.schemas.ids import memory_id
from helamem.schemas.topics import TOPICS
from helamem.streams.async_memory import AsyncMemory, Message
from helamem.streams.replay import replay


async def life(home: Path) -> dict[str, Any]:
    """Live in a home, erase one of two people there, go on, and return what it was before the erasure."""
    await lived(home, sealed=True)
    async with await AsyncMemory.open(home, embedder=wordllama()) as memory:
        one = [memory_id(SPACE, "m0")]
        await memory.forget(SPACE, one, "to be shown again")
        await memory.restore(SPACE, one, "it was no mistake")
    async with opened(home) as (instance, process):
        assert instance.keys is not None
        keys = tuple(key for subject in ("Tom", EVERYONE) for key in instance.keys.live(SPACE, subject))
        # In another space it names nothing of this one.
        await instance.log.append([record(event("elsewhere", SubjectErased(subject="Tom", keys=keys), space=OTHER))])
        await process()
        before = {
            "digest": (await digest(instance.store)).digest,
            "positions": {str(at): end for at, end in (await instance.ends()).items()},
        }
    await erased(home)
    async with await AsyncMemory.open(home, embedder=wordllama()) as memory:
        await memory.restore(SPACE, one, "too late")
        again = {"space": SPACE, "conversation": "tuesday", "speaker": "Mira", "time": START}
        await memory.append([Message(text=f"{WORDS[0]} was nice, and so is Bergen.", message_id="new", **again)])  # type: ignore[arg-type]
        await memory.process()
    return before


def keys_of(home: Path) -> dict[str, str]:
    """Return the files of the keys of a home, but not that by which processes take turns."""
    files = sorted((home / "keys").iterdir())
    return {file.name: file.read_text("ascii") for file in files if file.name != "lock"}


async def restored(version: Path, home: Path) -> None:
    """Make a home of a golden log and its keys."""
    await put(load(version / "log.jsonl"), home)
    (home / "keys").mkdir(0o700)
    for name, content in orjson.loads((version / "keys.json").read_bytes()).items():
        (home / "keys" / name).touch(0o600)
        (home / "keys" / name).write_text(content, "ascii")


async def regenerate(into: Path) -> None:
    """Write a golden log into a directory that is not there yet."""
    into.mkdir()  # noqa: ASYNC240 - a script with nothing else to do meanwhile
    with directory() as place:
        before = await life(place / "home")
        async with opened(place / "home") as (instance, _):
            records = [
                one
                for spec in TOPICS
                for at in await instance.log.partitions(spec.name)
                for one in await instance.log.read(at, 0, limit=10_000)
            ]
        found = await replay(place / "home", place / "again", embedder=wordllama())
        keys = keys_of(place / "home")
    records.sort(key=lambda one: one.append_time_ms)  # stable: what was appended together stays in its order
    lines = [
        {"topic": one.topic, "partition": one.partition, "key": one.key.decode(), "value": one.value.decode()}
        for one in records
    ]
    save(into / "log.jsonl", lines)
    (into / "keys.json").write_bytes(orjson.dumps(keys, option=orjson.OPT_INDENT_2) + b"\n")
    expected = {"now": summary(found), "before": before}
    (into / "expected.json").write_bytes(orjson.dumps(expected, option=orjson.OPT_INDENT_2) + b"\n")


if __name__ == "__main__":
    asyncio.run(regenerate(Path(__file__).parent / sys.argv[1]))
