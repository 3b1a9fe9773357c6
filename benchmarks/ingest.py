"""From the log to searchable: the whole instance, beside the same embedder and the same store in a tight loop."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self
from unittest.mock import patch

from benchmarks.conversations import chunks, lexical, memory, messages, turn_of
from benchmarks.timing import medians, significant
from msgspec import Struct

from helamem.processors.embedder.port import Embedder
from helamem.processors.embedder.wordllama import WordLlamaEmbedder
from helamem.processors.store.edge import EdgeStore
from helamem.processors.store.port import Turn, Writes
from helamem.streams.async_memory import AsyncMemory, Message

APPEND = 1000
"""Messages in one append."""
BATCH = 1000
"""Messages that the product embeds, writes and flushes together."""


class Sizes(Struct, frozen=True, kw_only=True):
    """How much is measured."""

    messages: int = 20_000
    rounds: int = 5


FULL = Sizes()
QUICK = Sizes(messages=2_000, rounds=1)


class NoCache:
    """Stands in for the cache of embeddings and keeps nothing."""

    def __init__(self, embedder: Embedder, path: Path) -> None:
        self._embedder = embedder
        self.path = path

    def __enter__(self) -> Embedder:
        return self._embedder

    def __exit__(self, *_: object) -> None:
        """Release nothing."""


class Searchable:
    """Notes when the last batch was applied: what comes after, such as optimising, nobody waits for."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self, _: object) -> None:
        """Note the time."""
        self.at = time.perf_counter()

    @classmethod
    async def process(cls, instance: AsyncMemory) -> Self:
        """Process the log and return when all of it was searchable."""
        searchable = cls()
        await instance.process(searchable)
        return searchable


async def product(home: Path, said: Sequence[Message], embedder: Embedder) -> dict[str, float]:
    """Append and process messages in a new home; return messages a second, and where the time went."""
    async with await AsyncMemory.open(home, embedder=embedder) as opened:
        begin = time.perf_counter()
        for chunk in chunks(said, APPEND):
            await opened.append(chunk)
        appended = time.perf_counter()
        searchable = await Searchable.process(opened)
        rested = time.perf_counter()
        assert opened.instance.counts["encoded"] == len(said)
    return {
        "messages_per_s": len(said) / (searchable.at - begin),
        "append_s": appended - begin,
        "process_s": searchable.at - appended,
        "optimize_after_s": rested - searchable.at,
    }


async def product_without_cache(home: Path, said: Sequence[Message], embedder: Embedder) -> dict[str, float]:
    """Do the same without keeping the embeddings for a replay."""
    with patch("helamem.streams.effects.vectors.EmbeddingCache", NoCache):
        return await product(home, said, embedder)


async def ceiling(home: Path, turns: Sequence[Turn], embedder: Embedder) -> dict[str, float]:
    """Embed and write turns that were made before: no log, no checkpoint, a flush after every batch."""
    store = await EdgeStore.open(home, dimension=embedder.dimension)
    texts = [lexical(turn) for turn in turns]
    embedding = flushing = 0.0
    begin = time.perf_counter()
    for start in range(0, len(turns), BATCH):
        words = texts[start : start + BATCH]
        before = time.perf_counter()
        vectors = embedder.embed(words)
        embedding += time.perf_counter() - before
        made = map(memory, turns[start : start + BATCH], words, vectors)
        await store.write(Writes(memories=tuple(made)))
        before = time.perf_counter()
        await store.flush()
        flushing += time.perf_counter() - before
    took = time.perf_counter() - begin
    await store.close()
    return {
        "messages_per_s": len(turns) / took,
        "embed_s": embedding,
        "write_s": took - embedding - flushing,
        "flush_s": flushing,
    }


async def measure(sizes: Sizes) -> dict[str, Any]:
    """Run product and ceiling in turn, several times."""
    said = messages(sizes.messages)
    turns = [turn_of(number, one) for number, one in enumerate(said)]
    embedder = WordLlamaEmbedder()
    embedder.embed([one.text for one in said[:BATCH]])
    ways: dict[str, Callable[[Path], Awaitable[dict[str, float]]]] = {
        "product": lambda home: product(home, said, embedder),
        "ceiling": lambda home: ceiling(home, turns, embedder),
        "without_cache": lambda home: product_without_cache(home, said, embedder),
    }
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for number in range(sizes.rounds):
        for name in sorted(ways, key=lambda name: (list(ways).index(name) + number) % len(ways)):
            gc.collect()
            with TemporaryDirectory() as directory:
                rounds[name].append(await ways[name](Path(directory) / "home"))
    ratios = [
        {
            "product": one["messages_per_s"] / most["messages_per_s"],
            "without_cache": bare["messages_per_s"] / most["messages_per_s"],
        }
        for one, most, bare in zip(rounds["product"], rounds["ceiling"], rounds["without_cache"], strict=True)
    ]
    return {
        **{name: medians(figures) for name, figures in rounds.items()},
        "ratio_to_ceiling": medians(ratios),
        "ratios": [significant(one["product"]) for one in ratios],
        "target": {"ratio_to_ceiling": 0.6},
    }


def run(*, quick: bool) -> dict[str, Any]:
    """Return the figures."""
    return asyncio.run(measure(QUICK if quick else FULL))
