"""`PumpMeter`: what one pump does, measured from outside, by decorators around its ports and by its callbacks."""

from __future__ import annotations

import base64
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextvars import ContextVar

import numpy as np
from numpy.typing import NDArray

from helamem.processors.coactivation.processor import GROUP as CO_ACTIVATION
from helamem.processors.consolidation.llm.watch import Watch
from helamem.processors.consolidation.processor import GROUP as CONSOLIDATION
from helamem.processors.embedder.port import AsyncEmbedder, Embedder, RemoteEmbedder
from helamem.processors.encoding.processor import GROUP as ENCODING
from helamem.processors.hebbian.decay import CAP
from helamem.processors.hebbian.packing import EDGE_BYTES, unpack_rows
from helamem.processors.port import Batch, Effects, Processor
from helamem.processors.store.port import EdgeRow, MemoryStore
from helamem.schemas.errors import RetryLater
from helamem.schemas.events import ConversationMessage, KnowledgeRetracted, MemoryRecalled, RecordDeadLettered
from helamem.schemas.records import NewRecord, Record, TopicPartition
from helamem.schemas.topics import DEAD_LETTERS, TopicSpec
from helamem.schemas.wire import decode
from helamem.streams.home import wall_clock_ms
from helamem.streams.log.port import Log
from helamem.streams.metrics import catalogue as c
from helamem.streams.metrics.calls import REASONS, reason_of
from helamem.streams.metrics.measured_embedder import MeasuredEmbedder, MeasuredRemoteEmbedder, asked_of
from helamem.streams.metrics.measured_log import MeasuredLog
from helamem.streams.metrics.measured_model import MeasuredModel
from helamem.streams.metrics.measured_store import MeasuredStore
from helamem.streams.metrics.registry import Metrics
from helamem.streams.metrics.unmeasured import Unmeasured
from helamem.streams.pump import Progress

_STORE_CALLS = {"write", "flush", "save-checkpoint"}
_STAGES = ("read", "decode", "process", "store", "commit")
"""Of every processor; encoding embeds too, and the others emit."""
_COUNTED: Mapping[str, c.Metric] = {
    "edges-updated": c.EDGES_UPDATED,
    "edges-created": c.EDGES_CREATED,
    "edges-pruned": c.EDGES_PRUNED,
    "hub-formed": c.HUBS_FORMED,
    "facts-emitted": c.FACTS_EMITTED,
}
"""What processors count that has a metric of its own; all else is an outcome."""
_OWN: Mapping[str, tuple[c.Metric, ...]] = {
    ENCODING: (c.EMBEDDING_TEXTS, c.EMBEDDING_COMPUTED, c.FACTS_RETRACTED),
    CO_ACTIVATION: (
        c.RECALLS,
        c.RECALLS_CHANGED,
        c.EDGES_UPDATED,
        c.EDGES_CREATED,
        c.EDGES_PRUNED,
        c.HUBS_FORMED,
    ),
    CONSOLIDATION: (c.FACTS_EMITTED,),
}
"""Counters that one processor alone has."""
_NONE: NDArray[np.int64] = np.zeros(0, dtype=np.int64)


class _Way:
    """What is known of the batch that a task is at work on."""

    def __init__(self) -> None:
        self.read_at: float | None = None
        self.stages: defaultdict[str, float] = defaultdict(float)
        self.offsets = self.appended_ms = _NONE
        self.batch: Batch | None = None
        self.effects = Effects()
        self.stored_at = 0.0


def meter_of(metrics: Metrics | None, group: str) -> Unmeasured:
    """Return what measures the pump of a group, or leaves it alone where there is nothing to count with."""
    return Unmeasured() if metrics is None else PumpMeter(metrics, group)


class PumpMeter(Unmeasured):
    """Measures one pump; give the pump what its methods return.

    Args:
        metrics: Where it is counted.
        group: The processor's.
        clock: Milliseconds since 1970.
    """

    def __init__(self, metrics: Metrics, group: str, clock: Callable[[], int] = wall_clock_ms) -> None:
        self._metrics = metrics
        self.group = group
        self._clock = clock
        self._under_way: ContextVar[_Way | None] = ContextVar(f"way of {group}", default=None)
        self.oldest_ms: dict[TopicPartition, int] = {}
        """Append time of the first record of the batch under way, by partition."""
        self._dead: set[int] = set()
        self._show_what_may_come()

    def _show_what_may_come(self) -> None:
        """Count nothing, and show it: from no series to one there is no rate, so what comes first would not be seen."""
        for metric in (c.DEAD_LETTERED, c.REDRIVEN, c.RETRIES, c.REBALANCES):
            self._metrics.add(metric, 0, group=self.group)
        for reason in REASONS:
            self._metrics.add(c.FAILED, 0, group=self.group, reason=reason)
        self._metrics.observe(c.BATCH_RECORDS, group=self.group)
        for stage in (*_STAGES, "embed" if self.group == ENCODING else "emit"):
            self._metrics.observe(c.STAGE_SECONDS, group=self.group, stage=stage)
        for metric in _OWN.get(self.group, ()):
            self._metrics.add(metric, 0)
        if self.group == ENCODING:
            self._metrics.observe(c.MODEL_SECONDS)
            for reason in REASONS:
                self._metrics.add(c.MODEL_ERRORS, 0, reason=reason)
            for since in ("event", "append"):
                self._metrics.observe(c.FRESHNESS, since=since)
        if self.group == CO_ACTIVATION:
            for path in ("base", "association", "fact"):
                self._metrics.add(c.RECALL_RESULTS, 0, path=path)
            self._metrics.observe(c.EDGE_DEGREE)
            self._metrics.observe(c.EDGE_WEIGHT)

    def processor(self, processor: Processor) -> Processor:
        """Return the processor, measured."""
        return _Measured(processor, self)

    def store(self, store: MemoryStore) -> MemoryStore:
        """Return the store, measured."""
        return MeasuredStore(store, self._metrics, self._note_store)

    def log(self, log: Log) -> Log:
        """Return the log, measured."""
        return MeasuredLog(log, self._metrics, on_read=self._note_read, on_append=self._note_append)

    def asking(self, embedder: Embedder | AsyncEmbedder) -> Embedder | AsyncEmbedder:
        """Return the embedder that the processor asks, measured."""
        return asked_of(embedder, self._note_asked)

    def distilling(self) -> Watch | None:
        """Return what a distiller that asks a model tells."""
        return MeasuredModel(self._metrics)

    def computing(self, embedder: Embedder) -> Embedder:
        """Return the embedder behind the cache or the record, measured."""

        def note(texts: int, _: float) -> None:
            self._metrics.add(c.EMBEDDING_COMPUTED, texts)

        if isinstance(embedder, RemoteEmbedder):
            return MeasuredRemoteEmbedder(embedder, self._metrics, note)
        return MeasuredEmbedder(embedder, note)

    def noting(self, on_progress: Callable[[Progress], None]) -> Callable[[Progress], None]:
        """Return a callback that counts applied batches and passes them on."""

        def note(progress: Progress) -> None:
            self._note(progress)
            on_progress(progress)

        return note

    def noting_retries(self, on_retry: Callable[[RetryLater], None]) -> Callable[[RetryLater], None]:
        """Return a callback that counts what is tried again and passes it on."""

        def note(error: RetryLater) -> None:
            self._metrics.add(c.RETRIES, group=self.group)
            on_retry(error)

        return note

    def note_assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Count that a group gave this worker its share."""
        self._metrics.add(c.REBALANCES, group=self.group)
        self._metrics.set(c.PARTITIONS_HELD, len(partitions), group=self.group)
        for gone in self.oldest_ms.keys() - set(partitions):
            self.oldest_ms.pop(gone, None)

    def _note(self, progress: Progress) -> None:
        metrics, group, at = self._metrics, self.group, progress.partition
        metrics.add(c.CONSUMED, progress.records, group=group, topic=at.topic, partition=str(at.partition))
        metrics.observe(c.BATCH_RECORDS, progress.records, group=group)
        for name, count in progress.counts.items():
            if name in _COUNTED:
                metrics.add(_COUNTED[name], count)
            elif count:
                metrics.add(c.PROCESSED, count, group=group, outcome=name)
        self.oldest_ms.pop(at, None)
        way = self._under_way.get()
        if way is None or way.batch is None:
            return
        way.stages["commit"] = time.perf_counter() - way.stored_at
        for stage, seconds in way.stages.items():
            metrics.observe(c.STAGE_SECONDS, seconds, group=group, stage=stage)
        self._note_events(way, way.batch)
        self._note_rows(way.effects.writes.edges)
        way.stages.clear()
        way.batch = None

    def put_aside(self, letter: RecordDeadLettered) -> None:
        """Know the value of a dead letter of this group again when it is redriven; a hash of it is enough."""
        self._dead.add(hash(base64.b64decode(letter.value_base64)))

    def began(self, batch: Batch) -> _Way:
        """Note that the processor gets a batch."""
        way = self._way()
        if way.read_at is not None:
            way.stages["decode"] = time.perf_counter() - way.read_at
            way.read_at = None
        way.batch = batch
        return way

    def failed(self, error: Exception) -> None:
        """Note that the processor failed on a batch."""
        self._metrics.add(c.FAILED, group=self.group, reason=reason_of(error))

    def _way(self) -> _Way:
        way = self._under_way.get()
        if way is None:
            way = _Way()
            self._under_way.set(way)
        return way

    def _note_read(self, records: Sequence[Record], seconds: float) -> None:
        if not records or records[0].topic == DEAD_LETTERS.name:
            return
        way = _Way()
        self._under_way.set(way)
        way.stages["read"] = seconds
        way.offsets = np.fromiter((record.offset for record in records), np.int64, len(records))
        way.appended_ms = np.fromiter((record.append_time_ms for record in records), np.int64, len(records))
        self.oldest_ms[TopicPartition(records[0].topic, records[0].partition)] = records[0].append_time_ms
        way.read_at = time.perf_counter()

    def _note_append(self, records: Sequence[NewRecord], seconds: float) -> None:
        self._way().stages["emit"] += seconds
        if dead := sum(record.topic == DEAD_LETTERS.name for record in records):
            self._metrics.add(c.DEAD_LETTERED, dead, group=self.group)
            for record in records:
                if record.topic == DEAD_LETTERS.name and isinstance(
                    letter := decode(record.value).data, RecordDeadLettered
                ):
                    self.put_aside(letter)

    def _note_asked(self, texts: int, seconds: float) -> None:
        self._metrics.add(c.EMBEDDING_TEXTS, texts)
        self._way().stages["embed"] += seconds

    def _note_store(self, call: str, seconds: float) -> None:
        if call in _STORE_CALLS:
            way = self._way()
            way.stages["store"] += seconds
            way.stored_at = time.perf_counter()

    def _note_events(self, way: _Way, batch: Batch) -> None:
        """Count what the events of an applied batch say."""
        metrics, now_ms = self._metrics, self._clock()
        said_ms: list[int] = []
        paths: Counter[str] = Counter()
        recalls = changed = retracted = 0
        for delivery in batch.deliveries:
            data = delivery.event.data
            if isinstance(data, ConversationMessage):
                said_ms.append(delivery.event.time_ms)
            elif isinstance(data, MemoryRecalled):
                recalls += 1
                found = [result.path for result in data.results]
                paths.update(found)
                changed += "association" in found
            elif isinstance(data, KnowledgeRetracted):
                retracted += 1
            if self._dead and (value := hash(delivery.value)) in self._dead:
                self._dead.discard(value)
                metrics.add(c.REDRIVEN, group=self.group)
        if said_ms:
            first, end = batch.deliveries[0].position.offset, batch.end.offset
            appended_ms = way.appended_ms[(way.offsets >= first) & (way.offsets < end)]
            metrics.observe_all(c.FRESHNESS, (now_ms - np.array(said_ms)) / 1000, since="event")
            metrics.observe_all(c.FRESHNESS, (now_ms - appended_ms) / 1000, since="append")
        if recalls:
            metrics.add(c.RECALLS, recalls)
            metrics.add(c.RECALLS_CHANGED, changed)
            for path, count in paths.items():
                metrics.add(c.RECALL_RESULTS, count, path=path)
        if retracted:
            metrics.add(c.FACTS_RETRACTED, retracted)

    def _note_rows(self, rows: Sequence[EdgeRow]) -> None:
        if rows:
            weights = unpack_rows([row.neighbours for row in rows], 1).weights
            self._metrics.observe_all(c.EDGE_DEGREE, [len(row.neighbours) // EDGE_BYTES for row in rows])
            self._metrics.observe_all(c.EDGE_WEIGHT, weights[weights > 0] / CAP)


class _Measured:
    """A processor that tells a meter."""

    def __init__(self, processor: Processor, meter: PumpMeter) -> None:
        self._processor = processor
        self._meter = meter

    @property
    def group(self) -> str:
        return self._processor.group

    @property
    def topics(self) -> tuple[TopicSpec, ...]:
        return self._processor.topics

    async def restore(self, partition: TopicPartition, state: bytes | None) -> None:
        await self._processor.restore(partition, state)

    async def process(self, batch: Batch) -> Effects:
        way = self._meter.began(batch)
        begin = time.perf_counter()
        try:
            way.effects = await self._processor.process(batch)
        except Exception as error:
            self._meter.failed(error)
            raise
        finally:
            way.stages["process"] += time.perf_counter() - begin
        return way.effects
