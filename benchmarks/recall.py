"""Latency of recalls at rest and while messages come in, beside one bare hybrid query of the engine."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.conversations import BEGIN, SPACES, chunks, messages, space
from benchmarks.ingest import APPEND, Searchable
from benchmarks.texts import Texts
from benchmarks.timing import Spans, percentiles, significant
from msgspec import Struct
from qdrant_edge import (
    FieldCondition,
    Filter,
    Fusion,
    IdfParams,
    MatchValue,
    Prefetch,
    Query,
    QueryRequest,
    SearchParams,
)

from helamem.processors.embedder.wordllama import WordLlamaEmbedder
from helamem.processors.hebbian.packing import Edge, pack
from helamem.processors.store.edge import EdgeStore
from helamem.processors.store.edge_shards import DENSE, LEXICAL
from helamem.processors.store.lexical import Lexical
from helamem.processors.store.payload import SPACE
from helamem.processors.store.port import EdgeRow, Fact, FactRecord, Writes
from helamem.schemas.events import RecallSettings
from helamem.schemas.ids import fact_id, id_bytes, memory_id
from helamem.schemas.records import Position
from helamem.schemas.times import to_ms
from helamem.streams.async_memory import AsyncMemory

NEIGHBOURS = 32
FACTS_PER_SPACE = 10
CANDIDATES = 100
"""What recall asks of either list; the bare query fuses as many."""
NOW_MS = to_ms(BEGIN) + 90 * 86_400_000
_STORE = ("search_memories", "edge_rows", "score_memories", "turns", "search_facts", "facts")


class Sizes(Struct, frozen=True, kw_only=True):
    """How much is measured."""

    memories: tuple[int, ...] = (10_000, 100_000)
    recalls: int = 2000
    recorded: int = 500
    recalls_per_s: float = 25.0
    """At most, while messages come in."""
    ingesting_s: float = 40.0


FULL = Sizes()
QUICK = Sizes(memories=(1000, 2000), recalls=20, recorded=5, ingesting_s=2.0)


class Questions:
    """Questions to spaces in random order, with the memories that a space has."""

    def __init__(self, seed: int) -> None:
        self._drawn = random.Random(seed)
        self._texts = Texts()

    def next(self) -> tuple[str, str]:
        """Return a space and a question."""
        return space(self._drawn.randrange(SPACES)), self._texts.question(self._drawn.randrange(1000))


class Bare:
    """One hybrid query of the engine: both lists fused by rank, the first ten without their payload.

    Args:
        store: Whose shard is asked.
        embedder: For the query, before the clock starts.
    """

    def __init__(self, store: EdgeStore, embedder: WordLlamaEmbedder) -> None:
        self._shard = store._shards.memories  # noqa: SLF001 - the ceiling is what lies under the store
        self._embedder = embedder
        self._lexical = Lexical("english")

    def prepare(self, where: str, question: str) -> Callable[[], object]:
        """Return the query, ready to be asked."""
        within = Filter(must=[FieldCondition(key=SPACE, match=MatchValue(value=where))])
        dense = self._embedder.embed([question])[0].tolist()
        words = self._lexical.query(question)
        idf = SearchParams(idf=IdfParams(corpus=within))
        request = QueryRequest(
            limit=10,
            query=Fusion.Rrf(60),  # type: ignore[arg-type]  # the stub forgets that it is a Fusion
            prefetches=[
                Prefetch(limit=CANDIDATES, query=Query.Nearest(dense, using=DENSE), filter=within),
                Prefetch(limit=CANDIDATES, query=Query.Nearest(words, using=LEXICAL), filter=within, params=idf),
            ],
            with_payload=False,
        )
        return lambda: self._shard.query(request)


async def learn(opened: AsyncMemory, memories: int) -> None:
    """Give every memory a full list of neighbours, and every space some facts, as if long in use."""
    drawn = random.Random(1)
    per_space = memories // SPACES
    for s in range(SPACES):
        name = space(s)
        ids = [memory_id(name, str(n)) for n in range(per_space)]
        raw = [id_bytes(id_) for id_ in ids]

        def row(own: int, raw: list[bytes] = raw) -> bytes:
            others = drawn.sample([n for n in range(len(raw)) if n != own], min(NEIGHBOURS, len(raw) - 1))
            return pack(Edge(raw[n], drawn.randrange(1 << 22, 1 << 28), to_ms(BEGIN)) for n in others)

        rows = [
            EdgeRow(space=name, memory_id=id_, position=Position(1, 0), neighbours=row(n)) for n, id_ in enumerate(ids)
        ]
        await opened.instance.store.write(Writes(edges=tuple(rows), facts=tuple(facts(opened, name, s, ids))))
    await opened.instance.store.flush()


def facts(opened: AsyncMemory, name: str, s: int, ids: list[str]) -> list[Fact]:
    """Return some facts of a space."""
    texts = [Texts().message(500_000 + s * FACTS_PER_SPACE + n) for n in range(FACTS_PER_SPACE)]
    vectors = opened.instance.embedder.embed(texts)
    return [
        Fact(
            record=FactRecord(
                id=fact_id(name, "fact", text),
                space=name,
                kind="fact",
                text=text,
                subject="Mira",
                valid_from_ms=to_ms(BEGIN),
                evidence=tuple(ids[:3]),
                evidence_hashes=("0" * 64,) * 3,
                hub=ids[0],
                distiller="bench",
                vector_hash="0" * 64,
                position=Position(1, n),
            ),
            dense=vector,
            lexical=text,
        )
        for n, (text, vector) in enumerate(zip(texts, vectors, strict=True))
    ]


class Measured:
    """Recalls and bare queries of one opened home, in turn."""

    def __init__(self, opened: AsyncMemory) -> None:
        embedder = WordLlamaEmbedder()
        self._opened = opened
        self._bare = Bare(opened.instance.store, embedder)
        self._recall = opened._recall  # noqa: SLF001 - the library's own, so that both ways of asking find it as warm
        self._settings = RecallSettings()
        self._questions = Questions(2)
        self._spans = Spans()
        self._spans.watch(opened.instance.store, *_STORE)

    async def answer(self, times: int, *, pause_s: float = 0.0, until: asyncio.Event | None = None) -> dict[str, Any]:
        """Answer questions without recording them, a bare query and a pause before each."""
        took: list[float] = []
        bare: list[float] = []
        embedding: list[float] = []
        self._spans.clear()
        loop = asyncio.get_running_loop()
        for _ in range(times):
            if until is not None and until.is_set():
                break
            query = self._bare.prepare(*self._questions.next())
            begin = time.perf_counter()
            await loop.run_in_executor(None, query)
            bare.append((time.perf_counter() - begin) * 1e3)
            where, question = self._questions.next()
            due = time.perf_counter()
            if pause_s:
                due += pause_s
                await asyncio.sleep(pause_s)
            await self._recall.recall(where, question, self._settings, NOW_MS)
            took.append((time.perf_counter() - due) * 1e3)  # whoever asks also waits for the event loop
            begin = time.perf_counter()
            self._opened.instance.embedder.embed([question])
            embedding.append((time.perf_counter() - begin) * 1e3)
        recall_ms, bare_ms = percentiles(took), percentiles(bare)
        return {
            "recall_ms": recall_ms,
            "bare_hybrid_query_ms": bare_ms,
            "times_the_bare_query": {p: significant(recall_ms[p] / bare_ms[p]) for p in ("p50", "p99")},
            "stages_ms": {"embed": percentiles(embedding), **self._spans.report()},
        }

    async def recorded(self, times: int) -> dict[str, float]:
        """Answer as the library does: with the event in the log, durable before the answer is given."""
        took = []
        for _ in range(times):
            where, question = self._questions.next()
            begin = time.perf_counter()
            await self._opened.recall(where, question, as_of=NOW_MS)
            took.append((time.perf_counter() - begin) * 1e3)
        return percentiles(took)


async def while_ingesting(
    opened: AsyncMemory, measured: Measured, start: int, per_s: float, sizes: Sizes
) -> dict[str, Any]:
    """Recall while messages are appended at a steady rate and processed in the same process."""
    said = messages(max(APPEND, int(per_s * sizes.ingesting_s)), start=start)
    size = max(1, int(per_s / 20))
    over = asyncio.Event()
    before = opened.instance.counts["encoded"]

    async def feed() -> None:
        begin = time.perf_counter()
        for number, chunk in enumerate(chunks(said, size)):
            await opened.append(chunk)
            await asyncio.sleep(max(0.0, begin + (number + 1) * size / per_s - time.perf_counter()))
        over.set()

    following = asyncio.create_task(opened.run())
    feeding = asyncio.create_task(feed())
    begin = time.perf_counter()
    result = await measured.answer(10**9, pause_s=1 / sizes.recalls_per_s, until=over)
    took = time.perf_counter() - begin
    encoded = opened.instance.counts["encoded"] - before
    await feeding
    opened.stop()
    await following
    return {
        "wanted_messages_per_s": significant(per_s),
        "searchable_messages_per_s": significant(encoded / took),
        **result,
    }


async def at_size(memories: int, sizes: Sizes, *, ingesting: bool) -> dict[str, Any]:
    """Build a home of so many memories and measure it."""
    with TemporaryDirectory() as directory:
        async with await AsyncMemory.open(Path(directory) / "home") as opened:
            said = messages(memories)
            begin = time.perf_counter()
            for chunk in chunks(said, APPEND):
                await opened.append(chunk)
            per_s = memories / ((await Searchable.process(opened)).at - begin)
            del said
            await learn(opened, memories)
            begin = time.perf_counter()
            await opened.instance.store.optimize()
            optimize_s = time.perf_counter() - begin
            gc.collect()
            measured = Measured(opened)
            await measured.answer(sizes.recalls)  # what was asked before is in the caches, as after some use
            result = {
                "memories": memories,
                "ingest_messages_per_s": significant(per_s),
                "optimize_s": significant(optimize_s),
                "idle": await measured.answer(sizes.recalls),
                "idle_and_recorded_ms": await measured.recorded(sizes.recorded),
            }
            if ingesting:
                result["while_ingesting"] = await while_ingesting(opened, measured, memories, per_s / 2, sizes)
    return result


async def measure(sizes: Sizes) -> dict[str, Any]:
    """Measure every size; the largest also while messages come in."""
    return {
        "spaces": SPACES,
        "neighbours": NEIGHBOURS,
        "facts_per_space": FACTS_PER_SPACE,
        "settings": {"k": RecallSettings().k, "m": RecallSettings().m, "facts": RecallSettings().facts},
        "sizes": [
            await at_size(memories, sizes, ingesting=memories == max(sizes.memories)) for memories in sizes.memories
        ],
        "target": {"recall_ms": {"idle": {"p50": 3, "p99": 10}, "while_ingesting": {"p99": 40}}},
    }


def run(*, quick: bool) -> dict[str, Any]:
    """Return the figures."""
    return asyncio.run(measure(QUICK if quick else FULL))
