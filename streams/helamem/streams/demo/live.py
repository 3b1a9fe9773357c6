"""The demo on the fleet: its conversations are held again and again, and its questions asked."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from importlib.resources import files
from typing import Any

import orjson

from helamem.processors.coactivation.reinforcing import reinforcement
from helamem.processors.embedder.port import Embedder
from helamem.processors.recall.recall import Recall
from helamem.processors.reranker.port import Reranker
from helamem.processors.store.port import MemoryStore
from helamem.schemas.errors import RetryLater
from helamem.schemas.events import EventData, MemoryRecalled, RecallSettings
from helamem.schemas.ids import memory_id
from helamem.schemas.settings import Settings
from helamem.schemas.times import format_ms
from helamem.schemas.wire import Event
from helamem.streams.backoff import Backoff, Stopped, until_done
from helamem.streams.home import wall_clock_ms
from helamem.streams.ingest.incoming import message_event, record_of
from helamem.streams.log.port import Log
from helamem.streams.metrics.measured_log import MeasuredLog
from helamem.streams.metrics.recalling import RecallMeter
from helamem.streams.metrics.registry import Metrics

SOURCE = "helamem/demo"
ASKED_AFTER = 20
"""Messages between the last one that a question is about and the question."""


class LivePlayer:
    """Talks and asks as agents of a platform would, at an even pace.

    Each round has spaces of its own, `demo/ada-ROUND` and `demo/otto-ROUND`, so that it begins with empty memories.

    Args:
        log: Takes messages, recalls and what was of use.
        store: What recalls read.
        embedder: The one of the log's settings.
        settings: In force in the log.
        interval_s: Between two messages or questions.
        metrics: Where recalls and appends are counted, or None.
        on_retry: Told what is away and will be tried again.
        reranker: Puts recalled memories in order, or None.
        clock: Milliseconds since 1970.
    """

    def __init__(
        self,
        log: Log,
        store: MemoryStore,
        embedder: Embedder,
        settings: Settings,
        *,
        interval_s: float,
        metrics: Metrics | None = None,
        on_retry: Callable[[RetryLater], None] = lambda error: None,
        reranker: Reranker | None = None,
        clock: Callable[[], int] = wall_clock_ms,
    ) -> None:
        meter = None if metrics is None else RecallMeter(metrics)
        self._log = log if metrics is None else MeasuredLog(log, metrics)
        self._store = store
        self._recall = Recall(
            store if meter is None else meter.store(store),
            embedder if meter is None else meter.embedder(embedder),
            settings.hebbian,
            reranker=reranker,
        )
        self._measured = nullcontext if meter is None else meter.recall
        self._interval_s = interval_s
        self._on_retry = on_retry
        self._clock = clock
        self.counts: Counter[str] = Counter(messages=0, recalls=0, reinforced=0)

    async def play(self, stopping: asyncio.Event) -> None:
        """Play one round after another until `stopping`; what is away is waited for."""
        while True:
            name = f"{self._clock():x}"
            for step in steps():
                if stopping.is_set():
                    return
                try:
                    await until_done(
                        partial(self._take, step, name),
                        backoff=Backoff(),
                        stopping=stopping,
                        on_retry=self._on_retry,
                    )
                    await asyncio.wait_for(stopping.wait(), self._interval_s)
                except TimeoutError:
                    continue
                except Stopped:
                    return

    async def _take(self, step: dict[str, Any], name: str) -> None:
        space = f"{step['space']}-{name}"
        if "query" in step:
            await self._ask(space, step)
        else:
            said = {key: step[key] for key in ("conversation", "message_id", "speaker", "role", "text")}
            await self._log.append([record_of(message_event(space, format_ms(self._clock()), said))])
            self.counts["messages"] += 1

    async def _ask(self, space: str, question: dict[str, Any]) -> None:
        now_ms, settings = self._clock(), RecallSettings()
        with self._measured():
            hits = await self._recall.recall(space, question["query"], settings, now_ms)
            results = tuple(hit.result for hit in hits)
            applied = {
                str(partition): checkpoint.position.offset
                for group in ("encoding", "co-activation")
                for partition, checkpoint in (await self._store.load_checkpoints(group)).items()
            }
            recalled = MemoryRecalled(
                query=question["query"], as_of=now_ms, results=results, settings=settings, applied=applied
            )
            recall_id = await self._append(space, now_ms, recalled)
        self.counts["recalls"] += 1
        used = {memory_id(space, message_id) for message_id in question["used"]}
        if found := tuple(result.id for result in results if result.id in used):
            await self._append(space, now_ms, reinforcement(recall_id, recalled, found))
            self.counts["reinforced"] += 1

    async def _append(self, space: str, time_ms: int, data: EventData) -> str:
        event = Event(id=str(uuid.uuid4()), source=SOURCE, space=space, time_ms=time_ms, data=data)
        await self._log.append([record_of(event)])
        return event.id


def steps() -> Iterator[dict[str, Any]]:
    """Yield the bundled messages and questions in the order of a round; a question has a `query`."""
    folder = files("helamem.streams.demo")
    messages = [orjson.loads(line) for line in folder.joinpath("conversation.jsonl").read_bytes().splitlines()]
    numbers = {message["message_id"]: number for number, message in enumerate(messages)}
    due: dict[int, list[dict[str, Any]]] = {}
    for question in orjson.loads(folder.joinpath("questions.json").read_bytes())["questions"]:
        last = max(numbers[message_id] for message_id in question["used"]) + ASKED_AFTER
        due.setdefault(min(last, len(messages) - 1), []).append(question)
    for number, message in enumerate(messages):
        yield message
        yield from due.get(number, ())
