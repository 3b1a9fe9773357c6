"""`Tracing`: spans of what one process sends, answers and processes, exported by OpenTelemetry.

What the exporter does, how much is recorded and how the service is called is set by the variables of OpenTelemetry
(`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER`, `OTEL_SERVICE_NAME` and others).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import version
from typing import Literal

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, SpanKind, get_current_span, set_span_in_context, use_span

from helamem.processors.embedder.port import Embedder
from helamem.processors.recall.hits import Hit
from helamem.processors.store.port import MemoryStore
from helamem.schemas.ids import space_hash
from helamem.streams.metrics.measured_embedder import MeasuredEmbedder
from helamem.streams.metrics.measured_store import MeasuredStore
from helamem.streams.metrics.recalling import STAGES
from helamem.streams.metrics.unmeasured import Uncounted
from helamem.streams.tracing.pumping import PumpTracer
from helamem.streams.tracing.spans import (
    Labels,
    LinkedToo,
    NumberedSpans,
    below,
    failed,
    links_to,
    recorded,
    traceparent_of,
)
from helamem.streams.tracing.untraced import Untraced

System = Literal["kafka", "sqlite"]
_CLOSE_S = 3.0
_LINKS = 1000
"""Most links of a span, unless OTEL_SPAN_LINK_COUNT_LIMIT says otherwise: a batch has one for each traced record."""


class Tracing(Untraced):
    """Makes spans of what one process does; `close` it, or the last seconds are lost.

    Args:
        system: Which log it works on.
        exporter: Where spans go; the default is the collector that the variables of OpenTelemetry name.
    """

    def __init__(self, system: System, exporter: SpanExporter | None = None) -> None:
        limits = None if "OTEL_SPAN_LINK_COUNT_LIMIT" in os.environ else SpanLimits(max_links=_LINKS)
        service: Labels = {SERVICE_VERSION: version("helamem")}
        if "OTEL_SERVICE_NAME" not in os.environ:
            service = {SERVICE_NAME: "helamem", **service}
        self._provider = TracerProvider(
            id_generator=NumberedSpans(), span_limits=limits, resource=Resource.create(dict(service))
        )
        self._provider.sampler = LinkedToo(self._provider.sampler)  # around the one that the variables name
        self._exporter = exporter or OTLPSpanExporter()
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("helamem", version("helamem"))
        self._system = system
        self._recall: ContextVar[Span | None] = ContextVar("span of a recall", default=None)

    def pump(self, group: str, sealed_tenants: Collection[str] = ()) -> PumpTracer:
        """See `Untraced.pump`."""
        return PumpTracer(self._tracer, self._system, group, sealed_tenants)

    @contextmanager
    def sending(
        self, topic: str, *, space: str | None = None, records: int = 1, cause: str | None = None
    ) -> Iterator[str | None]:
        """See `Untraced.sending`. The span is below the caller's own, and else below the cause's."""
        earlier = recorded(cause)
        here = get_current_span().get_span_context().is_valid
        span = self._tracer.start_span(
            f"send {topic}",
            context=below(earlier) if earlier is not None and not here else None,
            kind=SpanKind.PRODUCER,
            links=links_to([cause]) if here else (),
            attributes={
                "messaging.system": self._system,
                "messaging.operation.name": "send",
                "messaging.operation.type": "send",
                "messaging.destination.name": topic,
                "messaging.batch.message_count": records,
                **_of_space(space),
            },
        )
        with _ending(span):
            yield traceparent_of(span)

    @contextmanager
    def recall(self, space: str) -> Iterator[None]:
        """See `Untraced.recall`."""
        span = self._tracer.start_span("recall", attributes=_of_space(space))
        token = self._recall.set(span)
        try:
            with use_span(span, record_exception=False, set_status_on_exception=False), _ending(span):
                yield
        finally:
            self._recall.reset(token)

    def found(self, hits: Sequence[Hit]) -> None:
        """Link the recall under way to the memories and facts that it found."""
        span = self._recall.get()
        if span is None:
            return
        found = [hit.turn or hit.fact for hit in hits]
        for link in links_to([one.traceparent for one in found if one is not None]):
            span.add_link(link.context)
        paths = [hit.result.path for hit in hits]
        span.set_attributes({f"helamem.results.{path}": paths.count(path) for path in ("base", "association", "fact")})

    def store(self, store: MemoryStore) -> MemoryStore:
        """Return the store that recalls ask, with a span for each call."""
        return MeasuredStore(store, Uncounted(), lambda call, seconds: self._stage(STAGES.get(call, "read"), seconds))

    def embedder(self, embedder: Embedder) -> Embedder:
        """Return the embedder that recalls ask, with a span for each call."""
        return MeasuredEmbedder(embedder, lambda _, seconds: self._stage("embed", seconds))

    def close(self) -> None:
        """Send what is left; a collector that is away is not waited for much longer than three seconds."""
        giving_up = threading.Timer(_CLOSE_S, self._exporter.shutdown)  # else it tries again for ten
        giving_up.start()
        self._provider.shutdown()
        giving_up.cancel()

    def _stage(self, name: str, seconds: float) -> None:
        """Make the span of something that has just ended within a recall."""
        if (recall := self._recall.get()) is not None:
            now_ns = time.time_ns()
            span = self._tracer.start_span(
                name, context=set_span_in_context(recall), start_time=now_ns - int(seconds * 1e9)
            )
            span.end(now_ns)


def _of_space(space: str | None) -> Mapping[str, str]:
    return {} if space is None else {"helamem.space.hash": space_hash(space)}


@contextmanager
def _ending(span: Span) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        failed(span, error)
        raise
    finally:
        span.end()
