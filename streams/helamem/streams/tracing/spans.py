"""Spans whose numbers are known beforehand: what an event names as its cause is the span that is exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar

from opentelemetry.context import Context
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from opentelemetry.trace import Span as AnySpan
from opentelemetry.util.types import Attributes, AttributeValue

from helamem.schemas.traceparent import TraceContext, parse

_span_id: ContextVar[int | None] = ContextVar("number of the next span", default=None)

Labels = Mapping[str, AttributeValue]


class NumberedSpans(RandomIdGenerator):
    """Makes random numbers, but for spans that got theirs beforehand."""

    def generate_span_id(self) -> int:
        """Return the number of the next span."""
        wanted = _span_id.get()
        return super().generate_span_id() if wanted is None else wanted


class numbered:  # noqa: N801 - used as a context manager function is
    """Give the spans that are started inside this number; a context manager."""

    def __init__(self, span_id: int) -> None:
        self._id = span_id

    def __enter__(self) -> None:
        self._token = _span_id.set(self._id)

    def __exit__(self, *_: object) -> None:
        _span_id.reset(self._token)


class LinkedToo(Sampler):
    """Records also what is linked to something recorded: a batch with one recorded message in it is recorded.

    Args:
        otherwise: Decides about everything else.
    """

    def __init__(self, otherwise: Sampler) -> None:
        self._otherwise = otherwise

    def should_sample(  # noqa: PLR0917 - its signature is OpenTelemetry's
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Return whether a span is recorded."""
        decided = self._otherwise.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)
        if decided.decision is not Decision.RECORD_AND_SAMPLE and any(
            link.context.trace_flags.sampled for link in links or ()
        ):
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, decided.trace_state)
        return decided

    def get_description(self) -> str:
        """Return what it does, in words."""
        return f"LinkedToo({self._otherwise.get_description()})"


def recorded(traceparent: str | None) -> TraceContext | None:
    """Return the span that is named, where it is recorded somewhere."""
    context = parse(traceparent)
    return context if context is not None and context.sampled else None


def span_context(context: TraceContext) -> SpanContext:
    """Return a span of another process, or of earlier."""
    return SpanContext(context.trace_id, context.span_id, is_remote=True, trace_flags=TraceFlags(context.flags))


def below(context: TraceContext) -> Context:
    """Return the context in which a span has this one as its parent."""
    return set_span_in_context(NonRecordingSpan(span_context(context)), Context())


def links_to(traceparents: Sequence[str | None]) -> list[Link]:
    """Return links to the recorded spans among those named, each once."""
    return [
        Link(span_context(context)) for one in dict.fromkeys(traceparents) if (context := recorded(one)) is not None
    ]


def traceparent_of(span: AnySpan) -> str:
    """Return the name of a span as events carry it."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def failed(span: AnySpan, error: BaseException) -> None:
    """Mark a span as failed. What an error says may quote what somebody wrote; its kind does not."""
    span.set_status(Status(StatusCode.ERROR, type(error).__name__))
    span.set_attribute("error.type", type(error).__name__)
