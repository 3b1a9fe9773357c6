"""W3C trace context: which span caused an event, and what that becomes in the events that follow from it.

It is no part of what an event means. No id and no digest depends on it, and what stands in a derived event follows
from the event that caused it alone, so that the same record derives the same bytes whoever works and traces or not.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from helamem.schemas.records import Headers

HEADER = "traceparent"
"""Name of the header of a record."""
_SEPARATOR = "\x1f"
_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


class TraceContext(NamedTuple):
    """A span by its numbers."""

    trace_id: int
    span_id: int
    flags: int
    """Bit 0: whether it is recorded."""

    @property
    def sampled(self) -> bool:
        """Whether the span is recorded somewhere."""
        return bool(self.flags & 1)


def parse(traceparent: str | None) -> TraceContext | None:
    """Return the span that is named, or None where there is none or it is not valid."""
    found = _FORM.fullmatch(traceparent or "")
    return None if found is None else TraceContext(*(int(part, 16) for part in found.groups()))


def caused(traceparent: str | None, *what: str) -> str | None:
    """Return the context of what an event caused: the same trace, and a span id that follows from `what`.

    Args:
        traceparent: Of the event.
        what: Names what it caused, such as the id of a derived event.
    """
    found = _FORM.fullmatch(traceparent or "")
    if found is None:
        return None
    trace_id, _, flags = found.groups()
    span_id = hashlib.sha256(_SEPARATOR.join(what).encode()).hexdigest()[:16]
    return f"00-{trace_id}-{span_id}-{flags}"


def headers_of(traceparent: str | None) -> Headers:
    """Return the headers of a record whose event has this context."""
    return () if traceparent is None else ((HEADER, traceparent.encode()),)


def in_headers(headers: Headers) -> str | None:
    """Return the context that stands in the headers of a record, or None where there is none or it is not valid."""
    for name, value in headers:
        if name == HEADER and _FORM.fullmatch(text := value.decode("ascii", "replace")):
            return text
    return None
