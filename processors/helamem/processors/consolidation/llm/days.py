"""Dates as texts state them, and which dates the words of a turn support."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from datetime import date
from typing import NamedTuple

from helamem.processors.consolidation.dates import mentions

_MONTHS = ("january february march april may june july august september october november december").split()
_WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_MONTH = r"(?P<month>" + "|".join([*_MONTHS, *(f"{m[:3]}\\.?" for m in _MONTHS), "sept\\.?"]) + r")"
_DAY = r"(?P<day>[0-3]?\d)(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_FORMS = tuple(
    re.compile(rf"(?<![\w-]){form}(?![\w-])", re.IGNORECASE)
    for form in (
        r"(?P<year>\d{4})-(?P<number>[01]\d)-(?P<day>[0-3]\d)",
        r"(?P<year>\d{4})-(?P<number>[01]\d)",
        rf"(?:the )?{_DAY} (?:of )?{_MONTH},? (?:of )?{_YEAR}",
        rf"{_MONTH} (?:the )?{_DAY},? (?:of )?{_YEAR}",
        rf"{_MONTH},? (?:of )?{_YEAR}",
        rf"(?:the )?{_DAY} (?:of )?{_MONTH}",
        rf"{_MONTH} (?:the )?{_DAY}",
        _YEAR,
    )
)
"""The longest first: each is taken out before the next is looked for."""
_ALONE = re.compile(r"\b(?:" + "|".join(_MONTHS) + r")\b", re.IGNORECASE)
_ONLY_NAMES = ("march", "may")
"""Months that are words too: alone they are months with a capital letter only."""


class Day(NamedTuple):
    """A date as far as it is stated."""

    year: int | None
    month: int | None
    day: int | None


def taken_out(text: str) -> tuple[list[Day], str]:
    """Return the dates that a text states, and the text without them."""
    found: list[Day] = []

    def take(match: re.Match[str]) -> str:
        groups = match.groupdict()
        if groups.get("number"):
            month: int | None = int(groups["number"])
        else:
            month = _month(groups["month"]) if groups.get("month") else None
        year, day = (int(groups[name]) if groups.get(name) else None for name in ("year", "day"))
        if (month is not None and not 1 <= month <= 12) or (day is not None and not 1 <= day <= 31):
            return match[0]
        found.append(Day(year, month, day))
        return " "

    for form in _FORMS:
        text = form.sub(take, text)
    return found, text


def _month(word: str) -> int:
    return next(number for number, name in enumerate(_MONTHS, 1) if name.startswith(word.lower().rstrip(".")[:3]))


def supported(text: str, said: date) -> Iterator[Day]:
    """Yield the dates that a turn supports which was said on a day: that day, those that it states, relative ones."""
    yield from _parts(said)
    for mention in mentions(text, said):
        yield from _common(mention.first, mention.last)
    stated, rest = taken_out(text)
    alone = [Day(None, _month(match[0]), None) for match in _ALONE.finditer(rest) if _is_month(match[0])]
    for one in (*stated, *alone):
        # Without a year it is one of the three around the day on which it was said.
        for year in (one.year,) if one.year is not None else (said.year - 1, said.year, said.year + 1):
            yield from (Day(year, one.month, one.day), Day(year, one.month, None), Day(year, None, None))
    yield from _weekdays(rest, said)


def _is_month(word: str) -> bool:
    return word.lower() not in _ONLY_NAMES or word[0].isupper()


def _common(first: date, last: date) -> Iterator[Day]:
    """Yield both ends of a time, and the month and the year that it lies in as a whole."""
    for end in (first, last):
        yield Day(end.year, end.month, end.day)
    if first.year == last.year:
        yield Day(first.year, None, None)
        if first.month == last.month:
            yield Day(first.year, first.month, None)


def _weekdays(text: str, said: date) -> Iterator[Day]:
    """Yield the days within a week of one whose weekday is named."""
    words = set(re.findall(r"[a-z]+", text.lower()))
    for ordinal in range(said.toordinal() - 7, said.toordinal() + 8):
        if date.min.toordinal() <= ordinal <= date.max.toordinal():
            near = date.fromordinal(ordinal)
            if _WEEKDAYS[near.weekday()] in words:
                yield from _parts(near)


def _parts(day: date) -> tuple[Day, ...]:
    return Day(day.year, day.month, day.day), Day(day.year, day.month, None), Day(day.year, None, None)


def is_supported(stated: Day, known: AbstractSet[Day]) -> bool:
    """Return whether a stated date is one of those that are known; without a year, whether it is one in any year."""
    if stated.year is not None:
        return stated in known
    return any((one.month, one.day) == (stated.month, stated.day) for one in known)
