"""Rebuilding a projection from the log with recorded embeddings, beside the ingestion of the same log."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.conversations import SPACES, chunks, messages
from benchmarks.ingest import APPEND, BATCH, Searchable
from benchmarks.recalls import Drawn
from benchmarks.timing import medians, significant
from msgspec import Struct

from helamem.processors.embedder.port import Embedder
from helamem.processors.embedder.wordllama import WordLlamaEmbedder
from helamem.schemas.records import NewRecord
from helamem.streams.async_memory import AsyncMemory, Message
from helamem.streams.replay import replay


class Sizes(Struct, frozen=True, kw_only=True):
    """How much is measured."""

    messages: int = 40_000
    recalls: int = 4_000
    rounds: int = 5


FULL = Sizes()
QUICK = Sizes(messages=2_000, recalls=200, rounds=1)


async def ingest(
    home: Path, said: Sequence[Message], recalls: Sequence[NewRecord], embedder: Embedder
) -> tuple[dict[str, float], str]:
    """Append and process everything in a new home; return seconds and the digest. Making the home counts, as there."""
    begin = time.perf_counter()
    async with await AsyncMemory.open(home, embedder=embedder) as opened:
        for chunk in chunks(said, APPEND):
            await opened.append(chunk)
        for part in chunks(recalls, APPEND):
            await opened.instance.log.append(part)
        searchable = await Searchable.process(opened)
        rested = time.perf_counter()
        digest = (await opened.digest()).digest
    return {"applied_s": searchable.at - begin, "whole_s": rested - begin}, digest


async def rebuild(home: Path, into: Path, embedder: Embedder) -> tuple[dict[str, float], str]:
    """Replay a home into a new one; return seconds and the digest."""
    applied = 0.0

    def note(_done: int, _total: int) -> None:
        nonlocal applied
        applied = time.perf_counter()

    begin = time.perf_counter()
    replayed = await replay(home, into, embedder=embedder, on_progress=note)
    whole = time.perf_counter() - begin
    return {"applied_s": applied - begin, "whole_s": whole}, replayed.digest.digest


async def compare(sizes: Sizes, recalls: Sequence[NewRecord], said: Sequence[Message]) -> dict[str, Any]:
    """Ingest and replay one log in turn, several times."""
    embedder = WordLlamaEmbedder()
    embedder.embed([one.text for one in said[:BATCH]])
    events = len(said) + len(recalls)
    rounds: dict[str, list[dict[str, float]]] = {"ingest": [], "replay": []}
    for _ in range(sizes.rounds):
        with TemporaryDirectory() as directory:
            home = Path(directory) / "home"
            gc.collect()
            live, digest = await ingest(home, said, recalls, embedder)
            gc.collect()
            again, digest_again = await rebuild(home, Path(directory) / "again", embedder)
        assert digest == digest_again
        for name, took in (("ingest", live), ("replay", again)):
            rounds[name].append({"events_per_s": events / took["applied_s"], **took})
    ratios = [
        {
            "applied": again["events_per_s"] / live["events_per_s"],
            "whole": live["whole_s"] / again["whole_s"],
        }
        for live, again in zip(rounds["ingest"], rounds["replay"], strict=True)
    ]
    return {
        "events": events,
        **{name: medians(figures) for name, figures in rounds.items()},
        "ratio_to_ingest": medians(ratios),
        "ratios": [significant(one["applied"]) for one in ratios],
    }


async def measure(sizes: Sizes) -> dict[str, Any]:
    """Compare messages alone, and messages with recalls."""
    said = messages(sizes.messages)
    recalls = [*Drawn(max(1, sizes.messages // SPACES)).records(sizes.recalls)]
    return {
        "messages": await compare(sizes, (), said),
        "messages_and_recalls": await compare(sizes, recalls, said),
        "target": {"messages": {"ratio_to_ingest": 2.0}},
    }


def run(*, quick: bool) -> dict[str, Any]:
    """Return the figures."""
    return asyncio.run(measure(QUICK if quick else FULL))
