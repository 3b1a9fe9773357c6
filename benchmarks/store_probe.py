"""What the embedded store does alone: write rates, read rates and search latencies, as JSON.

Run it on an idle machine: `python benchmarks/store_probe.py [MEMORIES] [SPACES]`, 100,000 in 100 by default.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from helamem.processors.store.edge import EdgeStore
from helamem.processors.store.port import EdgeRow, Mark, Memory, Place, Turn, Writes
from helamem.schemas.ids import memory_id
from helamem.schemas.records import Position

DIMENSION = 256
BATCH = 1000
NEIGHBOURS_BYTES = 32 * 24
CONVERSATION_TURNS = 250
_WORDS = [hashlib.sha256(b"%d" % n).hexdigest()[:7] for n in range(4000)]


def made_memories(count: int, spaces: int) -> list[Memory]:
    """Return memories of 16 words each, a quarter of them frequent, spread evenly over the spaces."""
    numbers = np.random.default_rng(1)
    vectors = numbers.standard_normal((count, DIMENSION), dtype=np.float32)
    drawn = numbers.integers(0, len(_WORDS), (count, 12))
    frequent = numbers.integers(0, 40, (count, 4))
    made = []
    for n in range(count):
        space, turn = f"bench/s{n % spaces}", n // spaces
        text = " ".join(_WORDS[w] for w in (*frequent[n], *drawn[n]))
        made.append(
            Memory(
                turn=Turn(
                    id=memory_id(space, str(turn)),
                    space=space,
                    message_id=str(turn),
                    conversation=f"c{turn // CONVERSATION_TURNS}",
                    turn=turn % CONVERSATION_TURNS,
                    previous=memory_id(space, str(turn - 1)),
                    speaker="Anna",
                    role="user",
                    text=text,
                    time_ms=1_700_000_000_000 + n,
                    keywords=tuple(text.split()[:8]),
                    content_hash="c" * 64,
                    vector_hash="d" * 64,
                    position=Position(1, n),
                ),
                dense=vectors[n],
                lexical=text,
            )
        )
    return made


async def rate(store: EdgeStore, batches: Sequence[Writes], items: int) -> dict[str, float]:
    """Return items a second of some writes, each flushed like the pump does, and the share of flushing."""
    begin, flushing = time.perf_counter(), 0.0
    for batch in batches:
        await store.write(batch)
        before = time.perf_counter()
        await store.flush()
        flushing += time.perf_counter() - before
    took = time.perf_counter() - begin
    return {"per_s": round(items / took), "per_s_without_flush": round(items / (took - flushing))}


async def latency(what: Callable[[int], Awaitable[Any]], times: int) -> dict[str, float]:
    """Return percentiles in milliseconds."""
    took = []
    for n in range(times):
        begin = time.perf_counter()
        await what(n)
        took.append((time.perf_counter() - begin) * 1e3)
    return {f"p{p}_ms": round(float(np.percentile(took[times // 10 :], p)), 3) for p in (50, 95, 99)}


async def reads(store: EdgeStore, memories: Sequence[Memory], spaces: int) -> dict[str, Any]:
    """Measure every read that a recall or a batch needs."""
    drawn = random.Random(2)
    by_space = [memories[s::spaces] for s in range(spaces)]

    def some(count: int) -> tuple[str, list[Memory]]:
        chosen = by_space[drawn.randrange(spaces)]
        return chosen[0].turn.space, drawn.sample(chosen, min(count, len(chosen)))

    async def search(_: int) -> None:
        space, (query,) = some(1)
        await store.search_memories(space, query.dense, query.turn.text, 100)

    async def search_until(_: int) -> None:
        space, (query,) = some(1)
        await store.search_memories(space, query.dense, query.turn.text, 100, until_ms=query.turn.time_ms)

    async def score(_: int) -> None:
        space, seeds = some(20)
        places: set[Place] = {
            (m.turn.conversation, turn) for m in seeds for turn in range(max(0, m.turn.turn - 4), m.turn.turn + 5)
        }
        await store.score_memories(space, seeds[0].dense, seeds[0].turn.text, places=places)

    async def turns(_: int) -> None:
        space, chosen = some(15)
        await store.turns(space, [m.turn.id for m in chosen])

    async def edge_rows(_: int) -> None:
        space, chosen = some(10)
        await store.edge_rows(space, [m.turn.id for m in chosen])

    async def tail(_: int) -> None:
        space, (m,) = some(1)
        await store.conversation_tail(space, m.turn.conversation, Position(9, 0), 2)

    named = (
        ("search 100 + 100", search),
        ("search 100 + 100 until a time", search_until),
        ("score around 20 seeds", score),
        ("turns of 15 ids", turns),
        ("edge rows of 10 ids", edge_rows),
        ("tail of 2", tail),
    )
    return {name: await latency(what, 600) for name, what in named}


async def search_while_writing(store: EdgeStore, memories: Sequence[Memory], spaces: int) -> dict[str, float]:
    """Measure searches while another task inserts 500 memories at a time, half of the time."""
    stopping = asyncio.Event()
    extra = made_memories(10_000, spaces)

    async def write() -> None:
        n = 0
        while not stopping.is_set():
            begin = time.perf_counter()
            part = [extra[(n + i) % len(extra)] for i in range(500)]
            # New ids, so that they are inserted and not ignored.
            fresh = [
                Memory(turn=_renamed(m.turn, f"w{n + i}"), dense=m.dense, lexical=m.lexical) for i, m in enumerate(part)
            ]
            await store.write(Writes(memories=tuple(fresh)))
            n += 500
            await asyncio.sleep(time.perf_counter() - begin)

    writing = asyncio.create_task(write())

    async def search(n: int) -> None:
        m = memories[n * 37 % len(memories)]
        await store.search_memories(m.turn.space, m.dense, m.turn.text, 100)

    try:
        return await latency(search, 600)
    finally:
        stopping.set()
        await writing


def _renamed(turn: Turn, name: str) -> Turn:
    fields = {field: getattr(turn, field) for field in turn.__struct_fields__}
    return Turn(**{**fields, "id": memory_id(turn.space, name), "message_id": name, "conversation": "extra"})


async def probe(count: int, spaces: int) -> dict[str, Any]:
    """Fill a store and measure it."""
    memories = made_memories(count, spaces)
    packed = [random.Random(n).randbytes(NEIGHBOURS_BYTES) for n in range(100)]

    def edges(offset: int, start: int, stop: int) -> Writes:
        """One position in 15 rows, as when every recall touches memories of its own."""
        rows = (
            EdgeRow(
                space=m.turn.space,
                memory_id=m.turn.id,
                position=Position(1, offset + n // 15),
                neighbours=packed[(offset + n) % 100],
            )
            for n, m in enumerate(memories[start:stop])
        )
        return Writes(edges=tuple(rows))

    def slices(limit: int) -> list[tuple[int, int]]:
        return [(start, min(start + BATCH, limit)) for start in range(0, limit, BATCH)]

    with TemporaryDirectory() as directory:
        store = await EdgeStore.open(Path(directory) / "store", dimension=DIMENSION)
        inserts = [Writes(memories=tuple(memories[a:b])) for a, b in slices(count)]
        marks = [
            Mark(
                collection="memories", space=m.turn.space, target=m.turn.id, hidden=n % 2 == 0, position=Position(1, n)
            )
            for n, m in enumerate(memories[: count // 10])
        ]
        result: dict[str, Any] = {"memories": count, "spaces": spaces, "dimension": DIMENSION, "batch": BATCH}
        result["write"] = {
            "memories": await rate(store, inserts, count),
            "edge rows, new": await rate(store, [edges(1000, a, b) for a, b in slices(count)], count),
            "edge rows, replaced": await rate(store, [edges(9000, a, b) for a, b in slices(count)], count),
            "marks": await rate(store, [Writes(marks=tuple(marks[a:b])) for a, b in slices(len(marks))], len(marks)),
        }
        result["read, not optimised"] = await reads(store, memories, spaces)
        begin = time.perf_counter()
        await store.optimize()
        result["optimize_s"] = round(time.perf_counter() - begin, 2)
        result["read, optimised"] = await reads(store, memories, spaces)
        result["search while writing"] = await search_while_writing(store, memories, spaces)
        begin = time.perf_counter()
        result["scanned"] = sum([1 async for _ in store.scan_turns(None)])
        result["scan_per_s"] = round(result["scanned"] / (time.perf_counter() - begin))
        begin = time.perf_counter()
        await store.spaces()
        result["spaces_ms"] = round((time.perf_counter() - begin) * 1e3, 1)
        await store.close()
    return result


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    print(json.dumps(asyncio.run(probe(*(arguments or (100_000, 100)))), indent=2))
