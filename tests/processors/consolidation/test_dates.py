"""Relative dates made absolute; the expected days were looked up in a calendar."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helamem.processors.consolidation.dates import mentions, with_absolute_dates

WEDNESDAY = "2025-03-12"

TABLE = [
    # Days around.
    (WEDNESDAY, "yesterday", "2025-03-11"),
    (WEDNESDAY, "yesterday morning", "2025-03-11"),
    (WEDNESDAY, "last night", "2025-03-11"),
    (WEDNESDAY, "today", "2025-03-12"),
    (WEDNESDAY, "tonight", "2025-03-12"),
    (WEDNESDAY, "this morning", "2025-03-12"),
    (WEDNESDAY, "this evening", "2025-03-12"),
    (WEDNESDAY, "this afternoon", "2025-03-12"),
    (WEDNESDAY, "yesterday evening", "2025-03-11"),
    (WEDNESDAY, "tomorrow morning", "2025-03-13"),
    (WEDNESDAY, "tomorrow", "2025-03-13"),
    (WEDNESDAY, "tomorrow night", "2025-03-13"),
    (WEDNESDAY, "the day before yesterday", "2025-03-10"),
    (WEDNESDAY, "day before yesterday", "2025-03-10"),
    (WEDNESDAY, "the day after tomorrow", "2025-03-14"),
    # Counted back.
    (WEDNESDAY, "three days ago", "2025-03-09"),
    (WEDNESDAY, "3 days ago", "2025-03-09"),
    (WEDNESDAY, "a day ago", "2025-03-11"),
    (WEDNESDAY, "one day ago", "2025-03-11"),
    (WEDNESDAY, "a couple of days ago", "2025-03-10"),
    (WEDNESDAY, "100 days ago", "2024-12-02"),
    (WEDNESDAY, "four days ago", "2025-03-08"),
    (WEDNESDAY, "ten days ago", "2025-03-02"),
    (WEDNESDAY, "five weeks ago", "2025-02-05"),
    (WEDNESDAY, "six months ago", "2024-09"),
    (WEDNESDAY, "five years ago", "2020"),
    (WEDNESDAY, "a week ago", "2025-03-05"),
    (WEDNESDAY, "two weeks ago", "2025-02-26"),
    (WEDNESDAY, "couple of weeks ago", "2025-02-26"),
    (WEDNESDAY, "a month ago", "2025-02"),
    (WEDNESDAY, "two months ago", "2025-01"),
    (WEDNESDAY, "three months ago", "2024-12"),
    (WEDNESDAY, "twelve months ago", "2024-03"),
    (WEDNESDAY, "a year ago", "2024"),
    (WEDNESDAY, "ten years ago", "2015"),
    # Counted on.
    (WEDNESDAY, "in two days", "2025-03-14"),
    (WEDNESDAY, "in five days", "2025-03-17"),
    (WEDNESDAY, "in six weeks", "2025-04-23"),
    (WEDNESDAY, "in six months", "2025-09"),
    (WEDNESDAY, "in a week", "2025-03-19"),
    (WEDNESDAY, "in three weeks", "2025-04-02"),
    (WEDNESDAY, "in two weeks' time", "2025-03-26"),
    (WEDNESDAY, "in a month", "2025-04"),
    (WEDNESDAY, "in ten months", "2026-01"),
    (WEDNESDAY, "in two years", "2027"),
    # Weekdays.
    (WEDNESDAY, "last Monday", "2025-03-10"),
    (WEDNESDAY, "last Tuesday", "2025-03-11"),
    (WEDNESDAY, "last Wednesday", "2025-03-05"),
    (WEDNESDAY, "last Thursday", "2025-03-06"),
    (WEDNESDAY, "last Friday", "2025-03-07"),
    (WEDNESDAY, "last Saturday", "2025-03-08"),
    (WEDNESDAY, "last Sunday", "2025-03-09"),
    (WEDNESDAY, "this Monday", "2025-03-17"),
    (WEDNESDAY, "this Wednesday", "2025-03-12"),
    (WEDNESDAY, "this Friday", "2025-03-14"),
    (WEDNESDAY, "this Sunday", "2025-03-16"),
    (WEDNESDAY, "next Tuesday", "2025-03-18"),
    (WEDNESDAY, "next Saturday", "2025-03-22"),
    (WEDNESDAY, "next Monday", "2025-03-17"),
    (WEDNESDAY, "next Wednesday", "2025-03-19"),
    (WEDNESDAY, "next Friday", "2025-03-21"),
    (WEDNESDAY, "next Sunday", "2025-03-23"),
    # Weekends, weeks, months and years.
    (WEDNESDAY, "last weekend", "2025-03-08/2025-03-09"),
    (WEDNESDAY, "past weekend", "2025-03-08/2025-03-09"),
    (WEDNESDAY, "this weekend", "2025-03-15/2025-03-16"),
    (WEDNESDAY, "next weekend", "2025-03-22/2025-03-23"),
    (WEDNESDAY, "last week", "2025-03-03/2025-03-09"),
    (WEDNESDAY, "past week", "2025-03-03/2025-03-09"),
    (WEDNESDAY, "this week", "2025-03-10/2025-03-16"),
    (WEDNESDAY, "next week", "2025-03-17/2025-03-23"),
    (WEDNESDAY, "last month", "2025-02"),
    (WEDNESDAY, "this month", "2025-03"),
    (WEDNESDAY, "next month", "2025-04"),
    (WEDNESDAY, "last year", "2024"),
    (WEDNESDAY, "this year", "2025"),
    (WEDNESDAY, "next year", "2026"),
    # Over the ends of months and years, and in leap years.
    ("2025-03-01", "yesterday", "2025-02-28"),
    ("2024-03-01", "yesterday", "2024-02-29"),
    ("2025-01-01", "yesterday", "2024-12-31"),
    ("2024-12-31", "tomorrow", "2025-01-01"),
    ("2024-02-28", "tomorrow", "2024-02-29"),
    ("2023-02-28", "tomorrow", "2023-03-01"),
    ("2024-02-28", "day after tomorrow", "2024-03-01"),
    ("2024-03-01", "in 365 days", "2025-03-01"),
    ("2023-03-01", "in 366 days", "2024-03-01"),
    ("2025-03-31", "a month ago", "2025-02"),
    ("2024-03-31", "two months ago", "2024-01"),
    ("2025-01-31", "in a month", "2025-02"),
    ("2025-10-31", "in four months", "2026-02"),
    ("2024-02-29", "a year ago", "2023"),
    ("2024-02-29", "in four years", "2028"),
    ("2025-01-15", "last month", "2024-12"),
    ("2024-12-15", "next month", "2025-01"),
    ("2024-02-10", "this month", "2024-02"),
    ("2025-01-01", "last week", "2024-12-23/2024-12-29"),
    ("2024-12-31", "this week", "2024-12-30/2025-01-05"),
    ("2024-12-31", "next week", "2025-01-06/2025-01-12"),
    ("2024-12-31", "next Friday", "2025-01-10"),
    ("2024-12-31", "two weeks ago", "2024-12-17"),
    ("2024-03-04", "last Thursday", "2024-02-29"),
    # On a Sunday and on a Monday: weeks begin on Monday.
    ("2023-01-01", "last weekend", "2022-12-24/2022-12-25"),
    ("2023-01-01", "this weekend", "2022-12-31/2023-01-01"),
    ("2025-03-09", "last Sunday", "2025-03-02"),
    ("2025-03-09", "next Monday", "2025-03-10"),
    ("2025-03-10", "last Sunday", "2025-03-09"),
    ("2025-03-10", "last Monday", "2025-03-03"),
]


@pytest.mark.parametrize(("said", "words", "expected"), TABLE, ids=[f"{said} {words}" for said, words, _ in TABLE])
def test_a_relative_date_becomes_absolute(said: str, words: str, expected: str) -> None:
    """The words stay, in any case, and the days follow them in brackets."""
    day = date.fromisoformat(said)
    assert with_absolute_dates(f"We met {words}, I think.", day) == f"We met {words} [{expected}], I think."
    assert with_absolute_dates(words.upper(), day) == f"{words.upper()} [{expected}]"


@pytest.mark.parametrize(
    "text",
    [
        "Yesterdays and todays are nothing to mention.",
        "We spoke of the last week of May and the last year of school.",
        "An hour ago, many days ago, some day, the other week.",
        "We did it in two days and finished in 3 weeks.",
        "It lasts weeks; nextweek is no word.",
        "On Friday, in May, in 2019.",
        "",
    ],
)
def test_what_is_no_relative_date_stays_as_it_is(text: str) -> None:
    """Vague and absolute times, durations and other words are left alone."""
    assert with_absolute_dates(text, date(2025, 3, 12)) == text


def test_several_dates_in_one_text() -> None:
    """Each gets its own; the longest of two that overlap counts."""
    text = "The day before yesterday we booked it, and next week's trip ends in two weeks."
    assert with_absolute_dates(text, date(2025, 3, 12)) == (
        "The day before yesterday [2025-03-10] we booked it, and next week's [2025-03-17/2025-03-23] trip ends "
        "in two weeks [2025-03-26]."
    )


def test_a_date_outside_the_calendar_is_left_alone() -> None:
    """There is no year 0 and none after 9999."""
    assert with_absolute_dates("It was 999 years ago.", date(500, 1, 1)) == "It was 999 years ago."
    assert with_absolute_dates("See you next year, or in 12 months.", date(9999, 12, 31)).count("[") == 0


PHRASES = st.sampled_from([words for _, words, _ in TABLE] + ["and then", "maybe", "of", "'s", "!", "\n", "ago in a"])


@given(parts=st.lists(PHRASES | st.text(max_size=8), max_size=12), said=st.dates(date(1970, 1, 1), date(9990, 12, 31)))
def test_mentions_are_in_order_and_only_add_words(parts: list[str], said: date) -> None:
    """Without what was added the text is what it was; no mention overlaps another or ends before it begins."""
    text = " ".join(parts)
    found = list(mentions(text, said))
    assert all(one.first <= one.last for one in found)
    assert all(0 <= one.start < one.end <= len(text) for one in found)
    assert all(before.end <= after.start for before, after in pairwise(found))
    made = with_absolute_dates(text, said)
    for one in reversed(found):
        shift = sum(len(f" [{m.absolute}]") for m in found if m.start < one.start)
        end = one.end + shift
        added = f" [{one.absolute}]"
        assert made[end : end + len(added)] == added
        made = made[:end] + made[end + len(added) :]
    assert made == text
