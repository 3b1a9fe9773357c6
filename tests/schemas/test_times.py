from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helamem.schemas.errors import BadInput
from helamem.schemas.times import MAX_MS, format_ms, from_ms, parse_time, to_ms

MILLISECONDS = st.integers(0, MAX_MS)
ZONES = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(
    lambda offset: timezone(timedelta(minutes=offset // timedelta(minutes=1)))
)


@given(MILLISECONDS)
def test_formatted_times_are_parsed_back(ms: int) -> None:
    text = format_ms(ms)
    assert parse_time(text) == ms
    assert len(text) == 24
    assert text == from_ms(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@given(MILLISECONDS)
def test_moments_are_the_same_milliseconds(ms: int) -> None:
    assert to_ms(from_ms(ms)) == ms


@given(MILLISECONDS, MILLISECONDS)
def test_the_order_of_texts_is_the_order_of_times(first: int, second: int) -> None:
    assert (format_ms(first) < format_ms(second)) == (first < second)


@given(st.datetimes(datetime(1970, 1, 3), datetime(9999, 12, 29), timezones=ZONES))  # noqa: DTZ001 - bounds are naive
def test_the_zone_does_not_matter_and_parts_are_cut(moment: datetime) -> None:
    ms = to_ms(moment)
    assert ms == to_ms(moment.astimezone(UTC)) == parse_time(moment.isoformat())
    assert timedelta(0) <= moment - from_ms(ms) < timedelta(milliseconds=1)


class _NoOffset(tzinfo):
    def utcoffset(self, moment: datetime | None) -> None: ...

    def dst(self, moment: datetime | None) -> None: ...

    def tzname(self, moment: datetime | None) -> None: ...


@pytest.mark.parametrize("zone", [None, _NoOffset()])
def test_a_moment_without_zone_is_refused(zone: tzinfo | None) -> None:
    with pytest.raises(BadInput, match=r"^the time 2025-03-01T09:00:00 has no zone; write it like"):
        to_ms(datetime(2025, 3, 1, 9, tzinfo=zone))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("2025-03-01T09:00:00", "the time 2025-03-01T09:00:00 has no zone; write it like 2025-03-01T09:00:00Z"),
        ("2025-03-01", "the time 2025-03-01T00:00:00 has no zone; write it like 2025-03-01T09:00:00Z"),
        ("", "'' is not a time; write it like 2025-03-01T09:00:00Z"),
        ("10000-01-01T00:00:00Z", "'10000-01-01T00:00:00Z' is not a time; write it like 2025-03-01T09:00:00Z"),
        ("x" * 1000, f"'{'x' * 64}…' is not a time; write it like 2025-03-01T09:00:00Z"),
        (
            "1969-12-31T23:59:59.999Z",
            "the time 1969-12-31T23:59:59.999000+00:00 lies before 1970; helamem counts from there",
        ),
        ("0001-01-01T00:00:00+01:00", "the time 0001-01-01T00:00:00+01:00 lies before 1970; helamem counts from there"),
        ("9999-12-31T23:59:59-01:00", "the time 9999-12-31T23:59:59-01:00 lies after the year 9999 in UTC"),
    ],
)
def test_what_is_no_time_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_time(text)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("ms", [-1, -60_000, MAX_MS + 1, 10**30])
@pytest.mark.parametrize("function", [format_ms, from_ms])
def test_milliseconds_beyond_the_calendar_are_refused(function: Callable[[int], object], ms: int) -> None:
    with pytest.raises(BadInput, match=f"^{ms} milliseconds since 1970 are not a time"):
        function(ms)
