"""What follows from a trace context, and what is none."""

from __future__ import annotations

import pytest

from helamem.schemas.traceparent import HEADER, TraceContext, caused, headers_of, in_headers, parse

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ONE = f"00-{TRACE}-00f067aa0ba902b7-01"


def test_a_context_is_read() -> None:
    """Numbers and flags are those of W3C's example."""
    assert parse(ONE) == TraceContext(int(TRACE, 16), 0x00F067AA0BA902B7, 1)
    assert TraceContext(1, 2, 3).sampled
    assert not TraceContext(1, 2, 2).sampled


def test_what_an_event_causes_stays_in_its_trace() -> None:
    """The span follows from what is caused alone, so whoever derives an event again gives it the same bytes."""
    derived = caused(ONE, "hub", "a")
    assert derived == f"00-{TRACE}-44cebc10ebf8090a-01"
    assert derived != caused(ONE, "hub", "b")
    assert caused(ONE.replace("00f0", "0100"), "hub", "a") == derived


@pytest.mark.parametrize(
    "none", [None, "", "x", ONE[:-1], ONE + "0", ONE.upper(), "ff" + ONE[2:], ONE.replace(TRACE, "0" * 32)]
)
def test_what_is_no_context_causes_none(none: str | None) -> None:
    """A malformed context is as none: it is no reason to put a record aside."""
    assert parse(none) is None
    assert caused(none, "hub") is None


def test_headers_carry_it() -> None:
    """It stands in the header that W3C names; another producer's garbage there is passed over."""
    assert headers_of(None) == ()
    assert headers_of(ONE) == ((HEADER, ONE.encode()),)
    assert in_headers((("other", b"x"), *headers_of(ONE))) == ONE
    assert in_headers(((HEADER, b"\xff"), ("tracestate", b"a=b"))) is None
