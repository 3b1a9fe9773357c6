"""What measuring costs: the same ingest with metrics that are scraped and without, in pairs, in turn."""

from __future__ import annotations

import asyncio
import gc
import time
import urllib.request
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from benchmarks.conversations import chunks, messages
from benchmarks.timing import significant
from msgspec import Struct

from helamem.processors.embedder.port import Embedder
from helamem.processors.embedder.wordllama import WordLlamaEmbedder
from helamem.streams.async_memory import AsyncMemory, Message
from helamem.streams.metrics import Metrics, exposed

APPEND = 1000
"""Messages in one append."""
SCRAPE_S = 1.0
"""Prometheus asks every 15 seconds by default; more often costs more."""


class Sizes(Struct, frozen=True, kw_only=True):
    """How much is measured."""

    messages: int = 10_000
    pairs: int = 20


FULL = Sizes()
QUICK = Sizes(messages=1_000, pairs=2)


class Took(Struct, frozen=True):
    """How long one ingest took."""

    wall_s: float
    processor_s: float


async def ingest(home: Path, said: Sequence[Message], embedder: Embedder, *, measured: bool) -> Took:
    """Append and process messages in a new home."""
    async with AsyncExitStack() as stack:
        metrics = None
        if measured:
            metrics = Metrics()
            health = await stack.enter_async_context(exposed(metrics, 0))
            scraping = asyncio.create_task(_scrape(f"http://{health.address}/metrics"))
            stack.callback(scraping.cancel)
        opened = await stack.enter_async_context(await AsyncMemory.open(home, embedder=embedder, metrics=metrics))
        wall, processor = time.perf_counter(), time.process_time()
        for chunk in chunks(said, APPEND):
            await opened.append(chunk)
        await opened.process()
        took = Took(time.perf_counter() - wall, time.process_time() - processor)
        assert opened.instance.counts["encoded"] == len(said)
    return took


async def measure(sizes: Sizes) -> dict[str, Any]:
    """Run pairs; which of the two comes first changes from pair to pair."""
    said = messages(sizes.messages)
    embedder = WordLlamaEmbedder()
    pairs: list[dict[bool, Took]] = []
    for number in range(-1, sizes.pairs):  # the first pair warms up and does not count
        took = {}
        for measured in (True, False) if number % 2 else (False, True):
            gc.collect()
            with TemporaryDirectory() as directory:
                took[measured] = await ingest(Path(directory) / "home", said, embedder, measured=measured)
        pairs.append(took)
    wall = [pair[True].wall_s / pair[False].wall_s - 1 for pair in pairs[1:]]
    processor = [pair[True].processor_s / pair[False].processor_s - 1 for pair in pairs[1:]]
    return {
        "messages": sizes.messages,
        "pairs": sizes.pairs,
        "without_messages_per_s": significant(sizes.messages / median(pair[False].wall_s for pair in pairs[1:])),
        "time_more": _spread(wall),
        "processor_time_more": _spread(processor),
        "target": {"time_more": 0.03},
    }


def _spread(shares: Sequence[float]) -> dict[str, float]:
    """Return the median of some shares, and between what half of them lie."""
    low, middle, high = np.percentile(shares, [25, 50, 75])
    return {"median": significant(middle), "from": significant(low), "to": significant(high)}


async def _scrape(url: str) -> None:
    def read() -> None:
        with suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own address
            answer.read()

    while True:
        await asyncio.to_thread(read)
        await asyncio.sleep(SCRAPE_S)


def run(*, quick: bool) -> dict[str, Any]:
    """Return the figures."""
    return asyncio.run(measure(QUICK if quick else FULL))
