"""`PumpTracer`: what one pump does, as spans: one for each batch, and one in the trace of each record of it.

A batch holds records of many traces, so its span begins a trace of its own and has a link to each. In a record's own
trace stands a span for what became of it, with a link to the batch.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextvars import ContextVar

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Tracer, set_span_in_context

from helamem.processors.embedder.port import AsyncEmbedder, Embedder
from helamem.processors.port import Batch, Effects, Processor
from helamem.processors.store.port import MemoryStore
from helamem.schemas.events import HubFormed
from helamem.schemas.ids import space_hash
from helamem.schemas.records import NewRecord, TopicPartition
from helamem.schemas.topics import TopicSpec
from helamem.schemas.traceparent import caused, parse
from helamem.schemas.wire import Event
from helamem.streams.log.port import Log
from helamem.streams.metrics.measured_embedder import asked_of
from helamem.streams.metrics.measured_log import MeasuredLog
from helamem.streams.metrics.measured_store import MeasuredStore
from helamem.streams.metrics.unmeasured import Uncounted, Unmeasured
from helamem.streams.pump import Progress
from helamem.streams.tracing.spans import Labels, below, failed, links_to, numbered, recorded

_STORED = {"write": "store", "flush": "flush", "save-checkpoint": "checkpoint"}
_OPERATIONS: Mapping[str, str] = {"encoding": "encode", "co-activation": "fold", "consolidation": "distil"}


class _Work:
    """The batch that a task is at work on."""

    def __init__(self, batch: Batch, span: Span) -> None:
        self.batch = batch
        self.span = span
        self.began_ns = time.time_ns()
        self.effects = Effects()


class PumpTracer(Unmeasured):
    """Traces one pump; give the pump what its methods return, as with a `PumpMeter`.

    Args:
        tracer: Makes the spans.
        system: Which log it works on.
        group: The processor's.
        sealed_tenants: Whose words are sealed: what a distilled fact is called here is a hash of them without a key,
            so its span has neither that id nor the number that follows from it.
    """

    def __init__(self, tracer: Tracer, system: str, group: str, sealed_tenants: Collection[str] = ()) -> None:
        self._sealed_tenants = sealed_tenants
        self._tracer = tracer
        self._system = system
        self._group = group
        self._operation = _OPERATIONS.get(group, group)
        self._under_way: ContextVar[_Work | None] = ContextVar(f"batch of {group}", default=None)

    def processor(self, processor: Processor) -> Processor:
        """Return the processor, traced."""
        return _Traced(processor, self)

    def store(self, store: MemoryStore) -> MemoryStore:
        """Return the store, traced."""
        return MeasuredStore(store, Uncounted(), self._stored)

    def log(self, log: Log) -> Log:
        """Return the log, traced where outputs are appended."""
        return MeasuredLog(log, Uncounted(), on_append=self._appended)

    def asking(self, embedder: Embedder | AsyncEmbedder) -> Embedder | AsyncEmbedder:
        """Return the embedder, traced."""
        return asked_of(embedder, lambda texts, seconds: self._stage("embed", seconds, {"helamem.texts": texts}))

    def noting(self, on_progress: Callable[[Progress], None]) -> Callable[[Progress], None]:
        """Return a callback that ends the span of an applied batch and passes it on."""

        def note(progress: Progress) -> None:
            self._end(progress)
            on_progress(progress)

        return note

    def begin(self, batch: Batch) -> None:
        """Begin the span of a batch; one that was not applied is taken again, and ends here."""
        self.give_up(None)
        at = batch.partition
        span = self._tracer.start_span(
            f"{self._operation} {at.topic}",
            context=Context(),
            kind=SpanKind.CONSUMER,
            links=links_to([delivery.event.traceparent for delivery in batch.deliveries]),
            attributes={
                **self._labels(at),
                "messaging.batch.message_count": len(batch.deliveries),
                "helamem.offset.end": batch.end.offset,
            },
        )
        self._under_way.set(_Work(batch, span))

    def took(self, effects: Effects) -> None:
        """Note what the batch under way causes."""
        if (work := self._under_way.get()) is not None:
            work.effects = effects

    def give_up(self, error: BaseException | None) -> None:
        """End the span of a batch that failed, or that is taken again."""
        work = self._under_way.get()
        if work is not None:
            if error is not None:
                failed(work.span, error)
            work.span.end()
            self._under_way.set(None)

    def _end(self, progress: Progress) -> None:
        """End the span of an applied batch, and make those of its records and of the events that they caused."""
        work = self._under_way.get()
        if work is None:
            return
        self._under_way.set(None)
        now_ns = time.time_ns()
        counts = {f"helamem.count.{name}": count for name, count in progress.counts.items() if count}
        work.span.set_attributes({**counts, "helamem.count.dead-lettered": progress.dead_letters})
        work.span.end(now_ns)
        traced = {d.event.id: d for d in work.batch.deliveries if recorded(d.event.traceparent) is not None}
        if not traced:
            return
        written = {one.turn.position: one.turn.traceparent for one in work.effects.writes.memories}
        written |= {one.record.position: one.record.traceparent for one in work.effects.writes.facts}
        for delivery in traced.values():
            event = delivery.event
            own = written.get(delivery.position) or caused(event.traceparent, self._group, event.id)
            name = f"{self._operation} {event.data.event_type.removesuffix('.v1')}"
            labels = {
                **self._labels(work.batch.partition),
                "messaging.kafka.offset": delivery.position.offset,
                "messaging.message.id": event.id,
            }
            self._below(event, name, work, now_ns, own=own, space=event.space, labels=labels)
        for event in work.effects.events:
            cause = event.data.cause if isinstance(event.data, HubFormed) else getattr(event.data, "hub", "")
            if cause in traced:
                name = "hub formed" if isinstance(event.data, HubFormed) else "fact distilled"
                sealed = event.space.partition("/")[0] in self._sealed_tenants and not isinstance(event.data, HubFormed)
                labels = {} if sealed else {"messaging.message.id": event.id}
                own = caused(event.traceparent, secrets.token_hex()) if sealed else event.traceparent
                self._below(traced[cause].event, name, work, now_ns, own=own, space=event.space, labels=labels)

    def _below(
        self, cause: Event, name: str, work: _Work, now_ns: int, *, own: str | None, space: str, labels: Labels
    ) -> None:
        """Make a span of the batch's time in the trace of an event, with the number that others know it by."""
        above, number = parse(cause.traceparent), parse(own)
        assert above is not None  # it is recorded
        assert number is not None  # it follows from one that is valid
        with numbered(number.span_id):
            span = self._tracer.start_span(
                name,
                context=below(above),
                links=[Link(work.span.get_span_context())],
                attributes={**labels, "helamem.space.hash": space_hash(space)},
                start_time=work.began_ns,
            )
        span.end(now_ns)

    def _stored(self, call: str, seconds: float) -> None:
        if call in _STORED:
            self._stage(_STORED[call], seconds, {})

    def _appended(self, records: Sequence[NewRecord], seconds: float) -> None:
        self._stage("emit", seconds, {"messaging.batch.message_count": len(records)})

    def _stage(self, name: str, seconds: float, labels: Labels) -> None:
        """Make the span of something that has just ended within the batch under way."""
        if (work := self._under_way.get()) is not None:
            now_ns = time.time_ns()
            span = self._tracer.start_span(
                name,
                context=set_span_in_context(work.span, Context()),
                attributes=labels,
                start_time=now_ns - int(seconds * 1e9),
            )
            span.end(now_ns)

    def _labels(self, at: TopicPartition) -> Labels:
        return {
            "messaging.system": self._system,
            "messaging.operation.type": "process",
            "messaging.operation.name": self._operation,
            "messaging.destination.name": at.topic,
            "messaging.destination.partition.id": str(at.partition),
            "messaging.consumer.group.name": self._group,
        }


class _Traced:
    """A processor that tells a tracer."""

    def __init__(self, processor: Processor, tracer: PumpTracer) -> None:
        self._processor = processor
        self._tracer = tracer

    @property
    def group(self) -> str:
        return self._processor.group

    @property
    def topics(self) -> tuple[TopicSpec, ...]:
        return self._processor.topics

    async def restore(self, partition: TopicPartition, state: bytes | None) -> None:
        await self._processor.restore(partition, state)

    async def process(self, batch: Batch) -> Effects:
        self._tracer.begin(batch)
        try:
            effects = await self._processor.process(batch)
        except BaseException as error:
            self._tracer.give_up(error)
            raise
        self._tracer.took(effects)
        return effects
